// The scenarios of limits and resilience, end to end: a real store, a real worker, and where the wire matters the scripted
// model behind a real socket.

import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import type { EventData, EventType } from '../src/core/event.ts'
import type { Limits } from '../src/core/limits.ts'
import type { Model, Reply } from '../src/core/model.ts'
import { costOf } from '../src/core/price.ts'
import { defineTool } from '../src/core/tool.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { startMockServer, type MockServer } from '../src/providers/mock-server.ts'
import { scriptedModel, type Script, type ScriptAnswer } from '../src/providers/scripted.ts'
import type { Store } from '../src/store/store.ts'
import { VirtualClock } from './clock.ts'
import { address, opened, test } from './engines.ts'
import { Effects } from './ledger.ts'
import { until } from './until.ts'
import { changedStore } from './changed-store.ts'

const effects = new Effects()
const destroy = defineTool({
  name: 'destroy',
  description: 'Cannot be undone.',
  inputSchema: z.object({ what: z.string() }),
  effect: 'external',
  execute: (_, { idempotencyKey }) => effects.act(idempotencyKey, 'destroyed'),
})
const look = defineTool({
  name: 'look',
  description: 'Looks.',
  inputSchema: z.object({ at: z.number() }),
  execute: ({ at }) => at,
})

const ends = { done: { type: 'final' }, fallback: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const agentOf = (states: Record<string, State<any, any>>, limits: Limits<any> = {}, on: object = {}): Agent<any, any> =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({ note: z.string().optional() }),
    initial: Object.keys(states)[0]!,
    limits,
    on: { $error: 'failed', $timeout: 'fallback', $refused: 'failed', ...on },
    states: { ...states, ...ends } as never,
  })
const asks = (change: object = {}): State<any, any> => ({
  model: 'main',
  prompt: 'p',
  tools: [look],
  on: { OK: 'done' },
  ...change,
})

async function serve(script: Script): Promise<MockServer> {
  const server = await startMockServer(script)
  onTestFinished(() => server.close())
  return server
}

async function open(agent: Agent<any, any>, options: Partial<OrchestratorOptions> = {}): Promise<Orchestrator> {
  const box = await createOrchestrator({
    store:
      options.store ??
      (await (options.runtime instanceof VirtualClock ? options.runtime.open(await address()) : address())),
    agents: [agent],
    env: {},
    onFault: () => undefined,
    ...options,
  })
  onTestFinished(() => box.stop(100))
  return box
}

