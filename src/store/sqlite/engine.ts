// The engine on SQLite: one file, one writer, WAL with synchronous=FULL. A transaction runs in one turn of the event loop,
// so nothing can come between its statements.

import type { DatabaseSync } from 'node:sqlite'
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Fault } from '../../core/fault.ts'
import type { Probe, WritePoint } from '../../runtime.ts'
import type { Engine } from '../engine.ts'
import { SqlStore, type SqlOptions } from '../sql-store.ts'
import type { Store } from '../store.ts'
import type { Tx } from '../tx.ts'
import { isBusy, toFault } from './fault.ts'
import { openFile } from './file.ts'
import { prepare, runOn, type Prepared } from './statements.ts'
import { Writer } from './writer.ts'

/** How to open a SQLite store. */
export interface SqliteOptions extends SqlOptions {
  /** How long to wait for another process that is writing. Default 10 s. */
  readonly lockTimeoutMs?: number
}

const wipePauseMs = 20

/** Opens a store at a path. Throws a Fault that starts with `STORE_` when it cannot be, and leaves the file as it was. */
export async function openSqlite(path: string, options: SqliteOptions = {}): Promise<Store> {
  const lockTimeoutMs = options.lockTimeoutMs ?? 10_000
  const untilMs = performance.now() + lockTimeoutMs
  const folder = dirname(resolve(path))
  if (path !== ':memory:' && !existsSync(path) && (options.create === false || !existsSync(folder))) {
    const cure = existsSync(folder)
      ? 'Check the address, or start a task to make one.'
      : `Make the folder ${folder} first.`
    throw new Fault('STORE_MISSING', `There is no store at ${path}.`, cure, { data: { path } })
  }
  for (;;) {
    try {
      const db = openFile(path, options.now ?? Date.now, options.migrated)
      const engine = new SqliteEngine(db, path, lockTimeoutMs, options.probe ?? (() => undefined))
      return new SqlStore(engine, path, options.salt)
    } catch (thrown) {
      if (!isBusy(thrown) || performance.now() >= untilMs) throw toFault(thrown, path)
      await new Promise((wake) => setTimeout(wake, 20))
    }
  }
}

class SqliteEngine implements Engine {
  readonly #db: DatabaseSync
  readonly #path: string
  readonly #prepared: Prepared
  readonly #writer: Writer
  readonly #lockTimeoutMs: number

  constructor(db: DatabaseSync, path: string, lockTimeoutMs: number, probe: Probe) {
    this.#db = db
    this.#path = path
    this.#prepared = prepare(db)
    this.#lockTimeoutMs = lockTimeoutMs
    this.#writer = new Writer(db, path, lockTimeoutMs, probe)
  }

  write<T>(point: WritePoint, body: () => Tx<T>): Promise<T> {
    return this.#writer.write(point, () => runOn(this.#prepared, body()))
  }

  async read<T>(body: () => Tx<T>, { steady = false }: { readonly steady?: boolean } = {}): Promise<T> {
    try {
      return steady ? this.#steadily(body) : runOn(this.#prepared, body())
    } catch (thrown) {
      throw toFault(thrown, this.#path)
    }
  }

  #steadily<T>(body: () => Tx<T>): T {
    this.#db.exec('BEGIN')
    try {
      return runOn(this.#prepared, body())
    } finally {
      this.#db.exec('COMMIT')
    }
  }

  /** Erased bytes are overwritten where they stood, but the write-ahead log still has them until it is emptied. */
  async wipe(): Promise<boolean> {
    const untilMs = performance.now() + this.#lockTimeoutMs
    for (;;) {
      if (this.#emptyWal()) return true
      if (performance.now() >= untilMs) return false
      await new Promise((wake) => setTimeout(wake, wipePauseMs))
    }
  }

  /** False while another process reads or writes. */
  #emptyWal(): boolean {
    try {
      return this.#db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()!['busy'] === 0
    } catch (thrown) {
      if (isBusy(thrown)) return false
      throw toFault(thrown, this.#path)
    }
  }

  /** Other processes look for themselves. */
  readonly tells = false

  announce(): void {}

  listen(): void {}

  async now(): Promise<undefined> {}

  async close(): Promise<void> {
    await this.#writer.idle()
    this.#db.close()
  }
}
