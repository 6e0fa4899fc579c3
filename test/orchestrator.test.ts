// The orchestrator over a real store: tasks run, are spoken to while they run, are called off, and are followed live.

import { describe, expect, onTestFinished, test as testOnce } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { Fault } from '../src/core/fault.ts'
import { defineTool } from '../src/core/tool.ts'
import { createOrchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { scriptedModel, type Script } from '../src/providers/scripted.ts'
import { systemRuntime } from '../src/runtime.ts'
import { openStore } from '../src/store/open.ts'
import type { Store } from '../src/store/store.ts'
import { address, opened, postgresAddress, test } from './engines.ts'
import { asOwner } from './owner.ts'
import { until } from './until.ts'
import { changedStore } from './changed-store.ts'

const context = defineContext({ goal: { schema: z.string(), initial: 'g' }, note: z.string().optional() })
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const on = { $error: 'failed', $timeout: 'failed' } as const

/** A tool that goes on until it is told to, or called off. */
function held() {
  const seen = { started: 0, aborted: 0, release: (): void => undefined }
  const tool = defineTool({
    name: 'hold',
    description: 'Holds.',
    inputSchema: z.object({}),
    execute: (_, { signal }) =>
      new Promise((resolve) => {
        seen.started += 1
        seen.release = () => resolve('released')
        signal.addEventListener('abort', () => (seen.aborted += 1))
      }),
  })
  return { tool, seen }
}

const script: Script = ({ turn }) =>
  turn === 1 ? { calls: [{ name: 'hold' }] } : { calls: [{ name: 'OK', arguments: { note: 'n' } }] }
const agentOf = (tool: ReturnType<typeof held>['tool'], change: object = {}) =>
  defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: 'work',
    on,
    states: {
      work: {
        model: 'main',
        prompt: 'p',
        tools: [tool],
        on: { OK: { target: 'done', output: z.object({ note: z.string() }) } },
        ...change,
      },
      ...ends,
    },
  })

async function open(options: Omit<OrchestratorOptions, 'store'> & { store?: OrchestratorOptions['store'] }) {
  const box = await createOrchestrator({
    store: options.store ?? (await address()),
    models: { main: scriptedModel(script) },
    env: {},
    onFault: () => undefined,
    ...options,
  })
  onTestFinished(() => box.stop(100))
  return box
}

test('a task runs to its end and tells what it knows and used', async () => {
  const { tool, seen } = held()
  const box = await open({ agents: [agentOf(tool)] })
  const task = await box.start(agentOf(tool), { goal: 'x' }, { id: 't', by: 'pager' })
  await until(() => seen.started === 1)
  seen.release()
  expect(await task.result()).toMatchObject({
    status: 'done',
    outcome: 'done',
    context: { goal: 'x', note: 'n' },
    startedBy: 'pager',
    usage: { steps: 3, turns: 2 },
  })
})

test('its events are told live, whole and once, and from any point on', async () => {
  const { tool, seen } = held()
  const box = await open({ agents: [agentOf(tool)] })
  const task = await box.start(agentOf(tool), {}, { id: 't' })
  const told: number[] = []
  const following = (async () => {
    for await (const { seq } of task.events()) told.push(seq)
  })()
  await until(() => seen.started === 1 && told.length > 0)
  seen.release()
  await following
  const { seq } = await box.show('t')
  expect(told).toEqual(Array.from({ length: seq }, (_, index) => index + 1))
  const rest: number[] = []
  for await (const event of task.events({ afterSeq: seq - 2 })) rest.push(event.seq)
  expect(rest).toEqual([seq - 1, seq])
})

