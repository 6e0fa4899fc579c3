// The statements of a SQLite database, each prepared once, and how a transaction that is a value is run on them: at once,
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

/** The statements, ready to run. Those that are for many writers only are not there. */
export type Prepared = Readonly<Record<StatementName, StatementSync | undefined>>

/** Prepares every statement. */
export function prepare(db: DatabaseSync): Prepared {
  const texts = Object.entries(statements(dialect))
  return Object.fromEntries(texts.map(([name, text]) => [name, text === '' ? undefined : db.prepare(text)])) as Prepared
}

/** Runs a transaction to its end. Whoever calls has begun it, and commits it or not. */
export function runOn<T>(prepared: Prepared, tx: Tx<T>): T {
  return play(tx, (call) => answerTo(prepared, call))
}

function answerTo(prepared: Prepared, { name, params, want }: Call): unknown {
  const statement = prepared[name]
  if (!statement) return undefined
  if (want === 'one') return plain(statement.get(...params))
  if (want === 'all') return statement.all(...params).map(plain)
  const { changes } = statement.run(...params)
  return want === 'change' ? Number(changes) : undefined
}

function plain(row: Record<string, unknown> | undefined): unknown {
  return row === undefined ? undefined : { ...row }
}
