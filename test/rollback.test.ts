// SCENARIO A59 and I18 over a real store: a task with twenty effects goes back to any of its states, by the door that
// everyone has, with a ledger outside, with kills in the middle, and while it is at work.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import type { Event } from '../src/core/event.ts'
import type { Model } from '../src/core/model.ts'
import { fold } from '../src/core/fold.ts'
import { emptyTask } from '../src/core/task.ts'
import { defineTool } from '../src/core/tool.ts'
import { createOrchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { address, engine, opened, test } from './engines.ts'
import { folder } from './folder.ts'
import { entryOf, ledgerOf, twenty } from './twenty.ts'
import { until } from './until.ts'

async function open(options: Omit<OrchestratorOptions, 'store'>) {
  const store = await opened()
  const box = await createOrchestrator({ store, env: {}, ...options })
  onTestFinished(() => box.stop(100))
  return { box, store }
}

/** It takes four times as long in a server. */
const runsOnPostgres = 4

/** What can be seen of a task from outside, right after an event. */
function seenAt(events: readonly Event[], seq: number): unknown {
  const { state, context } = fold(
    emptyTask('t'),
    events.filter((event) => event.seq <= seq).map((event) => ({ ...event, taskId: 't' })),
  )
  return { state, context: Object.fromEntries([...context].map(([key, { value }]) => [key, value])) }
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index)
const toLines = (entries: readonly { what: string; n: number }[]): string[] =>
  entries.map(({ what, n }) => `${what} ${n}`)

/** The log of a task that was taken back once: it was at the end as it had been at `to`. */
function proveBack(events: readonly Event[], to: number): void {
  const rolledBack = events.findIndex(({ type }) => type === 'task.rolledBack')
  const arrived = events.slice(rolledBack).find(({ type }) => type === 'state.entered')!
  expect(seenAt(events, arrived.seq)).toEqual(seenAt(events, to))
}

test('A59: a task with twenty effects goes back to any of its states: as it was then, each effect taken back once, in reverse', async () => {
  const root = folder()
  const ledgers = new Map(numbers(1, 20).map((n) => [n, ledgerOf(join(root, `${n}.ledger`))]))
  await Promise.all(
    [...ledgers].map(async ([n, ledger]) => {
      const agent = twenty(ledger)
      const { box, store } = await open({ agents: [agent] })
      const task = await box.start(agent, {}, { id: 't' })
      await task.rest()
      const to = entryOf(await store.read('t'), `w${n}`)
      const plan = await box.rollback('t', { to: n % 2 === 0 ? to : `c${n}`, by: 'ana', reason: 'r' })
      expect(plan).toMatchObject({ to, state: `w${n}`, without: [] })
      expect(plan.undo.map(({ arguments: input }) => input)).toEqual(
        numbers(n, 20)
          .reverse()
          .map((at) => ({ n: at })),
      )
      await task.rest()
      const done = numbers(1, 20).map((at) => `do ${at}`)
      const undone = numbers(n, 20)
        .reverse()
        .map((at) => `undo ${at}`)
      expect(toLines(ledger.entries())).toEqual([...done, ...undone, ...done.slice(n - 1)])
      expect(new Set(ledger.entries().map(({ key }) => key)).size).toBe(ledger.entries().length)
      proveBack(await store.read('t'), to)
      // What a list and a look show is the same as the fold, and comes out equal when it is written again.
      const view = await box.show('t')
      expect(view).toMatchObject({ status: 'waiting', state: 'hold', context: { last: 20, list: numbers(1, 20) } })
      await box.drain()
      await store.rebuild()
      expect(await box.show('t')).toEqual(view)
      expect((await store.verify()).findings).toEqual([])
    }),
  )
})

test('I18: back to random points, again and again: the outside holds just what the log says is done', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(1_000), { minLength: 1, maxLength: 4 }), async (points) => {
      const ledger = ledgerOf(join(folder(), 'ledger'))
      const agent = twenty(ledger)
      const { box, store } = await open({ agents: [agent] })
      const task = await box.start(agent, {}, { id: 't' })
      await task.rest()
      for (const point of points) {
        const events = await store.read('t')
        const first = entryOf(events, 'w1')
        const said = box.rollback('t', { to: first + (point % (events.length - first + 1)), by: 'ana', reason: 'r' })
        await said.catch((thrown: unknown) => expect(String(thrown)).toContain('ROLLBACK_INVALID'))
        await task.rest()
      }
      const outside = ledger.entries()
      expect(new Set(outside.map(({ key }) => key)).size).toBe(outside.length)
      const gone = new Set(outside.filter(({ what }) => what === 'undo').map(({ key }) => key.replace('.undo', '')))
      const left = outside.filter(({ what, key }) => what === 'do' && !gone.has(key)).map(({ n }) => n)
      expect(left).toEqual((await box.show('t')).context['list'])
    }),
    { numRuns: engine() === 'SQLite' ? 12 : runsOnPostgres },
  )
})

