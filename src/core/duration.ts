// A duration is written as a person says it ('20s', '5m') and kept as whole milliseconds.

import { Fault, messageOf } from './fault.ts'
import { quoted } from './json.ts'

/** Milliseconds, or a number with its unit: `'500ms'`, `'20s'`, `'5m'`, `'2h'`, `'1d'`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** The longest wait there is: timers beyond 2^31 - 1 ms fire at once, so jobs carry longer waits, up to a year. */
export const durationMaxMs = 366 * unitMs.d

/** Reads a duration. Throws DURATION_INVALID unless it is a whole, positive number of ms of at most a year. */
export function toMs(duration: Duration): number {
  const ms = typeof duration === 'number' ? duration : parse(duration)
  if (!Number.isSafeInteger(ms) || ms <= 0 || ms > durationMaxMs) {
    throw new Fault(
      'DURATION_INVALID',
      `${quoted(duration)} is not a duration.`,
      'Write a positive number with a unit, such as 500ms, 20s, 5m, 2h or 1d (at most 366d).',
    )
  }
  return ms
}

/** What is wrong with a duration, or undefined. */
export function durationProblem(duration: Duration): string | undefined {
  try {
    toMs(duration)
    return undefined
  } catch (thrown) {
    return messageOf(thrown)
  }
}

function parse(text: unknown): number {
  const match = typeof text === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) : null
  return match ? Math.round(Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]) : Number.NaN
}

/** A duration for people: `340 ms`, `4.2 s`, `3 min 5 s`. */
export function sayMs(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3_600)} h ${Math.floor((seconds % 3_600) / 60)} min`
}
