// Budgets: what a call may use is set aside before it is made, and what it used is booked afterwards. I6, and SCENARIOS
// A23, A24 and A60 by values.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Terms } from '../../src/core/draft.ts'
import type { EventData } from '../../src/core/event.ts'
import { charge, countable, free, reserve, type Ledger, type Reservation } from '../../src/core/ledger.ts'
import type { Limits } from '../../src/core/limits.ts'
import { costOf, usd, type Billed } from '../../src/core/price.ts'
import { evolve } from '../../src/core/fold.ts'
import { emptyTask, ledgerOf } from '../../src/core/task.ts'
import { defineTool } from '../../src/core/tool.ts'
import { call, Play, used } from '../play.ts'

const price = { inputUsdPerMillion: 3, outputUsdPerMillion: 15, cacheWriteUsdPerMillion: 3.75 }
const priced: Partial<Terms> = { price: (_, usage) => ({ costMicros: costOf(price, usage), source: 'configured' }) }

const look = defineTool({
  name: 'look',
  description: 'd',
  inputSchema: z.object({ at: z.number() }),
  execute: () => null,
})
const ways = { OK: 'done', ACT: 'act', ASK: 'ask', WAIT: 'wait', RUN: 'run', WRAP: 'wrapUp' } as const

/** A model that may look as often as it likes, and every other kind of state behind it. */
const agentOf = (limits: Limits<any>, change: object = {}) =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({}),
    initial: 'think',
    limits: { steps: 1_000, toolCalls: 1_000, ...limits },
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      think: {
        model: ['main', 'backup'],
        prompt: 'p',
        tools: [look],
        turns: 1_000,
        outputTokens: 1_000,
        outputTokensMin: 100,
        on: ways,
        ...change,
      },
      act: { tool: look, args: () => ({ at: 0 }), on: { DONE: 'done' } },
      run: { run: () => 'OK', on: { OK: 'done' } },
      ask: { human: { question: '?' }, on: { yes: 'act' } },
      wait: { wait: { delay: '1m' }, on: { DONE: 'act' } },
      wrapUp: { model: 'main', prompt: 'wrap up', outputTokens: 100, on: { OK: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })

/** The ledger after every event of a log. */
function ledgers(play: Play): Ledger[] {
  const task = emptyTask('t')
  return play.log.map((event) => {
    evolve(task, event)
    return ledgerOf(task)
  })
}

function holds(ledger: Ledger): void {
  for (const { max, settled, reserved } of [ledger.tokens, ledger.cost]) {
    expect(reserved).toBeGreaterThanOrEqual(0)
    expect(settled).toBeGreaterThanOrEqual(0)
    if (max !== null) expect(settled + reserved).toBeLessThanOrEqual(max)
  }
}

