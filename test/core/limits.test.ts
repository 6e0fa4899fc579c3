// Limits by values: counts that are exact, loops that make no progress, deadlines that are kept once, results that come
// late. I7, and SCENARIOS A6, A18 and A19.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type State } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Terms } from '../../src/core/draft.ts'
import type { Json } from '../../src/core/json.ts'
import type { Limits } from '../../src/core/limits.ts'
import { dueAtMs } from '../../src/core/task.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import { call, Play } from '../play.ts'

const context = defineContext({ count: { schema: z.number(), initial: 0 } })
const counted = z.object({ count: z.number() })
const ask = defineTool({
  name: 'ask',
  description: 'd',
  inputSchema: z.object({ at: z.unknown() }),
  execute: () => null,
})
const pay = defineTool({
  name: 'pay',
  description: 'd',
  inputSchema: z.object({}),
  effect: 'external',
  timeout: '10s',
  execute: () => null,
})
const reconciled: Tool<any> = { ...pay, reconcile: () => ({ done: false }) }

const ends = { done: { type: 'final' }, fallback: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const agentOf = (states: Record<string, State<any, any>>, limits: Limits<any> = {}, on: object = {}) =>
  defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: Object.keys(states)[0]!,
    limits,
    on: { $error: 'failed', $timeout: 'failed', $refused: 'fallback', ...on },
    states: { ...states, ...ends } as never,
  })
const thinker = (change: object = {}): State<any, any> => ({
  model: 'm',
  prompt: 'p',
  tools: [ask],
  turns: 1_000,
  on: { OK: 'done' },
  ...change,
})
const firstTries = (play: Play): number => {
  return play.log.filter(({ type, data }) => type.endsWith('.called') && 'attempt' in data && data.attempt === 1).length
}

describe('I7: the steps of a task', () => {
  const limits = Array.from({ length: 50 }, (_, index) => index + 1)

  test.each(limits)(
    'are %i where the limit says so, and not one more, with a crash after every permission',
    (steps) => {
      const play = new Play(agentOf({ think: thinker() }, { steps, toolCalls: 1_000 }))
      for (let turn = 1; play.task.open.size > 0; turn += 1) {
        play.crash()
        const [step] = play.task.open.values()
        if (step!.kind === 'tool') play.end({ kind: 'tool', result: turn }, step)
        else play.model([call('ask', { at: turn }), call('ask', { at: -turn })])
      }
      expect(firstTries(play)).toBe(steps)
      expect(play.task.usage.steps).toBe(steps)
      expect(play.all('limit.reached')).toEqual([{ limit: 'steps', max: steps, state: 'think' }])
      expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'steps' })
    },
  )
})

describe('A18, T02: a tool that answers "retry" for ever', () => {
  const priced: Partial<Terms> = {
    price: (_, { inputTokens, outputTokens }) => ({ costMicros: inputTokens + outputTokens, source: 'configured' }),
  }
  /** The model does as it is told: it asks again. */
  const loop = (limits: Limits<any>, change: object = {}, at: (turn: number) => unknown = () => 'same'): Play => {
    const play = new Play(
      agentOf({ think: thinker(change) }, limits, { $limit: 'fallback', $stuck: 'fallback', $turns: 'fallback' }),
      {},
      priced,
    )
    for (let turn = 1; play.task.open.size > 0; turn += 1) {
      if (play.open.kind === 'tool') play.end({ kind: 'tool', result: 'retry' })
      else play.model([call('ask', { at: at(turn) })])
    }
    return play
  }

  test('leaves by $stuck when one call got one answer K times, and the cost is known', () => {
    const play = loop({}, { repeats: 4 })
    expect(play.all('tool.called').length).toBe(4)
    expect(play.all('limit.reached')).toEqual([{ limit: 'repeats', max: 4, state: 'think' }])
    expect(play.task).toMatchObject({ outcome: 'fallback', usage: { turns: 4, costMicros: 60 } })
  })

  test('stops at the exact number of calls of one tool where every call is another', () => {
    const play = loop({ toolCalls: 7 }, {}, (turn) => turn)
    expect(play.all('tool.called').length).toBe(7)
    expect(play.all('limit.reached')).toEqual([{ limit: 'toolCalls', max: 7, state: 'think' }])
    expect(play.task.outcome).toBe('fallback')
  })

  test('stops at the exact number of steps, and of turns', () => {
    expect(loop({ steps: 9 }, {}, (turn) => turn)).toMatchObject({ task: { outcome: 'fallback', usage: { steps: 9 } } })
    expect(loop({}, { turns: 5 }, (turn) => turn)).toMatchObject({ task: { outcome: 'fallback', usage: { turns: 5 } } })
  })
})

