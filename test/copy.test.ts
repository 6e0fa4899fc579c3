// A store that is carried to another engine is the same store: every log as it was hashed, and everything that follows from
// it; killed on the way it goes on, and nothing of another store is ever written over.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Pool } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { copyStore, type CopyOptions } from '../src/copy.ts'
import { defineAgent, type Agent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { draft, emit, type Draft } from '../src/core/draft.ts'
import { fold } from '../src/core/fold.ts'
import type { Json } from '../src/core/json.ts'
import { draw } from '../src/core/resilience.ts'
import { start as begin } from '../src/core/start.ts'
import { emptyTask } from '../src/core/task.ts'
import { createOrchestrator, type Orchestrator } from '../src/orchestrator.ts'
import { systemRuntime } from '../src/runtime.ts'
import { createKeys } from '../src/store/key.ts'
import { commitment, genesis, hashOf } from '../src/store/log.ts'
import { openStore } from '../src/store/open.ts'
import { derivedTables } from '../src/store/statements.ts'
import type { Store } from '../src/store/store.ts'
import { signalbox, start } from './cli/signalbox.ts'
import { told } from './corpus/corpus.ts'
import { engines, postgres, sqlite, type TestEngine } from './engines.ts'
import { folder } from './folder.ts'
import { withoutTriggers } from './owner.ts'
import { machine, playHistory } from './store/history.ts'
import { until } from './until.ts'

const on = { $error: 'failed', $timeout: 'failed' } as const
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const context = defineContext({
  goal: { schema: z.unknown(), initial: 'g' },
  list: { schema: z.array(z.string()), initial: [], merge: 'append' },
})

/** Adds to what it shares with its parent and asks a human. */
const asker: Agent<any, any> = defineAgent({
  name: 'asker',
  version: '1',
  context,
  initial: 'note',
  on,
  states: {
    note: {
      run: ({ context: { goal } }) => ({ exit: 'OK', output: { list: [String(goal)] } }),
      on: { OK: { target: 'ask', output: z.object({ list: z.array(z.string()) }) } },
    },
    ask: {
      human: { question: ({ context: { list } }) => `Is ${list.join()} right?` },
      on: { YES: 'done', NO: 'failed' },
    },
    ...ends,
  },
})
const team: Agent<any, any> = defineAgent({
  name: 'team',
  version: '1',
  context,
  limits: { tokens: 9_000 },
  initial: 'fan',
  on,
  states: {
    fan: { agent: asker, each: () => [{ goal: 'a' }, { goal: 'b' }], on: { DONE: 'last', FAILED: 'failed' } },
    last: { run: () => 'OK', on: { OK: 'done' } },
    ...ends,
  },
})

// ---- Helpers -------------------------------------------------------------------------------------------------------

function putAway<T extends { close(): Promise<void> }>(store: T): T {
  onTestFinished(() => store.close())
  return store
}

const open = async (address: string): Promise<Store> => putAway(await openStore(address, { runtime: systemRuntime }))

async function boxOn(store: string, agents: readonly Agent<any, any>[] = []): Promise<Orchestrator> {
  const box = await createOrchestrator({ store, agents, env: {}, leaseMs: 1_000, work: agents.length > 0 })
  onTestFinished(() => box.stop(100))
  return box
}

/** Copies one store to another, as the command does. */
async function copy(from: string, to: string, change: Partial<CopyOptions> = {}) {
  const source = await openStore(from, { runtime: systemRuntime, create: false })
  try {
    const opened = (): Promise<Store> => openStore(to, { runtime: systemRuntime })
    return await copyStore(source, { open: opened, now: Date.now, ...change })
  } finally {
    await source.close()
  }
}

/** The rows of every table, whatever the engine, by name of column. */
async function rowsOf(address: string, tables: readonly string[]): Promise<Record<string, unknown[]>> {
  const found: Record<string, unknown[]> = {}
  const query = await asking(address)
  for (const table of tables) {
    const rows = (await query.rows(table)).map((row) =>
      JSON.stringify(Object.fromEntries(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))),
    )
    found[table] = rows.sort()
  }
  await query.end()
  return found
}

