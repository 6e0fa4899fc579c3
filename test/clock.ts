// A clock that stands still until everything that can happen now has happened, and then jumps to the next timer: hours pass
// in milliseconds, and every time in a log is exact.

import { onTestFinished } from 'vitest'
import type { Runtime } from '../src/runtime.ts'
import { openStore } from '../src/store/open.ts'
import type { Store } from '../src/store/store.ts'

export class VirtualClock implements Runtime {
  #nowMs = 1_700_000_000_000
  #number = 0
  #asked = 0
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

  /** Opens the store at an address for the running test. No time passes while it is asked for something, however long that takes. */
  async open(address: string): Promise<Store> {
    const store = await openStore(address, { runtime: this })
    onTestFinished(() => store.close())
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          const answer: unknown = value.apply(target, args)
          if (!(answer instanceof Promise)) return answer
          this.#asked += 1
          return answer.finally(() => (this.#asked -= 1))
        }
      },
    })
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
    for (let turn = 0; turn < 12 && !over(); turn = this.#asked > 0 ? 0 : turn + 1)
      await new Promise((wake) => setImmediate(wake))
    const next = [...this.#timers].sort((a, b) => a.atMs - b.atMs)[0]
    if (over() || !next) return
    this.#timers.delete(next)
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.callback()
  }
}
