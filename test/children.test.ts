// Child tasks over a real store: one child, many, a shared context, a shared budget, and what becomes of them when their
// parent goes.

import fc from 'fast-check'
import { describe, expect, onTestFinished, test as once } from 'vitest'
import { z } from 'zod'
import { agentTool } from '../src/core/agent-tool.ts'
import { defineAgent, type Agent, type State } from '../src/core/agent.ts'
import { check, compileChecked } from '../src/core/check.ts'
import { defineContext } from '../src/core/context.ts'
import type { Limits } from '../src/core/limits.ts'
import { defineTool } from '../src/core/tool.ts'
import { worstOf } from '../src/core/worst.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { scriptedModel, type Script } from '../src/providers/scripted.ts'
import type { Commit, Committed } from '../src/store/store.ts'
import { address, engine, opened, test } from './engines.ts'
import { history, keepOrder, ledger, proveBudget } from './tree.ts'
import { until } from './until.ts'
import { changedStore } from './changed-store.ts'

/** A store in a server takes longer to make and to ask: what is random anyway is tried a quarter as often there. */
const runs = (number: number): number => (engine() === 'SQLite' ? number : Math.ceil(number / 4))

const failing = { $error: 'failed', $timeout: 'failed' } as const
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const

async function open(options: Partial<OrchestratorOptions> & { script?: Script }) {
  const { script = () => ({ calls: [] }), ...given } = options
  const box = await createOrchestrator({
    store: options.store ?? (await address()),
    models: { main: scriptedModel(script) },
    env: {},
    ...given,
  })
  onTestFinished(() => box.stop(100))
  return box
}

const wordContext = defineContext({ word: z.string(), length: z.number().optional() })
/** Counts a word; long ones are another end. */
const counter = defineAgent({
  name: 'counter',
  version: '1',
  context: wordContext,
  initial: 'count',
  on: failing,
  states: {
    count: {
      run: ({ context }) => {
        if (context.word === 'boom') throw new Error('it burst')
        return { exit: context.word.length > 5 ? 'LONG' : 'SHORT', output: { length: context.word.length } }
      },
      writes: ['length'],
      on: { LONG: 'long', SHORT: 'short' },
    },
    long: { type: 'final', output: ({ context }) => ({ length: context.length }) },
    short: { type: 'final', output: ({ context }) => ({ length: context.length }) },
    failed: { type: 'final', failure: true },
  },
})

const outer = defineContext({ text: z.string(), length: z.number().optional(), all: z.array(z.number()).optional() })

const single = defineAgent({
  name: 'single',
  version: '1',
  context: outer,
  initial: 'ask',
  on: failing,
  states: {
    ask: {
      agent: counter,
      input: ({ context }) => ({ word: context.text }),
      output: ({ child }) => ({ length: child.output.length }),
      writes: ['length'],
      on: { long: 'done', short: 'small', failed: 'failed' },
    },
    small: { type: 'final' },
    ...ends,
  },
})

const fanOut = (change: object = {}) =>
  defineAgent({
    name: 'fan',
    version: '1',
    context: outer,
    initial: 'ask',
    on: failing,
    states: {
      ask: {
        agent: counter,
        each: ({ context }) => context.text.split(' ').filter(Boolean),
        input: ({ item }) => ({ word: item }),
        output: ({ children }) => ({ all: children.map(({ output }) => output.length ?? -1) }),
        writes: ['all'],
        on: { DONE: 'done', FAILED: 'failed' },
        ...change,
      },
      ...ends,
    },
  })

/** A tool that can take back what it did, and what it did. */
function booking(undo?: () => Promise<null>) {
  const acted: string[] = []
  const book = defineTool({
    name: 'book',
    description: 'Books.',
    inputSchema: z.object({}),
    effect: 'external',
    idempotent: true,
    execute: () => void acted.push('book'),
    undo: undo ?? (() => void acted.push('undo')),
  })
  return { acted, book }
}

/** Every task of a tree is as its log says, and the whole log is whole. */
async function proveWhole(box: Orchestrator): Promise<void> {
  expect((await box.verify()).findings).toEqual([])
}

describe('one child', () => {
  test('its final state is the exit that the parent takes, and its output is what the parent is handed', async () => {
    const box = await open({ agents: [single] })
    const long = await (await box.start(single, { text: 'elephant' }, { id: 'a', by: 'ana' })).result()
    expect(long).toMatchObject({ outcome: 'done', status: 'done', context: { length: 8 } })
    expect(await (await box.start(single, { text: 'cat' }, { id: 'b' })).result()).toMatchObject({ outcome: 'small' })
    expect(await box.show('a:1')).toMatchObject({
      agent: 'counter',
      outcome: 'long',
      parentId: 'a',
      rootId: 'a',
      startedBy: 'ana',
    })
    expect((await box.show('a')).tree.map(({ taskId, state }) => [taskId, state])).toEqual([
      ['a', 'done'],
      ['a:1', 'long'],
    ])
    const [above, below] = [await box.show('a'), await box.show('a:1')]
    expect([above.usage.steps, above.treeUsage.steps]).toEqual([1, 2])
    expect(below.treeUsage).toEqual(below.usage)
    await proveWhole(box)
  })

  test('one that fails leads where its failed end is routed', async () => {
    const box = await open({ agents: [single] })
    expect(await (await box.start(single, { text: 'boom' }, { id: 'a' })).result()).toMatchObject({ outcome: 'failed' })
    expect(await box.show('a:1')).toMatchObject({ status: 'failed' })
    await proveWhole(box)
  })

  test('a final state that is not routed does not check', async () => {
    const agent = {
      ...single,
      states: { ...single.states, ask: { ...single.states.ask, on: { long: 'done', failed: 'failed' } } },
    } as unknown as Agent
    await expect(open({ agents: [agent] })).rejects.toThrow(/EXIT_MISSING .*counter may end in short/)
  })
})

once.each([
  ['cannot begin without word', { agent: counter, output: () => ({ length: 1 }), writes: ['length'] }, 'CHILD_INVALID'],
  [
    'may not be written',
    { agent: counter, input: () => ({ word: 'x' }), output: () => ({ length: 1 }) },
    'WRITE_UNDECLARED',
  ],
  ['There is no join', { agent: counter, each: () => [], join: 'most' }, 'CHILD_INVALID'],
  ['nothing to be joined', { agent: counter, input: () => ({ word: 'x' }), join: 'any' }, 'CHILD_INVALID'],
  ['never ends in nowhere', { agent: counter, input: () => ({ word: 'x' }), on: { nowhere: 'done' } }, 'EXIT_INVALID'],
])('check finds what only a team can get wrong: %s', (says, state, code) => {
  const on = 'each' in state ? { DONE: 'done', FAILED: 'failed' } : { long: 'done', short: 'done', failed: 'failed' }
  const ask = { ...state, on: { ...on, ...('on' in state ? state.on : {}) } }
  const agent = { ...single, states: { ask, ...ends } } as unknown as Agent
  expect(check(agent).map((problem) => `${problem.code} ${problem.problem}`)).toContainEqual(
    expect.stringMatching(new RegExp(`^${code} .*${says}`)),
  )
})