type Rows = Promise<readonly Record<string, unknown>[]>

async function asking(address: string): Promise<{ rows(table: string): Rows; end(): Promise<void> }> {
  if (address.startsWith('sqlite:')) {
    const db = new DatabaseSync(address.slice('sqlite:'.length), { readOnly: true })
    return { rows: async (table) => db.prepare(`SELECT * FROM ${table}`).all(), end: async () => db.close() }
  }
  const url = new URL(address)
  const schema = url.searchParams.get('schema')!
  url.search = ''
  const types = {
    getTypeParser: (oid: number) => (oid === 20 ? Number : (text: string) => (oid === 701 ? Number(text) : text)),
  }
  const pool = new Pool({ connectionString: url.href, max: 1, types })
  return {
    rows: async (table) =>
      (await pool.query(`SELECT * FROM ${schema}."${table}"`)).rows.map((row) => ({ ...row, xid: undefined })),
    end: () => pool.end(),
  }
}

const truth = ['events', 'payloads', 'checkpoints', 'checkpointHeads', 'schedules']

/** Everything that a store tells of its tasks, but when they are looked at next. */
async function toldOf(store: Store): Promise<unknown> {
  const tasks = await store.tasks({ limit: 100_000 })
  const all: unknown[] = []
  for (const row of tasks) {
    const { taskId } = row
    const whole = await store.takeOut(taskId)
    all.push([row, whole, await store.inbox({ taskId }), await store.context(taskId), await store.read(taskId)])
  }
  const checkpoints = await store.checkpoints()
  const heads = await Promise.all(
    checkpoints.map(async ({ number }) =>
      (await store.heads(number)).toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1)),
    ),
  )
  return { all, checkpoints, heads, schedules: await store.schedules({ removed: true }), gates: await breakers(store) }
}

/** Places at gates of calls whose worker is gone are held, or waited for, as the logs say. */
const breakers = async (store: Store) => (await store.gates()).filter(({ taskId }) => taskId !== null)

const hostile: readonly Json[] = [
  '\u0000 NUL and \u0001\u001f\u007f',
  'right\u202Eto left \u2028 🚂 é 漢字 \uFFFF',
  '"; DROP TABLE events; -- \\ \\u0000 \\',
  2 ** 53 + 2,
  1e308,
  5e-324,
  -0,
  JSON.parse(
    '{"__proto__": {"polluted": true}, "$payload": "0", "\\u0000": "\\u0000", "": 12345678901234567890}',
  ) as Json,
]

/** As deep as what is handed over may be, with what is around it. */
const deep = JSON.parse(`${'['.repeat(1_000)}"deep"${']'.repeat(1_000)}`) as Json

