// A store in memory, for trying out what rows would follow from events. Nothing of it is ever kept, so that one does for a
// process.

import { DatabaseSync } from 'node:sqlite'
import type { Tx } from '../tx.ts'
import { migrations } from './schema.ts'
import { prepare, runOn, type Prepared } from './statements.ts'

let scratch: { readonly db: DatabaseSync; readonly prepared: Prepared } | undefined

function open(): NonNullable<typeof scratch> {
  const db = new DatabaseSync(':memory:')
  for (const { sql } of migrations) db.exec(sql)
  return { db, prepared: prepare(db) }
}

/** Runs a transaction in an empty store, and takes back what it wrote. */
export function tryOut<T>(body: () => Tx<T>): T {
  const { db, prepared } = (scratch ??= open())
  db.exec('BEGIN')
  try {
    return runOn(prepared, body())
  } finally {
    // What ran out of memory has taken itself back.
    if (db.isTransaction) db.exec('ROLLBACK')
  }
}