describe('many children', () => {
  const run = async (text: string, change: object = {}, options: Partial<OrchestratorOptions> = {}) => {
    const agent = fanOut(change)
    const box = await open({ agents: [agent], ...options })
    const view = await (await box.start(agent, { text }, { id: 'f' })).result()
    await until(async () =>
      (await box.tasks({ rootId: 'f' })).every(({ status }) => status !== 'running' && status !== 'waiting'),
    )
    await proveWhole(box)
    return { view, box, states: (await box.show('f')).tree.slice(1).map(({ status }) => status) }
  }

  test('results are in the order of the list, whoever came first', async () => {
    const { view } = await run('a bb ccc dddd eeeee ffffff')
    expect(view).toMatchObject({ outcome: 'done', context: { all: [1, 2, 3, 4, 5, 6] } })
  })

  test('an empty list is all of it', async () => {
    expect((await run('')).view).toMatchObject({ outcome: 'done', context: { all: [] } })
  })

  test('all of them: one that fails stops the others', async () => {
    const { view, states } = await run('a boom c d e f g h', { concurrency: 1 })
    expect(view.outcome).toBe('failed')
    expect(states).toEqual(['done', 'failed'])
  })

  test('all of them, failures left out', async () => {
    const { view } = await run('a boom ccc', { failures: 'skip' })
    expect(view).toMatchObject({ outcome: 'done', context: { all: [1, -1, 3] } })
  })

  test('all of them, to the end of each', async () => {
    const { view, states } = await run('boom bb ccc', { failures: 'wait', concurrency: 1 })
    expect(view.outcome).toBe('failed')
    expect(states).toEqual(['failed', 'done', 'done'])
  })

  test('any of them: the first success cancels the others', async () => {
    const { view, states } = await run('boom bb ccc dddd', { join: 'any', concurrency: 2 })
    expect(view.outcome).toBe('done')
    expect(states).toContain('failed')
    expect(states.filter((status) => status === 'done').length).toBeGreaterThan(0)
  })

  test('so many of them', async () => {
    expect((await run('a boom ccc', { join: { quorum: 2 } })).view.outcome).toBe('done')
    expect((await run('a boom boom', { join: { quorum: 2 } })).view.outcome).toBe('failed')
  })

  test('no more at a time than is said', async () => {
    const { box } = await run('a b c d e f g h i j', { concurrency: 3 })
    let [running, most] = [0, 0]
    for (const { type } of await box.store.read('f')) {
      if (type === 'child.started') running += 1
      if (type === 'child.ended') running -= 1
      most = Math.max(most, running)
    }
    expect(most).toBe(3)
  })
})

describe('a shared context', () => {
  const shared = defineContext({
    names: { schema: z.array(z.string()), initial: [] },
    name: z.string().optional(),
    counter: { schema: z.number(), initial: 0 },
    list: { schema: z.array(z.string()), initial: [], merge: 'append' },
    set: { schema: z.array(z.string()), initial: [], merge: 'union' },
    most: { schema: z.number(), initial: 0, merge: 'max' },
    sum: { schema: z.number(), initial: 0, merge: (kept: number, given: number) => kept + given },
  })
  const worker = defineAgent({
    name: 'worker',
    version: '1',
    context: shared,
    initial: 'work',
    on: failing,
    states: {
      work: {
        run: ({ context }) => ({
          exit: 'OK',
          output: {
            counter: context.counter + 1,
            list: [context.name!],
            set: [context.name!.slice(0, 1)],
            most: context.name!.length,
            sum: context.name!.length,
          },
        }),
        writes: ['counter', 'list', 'set', 'most', 'sum'],
        // Whoever was overtaken tries again: with so many at one key on a slow disk, longer than a function usually may.
        timeout: '1m',
        on: { OK: 'done' },
      },
      ...ends,
    },
  })
  const team = defineAgent({
    name: 'team',
    version: '1',
    context: shared,
    limits: { steps: 1_000 },
    initial: 'fan',
    on: failing,
    states: {
      fan: {
        agent: worker,
        each: ({ context }) => context.names,
        input: ({ item }) => ({ name: item }),
        concurrency: 8,
        on: { DONE: 'done', FAILED: 'failed' },
      },
      ...ends,
    },
  })

  test(
    'A11, A44: what children write side by side is merged as declared, and a plain counter ends at the exact sum',
    { timeout: 60_000 },
    async () => {
      const store = await address()
      const boxes = await Promise.all(Array.from({ length: 8 }, () => open({ agents: [team], store, concurrency: 4 })))
      // Each commit of a tree waits for the one before it, which in a server is for its disk and its wire.
      const children = engine() === 'SQLite' ? 200 : 120
      const names = Array.from({ length: children }, (_, index) => `n${index}`)
      const box = boxes[0]!
      const view = await (await box.start(team, { names }, { id: 't' })).result()
      expect(view).toMatchObject({
        outcome: 'done',
        context: { counter: children, most: 4, sum: names.join('').length, set: ['n'] },
      })
      expect([...(view.context['list'] as string[])].sort()).toEqual([...names].sort())
      await proveWhole(box)
      await box.store.rebuild()
      await proveWhole(box)
      expect((await box.show('t')).context).toEqual(view.context)
    },
  )

  test(
    'A44: in whatever order they write, the context is the same, and so it is when it is told again',
    { timeout: 60_000 },
    async () => {
      const names = ['a', 'bb', 'ccc', 'dddd', 'a5555']
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), async (scheduler) => {
          const store = await opened()
          const commit = async (given: Commit): Promise<Committed> => {
            await scheduler.schedule(Promise.resolve())
            return store.commit(given)
          }
          const seen = changedStore(store, { commit })
          const box = await createOrchestrator({ store: seen, agents: [team], models: {}, env: {} })
          const speaker = await createOrchestrator({ store, agents: [team], models: {}, env: {}, work: false })
          await speaker.start(team, { names }, { id: 't' })
          const view = await scheduler.waitFor(speaker.task('t').result())
          const { counter, list, set, most, sum } = view.context as Record<string, number> &
            Record<'list' | 'set', string[]>
          expect([counter, most, sum]).toEqual([5, 5, 15])
          expect([...list].sort()).toEqual([...names].sort())
          expect([...set].sort()).toEqual(['a', 'b', 'c', 'd'])
          // Each log by itself tells all that was decided on, and all of them together what is stored.
          expect((await store.verify()).findings).toEqual([])
          await store.rebuild()
          expect((await speaker.show('t')).context).toEqual(view.context)
          await box.stop(100)
          await store.close()
        }),
        { numRuns: runs(60) },
      )
    },
  )

  once('check warns where children at a time may write a plain key', async () => {
    expect(check(team).map(({ code, problem }) => [code, problem])).toContainEqual([
      'PARALLEL_WRITE',
      expect.stringContaining('counter'),
    ])
  })
})

