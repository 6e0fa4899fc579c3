// A point in a task's past, and what it takes to go back there. A point is the beginning of a visit: whatever event is
// asked for, the task comes back to the beginning of the visit that it was in then, because there the context is whole,
// and what a model had said and done within the visit is not shown to it again. So what was done in that visit before
// the event counts as done since.

import { emit, type Draft } from './draft.ts'
import { standing, type Effect } from './effect.ts'
import { isErased } from './erasure.ts'
import type { Event, EventData, Restored } from './event.ts'
import { Fault } from './fault.ts'
import { keyOf } from './json.ts'
import { labelled } from './label.ts'
import { evolve } from './fold.ts'
import { emptyTask, ownsContext, pastOf, type Kept, type Past, type Task } from './task.ts'

/** What a rollback will do. */
export interface Plan {
  /** The event that it goes back to, the beginning of a visit, and the state that was entered then. */
  readonly to: number
  readonly state: string
  /** What will be taken back, in this order. */
  readonly undo: readonly Effect[]
  /** What cannot be, and needs a human's yes: no `undo`, or it is erased, or not known, what was done. */
  readonly without: readonly Effect[]
}

/** What is wrong with a point, for whoever goes there. */
type Wrong = 'ROLLBACK_INVALID' | 'FORK_INVALID'

/** The point that an event lies in, from the task's events up to it. Throws ROLLBACK_INVALID, or as `wrong` says. */
export function pastAt(taskId: string, events: readonly Event[], to: number, wrong?: Wrong): Past {
  const task = emptyTask(taskId)
  let past: Past | undefined
  for (const event of events) {
    if (event.seq > to) break
    evolve(task, event)
    if (event.type === 'state.entered') past = pastOf(task, event.data.checkpoint)
  }
  if (!Number.isSafeInteger(to) || to < 1 || task.seq < to) {
    throw invalid(
      `Task ${taskId} has no event ${to}.`,
      `Its events are 1 to ${task.seq}: signalbox log ${taskId}.`,
      wrong,
    )
  }
  if (!past) throw invalid(`At event ${to} task ${taskId} had not entered a state.`, 'Name a later event.', wrong)
  if (task.rollback) {
    throw invalid(
      `At event ${to} task ${taskId} was on its way back.`,
      'Name an event before or after that rollback.',
      wrong,
    )
  }
  return past
}

/** The last time that the task passed a checkpoint. Throws ROLLBACK_INVALID, or as `wrong` says. */
export function checkpointOf({ id, checkpoints }: Task, name: string, wrong?: Wrong): Past {
  const past = checkpoints.findLast(({ checkpoint }) => checkpoint === name)
  if (past) return past
  const known = [...new Set(checkpoints.map(({ checkpoint }) => checkpoint))].join(', ')
  throw invalid(
    `Task ${id} has not passed a checkpoint ${JSON.stringify(name)}.`,
    known === '' ? 'It has passed none; name an event by its number.' : `It has passed: ${known}.`,
    wrong,
  )
}

/** Can it be taken back: does the tool know how, and is it known, and not erased, what was done? */
export function isUndoable({ undoable, arguments: input, result }: Effect): boolean {
  return undoable && result !== undefined && !isErased(result) && !isErased(input)
}

/** A key whose value at this point has been erased: the context cannot be as it was then. */
export function erasedIn({ context }: Past): string | undefined {
  return [...context].find(([, { value }]) => isErased(value))?.[0]
}

/** What going back there means, as far as is known now. */
export function planOf(task: Task, { seq, state, lastStep }: Past): Plan {
  const effects = standing(task.effects, lastStep)
  const undo = effects.filter(isUndoable)
  return { to: seq, state, undo, without: effects.filter((effect) => !isUndoable(effect)) }
}

/**
 * An effect that was there at this point and was taken back later: the task cannot be as it was then. Only on a branch
 * that a rollback has left are there such points.
 */
export function goneSince({ effects }: Task, { seq, lastStep }: Past): Effect | undefined {
  return [...effects.values()].find(({ step, undoneSeq }) => step <= lastStep && (undoneSeq ?? 0) > seq)
}

/** Why a rollback begins. */
export type Cause = Pick<EventData['rollback.started'], 'asked' | 'by' | 'reason' | 'exit' | 'ends'>

/** Records that the task goes back, and all that it takes to get there. */
export function goBack(work: Draft, past: Past, cause: Cause): Plan {
  const { task } = work
  const plan = planOf(task, past)
  const { asked, by, reason, exit, ends } = cause
  emit(work, 'rollback.started', {
    to: past.seq,
    asked,
    state: past.state,
    lastStep: past.lastStep,
    undo: plan.undo.map(({ step }) => step),
    without: plan.without.map(({ step }) => step),
    restore: restored(task, past.context),
    remove: [...task.context.keys()].filter((key) => !past.context.has(key) && isItsOwn(task, key)),
    by,
    reason,
    ...(exit === undefined ? {} : { exit }),
    ...(ends === undefined ? {} : { ends }),
  })
  return plan
}

/** What another task has written since, only whoever they share the context of may set back. */
export function isItsOwn(task: Task, key: string): boolean {
  return ownsContext(task) || task.context.get(key)?.writer === undefined
}

function restored(task: Task, then: ReadonlyMap<string, Kept>): readonly Restored[] {
  const changed = [...then].filter(([key, kept]) => !isSame(task.context.get(key), kept) && isItsOwn(task, key))
  return changed.map(([key, { value, label }]) => ({ key, value, ...labelled(label) }))
}

/** The same value under the same label, whenever it was written. */
function isSame(now: Kept | undefined, then: Kept): boolean {
  if (now === undefined || now.version === then.version) return now !== undefined
  const { trust, privacy } = now.label
  return trust === then.label.trust && privacy === then.label.privacy && keyOf(now.value) === keyOf(then.value)
}

/** A rollback, or a fork, that cannot be. */
export function invalid(what: string, next: string, wrong: Wrong = 'ROLLBACK_INVALID'): Fault {
  return new Fault(wrong, `${what} Nothing was written.`, next)
}
