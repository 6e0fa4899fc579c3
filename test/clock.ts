// A clock that stands still until everything that can happen now has happened, and then jumps to the next timer: hours pass
// in milliseconds, and every time in a log is exact.

import type { Runtime } from '../src/runtime.ts'

export class VirtualClock implements Runtime {
  #nowMs = 1_700_000_000_000
  #number = 0
  readonly #timers = new Set<{ atMs: number; callback: () => void }>()

  now(): number {
    return this.#nowMs
  }

  setTimer(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  id(): string {
    return `id-${(this.#number += 1)}`
  }

  random(): number {
    return 0.5
  }

  /** Lets time pass in which nobody was there. */
  advance(ms: number): void {
    this.#nowMs += ms
  }

  /** Waits for something while time passes as fast as it can. */
  async until<T>(awaited: Promise<T>): Promise<T> {
    let over = false
    const finish = (): void => void (over = true)
    awaited.then(finish, finish)
    while (!over) await this.step(() => over)
    return awaited
  }

  /** Lets everything happen that can happen now, unless it is `over` then, and jumps to the next timer. */
  async step(over: () => boolean = () => false): Promise<void> {
    // Commits and promises take turns of the real event loop, not of this clock.
    for (let turn = 0; turn < 12 && !over(); turn += 1) await new Promise((wake) => setImmediate(wake))
    const next = [...this.#timers].sort((a, b) => a.atMs - b.atMs)[0]
    if (over() || !next) return
    this.#timers.delete(next)
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.callback()
  }
}