test('A59: a rollback whose process is killed goes on in another, and takes back each effect once, in reverse', async () => {
  const root = folder()
  const run = (store: string, ledger: string, killAt: string): Promise<string> => {
    const script = join(import.meta.dirname, 'crash/rollback-child.ts')
    const child = spawn(process.execPath, [script, store, ledger, 'w13', killAt])
    let errors = ''
    child.stderr.on('data', (chunk: Buffer) => (errors += String(chunk)))
    return new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? `${code} ${errors}`)))
  }
  const killAndGoOn = async (killAt: string): Promise<void> => {
    const name = killAt.replaceAll(' ', '-')
    const [at, ledgerPath] = [await address(), join(root, `${name}.ledger`)]
    expect(await run(at, ledgerPath, killAt), killAt).toBe('SIGKILL')
    expect(await run(at, ledgerPath, ''), killAt).toBe('0 ')
    const entries = ledgerOf(ledgerPath).entries()
    const done = numbers(1, 20).map((n) => `do ${n}`)
    const undone = numbers(13, 20)
      .reverse()
      .map((n) => `undo ${n}`)
    expect(toLines(entries), killAt).toEqual([...done, ...undone, ...done.slice(12)])
    expect(new Set(entries.map(({ key }) => key)).size, killAt).toBe(entries.length)
    const store = await opened(at)
    const events = await store.read('t')
    expect((await store.verify()).findings, killAt).toEqual([])
    await store.close()
    proveBack(events, entryOf(events, 'w13'))
  }
  const kills = ['rollback inside 1', 'rollback after 1', 'undo before 1', 'undo after 1', 'undo after 5']
  kills.push('settle inside 3', 'settle after 8')
  await Promise.all(
    Array.from({ length: 3 }, async () => {
      for (let kill = kills.pop(); kill !== undefined; kill = kills.pop()) await killAndGoOn(kill)
    }),
  )
})