/** Tasks of every kind, some erased; what was signed of them; schedules, one of them removed, one moved on. */
async function fill(address: string, anchors: string, key: string): Promise<void> {
  const box = await boxOn(address, [asker, team])
  const sign = (): Promise<unknown> => box.checkpoint({ key, anchors })
  await box.start(team, { goal: 'g' }, { id: 'family', by: 'ana' })
  await box.start(team, { goal: 'g' }, { id: 'family2', by: 'ana' })
  await box.start(asker, { goal: [hostile, deep] }, { id: 'alone', by: 'ben' })
  await box.start(asker, { goal: 'x' }, { id: 'gone', by: 'ben' })
  await until(async () => (await box.inbox()).length === 6)
  const answer = async (taskId: string): Promise<void> => {
    const [item] = (await box.inbox()).filter((each) => each.taskId === taskId)
    await box.answer(item!.item, { decision: 'YES', by: 'ana', reason: 'it is' })
  }
  for (const taskId of ['gone', 'family2:1', 'family2:2', 'family:1']) await answer(taskId)
  await box.task('gone').result()
  await box.task('family2').result()
  await until(async () => (await box.show('family:1')).status === 'done')
  await sign()
  await box.erase('gone', { by: 'ana', reason: 'asked for' })
  for (let round = 0; round < 40; round += 1) {
    const choices = Array.from({ length: 120 }, (_, index) => Math.floor(draw(7, round, index) * 10_000))
    await playHistory(box.store, `h${round}`, hostile[round % hostile.length]!, choices, hostile)
  }
  await sign()
  const given = { agent: asker, cron: '0 8 * * 1', input: { goal: [hostile, deep] }, by: 'ana', reason: 'weekly' }
  await box.schedule('weekly', given)
  await box.schedule('old', given)
  await box.unschedule('old', { by: 'ben', reason: 'enough' })
  await box.schedule('old', { ...given, cron: '* * * * *' })
  const { id, version, ...progress } = (await box.store.schedules()).find(({ name }) => name === 'weekly')!
  const change = {
    ...progress,
    nextAtMs: progress.nextAtMs! + 1,
    started: 3,
    waiting: [1, 2],
    lastTaskId: 'x',
    lastAtMs: 5,
  }
  expect(await box.store.advanceSchedule({ id, version, progress: change })).toBe(true)
  await box.stop(100)
}

// ---- There and back ------------------------------------------------------------------------------------------------

test('a store comes over to the other engine, and back, with every log, label, item, schedule and signature', async () => {
  const [one, two, three] = [await sqlite.address(), await postgres.address(), await sqlite.address()]
  const [keys, anchors] = [createKeys(), join(folder(), 'anchors.jsonl')]
  await fill(one, anchors, keys.privateKey)
  const source = await open(one)
  const rows = await source.tasks({ limit: 1_000 })
  const events = rows.reduce((sum, { seq }) => sum + seq, 0)
  const there = await copy(one, two)
  expect(there).toMatchObject({ tasks: 48, events, schedules: 3, checkpoints: 2, skipped: 0 })
  expect(await copy(two, three)).toEqual(there)

  const whole = await toldOf(source)
  const before = await rowsOf(one, truth)
  expect(before['schedules']).toHaveLength(3)
  for (const address of [two, three]) {
    const store = await open(address)
    expect(await toldOf(store)).toEqual(whole)
    expect(await rowsOf(address, truth)).toEqual(before)
    const box = await boxOn(address)
    const audit = await box.verify(undefined, { anchors, publicKeys: [keys.publicKey] })
    expect(audit).toMatchObject({ tasks: 48, events, anchors: 2, findings: [] })
    // Nobody holds anything, and what follows from the logs is what is made of them anew.
    expect(await store.held(0)).toEqual([])
    const derived = await rowsOf(address, derivedTables)
    await store.rebuild()
    expect(await rowsOf(address, derivedTables)).toEqual(derived)
  }
  // Both engines make the same of the same logs.
  await source.rebuild()
  expect(await rowsOf(two, derivedTables)).toEqual(await rowsOf(one, derivedTables))
  expect(await rowsOf(three, derivedTables)).toEqual(await rowsOf(one, derivedTables))
})

test.each([
  [sqlite, postgres],
  [postgres, sqlite],
] as [TestEngine, TestEngine][])(
  'from $name: who waited for a human there is answered here, and a worker here brings the tree to its end',
  async (from, to) => {
    const [one, two] = [await from.address(), await to.address()]
    const box = await boxOn(one, [asker, team])
    await box.start(team, { goal: 'g' }, { id: 't' })
    await until(async () => (await box.inbox()).length === 2)
    await box.stop(100)
    expect(await copy(one, two)).toMatchObject({ tasks: 3, skipped: 0 })

    const here = await boxOn(two, [asker, team])
    const items = await here.inbox()
    expect(items.map(({ question }) => question)).toEqual([
      expect.stringContaining('Is '),
      expect.stringContaining('right?'),
    ])
    for (const { item } of items) await here.answer(item, { decision: 'YES', by: 'ana', reason: 'yes' })
    const { outcome, context: its } = await here.task('t').result()
    expect(outcome).toBe('done')
    expect([...(its['list'] as string[])].sort()).toEqual(['a', 'b'])
    expect((await here.verify()).findings).toEqual([])
  },
)

