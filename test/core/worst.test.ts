// The worst that a machine can come to, said before it runs: by hand, and never passed by machines and plays made by
// chance.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { agentTool } from '../../src/core/agent-tool.ts'
import { defineAgent, engineExits, type Agent, type State } from '../../src/core/agent.ts'
import { check, compileChecked, examine } from '../../src/core/check.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Known } from '../../src/core/load.ts'
import { costOf, usd, type Pricing } from '../../src/core/price.ts'
import { defineTool } from '../../src/core/tool.ts'
import { worstOf, type Worst } from '../../src/core/worst.ts'
import { call, Play } from '../play.ts'

const tool = defineTool({ name: 'look', description: 'd', inputSchema: z.object({}), execute: () => null })
const price: Pricing = (model, usage) =>
  model === 'm'
    ? { costMicros: costOf({ inputUsdPerMillion: 1, outputUsdPerMillion: 4 }, usage), source: 'configured' }
    : null
const known: Known = { price, window: () => 10_000 }

function agentOf(states: Record<string, State>, more: Partial<Agent> = {}): Agent {
  const ends = { end: { type: 'final' } }
  const context = defineContext({ goal: z.string().optional() })
  return defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: Object.keys(states)[0]!,
    on: { $error: 'end', $timeout: 'end' },
    states: { ...states, ...ends },
    ...more,
  } as never)
}

function worst(states: Record<string, State>, more: Partial<Agent> = {}): Worst {
  const agent = agentOf(states, more)
  return worstOf(agent, compileChecked(agent), known)
}

const model = (more: object = {}): State => {
  return {
    model: 'm',
    prompt: 'p',
    turns: 2,
    retry: { attempts: 1 },
    outputTokens: 1_000,
    on: { OK: 'end' },
    ...more,
  } as State
}
const run = (more: object = {}): State => ({ run: () => 'OK', on: { OK: 'end' }, ...more }) as State

