// The store's contract on SQLite, and what is SQLite's alone: files that are not ours, not whole, or not free.

import { DatabaseSync } from 'node:sqlite'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { start } from '../../src/core/start.ts'
import { draft, emit } from '../../src/core/draft.ts'
import { fold } from '../../src/core/fold.ts'
import { emptyTask } from '../../src/core/task.ts'
import { genesis } from '../../src/store/log.ts'
import { migrations } from '../../src/store/sqlite/schema.ts'
import { derivedTables } from '../../src/store/statements.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import { folder } from '../folder.ts'
import { contract } from './contract.ts'
import { familyContract } from './family.ts'
import { machine } from './history.ts'

contract('SQLite', async () => {
  const path = join(folder(), 'store.db')
  const store = await openSqlite(path)
  return { store, dump: () => dump(path) }
})

familyContract('SQLite', () => openSqlite(join(folder(), 'store.db')))

function dump(path: string): unknown {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const rows = (table: string): Record<string, unknown>[] =>
      db.prepare(`SELECT * FROM ${table} ORDER BY 1, 2, 3`).all()
    // Who waits before a gate is called up by whoever leaves it: earlier than its own log says, and only a hint.
    const queued = new Set(rows('slots').flatMap(({ taskId, status }) => (status === 'waiting' ? [taskId] : [])))
    const jobs = rows('jobs').map((job) => (queued.has(job['taskId']) ? { ...job, availableAtMs: 'when called' } : job))
    return { ...Object.fromEntries(derivedTables.map((table) => [table, rows(table)])), jobs }
  } finally {
    db.close()
  }
}

const path = (): string => join(folder(), 'store.db')
const commit = (taskId: string) => {
  const { events, task } = start(machine, { taskId, definition: 'd', input: { goal: 1 }, by: 'test', seed: 1 }, 1)
  return { point: 'start', head: genesis, events, task } as const
}

test('a new store is SQLite in WAL with synchronous=FULL, and says whose it is', async () => {
  const file = path()
  const store = await openSqlite(file)
  onTestFinished(() => store.close())
  const db = new DatabaseSync(file)
  expect(Object.values(db.prepare('PRAGMA journal_mode').get()!)).toEqual(['wal'])
  expect(Object.values(db.prepare('PRAGMA application_id').get()!)).toEqual([0x53474258])
  expect(
    db
      .prepare('SELECT version, checksum FROM migrations')
      .all()
      .map((row) => ({ ...row })),
  ).toEqual(migrations.map(({ version, checksum }) => ({ version, checksum })))
  db.close()
})

test('a store opened again has what was committed', async () => {
  const file = path()
  const store = await openSqlite(file)
  await store.commit(commit('t'))
  await store.close()
  const again = await openSqlite(file)
  onTestFinished(() => again.close())
  expect((await again.task('t'))!.seq).toBe(4)
  expect((await again.verify()).findings).toEqual([])
})

test('a payload is stored once, however often a task carries it', async () => {
  const file = path()
  const store = await openSqlite(file)
  onTestFinished(() => store.close())
  const { events, task } = start(
    machine,
    { taskId: 't', definition: 'd', input: { goal: 'same', last: 'same' }, by: 'test', seed: 1 },
    1,
  )
  await store.commit({ point: 'start', head: genesis, events, task })
  const db = new DatabaseSync(file)
  expect(db.prepare(`SELECT count(*) AS count FROM payloads WHERE body = '"same"'`).get()!['count']).toBe(1)
  db.close()
})

test('a payload that comes again is not stored again, and is read where it first was, also by another process', async () => {
  const file = path()
  const store = await openSqlite(file)
  await store.commit(commit('t'))
  const text = 'a long result '.repeat(100)
  for (let round = 0; round < 5; round += 1) {
    const events = await store.read('t')
    const work = draft(fold(emptyTask('t'), events), 5)
    emit(work, 'signal.received', { name: 'go', data: text, by: 'test' })
    const { seq, hash } = events.at(-1)!
    await store.commit({ point: 'signal', head: { seq, hash }, events: work.events, task: work.task })
  }
  await store.close()
  const again = await openSqlite(file)
  onTestFinished(() => again.close())
  const signals = (await again.read('t')).filter(({ type }) => type === 'signal.received')
  expect(signals.map(({ data }) => (data as { data: unknown }).data)).toEqual(Array.from({ length: 5 }, () => text))
  expect((await again.verify()).findings).toEqual([])
  const db = new DatabaseSync(file)
  expect(db.prepare('SELECT count(*) AS count FROM payloads WHERE length(body) > 1000').get()!['count']).toBe(1)
  db.close()
})

test.each([
  [
    'a file that is no database',
    (file: string) => writeFileSync(file, 'hello, this is a text and not a database at all'.repeat(50)),
    'STORE_NOT_OURS',
  ],
  [
    'a database of another program',
    (file: string) => foreign(file, 'CREATE TABLE users (id INTEGER)'),
    'STORE_NOT_OURS',
  ],
  [
    'a store of a newer version',
    (file: string) => foreign(file, 'CREATE TABLE x (y); PRAGMA application_id = 1397178968; PRAGMA user_version = 99'),
    'STORE_NEWER',
  ],
] as const)('%s is refused by name and left as it was', async (_, make, code) => {
  const file = path()
  make(file)
  const before = readFileSync(file)
  await expect(openSqlite(file)).rejects.toMatchObject({ code })
  expect(readFileSync(file).equals(before)).toBe(true)
})

