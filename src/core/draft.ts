// A draft is a task and the events that were decided for it but are not in the log yet. Each event is folded in as it
// is decided, so the next decision sees it. The caller appends the events and goes on, or throws the whole draft away.

import type { Event, EventData, EventType, Fact } from './event.ts'
import { evolve, type Task } from './task.ts'

/** A task on its way forward. */
export interface Draft {
  readonly task: Task
  /** The time of every event decided in this draft, in ms since 1970. */
  readonly nowMs: number
  readonly events: Event[]
}

/** Opens a draft on a task. The task belongs to the draft from here on. */
export function draft(task: Task, nowMs: number): Draft {
  return { task, nowMs, events: [] }
}

/** Decides one event. `costMicros` is what it cost, in millionths of a dollar; null when a price is unknown. */
export function emit<Type extends EventType>(
  draft: Draft,
  type: Type,
  data: EventData[Type],
  costMicros: number | null = 0,
): void {
  const { task } = draft
  const fact = { type, data, at: draft.nowMs, costMicros } as Fact
  const event: Event = { ...fact, taskId: task.id, seq: task.seq + 1 }
  evolve(task, event)
  draft.events.push(event)
}
