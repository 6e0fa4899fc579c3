// The statements of a SQLite database, each prepared once, when it is needed first, and how a transaction that is a value is run on them: at once,
// because the database is in the process.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { statements, type Dialect, type StatementName } from '../statements.ts'
import { play, type Call, type Tx } from '../tx.ts'

const dialect: Dialect = {
  texts: (list) => `SELECT value FROM json_each(${list})`,
  isIn: (column, list) => `${column} IN (SELECT value FROM json_each(${list}))`,
  hold: () => '',
  holdFree: () => '',
  many: () => '',
  feed: {
    columns: 'rowid AS place',
    order: 'rowid',
    behind: "rowid >= ?2 AND (rowid, '', 0) > (?2, ?3, ?4)",
    settled: 'true',
  },
}

/** A statement, ready to run. Those that are for many writers only are not there. */
export type Prepared = (name: StatementName) => StatementSync | undefined

const texts = statements(dialect)

/** Prepares statements, each when it is asked for first. */
export function prepare(db: DatabaseSync): Prepared {
  const made = new Map<StatementName, StatementSync | undefined>()
  return (name) => {
    const known = made.get(name)
    if (known || texts[name] === '') return known
    const statement = db.prepare(texts[name])
    made.set(name, statement)
    return statement
  }
}

/** Prepares all of them now: what does not fit the tables is found before anything is done. Throws what SQLite throws. */
export function prepareAll(prepared: Prepared): void {
  for (const name of Object.keys(texts) as StatementName[]) prepared(name)
}

/** Runs a transaction to its end. Whoever calls has begun it, and commits it or not. */
export function runOn<T>(prepared: Prepared, tx: Tx<T>): T {
  return play(tx, (call) => answerTo(prepared, call))
}

function answerTo(prepared: Prepared, { name, params, want }: Call): unknown {
  const statement = prepared(name)
  if (!statement) return undefined
  if (want === 'one') return plain(statement.get(...params))
  if (want === 'all') return statement.all(...params).map(plain)
  const { changes } = statement.run(...params)
  return want === 'change' ? Number(changes) : undefined
}

function plain(row: Record<string, unknown> | undefined): unknown {
  return row === undefined ? undefined : { ...row }
}