test('calls of one answer that come back at the same time are each made once, however the commits fall between them', async () => {
  const made = new Map<string, number>()
  const act = defineTool({
    name: 'act',
    description: 'Must not be done twice.',
    inputSchema: z.object({ at: z.number() }),
    effect: 'external',
    execute: async ({ at }, { idempotencyKey }) => {
      made.set(idempotencyKey, (made.get(idempotencyKey) ?? 0) + 1)
      await new Promise((wake) => setTimeout(wake, 5 + (at % 3)))
    },
  })
  const calls = Array.from({ length: 8 }, (_, at) => ({ name: 'act', arguments: { at } }))
  const eight: Script = ({ turn }) => (turn === 1 ? { calls } : { calls: [{ name: 'OK', arguments: { note: 'n' } }] })
  const box = await open({ agents: [agentOf(act as never)], models: { main: scriptedModel(eight) } })
  const tasks = await Promise.all(Array.from({ length: 20 }, () => box.start(agentOf(act as never), {})))
  for (const task of tasks) expect((await task.result()).outcome).toBe('done')
  expect(made.size).toBe(160)
  expect(new Set(made.values())).toEqual(new Set([1]))
})

describe('a task that is started again by its id', () => {
  test('is the same task when agent and input are the same', async () => {
    const { tool } = held()
    const box = await open({ agents: [agentOf(tool)] })
    await box.start(agentOf(tool), { goal: 'x' }, { id: 't' })
    await box.start(agentOf(tool), { goal: 'x' }, { id: 't' })
    expect((await box.tasks()).length).toBe(1)
  })

  test('is refused when the input is another', async () => {
    const { tool } = held()
    const box = await open({ agents: [agentOf(tool)] })
    await box.start(agentOf(tool), { goal: 'x' }, { id: 't' })
    await expect(box.start(agentOf(tool), { goal: 'y' }, { id: 't' })).rejects.toMatchObject({ code: 'TASK_EXISTS' })
  })
})

describe('a task that a worker holds', () => {
  test('A20: is cancelled: its tool is called off, nothing more is done, and the log has the name', async () => {
    const { tool, seen } = held()
    const box = await open({ agents: [agentOf(tool)] })
    const task = await box.start(agentOf(tool), {}, { id: 't' })
    await until(() => seen.started === 1)
    await box.cancel('t', { by: 'ana', reason: 'stop it' })
    expect(await task.result()).toMatchObject({ status: 'cancelled', outcome: 'cancelled' })
    await until(() => seen.aborted === 1)
    const events = await box.store.read('t')
    expect(events.at(-2)).toMatchObject({ type: 'task.cancelled', data: { by: 'ana', reason: 'stop it' } })
    await expect(box.cancel('t', { by: 'ana', reason: 'again' })).rejects.toMatchObject({ code: 'TASK_ENDED' })
  })

  test('A20: is cancelled by another process too, within the time of a heartbeat', async () => {
    const { tool, seen } = held()
    const store = await address()
    const box = await open({ agents: [agentOf(tool)], store })
    const other = await open({ store })
    await box.start(agentOf(tool), {}, { id: 't' })
    await until(() => seen.started === 1)
    await other.cancel('t', { by: 'ana', reason: 'from afar' })
    await until(() => seen.aborted === 1)
    expect((await other.show('t')).status).toBe('cancelled')
  })

  test('A4: is signalled while its tool runs: the tool starts once, and the signal is kept', async () => {
    const { tool, seen } = held()
    const box = await open({ agents: [agentOf(tool)] })
    const task = await box.start(agentOf(tool), {}, { id: 't' })
    await until(() => seen.started === 1)
    for (let number = 0; number < 5; number += 1)
      await box.signal('t', { name: 's', data: number, by: 'test', key: String(number % 2) })
    seen.release()
    await task.result()
    expect(seen.started).toBe(1)
    const events = await box.store.read('t')
    expect(events.filter(({ type }) => type === 'signal.received').length).toBe(2)
    expect((await box.verify('t')).findings).toEqual([])
  })

  test('stays in hand when the store goes away just when somebody else has written to it', async () => {
    const { tool, seen } = held()
    const real = await opened()
    let awayFor = 0
    const store = new Proxy(real, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name !== 'read' || awayFor === 0) return value.bind(target) as unknown
        awayFor -= 1
        return () => Promise.reject(new Fault('STORE_FAILED', 'The connection was lost.', 'Wait.'))
      },
    })
    const box = await open({ agents: [agentOf(tool)], store })
    const task = await box.start(agentOf(tool), {}, { id: 't' })
    await until(() => seen.started === 1)
    const unwatch = real.watch(() => (awayFor = 2))
    await box.signal('t', { name: 's', data: null, by: 'test' })
    unwatch()
    await until(() => awayFor === 0)
    seen.release()
    await task.result()
    expect(seen).toMatchObject({ started: 1, aborted: 0 })
  })

  // Rows are held one by one in a server only.
  testOnce('is not claimed by it once more when its lease ran out because somebody held its row', async () => {
    const { tool, seen } = held()
    const store = await postgresAddress()
    const box = await open({ agents: [agentOf(tool)], store, leaseMs: 300 })
    const task = await box.start(agentOf(tool), {}, { id: 't' })
    await until(() => seen.started === 1)
    await asOwner(store, async (sql) => {
      await sql(`BEGIN; SELECT 1 FROM jobs WHERE taskId = 't' FOR UPDATE`)
      await new Promise((wake) => setTimeout(wake, 700))
      await sql('COMMIT')
    })
    await new Promise((wake) => setTimeout(wake, 300))
    seen.release()
    await task.result()
    expect(seen).toMatchObject({ started: 1, aborted: 0 })
  })
})

