// `signalbox redteam FILE`: attacks the machines of a file in a simulated world, and says what did not hold.

import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { compileChecked } from '../core/check.ts'
import { Fault, messageOf } from '../core/fault.ts'
import { isObject } from '../core/json.ts'
import { attacks, campaign, type Campaign, type Expectation } from '../redteam/campaign.ts'
import { faultKinds, type FaultKind } from '../redteam/fault-kinds.ts'
import { htmlOf } from '../redteam/html.ts'
import { junitOf } from '../redteam/junit.ts'
import { recordedOf, type Recorded } from '../redteam/recorded.ts'
import { findingsOf, matrixOf, reasonsOf, sayFinding, sumOf } from '../redteam/report.ts'
import type { Outside } from '../redteam/scene.ts'
import { command, sameStore, storeOption, type Leave } from './command.ts'
import { chooseAgent, importFile, loadModule } from './module.ts'
import { both, playerOf, recordedLogs, tellRecorded, withoutOutside, type OutsideFlags } from './outside.ts'
import { exitCodes, paint, parseCount, parseDuration, parseNames, print, printJson, table, tell } from './terminal.ts'
import { say } from './timeline.ts'

interface RedteamFlags extends OutsideFlags {
  agent?: string
  seed?: number
  budget?: number
  only?: readonly string[]
  shard?: { index: number; of: number }
  junit?: string
  html?: string
  kinds?: boolean
  json?: boolean
}

const settingsHelp = `
No model, tool or person is asked for real: models find their own way to each state, and values are made up by schema. Where that
does not do, FILE may export what is known of the outside, all of it optional:

  export const redteam = {
    input: { ticket: '7' },                                  // what tasks are started with
    tools: { read_ticket: ({ ticket }) => ({ ticket }) },    // what tools answer
    outputs: { ANSWERED: { reply: 'Soon.' } },               // what is handed over with an exit
    signals: { paid: { amount: 3 } },
    expect: [{ name: 'nobody is written to', holds: ({ acts }) => acts.every(({ tool }) => tool !== 'send_mail') }],
    kinds: [defineFault({ … })],                             // faults of your own (signalbox/testing)
  }

Exit codes: 0 all held; 1 a breach.`

export function redteamCommand(leave: Leave): Command {
  return command('redteam', 'attack the machines of a file in a simulated world; exit 1 on a breach')
    .argument('[file]', 'a TypeScript or JavaScript module that exports agents')
    .option('--agent <name>', 'which agent (default: every one that the file exports)')
    .option('--seed <n>', 'the seed that everything follows from (default: 1)', parseCount('--seed'))
    .option(
      '--only <words>',
      'only plays that all of these fit: a fault, a state, an agent, a tool, or one play by its name',
      parseNames('--only'),
    )
    .option('--budget <duration>', 'begin no more plays after this long', parseDuration('--budget'))
    .option('--shard <i/n>', 'every n-th play, beginning with the i-th', parseShard)
    .option('--script <file>', 'plays the models, as for mock-model; functions of the machine are then called for real')
    .option(
      '--recorded <tasks>',
      'what was said in these tasks (ids in the store, or files that signalbox export wrote) in the place of made-up values',
      parseNames('--recorded'),
    )
    .addOption(storeOption())
    .option('--live', 'ask the configured models for real; tools are played all the same')
    .option(
      '--calls <n>',
      'begin no more plays when so many calls of real models were made (default: 100)',
      parseCount('--calls', 1),
    )
    .option('--junit <file>', 'write what was found as JUnit XML')
    .option('--html <file>', 'write it as a page that stands alone')
    .option('--kinds', 'list the kinds of fault, and stop')
    .addHelpText('after', settingsHelp)
    .action(async (file: string | undefined, flags: RedteamFlags) => {
      if (flags.kinds) return leave(listKinds(flags))
      if (file === undefined)
        throw new Fault('FLAG_INVALID', 'No file was named.', 'Give the module that exports the agents.')
      leave(await redteam(file, flags))
    })
}

