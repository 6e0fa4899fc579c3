// A fork is a new task that begins where another one was, at the beginning of a visit: with the context as it was then, an
// empty thread, a budget and a seed of its own. The other task stays as it is. What that one did outside stands, and the
// new one knows of it: nothing of that is done again unless a human agrees. Whoever forks needs no machine; with one, the
// new task goes on under that definition.

import { emit, type Draft } from './draft.ts'
import type { Effect } from './effect.ts'
import type { Event, EventData } from './event.ts'
import { assert, type Fault } from './fault.ts'
import { keyOf, type Json } from './json.ts'
import { join, labelled } from './label.ts'
import { resolveLimits, softTarget } from './limits.ts'
import type { Machine } from './machine.ts'
import { erasedIn, goneSince, invalid as pastInvalid } from './past.ts'
import { validate } from './schema.ts'
import { isEnded, type Past, type Task } from './task.ts'
import { enterAnew } from './transition.ts'

/** Something that was done outside, by the task that was forked or one below it; without a result: it may have been. */
export interface Deed {
  readonly task: string
  readonly step: number
  readonly tool: string
  readonly arguments: Json
  readonly result?: Json
  /** It was done in the visit that begins again, or later: where the new task goes its own way, it may want the same. */
  readonly since: boolean
}

/** What a task is forked with. */
export interface Fork {
  /** The task that is forked, as it stands now, and its first event. */
  readonly of: Task
  readonly started: EventData['task.started']
  /** The point where the new task begins, and how its visit began. */
  readonly past: Past
  readonly entered: EventData['state.entered'] & { readonly at: number }
  /** Version and definition that the task was pinned to at that point. */
  readonly pinned: Pick<EventData['task.started'], 'version' | 'definition'>
  /** What was asked for: an event, or a checkpoint. */
  readonly asked: number | string
  readonly deeds: readonly Deed[]
  readonly by: string
  readonly reason: string
  readonly seed: number
  /** The machine that the new task goes on with, and the hash of its definition. */
  readonly to?: { readonly machine: Machine; readonly definition: string }
}

/** The deeds of a task: what stands of what it did, and what is at work now. `lastStep`: what came later is done since. */
export function deedsOf(task: Task, lastStep: number): readonly Deed[] {
  const known = [...task.effects.values()].filter(({ undoneSeq, tool }) => undoneSeq === undefined && !isChild(tool))
  const at = [...task.open.values(), ...[...task.delayed.values()].map(({ step }) => step), ...task.doubts.values()]
  const open = at.flatMap((step) => (step.kind === 'tool' && step.effect && !task.effects.has(step.step) ? step : []))
  const deed = ({ step, tool, arguments: input, result }: Partial<Effect> & Pick<Effect, 'step' | 'tool'>): Deed => {
    const base = { task: task.id, step, tool, arguments: input ?? null, since: step > lastStep }
    return result === undefined ? base : { ...base, result }
  }
  return [...known, ...open].map(deed)
}

/** What a child did, its own log says. */
function isChild(tool: string): boolean {
  return tool.startsWith('agent ')
}

/** What of this was done, or may have been, that a call would do again; undefined: nothing. */
export function deedLike(task: Task, tool: string, input: Json): Deed | undefined {
  const deeds = task.fork?.deeds ?? []
  return deeds.find((deed) => deed.tool === tool && (deed.since || keyOf(deed.arguments) === keyOf(input)))
}

/** How the visit of a point began, and what its task was pinned to then, from the task's events. */
export function beginningAt(log: readonly Event[], { seq }: Past): Pick<Fork, 'started' | 'entered' | 'pinned'> {
  const [first] = log
  const entered = log[seq - 1]
  const pin = log.findLast(
    (event) => event.seq <= seq && (event.type === 'task.started' || event.type === 'task.migrated'),
  )
  assert(
    first?.type === 'task.started' && entered?.type === 'state.entered' && pin,
    'a point is the beginning of a visit',
  )
  const { version, definition } = pin.data as Fork['pinned']
  return { started: first.data, entered: { ...entered.data, at: entered.at }, pinned: { version, definition } }
}