describe('one budget', () => {
  const context2 = defineContext({ goal: { schema: z.string(), initial: 'g' }, said: z.string().optional() })
  const asker = (change: object = {}) =>
    defineAgent({
      name: 'asker',
      version: '1',
      context: context2,
      initial: 'think',
      on: failing,
      states: {
        think: {
          model: 'main',
          prompt: 'p',
          outputTokens: 300,
          turns: 50,
          repeats: 100,
          on: { OK: { target: 'done', output: z.object({ said: z.string() }) } },
          ...change,
        },
        ...ends,
      },
    })
  const parent = (limits: object, change: object = {}, on: object = {}) =>
    defineAgent({
      name: 'parent',
      version: '1',
      context: defineContext({ n: z.number() }),
      limits,
      initial: 'fan',
      on: failing,
      states: {
        fan: {
          agent: asker(change),
          each: ({ context }) => Array.from({ length: context.n }, () => ({})),
          failures: 'wait',
          on: { DONE: 'done', FAILED: 'failed', ...on },
        },
        ...ends,
      },
    })
  // It takes its time, so that many hold something of the budget at once, however quick the store is.
  const ok: Script = () => ({
    calls: [{ name: 'OK', arguments: { said: 'x' } }],
    usage: { inputTokens: 100, outputTokens: 40 },
    delayMs: 50,
  })

  test('what children spend and hold never passes the ceiling of the root, at any event; who finds no room waits for it', async () => {
    const store = await address()
    const agent = parent({ tokens: 3_300, soft: 0.99 })
    const box = await open({ agents: [agent], store, script: ok })
    await keepOrder(store)
    const view = await (await box.start(agent, { n: 20 }, { id: 'p' })).result()
    expect(view.outcome).toBe('done')
    const events = await history(box, store)
    proveBudget(events)
    const most = Math.max(...[...ledger(events)].map(({ tokens }) => tokens))
    expect(most).toBeGreaterThan(1_500)
    expect(events.some(({ type, data }) => type === 'budget.awaited' && data.why === 'reserved')).toBe(true)
    await proveWhole(box)
  })

  test('at the soft line of the tree everyone waits until the human at its root has decided, who is asked once', async () => {
    const store = await address()
    const agent = parent({ tokens: 4_000, soft: 0.5 })
    const box = await open({ agents: [agent], store, script: ok })
    await keepOrder(store)
    const task = await box.start(agent, { n: 40 }, { id: 'p' })
    const view = await task.rest()
    expect(view).toMatchObject({ status: 'waiting', waitsFor: 'human' })
    expect(view.inbox).toMatchObject([{ taskId: 'p', kind: 'budget' }])
    await until(async () =>
      (await box.tasks({ rootId: 'p' })).every(({ status, waitsFor }) => status !== 'running' || waitsFor === 'budget'),
    )
    const spent = (await history(box, store)).filter(({ type }) => type === 'model.called').length
    await new Promise((wake) => setTimeout(wake, 300))
    expect((await history(box, store)).filter(({ type }) => type === 'model.called')).toHaveLength(spent)
    await box.answer(view.inbox[0]!.item, {
      decision: 'raise',
      by: 'ana',
      reason: 'worth it',
      data: { tokens: 100_000 },
    })
    expect((await task.result()).outcome).toBe('done')
    const events = await history(box, store)
    proveBudget(events)
    expect(events.filter(({ type }) => type === 'limit.neared')).toHaveLength(1)
    await proveWhole(box)
  })

  test('a tree that is short takes the $limit of its root, and the children are cancelled', async () => {
    const store = await address()
    const agent = parent({ tokens: 1_300, soft: 0.99 }, {}, { $limit: 'failed' })
    const box = await open({ agents: [agent], store, script: ok })
    await keepOrder(store)
    const view = await (await box.start(agent, { n: 20 }, { id: 'p' })).result()
    expect(view.outcome).toBe('failed')
    await until(async () =>
      (await box.tasks({ rootId: 'p' })).every(({ status }) => !['running', 'waiting'].includes(status)),
    )
    const events = await history(box, store)
    proveBudget(events)
    expect(events.find(({ type }) => type === 'limit.reached')).toMatchObject({
      taskId: 'p',
      data: { limit: 'tokens' },
    })
    await proveWhole(box)
  })

  test('a human who has raised the budget of a tree that was short is not asked about it once more', async () => {
    const store = await address()
    const agent = parent({ tokens: 1_300, soft: 0.99 })
    const box = await open({ agents: [agent], store, script: ok })
    await keepOrder(store)
    const task = await box.start(agent, { n: 20 }, { id: 'p' })
    const { inbox } = await task.rest()
    expect(inbox).toMatchObject([{ taskId: 'p', kind: 'budget' }])
    const data = { tokens: 1_000_000 }
    await box.answer(inbox[0]!.item, { decision: 'raise', by: 'ana', reason: 'worth it', data })
    const view = await task.rest()
    expect(view).toMatchObject({ outcome: 'done', inbox: [] })
    const events = await history(box, store)
    proveBudget(events)
    expect(events.filter(({ type }) => type === 'limit.reached')).toHaveLength(1)
    expect(events.filter(({ type }) => type === 'human.asked')).toHaveLength(1)
    await proveWhole(box)
  })

  test('a child whose own ceiling is lower has its own limit', async () => {
    const agent = parent({ tokens: 100_000 })
    const narrow = {
      ...agent,
      states: { ...agent.states, fan: { ...agent.states.fan, limits: { tokens: 200 } } },
    } as typeof agent
    const box = await open({ agents: [narrow], script: ok })
    const view = await (await box.start(narrow, { n: 1 }, { id: 'p' })).rest()
    expect(view.inbox).toMatchObject([{ taskId: 'p:1', kind: 'budget' }])
  })

  test('a limit on descendants and on depth holds for the tree', async () => {
    const wide = parent({ descendants: 3 }, {}, { $limit: 'failed' })
    const box = await open({ agents: [wide], script: ok })
    expect((await (await box.start(wide, { n: 5 }, { id: 'p' })).result()).outcome).toBe('failed')
    expect(await box.tasks({ rootId: 'p' })).toHaveLength(4)
    const middle = defineAgent({
      name: 'middle',
      version: '1',
      context: context2,
      limits: { depth: 5 },
      initial: 'ask',
      on: { ...failing, $limit: 'failed' },
      states: { ask: { agent: asker(), on: { done: 'done', failed: 'failed' } }, ...ends },
    })
    const top = defineAgent({
      ...middle,
      name: 'top',
      limits: { depth: 1 },
      states: { ask: { agent: middle, on: { done: 'done', failed: 'failed' } }, ...ends },
    })
    const deep = await open({ agents: [top], script: ok })
    expect((await (await deep.start(top, {}, { id: 'd' })).result()).outcome).toBe('failed')
    expect(
      (await deep.store.read('d:1')).some(({ type, data }) => type === 'limit.reached' && data.limit === 'depth'),
    ).toBe(true)
  })
})