const over = (server: MockServer): { env: Record<string, string> } => ({
  env: { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' },
})

/** The data of every event of a type in a task's log. */
async function all<Type extends EventType>(box: Orchestrator, taskId: string, type: Type): Promise<EventData[Type][]> {
  const events = await box.store.read(taskId)
  return events.flatMap((event) => (event.type === type ? [event.data as EventData[Type]] : []))
}

test('A1, T03: a payment that fails twice with 503 and then works has one effect, three attempts, and one key', async () => {
  const paid = new Effects()
  const keys: string[] = []
  const pay = defineTool({
    name: 'pay',
    description: 'Pays.',
    inputSchema: z.object({}),
    effect: 'external',
    idempotent: true,
    retry: { attempts: 3 },
    execute: (_, { idempotencyKey }) => {
      keys.push(idempotencyKey)
      if (keys.length < 3) throw new Error('503')
      paid.act(idempotencyKey, 'paid')
      return 'paid'
    },
  })
  const box = await open(
    agentOf({ act: { tool: pay, args: () => ({}), on: { DONE: 'done' } }, spare: asks() }, {}, { $limit: 'spare' }),
    {
      models: { main: scriptedModel([]) },
    },
  )
  const { outcome } = await (await box.start('a', {}, { id: 't' })).result()
  expect(outcome).toBe('done')
  expect(paid.perKey).toEqual([1])
  expect(new Set(keys)).toEqual(new Set(['t.1']))
  const delays = (await all(box, 't', 'tool.failed')).map(({ retry }) => retry!.delayMs)
  expect(delays.length).toBe(2)
  expect(delays[0]).toBeGreaterThanOrEqual(500)
  expect(delays[0]).toBeLessThanOrEqual(1_500)
  expect(delays[1]).toBeLessThanOrEqual(3 * Math.max(500, delays[0]!))
  // What the log says about time is what happened.
  const events = await box.store.read('t')
  const [first, second] = events.filter(({ type }) => type === 'tool.called')
  expect(second!.at - first!.at).toBeGreaterThanOrEqual(delays[0]!)
})

test('A6, T01: a tool that goes on past its deadline is called off; what it answers is kept as late, not applied, not done again', async () => {
  const seen = { started: 0, aborted: 0, finish: (): void => undefined }
  const slow = defineTool({
    name: 'slow',
    description: 'Does not listen.',
    inputSchema: z.object({}),
    effect: 'external',
    timeout: '50ms',
    execute: (_, { signal }) =>
      new Promise((resolve) => {
        seen.started += 1
        signal.addEventListener('abort', () => (seen.aborted += 1))
        seen.finish = () => resolve('done after all')
      }),
  })
  const box = await open(agentOf({ act: { tool: slow, args: () => ({}), on: { DONE: 'done', $doubt: 'fallback' } } }))
  const { outcome } = await (await box.start('a', {}, { id: 't' })).result()
  expect(outcome).toBe('fallback')
  expect(seen.aborted).toBe(1)
  seen.finish()
  await until(async () => (await all(box, 't', 'step.late')).length === 1)
  expect(await all(box, 't', 'step.late')).toMatchObject([
    { step: 1, attempt: 1, kind: 'tool', result: 'done after all' },
  ])
  expect(seen.started).toBe(1)
  expect((await box.show('t')).outcome).toBe('fallback')
  expect(await box.verify('t')).toMatchObject({ findings: [] })
})

describe('A18, T02: a tool that answers "retry" for ever, and a model that does as it is told', () => {
  const price = { inputUsdPerMillion: 1, outputUsdPerMillion: 2 }
  const usage = { inputTokens: 100, outputTokens: 10 }
  const microsPerTurn = 120

  /** Runs it until it stops; `at` says what is tried in each turn. */
  const loop = async (limits: Limits<any>, change: object, at: (turn: number) => number) => {
    const tries = new Effects()
    const flaky = defineTool({
      name: 'flaky',
      description: 'Says what it always says.',
      inputSchema: z.object({ at: z.number() }),
      execute: (_, { idempotencyKey }) => {
        tries.act(idempotencyKey, 'tried')
        return { error: 'busy', retry: true }
      },
    })
    const server = await serve(({ number }) => ({ calls: [{ name: 'flaky', arguments: { at: at(number) } }], usage }))
    const agent = agentOf(
      { ask: asks({ tools: [flaky], turns: 1_000, ...change }) },
      { tokens: 100_000_000, ...limits },
      { $limit: 'fallback', $stuck: 'fallback', $turns: 'fallback' },
    )
    const box = await open(agent, { ...over(server), prices: { main: price } })
    const { outcome, usage: used } = await (await box.start('a', {}, { id: 't' })).result()
    const asked = server.requests
    // What each turn cost is known, and nobody was asked who is not in the sum.
    expect(used).toMatchObject({ turns: asked, costMicros: asked * microsPerTurn, unpriced: 0 })
    expect(tries.perKey).toEqual(tries.all.map(() => 1))
    const [reached, ...more] = await all(box, 't', 'limit.reached')
    expect(more).toEqual([])
    const [left] = await all(box, 't', 'transition.taken')
    return { tried: tries.all.length, asked, steps: used.steps, reached, left, outcome }
  }
  const byWayOf = (exit: string) => ({ left: { source: 'ask', exit, target: 'fallback' }, outcome: 'fallback' })
  const anew = (turn: number): number => turn

  test.each([1, 2, 3, 7])(
    'A18: stops at the limit of %i identical calls, and goes to its fallback',
    async (repeats) => {
      expect(await loop({}, { repeats }, () => 1)).toMatchObject({
        tried: repeats,
        asked: repeats,
        reached: { limit: 'repeats', max: repeats, state: 'ask' },
        ...byWayOf('$stuck'),
      })
    },
  )

  test.each([1, 2, 9])(
    'A18: stops at the limit of %i calls of one tool, whatever is asked of it',
    async (toolCalls) => {
      expect(await loop({ toolCalls }, {}, anew)).toMatchObject({
        tried: toolCalls,
        asked: toolCalls + 1,
        reached: { limit: 'toolCalls', max: toolCalls, state: 'ask' },
        ...byWayOf('$limit'),
      })
    },
  )

  test.each([1, 2, 9])('A18: stops at the limit of %i steps, be the next a question or a call', async (steps) => {
    expect(await loop({ steps }, {}, anew)).toMatchObject({
      steps,
      asked: Math.ceil(steps / 2),
      tried: Math.floor(steps / 2),
      reached: { limit: 'steps', max: steps, state: 'ask' },
      ...byWayOf('$limit'),
    })
  })

  test('A18: where nobody set a limit it stops at the third identical call', async () => {
    expect(await loop({}, { turns: undefined }, () => 1)).toMatchObject({ tried: 3, asked: 3, ...byWayOf('$stuck') })
  })
})

describe('A22, M05, M06: a provider that answers 429 and 503', () => {
  test('is asked no more often than the policy says, at the times it asked for, and then the next model is', async () => {
    const server = await serve(({ number, model }) => {
      if (model === 'mock' && number === 1) return { status: 429, headers: { 'retry-after-ms': '900' } }
      if (number <= 3) return { status: 503, body: '<html>sorry</html>' }
      return { calls: [{ name: 'OK' }] }
    })
    const agent = agentOf({ ask: asks({ model: ['main', 'backup'], retry: { attempts: 3 } }) })
    const box = await open(agent, over(server))
    expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('done')
    expect(server.requests).toBe(4)
    const failures = await all(box, 't', 'model.failed')
    expect(failures.map(({ class: kind, status, retry }) => [kind, status, retry?.reason])).toEqual([
      ['rate-limit', 429, expect.stringMatching(/retry-after|jitter/)],
      ['overload', 503, 'jitter'],
      ['overload', 503, 'fallback'],
    ])
    expect(failures[0]!.retry!.delayMs).toBeGreaterThanOrEqual(900)
    expect((await all(box, 't', 'model.called')).map(({ model }) => model)).toEqual(['main', 'main', 'main', 'backup'])
  })

  test.each<[string, Record<string, string>]>([
    ['far in the future', { 'retry-after': '86400' }],
    ['a date next year', { 'retry-after': new Date(Date.now() + 3e10).toUTCString() }],
  ])('and wants a wait %s: the deadline of the turn caps it, and nothing is asked again', async (_, headers) => {
    const server = await serve([{ status: 429, headers }, { calls: [{ name: 'OK' }] }])
    const box = await open(agentOf({ ask: asks({ timeout: '5s' }) }), over(server))
    expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('failed')
    expect(server.requests).toBe(1)
  })

  test.each<[string, Record<string, string>]>([
    ['garbage', { 'retry-after': 'soon' }],
    ['negative', { 'retry-after': '-5' }],
  ])('and says %s: the delay is our own', async (_, headers) => {
    const server = await serve([{ status: 429, headers }, { calls: [{ name: 'OK' }] }])
    const box = await open(agentOf({ ask: asks() }), over(server))
    expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('done')
    expect((await all(box, 't', 'model.failed'))[0]!.retry).toMatchObject({ reason: 'jitter' })
  })
})

describe('A24, M20: usage over the wire', () => {
  test.each<[string, Record<string, unknown>]>([
    ['missing', {}],
    ['negative', { inputTokens: -1, outputTokens: -1 }],
    ['nothing at all', { inputTokens: 0, outputTokens: 0 }],
    ['a fraction', { inputTokens: 0.01, outputTokens: 0.5 }],
  ])('%s is charged as it was reserved, and flagged', async (_, usage) => {
    const server = await serve([{ calls: [{ name: 'OK' }], usage }])
    const box = await open(agentOf({ ask: asks() }, { tokens: 20_000 }), over(server))
    await (await box.start('a', {}, { id: 't' })).result()
    const [called] = await all(box, 't', 'model.called')
    const [answered] = await all(box, 't', 'model.answered')
    expect(answered!.charge).toMatchObject({ estimated: true })
    const { inputTokens, outputTokens } = (await box.show('t')).usage
    expect([inputTokens, outputTokens]).toEqual([answered!.charge.inputTokens, answered!.charge.outputTokens])
    expect(inputTokens).toBeLessThanOrEqual(called!.reserved.inputTokens)
    expect(outputTokens).toBeLessThanOrEqual(called!.reserved.outputTokens)
    expect(inputTokens + outputTokens).toBeGreaterThan(0)
  })
})

test('A24, M20: usage that is a text makes the answer unreadable; what it burned is charged as reserved, and flagged', async () => {
  const server = await serve(({ number }) => {
    return { calls: [{ name: 'OK' }], ...(number === 1 ? { usage: { inputTokens: '10', outputTokens: '10' } } : {}) }
  })
  const box = await open(agentOf({ ask: asks() }), over(server))
  expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('done')
  expect(await all(box, 't', 'model.failed')).toMatchObject([{ class: 'malformed', charge: { estimated: true } }])
})

describe('A25, M01: a provider that takes 30 s, in a state that has 300 ms', () => {
  test('is hung up on, the timeout exit is taken at the deadline, and the fallback runs', async () => {
    const server = await serve(({ number }) => ({ calls: [{ name: 'OK' }], delayMs: number === 1 ? 30_000 : 0 }))
    const agent = agentOf({ ask: asks({ timeout: '300ms', on: { OK: 'done', $timeout: 'simpler' } }), simpler: asks() })
    const box = await open(agent, over(server))
    expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('done')
    const events = await box.store.read('t')
    const left = events.find(({ type }) => type === 'transition.taken')!
    expect(left.data).toMatchObject({ source: 'ask', exit: '$timeout', target: 'simpler' })
    const [called] = await all(box, 't', 'model.called')
    expect(left.at).toBeGreaterThanOrEqual(called!.deadlineAtMs)
    expect(server.requests).toBe(2)
    // What the slow one burned is not known: it is charged as it was reserved, and flagged.
    expect((await all(box, 't', 'model.failed'))[0]).toMatchObject({ class: 'timeout', charge: { estimated: true } })
  })
})

describe('under a virtual clock', () => {
  /** A model that answers by the clock of its runtime, after so many milliseconds each time. */
  const timed = (
    clock: VirtualClock,
    ...delays: readonly number[]
  ): { model: Model; seen: { asked: number; abortedAtMs: number[] } } => {
    const seen = { asked: 0, abortedAtMs: [] as number[] }
    const model: Model = {
      provider: 'p',
      modelId: 'm',
      call: (_, signal) =>
        new Promise<Reply>((resolve) => {
          const usage = {
            inputTokens: 10,
            outputTokens: 5,
            cachedInputTokens: null,
            cacheWriteTokens: null,
            reasoningTokens: null,
          }
          const content = [{ type: 'call' as const, id: '', name: 'OK', arguments: {} }]
          const delayMs = delays[seen.asked] ?? 0
          seen.asked += 1
          const answer = { provider: 'p', modelId: 'm', content, finish: 'tool-calls' as const, usage }
          const stop = clock.setTimer(Math.abs(delayMs), () => {
            if (delayMs >= 0) resolve({ ok: true, answer })
            else resolve({ ok: false, failure: { class: 'overload', message: 'm', status: 503, unbilled: true } })
          })
          signal.addEventListener('abort', () => {
            stop()
            seen.abortedAtMs.push(clock.now())
            resolve({ ok: false, failure: { class: 'timeout', message: 'called off' } })
          })
        }),
    }
    return { model, seen }
  }

  test('A25, I8: a provider of 30 s in a state of 5 s: the timeout transition is at 5 s to the millisecond, the request is called off', async () => {
    const clock = new VirtualClock()
    const { model, seen } = timed(clock, 30_000, 100)
    const agent = agentOf({ ask: asks({ timeout: '5s', on: { OK: 'done', $timeout: 'simpler' } }), simpler: asks() })
    const box = await open(agent, { models: { main: model }, runtime: clock })
    const task = await box.start('a', {}, { id: 't' })
    expect((await clock.until(task.result())).outcome).toBe('done')
    const events = await box.store.read('t')
    const [called, again] = events.filter(({ type }) => type === 'model.called')
    const [left, ended] = events.filter(({ type }) => type === 'transition.taken')
    expect(left!.at - called!.at).toBe(5_000)
    expect(left!.data).toMatchObject({ source: 'ask', exit: '$timeout', target: 'simpler' })
    expect(seen).toEqual({ asked: 2, abortedAtMs: [left!.at] })
    // The fallback begins at once, has its own time, and is what the task ends by.
    expect(again!.at).toBe(left!.at)
    expect(ended).toMatchObject({ at: again!.at + 100, data: { source: 'simpler', exit: 'OK', target: 'done' } })
    await clock.until(box.stop(100))
  })

  test('I15: a provider that fails for a while: every try begins when the log said it would, to the millisecond', async () => {
    const clock = new VirtualClock()
    const { model } = timed(clock, -20, -20, -20, 20)
    const box = await open(agentOf({ ask: asks() }), { models: { main: model }, runtime: clock })
    const task = await box.start('a', {}, { id: 't' })
    expect((await clock.until(task.result())).outcome).toBe('done')
    const events = await box.store.read('t')
    const planned = events.flatMap(({ type, data }) =>
      type === 'model.failed' && 'retry' in data && data.retry ? [data.retry.atMs] : [],
    )
    const begun = events.flatMap(({ type, at }) => (type === 'model.called' ? [at] : []))
    expect(planned.length).toBe(3)
    expect(begun.slice(1)).toEqual(planned)
    await clock.until(box.stop(100))
  })

  test('a month passes while a human is awaited: the queue knows when, the question closes, and the exit is taken', async () => {
    const clock = new VirtualClock()
    const states = { ask: { human: { question: '?' }, on: { yes: 'done' } }, spare: asks() } as const
    const agent = agentOf(states, {}, { $limit: 'fallback', $stuck: 'spare' })
    const box = await open(agent, { models: { main: scriptedModel([]) }, runtime: clock })
    const task = await box.start('a', {}, { id: 't' })
    await clock.until(task.rest())
    expect(await box.inbox()).toMatchObject([{ kind: 'question', status: 'open' }])
    const { definition, startedAtMs } = (await box.store.task('t'))!
    expect(await box.store.nextDueMs([definition])).toBe(startedAtMs + 30 * 86_400_000)
    clock.advance(30 * 86_400_000)
    expect((await clock.until(task.result())).outcome).toBe('fallback')
    expect(await box.store.inbox({ taskId: 't' })).toMatchObject([{ status: 'expired' }])
    await clock.until(box.stop(100))
  })
})

describe('A32, T06, M09: more than the window holds', () => {
  const text = Array.from({ length: 50_000 }, (_, line) => `row ${line}: ${'abcdefg '.repeat(4)}`).join('\n')
  const dump = defineTool({ name: 'dump', description: 'Too much.', inputSchema: z.object({}), execute: () => text })
  const page = defineTool({
    name: 'page',
    description: 'A page.',
    inputSchema: z.object({ at: z.number() }),
    execute: ({ at }) => `page ${at} ${'word '.repeat(600)}`,
  })
  /** Every call of every request is answered once, right behind its message. */
  const provesPairs = (server: MockServer): void => {
    for (const body of server.log) {
      const messages = body['messages'] as { role: string; tool_calls?: { id: string }[]; tool_call_id?: string }[]
      for (const [index, { tool_calls: calls = [] }] of messages.entries()) {
        const answers = messages.slice(index + 1, index + 1 + calls.length)
        expect(answers.map((answer) => answer.tool_call_id)).toEqual(calls.map(({ id }) => id))
      }
      expect(messages.filter(({ role }) => role === 'tool').length).toBe(
        messages.flatMap(({ tool_calls: calls = [] }) => calls).length,
      )
    }
  }

  test('A32: a result of 2 MB is kept whole, shown by its head, and read on by the model; no request is larger than the window', async () => {
    expect(text.length).toBeGreaterThan(1_900_000)
    const seen: string[] = []
    const server = await serve(({ turn, results, offers }) => {
      if (turn === 1) return { calls: [{ name: 'dump' }] }
      const last = results.at(-1)!.value as unknown
      const value = (typeof last === 'string' ? JSON.parse(last) : last) as {
        handle: string
        head?: string
        text?: string
        nextStart?: number | null
      }
      seen.push(value.head ?? value.text!)
      if (turn === 5) return { calls: [{ name: 'OK' }] }
      expect(offers.map(({ name }) => name)).toContain('read_result')
      const start = value.nextStart ?? value.head!.length
      return { calls: [{ name: 'read_result', arguments: { handle: value.handle, start } }] }
    })
    const box = await open(agentOf({ ask: asks({ tools: [dump] }) }), { ...over(server), windows: { main: 12_000 } })
    expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('done')
    expect(text.startsWith(seen.join(''))).toBe(true)
    expect(seen.length).toBe(4)
    provesPairs(server)
    for (const body of server.log) expect(JSON.stringify(body['messages']).length).toBeLessThan(4 * 12_000)
    expect((await all(box, 't', 'tool.answered'))[0]!.result).toBe(text)
    expect(await all(box, 't', 'window.cut')).toMatchObject([{ reason: 'window' }])
  })

  describe('that a provider refuses although it was said to fit', () => {
    const body = JSON.stringify({ error: { code: 'context_length_exceeded', message: 'too long' } })
    const windows = { small: 50_000, main: 50_000 }
    /** Two results in one answer, one of them of 2 MB; whoever is `small` takes no thread with results in it. */
    const run = async (model: readonly string[]) => {
      const server = await serve(({ turn, model: asked }) => {
        if (turn === 1) return { calls: [{ name: 'dump' }, { name: 'page', arguments: { at: 1 } }] }
        return asked === 'small' ? { status: 400, body } : { calls: [{ name: 'OK' }] }
      })
      const agent = agentOf({ ask: asks({ model, tools: [dump, page] }) }, {}, { $error: 'fallback' })
      const box = await open(agent, { env: { SIGNALBOX_BASE_URL: server.url }, windows })
      const { outcome } = await (await box.start('a', {}, { id: 't' })).result()
      provesPairs(server)
      const bodies = server.log.map((sent) => JSON.stringify(sent))
      expect(new Set(bodies).size).toBe(bodies.length)
      expect((await all(box, 't', 'tool.answered'))[0]!.result).toBe(text)
      const failed = (await all(box, 't', 'model.failed')).map(({ class: kind, retry }) => [kind, retry?.reason])
      return {
        outcome,
        failed,
        sizes: bodies.map(({ length }) => length),
        models: server.log.map((sent) => sent['model']),
      }
    }

    test('A32: it is sent once more, smaller, and then the next model of the chain answers', async () => {
      const { outcome, failed, sizes, models } = await run(['small', 'main'])
      expect(outcome).toBe('done')
      expect(models).toEqual(['small', 'small', 'small', 'main'])
      expect(failed).toEqual([
        ['context-overflow', 'smaller'],
        ['context-overflow', 'fallback'],
      ])
      expect(sizes[2]).toBeLessThan(0.6 * sizes[1]!)
    })

    test('A32: and where there is no other model the fallback state is entered, after two tries and no more', async () => {
      const { outcome, failed, models } = await run(['small'])
      expect(outcome).toBe('fallback')
      expect(models).toEqual(['small', 'small', 'small'])
      expect(failed).toEqual([
        ['context-overflow', 'smaller'],
        ['context-overflow', undefined],
      ])
    })
  })

  test('A32: a provider that says it is too much is asked once more with less, never with the same', async () => {
    const server = await serve(({ turn, messages }) => {
      const size = JSON.stringify(messages).length
      if (size > 12_000) {
        return {
          status: 400,
          body: JSON.stringify({ error: { code: 'context_length_exceeded', message: 'too long' } }),
        }
      }
      return turn <= 6 && size < 11_000
        ? { calls: [{ name: 'page', arguments: { at: turn + size } }] }
        : { calls: [{ name: 'OK' }] }
    })
    const box = await open(agentOf({ ask: asks({ tools: [page] }) }), over(server))
    expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('done')
    const failures = await all(box, 't', 'model.failed')
    expect(failures.length).toBeGreaterThan(0)
    for (const failure of failures)
      expect(failure).toMatchObject({ class: 'context-overflow', retry: { reason: 'smaller' } })
    const bodies = server.log.map((body) => JSON.stringify(body))
    expect(new Set(bodies).size).toBe(bodies.length)
    expect((await all(box, 't', 'window.cut')).map(({ reason }) => reason)).toContain('overflow')
    provesPairs(server)
  })
})

test('A29, M12: valid arguments of a destructive tool in an answer that was cut are not executed', async () => {
  const before = effects.all.length
  const server = await serve([
    { calls: [{ name: 'destroy', arguments: { what: 'everything' } }], finish: 'length' },
    { calls: [{ name: 'OK' }] },
  ])
  const box = await open(agentOf({ ask: asks({ tools: [destroy] }) }), over(server))
  expect((await (await box.start('a', {}, { id: 't' })).result()).outcome).toBe('done')
  expect(effects.all.length).toBe(before)
  expect(await all(box, 't', 'step.refused')).toMatchObject([{ reason: 'answer-cut', asked: 'destroy' }])
})

describe('A37, D02: a commit that succeeds although the client sees an error', () => {
  /** A store whose n-th write is done and then said to have failed. */
  const lying = (store: Store, at: number): { store: Store; writes: () => number } => {
    let writes = 0
    const commit: Store['commit'] = async (given) => {
      const committed = await store.commit(given)
      writes += 1
      if (writes === at) throw Object.assign(new Error('the connection was lost'), { code: 'STORE_FAILED' })
      return committed
    }
    return {
      store: changedStore(store, { commit }),
      writes: () => writes,
    }
  }
  const script: Script = ({ turn }) =>
    turn === 1 ? { calls: [{ name: 'destroy', arguments: { what: 'x' } }] } : { calls: [{ name: 'OK' }] }
  const run = async (at: number): Promise<number> => {
    const before = effects.all.length
    const real = await opened()
    const { store, writes } = lying(real, at)
    const agent = agentOf(
      { ask: asks({ tools: [destroy] }), ask2: { human: { question: '?' }, on: { yes: 'done' } } },
      {},
      { $limit: 'ask2' },
    )
    const box = await open(agent, { store, models: { main: scriptedModel(script) } })
    const { outcome } = await (await box.start('a', {}, { id: 't' })).result()
    expect(outcome).toBe('done')
    expect(effects.all.length).toBe(before + 1)
    const { findings } = await box.verify('t')
    expect(findings).toEqual([])
    const events = await box.store.read('t')
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
    expect(events.filter(({ type }) => type === 'tool.called').length).toBe(1)
    expect(events.some(({ type }) => type === 'step.lost')).toBe(false)
    return writes()
  }

  test('is found in the log at every write: nothing is written twice, nothing is done twice, nothing is lost', async () => {
    const writes = await run(0)
    expect(writes).toBeGreaterThan(4)
    for (let at = 1; at <= writes; at += 1) await run(at)
  })
})

describe('A45, T12: the circuit breaker of a model, shared by a store', () => {
  test('with 20 callers at once: none while open, one probe; a restart forgets nothing; a failed probe opens, a good one closes', async () => {
    let well = false
    const server = await serve(() => (well ? { calls: [{ name: 'OK' }] } : { status: 503, body: 'down' }))
    const agent = agentOf({ ask: asks({ retry: { attempts: 1 }, timeout: '20s' }) }, {}, { $error: 'failed' })
    const store = await address()
    const quotas = { main: { breaker: { failures: 5, coolDown: '1500ms' as const } } }
    const box = await open(agent, { store, quotas, ...over(server), concurrency: 20 })
    const tasks = await Promise.all(Array.from({ length: 20 }, (_, index) => box.start('a', {}, { id: `t${index}` })))
    await until(async () => (await box.gates()).some(({ status }) => status === 'open'))
    // Those that were in flight when it opened may come back; then it is quiet until the cool-down is over.
    const told = async <Type extends EventType>(of: Orchestrator, type: Type): Promise<EventData[Type][]> =>
      (await Promise.all(tasks.map(({ id }) => all(of, id, type)))).flat()
    const opened = (await told(box, 'breaker.changed')).find(({ status }) => status === 'open')!
    expect(opened.failures).toBe(5)
    const called = await told(box, 'model.called')
    // Restarted while it is open.
    await box.stop()
    const again = await open(agent, { store, quotas, ...over(server), concurrency: 20 })
    expect((await again.gates())[0]).toMatchObject({ key: 'model:main', status: 'open', failures: 5 })
    expect(await told(again, 'model.called')).toEqual(called)
    const late = await Promise.all(['x', 'y', 'z'].map((id) => again.start('a', {}, { id })))
    const requests = server.requests
    // The probe is one of them, and it fails; the others have not been asked.
    await until(() => server.requests > requests)
    await until(async () => (await again.gates())[0]!.status === 'open')
    expect(server.requests).toBe(requests + 1)
    well = true
    const outcomes = (await Promise.all(late.map((task) => task.result()))).map(({ outcome }) => outcome!)
    expect(outcomes.filter((outcome) => outcome === 'done').length).toBe(2)
    expect((await again.gates())[0]).toMatchObject({ status: 'closed', failures: 0 })
    await Promise.all(tasks.map(({ id }) => again.task(id).result()))
    const log = (await Promise.all([...tasks, ...late].map(({ id }) => again.store.read(id)))).flat()
    const changes = log
      .filter(({ type }) => type === 'breaker.changed')
      .map(({ data }) => data as EventData['breaker.changed'])
      .sort((a, b) => a.version - b.version)
    expect(changes.map(({ version }) => version)).toEqual(changes.map((_, index) => index + 1))
    const statuses = changes.map(({ status }) => status).filter((status, index, list) => status !== list[index - 1])
    expect(statuses).toEqual(['closed', 'open', 'half-open', 'open', 'half-open', 'closed'])
  })

  test('a named human may close it, and the log says who and why', async () => {
    const server = await serve(({ number }) =>
      number <= 1 ? { status: 503, body: 'down' } : { calls: [{ name: 'OK' }] },
    )
    const quotas = { main: { breaker: { failures: 1, coolDown: '1h' as const } } }
    const box = await open(agentOf({ ask: asks({ retry: { attempts: 1 } }) }), { quotas, ...over(server) })
    expect((await (await box.start('a', {}, { id: 't1' })).result()).outcome).toBe('failed')
    expect((await (await box.start('a', {}, { id: 't2' })).result()).outcome).toBe('failed')
    expect(server.requests).toBe(1)
    await box.resetBreaker('model:main', { by: 'ana', reason: 'the provider is back' })
    expect((await (await box.start('a', {}, { id: 't3' })).result()).outcome).toBe('done')
    expect((await all(box, 't1', 'breaker.changed')).at(-1)).toMatchObject({
      by: 'ana',
      reason: 'the provider is back',
    })
    await expect(box.resetBreaker('model:nope', { by: 'ana', reason: 'r' })).rejects.toMatchObject({
      code: 'BREAKER_UNKNOWN',
    })
    expect(await box.verify()).toMatchObject({ findings: [] })
  })
})

describe('a tool that takes only so many calls', () => {
  /** A tool that takes 30 ms, but until so many have been in it at once, at most 5 s. */
  const busy = (
    quota: object,
    gather = 1,
  ): { tool: typeof look; seen: { most: number; order: string[]; times: number[] } } => {
    const seen = { now: 0, most: 0, order: [] as string[], times: [] as number[] }
    const tool = defineTool({
      name: 'busy',
      description: 'd',
      inputSchema: z.object({ at: z.number() }),
      ...quota,
      execute: async ({ at }, { taskId }) => {
        seen.now += 1
        seen.most = Math.max(seen.most, seen.now)
        seen.order.push(taskId)
        seen.times.push(Date.now())
        const lateMs = Date.now() + 5_000
        do await new Promise((wake) => setTimeout(wake, 30))
        while (seen.most < gather && Date.now() < lateMs)
        seen.now -= 1
        return at
      },
    })
    return { tool, seen }
  }
  const actOf = (tool: typeof look): Agent<any, any> =>
    agentOf({ act: { tool, args: () => ({ at: 1 }), on: { DONE: 'done' } }, spare: asks() }, {}, { $limit: 'spare' })

  test('at once: never more, over two workers of one store, first come first served, and all are done', async () => {
    const { tool, seen } = busy({ concurrency: 3 }, 3)
    const store = await address()
    const models = { main: scriptedModel([]) }
    const one = await open(actOf(tool), { store, models })
    const two = await open(actOf(tool), { store, models })
    const tasks = []
    for (let number = 0; number < 30; number += 1)
      tasks.push(await (number % 2 ? one : two).start('a', {}, { id: `t${String(number).padStart(2, '0')}` }))
    const results = await Promise.all(tasks.map((task) => task.result()))
    expect(results.map(({ outcome }) => outcome)).toEqual(tasks.map(() => 'done'))
    expect(seen.most).toBe(3)
    expect(seen.order.length).toBe(30)
    // Who waited first goes first: nobody is overtaken by more than those who are called up beside it.
    const queued = (await Promise.all(tasks.map(({ id }) => one.store.read(id)))).flatMap((events) => {
      const since = events.find(({ type }) => type === 'step.queued')
      const called = events.find(({ type }) => type === 'tool.called')
      return since && called ? [{ since: since.at, called: called.at }] : []
    })
    expect(queued.length).toBeGreaterThan(10)
    for (const a of queued) {
      const overtakenBy = queued.filter((b) => b.since > a.since + 50 && b.called < a.called)
      expect(overtakenBy.length).toBeLessThanOrEqual(3)
    }
    expect((await one.gates()).map(({ active, waiting }) => [active, waiting])).toEqual([])
  })

  test.each([1, 2, 3])(
    'at once, %i of them: a model that asks for five in one answer gets all five, called up by whoever leaves',
    async (concurrency) => {
      const { tool, seen } = busy({ concurrency })
      const calls = Array.from({ length: 5 }, (_, at) => ({ name: 'busy', arguments: { at } }))
      const script: Script = ({ turn }) => (turn === 1 ? { calls } : { calls: [{ name: 'OK' }] })
      const agent = agentOf({ ask: asks({ tools: [tool], timeout: '5s' }) })
      const box = await open(agent, { models: { main: scriptedModel(script) } })
      const tasks = await Promise.all(['x', 'y'].map((id) => box.start('a', {}, { id })))
      const begunMs = Date.now()
      for (const task of tasks) expect((await task.result()).outcome).toBe('done')
      expect(Date.now() - begunMs).toBeLessThan(4_000)
      expect(seen.most).toBe(concurrency)
      expect(seen.order.length).toBe(10)
      expect(await box.gates()).toEqual([])
    },
  )

  test('and whose worker goes away while it holds the only place: nobody waits for it for ever', async () => {
    const { tool, seen } = busy({ concurrency: 1 })
    const store = await address()
    const models = { main: scriptedModel([]) }
    const one = await open(actOf(tool), { store, models, leaseMs: 300, concurrency: 1 })
    const asked = await one.start('a', {}, { id: 't1' })
    await until(() => seen.order.length === 1)
    const two = await open(actOf(tool), { store, models, leaseMs: 300 })
    const other = await two.start('a', {}, { id: 't2' })
    // Stopped in the middle of the call: what it was doing is lost, and tried again by the other worker.
    await one.stop(0)
    expect((await other.result()).outcome).toBe('done')
    expect((await two.task(asked.id).result()).outcome).toBe('done')
    expect(await two.gates()).toEqual([])
  })

  test('in a stretch of time: never more than so many begin in any of them', async () => {
    const { tool, seen } = busy({ rate: { calls: 4, per: '400ms' } })
    const box = await open(actOf(tool), { models: { main: scriptedModel([]) } })
    const tasks = await Promise.all(Array.from({ length: 12 }, (_, index) => box.start('a', {}, { id: `t${index}` })))
    const results = await Promise.all(tasks.map((task) => task.result()))
    expect(results.map(({ outcome }) => outcome)).toEqual(tasks.map(() => 'done'))
    const begun = (await Promise.all(tasks.map(({ id }) => box.store.read(id))))
      .flat()
      .flatMap(({ type, at }) => (type === 'slot.taken' ? [at] : []))
      .sort((a, b) => a - b)
    expect(begun.length).toBe(12)
    for (let index = 4; index < begun.length; index += 1)
      expect(begun[index]! - begun[index - 4]!).toBeGreaterThanOrEqual(400)
    expect(seen.times.length).toBe(12)
  })
})

describe('A60: what the log says a task cost', () => {
  const price = { inputUsdPerMillion: 2.5, outputUsdPerMillion: 10, cachedInputUsdPerMillion: 1.25 }
  const usage = { inputTokens: 1_234, outputTokens: 321, cachedInputTokens: 234, reasoningTokens: 21 }

  test('M01, M04: is what the provider invoices, to the micro-dollar, with its retries; what is unknown is flagged and never less', async () => {
    const invoice: { known: number; cut: number } = { known: 0, cut: 0 }
    const bill = (): number => costOf(price, { ...usage, cacheWriteTokens: null })
    const answers: ScriptAnswer[] = [
      { status: 503, body: 'down' },
      { calls: [{ name: 'look', arguments: { at: 1 } }], usage },
      // Cut in the middle: the provider bills what it made of it, and nobody tells us.
      { calls: [{ name: 'look', arguments: { at: 2 } }], usage, drop: 'middle' },
      { calls: [{ name: 'look', arguments: { at: 2 } }], usage },
      { status: 429, headers: { 'retry-after-ms': '10' }, body: '{}' },
      { calls: [{ name: 'OK' }], usage },
    ]
    const server = await serve(({ number }) => {
      const answer = answers[number - 1]!
      if (answer.drop) invoice.cut += bill()
      else if (answer.status === undefined) invoice.known += bill()
      return answer
    })
    const box = await open(agentOf({ ask: asks() }), { ...over(server), prices: { main: price } })
    const { outcome, usage: used } = await (await box.start('a', {}, { id: 't' })).result()
    expect(outcome).toBe('done')
    expect(server.requests).toBe(6)
    const events = await box.store.read('t')
    const sums = { known: 0, estimated: 0 }
    for (const { data, costMicros } of events) {
      if (!('charge' in data) || !data.charge) continue
      sums[data.charge.estimated ? 'estimated' : 'known'] += costMicros!
    }
    expect(sums.known).toBe(invoice.known)
    expect(sums.estimated).toBeGreaterThanOrEqual(invoice.cut)
    expect(used.costMicros).toBe(sums.known + sums.estimated)
    expect(events.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0)).toBe(used.costMicros)
  })

  test('M21: a model that answers after its deadline is counted exactly, once it has answered', async () => {
    let finish: () => void = () => undefined
    const deaf = {
      provider: 'p',
      modelId: 'deaf',
      call: async () => {
        await new Promise<void>((resolve) => (finish = resolve))
        const said = { ...usage, cacheWriteTokens: null }
        return {
          ok: true,
          answer: { provider: 'p', modelId: 'deaf', content: [], finish: 'stop', usage: said },
        } as const
      },
    }
    const box = await open(agentOf({ ask: asks({ timeout: '50ms' }) }), {
      models: { main: deaf },
      prices: { main: price },
    })
    await (await box.start('a', {}, { id: 't' })).result()
    const reserved = (await all(box, 't', 'model.called'))[0]!.reserved.costMicros
    expect((await box.show('t')).usage.costMicros).toBe(reserved)
    finish()
    await until(async () => (await all(box, 't', 'step.late')).length === 1)
    const { costMicros, inputTokens, outputTokens } = (await box.show('t')).usage
    expect(costMicros).toBe(costOf(price, { ...usage, cacheWriteTokens: null }))
    expect([inputTokens, outputTokens]).toEqual([1_234, 321])
  })
})