/** The first events of a fork. Throws FORK_INVALID; then nothing was decided. */
export function fork(work: Draft, given: Fork): void {
  const { of, started, past, entered, pinned, asked, deeds, by, reason, seed, to } = given
  prove(of, past, entered)
  const { agent, limits, given: own = {}, onCancel } = started
  if (to) fit(of, past, to.machine)
  emit(work, 'task.started', {
    agent,
    version: to?.machine.version ?? pinned.version,
    definition: to?.definition ?? pinned.definition,
    input: {},
    by,
    limits: to ? resolveLimits(own, to.machine.limits) : limits,
    ...(Object.keys(own).length === 0 ? {} : { given: own }),
    seed,
    ...((to ? to.machine.onCancel : onCancel) === 'undo' ? { onCancel: 'undo' } : {}),
  })
  emit(work, 'task.forked', { from: of.id, seq: past.seq, asked, state: past.state, deeds, by, reason })
  for (const [key, { value, label }] of past.context) {
    const now = to ? join(label, to.machine.context.get(key)!.label) : label
    emit(work, 'context.written', { key, version: 1, value, source: 'fork', ...labelled(now) })
  }
  const node = to?.machine.states.get(past.state)
  if (node) {
    enterAnew(work, node, 1)
    return
  }
  const { at, deadlineAtMs, ...rest } = entered
  const ends = deadlineAtMs === undefined ? {} : { deadlineAtMs: work.nowMs + deadlineAtMs - at }
  emit(work, 'state.entered', { ...rest, visit: 1, ...ends })
}

function prove(task: Task, past: Past, { kind }: EventData['state.entered']): void {
  if (task.parent) {
    const cure = `Fork the root of its tree: signalbox fork ${task.parent.root} --at SEQ.`
    throw invalid(`Task ${task.id} is a child of ${task.parent.task}, which waits for it alone.`, cure)
  }
  if (kind === 'final') {
    const ends = isEnded(task) ? ` (it ended there: ${task.outcome})` : ''
    throw invalid(
      `The state ${past.state} is final${ends}: a task that begins there has ended.`,
      'Name an earlier event.',
    )
  }
  const erased = erasedIn(past)
  if (erased !== undefined)
    throw invalid(`What ${erased} was at event ${past.seq} has been erased.`, 'Name another event.')
  const gone = goneSince(task, past)
  if (!gone) return
  const what = `What step ${gone.step} (${gone.tool}) did before event ${past.seq} has been taken back at event ${gone.undoneSeq}.`
  throw invalid(what, 'Name an event before that step, or after that.')
}

/** Can the task go on in this machine from there? */
function fit(task: Task, { state, context }: Past, machine: Machine): void {
  const cure = 'Name another event, or fork without the file: then it goes on with the definition it was pinned to.'
  const node = machine.states.get(state)
  if (!node || node.kind === 'final') {
    throw invalid(`Version ${machine.version} of ${task.agent} has no state ${state} to go on in.`, cure)
  }
  const soft = softTarget(machine.limits)
  if (soft !== undefined && !machine.states.has(soft)) throw invalid(`There is no state ${soft}.`, cure)
  const unknown = [...context.keys()].find((key) => !machine.context.has(key))
  if (unknown !== undefined) throw invalid(`The context of version ${machine.version} has no key ${unknown}.`, cure)
  for (const { name, schema } of machine.context.values()) {
    const verdict = validate(schema, context.get(name)?.value)
    if (!verdict.ok) throw invalid(`${name} does not fit version ${machine.version}: ${verdict.problem}.`, cure)
  }
}

function invalid(what: string, next: string): Fault {
  return pastInvalid(what, next, 'FORK_INVALID')
}
