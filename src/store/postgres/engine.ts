// The engine on PostgreSQL. What decides who wins is the unique (task, sequence) key and the lock on a task's row, not an
// isolation level: a transaction locks what it is about to judge, in one order, and judges it then. A commit that has
// nothing to ask is one statement, and those of many tasks are one together; it says what it takes for granted, and if
// that does not hold it is done again, slowly.

import { systemRuntime, type Probe, type WritePoint } from '../../runtime.ts'
import type { Engine, WriteOptions } from '../engine.ts'
import { SqlStore, type SqlOptions } from '../sql-store.ts'
import type { Store } from '../store.ts'
import type { Tx } from '../tx.ts'
import { readAddress } from './connection.ts'
import { isBeaten, isGone, toFault } from './fault.ts'
import { Herald } from './herald.ts'
import { Lanes } from './lanes.ts'
import { migrate } from './migrate.ts'
import { Connections, loadPg } from './pool.ts'
import { askAlone, transact, type Mode } from './session.ts'

/** How to open a store in PostgreSQL. */
export interface PostgresOptions extends SqlOptions {
  /** Connections at most, besides the one that listens. Default 10. */
  readonly connections?: number
  /** How long a statement, a lock or a transaction that does nothing may take. Default: as the address says, or 30 s. */
  readonly timeoutMs?: number
  /** From 0 to 1: how long who was beaten waits, so that two do not meet again. */
  readonly random?: () => number
}

/** How often a transaction is tried while others are at the same rows. */
const triesMax = 20
const pauseMaxMs = 50

/** Opens the store at `postgres://…`, brought up to date. Throws PEER_MISSING or a Fault that starts with `STORE_`. */
export async function openPostgres(address: string, options: PostgresOptions = {}): Promise<Store> {
  const at = readAddress(address, options.timeoutMs)
  const pg = await loadPg()
  const connections = new Connections(pg, at, options.connections ?? 10)
  try {
    await connections.use((client) => migrate(client, at, options))
  } catch (thrown) {
    await connections.close()
    throw toFault(thrown, at.shown)
  }
  const herald = new Herald(pg, at, connections)
  return new SqlStore(new PostgresEngine(connections, herald, at.shown, options), at.shown, options.salt)
}

class PostgresEngine implements Engine {
  readonly tells = true
  readonly #connections: Connections
  readonly #herald: Herald
  readonly #lanes: Lanes
  readonly #probe: Probe
  readonly #shown: string
  readonly #random: () => number

  constructor(
    connections: Connections,
    herald: Herald,
    shown: string,
    { probe = () => undefined, random = systemRuntime.random }: PostgresOptions,
  ) {
    this.#connections = connections
    this.#herald = herald
    this.#shown = shown
    this.#probe = probe
    this.#random = random
    this.#lanes = new Lanes((work) => connections.use(work), probe)
  }

  async write<T>(point: WritePoint, body: () => Tx<T>, { assumed, steady = false }: WriteOptions<T> = {}): Promise<T> {
    try {
      if (assumed) {
        const written = await this.#lanes.write(point, assumed).catch((thrown: unknown) => {
          // Whether it was written is not known: who asked has to look.
          if (isGone(thrown)) throw thrown
          return refused
        })
        if (written !== refused) return written as T
      }
      return await this.#patiently(() => this.#transact(point, steady ? 'steady write' : 'write', body))
    } catch (thrown) {
      throw toFault(thrown, this.#shown)
    }
  }

  async #transact<T>(point: WritePoint, mode: Mode, body: () => Tx<T>): Promise<T> {
    this.#probe(point, 'before')
    const inside = (): void => this.#probe(point, 'inside')
    const result = await this.#connections.use((client) => transact(client, mode, body(), inside))
    this.#probe(point, 'after')
    return result
  }

  /** Again, when the database took everything back because others were at the same rows. */
  async #patiently<T>(attempt: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await attempt()
      } catch (thrown) {
        if (tries >= triesMax || !isBeaten(thrown)) throw thrown
      }
      const pauseMs = this.#random() * Math.min(pauseMaxMs, 2 ** tries)
      await new Promise((wake) => setTimeout(wake, pauseMs))
    }
  }

  async read<T>(body: () => Tx<T>, { steady = false }: { readonly steady?: boolean } = {}): Promise<T> {
    try {
      return await this.#connections.use((client) =>
        steady ? transact(client, 'steady read', body(), () => undefined) : askAlone(client, body()),
      )
    } catch (thrown) {
      throw toFault(thrown, this.#shown)
    }
  }

  /**
   * Takes dead rows out of the tables that hold payloads, or did. What was on their pages is overwritten as those fill up again; what the
   * write-ahead log and backups still hold is for whoever keeps them. A role that may not do it is only warned.
   */
  async wipe(): Promise<boolean> {
    try {
      return await this.#connections.use(async (client) => {
        let warned = false
        const hear = (): void => {
          warned = true
        }
        client.on('notice', hear)
        try {
          await client.query('VACUUM payloads, snapshots')
        } finally {
          client.off('notice', hear)
        }
        return !warned
      })
    } catch (thrown) {
      throw toFault(thrown, this.#shown)
    }
  }

  announce(taskIds: readonly string[]): void {
    this.#herald.announce(taskIds)
  }

  listen(heard: (taskIds: readonly string[]) => void): void {
    this.#herald.listen(heard)
  }

  async now(): Promise<number> {
    try {
      const text = 'SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS double precision) AS now'
      const { rows } = await this.#connections.use((client) => client.query<{ now: number }>({ name: 'now', text }))
      return rows[0]!.now
    } catch (thrown) {
      throw toFault(thrown, this.#shown)
    }
  }

  async close(): Promise<void> {
    await this.#lanes.idle()
    await this.#herald.close()
    await this.#connections.close()
  }
}

/** What was taken for granted does not hold, or the database would not have it as it was. */
const refused = Symbol('refused')