function listKinds(flags: RedteamFlags): number {
  for (const kind of faultKinds) {
    const where = 'elsewhere' in kind ? kind.elsewhere : null
    if (flags.json) printJson({ id: kind.id, layer: kind.layer, what: kind.what, elsewhere: where })
    else print(`${kind.id}  ${kind.what}${where === null ? '' : ` (not played here: ${where})`}`)
  }
  if (!flags.json) for (const { id, what } of attacks) print(`${id}   ${what}`)
  return exitCodes.well
}

async function redteam(file: string, flags: RedteamFlags): Promise<number> {
  const { agents: all, config } = await loadModule(file)
  const { expect = [], kinds = [], ...outside } = settingsOf(file, await importFile(file))
  const agents = flags.agent === undefined ? all : [chooseAgent(all, flags.agent)]
  const logs = await recordedLogs(flags, agents)
  const { script, asked, isSpent } = await playerOf(flags, agents, config)
  const { seed = 1 } = flags
  const { prices, quotas, windows, policy, redact } = config
  const given = Object.fromEntries(
    Object.entries({ prices, quotas, windows, policy, redact }).filter(([, value]) => value !== undefined),
  )
  // The time that a person is ready to wait is real.
  const endMs = flags.budget === undefined ? Infinity : Date.now() + flags.budget
  const done: Campaign[] = []
  const known: Recorded[] = []
  for (const agent of agents) {
    const startMs = Date.now()
    const recorded = logs.length > 0 ? recordedOf(compileChecked(agent), logs) : undefined
    if (recorded) known.push(tellRecorded(agent, recorded, logs.length))
    const ran = await campaign({
      agent,
      seed,
      outside: { ...both(recorded?.outside ?? {}, outside), ...(script ? { script } : {}) },
      config: given,
      kinds: [...faultKinds, ...kinds],
      expect,
      isOver: () => Date.now() >= endMs || isSpent(),
      progress: teller(agent.name),
      ...(flags.only ? { only: flags.only } : {}),
      ...(flags.shard ? { shard: flags.shard } : {}),
    })
    done.push(ran)
    tellCampaign(ran, (play) => again(file, flags, ran, play))
    tell(`${sumOf(ran)} ${((Date.now() - startMs) / 1_000).toFixed(1)} s.`)
  }
  if (flags.live) tell(`Real models were asked ${asked()} times.`)
  if (done.every(({ plays, left }) => plays + left === 0)) {
    throw new Fault(
      'FLAG_INVALID',
      `Nothing fits --only ${(flags.only ?? []).join(',')}.`,
      'Name a fault, a state, an agent, a tool or a play; see --kinds.',
    )
  }
  const repeat = (its: Campaign, play: string): string => again(file, flags, its, play)
  if (flags.junit !== undefined) write('--junit', flags.junit, junitOf(done, repeat))
  if (flags.html !== undefined) write('--html', flags.html, htmlOf(done, repeat))
  const ok = done.every(({ cells }) => cells.every(({ verdict }) => verdict !== 'breach'))
  if (flags.json) {
    const of = (its: Campaign, index: number): object => ({
      ...jsonOf(its, (play) => repeat(its, play)),
      ...(known[index] ? { recorded: withoutOutside(known[index]) } : {}),
    })
    printJson({ ok, seed, ...(flags.live ? { asked: asked() } : {}), agents: done.map(of) })
  }
  return ok ? exitCodes.well : exitCodes.badly
}

type Settings = Outside & { readonly expect?: readonly Expectation[]; readonly kinds?: readonly FaultKind[] }

const settingKeys = ['input', 'tools', 'outputs', 'signals', 'expect', 'kinds']

