// A store in memory, for trying out what rows would follow from events. Nothing of it is ever kept.

import { DatabaseSync } from 'node:sqlite'
import type { Tx } from '../tx.ts'
import { migrations } from './schema.ts'
import { prepare, runOn } from './statements.ts'

/** A place to try things out. */
export interface Scratch {
  /** Runs a transaction, and takes back what it wrote. */
  tryOut<T>(body: () => Tx<T>): T
  /** Gives the memory back. */
  close(): void
}

/** Makes an empty one. */
export function openScratch(): Scratch {
  const db = new DatabaseSync(':memory:')
  for (const { sql } of migrations) db.exec(sql)
  const prepared = prepare(db)
  return {
    tryOut(body) {
      db.exec('BEGIN')
      try {
        return runOn(prepared, body())
      } finally {
        db.exec('ROLLBACK')
      }
    },
    close: () => db.close(),
  }
}