describe('a call is permitted', () => {
  test('with the worst that it may use set aside, and what is not used is given back', () => {
    const play = new Play(agentOf({ tokens: 10_000, cost: usd(0.1) }), {}, priced)
    const { reserved, outputTokensMax } = play.all('model.called')[0]!
    expect(outputTokensMax).toBe(1_000)
    expect(ledgerOf(play.task).tokens.reserved).toBe(reserved.inputTokens + 1_000)
    // Input at the price of what is written into the cache, which is the dearest.
    expect(reserved.costMicros).toBe(Math.ceil(reserved.inputTokens * 3.75) + 15_000)
    play.model([call('look', { at: 1 })])
    expect(ledgerOf(play.task)).toMatchObject({
      tokens: { settled: 15, reserved: 0 },
      cost: { settled: 30 + 75, reserved: 0 },
    })
  })

  test('for a shorter answer when too little is left, and not at all below the floor of its state: $limit', () => {
    const play = new Play(agentOf({ tokens: 2_500, soft: 0.99 }))
    const bounds: number[] = []
    for (let turn = 1; play.task.open.size > 0; turn += 1) {
      bounds.push(play.all('model.called').at(-1)!.outputTokensMax)
      play.model([call('look', { at: turn })], 'tool-calls', { inputTokens: 150, outputTokens: 200 })
      if (play.task.open.size > 0) play.end({ kind: 'tool', result: turn })
    }
    expect(bounds[0]).toBe(1_000)
    expect(bounds.at(-1)).toBeLessThan(1_000)
    expect(bounds.at(-1)).toBeGreaterThanOrEqual(100)
    expect(play.all('limit.reached')).toEqual([{ limit: 'tokens', max: 2_500, state: 'think' }])
    expect(play.task.item).toMatchObject({ kind: 'budget', exit: '$limit', limit: 'tokens' })
  })

  test('for a shorter answer when too little money is left', () => {
    const play = new Play(agentOf({ cost: usd(0.0045) }), {}, priced)
    const [{ reserved, outputTokensMax }] = play.all('model.called') as [EventData['model.called']]
    expect(outputTokensMax).toBeLessThan(1_000)
    const next = { ...used(), inputTokens: reserved.inputTokens, outputTokens: outputTokensMax + 1 }
    expect(reserved.costMicros).toBeLessThanOrEqual(4_500)
    expect(costOf(price, { ...next, cacheWriteTokens: reserved.inputTokens })).toBeGreaterThan(4_500)
  })

  test('of the next model of the chain when the first is too dear', () => {
    const terms: Partial<Terms> = {
      price: (model, usage) => ({
        costMicros: costOf(price, usage) * (model === 'main' ? 1_000 : 1),
        source: 'configured',
      }),
    }
    const play = new Play(agentOf({ cost: usd(0.05) }), {}, terms)
    expect(play.open).toMatchObject({ model: 'backup' })
  })

  test('never of a model without a price where money has a ceiling: the refusal names the model and the cure', () => {
    const play = new Play(agentOf({ cost: usd(1) }))
    expect(play.task.open.size).toBe(0)
    expect(play.all('step.refused').map(({ reason, asked }) => [reason, asked])).toEqual([
      ['price-unknown', 'main'],
      ['price-unknown', 'backup'],
    ])
    expect(play.all('step.refused')[0]!.correction).toContain('prices: { "main": {')
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'cost' })
  })

  test('with an estimate that follows what the model counts', () => {
    const play = new Play(agentOf({}))
    const reserves: number[] = []
    for (let turn = 1; turn <= 6; turn += 1) {
      const { reserved } = play.all('model.called').at(-1)!
      reserves.push(reserved.inputTokens / reserved.estimate)
      play.model([call('look', { at: turn })], 'tool-calls', { inputTokens: 3 * reserved.estimate })
      play.end({ kind: 'tool', result: turn })
    }
    expect(reserves[0]).toBeCloseTo(1.5, 1)
    for (const factor of reserves.slice(1)) expect(factor).toBeCloseTo(3.6, 1)
  })
})

