// What may be said to a task from outside: an answer, a signal, a cancellation. Each is judged against the task as it
// stands and becomes an event, or a Fault that says why not. None of them needs the machine, so anyone who can reach
// the store can speak; what follows from it is decided by the next worker.

import { emit, type Draft } from './draft.ts'
import { Fault } from './fault.ts'
import type { Json } from './json.ts'
import { raisable, type RaisableLimit } from './limits.ts'
import { fail } from './permission.ts'
import { closedBreaker, type Gate } from './breaker.ts'
import { isEnded } from './task.ts'
import { end } from './transition.ts'

/** A human's decision about an inbox item. */
export interface HumanAnswer {
  /** One of the item's options. */
  readonly decision: string
  readonly by: string
  readonly reason: string
  /** What the decision hands over, where it takes something. */
  readonly data?: Json
}

/** Records a decision. Throws ITEM_CLOSED or DECISION_UNKNOWN. */
export function answer(work: Draft, item: string, given: HumanAnswer): void {
  const open = work.task.item
  const expired = open?.expiresAtMs !== undefined && work.nowMs >= open.expiresAtMs
  if (!open || open.item !== item || open.answer || expired) {
    const why =
      expired && open?.item === item ? 'has expired' : open?.item === item ? 'is answered already' : 'is no longer open'
    throw new Fault(
      'ITEM_CLOSED',
      `Item ${item} ${why}; nothing was written.`,
      `See what is open: signalbox inbox; and what came of it: signalbox log ${work.task.id}.`,
    )
  }
  if (!open.options.includes(given.decision)) {
    throw new Fault(
      'DECISION_UNKNOWN',
      `${JSON.stringify(given.decision)} is not a decision of item ${item}.`,
      `Decide one of: ${open.options.join(', ')}.`,
    )
  }
  const { decision, by, reason, data } = given
  if (decision === 'raise' && open.limit !== undefined && data !== undefined) proveRaise(work, open.limit, data)
  emit(
    work,
    'human.answered',
    data === undefined ? { item, decision, by, reason } : { item, decision, by, reason, data },
  )
}

/** A ceiling may only be raised, and to something that can be counted. */
function proveRaise({ task }: Draft, limit: RaisableLimit, data: Json): void {
  const field = raisable[limit]
  const before = task.limits[field] ?? 0
  const entries = typeof data === 'object' && data !== null ? Object.entries(data) : []
  const [[name, max] = []] = entries
  if (entries.length === 1 && name === field && Number.isSafeInteger(max) && (max as number) > before) return
  throw new Fault(
    'INPUT_INVALID',
    `${JSON.stringify(data)} does not raise ${field}.`,
    `Give a whole number above ${before}: {"${field}": ${before * 2}}; or no data, to add what the task had at its start.`,
  )
}

/** Something the outside tells a task. */
export interface Signal {
  readonly name: string
  readonly data: Json
  readonly by: string
  /** Two signals of one name with the same key count once. */
  readonly key?: string
}

/** Records a signal; one that nobody waits for yet is kept. False when its key was seen before. Throws TASK_ENDED. */
export function signal(work: Draft, given: Signal): boolean {
  refuseEnded(work, 'be signalled')
  const { name, data, by, key } = given
  if (key !== undefined && work.task.signalKeys.has(`${name}\n${key}`)) return false
  emit(work, 'signal.received', key === undefined ? { name, data, by } : { name, data, by, key })
  return true
}

/** Ends a task because a human said so. Throws TASK_ENDED. */
export function cancel(work: Draft, given: { readonly by: string; readonly reason: string }): void {
  refuseEnded(work, 'be cancelled')
  // What is being asked of a model now is called off, and paid for all the same.
  for (const step of work.task.open.values()) {
    if (step.kind === 'model') fail(work, step, { class: 'abort', message: 'The task was cancelled.' })
  }
  emit(work, 'task.cancelled', { by: given.by, reason: given.reason })
  end(work, 'cancelled', 'cancelled')
}

/** Closes the breaker of a model or tool because a human said so. The log of the task that changed it last tells it. */
export function resetBreaker(
  work: Draft,
  key: string,
  { version }: Gate,
  given: { readonly by: string; readonly reason: string },
): void {
  const { by, reason } = given
  emit(work, 'breaker.changed', { key, version: version + 1, ...closedBreaker, by, reason })
}

function refuseEnded({ task }: Draft, what: string): void {
  if (!isEnded(task)) return
  throw new Fault(
    'TASK_ENDED',
    `Task ${task.id} has ended (${task.outcome}) and cannot ${what}.`,
    `See how: signalbox log ${task.id}.`,
  )
}