describe('A45, T12: a breaker whose probe is followed by another call in the same commit', () => {
  const quotas = { main: { breaker: { failures: 1, coolDown: '200ms' as const } } }
  const downOnce = () =>
    serve(({ number }) => (number <= 1 ? { status: 503, body: 'down' } : { calls: [{ name: 'OK' }] }))

  test('is closed by the probe, and the next state asks the same model at once', async () => {
    const server = await downOnce()
    const once = { retry: { attempts: 1 } }
    const agent = agentOf({ ask: asks({ ...once, on: { OK: 'two' } }), two: asks(once) })
    const box = await open(agent, { ...over(server), quotas })
    await (await box.start('a', {}, { id: 't1' })).result()
    const { outcome } = await (await box.start('a', {}, { id: 't2' })).result()
    expect(outcome).toBe('done')
    expect(server.requests).toBe(3)
    const changes = await all(box, 't2', 'breaker.changed')
    expect(changes.map(({ status }) => status)).toEqual(['half-open', 'closed'])
    // The probe, and the call after it, which the same commit permits.
    const [closed, asked] = (await box.store.read('t2')).filter(
      ({ type, data }) =>
        (type === 'breaker.changed' && (data as { status: string }).status === 'closed') ||
        (type === 'model.called' && (data as { step: number }).step === 2),
    )
    expect(asked!.at).toBe(closed!.at)
  })

  test('is closed also when the commit that says so is refused for another reason', async () => {
    const server = await downOnce()
    const store = await opened()
    const box = await open(agentOf({ ask: asks({ retry: { attempts: 1 } }) }), { store, ...over(server), quotas })
    await (await box.start('a', {}, { id: 't1' })).result()
    const { commit } = store
    let spoken = false
    store.commit = async (given) => {
      const closes = given.events.some(
        ({ type, data }) => type === 'breaker.changed' && 'status' in data && data.status === 'closed',
      )
      if (closes && !spoken) {
        spoken = true
        await box.signal('t2', { name: 'hello', data: {}, by: 'test' })
      }
      return commit.call(store, given)
    }
    expect((await (await box.start('a', {}, { id: 't2' })).result()).outcome).toBe('done')
    expect(spoken).toBe(true)
    expect((await box.gates())[0]).toMatchObject({ status: 'closed', failures: 0 })
  })

  test('is probed by another at once when the prober is cancelled', async () => {
    const server = await serve(({ number }) =>
      number <= 1
        ? { status: 503, body: 'down' }
        : { calls: [{ name: 'OK' }], ...(number === 2 ? { delayMs: 20_000 } : {}) },
    )
    const box = await open(agentOf({ ask: asks({ retry: { attempts: 1 } }) }), { ...over(server), quotas })
    await (await box.start('a', {}, { id: 't1' })).result()
    await box.start('a', {}, { id: 't2' })
    await until(() => server.requests === 2)
    expect((await box.gates())[0]).toMatchObject({ status: 'half-open', probe: 't2.1' })
    await box.cancel('t2', { by: 'ana', reason: 'r' })
    expect((await box.gates())[0]).toMatchObject({ status: 'open', probe: null })
    expect((await (await box.start('a', {}, { id: 't3' })).result()).outcome).toBe('done')
  })
})