describe('A24, M20: usage that is', () => {
  test.each<[string, Partial<Record<keyof Billed, unknown>>]>([
    ['missing', { inputTokens: undefined, outputTokens: undefined }],
    ['null', { inputTokens: null, outputTokens: null }],
    ['negative', { inputTokens: -5, outputTokens: -1 }],
    ['a text', { inputTokens: '12', outputTokens: '3' }],
    ['infinite', { inputTokens: Infinity, outputTokens: Infinity }],
    ['no number', { inputTokens: Number.NaN, outputTokens: Number.NaN }],
    ['in another unit', { inputTokens: 0.00012, outputTokens: 0.5 }],
  ])('%s is charged as it was reserved, and flagged; the budget never grows', (_, said) => {
    const play = new Play(agentOf({ tokens: 100_000, cost: usd(1) }), {}, priced)
    const { reserved } = play.all('model.called')[0]!
    play.model([call('look', { at: 1 })], 'tool-calls', said as never)
    const [{ charge: charged }] = play.all('model.answered') as [EventData['model.answered']]
    expect(charged).toMatchObject({ inputTokens: reserved.inputTokens, outputTokens: 1_000, estimated: true })
    expect(play.task.usage.costMicros).toBe(costOf(price, { ...used(), ...charged }))
    ledgers(play).forEach(holds)
  })

  test.each([
    { cachedInputTokens: 50 },
    { cacheWriteTokens: 50 },
    { cachedInputTokens: 8, cacheWriteTokens: 8 },
    { cachedInputTokens: 8, inputTokens: null },
  ])('%j, parts of the input that are more than the whole, is not said', (said) => {
    expect(countable(used(said))).toMatchObject({ cachedInputTokens: null, cacheWriteTokens: null })
  })

  test('a price that cannot be counted with when it comes to it: charged as it was reserved, flagged, with its source', () => {
    let asked = 0
    const price: Terms['price'] = (_, usage) => {
      asked += 1
      return asked <= 20 && usage.inputTokens !== 10 ? { costMicros: 7, source: 'genai-prices' } : null
    }
    const play = new Play(agentOf({ cost: usd(1) }), {}, { price })
    play.model([call('look', { at: 1 })])
    const [{ charge: charged }] = play.all('model.answered') as [EventData['model.answered']]
    expect(charged).toEqual({ inputTokens: 10, outputTokens: 5, priceSource: 'genai-prices', estimated: true })
    expect(play.task.usage.costMicros).toBe(7)
  })

  test('half known is charged for the half that is known', () => {
    const play = new Play(agentOf({}))
    play.model([call('look', { at: 1 })], 'tool-calls', { inputTokens: 77, outputTokens: null })
    expect(play.all('model.answered')[0]!.charge).toEqual({ inputTokens: 77, outputTokens: 1_000, estimated: true })
  })

  test('more than was reserved is charged as far as the budget has room; the rest is told apart, never hidden', () => {
    const play = new Play(agentOf({ tokens: 10_000, cost: usd(0.05) }), {}, priced)
    play.model([call('OK')], 'tool-calls', { inputTokens: 1_000_000, outputTokens: 7 })
    const [{ charge: charged, usage }] = play.all('model.answered') as [EventData['model.answered']]
    expect(usage.inputTokens).toBe(1_000_000)
    expect(charged.inputTokens + charged.outputTokens).toBe(10_000)
    expect(charged.excess).toEqual({ tokens: 990_007, costMicros: 3_000_105 - 50_000 })
    expect(play.task.usage.costMicros).toBe(50_000)
    ledgers(play).forEach(holds)
  })
})

