// A draft is a task and the events that were decided for it but are not in the log yet. Each event is folded in as it
// is decided, so the next decision sees it. The caller appends the events and goes on, or throws the whole draft away.

import type { Event, EventData, EventType, Fact } from './event.ts'
import type { Pricing } from './price.ts'
import { evolve, type Task } from './task.ts'

/** What is known outside of the task: values and pure functions, so that the core asks nobody. */
export interface Terms {
  readonly price: Pricing
}

/** Terms under which nothing is known: no prices. */
export const noTerms: Terms = { price: () => null }

/** A task on its way forward. */
export interface Draft {
  readonly task: Task
  /** The time of every event decided in this draft, in ms since 1970. */
  readonly nowMs: number
  readonly terms: Terms
  readonly events: Event[]
}

/** Opens a draft on a task. The task belongs to the draft from here on. */
export function draft(task: Task, nowMs: number, terms: Terms = noTerms): Draft {
  return { task, nowMs, terms, events: [] }
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