describe('the worst of', () => {
  test('a model state is its turns, the calls of its tools, every try at its window, and the time of both', () => {
    const { states } = worst(
      { first: model({ tools: [tool], timeout: '10s' }) },
      { limits: { toolCalls: 5, steps: 50 } },
    )
    // Two tries a turn (one of them smaller): of 9,000 tokens in with a margin of a fifth and 1,000 out, or of 9,744 and 256.
    expect(states).toEqual([
      {
        state: 'first',
        kind: 'model',
        visits: 1,
        children: 0,
        turns: 2,
        steps: 2 + 2 * 5,
        tokens: 2 * 2 * (11_693 + 256),
        costMicros: 2 * 2 * (10_800 + 4_000),
        durationMs: 2 * (10_000 + 30_000),
        asks: false,
        defaults: ['timeout of a tool'],
      },
    ])
  })

  test('a state outside of every loop is one visit, and of one in a loop as many as the states before it allow', () => {
    const { states, loops } = worst({
      first: run({ on: { OK: 'draft' } }),
      draft: run({ visits: 3, on: { OK: 'judge' } }),
      judge: run({ on: { OK: 'end', AGAIN: 'draft' } }),
    })
    expect(states.map(({ state, visits }) => [state, visits])).toEqual([
      ['first', 1],
      ['draft', 3],
      ['judge', 3],
    ])
    expect(loops).toEqual([
      {
        states: ['draft', 'judge'],
        visits: [
          { state: 'draft', max: 3, isDefault: false },
          { state: 'judge', max: 10, isDefault: true },
        ],
      },
    ])
  })

  test('a state that is entered from where another could not be entered is its own ceiling', () => {
    const { states } = worst({
      draft: run({ visits: 1, on: { OK: 'other', $visits: 'mend' } }),
      other: run({ visits: 5, on: { OK: 'draft' } }),
      mend: run({ visits: 5, on: { OK: 'other', END: 'end' } }),
    })
    expect(states.map(({ visits }) => visits)).toEqual([1, 5, 5])
  })

  test('the task is all states together within its ceilings, and what rests on a default is named', () => {
    const { total, states } = worst(
      { first: model({ visits: 9, on: { OK: 'end', AGAIN: 'first' } }) },
      { limits: { steps: 7, tokens: 50_000, cost: usd(0.01) } },
    )
    expect(total).toMatchObject({ steps: 7, turns: 7, tokens: 50_000, costMicros: 10_000 })
    expect(states[0]?.defaults).toEqual(['timeout'])
    const bare = worst({ first: model({ turns: undefined, on: { OK: 'end', AGAIN: 'first' } }) })
    expect(bare.states[0]?.defaults).toEqual(['limits.steps', 'limits.tokens', 'visits', 'turns', 'timeout'])
    expect(bare.total.defaults).toEqual(bare.states[0]?.defaults)
  })

  test('money is no more than all tokens of the task at the price of the dearest', () => {
    const { total } = worst({ first: model({ turns: 20 }) }, { limits: { tokens: 100_000 } })
    expect(total.costMicros).toBe(100_000 * 4 + 20 * 2)
  })

  test('a model without a price is unknown money, and none where money has a ceiling: it is not called', () => {
    const states = { first: model({ model: ['m', 'free'] }) }
    expect(worst(states).total.costMicros).toBeNull()
    expect(worst(states, { limits: { cost: usd(1) } }).total.costMicros).toBe(2 * 2 * (10_800 + 4_000))
  })

  test('a question is as long as people take, unless it expires; the task ends it', () => {
    const ask = (more: object): State => ({ human: { question: '?' }, on: { yes: 'end' }, ...more }) as State
    const open = worst({ ask: ask({}) })
    expect([open.states[0]?.durationMs, open.states[0]?.asks, open.total.durationMs]).toEqual([
      null,
      true,
      30 * 86_400_000,
    ])
    expect(worst({ ask: ask({ timeout: '1h' }) }).total.durationMs).toBe(3_600_000)
    expect(worst({ ask: ask({ visitTimeout: '2h' }) }).total.durationMs).toBe(7_200_000)
  })

  test('a wait until a time is as long as a function says; its visit or the task ends it', () => {
    const wait = (more: object): State => ({ wait: { until: () => 0 }, on: { DONE: 'end' }, ...more }) as State
    const { states, total } = worst({ wait: wait({}) })
    expect([states[0]?.durationMs, states[0]?.asks, states[0]?.defaults]).toEqual([null, false, []])
    expect([total.durationMs, total.defaults]).toEqual([30 * 86_400_000, ['limits.duration']])
    expect(worst({ wait: wait({}) }, { limits: { duration: '1d' } }).total.durationMs).toBe(86_400_000)
    expect(worst({ wait: wait({ visitTimeout: '2h' }) }).total.durationMs).toBe(7_200_000)
  })

  test('a machine that rolls back is as many runs more as it may roll back', () => {
    const rolls = { first: run({ checkpoint: 'c' }) }
    expect(worst(rolls, { on: {}, onFailure: 'rollback' }).total.steps).toBe(4)
    expect(worst(rolls).total.steps).toBe(1)
  })
})

