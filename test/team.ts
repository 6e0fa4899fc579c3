// Random teams: a tree of machines of every kind that can have a part in one, a world that answers as a seed says, and a
// store that dies under its worker, before or after what it was asked to write.

import { z } from 'zod'
import { agentTool } from '../src/core/agent-tool.ts'
import { defineAgent, type Agent, type State } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import type { Duration } from '../src/core/duration.ts'
import type { Event } from '../src/core/event.ts'
import type { Json } from '../src/core/json.ts'
import type { Model, Reply } from '../src/core/model.ts'
import { defineTool } from '../src/core/tool.ts'
import type { Commit, Committed, Store } from '../src/store/store.ts'

/** Draws whole numbers below `n`, the same for the same seed (mulberry32, Tommy Ettinger). */
export type Draw = (n: number) => number

export function drawFrom(seed: number): Draw {
  let a = seed | 0
  return (n) => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n)
  }
}

const shared = defineContext({
  goal: { schema: z.string(), initial: 'g' },
  counter: { schema: z.number(), initial: 0 },
  notes: { schema: z.array(z.string()), initial: [], merge: 'append' },
  best: { schema: z.number(), initial: 0, merge: 'max' },
})
const contextOf = (draw: Draw) => (draw(2) === 0 ? shared : defineContext({ ...shared.keys }))

const finals = {
  good: { type: 'final', output: ({ context }: { context: any }) => ({ best: context.best }) },
  bad: { type: 'final', failure: true },
} as const
const exits = { A: 'NEXT', B: 'good', C: 'bad' }

/** What becomes of effects: by idempotency key, how often it acted. */
export type Acts = Map<string, number>

/** A random agent with what is below it. Its states lead on, to one of its ends, or back. */
export function randomTeam(draw: Draw, acts: Acts, depth = 3, name = 'root'): Agent<any, any> {
  const count = 1 + draw(3)
  const states: Record<string, State> = {}
  for (let index = 0; index < count; index += 1) {
    const next = index + 1 < count ? `s${index + 1}` : draw(4) === 0 ? 's0' : 'good'
    states[`s${index}`] = randomState(draw, acts, depth, `${name}-${index}`, next)
  }
  const limits = {
    steps: 5 + draw(60),
    tokens: 2_000 + draw(12_000),
    duration: `${10 + draw(50)}m`,
    soft: 0.5 + draw(49) / 100,
    onSoft: draw(3) === 0 ? 'terminate' : 'pause',
    handovers: 1 + draw(8),
  } as never
  const routes = {
    $error: 'bad',
    $timeout: 'bad',
    ...(draw(2) === 0 ? { $limit: 'bad' } : {}),
    ...(draw(2) === 0 ? { $stuck: 'bad', $visits: 'bad', $refused: 'bad', $doubt: 'bad' } : {}),
  }
  return defineAgent({
    name,
    version: '1',
    context: contextOf(draw),
    limits,
    initial: 's0',
    on: routes,
    states: { ...states, ...finals } as never,
  }) as Agent<any, any>
}

