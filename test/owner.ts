// Whoever owns the database of a store and goes past us: runs SQL beside the store, on either engine. It is written as
// SQLite takes it; names are put in quotes where PostgreSQL wants them.

import { DatabaseSync } from 'node:sqlite'
import { Client, types } from 'pg'
import { quoted } from '../src/store/postgres/dialect.ts'

export type Row = Record<string, unknown>

/** Runs statements, and gives the rows of the last. */
export type Sql = (text: string) => Promise<Row[]>

/** Does something with a connection of its own to the database of a store. */
export async function asOwner<T>(address: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  return address.startsWith('sqlite:') ? inFile(address.slice('sqlite:'.length), work) : inServer(address, work)
}

/** Takes away what keeps the log from being changed: for good in a file, and for this connection in a server. */
export async function withoutTriggers<T>(address: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  return asOwner(address, async (sql) => {
    if (address.startsWith('sqlite:')) {
      for (const { name } of await sql(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`))
        await sql(`DROP TRIGGER ${String(name)}`)
    } else await sql('SET session_replication_role = replica')
    return work(sql)
  })
}

async function inFile<T>(path: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const db = new DatabaseSync(path)
  try {
    return await work(async (text) => {
      if (!/;\s*\S/.test(text)) return db.prepare(text).all()
      db.exec(text)
      return []
    })
  } finally {
    db.close()
  }
}

async function inServer<T>(address: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  const url = new URL(address)
  const schema = url.searchParams.get('schema')!
  url.searchParams.delete('schema')
  const client = new Client({
    connectionString: url.href,
    options: `-c search_path=${schema}`,
    types: { getTypeParser: (id, format) => (id === 20 ? Number : types.getTypeParser(id, format)) as never },
  })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(async (text) => [await client.query<Row>(quoted(text))].flat().at(-1)!.rows)
  } finally {
    await client.end()
  }
}
