// A circuit breaker as a value: what is known about one model or tool, and what each outcome makes of it. Every worker
// of a store shares the value, so it says who is trying and until when; nothing here keeps time or state of its own.
// The states are those of M. Nygard, "Release It!" (2007): closed, open, half-open.

import { defaults } from './limits.ts'
import type { Failure, FailureClass } from './model.ts'

/** When a breaker opens, and for how long. */
export interface BreakerPolicy {
  /** Failures in a row that open it. */
  readonly failures: number
  /** How long it stays open before one call may probe, in ms. */
  readonly coolDownMs: number
}

/** What is known about one key. Times are milliseconds since 1970. */
export interface Breaker {
  readonly status: 'closed' | 'open' | 'half-open'
  /** Failures in a row. */
  readonly failures: number
  /** Open: when a probe may be made. Half-open: when the prober's lease ends, and another may probe. Closed: 0. */
  readonly untilMs: number
  /** Who may make the one call of a half-open breaker. */
  readonly probe: string | null
  /** The outside asked for quiet until then; 0 when it did not. */
  readonly pausedUntilMs: number
}

/** A breaker nothing is known about. */
export const closedBreaker: Breaker = { status: 'closed', failures: 0, untilMs: 0, probe: null, pausedUntilMs: 0 }

/** A breaker in its store: `version` counts its changes. */
export interface Gate {
  readonly version: number
  readonly breaker: Breaker
}

/** The gate that an event, or a row of the store, tells of. */
export function gateOf(told: Breaker & { readonly version: number }): Gate {
  const { version, status, failures, untilMs, probe, pausedUntilMs } = told
  return { version, breaker: { status, failures, untilMs, probe, pausedUntilMs } }
}

/** A gate nothing is known about. */
export const openGate: Gate = { version: 0, breaker: closedBreaker }

/** Why a call may not be made now. */
export type Closure = 'open' | 'probing' | 'paused'

/** Whether a call may be made: then the breaker as it is afterwards; else why not, and when to ask again. */
export type Admission =
  | { readonly admitted: true; readonly breaker: Breaker }
  | { readonly admitted: false; readonly reason: Closure; readonly untilMs: number }

/** Failures that tell nothing about the health of the other side: ours, the request's, or the account's. */
const counted: ReadonlySet<FailureClass> = new Set<FailureClass>([
  'overload',
  'transport',
  'timeout',
  'malformed',
  'error',
])

/** May `caller` make a call now? It becomes the probe of a breaker that has cooled down, until `probeUntilMs`. */
export function admit(breaker: Breaker, caller: string, nowMs: number, probeUntilMs: number): Admission {
  if (nowMs < breaker.pausedUntilMs) return { admitted: false, reason: 'paused', untilMs: breaker.pausedUntilMs }
  if (breaker.status === 'closed') return { admitted: true, breaker }
  if (nowMs < breaker.untilMs) {
    const reason = breaker.status === 'open' ? 'open' : 'probing'
    return { admitted: false, reason, untilMs: breaker.untilMs }
  }
  return { admitted: true, breaker: { ...breaker, status: 'half-open', untilMs: probeUntilMs, probe: caller } }
}

/** What a success makes of it. Of a breaker that is not closed only the probe's success says anything. */
export function succeeded(breaker: Breaker, caller: string): Breaker {
  const speaks = breaker.status === 'closed' || breaker.probe === caller
  return speaks && (breaker.status !== 'closed' || breaker.failures > 0) ? { ...breaker, ...healthy } : breaker
}

const healthy = { status: 'closed', failures: 0, untilMs: 0, probe: null } as const

/**
 * What a failure makes of it. Failures of a kind that tells nothing leave it as it is, but for a probe: then another
 * call may probe at once. A rate limit means that the other side is well and wants quiet.
 */
export function failed(
  breaker: Breaker,
  policy: BreakerPolicy,
  caller: string,
  failure: Pick<Failure, 'class' | 'retryAfterMs'>,
  nowMs: number,
): Breaker {
  const probing = breaker.status === 'half-open' && breaker.probe === caller
  if (failure.class === 'rate-limit') {
    const well = probing ? { ...breaker, ...healthy } : breaker
    const pausedUntilMs = Math.max(
      breaker.pausedUntilMs,
      nowMs + Math.min(failure.retryAfterMs ?? 0, defaults.pauseMaxMs),
    )
    return pausedUntilMs > nowMs ? { ...well, pausedUntilMs } : well
  }
  if (!counted.has(failure.class))
    return probing ? { ...breaker, status: 'open', untilMs: nowMs, probe: null } : breaker
  if (breaker.status !== 'closed' && !probing) return breaker
  const failures = breaker.failures + 1
  const opens = probing || failures >= policy.failures
  if (!opens) return { ...breaker, failures }
  return { ...breaker, status: 'open', failures, untilMs: nowMs + policy.coolDownMs, probe: null }
}
