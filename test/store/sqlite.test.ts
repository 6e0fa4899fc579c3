// The store's contract on SQLite, and what is SQLite's alone: files that are not ours, not whole, or not to be written. What
// every engine meets is in opening.test.ts.

import { DatabaseSync } from 'node:sqlite'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { start } from '../../src/core/start.ts'
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

function foreign(file: string, sql: string): void {
  const db = new DatabaseSync(file)
  db.exec(sql)
  db.close()
}
