// The one writer of a SQLite file. Writes that are asked for in the same turn of the event loop share one transaction:
// each checks before it writes, so one that is refused leaves the others alone, and one that fails is tried apart. While
// another process is writing, this one waits by a timer and not in the database, so that nothing else stands still.

import type { DatabaseSync } from 'node:sqlite'
import type { Probe, WritePoint } from '../../runtime.ts'
import { isBusy, toFault } from './fault.ts'

interface Write {
  readonly point: WritePoint
  readonly body: () => unknown
  readonly resolve: (value: any) => void
  readonly reject: (reason: unknown) => void
}

/** The longest group: bounds how long a commit holds the event loop. */
const groupMax = 512
const busyWaitMs = 5

/** Writes to a database, in groups. */
export class Writer {
  readonly #db: DatabaseSync
  readonly #path: string
  readonly #lockTimeoutMs: number
  readonly #probe: Probe
  #queue: Write[] = []
  #scheduled = false
  #busySinceMs: number | undefined

  constructor(db: DatabaseSync, path: string, lockTimeoutMs: number, probe: Probe) {
    this.#db = db
    this.#path = path
    this.#lockTimeoutMs = lockTimeoutMs
    this.#probe = probe
  }

  /** Runs `body` in a transaction, perhaps together with others. Fulfilled when it is durable; all of it or nothing. */
  write<T>(point: WritePoint, body: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#queue.push({ point, body, resolve, reject })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    const group = this.#queue.slice(0, groupMax)
    if (group.length === 0) return
    for (const { point } of group) this.#probe(point, 'before')
    try {
      this.#db.exec('BEGIN IMMEDIATE')
    } catch (thrown) {
      if (isBusy(thrown) && this.#waitForLock()) return
      this.#queue.splice(0, group.length)
      for (const { reject } of group) reject(toFault(thrown, this.#path))
      if (this.#queue.length > 0) this.#schedule()
      return
    }
    this.#busySinceMs = undefined
    this.#queue.splice(0, group.length)
    if (this.#queue.length > 0) this.#schedule()
    this.#commitGroup(group)
  }

  /** Another process is writing: comes back a little later, without holding up the event loop. */
  #waitForLock(): boolean {
    const nowMs = performance.now()
    this.#busySinceMs ??= nowMs
    if (nowMs - this.#busySinceMs >= this.#lockTimeoutMs) {
      this.#busySinceMs = undefined
      return false
    }
    this.#scheduled = true
    setTimeout(() => this.#flush(), busyWaitMs)
    return true
  }

  #commitGroup(group: readonly Write[]): void {
    const results: unknown[] = []
    try {
      for (const { point, body } of group) {
        results.push(body())
        this.#probe(point, 'inside')
      }
      this.#db.exec('COMMIT')
    } catch (thrown) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      // One bad write must not take the others with it: each gets a transaction of its own.
      if (group.length > 1) for (const write of group) this.#commitAlone(write)
      else group[0]!.reject(toFault(thrown, this.#path))
      return
    }
    for (const { point } of group) this.#probe(point, 'after')
    for (const [index, write] of group.entries()) write.resolve(results[index])
  }

  #commitAlone(write: Write): void {
    try {
      this.#db.exec('BEGIN IMMEDIATE')
    } catch (thrown) {
      write.reject(toFault(thrown, this.#path))
      return
    }
    this.#commitGroup([write])
  }

  /** Fulfilled when everything that was asked for is written, or has failed. */
  async idle(): Promise<void> {
    while (this.#queue.length > 0 || this.#scheduled) await new Promise((wake) => setImmediate(wake))
  }
}