test('every recorded log comes over, and comes to what it was', async () => {
  const recorded = join(import.meta.dirname, 'corpus')
  const names = readdirSync(recorded).filter((name) => /^[^.]+\.json$/.test(name))
  expect(names.length).toBeGreaterThan(15)
  for (const name of names) {
    const text = readFileSync(join(recorded, name), 'utf8')
    const [one, two, three] = [await sqlite.address(), await postgres.address(), await sqlite.address()]
    const { taskId } = await (await boxOn(one)).import(text)
    await copy(one, two)
    await copy(two, three)
    const tells = JSON.parse(readFileSync(join(recorded, name.replace('.json', '.told.json')), 'utf8')) as object
    for (const address of [two, three]) {
      const box = await boxOn(address)
      expect(JSON.parse(await box.export(taskId))).toEqual(JSON.parse(text))
      expect([name, await told(box, taskId)]).toMatchObject([name, tells])
      expect((await box.verify()).findings).toEqual([])
    }
  }
})

// ---- What is refused -----------------------------------------------------------------------------------------------

async function put(store: Store, taskId: string, goal: Json = 'x'): Promise<void> {
  const { events, task } = begin(machine, { taskId, definition: 'd', input: { goal }, by: 'test', seed: 1 }, 1_000)
  expect((await store.commit({ point: 'start', head: genesis, events, task })).ok).toBe(true)
}

const signalled = (work: Draft): void => emit(work, 'signal.received', { name: 'go', data: {}, by: 'test' })

async function goOn(store: Store, taskId: string, say: (work: Draft) => void = signalled): Promise<void> {
  const events = await store.read(taskId)
  const { seq, hash } = events.at(-1)!
  const work = draft(fold(emptyTask(taskId), events), 5_000)
  say(work)
  expect((await store.commit({ point: 'signal', head: { seq, hash }, events: work.events, task: work.task })).ok).toBe(
    true,
  )
}

