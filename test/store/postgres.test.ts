// The store's contract on PostgreSQL, and what is PostgreSQL's alone.

import { Client, Pool } from 'pg'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { emit, draft } from '../../src/core/draft.ts'
import { fold } from '../../src/core/fold.ts'
import { start } from '../../src/core/start.ts'
import { emptyTask } from '../../src/core/task.ts'
import { genesis } from '../../src/store/log.ts'
import { openPostgres } from '../../src/store/postgres/engine.ts'
import { derivedTables } from '../../src/store/statements.ts'
import type { Commit, Store } from '../../src/store/store.ts'
import { postgresAddress } from '../engines.ts'
import { asOwner } from '../owner.ts'
import { until } from '../until.ts'
import { contract } from './contract.ts'
import { familyContract } from './family.ts'
import { machine } from './history.ts'

contract('PostgreSQL', async () => {
  const address = await postgresAddress()
  return { store: await openPostgres(address), dump: () => dump(address) }
})

familyContract('PostgreSQL', async () => openPostgres(await postgresAddress()))

function begin(taskId: string, goal = 'x'): Commit {
  const { events, task } = start(machine, { taskId, definition: 'd', input: { goal }, by: 'test', seed: 1 }, 1_000)
  return { point: 'start', head: genesis, events, task }
}

/** What a signal to a task commits. */
async function signalTo(store: Store, taskId: string): Promise<Commit> {
  const events = await store.read(taskId)
  const { seq, hash } = events.at(-1)!
  const work = draft(fold(emptyTask(taskId), events), 5_000)
  emit(work, 'signal.received', { name: 'go', data: {}, by: 'test' })
  return { point: 'signal', head: { seq, hash }, events: work.events, task: work.task }
}

describe('PostgreSQL: what asks nothing', () => {
  /** The statements that something sends, but the hints to others that there is news. */
  async function sentBy(work: () => Promise<unknown>): Promise<string[]> {
    const query = vi.spyOn(Client.prototype, 'query')
    try {
      await work()
      const sent = query.mock.calls.map(([config]) => config as unknown as { name: string; text: string })
      return sent.filter(({ name }) => name !== 'notify').map(({ text }) => text)
    } finally {
      query.mockRestore()
    }
  }

  test('is one statement, be it the commit of one task or of fifty', async () => {
    const store = await openPostgres(await postgresAddress())
    onTestFinished(() => store.close())
    const ids = Array.from({ length: 50 }, (_, number) => `t${number}`)
    expect(await sentBy(() => store.commit(begin('alone')))).toEqual([expect.stringMatching(/^WITH .* AS held$/)])
    const begun = await sentBy(() => Promise.all(ids.map((id) => store.commit(begin(id)))))
    expect(begun).toHaveLength(1)
    const signals = await Promise.all(ids.map((id) => signalTo(store, id)))
    const signalled = await sentBy(() => Promise.all(signals.map((commit) => store.commit(commit))))
    expect(signalled).toHaveLength(1)
    for (const id of ids) expect((await store.read(id)).at(-1)!.type).toBe('signal.received')
    expect((await store.verify()).findings).toEqual([])
  })

  test('comes back as it was, alone and among many', async () => {
    const store = await openPostgres(await postgresAddress())
    onTestFinished(() => store.close())
    const goals = ['', 'NULL', '{"a",\\}', 'Grüße 🜂 漢', '\t\n\u0001', `'; --`, 'x'.repeat(10_000), 'é'.repeat(10_000)]
    const ids = goals.map((_, number) => `t${number}`)
    const commits = ids.map((id, number) => begin(id, goals[number]))
    await store.commit(commits[0]!)
    await Promise.all(commits.slice(1).map((commit) => store.commit(commit)))
    const contexts = await Promise.all(ids.map((id) => store.context(id)))
    expect(contexts.map(([goal]) => goal!.value)).toEqual(goals)
    expect((await store.tasks()).map(({ taskId }) => taskId).sort()).toEqual(ids.sort())
    expect((await store.verify()).findings).toEqual([])
  })

  test('is asked after all where it took something for granted that does not hold, and only it is refused', async () => {
    const store = await openPostgres(await postgresAddress())
    onTestFinished(() => store.close())
    const ids = ['a', 'b', 'c', 'd']
    for (const id of ids) await store.commit(begin(id))
    const signals = await Promise.all(ids.map((id) => signalTo(store, id)))
    await store.commit(signals[2]!)
    const said = await Promise.all(signals.map((commit) => store.commit(commit)))
    expect(said.map(({ ok }) => ok)).toEqual([true, true, false, true])
    expect(said[2]).toMatchObject({ reason: 'conflict' })
    const counts = await Promise.all(ids.map(async (id) => (await store.read(id)).length))
    expect(new Set(counts).size).toBe(1)
  })
})

test('PostgreSQL: what was begun earlier and is committed late is told before what came meanwhile, never skipped', async () => {
  const address = await postgresAddress()
  const store = await openPostgres(address)
  onTestFinished(() => store.close())
  for (const id of ['late', 'early']) await store.commit(begin(id))
  const told: string[] = []
  let place: string | undefined
  const readOn = async (): Promise<void> => {
    const { events, next } = await store.feed(place)
    told.push(...events.map(({ taskId, seq }) => `${taskId} ${seq}`))
    place = next
  }
  const before = (await store.read('late')).length
  await until(async () => {
    await readOn()
    return told.length === 2 * before
  })
  await asOwner(address, async (sql) => {
    await sql('BEGIN')
    await sql(
      `INSERT INTO events (taskId, seq, atMs, type, data, costMicros, prevHash, hash) SELECT taskId, seq + 1, atMs, 'signal.received', '{"name":"go","data":{},"by":"test"}', 0, hash, hash FROM events WHERE taskId = 'late' AND seq = ${before}`,
    )
    await store.commit(await signalTo(store, 'early'))
    // It is there for whoever asks after its task, and held back from those who want all in one order.
    expect((await store.read('early')).length).toBe(before + 1)
    for (let times = 0; times < 5; times += 1) await readOn()
    expect(told).toHaveLength(2 * before)
    await sql('COMMIT')
  })
  await until(async () => {
    await readOn()
    return told.length === 2 * before + 2
  })
  expect(told.slice(-2)).toEqual([`late ${before + 1}`, `early ${before + 1}`])
})

async function dump(address: string): Promise<unknown> {
  const url = new URL(address)
  const schema = url.searchParams.get('schema')!
  url.search = ''
  const pool = new Pool({ connectionString: url.href, max: 1 })
  try {
    const rows = async (table: string): Promise<Record<string, unknown>[]> =>
      (await pool.query(`SELECT * FROM ${schema}.${table} ORDER BY 1, 2, 3`)).rows
    const waiting = (await rows('slots')).filter(({ status }) => status === 'waiting')
    const queued = new Set(waiting.map(({ taskId }) => taskId))
    const found: Record<string, unknown> = {}
    for (const table of derivedTables) found[table] = await rows(table)
    // Who waits before a gate is called up by whoever leaves it: earlier than its own log says, and only a hint.
    const jobs = (found['jobs'] as Record<string, unknown>[]).map((job) =>
      queued.has(job['taskId']) ? { ...job, availableAtMs: 'when called' } : job,
    )
    return { ...found, jobs }
  } finally {
    await pool.end()
  }
}
