// A store that is there: opened again, met by another version, held by somebody else, not to be written. On each engine;
// what only a file or only a server can meet is in sqlite.test.ts and postgres.test.ts.

import { expect, onTestFinished, test as once } from 'vitest'
import { draft, emit } from '../../src/core/draft.ts'
import { fold } from '../../src/core/fold.ts'
import { start } from '../../src/core/start.ts'
import { emptyTask } from '../../src/core/task.ts'
import { systemRuntime } from '../../src/runtime.ts'
import { genesis } from '../../src/store/log.ts'
import { openStore } from '../../src/store/open.ts'
import { openPostgres } from '../../src/store/postgres/engine.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import type { Store } from '../../src/store/store.ts'
import { address, engine, opened, test } from '../engines.ts'
import { asOwner } from '../owner.ts'
import { machine } from './history.ts'

const commit = (taskId: string, input: object = { goal: 1 }) => {
  const { events, task } = start(machine, { taskId, definition: 'd', input, by: 'test', seed: 1 }, 1)
  return { point: 'start', head: genesis, events, task } as const
}

/** A store whose requests are given up soon when somebody holds what they need. */
async function impatient(at: string, ms: number): Promise<Store> {
  const opening = at.startsWith('sqlite:')
    ? openSqlite(at.slice('sqlite:'.length), { lockTimeoutMs: ms })
    : openPostgres(at, { timeoutMs: ms })
  const store = await opening
  onTestFinished(() => store.close())
  return store
}

/** Holds all that a commit needs, as somebody at the database can, while something is done. */
const holding = (at: string, act: () => Promise<void>): Promise<void> =>
  asOwner(at, async (sql) => {
    await sql(at.startsWith('sqlite:') ? 'BEGIN IMMEDIATE' : 'BEGIN; LOCK TABLE events, tasks, jobs')
    await act()
    await sql('COMMIT')
  })

test('a store opened again has what was committed', async () => {
  const at = await address()
  const store = await opened(at)
  await store.commit(commit('t'))
  await store.close()
  const again = await opened(at)
  expect((await again.task('t'))!.seq).toBe(4)
  expect((await again.verify()).findings).toEqual([])
})

test('a store that many open at once is made once, and all of them have it', async () => {
  for (let round = 0; round < 10; round += 1) {
    const at = await address()
    const stores = await Promise.all(Array.from({ length: 8 }, () => openStore(at, { runtime: systemRuntime })))
    expect((await stores[0]!.commit(commit('t'))).ok).toBe(true)
    for (const store of stores) {
      expect((await store.task('t'))!.seq).toBe(4)
      await store.close()
    }
  }
})

test('a payload is stored once, however often a task carries it', async () => {
  const at = await address()
  const store = await opened(at)
  await store.commit(commit('t', { goal: 'same', last: 'same' }))
  const rows = await asOwner(at, (sql) => sql(`SELECT body FROM payloads WHERE body = '"same"'`))
  expect(rows.length).toBe(1)
})

test('a payload that comes again is not stored again, and is read where it first was, also by another process', async () => {
  const at = await address()
  const store = await opened(at)
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
  const again = await opened(at)
  const signals = (await again.read('t')).filter(({ type }) => type === 'signal.received')
  expect(signals.map(({ data }) => (data as { data: unknown }).data)).toEqual(Array.from({ length: 5 }, () => text))
  expect((await again.verify()).findings).toEqual([])
  expect(await asOwner(at, (sql) => sql('SELECT hash FROM payloads WHERE length(body) > 1000'))).toHaveLength(1)
})

test('a store of a newer version is refused by name and left as it was', async () => {
  const at = await address()
  await (await opened(at)).close()
  // A file says its version itself.
  const newer = `INSERT INTO migrations VALUES (99, 'newer', 'x', 1)`
  await asOwner(at, (sql) => sql(engine() === 'SQLite' ? 'PRAGMA user_version = 99' : newer))
  await expect(opened(at)).rejects.toMatchObject({ code: 'STORE_NEWER' })
})

test('a store whose migration is not the one we have is refused', async () => {
  const at = await address()
  await (await opened(at)).close()
  await asOwner(at, (sql) => sql(`UPDATE migrations SET checksum = 'other'`))
  await expect(opened(at)).rejects.toMatchObject({ code: 'STORE_ALTERED' })
})

// A server prepares a statement when it is asked for first; a file is looked at whole.
once.each(['DROP TABLE snapshots', 'ALTER TABLE members RENAME COLUMN tokens TO tok'])(
  'a file that was altered is refused before anything is done: %s',
  async (altered) => {
    const at = await address()
    await (await opened(at)).close()
    await asOwner(at, (sql) => sql(altered))
    await expect(opened(at)).rejects.toMatchObject({ code: 'STORE_FAILED' })
  },
)

test('tables of another program are refused by name and left as they were', async () => {
  const at = await address()
  const schema = new URL(at).searchParams.get('schema')
  const make = 'CREATE TABLE tasks (id INTEGER)'
  await asOwner(at, (sql) => sql(schema === null ? make : `CREATE SCHEMA ${schema}; ${make}`))
  await expect(opened(at)).rejects.toMatchObject({ code: 'STORE_NOT_OURS' })
  expect(await asOwner(at, (sql) => sql('SELECT id FROM tasks'))).toEqual([])
})

test('a store that is only to be looked at is not made', async () => {
  const at = await address()
  const look = (): Promise<Store> => openStore(at, { runtime: systemRuntime, create: false })
  await expect(look()).rejects.toMatchObject({ code: 'STORE_MISSING' })
  await expect(look()).rejects.toMatchObject({ code: 'STORE_MISSING' })
})

test('A38: a store that somebody else holds is waited for, without holding up this process', async () => {
  const at = await address()
  const store = await opened(at)
  let committed: ReturnType<Store['commit']> | undefined
  let ticks = 0
  const ticking = setInterval(() => (ticks += 1), 5)
  await holding(at, async () => {
    committed = store.commit(commit('t'))
    await new Promise((wake) => setTimeout(wake, 300))
  })
  clearInterval(ticking)
  expect((await committed)!.ok).toBe(true)
  expect(ticks).toBeGreaterThan(10)
})

test('A38: a store that stays locked is a fault after the time that was set, and nothing is written', async () => {
  const at = await address()
  const store = await impatient(at, 200)
  await holding(at, async () => {
    await expect(store.commit(commit('t'))).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await expect(impatient(at, 100)).resolves.toBeDefined()
  })
  expect(await store.task('t')).toBeUndefined()
  expect((await store.commit(commit('t'))).ok).toBe(true)
})

test('what is asked of a closed store is a fault', async () => {
  const store = await opened()
  await store.close()
  await expect(store.commit(commit('t'))).rejects.toMatchObject({ code: 'STORE_CLOSED' })
  await expect(store.task('t')).rejects.toMatchObject({ code: 'STORE_CLOSED' })
})