describe('what becomes of children', () => {
  const quiet = defineContext({ goal: { schema: z.string(), initial: 'g' }, said: z.string().optional() })
  const one = (child: Agent<any, any>, change: object = {}) =>
    defineAgent({
      name: 'one',
      version: '1',
      context: quiet,
      initial: 'ask',
      on: failing,
      states: { ask: { agent: child, on: { done: 'done', failed: 'failed' }, ...change }, ...ends },
    })
  const own = defineContext({ ok: z.boolean().optional() })
  const asks = defineAgent({
    name: 'asks',
    version: '1',
    context: own,
    initial: 'ask',
    states: { ask: { human: { question: 'Well?' }, on: { YES: 'done', NO: 'failed' } }, ...ends },
  })
  const sleeps = defineAgent({
    name: 'sleeps',
    version: '1',
    context: own,
    initial: 'sleep',
    on: failing,
    states: { sleep: { wait: { delay: '1h' }, on: { DONE: 'done' } }, ...ends },
  })
  const thinks = defineAgent({
    name: 'thinks',
    version: '1',
    context: own,
    initial: 'think',
    on: failing,
    states: { think: { model: 'main', prompt: 'p', timeout: '1h', on: { OK: 'done' } }, ...ends },
  })

  test('A9: a child waits for a human; its parent is restarted; the child goes on where it was, and the parent once', async () => {
    const store = await address()
    const agent = one(asks)
    const first = await open({ agents: [agent], store })
    const view = await (await first.start(agent, {}, { id: 'p' })).rest()
    expect(view).toMatchObject({ waitsFor: 'child', inbox: [{ taskId: 'p:1', question: 'Well?' }] })
    await first.stop()
    const second = await open({ agents: [agent], store })
    await second.answer(view.inbox[0]!.item, { decision: 'YES', by: 'ana', reason: 'fine' })
    expect(await second.task('p').result()).toMatchObject({ outcome: 'done', usage: { steps: 1 } })
    const types = (await second.store.read('p')).map(({ type }) => type)
    expect(types.filter((type) => type === 'child.started')).toHaveLength(1)
    expect(types.filter((type) => type === 'child.ended')).toHaveLength(1)
    await proveWhole(second)
  })

  test.each([
    ['a human', asks],
    ['a time', sleeps],
    ['a model', thinks],
  ])(
    'A20: who cancels the root cancels a child that waits for %s, within a second, and is named there',
    async (_, child) => {
      const agent = one(child)
      const hanging = { main: scriptedModel(() => ({ calls: [], delayMs: 3_600_000 })) }
      const box = await open({ agents: [agent], models: hanging })
      await box.start(agent, {}, { id: 'p' })
      await until(async () => ((await box.store.task('p:1'))?.seq ?? 0) >= 2)
      await box.cancel('p', { by: 'ana', reason: 'enough' })
      expect(await box.task('p').result()).toMatchObject({ status: 'cancelled' })
      expect(await box.task('p:1').result()).toMatchObject({ status: 'cancelled' })
      const [called, cancelled] = [
        (await box.store.read('p')).find(({ type }) => type === 'child.calledOff'),
        (await box.store.read('p:1')).find(({ type }) => type === 'task.cancelled'),
      ]
      expect(cancelled).toMatchObject({ data: { by: 'ana', reason: 'enough' } })
      expect(cancelled!.at - called!.at).toBeLessThan(1_000)
      await proveWhole(box)
    },
  )

  test('A20: also by another process, while this one holds the child', async () => {
    const store = await address()
    const agent = one(thinks)
    const hanging = { main: scriptedModel(() => ({ calls: [], delayMs: 3_600_000 })) }
    const box = await open({ agents: [agent], models: hanging, store })
    await box.start(agent, {}, { id: 'p' })
    await until(async () => ((await box.store.task('p:1'))?.seq ?? 0) >= 3)
    const other = await open({ store, work: false })
    await other.cancel('p', { by: 'ana', reason: 'enough' })
    expect(await other.task('p:1').result()).toMatchObject({ status: 'cancelled' })
    await proveWhole(box)
  })

  test('at the deadline of the state the child is called off, and $timeout is taken', async () => {
    const agent = one(sleeps, { timeout: '80ms' })
    const box = await open({ agents: [agent] })
    expect(await (await box.start(agent, {}, { id: 'p' })).result()).toMatchObject({ outcome: 'failed' })
    expect(['cancelled', 'failed']).toContain((await box.task('p:1').result()).status)
    expect((await box.show('p:1')).startedAtMs).toBeGreaterThan(0)
    const [started] = await box.store.read('p:1')
    expect(started).toMatchObject({ data: { parent: { deadlineAtMs: started!.at + 80 } } })
    expect((await box.inbox()).length).toBe(0)
    await proveWhole(box)
  })

  test('a child that a human cancels by itself is an error of the state', async () => {
    const agent = one(asks)
    const box = await open({ agents: [agent] })
    await (await box.start(agent, {}, { id: 'p' })).rest()
    await box.cancel('p:1', { by: 'ana', reason: 'not this one' })
    expect(await box.task('p').result()).toMatchObject({ outcome: 'failed' })
    await proveWhole(box)
  })

  test('a specialist is asked as a tool, with what it needs, and its answer comes back to the model', async () => {
    const seen: unknown[] = []
    const script: Script = ({ turn, messages }) => {
      seen.push(messages.at(-1))
      return turn === 1
        ? {
            calls: [
              { name: 'counter', arguments: { word: 'elephant' } },
              { name: 'counter', arguments: { word: 'cat' } },
            ],
          }
        : { calls: [{ name: 'OK', arguments: { said: 'it was counted' } }] }
    }
    const agent = defineAgent({
      name: 'chief',
      version: '1',
      context: quiet,
      initial: 'think',
      on: failing,
      states: {
        think: {
          model: 'main',
          prompt: 'p',
          tools: [agentTool(counter, { description: 'Counts a word.' })],
          on: { OK: { target: 'done', output: z.object({ said: z.string() }) } },
        },
        ...ends,
      },
    })
    const box = await open({ agents: [agent], script })
    expect(await (await box.start(agent, {}, { id: 'c' })).result()).toMatchObject({
      outcome: 'done',
      context: { said: 'it was counted' },
      usage: { steps: 4, turns: 2 },
    })
    expect(JSON.stringify(seen[1])).toContain('"outcome":"long","output":{"length":8}')
    expect(JSON.stringify(seen[1])).toContain('"outcome":"short","output":{"length":3}')
    await proveWhole(box)
  })

  test('A19: two agents that hand over to each other for ever end as stuck, and where they change something, at the limit', async () => {
    const loop = (writes: boolean) => {
      const talk = defineContext({ n: { schema: z.number(), initial: 0 } })
      const speaker = (name: string) =>
        defineAgent({
          name,
          version: '1',
          context: talk,
          initial: 'speak',
          on: failing,
          states: {
            speak: {
              run: ({ context }) => ({ exit: 'OK', output: { n: writes ? context.n + 1 : context.n } }),
              writes: ['n'],
              on: { OK: 'other' },
            },
            other: { type: 'final' },
            failed: { type: 'final', failure: true },
          },
        })
      return defineAgent({
        name: 'talk',
        version: '1',
        context: talk,
        limits: { handovers: 6 },
        initial: 'anna',
        on: { ...failing, $stuck: 'stuck', $limit: 'limit' },
        states: {
          anna: { agent: speaker('anna'), on: { other: 'bert', failed: 'failed' } },
          bert: { agent: speaker('bert'), on: { other: 'anna', failed: 'failed' } },
          stuck: { type: 'final', failure: true },
          limit: { type: 'final', failure: true },
          failed: { type: 'final', failure: true },
        },
      })
    }
    const same = await open({ agents: [loop(false)] })
    expect(await (await same.start('talk', {}, { id: 's' })).result()).toMatchObject({ outcome: 'stuck' })
    const other = await open({ agents: [loop(true)] })
    const view = await (await other.start('talk', {}, { id: 'l' })).result()
    expect(view).toMatchObject({ outcome: 'limit', context: { n: 7 } })
    await proveWhole(other)
    expect(check(loop(true)).map(({ code }) => code)).not.toContain('HANDOVER_LOOP')
    expect(check({ ...loop(true), limits: {} }).map(({ code }) => code)).toContain('HANDOVER_LOOP')
  })

  test('A52: what a child was given, or saw, is known of what it hands back', async () => {
    const outerContext = defineContext({
      mail: { schema: z.string(), trust: 'untrusted', privacy: 'private' },
      summary: z.string().optional(),
    })
    const reader = defineAgent({
      name: 'reader',
      version: '1',
      context: defineContext({ text: z.string(), short: z.string().optional() }),
      initial: 'read',
      on: failing,
      states: {
        read: {
          run: ({ context }) => ({ exit: 'OK', output: { short: context.text.slice(0, 3) } }),
          writes: ['short'],
          on: { OK: 'done' },
        },
        done: { type: 'final', output: ({ context }) => ({ short: context.short }) },
        failed: { type: 'final', failure: true },
      },
    })
    const agent = defineAgent({
      name: 'mail',
      version: '1',
      context: outerContext,
      initial: 'read',
      on: failing,
      states: {
        read: {
          agent: reader,
          input: ({ context }) => ({ text: context.mail }),
          output: ({ child }) => ({ summary: child.output.short }),
          writes: ['summary'],
          on: { done: 'done', failed: 'failed' },
        },
        ...ends,
      },
    })
    const box = await open({ agents: [agent] })
    const view = await (await box.start(agent, { mail: 'abcdef' }, { id: 'm' })).result()
    expect(view.context['summary']).toBe('abc')
    const worst = { trust: 'untrusted', privacy: 'private' }
    expect(view.labels).toMatchObject({ summary: worst })
    expect((await box.show('m:1')).labels).toMatchObject({ text: worst, short: worst })
    await box.store.rebuild()
    expect((await box.show('m')).labels).toMatchObject({ summary: worst })
  })
})