describe('A60: what a failed call burned', () => {
  test('is nothing when the provider refused it or was never reached', () => {
    const play = new Play(agentOf({}), {}, priced)
    play.end({ kind: 'failed', failure: { class: 'overload', message: 'm', status: 503, unbilled: true } })
    expect(play.task.usage).toMatchObject({ costMicros: 0, inputTokens: 0 })
    expect(ledgerOf(play.task).tokens.reserved).toBe(0)
  })

  test.each(['timeout', 'transport', 'malformed'] as const)('is what was reserved after %s, and flagged', (kind) => {
    const play = new Play(agentOf({}), {}, priced)
    const { reserved } = play.all('model.called')[0]!
    play.end({ kind: 'failed', failure: { class: kind, message: 'm' } })
    expect(play.all('model.failed')[0]!.charge).toMatchObject({
      outputTokens: 1_000,
      estimated: true,
      priceSource: 'configured',
    })
    expect(play.task.usage.costMicros).toBe(reserved.costMicros)
  })

  test('is what was reserved when its worker died, once', () => {
    const play = new Play(agentOf({}), {}, priced)
    const { reserved } = play.all('model.called')[0]!
    play.crash()
    play.model([call('OK')])
    expect(play.task.usage.costMicros).toBe(reserved.costMicros! + 105)
  })

  test('is what was reserved when the task was cancelled in the middle of it', () => {
    const play = new Play(agentOf({}), {}, priced)
    const { reserved } = play.all('model.called')[0]!
    play.cancel()
    expect(play.task).toMatchObject({ status: 'cancelled', usage: { costMicros: reserved.costMicros } })
    expect(ledgerOf(play.task).tokens.reserved).toBe(0)
  })

  test('is corrected by a late answer to exactly what the provider counts', () => {
    const play = new Play(agentOf({}), {}, priced)
    const { open } = play
    play.end({ kind: 'failed', failure: { class: 'timeout', message: 'm' } })
    expect(play.task.outcome).toBe('failed')
    const answer = { provider: 'p', modelId: 'm', content: [call('OK')], finish: 'tool-calls' as const, usage: used() }
    play.late({ kind: 'model', answer }, open)
    expect(play.task).toMatchObject({ outcome: 'failed', usage: { costMicros: 105, inputTokens: 10, outputTokens: 5 } })
    expect(play.all('step.late')).toMatchObject([{ kind: 'model', usage: { inputTokens: 10 } }])
    // And only once.
    play.late({ kind: 'model', answer }, open)
    expect(play.task.usage.costMicros).toBe(105)
  })
})

describe('A60: a late answer that is written down before its worker is found gone', () => {
  const answer = { provider: 'p', modelId: 'm', content: [call('OK')], finish: 'tool-calls' as const, usage: used() }

  test('settles what was set aside, and the loss of the worker charges nothing more', () => {
    const play = new Play(agentOf({ tokens: 100_000 }), {}, priced)
    play.late({ kind: 'model', answer }, play.open)
    expect(play.all('step.late')).toMatchObject([{ charge: { inputTokens: 10, outputTokens: 5 } }])
    expect(ledgerOf(play.task).tokens).toMatchObject({ settled: 15, reserved: 0 })
    play.crash()
    expect(play.all('step.lost')).toEqual([{ step: 1, attempt: 1 }])
    expect(play.task.usage).toMatchObject({ costMicros: 105, inputTokens: 10, outputTokens: 5 })
    // And it is asked again, with a reservation of its own.
    expect(play.open).toMatchObject({ step: 1, attempt: 2 })
    play.model([call('OK')])
    expect(play.task.usage.costMicros).toBe(210)
    ledgers(play).forEach(holds)
  })

  test('that does not say what it used is charged as it was reserved, once', () => {
    const play = new Play(agentOf({}), {}, priced)
    const { reserved } = play.all('model.called')[0]!
    const silent = { ...answer, usage: used({ inputTokens: null, outputTokens: null }) }
    play.late({ kind: 'model', answer: silent }, play.open)
    play.crash()
    const billed = { ...used(), inputTokens: reserved.inputTokens, outputTokens: reserved.outputTokens }
    expect(play.task.usage.costMicros).toBe(costOf(price, billed))
    expect(play.all('step.late')[0]!.charge).toMatchObject({ estimated: true, priceSource: 'configured' })
  })
})

