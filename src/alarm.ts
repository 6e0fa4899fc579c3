// A sleep that can be cut short: a loop looks at its queue now and then, and at once when it hears that there is news.

import type { Runtime } from './runtime.ts'

/** Sleeps for one loop at a time. */
export class Alarm {
  readonly #runtime: Runtime
  #wake: (() => void) | undefined

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** Fulfilled after `ms`, or when it rings. */
  async sleep(ms: number): Promise<void> {
    let cancel: () => void = () => undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      cancel = this.#runtime.setTimer(ms, resolve)
    })
    cancel()
    this.#wake = undefined
  }

  /** Wakes whoever sleeps; rings for nobody otherwise. */
  ring(): void {
    this.#wake?.()
  }
}