function randomState(draw: Draw, acts: Acts, depth: number, name: string, next: string): State {
  const on = Object.fromEntries(
    Object.entries(exits).map(([exit, target]) => [exit, target === 'NEXT' ? next : target]),
  )
  const visits = 1 + draw(4)
  const act = actOf(draw, acts, name)
  const kind = depth > 0 ? draw(8) : draw(5)
  if (kind === 0) {
    const run = ({ context }: { context: any }) => {
      if (draw(8) === 0) throw new Error('it burst')
      return { exit: pick(draw), output: { counter: context.counter + 1, notes: [name], best: draw(100) } }
    }
    return { run, writes: ['counter', 'notes', 'best'], on, visits }
  }
  if (kind === 1) return { tool: act, args: () => ({}), exit: () => pick(draw), on, visits }
  if (kind === 2) return { human: { question: 'q' }, on, visits, ...(draw(2) === 0 ? { timeout: '5m' } : {}) }
  if (kind === 3) return { wait: { delay: `${1 + draw(120)}s` }, on: { DONE: next }, visits }
  const tools =
    depth > 0 && draw(2) === 0 ? [agentTool(randomTeam(draw, acts, depth - 1, `${name}-t`), { description: 'd' })] : []
  if (kind === 4) {
    const output = z.object({ counter: z.number().optional(), notes: z.array(z.string()).optional() })
    const declared = { ...on, A: { target: next, output } }
    return { model: ['main'], prompt: 'p', tools: [act, ...tools], outputTokens: 300, turns: 4, on: declared, visits }
  }
  const child = randomTeam(draw, acts, depth - 1, `${name}-c`)
  const timeout = draw(4) === 0 ? { timeout: `${30 + draw(600)}s` as Duration } : {}
  const limits = draw(4) === 0 ? { limits: { tokens: 1_000 + draw(3_000) } } : {}
  if (kind === 5) return { agent: child, on: { good: next, bad: 'bad' }, visits, ...timeout, ...limits }
  return {
    agent: child,
    each: () => Array.from({ length: draw(5) }, () => ({})),
    concurrency: 1 + draw(3),
    join: draw(3) === 0 ? 'any' : draw(3) === 0 ? { quorum: 1 + draw(3) } : 'all',
    failures: (['stop', 'skip', 'wait'] as const)[draw(3)]!,
    output: ({ children }) => ({ best: Math.max(0, ...children.map(({ output }) => output.best ?? 0)) }),
    writes: ['best'],
    on: { DONE: next, FAILED: 'bad' },
    visits,
    ...timeout,
    ...limits,
  }
}

const pick = (draw: Draw): string => ['A', 'A', 'A', 'B', 'C'][draw(5)]!

function actOf(draw: Draw, acts: Acts, name: string) {
  const idempotent = draw(2) === 0
  return defineTool({
    name: `act-${name}`,
    description: 'Acts.',
    inputSchema: z.object({}),
    effect: 'write',
    idempotent,
    execute: (_, { idempotencyKey }) => {
      if (draw(5) === 0) throw new Error('it could not')
      if (!idempotent || !acts.has(idempotencyKey)) acts.set(idempotencyKey, (acts.get(idempotencyKey) ?? 0) + 1)
      return 'acted'
    },
  })
}

/** A model that does anything: the right thing mostly. */
export function anyModel(draw: Draw): Model {
  const none = { cachedInputTokens: null, cacheWriteTokens: null, reasoningTokens: null }
  return {
    provider: 'any',
    modelId: 'any',
    async call({ offers, outputTokensMax }): Promise<Reply> {
      const luck = draw(12)
      if (luck === 0) return { ok: false, failure: { class: 'overload', message: '503' } }
      if (luck === 1) return { ok: false, failure: { class: 'auth', message: '401', unbilled: true } }
      const offer = offers[draw(offers.length)]!
      const name = luck === 2 ? 'nonsense' : offer.name
      const args: Json = offer.name === 'A' ? { counter: draw(9), notes: ['m'] } : {}
      const usage =
        luck === 3
          ? { inputTokens: null, outputTokens: null }
          : { inputTokens: 50 + draw(200), outputTokens: draw(outputTokensMax) }
      const content = [{ type: 'call' as const, id: '', name, arguments: args }]
      const answer = {
        provider: 'any',
        modelId: 'any',
        content,
        finish: 'tool-calls' as const,
        usage: { ...none, ...usage },
      }
      return { ok: true, answer }
    },
  }
}

/** A store as one process sees it. After so many writes the process is gone: nothing it asks for is answered any more. */
export function mortal(
  store: Store,
  writes: number,
  written: Event[],
): { readonly store: Store; readonly isDead: () => boolean } {
  let left = writes
  const never = new Promise<never>(() => undefined)
  const commit = async (given: Commit): Promise<Committed> => {
    left -= 1
    // Half of the dead have written what they wrote last.
    if (left < 0 || (left === 0 && writes % 2 === 0)) return never
    const committed = await store.commit(given)
    if (committed.ok) written.push(...given.events, ...(given.children ?? []).flatMap(({ events }) => events))
    return left === 0 ? never : committed
  }
  const proxy = new Proxy(store, {
    get(target, name) {
      if (name === 'commit') return commit
      const value = Reflect.get(target, name) as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]): unknown => {
        if (left <= 0 && name !== 'watch' && name !== 'close') return never
        return (value as (...given: unknown[]) => unknown).apply(target, args)
      }
    },
  })
  return { store: proxy, isDead: () => left <= 0 }
}