for (const { name, address } of engines) {
  test(`${name}: what is no part of the source is refused by name, and nothing is written`, async () => {
    const [one, two] = [await sqlite.address(), await address()]
    const [from, to] = [await open(one), await open(two)]
    const refuses = async (says: string): Promise<void> => {
      const before = await rowsOf(two, [...truth, ...derivedTables])
      await expect(copy(one, two)).rejects.toMatchObject({
        code: 'COPY_CONFLICT',
        message: expect.stringContaining(says),
      })
      expect(await rowsOf(two, [...truth, ...derivedTables])).toEqual(before)
    }
    const nothing = { tasks: 0, events: 0, payloads: 0, schedules: 0, checkpoints: 0 }
    await put(from, 'a')
    await put(from, 'b')
    expect(await to.takeIn([await from.takeOut('b')])).toBe(true)
    expect(await copy(one, two)).toMatchObject({ tasks: 1, skipped: 1 })
    expect(await copy(one, two)).toEqual({ ...nothing, skipped: 2 })
    await put(from, 'new')
    await goOn(to, 'a')
    await refuses('task a stands otherwise there: a at event 5, here at 4')
    await goOn(from, 'a')
    // As long, and another: what they were told has salts of its own.
    await refuses('task a stands otherwise there: a at event 5, here at 5')
    await put(to, 'other')
    await refuses('task other, which the source does not have')
  })

  test(`${name}: other schedules and other checkpoints are refused`, async () => {
    const [one, two, three] = [await sqlite.address(), await address(), await address()]
    const [from, to, also] = [await open(one), await open(two), await open(three)]
    const signer = { keyId: 'k', sign: (text: string) => text }
    await put(from, 'a')
    await copy(one, two)
    await to.checkpoint(signer, 1)
    await expect(copy(one, two)).rejects.toMatchObject({ code: 'COPY_CONFLICT', data: { of: 'checkpoint 1' } })
    await from.checkpoint(signer, 1)
    expect(await copy(one, two)).toMatchObject({ skipped: 1, checkpoints: 0 })
    const given = { agent: 'x', cron: '* * * * *', timezone: 'UTC', overlap: 'skip', createdBy: 'ana' } as const
    const schedule = { ...given, name: 's', input: null, createdAtMs: 1, reason: 'r', nextAtMs: 2 }
    await from.schedule(schedule)
    await also.schedule({ ...schedule, cron: '0 * * * *' })
    await expect(copy(one, three)).rejects.toMatchObject({ code: 'COPY_CONFLICT', data: { of: 'schedule s' } })
    expect(await also.tasks()).toEqual([])
    expect(await copy(one, two)).toMatchObject({ schedules: 1 })
    expect(await copy(one, two)).toMatchObject({ schedules: 0 })
  })

  test(`${name}: a source that is at work is refused with who is at what, and one whose worker is gone is not`, async () => {
    const [one, two] = [await address(), join(folder(), 'none.db')]
    const from = await open(one)
    await put(from, 'a')
    await put(from, 'b')
    const claim = { worker: 'w7', lease: 'l', leaseMs: 1_000, limit: 1, definitions: ['d'], taskId: 'b', nowMs: 2_000 }
    expect(await from.claim(claim)).toHaveLength(1)
    const refused = copy(one, `sqlite:${two}`, { now: () => 2_999 })
    await expect(refused).rejects.toMatchObject({ code: 'COPY_BUSY', data: { workers: ['w7'], tasks: ['b'] } })
    expect(readdirSync(join(two, '..'))).toEqual([])
    expect(await copy(one, `sqlite:${two}`, { now: () => 3_000 })).toMatchObject({ tasks: 2 })
    const to = await open(`sqlite:${two}`)
    expect(await to.held(0)).toEqual([])
    expect(await to.claim({ ...claim, nowMs: 2_000 })).toMatchObject([{ taskId: 'b', deliveries: 1 }])
  })

  test(`${name}: a source that goes on while it is copied is found out`, async () => {
    const [one, two] = [await sqlite.address(), await address()]
    const from = await open(one)
    await put(from, 'a')
    const progress: CopyOptions['progress'] = ({ phase }) => {
      if (phase === 'copied') void goOn(from, 'a')
    }
    await expect(copy(one, two, { progress })).rejects.toMatchObject({ code: 'COPY_BUSY', data: { tasks: ['a'] } })
  })
}

test('a task that was tampered with is not copied, and is named', async () => {
  const [one, two] = [await sqlite.address(), await postgres.address()]
  const from = await open(one)
  await put(from, 'a')
  await put(from, 'b')
  const db = new DatabaseSync(one.slice('sqlite:'.length))
  db.exec(`DROP TRIGGER events_no_update; UPDATE events SET atMs = 1 WHERE taskId = 'b' AND seq = 2`)
  db.close()
  await expect(copy(one, two)).rejects.toMatchObject({ code: 'COPY_UNPROVED', data: { taskId: 'b', seq: 2 } })
  expect((await (await open(two)).tasks()).some(({ taskId }) => taskId === 'b')).toBe(false)
})

