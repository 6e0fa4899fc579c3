// Places, rates and breakers under a virtual clock and over a real store: what many seconds do to those who wait.

import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { compileChecked } from '../src/core/check.ts'
import { proceed } from '../src/core/decide.ts'
import { start } from '../src/core/start.ts'
import { genesis } from '../src/store/log.ts'
import type { Model, Reply } from '../src/core/model.ts'
import { defineTool, type Tool } from '../src/core/tool.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { scriptedModel } from '../src/providers/scripted.ts'
import { VirtualClock } from './clock.ts'
import { address, opened, test } from './engines.ts'

const agentOf = (states: Record<string, State<any, any>>, change: object = {}): Agent<any, any> =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({ who: { schema: z.string(), initial: '' } }),
    initial: Object.keys(states)[0]!,
    on: { $error: 'failed', $timeout: 'failed' },
    states: { ...states, done: { type: 'final' }, failed: { type: 'final', failure: true } },
    ...change,
  } as never)

async function open(agent: Agent<any, any>, options: Partial<OrchestratorOptions> = {}) {
  const clock = new VirtualClock()
  const faults: unknown[] = []
  const box = await createOrchestrator({
    store: await clock.open(await address()),
    agents: [agent],
    env: {},
    runtime: clock,
    onFault: (fault) => void faults.push(fault),
    ...options,
  })
  onTestFinished(() => clock.until(box.stop(10)))
  const sleep = (ms: number): Promise<void> => new Promise((wake) => void clock.setTimer(ms, wake))
  return { clock, box, faults, sleep, pass: (ms: number) => clock.until(sleep(ms)) }
}

const ended = async (box: Orchestrator, clock: VirtualClock, ...ids: string[]): Promise<(string | null)[]> => {
  const views = await clock.until(Promise.all(ids.map((id) => box.task(id).result())))
  return views.map(({ outcome }) => outcome)
}

describe('a tool that may be called so often in a stretch of time', () => {
  const limited = (begun: number[], fails: (taskId: string) => boolean, now: () => number): Tool<any> =>
    defineTool({
      name: 'limited',
      description: 'd',
      inputSchema: z.object({}),
      timeout: '10m',
      retry: { attempts: 6 },
      breaker: { failures: 1_000 },
      rate: { calls: 2, per: '60s' },
      execute: (_, { taskId }) => {
        begun.push(now())
        if (fails(taskId)) throw new Error('not today')
      },
    })

  test('is not called more often where one call is tried again and again', async () => {
    const begun: number[] = []
    let now = (): number => 0
    const tool = limited(
      begun,
      (id) => id === 'stubborn',
      () => now(),
    )
    const { box, clock } = await open(agentOf({ act: { tool, args: () => ({}), on: { DONE: 'done' } } }))
    now = () => clock.now()
    await box.start('a', {}, { id: 'stubborn' })
    expect(await ended(box, clock, 'stubborn')).toEqual(['failed'])
    expect(begun.length).toBe(6)
    for (const ms of begun) expect(begun.filter((other) => other >= ms && other < ms + 60_000).length).toBeLessThan(3)
  })

  test('lets who is tried again wait in the queue like others: who comes later comes later', async () => {
    const order: string[] = []
    let now = (): number => 0
    const begun: number[] = []
    const inner = limited(
      begun,
      (id) => id === 't0' && order.filter((other) => other === 't0').length < 2,
      () => now(),
    )
    const tool = { ...inner, execute: (given: any, call: any) => (order.push(call.taskId), inner.execute(given, call)) }
    const { box, clock, pass } = await open(agentOf({ act: { tool, args: () => ({}), on: { DONE: 'done' } } }))
    now = () => clock.now()
    const ids = Array.from({ length: 7 }, (_, at) => `t${at}`)
    for (const id of ids) {
      await box.start('a', {}, { id })
      await pass(1_500)
    }
    expect(await ended(box, clock, ...ids)).toEqual(ids.map(() => 'done'))
    // t0 begins, and begins again before those who came after it.
    expect(order[0]).toBe('t0')
    expect(order.filter((id) => id === 't0')).toHaveLength(2)
    expect(order.indexOf('t0', 1)).toBeLessThan(order.indexOf('t4'))
    for (const ms of begun) expect(begun.filter((other) => other >= ms && other < ms + 60_000).length).toBeLessThan(3)
  })
})

test('a call that is written down after a later one is held against all that began before it', async () => {
  const tool = defineTool({
    name: 'limited',
    description: 'd',
    inputSchema: z.object({}),
    rate: { calls: 2, per: '400ms' },
    execute: () => null,
  })
  const machine = compileChecked(agentOf({ act: { tool, args: () => ({}), on: { DONE: 'done' } } }))
  const store = await opened()
  const tryAt = (taskId: string, nowMs: number) => {
    const work = start(machine, { taskId, definition: 'd', input: {}, by: 'test', seed: 1, limits: {} }, nowMs)
    proceed(machine, work)
    const { events, task, admits, takes } = work
    return store.commit({ point: 'start', head: genesis, events, task, gates: { admits, takes, nowMs } })
  }
  for (const [taskId, nowMs] of [
    ['first', 1_000],
    ['second', 1_001],
    ['later', 1_401],
  ] as const)
    expect(await tryAt(taskId, nowMs)).toMatchObject({ ok: true })
  // Decided on before the one that is there already, and within the stretch of the first two.
  expect(await tryAt('late', 1_399)).toMatchObject({ ok: false, reason: 'gates' })
})