describe('A19: two that hand over to each other for ever', () => {
  const pair = (limits: Limits<any>, on: object, to: object = {}): Play => {
    const play = new Play(
      agentOf(
        {
          writer: thinker({ visits: 1_000, on: { DONE: { target: 'critic', output: counted.partial() }, OK: 'done' } }),
          critic: thinker({ visits: 1_000, on: { DONE: { target: 'writer', output: counted.partial() }, OK: 'done' } }),
        },
        limits,
        on,
      ),
    )
    for (let turn = 1; play.task.open.size > 0; turn += 1)
      play.model([call('DONE', 'count' in to ? { count: turn } : {})])
    return play
  }

  test('with nothing changed: the same cycle three times is no progress, and leaves by $stuck', () => {
    const play = pair({}, { $stuck: 'fallback' })
    expect(play.task.outcome).toBe('fallback')
    expect(play.all('limit.reached')).toEqual([{ limit: 'repeats', max: 3, state: 'writer' }])
    // Three whole cycles, and not into a fourth.
    expect(play.all('model.called').length).toBe(6)
  })

  test('with something changed each time: stops at the exact number of hand-overs', () => {
    const play = pair({ handovers: 11 }, { $limit: 'fallback' }, { count: true })
    expect(play.task.outcome).toBe('fallback')
    expect(play.all('limit.reached')).toEqual([{ limit: 'handovers', max: 11, state: 'writer' }])
    expect(play.all('state.entered').filter(({ kind }) => kind === 'model').length).toBe(12)
  })

  test('and what no route takes waits for a human, who may let them go on', () => {
    const play = pair({ handovers: 2 }, {}, { count: true })
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'handovers', options: ['raise', 'end'] })
    play.answer({ decision: 'raise', data: { handovers: 3 } })
    expect(play.open.kind).toBe('model')
  })
})

describe('a cycle of states', () => {
  const cycle = (again: State<any, any>, change: object = {}): Play =>
    new Play(
      agentOf({
        work: { run: () => 'AGAIN', visits: 1_000, on: { AGAIN: 'again', OK: 'done' }, ...change },
        again,
      } as never),
    )
  const work = (play: Play, count?: number): void => {
    const output: Json = count === undefined ? {} : { count }
    play.end({ kind: 'function', leaving: { exit: 'AGAIN', output } })
  }

  test('that changes the context each time is progress', () => {
    const play = cycle(
      { run: () => 'OK', on: { OK: 'work' }, visits: 1_000 },
      { on: { AGAIN: { target: 'again', output: counted }, OK: 'done' } },
    )
    for (let round = 1; round <= 8; round += 1) {
      work(play, round)
      play.end({ kind: 'function', leaving: { exit: 'OK', output: {} } })
    }
    expect(play.task.state).toBe('work')
    expect(play.all('limit.reached')).toEqual([])
  })

  test('that writes what was there already is none', () => {
    const play = cycle(
      { run: () => 'OK', on: { OK: 'work' }, visits: 1_000 },
      { on: { AGAIN: { target: 'again', output: counted }, OK: 'done' } },
    )
    for (let round = 1; play.task.open.size > 0; round += 1) {
      if (play.task.state === 'work') work(play, 7)
      else play.end({ kind: 'function', leaving: { exit: 'OK', output: {} } })
    }
    expect(play.task.item).toMatchObject({ kind: 'escalation', exit: '$stuck' })
  })

  test('that waits for time, a signal or a human is a rhythm, not a loop', () => {
    const play = cycle({ wait: { delay: '1m' }, on: { DONE: 'work' }, visits: 1_000 })
    for (let round = 1; round <= 8; round += 1) {
      work(play)
      play.nowMs += 60_000
      play.go()
    }
    expect(play.task.state).toBe('work')
    expect(play.open.kind).toBe('function')
  })
})

