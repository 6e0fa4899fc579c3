// Time, timers, randomness and identifiers come into the engine through this one port, so that the same engine can
// run under another clock. Nothing else in the shell reads a clock or rolls dice.

import { randomUUIDv7 } from 'node:crypto'

/** The names of the places where the engine writes. Crash coverage is counted over them. */
export const writePoints = [
  'start',
  'claim',
  'permit',
  'settle',
  'rest',
  'renew',
  'release',
  'answer',
  'signal',
  'cancel',
  'erase',
  'checkpoint',
  'rollback',
  'schedule',
  'migrate',
] as const

/** One of the places where the engine writes. */
export type WritePoint = (typeof writePoints)[number]

/** Where a write stands: before its transaction, inside it, or after it but before the caller knows. */
export type WritePhase = 'before' | 'inside' | 'after'

/** Called at every write point; does nothing in production. */
export type Probe = (point: WritePoint, phase: WritePhase) => void

/** Where the shell gets what a core must be given. */
export interface Runtime {
  /** Milliseconds since 1970. */
  now(): number
  /** Calls back once after `ms`; returns how to take it back. */
  setTimer(ms: number, callback: () => void): () => void
  /** A new identifier, unique everywhere, later ones sorting behind earlier ones. */
  id(): string
  /** A number from 0 (included) to 1 (excluded). */
  random(): number
  /** Called at every write point; does nothing in production. */
  readonly probe?: Probe
}

// Node fires a longer timer at once; a long wait is a job with a time anyway, so an early look does no harm.
const timerMaxMs = 2 ** 31 - 1

/** The machine's own clock, timers and randomness. */
export const systemRuntime: Runtime = {
  now: () => Date.now(),
  setTimer(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(ms, 0), timerMaxMs))
    return () => clearTimeout(timer)
  },
  id: () => randomUUIDv7(),
  random: () => Math.random(),
}
