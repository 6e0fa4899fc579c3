// SCENARIOS A35, D05: the disk under a store is full, at a write of each kind, and has space again later. It is a small disk of
// its own: a file on it, or a tablespace. Who asks for something meanwhile is told; what is in hand is kept, and goes on.

import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Client } from 'pg'
import { beforeAll, expect, onTestFinished, test as testOnce, type TestContext } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { isFault } from '../src/core/fault.ts'
import { defineTool, type ToolCall } from '../src/core/tool.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { scriptedModel } from '../src/providers/scripted.ts'
import { openStore } from '../src/store/open.ts'
import { systemRuntime } from '../src/runtime.ts'
import type { ClaimRequest, Store } from '../src/store/store.ts'
import { engine, test } from './engines.ts'
import { folder } from './folder.ts'
import { Effects } from './ledger.ts'
import { asOwner } from './owner.ts'
import { admin, ownServer } from './postgres.ts'
import { makeFolder, type Server } from './postgres/server.ts'
import { until } from './until.ts'
import { volume, type Volume } from './volume.ts'

const pause = (ms: number): Promise<void> => setTimeout(ms)
/** Too long to be put where there is room by chance. */
const long = (): string => randomBytes(3_000).toString('hex')
const because = 'because '.repeat(120)
const say = (decision: string) => ({ decision, by: 'ana', reason: because })

let server: Server
let spaces = 0
beforeAll(async () => {
  server = await ownServer()
}, 60_000)

/** A disk, and the address of a store on it that nobody has opened yet. */
async function small(context: TestContext): Promise<{ readonly disk: Volume; readonly address: string }> {
  const disk = await volume(context, 48)
  if (engine() === 'SQLite') return { disk, address: `sqlite:${join(disk.path, 'store.db')}` }
  const space = join(disk.path, 'space')
  const name = `small${(spaces += 1)}`
  makeFolder(space)
  await admin(server.url, `CREATE TABLESPACE ${name} LOCATION '${space}'`)
  onTestFinished(async () => {
    disk.free()
    await admin(server.url, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    await admin(server.url, `DROP TABLESPACE ${name}`)
  })
  await admin(server.url, `CREATE DATABASE ${name} TEMPLATE template0 TABLESPACE ${name}`)
  const url = new URL(server.url)
  url.pathname = name
  url.searchParams.set('schema', 'signalbox')
  return { disk, address: url.href }
}

/** A store on a disk that can be full. */
interface Place {
  readonly store: Store
  readonly address: string
  /** How often each kind of write was refused because the disk was full: the points of commits, and other calls by name. */
  readonly refused: ReadonlyMap<string, number>
  /** From the next write of a kind on, or from now on, there is no space. */
  fill(kind?: string): Promise<void>
  free(): void
}

const ofJobs: ReadonlySet<string | symbol> = new Set(['claim', 'renew', 'release'])

async function place(context: TestContext): Promise<Place> {
  const { disk, address } = await small(context)
  const real = await openStore(address, { runtime: systemRuntime })
  onTestFinished(() => real.close())
  if (engine() === 'PostgreSQL') await makeTight(address)
  const refused = new Map<string, number>()
  let aim: string | undefined
  const fill = async (kind?: string): Promise<void> => {
    aim = undefined
    disk.fill()
    const rest = kind === undefined || ofJobs.has(kind)
    if (engine() === 'PostgreSQL' && rest) await useUp(address)
  }
  const store = new Proxy(real, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      const call = value.bind(target) as (...given: any[]) => unknown
      if (name !== 'commit' && !ofJobs.has(name)) return call
      return async (...given: any[]): Promise<unknown> => {
        const kind = name === 'commit' ? (given[0] as { point: string }).point : String(name)
        if (kind === aim && (kind !== 'claim' || (await finds(real, given[0] as ClaimRequest)))) await fill(kind)
        try {
          return await call(...given)
        } catch (thrown) {
          if (isFault(thrown, 'STORE_FULL')) refused.set(kind, (refused.get(kind) ?? 0) + 1)
          throw thrown
        }
      }
    },
  })
  return {
    store,
    address,
    refused,
    fill: async (kind) => (kind === undefined ? fill() : void (aim = kind)),
    free: () => disk.free(),
  }
}

