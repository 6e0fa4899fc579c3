// The gates in SQLite: breakers and places, as the events say. Whether a commit may pass them is asked inside its own
// transaction, so two workers never both take the last place or both probe.

import type { Event } from '../core/event.ts'
import type { Statements } from './statements.ts'
import type { Commit } from './store.ts'

/** Who has not come this long after it was to be looked for has lost its turn: its worker is gone. */
const staleMs = 10_000

/** Breakers and places, on prepared statements. Every method is called inside a transaction. */
export class SqliteGates {
  readonly #sql: Statements

  constructor(sql: Statements) {
    this.#sql = sql
  }

  /** Undefined when the gates are as the commit was decided on; else the steps for which there is no place, and until when. */
  refusal({ events, gates, task }: Commit): ReadonlyMap<number, number> | undefined {
    const none = new Map<number, number>()
    const changed = new Set<string>()
    for (const { type, data } of events) {
      if (type !== 'breaker.changed' || changed.has(data.key)) continue
      changed.add(data.key)
      if (data.version !== ((this.#sql.breaker.get(data.key)?.['version'] ?? 0) as number) + 1) return none
    }
    if (!gates) return undefined
    for (const key of gates.admits) {
      // What this commit makes of a breaker itself is held to its version, above; the row is as it was before.
      if (changed.has(key)) continue
      const row = this.#sql.breaker.get(key)
      if (row && (row['status'] !== 'closed' || (row['pausedUntilMs'] as number) > gates.nowMs)) return none
    }
    const full = new Map<number, number>()
    for (const [index, take] of gates.takes.entries()) {
      // Those who come first in the same commit and do not wait yet are before this one all the same.
      const earlier = gates.takes.slice(0, index).filter(({ key }) => key === take.key)
      const before = earlier.filter(({ step }) => this.#statusOf(take.key, task.id, step) !== 'waiting').length
      const freed = events.filter(
        ({ type, data }) =>
          type === 'slot.freed' && data.key === take.key && this.#statusOf(data.key, task.id, data.step) === 'active',
      ).length
      const untilMs = this.#fullUntil(take, task.id, gates.nowMs, before, freed)
      if (untilMs !== undefined) full.set(take.step, untilMs)
    }
    return full.size > 0 ? full : undefined
  }

  #statusOf(key: string, taskId: string, step: number): string | undefined {
    return this.#sql.slot.get(key, taskId, step)?.['status'] as string | undefined
  }

  /** Until when there is no place for a call, with `before` others of its commit before it and `freed` places given back. */
  #fullUntil(
    { key, step, concurrency, rate }: NonNullable<Commit['gates']>['takes'][number],
    taskId: string,
    nowMs: number,
    before: number,
    freed: number,
  ): number | undefined {
    const mine = this.#sql.slot.get(key, taskId, step)
    const sinceMs = mine?.['status'] === 'waiting' ? (mine['atMs'] as number) : nowMs + 1
    const place = { key, taskId, step, atMs: sinceMs, staleMs: nowMs - staleMs }
    const ahead = before + (this.#sql.ahead.get(place)!['n'] as number)
    if (concurrency !== null) {
      const { n, untilMs } = this.#sql.activeSlots.get(key, nowMs) as { n: number; untilMs: number | null }
      if (n - freed + ahead >= concurrency) return Math.max(nowMs + 1, untilMs ?? nowMs + 1_000)
    }
    if (rate !== null) {
      const recent = this.#sql.recentlyBegun.all(key, nowMs - rate.periodMs, rate.calls)
      const begun = recent.map((row) => row['atMs'] as number)
      // The call that has to be forgotten before there is room: the one so many places back.
      const last = begun[Math.max(0, rate.calls - 1 - ahead)]
      if (begun.length + ahead >= rate.calls) return (last ?? nowMs) + rate.periodMs
    }
    return undefined
  }

  /** Writes what follows from an event. */
  write(event: Event): void {
    const { taskId, at } = event
    if (event.type === 'breaker.changed') {
      const { key, version, status, failures, untilMs, probe, pausedUntilMs } = event.data
      this.#sql.writeBreaker.run(key, version, status, failures, untilMs, probe, pausedUntilMs, taskId, event.seq)
    } else if (event.type === 'step.queued') {
      const { key, step, untilMs } = event.data
      this.#sql.queueSlot.run(key, taskId, step, at, untilMs)
    } else if (event.type === 'slot.taken') {
      const { key, step, concurrency, periodMs, untilMs } = event.data
      if (periodMs !== null) {
        this.#sql.forgetBegun.run(key, at - periodMs)
        this.#sql.begin.run(key, at, taskId, event.seq)
      }
      this.#sql.takeSlot.run(key, taskId, step, at, untilMs, concurrency, periodMs)
    } else if (event.type === 'slot.freed') {
      const { key, step } = event.data
      this.#sql.dropSlot.run(key, taskId, step)
    }
  }

  /**
   * Calls up those who wait: all when a breaker has closed or opened, else the first, as many as there may be room for. Also
   * when one begins to wait: the place that it was refused may have been given back before it stood in the queue.
   */
  wake(events: readonly Event[]): void {
    for (const { type, data, at: nowMs } of events) {
      if (type === 'breaker.changed' && data.status !== 'half-open') {
        this.#sql.wakeWaiting.run({ key: data.key, nowMs, room: -1 })
      } else if (type === 'slot.freed') {
        this.#sql.wakeWaiting.run({ key: data.key, nowMs, room: Math.max(1, this.#room(data.key, nowMs)) })
      } else if (type === 'step.queued' && data.reason === 'busy') {
        this.#sql.wakeWaiting.run({ key: data.key, nowMs, room: Math.max(0, this.#room(data.key, nowMs)) })
      }
    }
  }

  /** How many more calls a gate takes at once, as far as its rows say; 0 for one that only counts calls in a stretch of time. */
  #room(key: string, nowMs: number): number {
    const { n } = this.#sql.activeSlots.get(key, nowMs) as { n: number }
    const { concurrency, periodMs } = this.#sql.concurrency.get(key) as Record<string, number | null>
    return (concurrency ?? (periodMs === null ? 1 : n)) - n
  }
}
