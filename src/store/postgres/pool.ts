// The connections of a store: made when they are needed, a few at most, and never the end of the process when one is lost.

import type { Pool, PoolClient } from 'pg'
import type * as Pg from 'pg'
import { Fault } from '../../core/fault.ts'
import type { Address } from './connection.ts'
import { isGone } from './fault.ts'

/** Whole numbers are numbers: what we count stays far below 2^53. */
const int8 = 20

/** Loads `pg`. Throws PEER_MISSING. */
export async function loadPg(): Promise<typeof Pg> {
  try {
    return (await import('pg')).default as unknown as typeof Pg
  } catch (thrown) {
    throw new Fault(
      'PEER_MISSING',
      'A store in PostgreSQL needs the package pg, which is not installed.',
      'Install it: npm install pg@8.23.',
      { cause: thrown },
    )
  }
}

/** Connections to one database. */
export class Connections {
  readonly #pool: Pool

  constructor(pg: typeof Pg, { config }: Address, max: number) {
    const types = {
      getTypeParser: (oid: number, format?: 'text' | 'binary') =>
        oid === int8 ? Number : pg.types.getTypeParser(oid, format),
    }
    this.#pool = new pg.Pool({ ...config, max, types })
    // A server that goes away says so to idle connections too. Whoever needs one next finds out by itself.
    this.#pool.on('error', () => undefined)
    this.#pool.on('connect', (client) => client.on('error', () => undefined))
  }

  /** Lends a connection for as long as something is done with it. Throws what `pg` throws. */
  async use<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    let client: PoolClient | undefined
    let lost = false
    try {
      client = await this.#pool.connect()
      return await work(client)
    } catch (thrown) {
      lost = isGone(thrown)
      throw thrown
    } finally {
      client?.release(lost)
    }
  }

  /** Closes all that are not lent, and the others when they come back. */
  close(): Promise<void> {
    return this.#pool.end()
  }
}
