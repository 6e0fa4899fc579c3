// The limit that nothing on `node:sqlite` can pass: the very rows that a run left behind, written again into the same
// tables by prepared statements and nothing else. Two commits a turn, as the engine does, or many turns a commit.

import { DatabaseSync } from 'node:sqlite'
import { migrations } from '../src/store/sqlite/schema.ts'

/** A row of a table, by its columns. */
type Row = Readonly<Record<string, string | number | null>>

/** The rows of one commit, in the engine's order. */
export interface RawCommit {
  readonly events: readonly Row[]
  readonly payloads: readonly Row[]
}

/** Reads a store's turns as the commits that they were. */
export function readCommits(path: string, taskId?: string): readonly RawCommit[] {
  const db = new DatabaseSync(path, { readOnly: true })
  const events = db.prepare('SELECT * FROM events ORDER BY rowid').all() as Row[]
  const payloads = db.prepare('SELECT taskId, seq, hash, salt, body FROM payloads').all() as Row[]
  db.close()
  return groupCommits(
    events.filter((event) => taskId === undefined || event['taskId'] === taskId),
    payloads,
  )
}

const turns: ReadonlySet<unknown> = new Set(['model.answered', 'tool.called', 'tool.answered', 'model.called'])
const begins: ReadonlySet<unknown> = new Set(['model.answered', 'tool.answered'])

/** The commits that rows came from: an answer with its tool call, a tool's answer with the next turn. */
export function groupCommits(events: readonly Row[], payloads: readonly Row[]): readonly RawCommit[] {
  const placeOf = (row: Row, hash: unknown): string => `${row['taskId']} ${row['seq']} ${String(hash)}`
  const bodies = new Map(payloads.map((row) => [placeOf(row, row['hash']), row]))
  const open = new Map<unknown, { events: Row[]; payloads: Row[] }>()
  const commits: { events: Row[]; payloads: Row[] }[] = []
  for (const event of events) {
    if (!turns.has(event['type'])) continue
    if (begins.has(event['type'])) {
      const begun = { events: [], payloads: [] }
      commits.push(begun)
      open.set(event['taskId'], begun)
    }
    const commit = open.get(event['taskId'])
    if (!commit) continue
    commit.events.push(event)
    for (const [, hash] of (event['data'] as string).matchAll(/"\$payload":"(\w+)"/g)) {
      const payload = bodies.get(placeOf(event, hash))
      if (payload) commit.payloads.push(payload)
    }
  }
  return commits
}

/** Writes commits again, `group` of them a transaction. Answers with the ms it took. */
export function writeRaw(path: string, commits: readonly RawCommit[], group: number): number {
  const db = new DatabaseSync(path)
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -65536',
  )
  for (const { sql } of migrations) db.exec(sql)
  for (const { name } of db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`).all() as {
    name: string
  }[])
    db.exec(`DROP TRIGGER ${name}`)
  const task = db.prepare(
    `INSERT INTO tasks (taskId, agent, version, definition, startedBy, status, state, steps, turns, inputTokens, outputTokens, costMicros, unpriced, erased, startedAtMs, updatedAtMs, seq, hash) VALUES (?, 'bench', '1', ?, 'bench', 'running', 'work', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?)`,
  )
  const hash = '0'.repeat(64)
  for (const id of new Set(commits.map(({ events }) => events[0]!['taskId']!))) task.run(id, hash, hash)
  const event = db.prepare(
    'INSERT INTO events (taskId, seq, atMs, type, data, costMicros, prevHash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  )
  const payload = db.prepare('INSERT INTO payloads (taskId, seq, hash, salt, body) VALUES (?, ?, ?, ?, ?)')
  const update = db.prepare(
    'UPDATE tasks SET steps = ?, turns = ?, inputTokens = ?, outputTokens = ?, updatedAtMs = ?, seq = ?, hash = ? WHERE taskId = ?',
  )
  const startedMs = performance.now()
  for (let at = 0; at < commits.length; at += group) {
    db.exec('BEGIN IMMEDIATE')
    for (const { events, payloads } of commits.slice(at, at + group)) {
      for (const row of payloads) payload.run(row['taskId']!, row['seq']!, row['hash']!, row['salt']!, row['body']!)
      for (const row of events)
        event.run(
          row['taskId']!,
          row['seq']!,
          row['atMs']!,
          row['type']!,
          row['data']!,
          row['costMicros']!,
          row['prevHash']!,
          row['hash']!,
        )
      const last = events.at(-1)!
      update.run(at, at, at, at, last['atMs']!, last['seq']!, last['hash']!, last['taskId']!)
    }
    db.exec('COMMIT')
  }
  const ms = performance.now() - startedMs
  db.close()
  return ms
}
