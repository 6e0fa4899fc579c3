// npm run simulate -- --seeds 50000: plays so many worlds, says what happened in them, and ends with 1 if an invariant did not
// hold anywhere.

import { randomInt } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Violation } from '../../src/redteam/evidence.ts'
import { huntFor, sayHunt, type Hunt } from './hunt.ts'
import { keep } from './kept.ts'
import { planted } from './planted.ts'
import { playable, sceneOf } from './scene-of.ts'
import { playSeeds } from './seeds.ts'
import { shrink, simulate } from './simulate.ts'
import type { Tally } from './tally.ts'
import { sayEvents, sayScene } from './trace.ts'

const yearMs = 365 * 24 * 3_600_000
const shownMax = 5
// The share of planted bugs that has to be found.
const foundMin = 0.95

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
  readonly bare?: true
  readonly keep?: true
  readonly planted?: true
  readonly bug?: readonly string[]
  readonly json?: true
}

const options = new Command('simulate')
  .description(
    'Plays worlds in which everything that can go wrong does, each from one seed, and judges all invariants.',
  )
  .option('--seeds <n>', 'how many', count, 2_000)
  .option('--from <seed>', 'the first of them; default: any', count, randomInt(2 ** 31))
  .option('--seed <seed>', 'only this one, event by event; made smaller, if something does not hold in it', count)
  .option('--threads <n>', 'how many are played at once', count, availableParallelism())
  .option('--fail-fast', 'stop at the first that fails')
  .option('--bare', 'do not make smaller what fails')
  .option('--keep', 'keep those that fail, made smaller, to be played again by every test')
  .option('--planted', 'plant each known bug into the engine, one at a time, and say which are found in these seeds')
  .addOption(new Option('--bug <id...>', 'with --planted: only these').choices(planted.map(({ id }) => id)))
  .option('--json', 'one JSON value on stdout')
  .parse()
  .opts<Options>()
const { seeds, from, threads } = options

const tell = (text: string): void => void process.stderr.write(`${text}\n`)
const answer = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

if (options.seed !== undefined) await playOne(options.seed)
else if (options.planted) await playPlanted()
else await playMany()

async function playMany(): Promise<void> {
  const beganAtMs = performance.now()
  let toldAtMs = beganAtMs
  const rate = (tally: Tally): string => (tally.seeds / ((performance.now() - beganAtMs) / 1_000)).toFixed(1)
  let toldFailed = 0
  const progress = (tally: Tally): void => {
    for (const { seed, violations } of tally.failed.slice(toldFailed)) {
      toldFailed += 1
      tell(`seed ${seed}: ${violations[0]!.invariant} ${violations[0]!.problem}`)
    }
    if (performance.now() - toldAtMs < 5_000) return
    toldAtMs = performance.now()
    tell(`${tally.seeds} of ${seeds} seeds, ${rate(tally)} a second, ${tally.failed.length} failed`)
  }
  const tally = await playSeeds({ from, seeds, threads, failFast: options.failFast === true, progress })
  const seedsPerSecond = Number(rate(tally))
  for (const { seed } of options.bare ? [] : tally.failed.slice(0, shownMax)) {
    const [again] = (await simulate(sceneOf(seed))).violations
    if (again) await explain(seed, again)
    else tell(`seed ${seed} failed, and does not now: something in it is not of its seed.`)
  }
  const struck = [...tally.struck].sort(([a], [b]) => a.localeCompare(b))
  const faults = struck.reduce((sum, [, times]) => sum + times, 0)
  const { events, tasks, elapsedMs, failed } = tally
  process.exitCode = failed.length > 0 ? 1 : 0
  if (options.json) {
    const violations = failed.map(({ seed, violations: all }) => ({ seed, violations: all }))
    const said = { from, seeds: tally.seeds, seedsPerSecond, simulatedMs: elapsedMs, tasks, events }
    return answer({ ...said, struck: Object.fromEntries(struck), violations })
  }
  tell(`${tally.seeds} seeds from ${from}: ${seedsPerSecond} a second, on ${threads} threads`)
  tell(`${(elapsedMs / yearMs).toFixed(2)} simulated years, ${tasks} tasks, ${events} events`)
  tell(`${faults} faults of ${struck.length} of ${playable.length} kinds:`)
  tell(`  ${struck.map(([kind, times]) => `${kind} ${times}`).join('  ')}`)
  tell(`${failed.length} seeds in which an invariant did not hold`)
}

async function playOne(seed: number): Promise<void> {
  const scene = sceneOf(seed)
  const { violations, evidence } = await simulate(scene)
  tell(sayScene(scene))
  if (violations[0]) return explain(seed, violations[0])
  for (const line of sayEvents(evidence?.written ?? [])) process.stdout.write(`${line}\n`)
  tell('All invariants hold.')
}

/** A table of planted bugs, each with the seed that finds it. */
async function playPlanted(): Promise<void> {
  const hunts: Hunt[] = []
  for (const bug of planted.filter(({ id }) => options.bug?.includes(id) ?? true)) {
    const hunt = await huntFor(bug, { from, seeds, threads })
    hunts.push(hunt)
    tell(sayHunt(hunt))
  }
  const found = hunts.filter(({ foundBy }) => foundBy !== undefined)
  process.exitCode = found.length < Math.ceil(hunts.length * foundMin) ? 1 : 0
  if (options.json) return answer({ from, seeds, hunts })
  tell(`${found.length} of ${hunts.length} planted bugs found in ${seeds} seeds from ${from}`)
}

/** What did not hold, in the smallest world in which it does not, and what happened there. */
async function explain(seed: number, first: Violation): Promise<void> {
  process.exitCode = 1
  const whole = sceneOf(seed)
  const scene = await shrink(whole, first.invariant)
  const { violations, evidence } = await simulate(scene)
  tell(`\n${sayScene(whole)}\n  smallest: ${sayScene(scene)}`)
  for (const { invariant, problem } of violations) tell(`  ${invariant} ${problem}`)
  for (const line of sayEvents(evidence?.written ?? [])) tell(`  ${line}`)
  tell(`  again: npm run simulate -- --seed ${seed}`)
  if (options.keep) keep({ what: `${first.invariant} ${violations[0]?.problem ?? first.problem}`, scene })
}