test('a task that an older Signalbox let have what no database takes now is named, and the others come over', async () => {
  const [one, two] = [await sqlite.address(), await postgres.address()]
  const from = await open(one)
  for (const taskId of ['a', 'b', 'c']) await put(from, taskId)
  const asked = {
    item: 'b.5',
    kind: 'question',
    state: 'ask',
    question: 'q',
    options: ['yes'],
    assignee: 'a b',
  } as const
  await goOn(from, 'b', (work) => emit(work, 'human.asked', asked))
  // As it was written then: U+0000 in a name, and hashes that fit.
  const last = (await from.readSealed('b')).at(-1)!
  const then = { ...last, data: last.data.replace('"a b"', String.raw`"a\u0000b"`) }
  const hash = hashOf(then)
  await withoutTriggers(one, (sql) =>
    sql(
      `UPDATE events SET data = '${then.data}', hash = '${hash}' WHERE taskId = 'b' AND seq = ${then.seq}; UPDATE tasks SET hash = '${hash}' WHERE taskId = 'b'`,
    ),
  )
  await expect(copy(one, two)).rejects.toMatchObject({ code: 'COPY_UNFIT', data: { tasks: ['b'] } })
  expect((await (await open(two)).tasks()).map(({ taskId }) => taskId)).toEqual(['a'])
})

test('what the other database would not take is taken by none', async () => {
  for (const address of [await sqlite.address(), await postgres.address()]) {
    const store = await open(address)
    await put(store, 'b')
    const asked = { item: 'b.5', kind: 'question', state: 'ask', question: 'q', options: ['yes'] } as const
    const going = goOn(store, 'b', (work) => emit(work, 'human.asked', { ...asked, assignee: 'a\0b' }))
    await expect(going).rejects.toMatchObject({ code: 'TEXT_INVALID' })
    expect(await store.inbox()).toEqual([])
  }
})

test('a log that nobody of ours wrote is carried byte by byte', async () => {
  const [made, one, two, three] = [
    await sqlite.address(),
    await sqlite.address(),
    await postgres.address(),
    await sqlite.address(),
  ]
  const maker = await open(made)
  await put(maker, 't', 'REPLACED')
  const { taskId, payloads, events } = await maker.takeOut('t')
  const old = payloads.find((payload) => payload.body === '"REPLACED"')!
  // Halves of surrogate pairs, a key that is there twice, numbers that no number holds, spaces.
  const body = String.raw`{ "goal": "\ud800 \u0000 \udc00\\u0000", "goal": 1E400, "n":12345678901234567890.10, "": "\/" }`
  const salt = 'f'.repeat(32)
  const hash = commitment(salt, body)
  let prevHash = genesis.hash
  const chained = events.map((event) => {
    const row = { ...event, data: event.data.replace(old.hash, hash), prevHash }
    prevHash = hashOf(row)
    return { ...row, hash: prevHash }
  })
  const carried = payloads.map((payload) => (payload === old ? { ...old, hash, salt, body } : payload))
  const from = await open(one)
  expect(await from.takeIn([{ taskId, events: chained, payloads: carried }])).toBe(true)
  await copy(one, two)
  await copy(two, three)
  for (const address of [two, three]) {
    expect(await rowsOf(address, truth)).toEqual(await rowsOf(one, truth))
    const store = await open(address)
    expect((await store.payloads('t')).map((payload) => payload.body)).toContain(body)
    expect((await store.verify()).findings).toEqual([])
  }
})

// ---- Killed --------------------------------------------------------------------------------------------------------

