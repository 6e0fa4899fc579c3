// What many worlds came to, counted.

import type { Violation } from '../../src/redteam/evidence.ts'

/** What one seed came to, as it is told to whoever counts. */
export interface Told {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly events: number
  readonly tasks: number
  readonly elapsedMs: number
  readonly struck: readonly (readonly [string, number])[]
}

/** What many seeds came to. */
export class Tally {
  seeds = 0
  events = 0
  tasks = 0
  /** Time that has passed in all worlds together. */
  elapsedMs = 0
  readonly struck = new Map<string, number>()
  readonly failed: Told[] = []

  add(told: Told): void {
    this.seeds += 1
    this.events += told.events
    this.tasks += told.tasks
    this.elapsedMs += told.elapsedMs
    for (const [kind, count] of told.struck) this.struck.set(kind, (this.struck.get(kind) ?? 0) + count)
    if (told.violations.length > 0) this.failed.push(told)
  }
}
