// What the outside may be asked at once, and how often: of one model or one tool, by all tasks of a store together. And
// when it is left alone, because it fails.

import type { BreakerPolicy } from './breaker.ts'
import { toMs, type Duration } from './duration.ts'
import { isObject } from './json.ts'
import { defaults, isCeiling } from './limits.ts'

/** The bounds of one model or tool, over all workers of a store. */
export interface Quota {
  /** Calls at the same time. Default: as many as there are. Further calls wait their turn, first come, first served. */
  readonly concurrency?: number
  /** Calls that may begin in any stretch of time. Default: as many as there are. */
  readonly rate?: { readonly calls: number; readonly per: Duration }
  /** After how many failures in a row it is left alone, and for how long. Default: 5, and 30 s. */
  readonly breaker?: { readonly failures?: number; readonly coolDown?: Duration }
}

/** Bounds, ready. */
export interface Bounds {
  readonly concurrency: number | null
  readonly rate: { readonly calls: number; readonly periodMs: number } | null
  readonly breaker: BreakerPolicy
}

/** Makes a quota ready. Throws DURATION_INVALID. */
export function boundsOf({ concurrency, rate, breaker }: Quota): Bounds {
  return {
    concurrency: concurrency ?? null,
    rate: rate === undefined ? null : { calls: rate.calls, periodMs: toMs(rate.per) },
    breaker: {
      failures: breaker?.failures ?? defaults.breakerFailures,
      coolDownMs: breaker?.coolDown === undefined ? defaults.breakerCoolDownMs : toMs(breaker.coolDown),
    },
  }
}

/** What is wrong with a quota, or undefined. */
export function quotaProblem(quota: unknown): string | undefined {
  if (!isObject(quota)) return 'it is not an object'
  const { concurrency, rate, breaker } = quota as Quota
  for (const [field, value] of Object.entries({ rate, breaker })) {
    if (value !== undefined && !isObject(value)) return `${field} is not an object`
  }
  for (const [place, value, fields] of [
    ['rate', rate, ['calls', 'per']],
    ['breaker', breaker, ['failures', 'coolDown']],
  ] as const) {
    const unknown = Object.keys(value ?? {}).find((field) => !(fields as readonly string[]).includes(field))
    if (unknown !== undefined) return `${place} has no field ${unknown}, only ${fields.join(' and ')}`
  }
  const counts = { concurrency, 'rate.calls': rate?.calls, 'breaker.failures': breaker?.failures }
  for (const [field, value] of Object.entries(counts)) {
    if (value !== undefined && !isCeiling(value)) return `${field} is not a whole number from 1 to 1,000,000`
  }
  if (rate !== undefined && rate.calls === undefined) return 'rate.calls is missing'
  for (const [field, value] of Object.entries({ 'rate.per': rate?.per, 'breaker.coolDown': breaker?.coolDown })) {
    if (value === undefined && field === 'rate.per' && rate !== undefined) return 'rate.per is missing'
    try {
      if (value !== undefined) toMs(value)
    } catch {
      return `${field} is not a duration`
    }
  }
  return undefined
}