describe('A23: the soft line', () => {
  const limits = (onSoft: string): Limits<any> => ({ tokens: 10_000, soft: 0.8, onSoft })
  /** Has spent 8,100 of 10,000 tokens, and asks for something next. */
  const spent = (onSoft: string, asks: string): Play => {
    const play = new Play(agentOf(limits(onSoft)))
    play.model([call(asks, asks === 'look' ? { at: 1 } : {})], 'tool-calls', { inputTokens: 100, outputTokens: 8_000 })
    return play
  }
  const kinds: [string, string, (play: Play) => void][] = [
    ['a model call', 'nonsense', () => undefined],
    ['a tool of a model', 'look', () => undefined],
    ['a tool state', 'ACT', () => undefined],
    ['a function', 'RUN', () => undefined],
    ['a human who has answered', 'ASK', (play) => play.answer({ decision: 'yes' })],
    [
      'a wait that is over',
      'WAIT',
      (play) => {
        play.nowMs += 60_000
        play.go()
      },
    ],
  ]

  test.each(kinds)(
    'before %s: pauses for a human, and goes on after a raise with nothing called in between',
    (_, asks, pass) => {
      const play = spent('pause', asks)
      pass(play)
      const called = play.log.filter(({ type }) => type.endsWith('.called')).length
      expect(play.all('limit.neared')).toEqual([{ limit: 'tokens', max: 10_000, used: 8_100, soft: 0.8 }])
      expect(play.task).toMatchObject({
        status: 'waiting',
        item: { kind: 'budget', options: ['raise', 'finish', 'end'] },
      })
      expect(play.crash()).toEqual([])
      play.nowMs += 60_000
      expect(play.go()).toEqual([])
      expect(play.log.filter(({ type }) => type.endsWith('.called')).length).toBe(called)
      play.answer({ decision: 'raise', data: { tokens: 20_000 } })
      expect(play.all('limit.raised')).toEqual([{ limit: 'tokens', max: 20_000, by: 'ana', reason: 'because' }])
      expect(play.task.open.size).toBe(1)
      expect(play.all('limit.neared').length).toBe(1)
    },
  )

  test.each(kinds)('before %s: ends the task, as declared', (_, asks, pass) => {
    const play = spent('terminate', asks)
    pass(play)
    expect(play.task).toMatchObject({ status: 'failed', outcome: '$limit' })
  })

  test.each(kinds)('before %s: goes to the named state, once, and may use what is left', (_, asks, pass) => {
    const play = spent('wrapUp', asks)
    pass(play)
    expect(play.task.state).toBe('wrapUp')
    play.model([call('OK')])
    expect(play.task.outcome).toBe('done')
    expect(play.all('limit.neared').length).toBe(1)
  })

  test('a human may finish by an exit of the state, and is asked again when that exit cannot be taken', () => {
    const play = spent('pause', 'nonsense')
    play.answer({ decision: 'finish', data: { exit: 'NOPE' } })
    expect(play.all('step.refused').at(-1)).toMatchObject({ reason: 'undeclared-exit' })
    play.answer({ decision: 'finish', data: { exit: 'OK' } })
    expect(play.task.outcome).toBe('done')
    expect(play.all('model.called').length).toBe(1)
  })

  test('a human may end the task there', () => {
    const play = spent('pause', 'nonsense')
    play.answer({ decision: 'end' })
    expect(play.task).toMatchObject({ status: 'failed', outcome: '$limit' })
  })

  test.each([{ tokens: 10_000 }, { tokens: 20_000.5 }, { tokens: '20000' }, { cost: 5 }, [], 'more'])(
    'raised by %j is refused, and nothing is written',
    (data) => {
      const play = spent('pause', 'nonsense')
      const written = play.log.length
      expect(() => play.answer({ decision: 'raise', data: data as never })).toThrow('INPUT_INVALID')
      expect(play.log.length).toBe(written)
      expect(play.task.item?.answer).toBe(undefined)
    },
  )

  test('raised without a number gives as much again as the task had, and has a soft line of its own', () => {
    const play = spent('pause', 'nonsense')
    play.answer({ decision: 'raise' })
    expect(play.task.limits.tokens).toBe(20_000)
    play.model([call('nonsense')], 'tool-calls', { inputTokens: 100, outputTokens: 7_850 })
    expect(play.all('limit.neared').map(({ max }) => max)).toEqual([10_000, 20_000])
  })

  test.each([
    ['a try that waits', (play: Play) => void play.fail('transport')],
    ['a call whose worker died', (play: Play) => void play.crash()],
  ])('before %s: a raise that comes after the deadline of the turn lets it go on all the same', (_, breakOff) => {
    const play = new Play(agentOf({ tokens: 1_500 }))
    const [called] = play.all('model.called')
    breakOff(play)
    const [delayed] = play.task.delayed.values()
    if (delayed && play.task.item === undefined) {
      play.nowMs = delayed.atMs
      play.go()
    }
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'tokens' })
    const leftMs = called!.deadlineAtMs - play.nowMs
    play.nowMs += 3 * 86_400_000
    play.answer({ decision: 'raise', data: { tokens: 50_000 } })
    // The time that the human took is not the turn's: what was left of it is left now.
    expect(play.open).toMatchObject({ step: 1, attempt: 2, deadlineAtMs: play.nowMs + leftMs })
    expect(play.all('model.failed').some((failed) => failed.class === 'timeout')).toBe(false)
  })

  test('a raise gives no time behind the end of the task', () => {
    const play = new Play(agentOf({ tokens: 1_500, duration: '90s' }))
    play.crash()
    play.nowMs += 50_000
    play.answer({ decision: 'raise', data: { tokens: 50_000 } })
    expect(play.open.deadlineAtMs).toBe(1_000_000 + 90_000)
  })

  test('raised so little that it stays behind does not ask again', () => {
    const play = spent('pause', 'nonsense')
    play.answer({ decision: 'raise', data: { tokens: 10_100 } })
    expect(play.task.item).toBe(undefined)
    expect(play.all('limit.neared').length).toBe(1)
  })
})