describe('A25: a loop that stands still past the deadline of what stands in its way', () => {
  const block = (clock: VirtualClock): 'DONE' => {
    clock.advance(300)
    return 'DONE'
  }
  const later = (): Promise<void> => new Promise((wake) => setImmediate(wake))

  test.each(['at once', 'after a while'])(
    'gets no result of a function that answers %s: $timeout, and the result is late',
    async (when) => {
      const clock = new VirtualClock()
      const run = async () => {
        if (when !== 'at once') await later()
        return block(clock)
      }
      const box = await open(
        agentOf({ act: { run, timeout: '50ms', on: { DONE: 'done' } }, spare: asks() }, {}, { $limit: 'spare' }),
        {
          runtime: clock,
          models: { main: scriptedModel([]) },
        },
      )
      const { outcome } = await clock.until((await box.start('a', {}, { id: 't' })).result())
      expect(outcome).toBe('fallback')
      await until(async () => (await all(box, 't', 'step.late')).length === 1)
      expect(await all(box, 't', 'function.returned')).toEqual([])
    },
  )

  test('gets none of a tool either, nor of one that throws', async () => {
    const clock = new VirtualClock()
    const busy = defineTool({
      name: 'busy',
      description: 'd',
      inputSchema: z.object({}),
      timeout: '50ms',
      execute: (_, { taskId }) => {
        block(clock)
        if (taskId === 'throws') throw new Error('too late')
        return 'late'
      },
    })
    const box = await open(
      agentOf({ act: { tool: busy, args: () => ({}), on: { DONE: 'done' } }, spare: asks() }, {}, { $limit: 'spare' }),
      {
        runtime: clock,
        models: { main: scriptedModel([]) },
      },
    )
    for (const id of ['answers', 'throws']) {
      expect((await clock.until((await box.start('a', {}, { id })).result())).outcome).toBe('fallback')
      expect((await all(box, id, 'tool.failed')).map((failed) => failed.class)).toEqual(['timeout'])
    }
    await until(async () => (await all(box, 'answers', 'step.late')).length === 1)
  })
})

