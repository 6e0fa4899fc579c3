// Says to the store, again and again, that a worker is there, so that people can see who works on it. It is for them alone:
// whose a task is, only leases say.

import { hostname } from 'node:os'
import type { Runtime } from './runtime.ts'
import type { Store, WorkerRow } from './store/store.ts'
import type { Worker } from './worker.ts'

/** What is said of a worker besides its pulse. */
export interface PresenceOptions {
  readonly store: Store
  readonly runtime: Runtime
  readonly worker: Worker
  readonly about: Pick<WorkerRow, 'agents' | 'queues' | 'concurrency'>
  readonly onFault: (fault: unknown) => void
}

/** How often a worker says that it is there, in ms. */
export const beatMs = 5_000

/** Says so until it is stopped. */
export class Presence {
  readonly #options: PresenceOptions
  readonly #startedAtMs: number
  #cancel: () => void = () => undefined
  #saying: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(options: PresenceOptions) {
    this.#options = options
    this.#startedAtMs = options.runtime.now()
  }

  /** Says it now, and from now on. */
  start(): void {
    this.#saying = this.#say().finally(() => {
      if (!this.#stopped) this.#cancel = this.#options.runtime.setTimer(beatMs, () => this.start())
    })
  }

  async #say(): Promise<void> {
    const { store, runtime, worker, about, onFault } = this.#options
    const { held, draining } = worker.pulse()
    const row: WorkerRow = {
      worker: worker.name,
      host: hostname(),
      pid: process.pid,
      ...about,
      held,
      status: draining ? 'draining' : 'working',
      startedAtMs: this.#startedAtMs,
      beatAtMs: runtime.now(),
    }
    await store.beat(row).catch(onFault)
  }

  /** The worker drains: says so once more, without waiting for it. */
  drains(): void {
    this.#cancel()
    this.#saying = this.#saying.then(() => this.#say())
  }

  /** The worker has gone. A store that cannot be told finds out. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancel()
    await this.#saying
    const { store, worker } = this.#options
    await store.leave(worker.name).catch(() => undefined)
  }
}
