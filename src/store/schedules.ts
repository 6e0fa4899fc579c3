// The schedules in SQLite. They are no part of the log and do not follow from it: people say them, and each row remembers
// who did, why, and what has become of it, also when it was removed. Only what its tasks are given goes with it then.

import type { Json } from '../core/json.ts'
import type { Statements } from './statements.ts'
import type { NewSchedule, ScheduleChange, ScheduleRow } from './store.ts'

/** Schedules, on prepared statements. What writes is called inside a transaction. */
export class SqliteSchedules {
  readonly #sql: Statements

  constructor(sql: Statements) {
    this.#sql = sql
  }

  /** False when there is one of that name. */
  add(given: NewSchedule): boolean {
    if (this.#sql.schedule.get(given.name)) return false
    const { name, agent, cron, timezone, overlap, input, createdBy, createdAtMs, reason, nextAtMs } = given
    const body = JSON.stringify(input)
    this.#sql.insertSchedule.run(name, agent, cron, timezone, overlap, body, createdBy, createdAtMs, reason, nextAtMs)
    return true
  }

  /** False when there is none of that name. */
  remove(name: string, { by, reason, nowMs }: { by: string; reason: string; nowMs: number }): boolean {
    return this.#sql.removeSchedule.run(by, nowMs, reason, name).changes === 1
  }

  /** False when somebody else was first, or it was removed. */
  change({ id, version, progress }: ScheduleChange): boolean {
    const { nextAtMs, waiting, lastAtMs, lastTaskId, started, skipped, missed, failed, problem } = progress
    const { changes } = this.#sql.changeSchedule.run(
      nextAtMs,
      JSON.stringify(waiting),
      lastAtMs,
      lastTaskId,
      started,
      skipped,
      missed,
      failed,
      problem,
      id,
      version,
    )
    return changes === 1
  }

  /** By name, those that were removed first. */
  all({ dueMs = null, removed = false }: { dueMs?: number | null; removed?: boolean }): readonly ScheduleRow[] {
    return this.#sql.schedules.all({ dueMs, removed: Number(removed) }).map((row) => {
      const { input, waiting, ...rest } = row as unknown as Omit<ScheduleRow, 'input' | 'waiting'> & {
        input: string | null
        waiting: string
      }
      return {
        ...rest,
        input: input === null ? null : (JSON.parse(input) as Json),
        waiting: JSON.parse(waiting) as number[],
      }
    })
  }
}