test('A24, M20: more cached tokens than tokens, at the prices of the list, are charged and do not stop the task', async () => {
  let calls = 0
  const model: Model = {
    provider: 'p',
    modelId: 'gpt-4o',
    call: async () => {
      calls += 1
      const said = {
        inputTokens: 10,
        outputTokens: 5,
        cachedInputTokens: 50,
        cacheWriteTokens: null,
        reasoningTokens: null,
      }
      const content = [{ type: 'call', id: '', name: 'OK', arguments: {} }] as const
      return { ok: true, answer: { provider: 'p', modelId: 'gpt-4o', content, finish: 'tool-calls', usage: said } }
    },
  }
  const box = await open(agentOf({ ask: asks({ model: 'gpt-4o' }) }), { models: { 'gpt-4o': model } })
  const { outcome, usage } = await (await box.start('a', {}, { id: 't' })).result()
  expect([outcome, calls]).toEqual(['done', 1])
  expect(usage.costMicros).toBeGreaterThan(0)
  expect((await all(box, 't', 'model.answered'))[0]!.usage.cachedInputTokens).toBe(null)
})

test('a place that is given back between a refusal and the place in the queue is taken at once, not when somebody looks', async () => {
  let refuse: () => void = () => undefined
  const refused = new Promise<void>((is) => (refuse = is))
  const busy = defineTool({
    name: 'busy',
    description: 'd',
    inputSchema: z.object({}),
    timeout: '5s',
    concurrency: 1,
    execute: async (_, { taskId }) => {
      if (taskId === 't1') await refused
      return 'x'
    },
  })
  const store = await opened()
  const { commit } = store
  let began = 0
  store.commit = async (given) => {
    // The first has its place given back before the second stands in the queue.
    if (given.task.id === 't2' && given.events.some(({ type }) => type === 'step.queued')) {
      refuse()
      await until(async () => (await store.task('t1'))!.status === 'done')
      began = performance.now()
    }
    return commit.call(store, given)
  }
  const agent = agentOf(
    { act: { tool: busy, args: () => ({}), on: { DONE: 'done' } }, spare: asks() },
    {},
    { $limit: 'spare' },
  )
  const box = await open(agent, { store, models: { main: scriptedModel([]) } })
  await box.start('a', {}, { id: 't1' })
  await until(async () => (await all(box, 't1', 'tool.called')).length === 1)
  expect((await (await box.start('a', {}, { id: 't2' })).result()).outcome).toBe('done')
  expect(began).toBeGreaterThan(0)
  expect(performance.now() - began).toBeLessThan(1_000)
})

