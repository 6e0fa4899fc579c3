// A clock that stands still until everything that can happen now has happened, and then jumps to the next timer: hours
// pass in milliseconds, and every time in a log is exact. Dice and identifiers come from one seed. What runs by it may be
// given a life of its own, which can be ended: nothing that it set a timer for happens any more.

import { draw } from './core/resilience.ts'
import type { Runtime } from './runtime.ts'
import { openStore } from './store/open.ts'
import type { Store } from './store/store.ts'

/** A runtime that can end, as a process does: without a word. */
export interface Life extends Runtime {
  /** From here on no timer of it calls back. */
  end(): void
  readonly ended: boolean
  /** Fulfilled when it ends. */
  readonly end$: Promise<void>
}

const beganAtMs = 1_700_000_000_000

/** A virtual clock. Without a seed its dice always fall in the middle. */
export class VirtualClock implements Runtime {
  #nowMs = beganAtMs
  #skewMs = 0
  #number = 0
  #drawn = 0
  #asked = 0
  readonly #seed: number | undefined
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>()

  constructor(seed?: number) {
    this.#seed = seed
  }

  now(): number {
    return this.#nowMs + this.#skewMs
  }

  /** How much time has passed, whatever the clock was set to meanwhile. */
  get elapsedMs(): number {
    return this.#nowMs - beganAtMs
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
    return this.#seed === undefined ? 0.5 : draw(this.#seed, (this.#drawn += 1), 1)
  }

  /** A runtime by this clock that can end before the clock does. */
  life(): Life {
    let finish: () => void = () => undefined
    let ended = false
    const end$ = new Promise<void>((resolve) => (finish = resolve))
    return {
      now: () => this.now(),
      id: () => this.id(),
      random: () => this.random(),
      setTimer: (ms, callback) => (ended ? () => undefined : this.setTimer(ms, () => ended || callback())),
      end: () => {
        ended = true
        finish()
      },
      get ended() {
        return ended
      },
      end$,
    }
  }

  /** Opens the store at an address. No time passes while it is asked for something, however long that takes. */
  async open(address: string): Promise<Store> {
    return this.holding(await openStore(address, { runtime: this }))
  }

  /** The same store; time stands still while it answers. */
  holding(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...args: unknown[]): unknown => {
          const answer: unknown = value.apply(target, args)
          return answer instanceof Promise ? this.hold(answer) : answer
        }
      },
    })
  }

  /** No time passes until this is settled: something real is waited for. */
  hold<T>(awaited: Promise<T>): Promise<T> {
    this.#asked += 1
    return awaited.finally(() => (this.#asked -= 1))
  }

  /** Lets time pass in which nobody was there. */
  advance(ms: number): void {
    this.#nowMs += ms
  }

  /** Sets what the clock shows forward or back. Timers do not notice, as those of a machine do not. */
  skew(ms: number): void {
    this.#skewMs += ms
  }

  /** Waits for something while time passes as fast as it can. */
  async until<T>(awaited: Promise<T>): Promise<T> {
    let over = false
    const finish = (): void => void (over = true)
    awaited.then(finish, finish)
    while (!over) await this.step(() => over)
    return awaited
  }

  /** Lets everything happen that can happen now, or until it is `over`. */
  async quiet(over: () => boolean = () => false): Promise<void> {
    // Commits and promises take turns of the real event loop, not of this clock.
    for (let turn = 0; turn < 12 && !over(); turn = this.#asked > 0 ? 0 : turn + 1)
      await new Promise((wake) => setImmediate(wake))
  }

  /** Lets everything happen that can happen now, unless it is `over` then, and jumps to the next timer. False: there is none. */
  async step(over: () => boolean = () => false): Promise<boolean> {
    await this.quiet(over)
    if (over()) return true
    let next: { readonly atMs: number; readonly callback: () => void } | undefined
    for (const timer of this.#timers) if (!next || timer.atMs < next.atMs) next = timer
    if (!next) return false
    this.#timers.delete(next)
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.callback()
    return true
  }
}