for (const { name, address } of engines) {
  test(`${name}: killed again and again, a copy goes on where it was, and comes to the whole`, async () => {
    const [one, two] = [await sqlite.address(), await address()]
    const [keys, anchors] = [createKeys(), join(folder(), 'anchors.jsonl')]
    await fill(one, anchors, keys.privateKey)
    const from = await open(one)
    const texts = Array.from({ length: 8 }, (_, index) => String(index).repeat(10_000))
    for (let number = 0; number < 150; number += 1) await put(from, `n${number}`, texts)
    const all = await from.known()

    const to = await open(two)
    const there = async (): Promise<number> => (await to.known()).length
    const parts: number[] = []
    for (let kills = 0; ; kills += 1) {
      const before = await there()
      const running = start(['copy', '--from', one, '--to', two, '--json'])
      // By turns: at any time, and as soon as something is written.
      if (kills % 3 === 0) await new Promise((wake) => setTimeout(wake, 150 + 37 * kills))
      else await until(async () => running.child.exitCode !== null || (await there()) > before)
      if (kills < 9) running.child.kill('SIGKILL')
      const ran = await running.ended
      const ids = new Set((await to.known()).map(({ taskId }) => taskId))
      parts.push(ids.size)
      // A tree is there whole or not at all.
      expect(['family', 'family:1', 'family:2'].filter((taskId) => ids.has(taskId)).length % 3).toBe(0)
      if (ran.code === null) continue
      expect([ran.code, ran.stderr]).toEqual([0, expect.stringContaining('Copied')])
      expect(ran.json).toMatchObject([{ skipped: before, tasks: all.length - before }])
      break
    }
    // It was killed when there was nothing, and several times when there was a part.
    expect(parts.filter((count) => count > 0 && count < all.length).length).toBeGreaterThan(1)
    expect(await to.known()).toEqual(all)
    expect(await rowsOf(two, truth)).toEqual(await rowsOf(one, truth))
    const audit = await (await boxOn(two)).verify(undefined, { anchors, publicKeys: [keys.publicKey] })
    expect(audit.findings).toEqual([])
    const again = await signalbox(['copy', '--from', one, '--to', two, '--json'])
    expect(again.json).toEqual([
      { tasks: 0, events: 0, payloads: 0, schedules: 0, checkpoints: 0, skipped: all.length },
    ])
  })
}

// ---- The command ---------------------------------------------------------------------------------------------------

test('the command says what it did and what it will not do', async () => {
  const cwd = folder()
  const run = (...args: string[]) => signalbox(['copy', ...args, '--json'], { cwd })
  const none = await run('--from', 'sqlite:none.db', '--to', 'sqlite:to.db')
  expect([none.code, none.json[0].error.code]).toEqual([2, 'STORE_MISSING'])
  const from = await openStore(`sqlite:${join(cwd, 'from.db')}`, { runtime: systemRuntime })
  await put(from, 'a')
  const same = await run('--from', 'sqlite:from.db', '--to', 'sqlite:from.db')
  expect([same.code, same.json[0].error.code]).toEqual([2, 'FLAG_INVALID'])
  const odd = await run('--from', 'sqlite:from.db', '--to', 'mysql://x')
  expect([odd.code, odd.json[0].error.code]).toEqual([2, 'STORE_UNSUPPORTED'])
  expect((await run('--from', 'sqlite:from.db')).code).toBe(2)
  const lease = { worker: 'w', lease: 'l', leaseMs: 60_000, limit: 1, definitions: ['d'], nowMs: Date.now() }
  await from.claim(lease)
  const busy = await run('--from', 'sqlite:from.db', '--to', 'sqlite:to.db')
  expect([busy.code, busy.json[0].error.code]).toEqual([1, 'COPY_BUSY'])
  expect(busy.stderr).toContain('Workers are at work on the source: w on a, until 20')
  expect(readdirSync(cwd).some((file) => file.startsWith('to.db'))).toBe(false)
  await from.release([{ taskId: 'a', lease: 'l' }], Date.now())
  const done = await run('--from', 'sqlite:from.db', '--to', 'sqlite:to.db')
  expect([done.code, done.json]).toMatchObject([0, [{ tasks: 1, schedules: 0, checkpoints: 0, skipped: 0 }]])
  expect(done.stderr).toContain('Copied 1 tasks (')
  const to = await open(`sqlite:${join(cwd, 'to.db')}`)
  await put(to, 'c')
  await from.close()
  const conflict = await run('--from', 'sqlite:from.db', '--to', 'sqlite:to.db')
  expect([conflict.code, conflict.json[0].error.code]).toEqual([1, 'COPY_CONFLICT'])
})
