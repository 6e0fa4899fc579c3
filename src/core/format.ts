// What of a log this engine can read. A log outlives the engine that began it: an older engine that meets an event of a
// type that it does not know, or a log of a later format, cannot say what the task is, so it says nothing of it at all
// and leaves the task to a newer one. Nothing is passed over, and nothing is read in part.
//
// The rules that later engines keep: a new fact is a new type; a type never comes to mean something else, and its fields
// never do, unless the log's first event names a higher `format`; a log goes on in the format in which it began. A field
// that may be passed over may be added to any type.

import type { EventType } from './event.ts'

/** The format of the logs that this engine begins, and the highest that it reads. Format 1 is not said in a log. */
export const logFormat = 1

const types: Readonly<Record<EventType, true>> = {
  'task.started': true,
  'task.forked': true,
  'task.migrated': true,
  'state.entered': true,
  'context.written': true,
  'context.synced': true,
  'context.removed': true,
  'children.planned': true,
  'child.started': true,
  'child.ended': true,
  'child.calledOff': true,
  'budget.awaited': true,
  'links.removed': true,
  'label.weakened': true,
  'model.called': true,
  'model.answered': true,
  'model.failed': true,
  'tool.called': true,
  'tool.answered': true,
  'tool.failed': true,
  'tool.doubted': true,
  'function.called': true,
  'function.returned': true,
  'function.failed': true,
  'step.lost': true,
  'step.late': true,
  'step.refused': true,
  'step.queued': true,
  'window.cut': true,
  'slot.taken': true,
  'slot.freed': true,
  'breaker.changed': true,
  'transition.taken': true,
  'limit.reached': true,
  'limit.neared': true,
  'limit.raised': true,
  'deadline.passed': true,
  'wait.started': true,
  'signal.received': true,
  'signal.consumed': true,
  'human.asked': true,
  'human.escalated': true,
  'human.answered': true,
  'item.closed': true,
  'notice.sent': true,
  'notice.failed': true,
  'answer.refused': true,
  'payload.erased': true,
  'rollback.started': true,
  'effect.kept': true,
  'rollback.stopped': true,
  'task.rolledBack': true,
  'task.cancelled': true,
  'task.ended': true,
}

/** The types of events that this engine reads. */
export const known: ReadonlySet<string> = new Set(Object.keys(types))

/** What only a newer engine can read in an event, or undefined. `data` is the event's, as an object. */
export function newerIn(type: string, data: { readonly format?: unknown }): string | undefined {
  if (!known.has(type)) return `is a ${JSON.stringify(type)}`
  if (type !== 'task.started' || data.format === undefined || data.format === logFormat) return undefined
  return `begins a log of format ${JSON.stringify(data.format)}`
}