describe('the worst of a team', () => {
  const named = (name: string, states: Record<string, State>, more: Partial<Agent> = {}): Agent =>
    agentOf(states, { name, ...more })
  const limits = { steps: 10, tokens: 100_000, toolCalls: 4, duration: '1h' } as const
  const writer = named('writer', { write: model({ turns: 2, timeout: '10s' }) }, { limits })
  const child = (agent: Agent, more: object = {}): State =>
    ({ agent, timeout: '5m', on: { end: 'end' }, ...more }) as State
  const each = (agent: Agent, more: object = {}): State =>
    child(agent, { each: () => [], on: { DONE: 'end', FAILED: 'end' }, ...more })
  /** Of two tries at most, as one state by itself says it. */
  const call = { tokens: 11_693 + 256, costMicros: 10_800 + 4_000 }

  test('one child is all that it may use, once a visit, and a step of its parent; the time is its timeout', () => {
    const { states, total } = worst({ ask: child(writer) }, { limits: { ...limits, tokens: 1_000_000 } })
    expect(states).toEqual([
      {
        state: 'ask',
        kind: 'agent',
        visits: 1,
        children: 1,
        turns: 2,
        steps: 1 + 2,
        tokens: 4 * call.tokens,
        costMicros: 4 * call.costMicros,
        durationMs: 300_000,
        asks: false,
        defaults: [],
      },
    ])
    expect(total).toMatchObject({ turns: 2, steps: 3, tokens: 4 * call.tokens, durationMs: 300_000 })
    const again = child(writer, { visits: 3, on: { end: 'ask', $visits: 'end' } })
    expect(worst({ ask: again }, { limits: { ...limits, tokens: 1_000_000 } }).total).toMatchObject({
      turns: 6,
      steps: 3 + 6,
      tokens: 12 * call.tokens,
    })
  })

  test('the ceilings that the state gives its child hold instead of its own, and tokens are within those of the root', () => {
    const ask = child(writer, { limits: { steps: 1, tokens: 30_000 } })
    const of = (tokens: number) => worst({ ask }, { limits: { ...limits, tokens } })
    expect(of(1_000_000).states[0]).toMatchObject({ turns: 1, steps: 2, tokens: 2 * call.tokens })
    expect(of(5_000).total).toMatchObject({ tokens: 5_000, costMicros: 5_000 * 4 + 2 })
    const free = child(named('free', { write: model({ model: 'free' }) }))
    expect(worst({ ask: free }).total.costMicros).toBeNull()
    expect(worst({ ask: free }, { limits: { cost: usd(1) } }).total.costMicros).toBe(0)
  })

  test('a list has as many children as the task may take steps, or the tree may have tasks', () => {
    const fan = each(writer, { concurrency: 4 })
    const { states, total } = worst({ fan }, { limits: { ...limits, duration: '2h' } })
    expect(states[0]).toMatchObject({ visits: 1, children: 10, steps: 10 + 10 * 2, turns: 20, tokens: 100_000 })
    // Ten in rows of four, each with its deadline from when it begins.
    expect(states[0]!.durationMs).toBe(3 * 300_000)
    expect(total).toMatchObject({ steps: 30, turns: 20, tokens: 100_000, defaults: [] })
    const few = worst({ fan }, { limits: { ...limits, descendants: 3 } })
    expect(few.total).toMatchObject({ steps: 3 + 3 * 2, turns: 6 })
    const bare = worst({ fan })
    expect(bare.total).toMatchObject({ steps: 300, turns: 200, tokens: 1_000_000 })
    expect(bare.total.defaults).toEqual(['limits.steps', 'limits.tokens'])
  })

  test('lists of lists are no more tasks than the tree may have, and no deeper than it may be', () => {
    const middle = named('middle', { fan: each(writer) }, { limits: { steps: 100 } })
    const deep = (more: object) => worst({ fan: each(middle) }, { limits: { ...limits, steps: 100, ...more } })
    // Each of the fifty may begin all the others, as far as is known before.
    expect(deep({ descendants: 50 }).total).toMatchObject({ steps: 50 + 50 * 50, turns: 50 * 2 })
    expect(deep({ descendants: 50, depth: 1 }).total).toMatchObject({ steps: 50, turns: 0 })
  })

  test('an agent that a model may ask is as many children as it may be called, and takes as long as it may', () => {
    const asks = model({ tools: [agentTool(writer, { description: 'd', timeout: '1m' })], timeout: '10s' })
    const { states } = worst({ asks }, { limits: { ...limits, tokens: 1_000_000 } })
    expect(states[0]).toMatchObject({
      children: 4,
      turns: 2 + 4 * 2,
      steps: 2 + 2 * 4 + 4 * 2,
      tokens: 4 * call.tokens + 4 * 4 * call.tokens,
      durationMs: 2 * 70_000,
      asks: false,
    })
  })

  test('it asks where one below asks, and says which of their defaults it rests on', () => {
    const human = named('human', { ask: { human: { question: '?' }, on: { yes: 'end' } } as State })
    const { states, total } = worst({ first: child(named('middle', { ask: child(human) })) })
    expect(states[0]?.asks).toBe(true)
    expect(total.durationMs).toBe(300_000)
    const bare = named('bare', { write: model({ turns: undefined, outputTokens: undefined }) })
    expect(worst({ first: child(bare) }).total.defaults).toEqual(['bare.turns', 'bare.outputTokens'])
  })
})