describe('a task that is at work when it is taken back', () => {
  const context = defineContext({ note: z.string().optional() })
  const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
  const bare = {
    name: 'act',
    description: 'd',
    inputSchema: z.object({}),
    effect: 'external',
    idempotent: true,
  } as const
  const usage = {
    inputTokens: 9,
    outputTokens: 1,
    cachedInputTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  }
  const says = (name: string) =>
    ({
      ok: true,
      answer: {
        provider: 'p',
        modelId: 'm',
        content: [{ type: 'call', id: '', name, arguments: {} }],
        finish: 'tool-calls',
        usage,
      },
    }) as const

  test('asks no further: the model is called off at once, and what it says late is counted and kept', async () => {
    const asked: AbortSignal[] = []
    const undone: string[] = []
    const act = defineTool({ ...bare, execute: () => 'ok', undo: (_, __, call) => undone.push(call.idempotencyKey) })
    const main: Model = {
      provider: 'p',
      modelId: 'm',
      call: (_, signal) => {
        asked.push(signal)
        if (asked.length > 1) return Promise.resolve(says('OK'))
        return new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 20, says('OK'))))
      },
    }
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context,
      initial: 'act',
      on: { $error: 'failed', $timeout: 'failed' },
      states: {
        act: { tool: act, args: () => ({}), on: { DONE: 'think' } },
        think: { model: 'main', prompt: 'p', on: { OK: 'done' } },
        ...ends,
      },
    })
    const { box, store } = await open({ agents: [agent], models: { main } })
    const task = await box.start(agent, {}, { id: 't' })
    await until(() => asked.length === 1)
    const startedMs = performance.now()
    await box.rollback('t', { to: entryOf(await store.read('t'), 'act'), by: 'ana', reason: 'r' })
    expect(await task.result()).toMatchObject({ outcome: 'done' })
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    expect(asked[0]!.aborted).toBe(true)
    expect(undone).toEqual(['t.1.undo'])
    await until(() => asked.length === 2)
    const late = async (): Promise<boolean> => (await store.read('t')).some(({ type }) => type === 'step.late')
    for (let tries = 0; !(await late()); tries += 1) {
      if (tries > 200) throw new Error('it was not kept')
      await new Promise((wake) => setTimeout(wake, 5))
    }
    // Both calls, to the token: the estimate of the one that was called off is corrected.
    expect((await box.show('t')).usage).toMatchObject({ inputTokens: 18, outputTokens: 2 })
  })

  test('waits for its tool, takes back what that did too, and answers the command before that', async () => {
    let release = (): void => undefined
    const ledger: string[] = []
    const act = defineTool({
      ...bare,
      execute: () => new Promise((resolve) => (release = () => (ledger.push('do'), resolve('ok')))),
      undo: () => ledger.push('undo'),
    })
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context,
      initial: 'act',
      on: { $error: 'failed', $timeout: 'failed' },
      states: { act: { tool: act, args: () => ({}), on: { DONE: 'done' } }, ...ends },
    })
    const { box, store } = await open({ agents: [agent] })
    await box.start(agent, {}, { id: 't' })
    await until(() => release.length === 0 && ledger.length === 0)
    for (let tries = 0; !(await store.read('t')).some(({ type }) => type === 'tool.called'); tries += 1) {
      await new Promise((wake) => setTimeout(wake, 5))
    }
    expect(
      await box.rollback('t', { to: entryOf(await store.read('t'), 'act'), by: 'ana', reason: 'r' }),
    ).toMatchObject({ undo: [] })
    await new Promise((wake) => setTimeout(wake, 50))
    expect(ledger).toEqual([])
    const first = release
    first()
    await until(() => ledger.includes('undo') && release !== first)
    release()
    expect(await box.task('t').result()).toMatchObject({ outcome: 'done' })
    expect(ledger).toEqual(['do', 'undo', 'do'])
  })

  test('and whose tools cannot take back asks in the inbox; the answer is obeyed, and so is a second thought', async () => {
    const act = defineTool({ ...bare, execute: () => 'ok' })
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context,
      initial: 'act',
      on: { $error: 'failed', $timeout: 'failed' },
      states: {
        act: { tool: act, args: () => ({}), on: { DONE: 'hold' } },
        hold: { human: { question: 'go on?' }, on: { yes: 'done' } },
        ...ends,
      },
    })
    const { box, store } = await open({ agents: [agent] })
    const task = await box.start(agent, {}, { id: 't' })
    const [question] = (await task.rest()).inbox
    const to = entryOf(await store.read('t'), 'act')
    const plan = await box.rollback('t', { to, by: 'ana', reason: 'r' })
    expect(plan).toEqual({
      to,
      state: 'act',
      undo: [],
      without: [{ step: 1, tool: 'act', arguments: {}, result: 'ok' }],
    })
    const [item] = (await task.rest()).inbox
    expect(item).toMatchObject({ kind: 'rollback', options: ['accept', 'stop'] })
    await expect(box.answer(question!.item, { decision: 'yes', by: 'ana', reason: 'r' })).rejects.toThrow('ITEM_CLOSED')
    await box.answer(item!.item, { decision: 'stop', by: 'ana', reason: 'no' })
    expect((await task.rest()).inbox).toEqual([question])
    await box.rollback('t', { to, by: 'ana', reason: 'r' })
    const [again] = (await task.rest()).inbox
    await box.answer(again!.item, { decision: 'accept', by: 'ana', reason: 'fine' })
    const [anew] = (await task.rest()).inbox
    await box.answer(anew!.item, { decision: 'yes', by: 'ana', reason: 'r' })
    expect(await task.result()).toMatchObject({ outcome: 'done', usage: { steps: 2 } })
    expect((await store.inbox()).map(({ kind, status }) => `${kind} ${status}`)).toEqual([
      'question withdrawn',
      'rollback answered',
      'rollback answered',
      'question answered',
    ])
  })
})
