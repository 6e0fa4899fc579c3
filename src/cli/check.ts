// `signalbox check FILE`: proves the machines of a file sound before they run, and says the worst that each can come to.

import type { Command } from 'commander'
import type { Agent } from '../core/agent.ts'
import { examine, type Examination } from '../core/check.ts'
import { sayMs } from '../core/duration.ts'
import { Fault, isFault } from '../core/fault.ts'
import { isObject } from '../core/json.ts'
import { familyOf, kindOf } from '../core/machine.ts'
import type { Known } from '../core/load.ts'
import type { Ceilings, Worst } from '../core/worst.ts'
import { loadPrices, loadWindows } from '../providers/prices.ts'
import { resolveModel } from '../providers/registry.ts'
import { holdAgainst, movesAll, tellAgainst } from './against.ts'
import { command, type Leave } from './command.ts'
import { loadModule, type Loaded } from './module.ts'
import { exitCodes, paint, printJson, table, tell } from './terminal.ts'

interface CheckFlags {
  against?: string
  store?: string
  json?: boolean
}

export function checkCommand(leave: Leave): Command {
  return command('check', 'prove the machines of a file sound before they run; exit 1 on an error')
    .argument('<file>', 'a TypeScript or JavaScript module that exports agents')
    .option(
      '--against <file>',
      'the file before: say whether running tasks of its agents can move to those of this one',
    )
    .option('--store <address>', 'with --against: also try it on the running tasks of this store, and write nothing')
    .action(async (file: string, flags: CheckFlags) => {
      const before = flags.against === undefined ? [] : (await loadModule(flags.against)).agents
      if (flags.store !== undefined && flags.against === undefined) {
        throw new Fault('FLAG_INVALID', '--store tells what would become of running tasks.', 'Give --against OLD, too.')
      }
      const loaded = await loadModule(file)
      const known = await knownOf(loaded)
      const checked = loaded.agents.map((agent) => {
        const examination = examine(agent, known, loaded.config.windows)
        tellExamination(agent, examination)
        return { name: agent.name, version: agent.version, ...examination }
      })
      const sound = checked.every(({ problems }) => problems.every(({ severity }) => severity !== 'error'))
      // What cannot run takes nothing over.
      const against = sound && flags.against !== undefined ? await holdAgainst(loaded.agents, before, flags.store) : []
      for (const one of against) tellAgainst(one)
      const ok = sound && movesAll(against)
      if (flags.json) printJson({ ok, agents: checked, ...(flags.against === undefined ? {} : { against }) })
      leave(ok ? exitCodes.well : exitCodes.badly)
    })
}

/** Prices and windows as a run would have them. A model that is nowhere to be found is not a reason not to check. */
async function knownOf({ agents, config: { models = {}, prices = {}, windows = {} } }: Loaded): Promise<Known> {
  const ids = new Map<string, string>()
  for (const name of new Set(agents.flatMap(familyOf).flatMap(modelNames))) {
    try {
      ids.set(name, (await resolveModel(name, { models, env: process.env })).modelId)
    } catch (thrown) {
      if (!isFault(thrown)) throw thrown
    }
  }
  const price = await loadPrices(prices, (name) => ids.get(name))
  return { price, window: await loadWindows(windows, (name) => ids.get(name)) }
}

function modelNames({ states }: Agent): readonly string[] {
  return Object.values(states ?? {}).flatMap((state) => {
    if (!isObject(state)) return []
    const names = kindOf(state) === 'model' ? state.model : []
    return [names ?? []].flat().filter((name) => typeof name === 'string')
  })
}

function tellExamination({ name, version }: Agent, { problems, worst }: Examination): void {
  const errors = problems.filter((problem) => problem.severity === 'error').length
  for (const { severity, code, place, problem, cure } of problems) {
    tell(`${paint(severity === 'error' ? 'red' : 'yellow', `${severity} ${code}`)} ${place}: ${problem} ${cure}`)
  }
  if (worst) tell(tableOf(worst))
  // Of what is no agent nobody knows either.
  const who = typeof version === 'string' ? `${name} v${version}` : `${name ?? 'The agent'}`
  tell(errors === 0 ? paint('green', `${who} is sound.`) : `${who} has ${errors} error${errors === 1 ? '' : 's'}.`)
}

function tableOf({ states, total, loops }: Worst): string {
  const asks = states.some((state) => state.asks)
  const isTeam = states.some(({ children }) => children > 0)
  const team = (cell: string): string[] => (isTeam ? [cell] : [])
  const rows = states.map((worst) => {
    const { state, visits, children } = worst
    return [state, String(visits), ...team(children.toLocaleString('en')), ...cells(worst, worst.asks)]
  })
  const figures = ['turns', 'steps', 'tokens', 'money', 'time', 'rests on the defaults of']
  const head = ['at worst', 'visits', ...team('children'), ...figures]
  const all = [head, ...rows, [isTeam ? 'the tree' : 'the task', '', ...team(''), ...cells(total, asks)]]
  const looped = loops.map(({ visits }) => {
    const bounds = visits.map(({ state, max, isDefault }) => `${state} ${max}${isDefault ? ' (default)' : ''}`)
    return `loop: ${bounds.join(', ')} visits`
  })
  const people = asks ? ['+ people: and however long people take who are asked.'] : []
  return [table(all), ...looped, ...people].join('\n')
}

function cells({ turns, steps, tokens, costMicros, durationMs, defaults }: Ceilings, asks: boolean): string[] {
  const time =
    durationMs === null ? (asks ? 'people' : 'until its time') : `${sayMs(durationMs)}${asks ? ' + people' : ''}`
  return [
    turns.toLocaleString('en'),
    steps.toLocaleString('en'),
    tokens.toLocaleString('en'),
    costMicros === null ? 'unknown' : `$${(costMicros / 1_000_000).toFixed(2)}`,
    time,
    defaults.join(', '),
  ]
}
