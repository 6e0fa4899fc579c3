// Signals over a real store: over restarts, from another process that knows no machine, and to one of a thousand tasks that
// wait. SCENARIO A62; by values in test/core/signals.test.ts.

import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent, type State } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { usd } from '../src/core/price.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import type { Store } from '../src/store/store.ts'
import { address, opened, test } from './engines.ts'

const paid = z.object({ amount: z.number() })
const agentOf = (states: Record<string, State<any, any>>) =>
  defineAgent({
    name: 'shop',
    version: '1',
    context: defineContext({ amount: z.number().optional() }),
    initial: Object.keys(states)[0]!,
    signals: { paid },
    on: { $error: 'failed', $timeout: 'failed' },
    states: { ...states, done: { type: 'final' }, failed: { type: 'final', failure: true } } as never,
  })
const waiting: State<any, any> = { wait: { signal: 'paid' }, on: { DONE: { target: 'done', output: paid } } }
const simple = agentOf({ first: waiting })
const asking = agentOf({ ask: { human: { question: '?' }, on: { go: 'first' } }, first: waiting })

/** Another process: a connection of its own to the same store. */
async function open(at: string, options: Omit<OrchestratorOptions, 'store'>, wrap = (store: Store): Store => store) {
  const store = wrap(await opened(at))
  const box = await createOrchestrator({ store, env: {}, ...options })
  const close = async (): Promise<void> => {
    await box.stop(100)
    await store.close()
  }
  onTestFinished(close)
  return { box, close }
}

const say = (amount: unknown, key?: string) => ({
  name: 'paid',
  data: { amount } as never,
  by: 'test',
  ...(key === undefined ? {} : { key }),
})

describe('a signal', () => {
  test('that comes early, or twice with one key, is kept and counts once, also when the orchestrator is another by then', async () => {
    const at = await address()
    const first = await open(at, { agents: [asking] })
    await (await first.box.start(asking, {}, { id: 't' })).rest()
    await first.box.signal('t', say(1, 'k'))
    await first.close()

    const second = await open(at, { agents: [asking] })
    await second.box.signal('t', say(2, 'k'))
    const [item] = await second.box.inbox()
    await second.box.answer(item!.item, { decision: 'go', by: 'ana', reason: 'r' })
    expect(await second.box.task('t').result()).toMatchObject({ outcome: 'done', context: { amount: 1 } })
    const events = await second.box.store.read('t')
    expect(events.filter(({ type }) => type === 'signal.received').length).toBe(1)
    expect((await second.box.verify('t')).findings).toEqual([])
  })

  test('that does not fit is refused by whoever has the agent, and by the task where nobody had', async () => {
    const at = await address()
    const { box } = await open(at, { agents: [simple] })
    const bare = await open(at, { work: false })
    const task = await box.start(simple, {}, { id: 't' })
    await task.rest()
    const { seq } = await box.show('t')
    await expect(box.signal('t', say('much'))).rejects.toMatchObject({ code: 'INPUT_INVALID' })
    await expect(box.signal('t', { ...say(1), name: 'payed' })).rejects.toThrow(/"payed".*Its signals are: paid/)
    expect((await box.show('t')).seq).toBe(seq)
    await bare.box.signal('t', say('much'))
    await bare.box.signal('t', say(5))
    expect(await task.result()).toMatchObject({ outcome: 'done', context: { amount: 5 } })
    const refused = (await box.store.read('t')).filter(({ type }) => type === 'step.refused')
    expect(refused).toMatchObject([{ data: { reason: 'invalid-signal', asked: 'paid' } }])
  })
})

test('who only signals needs no price, also where money has a ceiling', async () => {
  const first: State<any, any> = { wait: { signal: 'paid' }, on: { DONE: 'think' } }
  const costly = agentOf({ first, think: { model: 'm', prompt: 'p', on: { OK: 'done' } } })
  const agents = [{ ...costly, limits: { cost: usd(1) } }]
  const { box } = await open(await address(), { agents, work: false })
  await box.start('shop', {}, { id: 't' })
  await expect(box.signal('t', say('much'))).rejects.toMatchObject({ code: 'INPUT_INVALID' })
  await box.signal('t', say(1))
})

/** A store that counts what is asked of it, by method. */
function counted(store: Store, counts: Map<string, number>): Store {
  return new Proxy(store, {
    get(target, name: keyof Store) {
      const method: unknown = target[name]
      if (typeof method !== 'function') return method
      return (...given: unknown[]): unknown => {
        counts.set(name, (counts.get(name) ?? 0) + 1)
        return Reflect.apply(method, target, given)
      }
    },
  })
}

/** What is asked of the store in a stretch of time in which nothing happens, for each look at the queue. */
async function idle(counts: Map<string, number>): Promise<{ polls: number; others: Record<string, number> }> {
  counts.clear()
  await new Promise((wake) => setTimeout(wake, 1_500))
  const { claim: polls = 0, ...others } = Object.fromEntries(counts)
  return { polls, others }
}

async function startMany(box: Orchestrator, number: number): Promise<void> {
  const ids = Array.from({ length: number }, (_, index) => `t${index}`)
  const tasks = await Promise.all(ids.map((id) => box.start(simple, {}, { id })))
  await Promise.all(tasks.map((task) => task.rest()))
}

describe('A62: a thousand tasks that wait for a signal', () => {
  test('are asked after no more often than ten are, and one goes on within a second of a signal from another process', async () => {
    const rates = new Map<number, { polls: number; others: Record<string, number> }>()
    for (const number of [10, 1_000]) {
      const at = await address()
      const counts = new Map<string, number>()
      const { box } = await open(at, { agents: [simple] }, (store) => counted(store, counts))
      await startMany(box, number)
      rates.set(number, await idle(counts))
      if (number === 10) continue

      const other = await open(at, { agents: [simple], work: false })
      await other.box.signal('t500', say(5))
      expect(await other.box.task('t500').result()).toMatchObject({ outcome: 'done' })
      const events = await other.box.store.read('t500')
      const received = events.find(({ type }) => type === 'signal.received')!
      expect(events.at(-1)!.at - received.at).toBeLessThan(1_000)
      // Nobody else was looked at.
      expect((await box.tasks({ status: 'waiting', limit: 2_000 })).length).toBe(number - 1)
    }
    for (const { polls, others } of rates.values()) {
      // Every 200 ms the queue, and when something in it is due; every second the schedules, now and then a sign of life; of the
      // tasks themselves nothing.
      expect(polls).toBeGreaterThan(0)
      expect(polls).toBeLessThanOrEqual(9)
      expect(Object.keys(others).filter((name) => name !== 'schedules' && name !== 'beat')).toEqual(['nextDueMs'])
      expect(others['schedules'] ?? 0).toBeLessThanOrEqual(2)
      expect(Math.abs(others['nextDueMs']! - polls)).toBeLessThanOrEqual(1)
    }
  })
})