describe('I6: never overrun', () => {
  test('whatever parallel calls, children, failures and crashes do in whatever order: settled and reserved stay below the ceiling', () => {
    // Many callers draw on one ledger, as parallel calls and child tasks do: each reserves, and later settles, fails, or
    // is never heard of again and charged when its worker is given up.
    const callers = fc.array(
      fc.record({
        estimate: fc.nat(400),
        outputTokensMax: fc.integer({ min: 50, max: 900 }),
        saysIn: fc.oneof(fc.nat(5_000), fc.constantFrom(-1, null, Infinity, '7', 1e15)),
        saysOut: fc.oneof(fc.nat(2_000), fc.constantFrom(-1, null, Number.NaN, 1e15)),
        ends: fc.constantFrom('answer', 'fail', 'refused', 'crash'),
      }),
      { minLength: 1, maxLength: 40 },
    )
    const price = (usage: Billed) => ({
      costMicros: costOf({ inputUsdPerMillion: 3, outputUsdPerMillion: 15 }, usage),
      source: 'configured' as const,
    })
    fc.assert(
      fc.property(callers, fc.infiniteStream(fc.nat(100)), fc.integer({ min: 500, max: 20_000 }), (all, order, max) => {
        const sums = { tokens: 0, cost: 0, heldTokens: 0, heldCost: 0 }
        const ledger = (): Ledger => ({
          tokens: { max, settled: sums.tokens, reserved: sums.heldTokens },
          cost: { max: max * 4, settled: sums.cost, reserved: sums.heldCost },
        })
        const waiting = [...all]
        const open: { held: Reservation; caller: (typeof all)[number] }[] = []
        while (waiting.length + open.length > 0) {
          const pick = order.next().value
          if (waiting.length > 0 && (open.length === 0 || pick % 2 === 0)) {
            const caller = waiting.pop()!
            const held = reserve(ledger(), { ...caller, correction: 1, outputTokensMin: 50 }, price)
            if (typeof held === 'string') {
              // Refused only when not even the shortest answer fits.
              const least = { ...used(), inputTokens: Math.ceil(caller.estimate * 1.2), outputTokens: 50 }
              if (held === 'tokens') expect(least.inputTokens + 50).toBeGreaterThan(free(ledger().tokens))
              else expect(price(least).costMicros).toBeGreaterThan(free(ledger().cost))
            } else {
              open.push({ held, caller })
              sums.heldTokens += held.inputTokens + held.outputTokens
              sums.heldCost += held.costMicros!
            }
          } else {
            const [{ held, caller }] = open.splice(pick % open.length, 1) as [(typeof open)[number]]
            const usage = countable({ ...used(), inputTokens: caller.saysIn, outputTokens: caller.saysOut })
            const before = ledger()
            const booked = charge(before, held, caller.ends === 'answer' ? usage : undefined, price)
            sums.heldTokens -= held.inputTokens + held.outputTokens
            sums.heldCost -= held.costMicros!
            if (caller.ends !== 'refused') {
              sums.tokens += booked.charge.inputTokens + booked.charge.outputTokens
              sums.cost += booked.costMicros!
            }
          }
          holds(ledger())
        }
      }),
      { numRuns: 500 },
    )
  })

  test('in a task, at every event of its log, whatever is said, fails, is lost or comes late; the soft line once', () => {
    const moves = fc.array(
      fc.record({
        kind: fc.constantFrom('answer', 'answer', 'answer', 'fail', 'refused', 'crash', 'timeout'),
        says: fc.oneof(fc.nat(3_000), fc.constantFrom(-1, null, Infinity, '7')),
        calls: fc.integer({ min: 1, max: 4 }),
        late: fc.boolean(),
      }),
      { minLength: 1, maxLength: 30 },
    )
    fc.assert(
      fc.property(moves, fc.integer({ min: 1_500, max: 30_000 }), (all, tokens) => {
        const play = new Play(
          agentOf(
            { tokens, cost: usd(0.2), onSoft: 'wrapUp' },
            { on: { ...ways, $error: 'think', $timeout: 'think' }, visits: 100, repeats: 100 },
          ),
          {},
          priced,
        )
        for (const { kind, says, calls, late } of all) {
          const [step] = play.task.open.values()
          if (!step) {
            const [delayed] = play.task.delayed.values()
            if (!delayed) break
            play.nowMs = delayed.atMs
            play.go()
          } else if (kind === 'crash') play.crash()
          else if (step.kind === 'tool') play.end({ kind: 'tool', result: play.log.length }, step)
          else if (kind === 'answer') {
            const content = Array.from({ length: calls }, (_, at) => call('look', { at: play.log.length + at }))
            play.end(
              {
                kind: 'model',
                answer: {
                  provider: 'p',
                  modelId: 'm',
                  content,
                  finish: 'tool-calls',
                  usage: { ...used(), inputTokens: says as number, outputTokens: 20 },
                },
              },
              step,
            )
          } else {
            const unbilled = kind === 'refused' ? { unbilled: true as const } : {}
            play.end(
              {
                kind: 'failed',
                failure: { class: kind === 'timeout' ? 'timeout' : 'overload', message: 'm', ...unbilled },
              },
              step,
            )
            const answer = {
              provider: 'p',
              modelId: 'm',
              content: [],
              finish: 'stop' as const,
              usage: { ...used(), inputTokens: says as number },
            }
            if (late) play.late({ kind: 'model', answer }, step)
          }
        }
        ledgers(play).forEach(holds)
        const { usage } = play.task
        const charges = play.log.flatMap(({ data }) => ('charge' in data && data.charge ? [data.charge] : []))
        expect(charges.reduce((sum, { inputTokens, outputTokens }) => sum + inputTokens + outputTokens, 0)).toBe(
          usage.inputTokens + usage.outputTokens,
        )
        expect(play.log.reduce((sum, { costMicros }) => sum + (costMicros ?? 0), 0)).toBe(usage.costMicros)
        for (const limit of ['tokens', 'cost']) {
          expect(play.all('limit.neared').filter((neared) => neared.limit === limit).length).toBeLessThanOrEqual(1)
        }
        if (play.task.outcome === undefined && play.task.open.size === 0 && play.task.delayed.size === 0) {
          expect(play.task.item).toBeDefined()
        }
      }),
      { numRuns: 500 },
    )
  })
})
