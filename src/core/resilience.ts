// Whether a failed attempt is worth another, and when. The answer depends on the failure, on what was tried already, on
// the deadline and on the task's own seed: the same task told again waits the same times, and two tasks that fail
// together do not come back together.

import type { Failure, FailureClass } from './model.ts'

/** How a step is tried again. Durations are in milliseconds. */
export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number
  /** The shortest delay, and the longest. */
  readonly baseMs: number
  readonly capMs: number
}

/** Failures that pass: the same request may well succeed a little later. */
const passing: ReadonlySet<FailureClass> = new Set<FailureClass>([
  'rate-limit',
  'overload',
  'transport',
  'malformed',
  'error',
  'conflict',
])

/** A failed attempt, and what is known about the step. */
export interface Failed {
  readonly failure: Failure
  /** Failures of this step before this one, with the same model or tool. */
  readonly failures: number
  /** The delay before this attempt, in ms; 0 for the first. */
  readonly previousMs: number
  readonly deadlineAtMs: number
  readonly nowMs: number
  /** From 0 (included) to 1 (excluded). */
  readonly random: number
}

/** When to try again, and why then. */
export interface Retry {
  readonly delayMs: number
  readonly reason: 'jitter' | 'retry-after'
}

/**
 * Plans another try, or none. The delay is "decorrelated jitter" (Marc Brooker, AWS Architecture Blog, 2015): anywhere
 * between the base and three times the delay before, at most the cap; and never shorter than what the provider asked
 * for. A try that could not begin before the deadline is not planned.
 */
export function planRetry(policy: RetryPolicy, failed: Failed): Retry | undefined {
  const { failure, failures, previousMs, deadlineAtMs, nowMs, random } = failed
  if (!passing.has(failure.class) || failures + 1 >= policy.attempts) return undefined
  const widestMs = 3 * Math.max(policy.baseMs, previousMs)
  const jitterMs = Math.min(policy.capMs, Math.round(policy.baseMs + random * (widestMs - policy.baseMs)))
  const askedMs = failure.retryAfterMs ?? 0
  const retry: Retry =
    askedMs > jitterMs ? { delayMs: askedMs, reason: 'retry-after' } : { delayMs: jitterMs, reason: 'jitter' }
  return nowMs + retry.delayMs < deadlineAtMs ? retry : undefined
}

/**
 * A number from 0 to 1 that depends on the seed, the step and the attempt alone (mulberry32, Tommy Ettinger): the core's
 * only randomness, and it is the same whenever the task is told again.
 */
export function draw(seed: number, step: number, attempt: number): number {
  let a = (seed + Math.imul(step, 0x9e3779b1) + Math.imul(attempt, 0x85ebca6b)) | 0
  a = (a + 0x6d2b79f5) | 0
  let t = Math.imul(a ^ (a >>> 15), 1 | a)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