describe('a deadline', () => {
  test('of a visit covers all of its turns, tools and tries: nothing goes on behind it', () => {
    const play = new Play(agentOf({ think: thinker({ visitTimeout: '90s', timeout: '60s' }) }))
    const { nowMs } = play
    expect(play.open.deadlineAtMs).toBe(nowMs + 60_000)
    play.nowMs += 50_000
    play.model([call('ask', { at: 1 })])
    expect(play.open.deadlineAtMs).toBe(nowMs + 80_000)
    play.nowMs += 20_000
    play.end({ kind: 'tool', result: 1 })
    expect(play.open.deadlineAtMs).toBe(nowMs + 90_000)
    play.nowMs += 20_000
    play.fail('timeout')
    expect(play.all('deadline.passed')).toEqual([{ of: 'state', state: 'think', deadlineAtMs: nowMs + 90_000 }])
    expect(play.exits).toEqual(['think $timeout failed'])
  })

  test('of a visit ends a wait for a human too, and the question is closed', () => {
    const play = new Play(agentOf({ ask: { human: { question: '?' }, visitTimeout: '1h', on: { yes: 'done' } } }))
    play.nowMs += 3_600_000
    play.go()
    expect(play.task.outcome).toBe('failed')
    expect(play.task.item).toBe(undefined)
  })

  test('of the task: what is open ends with it, and the state routes $limit', () => {
    const clean: State<any, any> = { human: { question: 'clean up?' }, on: { yes: 'done' } }
    const play = new Play(
      agentOf({ think: thinker({ timeout: '10m' }), clean }, { duration: '5m' }, { $limit: 'clean' }),
    )
    expect(play.open.deadlineAtMs).toBe(play.nowMs + 300_000)
    play.nowMs += 300_000
    play.fail('timeout')
    expect(play.all('limit.reached')).toEqual([{ limit: 'duration', max: 300_000, state: 'think' }])
    // A state behind the end may still ask a human; the end is not reached twice.
    expect(play.task).toMatchObject({ state: 'clean', status: 'waiting', item: { kind: 'question' } })
    play.answer({ decision: 'yes' })
    expect(play.task.outcome).toBe('done')
  })

  test('of the task passes while a human is awaited: the question closes, and a human may give more time', () => {
    const play = new Play(agentOf({ ask: { human: { question: '?' }, on: { yes: 'done' } } }, { duration: '1h' }))
    play.nowMs += 3_600_000
    play.go()
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'duration' })
    play.answer({ decision: 'raise', data: { durationMs: 7_200_000 } })
    expect(play.task.item).toMatchObject({ kind: 'question' })
    play.answer({ decision: 'yes' })
    expect(play.task.outcome).toBe('done')
  })

  test('is there for every wait: 30 days where nobody says otherwise', () => {
    const play = new Play(agentOf({ ask: { human: { question: '?' }, on: { yes: 'done' } } }))
    play.nowMs += 30 * 86_400_000
    play.go()
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'duration' })
  })
})

describe('A6, M21: what comes after its deadline', () => {
  const act = (tool: Tool<any>): Play => {
    return new Play(agentOf({ act: { tool, args: () => ({}), on: { DONE: 'done', $doubt: 'fallback' } } }))
  }

  test('from a tool is kept as late and not applied, and the tool is not called again', () => {
    const play = act(pay)
    const { open } = play
    play.fail('timeout')
    expect(play.exits).toEqual(['act $doubt fallback'])
    play.late({ kind: 'tool', result: 'paid' }, open)
    expect(play.all('step.late')).toMatchObject([{ step: 1, attempt: 1, kind: 'tool', result: 'paid' }])
    expect(play.task.outcome).toBe('fallback')
    expect(play.all('tool.called').length).toBe(1)
    expect(play.all('tool.answered')).toEqual([])
  })

  test('from an idempotent tool comes after its next try was permitted: the next try has the same key, and decides', () => {
    const play = act({ ...pay, idempotent: true, retry: { attempts: 2 } })
    const { open } = play
    play.fail('transport')
    play.nowMs = [...play.task.delayed.values()][0]!.atMs
    play.go()
    play.late({ kind: 'tool', result: 'first' }, open)
    play.end({ kind: 'tool', result: 'second' })
    expect(play.all('tool.called').map(({ idempotencyKey }) => idempotencyKey)).toEqual(['t.1', 't.1'])
    expect(play.all('tool.answered').map(({ result }) => result)).toEqual(['second'])
  })
})