test('A60: an answer that comes while nobody has the task is charged for what it used, and the next worker charges only its own', async () => {
  const price = { inputUsdPerMillion: 2.5, outputUsdPerMillion: 10 }
  let calls = 0
  let finish: () => void = () => undefined
  const model: Model = {
    provider: 'p',
    modelId: 'm',
    call: async () => {
      calls += 1
      if (calls === 1) await new Promise<void>((resolve) => (finish = resolve))
      const said = {
        inputTokens: 100,
        outputTokens: 10,
        cachedInputTokens: null,
        cacheWriteTokens: null,
        reasoningTokens: null,
      }
      const content = [{ type: 'call', id: '', name: 'OK', arguments: {} }] as const
      return { ok: true, answer: { provider: 'p', modelId: 'm', content, finish: 'tool-calls', usage: said } }
    },
  }
  const store = await opened()
  const options = { store, models: { main: model }, prices: { main: price } }
  const one = await open(agentOf({ ask: asks() }), options)
  await one.start('a', {}, { id: 't' })
  await until(() => calls === 1)
  await one.stop(0)
  finish()
  await until(async () => (await all(one, 't', 'step.late')).length === 1)
  const two = await open(agentOf({ ask: asks() }), options)
  const { usage } = await two.task('t').result()
  expect(calls).toBe(2)
  expect(usage).toMatchObject({ costMicros: 2 * 350, inputTokens: 200, outputTokens: 20 })
})