test('a worker that stops lets its step end, and another goes on behind it', async () => {
  const { tool, seen } = held()
  const store = await address()
  const first = await open({ agents: [agentOf(tool)], store })
  await first.start(agentOf(tool), {}, { id: 't' })
  await until(() => seen.started === 1)
  setTimeout(() => seen.release(), 50)
  await first.stop(5_000)
  expect(seen).toMatchObject({ started: 1, aborted: 0 })

  const second = await open({ agents: [agentOf(tool)], store })
  expect(await second.task('t').result()).toMatchObject({ outcome: 'done' })
  expect(seen.started).toBe(1)
  const types = (await second.store.read('t')).map(({ type }) => type)
  expect(types).not.toContain('step.lost')
})

test('a worker that must stop before its step ends calls it off, and another does it again at once', async () => {
  const { tool, seen } = held()
  const store = await address()
  const first = await open({ agents: [agentOf(tool)], store, leaseMs: 60_000 })
  await first.start(agentOf(tool), {}, { id: 't' })
  await until(() => seen.started === 1)
  await first.stop(20)
  expect(seen.aborted).toBe(1)

  const second = await open({ agents: [agentOf(tool)], store })
  await until(() => seen.started === 2)
  seen.release()
  await second.task('t').result()
  const types = (await second.store.read('t')).map(({ type }) => type)
  expect(types.filter((type) => type === 'step.lost').length).toBe(1)
})

test('a task that waits for a human although a step of it is due to be tried again is in nobody’s hands', async () => {
  const store = await opened()
  const kept: boolean[] = []
  const commit: Store['commit'] = async (given) => {
    const committed = await store.commit(given)
    if (given.events.some(({ type }) => type === 'human.asked')) kept.push(given.keep === true)
    expect(committed.ok, 'nobody writes to a task that was given back').toBe(true)
    return committed
  }
  const seen = changedStore(store, { commit })
  // It has used more than half of what it may when its first try has failed.
  const failing = scriptedModel(() => ({ drop: 'before' }))
  const spent = agentOf(held().tool, { outputTokens: 300 })
  const box = await open({ store: seen, agents: [spent], models: { main: failing } })
  const task = await box.start(spent, {}, { id: 't', limits: { tokens: 1_000, soft: 0.5 } })
  expect(await task.rest()).toMatchObject({ waitsFor: 'human', inbox: [{ kind: 'budget' }] })
  await until(() => box.pulse()?.held === 0)
  expect(kept).toEqual([false])
})