/** What a module says about the outside of its agents. Throws CONFIG_INVALID. */
function settingsOf(file: string, { redteam: value = {} }: Readonly<Record<string, unknown>>): Settings {
  const invalid = (problem: string): Fault =>
    new Fault('CONFIG_INVALID', `The export redteam of ${file}: ${problem}.`, `It may have: ${settingKeys.join(', ')}.`)
  if (!isObject(value)) throw invalid('it is not an object')
  for (const [key, its] of Object.entries(value)) {
    if (!settingKeys.includes(key)) throw invalid(`${key} is not something to say here`)
    const isList = key === 'expect' || key === 'kinds'
    if (isList ? !Array.isArray(its) : !isObject(its)) throw invalid(`${key} is not ${isList ? 'a list' : 'an object'}`)
  }
  const { kinds = [] } = value as Settings
  const taken = kinds.find(({ id }) => faultKinds.some((known) => known.id === id))
  if (taken) throw invalid(`the kind ${taken.id} has the name of one of ours`)
  return value
}

function parseShard(text: string): { index: number; of: number } {
  const [, index, of] = /^(\d{1,4})\/(\d{1,4})$/.exec(text) ?? []
  if (Number(index) >= 1 && Number(index) <= Number(of)) return { index: Number(index), of: Number(of) }
  throw new Fault(
    'FLAG_INVALID',
    `--shard is ${JSON.stringify(text)}.`,
    'Write 1/4 to 4/4 for the first to the fourth quarter.',
  )
}

/** The command line that shows one play again. */
function again(file: string, flags: RedteamFlags, { agent, seed }: Campaign, play: string): string {
  const { script, recorded, store, live } = flags
  const more = [
    ...(script === undefined ? [] : [` --script ${script}`]),
    ...(recorded === undefined ? [] : [` --recorded ${recorded.join(',')}${sameStore(store)}`]),
    ...(live ? [' --live'] : []),
  ].join('')
  return `signalbox redteam ${file} --agent ${agent} --seed ${seed}${more} --only '${play}'`
}

/** Tells how far it is: in one line of a terminal, else now and then. */
function teller(agent: string): (done: number, all: number, breaches: number) => void {
  const live = process.stderr.isTTY
  return (done, all, breaches) => {
    const line = `${agent}: ${done} of ${all} plays${breaches > 0 ? `, ${breaches} breaches` : ''}`
    if (live) process.stderr.write(`\r${line}${done === all ? '\n' : ''}`)
    else if (done % 100 === 0 && done < all) tell(line)
  }
}

function tellCampaign(ran: Campaign, repeat: (play: string) => string): void {
  const findings = findingsOf(ran)
  tell(table(matrixOf(ran)))
  for (const reason of reasonsOf(ran)) tell(`- ${reason}`)
  for (const finding of findings) {
    tell(paint(finding.severity === 'breach' ? 'red' : 'yellow', sayFinding(finding)))
    tell(`    ${repeat(finding.play)}`)
  }
  // Who asks for one play wants to see it.
  const [first] = findings
  if (ran.plays === 1 && first) for (const event of first.log) tell(say(event, 't') ?? `${event.seq} ${event.type}`)
}

/** A campaign for machines: logs are in the page. */
function jsonOf(ran: Campaign, repeat: (play: string) => string): object {
  const { cells, ...rest } = ran
  return {
    ...rest,
    findings: findingsOf(ran).map((finding) => ({ ...withoutLog(finding), again: repeat(finding.play) })),
    cells: cells.map(({ breaches, weaknesses, ...cell }) => ({
      ...cell,
      breaches: breaches.map(withoutLog),
      weaknesses: weaknesses.length,
    })),
  }
}

function withoutLog<T extends { readonly log: unknown }>({ log: _log, ...rest }: T): Omit<T, 'log'> {
  return rest
}

function write(flag: string, path: string, text: string): void {
  try {
    writeFileSync(resolve(path), text)
  } catch (thrown) {
    throw new Fault('FLAG_INVALID', `${flag} ${path} could not be written: ${messageOf(thrown)}.`, 'Check the path.', {
      cause: thrown,
    })
  }
}
