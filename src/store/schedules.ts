// The schedules in a store. They are no part of the log and do not follow from it: people say them, and each row remembers
// who did, why, and what has become of it, also when it was removed. Only what its tasks are given goes with it then.

import type { Json } from '../core/json.ts'
import { scheduleColumns } from './statements.ts'
import type { NewSchedule, ScheduleChange, ScheduleRow } from './store.ts'
import { all, change, one, run, type Tx } from './tx.ts'

/** False when there is one of that name. */
export function* addSchedule(given: NewSchedule): Tx<boolean> {
  if (yield* one('schedule', given.name)) return false
  const { name, agent, cron, timezone, overlap, input, createdBy, createdAtMs, reason, nextAtMs } = given
  const body = JSON.stringify(input)
  yield* run('insertSchedule', name, agent, cron, timezone, overlap, body, createdBy, createdAtMs, reason, nextAtMs)
  return true
}

/** False when there is none of that name. */
export function* removeSchedule(
  name: string,
  { by, reason, nowMs }: { by: string; reason: string; nowMs: number },
): Tx<boolean> {
  return (yield* change('removeSchedule', name, by, nowMs, reason)) === 1
}

/** False when somebody else was first, or it was removed. */
export function* changeSchedule({ id, version, progress }: ScheduleChange): Tx<boolean> {
  const { nextAtMs, waiting, lastAtMs, lastTaskId, started, skipped, missed, failed, problem } = progress
  const told = [nextAtMs, JSON.stringify(waiting), lastAtMs, lastTaskId, started, skipped, missed, failed, problem]
  return (yield* change('changeSchedule', id, version, ...told)) === 1
}

/** False when an id is taken, or the name of one that goes on; then nothing was written. */
export function* takeInSchedules(schedules: readonly ScheduleRow[]): Tx<boolean> {
  for (const { id, name, removedAtMs } of schedules)
    if (yield* one('scheduleOf', id, removedAtMs === null ? name : null)) return false
  for (const { input, waiting, removedAtMs, ...rest } of schedules) {
    const body = removedAtMs === null ? JSON.stringify(input) : null
    const row = { ...rest, removedAtMs, input: body, waiting: JSON.stringify(waiting) }
    yield* run('takeInSchedule', ...scheduleColumns.map((column) => row[column]))
  }
  return true
}

/** By name, those that were removed first. */
export function* schedulesOf({
  dueMs = null,
  removed = false,
}: {
  dueMs?: number | null
  removed?: boolean
}): Tx<readonly ScheduleRow[]> {
  type Stored = Omit<ScheduleRow, 'input' | 'waiting'> & { input: string | null; waiting: string }
  return (yield* all<Stored>('schedules', Number(removed), dueMs)).map(({ input, waiting, ...rest }) => ({
    ...rest,
    input: input === null ? null : (JSON.parse(input) as Json),
    waiting: JSON.parse(waiting) as number[],
  }))
}