describe('the worst that was said of a team', () => {
  const nothing = defineContext({ n: z.number() })
  const looped = { $error: 'done', $timeout: 'done', $visits: 'done', $limit: 'done', $stuck: 'done' } as const
  const end = { done: { type: 'final' } } as const
  const agentOf = (name: string, states: Record<string, State>, limits: Limits = {}): Agent<any, any> =>
    defineAgent({
      name,
      version: '1',
      context: nothing,
      limits,
      on: looped,
      initial: Object.keys(states)[0]!,
      states: { ...states, ...end },
    } as never)
  const shape = fc.record({
    items: fc.integer({ min: 0, max: 8 }),
    steps: fc.integer({ min: 1, max: 6 }),
    descendants: fc.integer({ min: 1, max: 8 }),
    depth: fc.integer({ min: 1, max: 3 }),
    visits: fc.integer({ min: 1, max: 3 }),
    childVisits: fc.integer({ min: 1, max: 3 }),
    childSteps: fc.integer({ min: 1, max: 3 }),
    calls: fc.integer({ min: 1, max: 3 }),
    kind: fc.constantFrom('leaf', 'nested', 'fan', 'model'),
  })

  test('is passed by no tree, and reached by some', async () => {
    const reached = { steps: 0, turns: 0 }
    await fc.assert(
      fc.asyncProperty(fc.noBias(shape), async (given) => {
        const { items, steps, descendants, depth, visits, childVisits, childSteps, calls, kind } = given
        const step = { run: () => 'AGAIN', visits: childVisits, repeats: 100, on: { AGAIN: 'work', END: 'done' } }
        const leaf = agentOf('leaf', { work: step as State }, { steps: childSteps })
        const list = {
          each: () => Array.from({ length: items }, (_, n) => ({ n })),
          failures: 'wait',
          visits,
          repeats: 100,
        }
        const ask = { model: 'main', prompt: 'p', turns: 2, repeats: 100, on: { OK: 'done' } }
        const inner = {
          leaf,
          nested: agentOf('nested', { work: { agent: leaf, input: () => ({ n: 1 }), on: { done: 'done' } } as State }),
          fan: agentOf('inner', { work: { agent: leaf, ...list, on: { DONE: 'done', FAILED: 'done' } } as State }),
          model: agentOf(
            'chief',
            { work: { ...ask, tools: [agentTool(leaf, { description: 'd' })] } as State },
            { toolCalls: calls },
          ),
        }[kind]
        const limits = { steps, descendants, depth }
        const team = agentOf(
          'team',
          { work: { agent: inner, ...list, on: { DONE: 'work', FAILED: 'done' } } as State },
          limits,
        )
        const script: Script = () => ({
          calls: Array.from({ length: 2 }, () => ({ name: 'leaf', arguments: { n: 1 } })),
        })
        const box = await open({ agents: [team], script })
        const { total } = worstOf(team, compileChecked(team))
        await (await box.start(team, { n: 0 }, { id: 't' })).rest()
        const { treeUsage } = await box.show('t')
        for (const what of ['steps', 'turns'] as const) {
          expect(treeUsage[what], what).toBeLessThanOrEqual(total[what])
          if (treeUsage[what] === total[what] && total[what] > 1) reached[what] += 1
        }
        await box.stop()
      }),
      // About a third reach it: of fewer runs, chance alone would now and then leave too few.
      { numRuns: Math.max(60, runs(150)) },
    )
    expect(reached.steps).toBeGreaterThan(5)
  })
})

