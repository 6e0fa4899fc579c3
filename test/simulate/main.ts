// npm run simulate -- --seeds 50000: plays so many worlds, says what happened in them, and ends with 1 if an invariant did not
// hold anywhere.

import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError } from 'commander'
import { playSeeds } from './seeds.ts'
import { keep } from './kept.ts'
import { playable, sceneOf } from './scene-of.ts'
import { shrink, simulate } from './simulate.ts'
import type { Tally } from './tally.ts'
import { sayEvents, sayScene } from './trace.ts'

const yearMs = 365 * 24 * 3_600_000
const shownMax = 5

function count(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError('It is a whole number.')
  return value
}

interface Options {
  readonly seeds: number
  readonly from: number
  readonly seed?: number
  readonly threads: number
  readonly failFast?: true
  readonly keep?: true
  readonly json?: true
}

const {
  seeds,
  from,
  seed,
  threads,
  failFast,
  keep: keeps,
  json,
} = new Command('simulate')
  .description(
    'Plays worlds in which everything that can go wrong does, each from one seed, and judges all invariants.',
  )
  .option('--seeds <n>', 'how many', count, 2_000)
  .option('--from <seed>', 'the first of them; default: any', count, randomInt(2 ** 31))
  .option('--seed <seed>', 'only this one, event by event; made smaller, if something does not hold in it', count)
  .option('--threads <n>', 'how many are played at once', count, availableParallelism())
  .option('--fail-fast', 'stop at the first that fails')
  .option('--keep', 'keep those that fail, made smaller, to be played again by every test')
  .option('--json', 'one JSON value on stdout')
  .parse()
  .opts<Options>()

const tell = (text: string): void => void process.stderr.write(`${text}\n`)

if (seed === undefined) await playMany()
else await playOne(seed)

async function playMany(): Promise<void> {
  const beganAtMs = performance.now()
  let toldAtMs = beganAtMs
  const rate = (tally: Tally): string => (tally.seeds / ((performance.now() - beganAtMs) / 1_000)).toFixed(1)
  const progress = (tally: Tally): void => {
    if (performance.now() - toldAtMs < 5_000) return
    toldAtMs = performance.now()
    tell(`${tally.seeds} of ${seeds} seeds, ${rate(tally)} a second, ${tally.failed.length} failed`)
  }
  const tally = await playSeeds({ from, seeds, threads, failFast: failFast === true, progress })
  const failed = tally.failed.slice(0, shownMax)
  for (const { seed: bad } of failed) await explain(bad)
  const struck = Object.fromEntries([...tally.struck].sort(([a], [b]) => a.localeCompare(b)))
  const faults = Object.values(struck).reduce((sum, times) => sum + times, 0)
  if (json) {
    const { events, tasks, elapsedMs } = tally
    const seedsPerSecond = Number(rate(tally))
    const violations = tally.failed.map(({ seed: bad, violations: all }) => ({ seed: bad, violations: all }))
    const said = { from, seeds: tally.seeds, seedsPerSecond, simulatedMs: elapsedMs, tasks, events, struck, violations }
    process.stdout.write(`${JSON.stringify(said)}\n`)
  } else {
    tell(`${tally.seeds} seeds from ${from}: ${rate(tally)} a second, on ${threads} threads`)
    tell(`${(tally.elapsedMs / yearMs).toFixed(2)} simulated years, ${tally.tasks} tasks, ${tally.events} events`)
    tell(`${faults} faults of ${tally.struck.size} of ${playable.length} kinds:`)
    tell(
      `  ${Object.entries(struck)
        .map(([kind, times]) => `${kind} ${times}`)
        .join('  ')}`,
    )
    tell(`${tally.failed.length} seeds in which an invariant did not hold`)
  }
  process.exitCode = tally.failed.length > 0 ? 1 : 0
}

async function playOne(wanted: number): Promise<void> {
  const scene = sceneOf(wanted)
  const { violations, evidence } = await simulate(scene)
  tell(sayScene(scene))
  if (violations.length > 0) return explain(wanted)
  for (const line of sayEvents(evidence?.written ?? [])) process.stdout.write(`${line}\n`)
  tell('All invariants hold.')
}

/** What did not hold, in the smallest world in which it does not, and what happened there. */
async function explain(bad: number): Promise<void> {
  process.exitCode = 1
  const whole = sceneOf(bad)
  const [first] = (await simulate(whole)).violations
  if (!first) return tell(`seed ${bad} failed, and does not now: something in it is not of its seed.`)
  const scene = await shrink(whole, first.invariant)
  const { violations, evidence } = await simulate(scene)
  tell(`\n${sayScene(whole)}\n  smallest: ${sayScene(scene)}`)
  for (const { invariant, problem } of violations) tell(`  ${invariant} ${problem}`)
  for (const line of sayEvents(evidence?.written ?? [])) tell(`  ${line}`)
  tell(`  again: npm run simulate -- --seed ${bad}`)
  if (keeps) keep({ what: `${first.invariant} ${violations[0]?.problem ?? first.problem}`, scene })
}
