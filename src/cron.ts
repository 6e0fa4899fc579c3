// When a cron expression comes round, in a timezone. The reading is croner's, summer time included; nothing here waits for
// a time, and none of croner's own timers is ever set.

import { Cron } from 'croner'
import { Fault, messageOf } from './core/fault.ts'
import { quoted } from './core/json.ts'

/** When something comes round. */
export interface Recurrence {
  /** Five fields from minute to weekday, or six with seconds in front, or a nickname such as `@daily`. */
  readonly cron: string
  /** A name of the IANA list. */
  readonly timezone: string
}

const lengthMax = 200

function read({ cron, timezone }: Recurrence): Cron {
  if (!isTimezone(timezone)) {
    throw new Fault(
      'SCHEDULE_INVALID',
      `${quoted(timezone)} is not a timezone.`,
      'Use a name of the IANA list, such as UTC or Europe/Berlin.',
    )
  }
  const invalid = (problem: string): Fault =>
    new Fault(
      'SCHEDULE_INVALID',
      `${quoted(cron)} is not a cron expression: ${problem}.`,
      "Write minute, hour, day, month and weekday, such as '0 8 * * 1-5'; with seconds, six fields.",
    )
  if (typeof cron !== 'string') throw invalid('it is no text')
  if (cron.length > lengthMax) throw new Fault('SCHEDULE_INVALID', 'The cron expression is too long.', 'Shorten it.')
  try {
    const parsed = new Cron(cron, { timezone, mode: '5-or-6-parts' })
    // A date would be an occurrence of its own.
    if (parsed.getOnce() === null) return parsed
  } catch (thrown) {
    throw invalid(
      messageOf(thrown)
        .replace(/^\w+: /, '')
        .replace(/\.$/, ''),
    )
  }
  throw invalid('it is a date')
}

function isTimezone(timezone: unknown): boolean {
  try {
    return typeof timezone === 'string' && new Intl.DateTimeFormat('en', { timeZone: timezone }).format() !== ''
  } catch {
    return false
  }
}

/** The next `count` occurrences after a time; fewer when there are no more. Throws SCHEDULE_INVALID. */
export function occurrencesAfter(recurrence: Recurrence, afterMs: number, count: number): readonly number[] {
  const cron = read(recurrence)
  const times: number[] = []
  for (let time: Date | null = new Date(afterMs); times.length < count;) {
    time = cron.nextRun(time)
    if (time === null) break
    times.push(time.getTime())
  }
  return times
}

/** The occurrences from one of them, `fromMs`, until a time, at most `max` of them, and the one after. Throws SCHEDULE_INVALID. */
export function occurrencesUntil(
  recurrence: Recurrence,
  { fromMs, untilMs, max }: { readonly fromMs: number; readonly untilMs: number; readonly max: number },
): { readonly times: readonly number[]; readonly nextAtMs: number | null } {
  const cron = read(recurrence)
  const times: number[] = []
  let next: Date | null = new Date(fromMs)
  while (next !== null && next.getTime() <= untilMs && times.length < max) {
    times.push(next.getTime())
    next = cron.nextRun(next)
  }
  return { times, nextAtMs: next?.getTime() ?? null }
}