test('a tool that never settles has failed at its deadline, and the model is told', async () => {
  const never = defineTool({
    name: 'hold',
    description: 'd',
    inputSchema: z.object({}),
    timeout: '50ms',
    execute: () => new Promise(() => undefined),
  })
  const box = await open({ agents: [agentOf(never)] })
  const task = await box.start(agentOf(never), {})
  await task.result()
  expect((await box.store.read(task.id)).find(({ type }) => type === 'tool.failed')).toMatchObject({
    data: { class: 'timeout' },
  })
})

test('a model that never answers leaves its state by $timeout', async () => {
  const { tool } = held()
  const agent = agentOf(tool, { timeout: '50ms' })
  const box = await open({ agents: [agent], models: { main: scriptedModel([{ hang: true }]) } })
  const task = await box.start(agent, {})
  expect(await task.result()).toMatchObject({ outcome: 'failed' })
  expect((await box.store.read(task.id)).find(({ type }) => type === 'transition.taken')).toMatchObject({
    data: { exit: '$timeout' },
  })
})

test.each<[string, () => unknown, string]>([
  [
    'an Error',
    () => {
      throw new Error('boom')
    },
    'boom',
  ],
  [
    'a text',
    () => {
      throw 'boom'
    },
    'boom',
  ],
  [
    'undefined',
    () => {
      throw undefined
    },
    'undefined',
  ],
  [
    'an object in a circle',
    () => {
      const circle: Record<string, unknown> = {}
      circle['self'] = circle
      throw circle
    },
    '[object Object]',
  ],
  ['nothing, but answers with a bigint', () => 1n, 'not JSON'],
  [
    'nothing, but answers with a circle',
    () => {
      const circle: Record<string, unknown> = {}
      circle['self'] = circle
      return circle
    },
    'not JSON',
  ],
  ['nothing, but answers with half a surrogate pair', () => '\ud800', 'surrogate'],
  ['nothing, but answers with NaN inside', () => ({ n: Number.NaN }), 'NaN'],
])('T11: a tool that throws %s has failed, as a fact', async (_, execute, says) => {
  const odd = defineTool({ name: 'hold', description: 'd', inputSchema: z.object({}), retry: { attempts: 1 }, execute })
  const box = await open({ agents: [agentOf(odd)] })
  const task = await box.start(agentOf(odd), {})
  expect((await task.result()).outcome).toBe('done')
  const failed = (await box.store.read(task.id)).find(({ type }) => type === 'tool.failed')
  expect((failed!.data as { message: string }).message).toContain(says)
})

test('A61 in small: a thousand tasks at once all end, each with its own log', { timeout: 60_000 }, async () => {
  const quick = defineTool({ name: 'hold', description: 'd', inputSchema: z.object({}), execute: () => 'quick' })
  const box = await open({ agents: [agentOf(quick)], concurrency: 200 })
  const tasks = await Promise.all(
    Array.from({ length: 1_000 }, (_, number) => box.start(agentOf(quick), { goal: String(number) })),
  )
  const views = await Promise.all(tasks.map((task) => task.result()))
  expect(views.every(({ outcome }) => outcome === 'done')).toBe(true)
  expect(new Set(views.map((view) => view.context['goal'])).size).toBe(1_000)
  expect((await box.verify()).findings).toEqual([])
})

test('a task whose decision fails is left until its lease runs out, and keeps no worker busy', async () => {
  let asked = 0
  const faults: unknown[] = []
  const treacherous = defineTool({
    name: 'hold',
    description: 'd',
    inputSchema: z
      .object({ now: z.boolean().default(true) })
      .refine(({ now }) => now || (Promise.resolve(true) as never)),
    execute: () => null,
  })
  const script = () => ((asked += 1), { calls: [{ name: 'hold', arguments: { now: false } }] })
  const box = await open({
    agents: [agentOf(treacherous as never)],
    models: { main: scriptedModel(script) },
    leaseMs: 60_000,
    onFault: (fault) => faults.push(fault),
  })
  await box.start(agentOf(treacherous as never), {})
  await until(() => faults.length === 1)
  await new Promise((wake) => setTimeout(wake, 500))
  expect(asked).toBe(1)
  expect(faults).toMatchObject([{ code: 'SCHEMA_ASYNC' }])
})