/** Whoever claims where nothing is due writes nothing. */
async function finds(store: Store, { definitions, except, nowMs }: ClaimRequest): Promise<boolean> {
  const dueMs = await store.nextDueMs(definitions, undefined, except)
  return dueMs !== null && dueMs <= nowMs
}

/** Pages have room for one row, and what is dead stays: somebody looks at it. So there is seldom room without more space. */
async function makeTight(address: string): Promise<void> {
  await asOwner(address, async (sql) => {
    for (const { name } of await sql(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'signalbox'`))
      await sql(`ALTER TABLE "${String(name)}" SET (fillfactor = 10)`)
  })
  const url = new URL(address)
  url.searchParams.delete('schema')
  const looker = new Client({ connectionString: url.href })
  looker.on('error', () => undefined)
  await looker.connect()
  onTestFinished(() => looker.end())
  await looker.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1')
}

/** A job is changed in place for as long as there is room on its page: until there is none. */
async function useUp(address: string): Promise<void> {
  await asOwner(address, async (sql) => {
    await sql('SET synchronous_commit = off')
    for (const { taskId } of await sql('SELECT taskId FROM jobs')) {
      try {
        while ((await sql(`UPDATE jobs SET news = news WHERE taskId = '${String(taskId)}' RETURNING 1`)).length > 0);
      } catch (thrown) {
        expect((thrown as { code: string }).code).toBe('53100')
      }
    }
  })
}

/** What the engine itself says of its files. */
async function findings(address: string): Promise<unknown[]> {
  return asOwner(address, async (sql) => {
    if (address.startsWith('sqlite:'))
      return (await sql('PRAGMA integrity_check')).filter((row) => row['integrity_check'] !== 'ok')
    await sql('CREATE EXTENSION amcheck')
    await sql(`SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid::regclass::text !~ '^pg_'`)
    return sql(
      `SELECT found.* FROM pg_class, verify_heapam(pg_class.oid) AS found WHERE relkind = 'r' AND relnamespace = 'signalbox'::regnamespace`,
    )
  })
}

const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const agentOf = (states: Record<string, State<any, any>>): Agent<any, any> =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({ note: z.string().optional() }),
    initial: Object.keys(states)[0]!,
    on: { $error: 'failed', $timeout: 'failed', $refused: 'failed', $doubt: 'failed' },
    states: { ...states, ...ends },
  } as never)

/** Something outside that takes a while. It must not be done twice, but where it says that it may be. */
function outside(change: object = {}, ms = 150) {
  const effects = new Effects()
  const act = defineTool({
    name: 'act',
    description: 'Acts.',
    inputSchema: z.object({}),
    effect: 'external',
    execute: async (_, { idempotencyKey }) => {
      await pause(ms)
      effects.act(idempotencyKey, 'acted')
      return long()
    },
    ...change,
  })
  return { effects, act }
}

async function open(
  agent: Agent<any, any>,
  options: Partial<OrchestratorOptions> & Pick<OrchestratorOptions, 'store'>,
): Promise<Orchestrator & { faults: unknown[] }> {
  const faults: unknown[] = []
  const onFault = (fault: unknown): void => void faults.push(fault)
  const models = {
    main: scriptedModel(async () => {
      await pause(60)
      return { calls: [{ name: 'OK', arguments: { note: long() } }] }
    }),
  }
  const box = await createOrchestrator({ agents: [agent], env: {}, models, leaseMs: 400, onFault, ...options })
  onTestFinished(() => box.stop(100))
  return Object.assign(box, { faults })
}

/** Says whether the store had room. Whoever is refused is told that the disk is full and what to do. */
async function tried(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act()
    return true
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'STORE_FULL', message: expect.stringMatching(/disk is full.*make room/i) })
    return false
  }
}

test('A35, D05: a disk that is full at a write of each kind is waited for without a busy loop, and everything goes on by itself', async (context) => {
  const here = await place(context)
  const { effects, act } = outside()
  const agent = agentOf({
    think: {
      model: 'main',
      prompt: long(),
      writes: ['note'],
      on: { OK: { target: 'act', output: z.object({ note: z.string() }) } },
    },
    act: { tool: act, args: () => ({}), on: { DONE: 'work' } },
    work: { run: () => 'NEXT', on: { NEXT: 'rest' } },
    rest: { wait: { delay: '50ms' }, on: { DONE: 'ask' } },
    ask: { human: { question: 'Really?' }, on: { yes: 'hear' } },
    hear: { wait: { signal: 'go' }, on: { DONE: { target: 'done', output: z.object({ note: z.string() }) } } },
  })
  const box = await open(agent, { store: here.store })

  // Whoever starts tasks and speaks to them, again and again until it is done.
  let begins = true
  let begun = 0
  const told = new Set<string>()
  const drive = async (): Promise<void> => {
    for (;;) {
      if (begins && (await tried(() => box.start(agent, {}, { id: `t${begun}` })))) begun += 1
      const rows = await box.tasks()
      for (const { taskId, state } of rows) {
        const signal = { name: 'go', by: 'ben', data: { note: long() } }
        if (state === 'hear' && !told.has(taskId) && (await tried(() => box.signal(taskId, signal)))) told.add(taskId)
        for (const { item, status } of state === 'ask' ? await box.inbox({ taskId }) : [])
          if (status === 'open') await tried(() => box.answer(item, say('yes')))
      }
      if (!begins && rows.every(({ status }) => status !== 'running' && status !== 'waiting')) return
      await pause(40)
    }
  }
  const kinds = ['start', 'claim', 'permit', 'settle', 'rest', 'answer', 'signal', 'renew']
  let fullMs = 0
  const goWrong = async (): Promise<void> => {
    for (const kind of kinds) {
      const before = here.refused.get(kind) ?? 0
      const isRefused = (): Promise<boolean> =>
        until(() => (here.refused.get(kind) ?? 0) > before, 100).then(
          () => true,
          () => false,
        )
      await here.fill(kind)
      // Even so a write may find room on a page, and then none like it follows.
      while (!(await isRefused())) {
        here.free()
        await here.fill(kind)
      }
      const sinceMs = performance.now()
      // Once longer than any lease, and with somebody who has the engine write back what it can.
      if (kind === 'settle') {
        const text = engine() === 'SQLite' ? 'PRAGMA wal_checkpoint(PASSIVE)' : 'CHECKPOINT'
        await asOwner(here.address, (sql) => sql(text)).catch(() => undefined)
        await pause(450)
      } else await pause(80)
      here.free()
      fullMs += performance.now() - sinceMs
      await pause(50)
    }
    begins = false
  }
  await Promise.all([drive(), goWrong()])

  expect(begun).toBeGreaterThan(3)
  const rows = await box.tasks()
  expect(rows.map(({ outcome }) => outcome)).toEqual(Array.from({ length: begun }, () => 'done'))
  expect(effects.perKey).toEqual(Array.from({ length: begun }, () => 1))
  for (const { taskId } of rows) {
    const types = (await box.store.read(taskId)).map(({ type }) => type)
    for (const once of ['tool.called', 'human.answered', 'signal.received'])
      expect(types.filter((type) => type === once)).toEqual([once])
  }
  for (const fault of box.faults) await tried(() => Promise.reject(fault))
  // Each of the tasks in hand, the heartbeat and the queue: at once, and then less and less often.
  expect(box.faults.length).toBeLessThan((16 + 2) * (kinds.length + fullMs / 100))
  expect((await box.verify()).findings).toEqual([])
  expect(await findings(here.address)).toEqual([])
})

test('A35, D05: whatever a caller asks for on a full disk is refused by name, nothing of it is written, and it is done when there is space', async (context) => {
  const here = await place(context)
  const agent = agentOf({
    ask: { human: { question: 'Really?' }, on: { yes: 'hear' } },
    hear: { wait: { signal: 'go' }, on: { DONE: 'done' } },
  })
  const box = await open(agent, { store: here.store })
  for (const id of ['asks', 'hears', 'ends', 'back', 'over']) await box.start(agent, {}, { id })
  const item = async (taskId: string): Promise<string> => {
    await box.task(taskId).rest()
    return (await box.inbox({ taskId }))[0]!.item
  }
  for (const id of ['hears', 'back', 'over']) await box.answer(await item(id), say('yes'))
  await box.signal('over', { name: 'go', data: null, by: 'ben' })
  await box.task('over').result()
  for (const id of ['hears', 'back']) await until(async () => (await box.show(id)).state === 'hear')
  const asks = await item('asks')

  const anchors = join(folder(), 'anchors')
  const key = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const who = { by: 'ana', reason: because }
  const asked: Record<string, () => Promise<unknown>> = {
    start: () => box.start(agent, { note: long() }, { id: 'new' }),
    answer: () => box.answer(asks, say('yes')),
    signal: () => box.signal('hears', { name: 'go', data: null, by: because }),
    cancel: () => box.cancel('ends', who),
    rollback: () => box.rollback('back', { to: 2, ...who }),
    erase: () => box.erase('over', who),
    schedule: () => box.schedule('nightly', { agent, cron: '@daily', ...who }),
    checkpoint: () => box.checkpoint({ key, anchors }),
  }
  const facts = async () => ({
    events: await Promise.all((await box.tasks()).map(({ taskId }) => box.store.readSealed(taskId))),
    inbox: await box.inbox(),
    schedules: await box.schedules(),
    checkpoints: await box.store.checkpoints(),
    anchored: existsSync(anchors),
  })
  const before = await facts()
  await here.fill()
  for (const [name, act] of Object.entries(asked)) expect([name, await tried(act)]).toEqual([name, false])
  expect(await facts()).toEqual(before)
  here.free()
  for (const act of Object.values(asked)) await act()
  expect((await box.task('hears').result()).outcome).toBe('done')
  expect((await box.task('ends').result()).status).toBe('cancelled')
  expect((await box.task('new').rest()).state).toBe('ask')
  expect((await box.schedules()).map(({ name }) => name)).toEqual(['nightly'])
  expect((await box.verify(undefined, { anchors })).findings).toEqual([])
  expect(await findings(here.address)).toEqual([])
})

test('A35: a store is not made on a full disk, and one that is there is not opened halfway: with space it is as it was', async (context) => {
  const { disk, address } = await small(context)
  const look = (): Promise<Store> => openStore(address, { runtime: systemRuntime })
  disk.fill()
  expect(await tried(look)).toBe(false)
  disk.free()
  const agent = agentOf({ ask: { human: { question: 'Really?' }, on: { yes: 'done' } } })
  const first = await open(agent, { store: address })
  await first.start(agent, {}, { id: 't' })
  await first.task('t').rest()
  await first.stop()
  disk.fill()
  // A server is open already. A file has an index beside it, for which there is no room.
  expect(await tried(async () => (await look()).close())).toBe(engine() === 'PostgreSQL')
  disk.free()
  const second = await open(agent, { store: address })
  await second.answer((await second.inbox())[0]!.item, say('yes'))
  expect((await second.task('t').result()).outcome).toBe('done')
  expect((await second.verify()).findings).toEqual([])
})

test('A35: a worker that is told to stop on a full disk stops, and another goes on under the same key when there is space', async (context) => {
  const here = await place(context)
  const calls: string[] = []
  const { act } = outside({
    idempotent: true,
    execute: async (_: unknown, { idempotencyKey, signal }: ToolCall) => {
      const isFirst = !calls.includes(idempotencyKey)
      calls.push(idempotencyKey)
      if (isFirst) await setTimeout(60_000, undefined, { signal })
    },
  })
  const agent = agentOf({ act: { tool: act, args: () => ({}), on: { DONE: 'done' } } })
  const first = await open(agent, { store: here.store })
  const ids = ['t1', 't2', 't3']
  for (const id of ids) await first.start(agent, {}, { id })
  await until(() => calls.length === ids.length)
  await here.fill()
  const sinceMs = performance.now()
  await first.stop(0)
  expect(performance.now() - sinceMs).toBeLessThan(1_000)
  expect(here.refused.get('release')).toBeGreaterThan(0)
  here.free()
  const second = await open(agent, { store: here.store })
  for (const id of ids) expect((await second.task(id).result()).outcome).toBe('done')
  expect(calls.toSorted()).toEqual(ids.flatMap((id) => [`${id}.1`, `${id}.1`]))
  expect((await second.verify()).findings).toEqual([])
})

test('A35: what comes late while the disk is full is kept when there is space', async (context) => {
  const here = await place(context)
  const { act } = outside({
    timeout: '80ms',
    execute: async () => {
      await here.fill()
      await pause(130)
      return long()
    },
  })
  const agent = agentOf({ act: { tool: act, args: () => ({}), on: { DONE: 'done' } } })
  const box = await open(agent, { store: here.store })
  const task = await box.start(agent, {}, { id: 't' })
  // That there is no answer in time, again, and the answer.
  await until(() => (here.refused.get('settle') ?? 0) >= 3)
  here.free()
  expect((await task.result()).outcome).toBe('failed')
  const lates = async (): Promise<number> =>
    (await box.store.read('t')).filter(({ type }) => type === 'step.late').length
  await until(async () => (await lates()) > 0)
  expect(await lates()).toBe(1)
  expect((await box.verify()).findings).toEqual([])
})

// Only a server has a log that it cannot do without, and ends.
testOnce(
  'A35: a server that has no space for its write-ahead log stops; once it is started with space, everything goes on by itself',
  async (context) => {
    const disk = await volume(context, 80)
    const its = await ownServer()
    const [row] = await admin(its.url, 'SHOW data_directory')
    const log = join(String(row!['data_directory']), 'pg_wal')
    await its.stop('fast')
    execFileSync('mv', [log, disk.path])
    execFileSync('ln', ['-s', join(disk.path, 'pg_wal'), log])
    await its.start()
    const { effects, act } = outside({}, 300)
    const agent = agentOf({
      act: { tool: act, args: () => ({}), on: { DONE: 'rest' } },
      rest: { wait: { delay: '50ms' }, on: { DONE: 'ask' } },
      ask: { human: { question: 'Really?' }, on: { yes: 'done' } },
    })
    const box = await open(agent, { store: its.url, leaseMs: 10_000 })
    const told: unknown[] = []
    await box.start(agent, {}, { id: 'asks' })
    await box.task('asks').rest()
    await box.start(agent, {}, { id: 'acts' })
    await until(async () => (await box.show('acts')).usage.steps === 1)
    // What is told to other processes comes a moment later, and to nobody that it could not be.
    await pause(50)
    disk.fill()
    for (let number = 0; told.length === 0; number += 1) {
      try {
        await admin(its.url, 'SELECT pg_switch_wal()')
        await box.start(agent, {}, { id: `t${number}` })
      } catch (thrown) {
        told.push(thrown)
      }
    }
    const says = /STORE_FULL .* the database has stopped.*Make room and start it/
    await until(() => [...told, ...box.faults].some((thrown) => says.test(String(thrown))))
    const ended = async (): Promise<boolean> => {
      await pause(50)
      return admin(its.url, 'SELECT 1').then(
        () => false,
        (thrown: { code: string }) => thrown.code === 'ECONNREFUSED',
      )
    }
    await until(ended)
    await until(() => effects.all.length === 2)
    disk.free()
    // That it has ended is known here a moment later.
    await until(async () => {
      try {
        await its.start()
        return true
      } catch (thrown) {
        expect(String(thrown)).toContain('runs already')
        return false
      }
    })
    for (const taskId of ['asks', 'acts']) {
      await box.task(taskId).rest()
      await box.answer((await box.inbox({ taskId }))[0]!.item, say('yes'))
      expect((await box.task(taskId).result()).outcome).toBe('done')
    }
    expect(effects.all.map(({ key }) => key)).toEqual(['asks.1', 'acts.1'])
    expect((await box.verify()).findings).toEqual([])
  },
)