test('a loop that nobody bounded is a warning; one with a ceiling of its own on any of its states is none', () => {
  const loop = (more: object) =>
    agentOf({ draft: run({ on: { OK: 'judge' }, ...more }), judge: run({ on: { OK: 'end', AGAIN: 'draft' } }) })
  const [problem, ...others] = check(loop({}))
  expect([problem?.severity, problem?.code, problem?.place, others]).toEqual([
    'warning',
    'LOOP_DEFAULT',
    'a.states.draft',
    [],
  ])
  expect(problem?.problem).toContain('draft, judge')
  expect(check(loop({ visits: 4 }))).toEqual([])
})

test('an agent with errors that can still be made into a machine has a worst case; one that cannot has none', () => {
  expect(examine(agentOf({ first: run(), lost: run() })).worst?.total.steps).toBe(1)
  expect(examine(agentOf({ first: run({ on: { OK: 'nowhere' } }) })).worst).toBeUndefined()
})

// ---- By chance -------------------------------------------------------------------------------------------------------

interface Plan {
  states: {
    kind: 'model' | 'tool' | 'run' | 'human' | 'wait'
    visits: number
    turns: number
    tools: boolean
    exits: number[]
    engine: [string, number][]
  }[]
  steps: number
  toolCalls: number
  /** Where the engine's exits lead that a state does not route. */
  route: number | undefined
  onFailure: number | 'rollback' | undefined
}

const index = fc.nat(4)
const plan: fc.Arbitrary<Plan> = fc.record({
  states: fc.array(
    fc.record({
      kind: fc.constantFrom('model', 'model', 'tool', 'run', 'human', 'wait'),
      visits: fc.integer({ min: 1, max: 3 }),
      turns: fc.integer({ min: 1, max: 3 }),
      tools: fc.boolean(),
      exits: fc.array(index, { maxLength: 2 }),
      engine: fc.array(fc.tuple(fc.constantFrom('$error', '$visits', '$turns', '$limit', '$refused'), index), {
        maxLength: 2,
      }),
    }),
    { minLength: 4, maxLength: 4 },
  ),
  steps: fc.constantFrom(8, 100),
  toolCalls: fc.integer({ min: 1, max: 4 }),
  route: fc.option(index, { nil: undefined, freq: 4 }),
  onFailure: fc.option(fc.oneof(index, ...Array(3).fill(fc.constant('rollback'))), { nil: undefined }),
}) as fc.Arbitrary<Plan>

function build({ states, steps, toolCalls, route, onFailure }: Plan): Agent {
  const name = (at: number): string => (at < states.length ? `s${at}` : 'end')
  const made = states.map(({ kind, visits, turns, tools, exits, engine }, at) => {
    const on = {
      // The first way leads on, so that every state is reached and reaches the end.
      DONE: name(at + 1),
      ...Object.fromEntries(exits.map((to, way) => [`W${way}`, name(to)])),
      ...Object.fromEntries(engine.map(([exit, to]) => [exit, name(to)])),
    }
    const kinds = {
      model: { model: 'm', prompt: 'p', turns, tools: tools ? [tool] : [], retry: { attempts: 2 } },
      tool: { tool, args: () => ({}), exit: () => (exits.length > 0 ? 'W0' : 'DONE') },
      run: { run: () => 'DONE' },
      human: { human: { question: '?' } },
      wait: { wait: { delay: '1s' } },
    }
    return { on, visits, ...(at < 2 ? { checkpoint: `c${at}` } : {}), ...kinds[kind] } as unknown as State
  })
  return agentOf(Object.fromEntries(made.map((state, at) => [name(at), state])), {
    limits: { steps, toolCalls },
    ...(onFailure === undefined ? {} : { onFailure: onFailure === 'rollback' ? onFailure : name(onFailure) }),
    on: route === undefined ? {} : Object.fromEntries(engineExits.map((exit) => [exit, name(route)])),
  })
}

const moves = fc.array(fc.nat(1_000), { minLength: 150, maxLength: 150 })