describe('going back', () => {
  const shared = defineContext({
    note: { schema: z.string(), initial: 'at first' },
    list: { schema: z.array(z.string()), initial: [], merge: 'append' },
  })
  const acts: string[] = []
  const act = defineTool({
    name: 'act',
    description: 'Acts.',
    inputSchema: z.object({}),
    effect: 'external',
    idempotent: true,
    execute: (_, { idempotencyKey }) => void acts.push(idempotencyKey),
  })
  const writer = defineAgent({
    name: 'writer',
    version: '1',
    context: shared,
    initial: 'write',
    on: failing,
    states: {
      write: {
        tool: act,
        args: () => ({}),
        exit: () => ({ exit: 'DONE', output: { note: 'by the child', list: ['child'] } }),
        writes: ['note', 'list'],
        on: { DONE: 'ask' },
      },
      ask: { human: { question: 'Well?' }, on: { YES: 'done' } },
      ...ends,
    },
  })
  const team = defineAgent({
    name: 'team',
    version: '1',
    context: shared,
    initial: 'begin',
    on: failing,
    states: {
      begin: { checkpoint: 'begun', run: () => 'OK', on: { OK: 'write' } },
      write: { agent: writer, on: { done: 'look', failed: 'failed' } },
      look: { human: { question: 'Good?' }, on: { YES: 'done' } },
      ...ends,
    },
  })
  const say = { by: 'ana', reason: 'r' }

  test('a parent sets back what its child wrote, asks about what it did outside, and starts it anew', async () => {
    const box = await open({ agents: [team] })
    const task = await box.start(team, {}, { id: 't' })
    await box.answer((await task.rest()).inbox[0]!.item, { decision: 'YES', ...say })
    expect(await task.rest()).toMatchObject({ state: 'look', context: { note: 'by the child', list: ['child'] } })
    await expect(box.rollback('t:2', { to: 4, ...say })).rejects.toThrow(/ROLLBACK_INVALID .*its parent's/)
    await box.rollback('t', { to: 'begun', ...say })
    const asked = await task.rest()
    expect(asked.inbox).toMatchObject([
      { kind: 'rollback', question: expect.stringContaining('agent writer (step 2)') },
    ])
    await box.answer(asked.inbox[0]!.item, { decision: 'accept', ...say })
    await until(async () => (await box.tasks({ rootId: 't' })).length === 3)
    const again = await task.rest()
    expect(again.inbox).toMatchObject([{ taskId: 't:4', question: 'Well?' }])
    // The other child has written it again, on top of what was set back.
    expect(again.context).toEqual({ note: 'by the child', list: ['child'] })
    expect(
      (await box.store.read('t')).filter(({ type, data }) => type === 'context.written' && data.source === 'rollback'),
    ).toMatchObject([{ data: { key: 'note', value: 'at first' } }, { data: { key: 'list', value: [] } }])
    await proveWhole(box)
    await box.store.rebuild()
    await proveWhole(box)
  })

  describe('whose context is written by children only', () => {
    const blind = { reads: [], writes: [] } as const
    const scribe = defineAgent({
      name: 'scribe',
      version: '1',
      context: shared,
      initial: 'write',
      on: failing,
      states: {
        write: {
          run: () => ({ exit: 'DONE', output: { note: 'by the child', list: ['child'] } }),
          writes: ['note', 'list'],
          on: { DONE: 'ask' },
        },
        ask: { human: { question: 'Well?' }, on: { YES: 'done' } },
        ...ends,
      },
    })

    test('a parent that goes back by itself sets back what it never looks at', async () => {
      let runs = 0
      const fragile = defineAgent({
        name: 'fragile',
        version: '1',
        context: shared,
        initial: 'begin',
        on: { $timeout: 'failed' },
        states: {
          begin: { ...blind, checkpoint: 'begun', run: () => 'OK', on: { OK: 'share' } },
          share: { ...blind, agent: scribe, on: { done: 'try', failed: 'failed' } },
          try: {
            ...blind,
            run: () => {
              if ((runs += 1) === 1) throw new Error('not yet')
              return 'OK'
            },
            onFailure: 'rollback',
            on: { OK: 'done' },
          },
          ...ends,
        },
      })
      const box = await open({ agents: [fragile] })
      const task = await box.start(fragile, {}, { id: 't' })
      for (const child of ['t:2', 't:5']) {
        await until(async () => (await box.inbox({ taskId: child }))[0] !== undefined)
        await box.answer((await box.inbox({ taskId: child }))[0]!.item, { decision: 'YES', ...say })
      }
      expect(await task.result()).toMatchObject({ outcome: 'done', context: { note: 'by the child', list: ['child'] } })
      const log = await box.store.read('t')
      expect(log.filter(({ type, data }) => type === 'context.written' && data.source === 'rollback')).toMatchObject([
        { data: { key: 'note', value: 'at first' } },
        { data: { key: 'list', value: [] } },
      ])
      await proveWhole(box)
    })

    test('a parent that is cancelled takes back what it did, whatever children have written that it has not heard of', async () => {
      const { acted, book } = booking()
      const trip = defineAgent({
        name: 'trip',
        version: '1',
        context: shared,
        initial: 'book',
        onCancel: 'undo',
        on: failing,
        states: {
          book: { tool: book, args: () => ({}), on: { DONE: 'share' } },
          share: { agent: scribe, on: { done: 'done', failed: 'failed' } },
          ...ends,
        },
      })
      const box = await open({ agents: [trip] })
      const task = await box.start(trip, {}, { id: 't' })
      await task.rest()
      expect(await box.store.context('t')).toMatchObject([{ key: 'list' }, { key: 'note', value: 'by the child' }])
      await box.cancel('t', say)
      expect(await task.result()).toMatchObject({ status: 'cancelled' })
      expect(acted).toEqual(['book', 'undo'])
      await proveWhole(box)
    })
  })

  test('a child that goes back leaves what another of the tree has written meanwhile', async () => {
    let release: (() => void) | undefined
    const { book } = booking(() => new Promise((resolve) => (release = () => resolve(null))))
    const branch = defineAgent({
      name: 'branch',
      version: '1',
      context: shared,
      initial: 'begin',
      on: failing,
      states: {
        begin: { checkpoint: 'begun', wait: { signal: 'go' }, on: { DONE: 'book' } },
        book: { tool: book, args: () => ({}), on: { DONE: 'write' } },
        write: {
          run: ({ context }) => ({ exit: 'DONE', output: { note: `${context.note}, and again` } }),
          reads: ['note'],
          writes: ['note'],
          on: { DONE: 'ask' },
        },
        ask: { human: { question: 'Well?' }, on: { YES: 'done' } },
        ...ends,
      },
    })
    const both = defineAgent({
      name: 'both',
      version: '1',
      context: shared,
      initial: 'split',
      on: failing,
      states: {
        split: { agent: branch, each: () => [{}, {}], on: { DONE: 'done', FAILED: 'failed' } },
        ...ends,
      },
    })
    const box = await open({ agents: [both] })
    const note = async (): Promise<unknown> => (await box.store.context('t')).find(({ key }) => key === 'note')?.value
    const isAt = async (id: string, state: string): Promise<boolean> => (await box.show(id)).state === state
    await box.start(both, {}, { id: 't' })
    await until(async () => (await box.tasks({ parentId: 't' })).length === 2)
    const [one, two] = (await box.tasks({ parentId: 't' })).map(({ taskId }) => taskId)
    await box.signal(one!, { name: 'go', data: null, by: 'ana' })
    await until(() => isAt(one!, 'ask'))
    expect(await note()).toBe('at first, and again')
    await box.rollback(one!, { to: 'begun', ...say })
    await until(() => Promise.resolve(release !== undefined))
    await box.signal(two!, { name: 'go', data: null, by: 'ana' })
    await until(() => isAt(two!, 'ask'))
    expect(await note()).toBe('at first, and again, and again')
    release!()
    await until(() => isAt(one!, 'begin'))
    expect(await note()).toBe('at first, and again, and again')
    await proveWhole(box)
  })

  test('a parent that goes back calls off what runs below it', async () => {
    const box = await open({ agents: [team] })
    const task = await box.start(team, {}, { id: 't' })
    await task.rest()
    await box.rollback('t', { to: 'begun', ...say })
    expect(await box.task('t:2').result()).toMatchObject({ status: 'cancelled' })
    expect((await task.rest()).inbox).toMatchObject([{ kind: 'rollback' }])
    await proveWhole(box)
  })
})

describe('a specialist that people are asked about', () => {
  const chief = defineAgent({
    name: 'chief',
    version: '1',
    context: defineContext({ said: z.string().optional() }),
    initial: 'think',
    on: failing,
    states: {
      think: {
        model: 'main',
        prompt: 'p',
        tools: [agentTool(counter, { description: 'Counts a word.', approval: 'always' })],
        on: { OK: { target: 'done', output: z.object({ said: z.string() }) } },
      },
      ...ends,
    },
  })
  const script: Script = ({ turn }) =>
    turn === 1
      ? {
          calls: [
            { name: 'counter', arguments: { word: 'elephant' } },
            { name: 'counter', arguments: { word: 'cat' } },
          ],
        }
      : { calls: [{ name: 'OK', arguments: { said: 'done' } }] }
  const say = { by: 'ana', reason: 'r' }

  test('begins when it is agreed to, with what was edited, and not when it is not', async () => {
    const box = await open({ agents: [chief], script })
    const task = await box.start(chief, {}, { id: 'c' })
    const [one, two] = (await task.rest()).inbox
    expect(await box.tasks({ parentId: 'c' })).toEqual([])
    await box.answer(two!.item, { decision: 'reject', ...say })
    await box.answer(one!.item, { decision: 'edit', data: { word: 'mouse' }, ...say })
    expect(await task.result()).toMatchObject({ outcome: 'done' })
    expect(await box.show('c:2')).toMatchObject({ outcome: 'short', context: { word: 'mouse' } })
    expect(await box.tasks({ parentId: 'c' })).toHaveLength(1)
    await proveWhole(box)
  })

  test('what does not fit the child is told to the model, and begins nothing', async () => {
    const wrong: Script = ({ turn }) =>
      turn === 1
        ? { calls: [{ name: 'counter', arguments: { word: 7 } }] }
        : { calls: [{ name: 'OK', arguments: { said: 'done' } }] }
    const box = await open({ agents: [chief], script: wrong })
    expect(await (await box.start(chief, {}, { id: 'c' })).result()).toMatchObject({ outcome: 'done' })
    expect(await box.tasks({ parentId: 'c' })).toEqual([])
    expect((await box.store.read('c')).find(({ type }) => type === 'step.refused')).toMatchObject({
      data: { reason: 'invalid-arguments' },
    })
  })
})

test('a visit that is over calls its children off, and a parent that takes back what it did waits for no child', async () => {
  const { acted, book } = booking()
  const patient = defineAgent({
    name: 'patient',
    version: '1',
    context: defineContext({ ok: z.boolean().optional() }),
    initial: 'ask',
    states: { ask: { human: { question: 'Well?' }, on: { YES: 'done' } }, done: { type: 'final' } },
  })
  const trip = (change: object) =>
    defineAgent({
      name: 'trip',
      version: '1',
      context: defineContext({ ok: z.boolean().optional() }),
      initial: 'book',
      onCancel: 'undo',
      on: failing,
      states: {
        book: { tool: book, args: () => ({}), on: { DONE: 'wait' } },
        wait: { agent: patient, each: () => [{}, {}], on: { DONE: 'done', FAILED: 'failed' }, ...change },
        ...ends,
      },
    })
  const short = trip({ visitTimeout: '60ms' })
  const box = await open({ agents: [short] })
  expect(await (await box.start(short, {}, { id: 's' })).result()).toMatchObject({ outcome: 'failed' })
  await until(async () => (await box.tasks({ parentId: 's' })).every(({ status }) => status !== 'waiting'))
  expect(await box.inbox()).toEqual([])
  const long = trip({})
  const other = await open({ agents: [long] })
  await (await other.start(long, {}, { id: 'l' })).rest()
  acted.length = 0
  await other.cancel('l', { by: 'ana', reason: 'r' })
  expect(await other.task('l').result()).toMatchObject({ status: 'cancelled' })
  expect(acted).toEqual(['undo'])
  expect((await other.tasks({ parentId: 'l' })).map(({ status }) => status)).toEqual(['cancelled', 'cancelled'])
  await proveWhole(box)
  await proveWhole(other)
})

describe('what a second look has found', () => {
  // It takes its time, so that many hold something of the budget at once, however quick the store is.
  const ok: Script = () => ({
    calls: [{ name: 'OK', arguments: { said: 'x' } }],
    usage: { inputTokens: 100, outputTokens: 40 },
    delayMs: 50,
  })

  const mail = { schema: z.string(), initial: '', trust: 'untrusted', privacy: 'private' } as const
  const shared = defineContext({
    mail,
    note: z.string().optional(),
    list: { schema: z.array(z.string()), initial: [], merge: 'append' },
  })
  const fetcher = defineTool({
    name: 'fetch',
    description: 'Fetches.',
    inputSchema: z.object({}),
    trust: 'untrusted',
    privacy: 'private',
    execute: () => 'MAIL',
  })
  const send = defineTool({
    name: 'send',
    description: 'Sends.',
    inputSchema: z.object({ text: z.string() }),
    effect: 'external',
    execute: () => null,
  })
  const agentOf = (
    name: string,
    context: object,
    states: Record<string, State<any, any>>,
    change: object = {},
  ): Agent<any, any> =>
    defineAgent({
      name,
      version: '1',
      context,
      initial: Object.keys(states)[0]!,
      on: failing,
      states: { ...states, ...ends },
      ...change,
    } as never)
  const ways = { done: 'done', failed: 'failed' }
  const codes = (agent: Agent<any, any>): readonly string[] => check(agent).map(({ code }) => code)

  once(
    'A55: check finds what a specialist, or a child on the same context, may send out for whoever started it',
    () => {
      const text = defineContext({ text: z.string() })
      const sender = agentOf('sender', text, {
        s: { tool: send, args: ({ context }: any) => ({ text: context.text }), on: { DONE: 'done' } },
      })
      const asks = agentOf('asks', defineContext({ n: z.number().optional() }), {
        m: {
          model: 'main',
          prompt: 'p',
          tools: [fetcher, agentTool(sender, { description: 'd' })],
          on: { OK: 'done' },
        },
      })
      expect(codes(asks)).toContain('FLOW_UNGATED')
      const sharing = agentOf('sharing', shared, {
        s: { tool: send, args: ({ context }: any) => ({ text: context.mail }), on: { DONE: 'done' } },
      })
      expect(codes(agentOf('blind', shared, { a: { agent: sharing, reads: [], on: ways } }))).toContain('FLOW_UNGATED')
    },
  )

  test('A52: what a parent reads of a shared context when its child has ended is known of what it writes', async () => {
    const reader = agentOf('reader', shared, {
      r: { run: () => ({ exit: 'OK', output: { mail: 'from a stranger' } }), writes: ['mail'], on: { OK: 'done' } },
    })
    const top = agentOf('top', shared, {
      a: { agent: reader, output: ({ context }: any) => ({ note: context.mail }), writes: ['note'], on: ways },
    })
    const box = await open({ agents: [top] })
    const view = await (await box.start(top, {}, { id: 't' })).result()
    expect(view.context['note']).toBe('from a stranger')
    expect(view.labels['note']).toEqual({ trust: 'untrusted', privacy: 'private' })
  })

  test('what a child has for itself, those below it neither see nor write over the tree with', async () => {
    const grand = agentOf('grand', shared, {
      g: {
        run: ({ context }: any) => ({ exit: 'OK', output: { list: ['g'], note: context.list.join() } }),
        writes: ['list', 'note'],
        on: { OK: 'done' },
      },
    })
    const mid = agentOf('mid', shared, { m: { agent: grand, on: ways } })
    const top = agentOf('top', shared, { t: { agent: mid, input: () => ({ list: ['mine'] }), on: ways } })
    const box = await open({ agents: [top] })
    const view = await (await box.start(top, { list: ['root'] }, { id: 't' })).result()
    expect(view.context).toMatchObject({ list: ['root', 'g'], note: 'root' })
    await proveWhole(box)
  })

  test('who speaks to a task from outside does not put off what its family has to tell', async () => {
    const asks = agentOf('asks', defineContext({ n: z.number().optional() }), {
      a: { human: { question: 'Well?' }, on: { YES: 'done', NO: 'failed' } },
    })
    const top = agentOf('top', defineContext({ n: z.number().optional() }), { t: { agent: asks, on: ways } })
    const store = await address()
    const first = await open({ agents: [top], store })
    await (await first.start(top, {}, { id: 't' })).rest()
    await first.stop()
    const speaker = await open({ store, work: false })
    await speaker.cancel('t:1', { by: 'ana', reason: 'r' })
    await speaker.signal('t', { name: 'hello', data: {}, by: 'ana' })
    const second = await open({ agents: [top], store })
    expect(await second.task('t').result()).toMatchObject({ outcome: 'failed' })
  })

  test('a specialist that does not take what was agreed to, or has no room, is refused once', async () => {
    const picky = agentOf('picky', defineContext({ word: z.string().min(5) }), {
      p: { human: { question: 'Well?' }, on: { YES: 'done', NO: 'failed' } },
    })
    const wide = z.object({ word: z.string() })
    const boss = (words: readonly string[]) => {
      const tools = [agentTool(picky, { description: 'd', approval: 'always', inputSchema: wide })]
      const think = { model: 'main', prompt: 'p', tools, on: { OK: 'done' } } as const
      const script: Script = ({ turn }) => ({
        calls: turn === 1 ? words.map((word) => ({ name: 'picky', arguments: { word } })) : [{ name: 'OK' }],
      })
      const agent = agentOf(
        'boss',
        defineContext({ n: z.number().optional() }),
        { think },
        { limits: { descendants: 1 } },
      )
      return open({ agents: [agent], script })
    }
    const short = await boss(['no'])
    const one = await (await short.start('boss', {}, { id: 'b' })).rest()
    await short.answer(one.inbox[0]!.item, { decision: 'approve', by: 'ana', reason: 'r' })
    expect(await short.task('b').result()).toMatchObject({ outcome: 'done' })
    const crowded = await boss(['first', 'second'])
    const two = await (await crowded.start('boss', {}, { id: 'c' })).rest()
    for (const { item } of two.inbox) await crowded.answer(item, { decision: 'approve', by: 'ana', reason: 'r' })
    const view = await crowded.task('c').rest()
    expect(view.inbox).toMatchObject([{ question: 'Well?' }])
    expect((await crowded.store.read('c')).filter(({ type }) => type === 'step.refused')).toHaveLength(1)
  })

  test('a file of a child whose parent is here is not taken in, and two agents of one name and text are told apart', async () => {
    const box = await open({ agents: [single], script: ok })
    await (await box.start(single, { text: 'cat' }, { id: 'a' })).result()
    const file = await box.export('a:1')
    const other = await open({ agents: [single] })
    await other.start(single, { text: 'dog' }, { id: 'a' })
    await expect(other.import(file)).rejects.toThrow(/TASK_EXISTS .*child of a/)
    const make = (value: string) =>
      agentOf('made', defineContext({ n: z.string().optional() }), {
        r: { run: () => (value ? 'OK' : 'NO'), on: { OK: 'done', NO: 'failed' } },
      })
    await expect(open({ agents: [make('a'), make('')] })).rejects.toThrow(
      /CONFIG_INVALID Two different agents are named made/,
    )
  })
})