test('a step that waits for a place in a task that is busy with another is called up when the place is free, and holds up nobody', async () => {
  let sleep: (ms: number) => Promise<void> = async () => undefined
  const lim = defineTool({
    name: 'lim',
    description: 'd',
    inputSchema: z.object({ ms: z.number() }),
    timeout: '30s',
    concurrency: 1,
    execute: ({ ms }) => sleep(ms),
  })
  const slow = defineTool({
    name: 'slow',
    description: 'd',
    inputSchema: z.object({}),
    timeout: '60s',
    execute: () => sleep(40_000),
  })
  const agent = agentOf({
    think: {
      model: 'main',
      prompt: ({ context }) => String(context.who),
      tools: [lim, slow],
      timeout: '2m',
      on: { OK: 'done' },
    },
  })
  const model = scriptedModel(({ prompt, turn }) => {
    if (turn > 1) return { calls: [{ name: 'OK' }] }
    const wants = { name: 'lim', arguments: { ms: prompt === 'first' ? 500 : 100 } }
    return { calls: prompt === 'busy' ? [{ name: 'slow' }, wants] : [wants] }
  })
  const opened = await open(agent, { models: { main: model } })
  const { box, clock, pass } = opened
  sleep = opened.sleep
  for (const who of ['first', 'busy', 'last']) {
    await box.start('a', { who }, { id: who })
    await pass(50)
  }
  expect(await ended(box, clock, 'first', 'busy', 'last')).toEqual(['done', 'done', 'done'])
  for (const id of ['first', 'busy', 'last']) {
    const events = await box.store.read(id)
    expect(events.filter(({ type }) => type === 'tool.failed')).toEqual([])
    const asked = events.find(({ type, data }) => type === 'tool.called' && data.tool === 'lim')!
    // The place is free after half a second; each holds it for a tenth of one.
    expect(asked.at - events[0]!.at).toBeLessThan(2_500)
  }
})

test('A45: a probe whose task is taken back lets another try at once', async () => {
  let mode: 'fails' | 'hangs' | 'well' = 'fails'
  const usage = {
    inputTokens: 1,
    outputTokens: 1,
    cachedInputTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  }
  const content = [{ type: 'call' as const, id: '', name: 'OK', arguments: {} }]
  const model: Model = {
    provider: 'p',
    modelId: 'm',
    call: async (_, signal): Promise<Reply> => {
      if (mode === 'fails') return { ok: false, failure: { class: 'overload', message: 'm', unbilled: true } }
      if (mode === 'well')
        return { ok: true, answer: { provider: 'p', modelId: 'm', content, finish: 'tool-calls', usage } }
      await new Promise((gone) => signal.addEventListener('abort', gone))
      return { ok: false, failure: { class: 'abort', message: 'called off' } }
    },
  }
  const agent = agentOf({
    wait: { wait: { signal: 'go' }, checkpoint: 'begun', on: { DONE: 'think' } },
    think: { model: 'main', prompt: 'p', timeout: '20m', on: { OK: 'done' } },
  })
  const quotas = { main: { breaker: { failures: 1, coolDown: '5s' as const } } }
  const { box, clock, pass } = await open(agent, { models: { main: model }, quotas })
  const go = async (id: string): Promise<void> => {
    await box.start('a', {}, { id })
    await pass(10)
    await box.signal(id, { name: 'go', data: {}, by: 'test' })
    await pass(100)
  }
  await go('probing')
  mode = 'hangs'
  await pass(10_000)
  expect(await box.gates()).toMatchObject([{ key: 'model:main', status: 'half-open' }])
  await box.rollback('probing', { to: 'begun', by: 'ana', reason: 'r' })
  await pass(100)
  mode = 'well'
  const begunMs = clock.now()
  await go('next')
  expect(await ended(box, clock, 'next')).toEqual(['done'])
  expect(clock.now() - begunMs).toBeLessThan(10_000)
})

test('a task whose time is over and that asks a human waits for as long as it takes, and is in the inbox', async () => {
  const agent = agentOf(
    {
      wait: { wait: { signal: 'never' }, on: { DONE: 'done', $limit: 'ask' } },
      ask: { human: { question: 'What now?' }, on: { end: 'failed' } },
    },
    { limits: { duration: '10s' } },
  )
  const { box, pass, faults, clock } = await open(agent)
  await box.start('a', {}, { id: 't' })
  await pass(3_600_000)
  expect(faults).toEqual([])
  expect(await box.show('t')).toMatchObject({ status: 'waiting', waitsFor: 'human', state: 'ask' })
  const [item] = await box.inbox()
  await box.answer(item!.item, { decision: 'end', by: 'ana', reason: 'r' })
  expect(await ended(box, clock, 't')).toEqual(['failed'])
})