/** Plays a task by a row of numbers, to its end, or until only a person could go on by granting more. */
function playOut(agent: Agent, row: readonly number[]): Play {
  const play = new Play(agent, {}, { price, window: known.window })
  // Some plays fail often, and some stay long.
  const [fails, stays] = [(row[0] ?? 0) % 3 === 0 ? 2 : 23, 2 + ((row[1] ?? 0) % 9)]
  for (const move of row) {
    const { task } = play
    const [step] = task.open.values()
    const exits = ['DONE', 'W0', 'W1']
    if (task.outcome !== undefined && task.outcome !== null) break
    if (step && move % fails === 0)
      play.end({ kind: 'failed', failure: { class: move % 2 === 0 ? 'overload' : 'error', message: 'no' } }, step)
    else if (step?.kind === 'model') {
      const asked =
        move % stays === 0
          ? [call(exits[move % 5] ?? 'DONE')]
          : Array.from({ length: 1 + (move % 2) }, () => call('look'))
      const answer = { provider: 'p', modelId: 'm', content: asked, finish: 'tool-calls' as const }
      const usage = {
        inputTokens: 150,
        outputTokens: 900,
        cachedInputTokens: null,
        cacheWriteTokens: null,
        reasoningTokens: null,
      }
      play.end({ kind: 'model', answer: { ...answer, usage } }, step)
    } else if (step?.kind === 'tool') play.end({ kind: 'tool', result: move }, step)
    else if (step) play.end({ kind: 'function', leaving: { exit: exits[move % 3]!, output: {} } }, step)
    else if (task.item?.kind === 'question')
      play.answer({ decision: task.item.options[move % task.item.options.length]! })
    else if (task.item) break
    else {
      play.nowMs = Math.max(
        task.wait?.untilMs ?? 0,
        ...[...task.delayed.values()].map(({ atMs }) => atMs),
        play.nowMs + 1,
      )
      play.go()
    }
  }
  return play
}

/** What a task did, state by state, counted from its log. */
function count(play: Play): Map<string, { visits: number; turns: number; steps: number }> {
  const counted = new Map<string, { visits: number; turns: number; steps: number }>()
  let at = { visits: 0, turns: 0, steps: 0 }
  for (const { type, data } of play.log) {
    if (type === 'state.entered') {
      at = counted.get(data.state) ?? { visits: 0, turns: 0, steps: 0 }
      counted.set(data.state, at)
      at.visits += 1
    }
    if (type === 'model.answered') at.turns += 1
    if ((type === 'model.called' || type === 'tool.called' || type === 'function.called') && data.attempt === 1)
      at.steps += 1
  }
  return counted
}

test('no play of a random machine passes what was said to be its worst, and some reach it', () => {
  const reached = { plays: 0, rollbacks: 0, ended: 0, steps: 0, visits: 0, turns: 0, loops: 0 }
  fc.assert(
    fc.property(fc.noBias(plan), fc.noBias(moves), (given, row) => {
      const agent = build(given)
      const { states, total, loops } = worstOf(agent, compileChecked(agent), known)
      const play = playOut(agent, row)
      const counted = count(play)

      for (const state of states) {
        const did = counted.get(state.state) ?? { visits: 0, turns: 0, steps: 0 }
        for (const what of ['visits', 'turns', 'steps'] as const) {
          expect(did[what], `${what} of ${state.state}`).toBeLessThanOrEqual(state[what])
          if (did[what] === state[what] && did[what] > 1) reached[what] += 1
        }
      }
      const { usage } = play.task
      expect(usage.steps).toBeLessThanOrEqual(total.steps)
      expect(usage.turns).toBeLessThanOrEqual(total.turns)
      expect(usage.inputTokens + usage.outputTokens).toBeLessThanOrEqual(total.tokens)
      expect(usage.costMicros).toBeLessThanOrEqual(total.costMicros!)
      reached.plays += 1
      reached.ended += play.task.outcome === null || play.task.outcome === undefined ? 0 : 1
      reached.loops += loops.length
      reached.rollbacks += play.all('rollback.started').length
    }),
    { numRuns: 500 },
  )
  expect(reached.rollbacks).toBeGreaterThan(5)
  expect(reached.plays).toBe(500)
  for (const what of ['ended', 'steps', 'visits', 'turns', 'loops'] as const)
    expect(reached[what], what).toBeGreaterThan(10)
})
