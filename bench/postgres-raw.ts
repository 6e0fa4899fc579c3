// The limit that nothing on `pg` can pass: the very rows that a run left behind, written again into the same tables, each
// commit as one prepared statement, or many of them in a transaction that is sent at once.

import pg from 'pg'
import { openPostgres } from '../src/store/postgres/engine.ts'
import type { RawCommit } from './raw.ts'

const payloadColumns = ['taskId', 'seq', 'hash', 'salt', 'body']
const eventColumns = ['taskId', 'seq', 'atMs', 'type', 'data', 'costMicros', 'prevHash', 'hash']
const types: Readonly<Record<string, string>> = { seq: 'bigint', atMs: 'bigint', costMicros: 'bigint' }

/** Writes commits again, each list of them by a connection of its own, `group` of them a transaction. */
export async function writeInto(
  address: string,
  lists: readonly (readonly RawCommit[])[],
  group: number,
): Promise<{ readonly ms: number }> {
  await (await openPostgres(address)).close()
  const url = new URL(address)
  const options = `-c search_path=${url.searchParams.get('schema')}`
  url.search = ''
  const clients = lists.map(() => new pg.Client({ connectionString: url.href, options, pipeline: true }))
  await Promise.all(clients.map((client) => client.connect()))
  try {
    await clients[0]!.query('ALTER TABLE events DISABLE TRIGGER USER; ALTER TABLE payloads DISABLE TRIGGER USER')
    const hash = '0'.repeat(64)
    for (const id of new Set(lists.flat().map(({ events }) => events[0]!['taskId'])))
      await clients[0]!.query(
        `INSERT INTO tasks ("taskId", agent, version, definition, "startedBy", status, state, steps, turns, "inputTokens", "outputTokens", "costMicros", unpriced, erased, "startedAtMs", "updatedAtMs", seq, hash) VALUES ($1, 'bench', '1', $2, 'bench', 'running', 'work', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, $2)`,
        [id, hash],
      )
    const startedMs = performance.now()
    await Promise.all(clients.map((client, index) => writeAll(client, lists[index]!, group)))
    return { ms: performance.now() - startedMs }
  } finally {
    await Promise.all(clients.map((client) => client.end()))
  }
}

async function writeAll(client: pg.Client, commits: readonly RawCommit[], group: number): Promise<void> {
  for (let at = 0; at < commits.length; at += group) {
    const statements = commits.slice(at, at + group).map((commit, index) => statementOf(commit, at + index))
    if (group === 1) await client.query(statements[0]!)
    else
      await Promise.all([
        client.query('BEGIN'),
        ...statements.map((sent) => client.query(sent)),
        client.query('COMMIT'),
      ])
  }
}

function statementOf({ payloads, events }: RawCommit, count: number): pg.QueryConfig {
  const values: unknown[] = []
  const rowsOf = (rows: RawCommit['events'], columns: readonly string[]): string =>
    rows
      .map((row) => {
        const cells = columns.map((column) => {
          values.push(row[column])
          return `$${values.length}::${types[column] ?? 'text'}`
        })
        return `(${cells.join()})`
      })
      .join()
  const insert = (table: string, columns: readonly string[], rows: RawCommit['events']): string =>
    `${table}_ AS (INSERT INTO ${table} (${columns.map((column) => `"${column}"`).join()}) VALUES ${rowsOf(rows, columns)})`
  const parts = [
    ...(payloads.length > 0 ? [insert('payloads', payloadColumns, payloads)] : []),
    insert('events', eventColumns, events),
  ]
  const { atMs, seq, hash, taskId } = events.at(-1)!
  const first = values.length
  values.push(count, atMs, seq, hash, taskId)
  const text = `WITH ${parts.join()} UPDATE tasks SET steps = $${first + 1}, turns = $${first + 1}, "inputTokens" = $${first + 1}, "outputTokens" = $${first + 1}, "updatedAtMs" = $${first + 2}, seq = $${first + 3}, hash = $${first + 4} WHERE "taskId" = $${first + 5}`
  return { name: `w${payloads.length}-${events.length}`, text, values }
}