describe('before anything is written', () => {
  test.each<[string, (agent: Agent<any, any>) => Omit<OrchestratorOptions, 'store'>, string]>([
    ['an agent that is not sound', (agent) => ({ agents: [{ ...agent, initial: 'nope' } as never] }), 'AGENT_UNSOUND'],
    ['two agents of one name', (agent) => ({ agents: [agent, { ...agent, version: '2' } as never] }), 'CONFIG_INVALID'],
    ['a model nobody knows', (agent) => ({ agents: [agent], models: {} }), 'MODEL_UNKNOWN'],
  ])('%s is refused', async (_, options, code) => {
    const store = await address()
    const { tool } = held()
    await expect(
      createOrchestrator({
        store,
        models: { main: scriptedModel(script) },
        env: {},
        ...options(agentOf(tool)),
      }),
    ).rejects.toMatchObject({ code })
    await expect(openStore(store, { runtime: systemRuntime, create: false })).rejects.toMatchObject({
      code: 'STORE_MISSING',
    })
  })

  test.each<[string, string, unknown, object, string]>([
    ['an agent that is not here', 'nobody', {}, {}, 'AGENT_UNKNOWN'],
    ['an input that does not fit', 'a', { goal: 3 }, {}, 'INPUT_INVALID'],
    ['an id that could not be typed', 'a', {}, { id: 'a b' }, 'INPUT_INVALID'],
    ['a limit that is none', 'a', {}, { limits: { steps: 0 } }, 'INPUT_INVALID'],
  ])('%s is refused', async (_, name, input, options, code) => {
    const { tool } = held()
    const box = await open({ agents: [agentOf(tool)] })
    await expect(box.start(name, input as never, options)).rejects.toMatchObject({ code })
    expect(await box.tasks()).toEqual([])
  })

  test('what is not there is named: a task, an item', async () => {
    const box = await open({})
    await expect(box.show('nope')).rejects.toMatchObject({ code: 'TASK_UNKNOWN' })
    await expect(box.cancel('nope', { by: 'x', reason: 'y' })).rejects.toMatchObject({ code: 'TASK_UNKNOWN' })
    await expect(box.answer('nope', { decision: 'x', by: 'x', reason: 'y' })).rejects.toMatchObject({
      code: 'ITEM_UNKNOWN',
    })
    await expect(box.answer('nope.3', { decision: 'x', by: 'x', reason: 'y' })).rejects.toMatchObject({
      code: 'ITEM_UNKNOWN',
    })
  })
})

test('H01, H04: of two humans who answer at once one is heard, and the other is told', async () => {
  const agent = defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: 'ask',
    on,
    states: { ask: { human: { question: '?' }, on: { yes: 'done', no: 'failed' } }, ...ends },
  })
  const box = await open({ agents: [agent] })
  const task = await box.start(agent, {})
  const { inbox } = await task.rest()
  const answers = await Promise.allSettled(
    ['yes', 'no', 'yes', 'no'].map((decision, index) =>
      box.answer(inbox[0]!.item, { decision, by: `h${index}`, reason: 'r' }),
    ),
  )
  expect(answers.filter(({ status }) => status === 'fulfilled').length).toBe(1)
  expect(
    answers
      .filter((answer) => answer.status === 'rejected')
      .every(({ reason }) => (reason as { code: string }).code === 'ITEM_CLOSED'),
  ).toBe(true)
  await task.result()
  expect((await box.store.read(task.id)).filter(({ type }) => type === 'human.answered').length).toBe(1)
})