test('a store of an earlier version is brought up to date, with all that is in it', async () => {
  const file = path()
  const [{ version, name, sql, checksum }] = migrations as [(typeof migrations)[number]]
  foreign(
    file,
    `CREATE TABLE migrations (version INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, appliedAtMs INTEGER NOT NULL) STRICT;
    ${sql} INSERT INTO migrations VALUES (${version}, '${name}', '${checksum}', 1);
    INSERT INTO checkpoints VALUES (1, 2, 3, 4, 'a', 'b', 'c', 'd'); PRAGMA application_id = 1397178968; PRAGMA user_version = 1`,
  )
  const store = await openSqlite(file)
  onTestFinished(() => store.close())
  expect(await store.schedules()).toEqual([])
  expect(await store.checkpoints()).toMatchObject([{ number: 1, root: 'b' }])
  await store.commit(commit('t'))
  expect((await store.verify()).findings).toEqual([])
})

test('a store whose migration is not the one we have is refused', async () => {
  const file = path()
  await (await openSqlite(file)).close()
  foreign(file, `UPDATE migrations SET checksum = 'other'`)
  await expect(openSqlite(file)).rejects.toMatchObject({ code: 'STORE_ALTERED' })
})

test('a folder that does not exist, or a store that is only to be looked at, is not made', async () => {
  await expect(openSqlite(join(folder(), 'no', 'store.db'))).rejects.toMatchObject({ code: 'STORE_MISSING' })
  await expect(openSqlite(path(), { create: false })).rejects.toMatchObject({ code: 'STORE_MISSING' })
})

test('a damaged store is a fault, at the latest when the damage is read', async () => {
  const file = path()
  const store = await openSqlite(file)
  for (let number = 0; number < 50; number += 1) await store.commit(commit(`t${number}`))
  await store.close()
  const bytes = readFileSync(file)
  bytes.fill(0x5a, 8_192, bytes.length)
  writeFileSync(file, bytes)
  const look = async (): Promise<unknown> => {
    const damaged = await openSqlite(file)
    onTestFinished(() => damaged.close())
    return damaged.verify()
  }
  await expect(look()).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
})

test('A38: a store that another process holds is waited for, without holding up this one', async () => {
  const file = path()
  const store = await openSqlite(file)
  onTestFinished(() => store.close())
  const other = new DatabaseSync(file)
  other.exec('BEGIN IMMEDIATE')
  let ticks = 0
  const ticking = setInterval(() => (ticks += 1), 5)
  setTimeout(() => other.exec('COMMIT'), 300)
  const committed = await store.commit(commit('t'))
  clearInterval(ticking)
  other.close()
  expect(committed.ok).toBe(true)
  expect(ticks).toBeGreaterThan(10)
})

test('A38: a store that stays locked is a fault after the time that was set, and nothing is written', async () => {
  const file = path()
  const store = await openSqlite(file, { lockTimeoutMs: 200 })
  onTestFinished(() => store.close())
  const other = new DatabaseSync(file)
  other.exec('BEGIN IMMEDIATE')
  await expect(store.commit(commit('t'))).rejects.toMatchObject({ code: 'STORE_LOCKED' })
  await expect(openSqlite(file, { lockTimeoutMs: 100 }).then((free) => free.close())).resolves.toBeUndefined()
  other.exec('COMMIT')
  other.close()
  expect(await store.task('t')).toBeUndefined()
  expect((await store.commit(commit('t'))).ok).toBe(true)
})

test('a store that cannot be written is a fault by name', async () => {
  const file = path()
  const store = await openSqlite(file)
  await store.commit(commit('t'))
  await store.close()
  const code = `
    import { chmodSync } from 'node:fs'
    import { dirname } from 'node:path'
    const { openStore } = await import(${JSON.stringify(new URL('../../dist/store/open.js', import.meta.url).href)})
    const { systemRuntime } = await import(${JSON.stringify(new URL('../../dist/runtime.js', import.meta.url).href)})
    chmodSync(${JSON.stringify(file)}, 0o444)
    chmodSync(dirname(${JSON.stringify(file)}), 0o555)
    if (process.getuid() === 0) { process.setgid(65534); process.setuid(65534) }
    try {
      const store = await openStore('sqlite:' + ${JSON.stringify(file)}, { runtime: systemRuntime })
      await store.claim({ worker: 'w', lease: 'l', leaseMs: 1000, limit: 1, definitions: ['d'], nowMs: Date.now() })
      console.log('written')
    } catch (thrown) { console.log(thrown.code ?? thrown) }
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', code])
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += String(chunk)))
  child.stderr.on('data', (chunk: Buffer) => (said += String(chunk)))
  await new Promise((ended) => child.once('close', ended))
  expect(said.trim()).toMatch(/^STORE_(READ_ONLY|MISSING)$/)
})

test('what is asked of a closed store is a fault', async () => {
  const store = await openSqlite(path())
  await store.close()
  await expect(store.commit(commit('t'))).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  await expect(store.task('t')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
})

function foreign(file: string, sql: string): void {
  const db = new DatabaseSync(file)
  db.exec(sql)
  db.close()
}