describe('promise 8: a doubt that a human wants tried again', () => {
  const doubted = (terms: object): Play => {
    const tool: Tool<any> = { ...pay, concurrency: 1 }
    const play = new Play(agentOf({ act: { tool, args: () => ({}), on: { DONE: 'done' } } }), {}, terms)
    play.fail('timeout')
    expect(play.task.item).toMatchObject({ kind: 'doubt' })
    return play
  }

  test('waits its turn where no place is free, and is called under its key when there is one', () => {
    let full = false
    const play = doubted({ fullUntilMs: () => (full ? 5_000_000 : undefined) })
    full = true
    play.nowMs += 3_600_000
    play.answer({ decision: 'retry' })
    expect(play.all('step.queued').length).toBe(1)
    expect(play.task).toMatchObject({ status: 'waiting', item: undefined })
    full = false
    play.go()
    expect(play.open).toMatchObject({ attempt: 2, idempotencyKey: 't.1' })
    expect(play.open.deadlineAtMs).toBe(play.nowMs + 10_000)
  })

  test.each([5_000, 3_600_000])('is told that its breaker is open for %i ms more', (openMs) => {
    const play = doubted({})
    play.gates.set('tool:pay', {
      version: 1,
      breaker: { status: 'open', failures: 9, untilMs: play.nowMs + openMs, probe: null, pausedUntilMs: 0 },
    })
    play.answer({ decision: 'retry' })
    if (openMs > 10_000) {
      expect(play.exits).toEqual(['act $error failed'])
      return
    }
    play.nowMs += openMs
    play.go()
    expect(play.open).toMatchObject({ attempt: 2 })
  })
})

describe('promise 8: a tool that may not be called twice and can be asked', () => {
  const act = (): Play =>
    new Play(agentOf({ act: { tool: reconciled, args: () => ({}), on: { DONE: 'done', $doubt: 'fallback' } } }))

  test.each<[string, (play: Play) => void]>([
    ['whose answer did not come in time', (play) => play.fail('timeout')],
    ['whose worker died', (play) => play.crash()],
  ])('%s is asked under the same key, and what it says is the answer', (_, lose) => {
    const play = act()
    lose(play)
    expect(play.open).toMatchObject({ kind: 'tool', attempt: 2, reconciles: true, idempotencyKey: 't.1' })
    play.end({ kind: 'tool', result: 'paid before' })
    expect(play.all('tool.answered')).toMatchObject([{ result: 'paid before', by: 'reconcile' }])
    expect(play.task.outcome).toBe('done')
  })

  test('is called again when it says that it was not done, and no more often than a step may be lost', () => {
    const play = act()
    play.crash()
    play.end({ kind: 'undone' })
    expect(play.open).toMatchObject({ attempt: 3 })
    expect(play.open).not.toHaveProperty('reconciles')
    play.crash()
    play.end({ kind: 'undone' })
    play.crash()
    expect(play.task.outcome).toBe('fallback')
    expect(play.all('tool.called').length).toBe(5)
  })

  test('is asked when its turn comes, also behind the end of its visit, and until then nothing is written', () => {
    let full = false
    const play = new Play(
      agentOf({
        act: { tool: { ...reconciled, timeout: '1s' }, args: () => ({}), visitTimeout: '2s', on: { DONE: 'done' } },
      }),
      {},
      { fullUntilMs: () => (full ? 9_000_000 : undefined) },
    )
    full = true
    play.nowMs += 1_000
    play.fail('timeout')
    expect(play.all('step.queued')).toMatchObject([{ untilMs: 9_000_000 }])
    play.nowMs += 60_000
    expect(play.go()).toEqual([])
    expect(dueAtMs(play.task)).toBe(9_000_000)
    full = false
    play.nowMs = 9_000_000
    play.go()
    expect(play.open).toMatchObject({ attempt: 2, reconciles: true, deadlineAtMs: 9_001_000 })
  })

  test('is a doubt when it does not know, or is asked in vain', () => {
    const play = act()
    play.crash()
    play.fail('lost')
    expect(play.exits).toEqual(['act $doubt fallback'])
    expect(play.all('tool.called').filter(({ reconciles }) => !reconciles).length).toBe(1)
  })
})
