// The gates in a store: breakers and places, as the events say. Whether a commit may pass them is asked inside its own
// transaction, so two workers never both take the last place or both probe.

import type { Take } from '../core/draft.ts'
import type { Event, EventData } from '../core/event.ts'
import { noLimit } from './statements.ts'
import type { Commit } from './store.ts'
import { all, one, run, type Tx, type Write } from './tx.ts'

/** Who has not come this long after it was to be looked for has lost its turn: its worker is gone. */
const staleMs = 10_000

/** The gates at which a commit asks for room, gives some back, or changes a breaker. Nobody else does so at the same time. */
export function* holdGates({ events, gates }: Commit): Tx<void> {
  const keys = gates?.takes.map(({ key }) => key) ?? []
  for (const { type, data } of events) {
    if (type === 'breaker.changed' || type === 'slot.freed' || type === 'step.queued') keys.push(data.key)
  }
  if (keys.length === 0) return
  for (const key of [...new Set(keys)].sort()) yield* run('holdGate', key)
}

const noSteps: ReadonlyMap<number, number> = new Map()

/** Undefined when the gates are as the commit was decided on; else the steps for which there is no place, and until when. */
export function* gatesRefusal({ events, gates, task }: Commit): Tx<ReadonlyMap<number, number> | undefined> {
  const changed = new Set<string>()
  for (const { type, data } of events) {
    if (type !== 'breaker.changed' || changed.has(data.key)) continue
    changed.add(data.key)
    const row = yield* one<{ version: number }>('breaker', data.key)
    if (data.version !== (row?.version ?? 0) + 1) return noSteps
  }
  for (const { type, data, at } of events) {
    if (type !== 'step.queued' || data.reason === 'busy' || changed.has(data.key)) continue
    if (yield* isOutOfDate(data, at)) return noSteps
  }
  if (!gates) return undefined
  for (const key of gates.admits) {
    // What this commit makes of a breaker itself is held to its version, above; the row is as it was before.
    if (changed.has(key)) continue
    const row = yield* one<{ status: string; pausedUntilMs: number }>('breaker', key)
    if (row && (row.status !== 'closed' || row.pausedUntilMs > gates.nowMs)) return noSteps
  }
  if (gates.takes.length === 0) return undefined
  const full = new Map<number, number>()
  for (const [index, take] of gates.takes.entries()) {
    // Those who come first in the same commit and do not wait yet are before this one all the same.
    let [before, freed] = [0, 0]
    for (const { key, step } of gates.takes.slice(0, index)) {
      if (key === take.key && (yield* statusOf(key, task.id, step)) !== 'waiting') before += 1
    }
    for (const { type, data } of events) {
      if (type !== 'slot.freed' || data.key !== take.key) continue
      if ((yield* statusOf(data.key, task.id, data.step)) === 'active') freed += 1
    }
    const untilMs = yield* fullUntil(take, task.id, gates.nowMs, before, freed)
    if (untilMs !== undefined) full.set(take.step, untilMs)
  }
  return full.size > 0 ? full : undefined
}

/** Who would wait for what is over would not be called up: that was done before it stood in the queue. */
function* isOutOfDate({ key, reason }: EventData['step.queued'], nowMs: number): Tx<boolean> {
  const row = yield* one<{ status: string; pausedUntilMs: number }>('breaker', key)
  if (row && row.pausedUntilMs > nowMs) return false
  return !row || row.status === 'closed' || (reason === 'probing' && row.status === 'open')
}

function* statusOf(key: string, taskId: string, step: number): Tx<string | undefined> {
  return (yield* one<{ status: string }>('slot', key, taskId, step))?.status
}

/** Until when there is no place for a call, with `before` others of its commit before it and `freed` places given back. */
function* fullUntil(
  { key, step, concurrency, rate }: Take,
  taskId: string,
  nowMs: number,
  before: number,
  freed: number,
): Tx<number | undefined> {
  const mine = yield* one<{ status: string; atMs: number }>('slot', key, taskId, step)
  const sinceMs = mine?.status === 'waiting' ? mine.atMs : nowMs + 1
  const waiting = yield* one<{ n: number }>('ahead', key, nowMs - staleMs, sinceMs, taskId, step)
  const ahead = before + waiting!.n
  if (concurrency !== null) {
    const { n, untilMs } = (yield* one<{ n: number; untilMs: number | null }>('activeSlots', key, nowMs))!
    if (n - freed + ahead >= concurrency) return Math.max(nowMs + 1, untilMs ?? nowMs + 1_000)
  }
  if (rate !== null) {
    const begun = yield* all<{ atMs: number }>('recentlyBegun', key, nowMs - rate.periodMs, rate.calls)
    // The call that has to be forgotten before there is room: the one so many places back.
    const last = begun[Math.max(0, rate.calls - 1 - ahead)]
    if (begun.length + ahead >= rate.calls) return (last?.atMs ?? nowMs) + rate.periodMs
  }
  return undefined
}

/** The events of gates. */
type GateEvent = Extract<Event, { type: 'breaker.changed' | 'step.queued' | 'slot.taken' | 'slot.freed' }>

/** Is this about a gate? */
export function isOfGate(event: Event): event is GateEvent {
  const { type } = event
  return type === 'breaker.changed' || type === 'step.queued' || type === 'slot.taken' || type === 'slot.freed'
}

/** What follows from an event of a gate. */
export function gateWrites({ taskId, at, seq, type, data }: GateEvent): readonly Write[] {
  const { key } = data
  switch (type) {
    case 'breaker.changed': {
      const { version, status, failures, untilMs, probe, pausedUntilMs } = data
      return [['writeBreaker', key, version, status, failures, untilMs, probe, pausedUntilMs, taskId, seq]]
    }
    case 'step.queued':
      return [['queueSlot', key, taskId, data.step, at, data.untilMs]]
    case 'slot.taken': {
      const { step, concurrency, periodMs, untilMs } = data
      const take: Write = ['takeSlot', key, taskId, step, at, untilMs, concurrency, periodMs]
      if (periodMs === null) return [take]
      // Who was decided on before this, and is written down after it, is held against all that began before it.
      return [['forgetBegun', key, at - periodMs - staleMs], ['begin', key, at, taskId, seq], take]
    }
    case 'slot.freed':
      return [['dropSlot', key, taskId, data.step]]
  }
}

/**
 * Calls up those who wait: all when a breaker has closed or opened, else the first, as many as there may be room for. Also
 * when one begins to wait: the place that it was refused may have been given back before it stood in the queue.
 */
export function* wakeWaiting(events: readonly Event[]): Tx<void> {
  for (const { type, data, at: nowMs } of events) {
    if (type === 'breaker.changed' && data.status !== 'half-open') {
      yield* run('wakeWaiting', data.key, nowMs, noLimit)
    } else if (type === 'slot.freed') {
      yield* run('wakeWaiting', data.key, nowMs, Math.max(1, yield* room(data.key, nowMs)))
    } else if (type === 'step.queued' && data.reason === 'busy') {
      yield* run('wakeWaiting', data.key, nowMs, Math.max(0, yield* room(data.key, nowMs)))
    }
  }
}

/** How many more calls a gate takes at once, as far as its rows say; 0 for one that only counts calls in a stretch of time. */
function* room(key: string, nowMs: number): Tx<number> {
  const { n } = (yield* one<{ n: number }>('activeSlots', key, nowMs))!
  const { concurrency, periodMs } = (yield* one<Record<string, number | null>>('concurrency', key))!
  return (concurrency ?? (periodMs === null ? 1 : n)) - n
}
