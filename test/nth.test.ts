// Everything that goes outside fails, wherever it is: each call of the store, of a model and of a tool in turn, before it is
// done, after it with an error that hides that it was, or with all that follow for a while. Five scripts of different shape are played with every one of
// these failures: each ends well, or stops with a typed fault or at a human, and goes on from there; nothing is done twice.

import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { Fault, isFault, type FaultCode } from '../src/core/fault.ts'
import type { Model } from '../src/core/model.ts'
import { defineTool, type Tool } from '../src/core/tool.ts'
import { createOrchestrator, type Orchestrator } from '../src/orchestrator.ts'
import { scriptedModel, type Script } from '../src/providers/scripted.ts'
import type { InboxRow, Store } from '../src/store/store.ts'
import { VirtualClock } from './clock.ts'
import { Effects } from './ledger.ts'

type When = 'before' | 'after' | 'and all for a while'

const whileMax = 6

/** The world outside: it counts what is asked of it, and fails the n-th time, before or after it has done it. */
class Outside {
  asked = 0
  /** What failed, once it has. */
  failed: string | undefined
  readonly effects = new Effects()
  readonly #nth: number
  readonly #when: When

  constructor(nth: number, when: When) {
    this.#nth = nth
    this.#when = when
  }

  async #ask<T>(what: string, act: () => Promise<T> | T, error: () => unknown): Promise<T> {
    this.asked += 1
    const last = this.#when === 'and all for a while' ? this.#nth + whileMax - 1 : this.#nth
    if (this.asked < this.#nth || this.asked > last) return act()
    this.failed ??= what
    if (this.#when === 'after') await act()
    throw await error()
  }

  /** A store over this world. */
  store(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function' || name === 'watch' || name === 'close') return value
        const fault = (): Fault => new Fault('STORE_FAILED', 'The store failed.', 'Look before you write again.')
        return (...args: unknown[]): Promise<unknown> =>
          this.#ask(`store.${String(name)}`, () => value.apply(target, args) as Promise<unknown>, fault)
      },
    })
  }

  /** A model over this world. */
  model(script: Script): Model {
    const model = scriptedModel(script)
    const call: Model['call'] = (request, signal) =>
      this.#ask(
        'model',
        () => model.call(request, signal),
        () => new TypeError('fetch failed'),
      )
    return { ...model, call }
  }

  /** A tool that has an effect out there: a service that does what it is told to, and where it may be asked twice, once for each key. */
  tool(name: string, more: Partial<Tool<any, any>> = {}): Tool<any, any> {
    const act = (key: string): string => {
      const isDone = this.effects.all.some((effect) => effect.key === key)
      if (!isDone || more.idempotent === false) this.effects.act(key, name)
      return 'done'
    }
    // Of a call that may be made once nobody hears anything more.
    const error = (): unknown =>
      more.idempotent === false ? new Promise<never>(() => undefined) : new Error('the line broke')
    return defineTool({
      name,
      description: 'Acts.',
      inputSchema: z.object({}),
      effect: 'external',
      idempotent: true,
      ...more,
      ...(more.undo ? { undo: (_, __, call) => this.#ask(`undo ${name}`, () => act(call.idempotencyKey), error) } : {}),
      execute: (_, { idempotencyKey }) => this.#ask(name, () => act(idempotencyKey), error),
    }) as Tool<any, any>
  }
}

/** One script: who works, and what people do about it. */
interface Play {
  readonly agents: readonly Agent<any, any>[]
  readonly models?: Readonly<Record<string, Model>>
  /** What somebody says while the task rests; false: nothing more. */
  readonly say?: (box: Orchestrator, round: number) => Promise<unknown> | undefined
  /** What an item is answered with, if not what an honest person would. */
  readonly decide?: (item: InboxRow) => string | undefined
  /** How the task may end. */
  readonly ends: readonly string[]
}

const failed = { type: 'final', failure: true } as const
const agentOf = (states: object, more: object = {}): Agent<any, any> =>
  defineAgent<any, any>({
    name: 'a',
    version: '1',
    context: defineContext({ note: z.string().optional() }),
    initial: Object.keys(states)[0]!,
    states: { ...states, done: { type: 'final' } },
    ...more,
  } as never)
const by = { by: 'ana', reason: 'r' }

const once = 'a call that may be made once, and that a human approves'
const scripts: Readonly<Record<string, (outside: Outside) => Play>> = {
  'a model with a tool': (outside) => ({
    agents: [
      agentOf({
        work: {
          model: ['main', 'backup'],
          prompt: 'p',
          tools: [outside.tool('note'), outside.tool('file')],
          on: { OK: 'done' },
        },
      }),
    ],
    models: Object.fromEntries(
      ['main', 'backup'].map((name) => [
        name,
        outside.model(({ turn }) => ({ calls: [{ name: ['note', 'file', 'OK'][Math.min(turn, 3) - 1]! }] })),
      ]),
    ),
    ends: ['done'],
  }),

  [once]: (outside) => ({
    agents: [
      agentOf({
        work: {
          model: 'main',
          prompt: 'p',
          tools: [outside.tool('pay', { idempotent: false, approval: 'always' })],
          on: { PAID: 'done', NOT: 'failed' },
        },
        failed,
      }),
    ],
    models: {
      main: outside.model(({ results }) => ({
        calls: [{ name: results.length === 0 ? 'pay' : results.at(-1)!.failed ? 'NOT' : 'PAID' }],
      })),
    },
    decide: ({ kind }) => (kind === 'approval' ? 'approve' : undefined),
    ends: ['done', 'failed'],
  }),

  'children side by side, and who joins them': (outside) => {
    const child = agentOf(
      { act: { tool: outside.tool('part'), args: () => ({}), on: { DONE: 'done' } } },
      { name: 'child', context: defineContext({ n: z.number() }) },
    )
    const fan = { agent: child, each: () => [{ n: 1 }, { n: 2 }, { n: 3 }], concurrency: 2 }
    const close = { tool: outside.tool('close'), args: () => ({}), on: { DONE: 'done' } }
    return {
      agents: [agentOf({ fan: { ...fan, on: { DONE: 'close', FAILED: 'failed' } }, close, failed })],
      ends: ['done'],
    }
  },

  'a delay, and a signal': (outside) => ({
    agents: [
      agentOf({
        pause: { wait: { delay: '3s' }, on: { DONE: 'hear' } },
        hear: { wait: { signal: 'go' }, on: { DONE: { target: 'act', output: z.object({ note: z.string() }) } } },
        act: { tool: outside.tool('act'), args: () => ({}), on: { DONE: 'done' } },
      }),
    ],
    say: (box, round) =>
      round === 0 ? box.signal('t', { name: 'go', data: { note: 'n' }, by: 'ana', key: 'k' }) : undefined,
    ends: ['done'],
  }),

  'what was done is taken back, and done again, and taken back when it is cancelled': (outside) => {
    const undo = { undo: () => null }
    return {
      agents: [
        agentOf(
          {
            book: { checkpoint: 'start', tool: outside.tool('book', undo), args: () => ({}), on: { DONE: 'rent' } },
            rent: { tool: outside.tool('rent', undo), args: () => ({}), on: { DONE: 'ask' } },
            ask: { human: { question: '?' }, on: { yes: 'done' } },
          },
          { onCancel: 'undo' },
        ),
      ],
      say: (box, round) => [() => box.rollback('t', { to: 'start', ...by }), () => box.cancel('t', by)][round]?.(),
      // It is left to wait.
      decide: ({ kind }) => (kind === 'question' ? '' : undefined),
      ends: ['cancelled'],
    }
  },
}

/** What was said already, as the second try finds when the first was heard and its answer was lost. */
const said: readonly FaultCode[] = ['ITEM_CLOSED', 'TASK_ENDED']

interface Ended {
  readonly outside: Outside
  readonly outcome: string | null
  /** How often somebody was told of a fault and tried again, and how often a human had to decide. */
  readonly tries: number
  readonly decisions: number
}

/** Plays a script with one failure, or one time of failures. */
async function play(name: string, nth: number, when: When): Promise<Ended> {
  const outside = new Outside(nth, when)
  const { agents, models = {}, say, decide, ends: allowed } = scripts[name]!(outside)
  const clock = new VirtualClock()
  const store = await clock.open('sqlite::memory:')
  const where = (): string => `${name}: operation ${nth} (${outside.failed ?? 'none'}) fails ${when}`
  let [tries, decisions] = [0, 0]
  /** Whoever is told of a fault tries again: nothing else is thrown. */
  const surely = async <T>(act: () => Promise<T>): Promise<T | undefined> => {
    for (;;) {
      try {
        return await clock.until(act())
      } catch (thrown) {
        if (said.some((code) => isFault(thrown, code))) return undefined
        expect(isFault(thrown) && thrown.code, `${where()}: ${String(thrown)}`).toMatch(/^STORE_/)
        tries += 1
        expect(tries, where()).toBeLessThanOrEqual(whileMax)
      }
    }
  }
  const faults: unknown[] = []
  const options = {
    agents,
    models,
    runtime: clock,
    env: {},
    leaseMs: 2_000,
    onFault: (fault: unknown) => faults.push(fault),
  }
  const box = (await surely(() => createOrchestrator({ store: outside.store(store), ...options })))!
  onTestFinished(() => box.stop(0))
  await surely(() => box.start(agents[0]!, {}, { id: 't' }))
  let round = 0
  for (let turns = 0; turns < 20; turns += 1) {
    const view = (await surely(() => box.task('t').rest()))!
    if (['done', 'failed', 'cancelled'].includes(view.status)) break
    // Nothing waits but for a human or a signal.
    expect(['human', 'signal'], where()).toContain(view.waitsFor)
    const items = view.inbox.map((item) => [item, decide?.(item) ?? honest(item, outside)] as const)
    const open = items.filter(([, decision]) => decision !== '')
    for (const [{ item }, decision] of open) await surely(() => box.answer(item, { decision, ...by }))
    decisions += open.length
    if (open.length > 0) continue
    // Who was told of a fault says it again; who was not, and has said it, goes on.
    const now = round
    round += 1
    const more = await surely(async () => (await say?.(box, now), say !== undefined))
    if (more !== true && say === undefined) break
  }
  const view = (await surely(() => box.show('t')))!
  expect(allowed, `${where()}: ${view.status} in ${view.state}, ${JSON.stringify(view.inbox)}`).toContain(view.outcome)
  await clock.until(box.stop(0))
  for (const fault of faults) expect(isFault(fault) && fault.code, `${where()}: ${String(fault)}`).toMatch(/^STORE_/)
  // Nothing was done twice under one key, and what is stored is what the logs say.
  for (const times of outside.effects.perKey) expect(times, where()).toBe(1)
  expect((await store.verify()).findings, where()).toEqual([])
  const rows = await store.tasks()
  for (const { status } of rows) expect(['done', 'failed', 'cancelled'], where()).toContain(status)
  await store.rebuild()
  expect(await store.tasks(), where()).toEqual(rows)
  await store.close()
  return { outside, outcome: view.outcome, tries, decisions }
}

/** What somebody answers who has looked whether it was done. */
function honest({ kind, show, options }: InboxRow, { effects }: Outside): string {
  const { idempotencyKey } = Object(show) as { idempotencyKey?: string }
  if (kind !== 'doubt') return options.includes('retry') ? 'retry' : options[0]!
  return effects.all.some(({ key }) => key === idempotencyKey) ? 'done' : 'retry'
}

test.each(Object.keys(scripts))(
  '%s: whatever operation fails, before or after it is done, or with all that follow, it ends well, or stops with a typed fault and goes on',
  { timeout: 300_000 },
  async (name) => {
    const whole = await play(name, 0, 'before')
    const effects = whole.outside.effects.all.map(({ effect }) => effect)
    expect(whole).toMatchObject({ tries: 0, outside: { failed: undefined } })
    const told: Record<string, number> = {}
    let [runs, tries, decisions] = [0, 0, 0]
    for (const when of ['before', 'after', 'and all for a while'] as const) {
      for (let nth = 1; ; nth += 1) {
        const run = await play(name, nth, when)
        // It was over before so much had been asked.
        if (run.outside.failed === undefined) break
        runs += 1
        tries += run.tries
        decisions += run.decisions
        told[run.outside.failed] = (told[run.outside.failed] ?? 0) + 1
        if (run.outcome === whole.outcome)
          expect(run.outside.effects.all.map(({ effect }) => effect).sort()).toEqual([...effects].sort())
      }
    }
    if (name === once) expect(decisions, 'doubts are for a human').toBeGreaterThan(runs)
    console.log(
      `${name}: ${runs} failures, ${tries} told to the caller, ${decisions} decided by a human; ${JSON.stringify(told)}`,
    )
    for (const what of ['store.commit', 'store.claim', 'store.load']) expect(told[what], what).toBeGreaterThan(0)
  },
)
