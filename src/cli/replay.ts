// `signalbox replay TASK FILE`: decides a task anew from its log, with the agent as it is in FILE, and names the first event
// that would be another. Nothing is called: no model, no tool, no network.

import { readFileSync, statSync } from 'node:fs'
import type { Command } from 'commander'
import type { Difference, Side } from '../core/divergence.ts'
import { Fault, messageOf } from '../core/fault.ts'
import { head } from '../core/json.ts'
import type { Machine } from '../core/machine.ts'
import { redactor } from '../core/redact.ts'
import { replay, type Replay } from '../core/replay.ts'
import { readToTell } from '../outfit.ts'
import { knownValues } from '../secrets.ts'
import { eventsOf } from '../store/export.ts'
import type { LoggedEvent } from '../store/store.ts'
import { storeCommand, withStore, type Leave } from './command.ts'
import { loadModule } from './module.ts'
import { exitCodes, paint, printJson, tell } from './terminal.ts'
import { unplug } from './unplug.ts'

export function replayCommand(leave: Leave): Command {
  return storeCommand(
    'replay',
    'decide a task anew from its log, with nothing called; exit 1 where it would go otherwise',
  )
    .argument('<task>', 'the id of a task in the store, or a file that signalbox export wrote')
    .argument('<file>', 'the module with its agent, as it is today')
    .action(async (task: string, file: string, flags: { store?: string; json?: boolean }) => {
      const log = await readLog(task, flags.store)
      const { agents, config } = await loadModule(file)
      const { patterns = [] } = config.redact ?? {}
      const redact = redactor({ secrets: knownValues(config.secrets ?? {}), patterns })
      const { machines, terms } = await readToTell({ agents, ...config }, redact)
      const [definition, machine] = machineOf(log, machines, file)
      const tried = unplug()
      const told = replay(machine, log, terms)
      const changed = pinnedTo(log) !== definition
      say(told, log, machine, changed)
      if (tried() > 0) tell(paint('yellow', `Calls that were tried and refused: ${tried()}.`))
      if (flags.json) {
        const { name: agent, version } = machine
        printJson({ taskId: log[0]!.taskId, agent, version, changed, ...told, divergence: told.divergence ?? null })
      }
      leave(told.verdict === 'same' ? exitCodes.well : exitCodes.badly)
    })
}

/** The events of a task, from a store or from a file of that name. Throws TASK_UNKNOWN, EXPORT_INVALID or LOG_NEWER. */
export async function readLog(task: string, store: string | undefined): Promise<readonly LoggedEvent[]> {
  if (statSync(task, { throwIfNoEntry: false })?.isFile()) {
    const { readExport } = await import('../store/import.ts')
    return eventsOf(readExport(readText(task)))
  }
  return withStore(store, async (box) => {
    const log = await box.store.read(task)
    if (log.length > 0) return log
    const cure = 'List them: signalbox tasks; or name a file that signalbox export wrote.'
    throw new Fault('TASK_UNKNOWN', `There is no task ${task} in this store, and no such file.`, cure)
  })
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    throw new Fault('EXPORT_INVALID', `${file} cannot be read: ${messageOf(thrown)}.`, 'Check the path.')
  }
}

/** The agent of a log, as a file has it now, with the hash of its definition. Throws AGENT_UNKNOWN. */
function machineOf(
  log: readonly LoggedEvent[],
  machines: ReadonlyMap<string, { readonly agent: string; readonly machine: Machine }>,
  file: string,
): readonly [string, Machine] {
  const [first] = log
  const name = first?.type === 'task.started' ? first.data.agent : ''
  const found = [...machines].find(([, { agent }]) => agent === name)
  if (found) return [found[0], found[1].machine]
  const known = [...machines.values()].map(({ agent }) => agent).join(', ')
  throw new Fault('AGENT_UNKNOWN', `${file} has no agent ${name}, which the task is of.`, `It has: ${known}.`)
}

/** The definition that a task is pinned to at the end of its log. */
function pinnedTo(log: readonly LoggedEvent[]): string | undefined {
  const last = log.findLast(({ type }) => type === 'task.started' || type === 'task.migrated')
  return last && 'definition' in last.data ? last.data.definition : undefined
}

// ---- For people ----------------------------------------------------------------------------------------------------

const differencesMax = 8

function say(told: Replay, log: readonly LoggedEvent[], { name, version }: Machine, changed: boolean): void {
  const { verdict, events, decided, from, divergence, erased } = told
  const { taskId } = log[0]!
  const who = `${name} v${version} (${changed ? 'another definition than it was started with' : 'the definition it is pinned to'})`
  const forked = log[1]?.type === 'task.forked' ? ` for task ${log[1].data.from}, or` : ''
  if (from > 1) tell(`Events 1 to ${from - 1} were decided${forked} by another definition, and are taken as they are.`)
  if (erased.length > 0) tell(`What was erased is not known, at ${places(erased)}; it is held against nothing.`)
  if (divergence === undefined) {
    tell(
      `${paint('green', 'the same')}: ${taskId}, by ${who}: ${decided} of ${events} events decided anew, nothing called.`,
    )
  } else {
    const { seq, state, step, attempt, logged, decided: anew, differences, why } = divergence
    const place = step === undefined ? '' : `, step ${step}${attempt === undefined ? '' : `, attempt ${attempt}`}`
    const word = verdict === 'untold' ? 'cannot be told' : 'not the same'
    tell(`${paint('red', word)}: ${taskId}, by ${who}, from event ${seq} on (state ${state || '-'}${place}):`)
    tell(`  in the log  ${side(logged)}`)
    tell(`  decided now ${side(anew)}${why === undefined ? '' : ` (${why})`}`)
    for (const difference of differences.slice(0, differencesMax)) tell(`    ${line(difference)}`)
    if (differences.length > differencesMax) tell(`    and ${differences.length - differencesMax} more; all: --json`)
    if (verdict === 'untold') tell('It may hang on what was erased.')
  }
  const children = log.flatMap((event) => (event.type === 'child.started' ? event.data.child : []))
  if (children.length > 0) tell(`Each of its ${children.length} children has a log of its own: ${children[0]}, …`)
}

function places(erased: readonly number[]): string {
  const shown = erased.slice(0, 5).join(', ')
  return `event${erased.length === 1 ? '' : 's'} ${shown}${erased.length > 5 ? ', …' : ''}`
}

function side(told: Side | null): string {
  return told === null ? 'nothing' : `${told.type} ${head(JSON.stringify(told.data), 300)}`
}

function line({ path, logged, decided }: Difference): string {
  const value = (of: Difference['logged']): string => (of === undefined ? 'nothing' : head(JSON.stringify(of), 200))
  return `${path}: ${value(logged)} → ${value(decided)}`
}
