// SCENARIOS A1 and A22 by values, and I15: what is tried again, when, and when no more.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { EventData } from '../../src/core/event.ts'
import { draw, planRetry } from '../../src/core/resilience.ts'
import { defineTool } from '../../src/core/tool.ts'
import { Play } from '../play.ts'

const pay = defineTool({
  name: 'pay',
  description: 'd',
  inputSchema: z.object({}),
  effect: 'external',
  idempotent: true,
  retry: { attempts: 3 },
  timeout: '60s',
  execute: () => null,
})
const once = defineTool({
  name: 'once',
  description: 'd',
  inputSchema: z.object({}),
  effect: 'external',
  timeout: '60s',
  execute: () => null,
})
const agentOf = (tool: typeof pay) =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({}),
    initial: 'act',
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      act: { tool, args: () => ({}), on: { DONE: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
const planned = (play: Play): NonNullable<EventData['tool.failed']['retry']>[] =>
  play.all('tool.failed').flatMap(({ retry }) => (retry ? [retry] : []))

test('A1: a tool that fails twice and then works is one step of three attempts under one key, with the delays in the log', () => {
  const play = new Play(agentOf(pay))
  for (let failure = 0; failure < 2; failure += 1) {
    play.fail('overload')
    expect(play.task).toMatchObject({ status: 'waiting' })
    expect(play.task.open.size).toBe(0)
    play.nowMs = planned(play).at(-1)!.atMs - 1
    expect(play.go()).toEqual([])
    play.nowMs += 1
    play.go()
  }
  play.end({ kind: 'tool', result: 'paid' })
  expect(play.task).toMatchObject({ outcome: 'done', usage: { steps: 1 } })
  expect(play.all('tool.called').map(({ attempt, idempotencyKey }) => [attempt, idempotencyKey])).toEqual([
    [1, 't.1'],
    [2, 't.1'],
    [3, 't.1'],
  ])
})

test('a crash while a step waits for its next try forgets neither the time nor the failures before', () => {
  const play = new Play(agentOf(pay))
  play.fail('overload')
  const { atMs } = planned(play)[0]!
  expect(play.crash()).toEqual([])
  play.nowMs = atMs
  play.crash()
  expect(play.open).toMatchObject({ attempt: 2, failures: 1 })
})

test('a step whose deadline passed while it waited, because no worker was there, has timed out', () => {
  const play = new Play(agentOf(pay))
  play.fail('overload')
  play.nowMs += 60_000
  play.crash()
  expect(play.exits).toEqual(['act $timeout failed'])
})

test('A6, promise 8: a tool that may not be called twice and whose answer did not come in time is a doubt, not a failure', () => {
  const play = new Play(agentOf(once))
  play.fail('timeout')
  expect(play.all('tool.doubted')).toEqual([{ step: 1, attempt: 1, tool: 'once' }])
  expect(play.task.item).toMatchObject({ kind: 'doubt' })
})

test('a tool that may not be called twice and says that it failed is not called again', () => {
  const play = new Play(agentOf(once))
  play.fail('error')
  expect(play.all('tool.called').length).toBe(1)
  expect(play.exits).toEqual(['act $error failed'])
})

describe('A22, M06: what the provider asks for', () => {
  test.each<[number, number | undefined]>([
    [10_000, 10_000],
    [0, undefined],
    [59_999, 59_999],
    [60_000, Number.NaN],
    [366 * 86_400_000, Number.NaN],
  ])('%i ms is kept, unless it ends behind the deadline: then there is no other try', (retryAfterMs, expectedMs) => {
    const play = new Play(agentOf(pay))
    play.end({ kind: 'failed', failure: { class: 'rate-limit', message: 'm', retryAfterMs } })
    const [retry] = planned(play)
    if (Number.isNaN(expectedMs)) expect(play.exits).toEqual(['act $error failed'])
    else if (expectedMs === undefined) expect(retry).toMatchObject({ reason: 'jitter' })
    else expect(retry).toMatchObject({ delayMs: expectedMs, reason: 'retry-after' })
  })
})

test('I15: over 1,000 seeds the delays lie within their bounds, differ between tasks, and are the same when told again', () => {
  const policy = { attempts: 10, baseMs: 500, capMs: 20_000 }
  const delays = (seed: number): number[] => {
    let previousMs = 0
    return Array.from({ length: 6 }, (_, index) => {
      const retry = planRetry(policy, {
        failure: { class: 'overload', message: '' },
        failures: index,
        previousMs,
        deadlineAtMs: 1e12,
        nowMs: 0,
        random: draw(seed, 1, index + 1),
      })!
      const widestMs = Math.min(policy.capMs, 3 * Math.max(policy.baseMs, previousMs))
      expect(retry.delayMs).toBeGreaterThanOrEqual(policy.baseMs)
      expect(retry.delayMs).toBeLessThanOrEqual(widestMs)
      previousMs = retry.delayMs
      return retry.delayMs
    })
  }
  const all = Array.from({ length: 1_000 }, (_, seed) => delays(seed))
  expect(all).toEqual(Array.from({ length: 1_000 }, (_, seed) => delays(seed)))
  // Of a thousand tasks that fail together hardly two come back together.
  expect(new Set(all.map(([first]) => first)).size).toBeGreaterThan(550)
  const mean = all.reduce((sum, [first]) => sum + first!, 0) / all.length
  expect(mean).toBeGreaterThan(950)
  expect(mean).toBeLessThan(1_050)
})

test('whatever fails how often: never more tries than the policy, never one that begins behind the deadline', () => {
  const kinds = ['rate-limit', 'overload', 'transport', 'auth', 'error', 'timeout', 'malformed', 'spend-limit'] as const
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ kind: fc.constantFrom(...kinds), retryAfterMs: fc.option(fc.nat(90_000), { nil: undefined }) }),
        { minLength: 1, maxLength: 8 },
      ),
      (failures) => {
        const play = new Play(agentOf(pay))
        const { deadlineAtMs } = play.open
        for (const { kind, retryAfterMs } of failures) {
          if (play.task.open.size === 0) break
          play.end({
            kind: 'failed',
            failure: { class: kind, message: 'm', ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
          })
          const [delayed] = play.task.delayed.values()
          if (!delayed) break
          expect(delayed.atMs).toBeLessThan(deadlineAtMs)
          play.nowMs = delayed.atMs
          play.go()
        }
        expect(play.all('tool.called').length).toBeLessThanOrEqual(3)
        expect(play.task.usage.steps).toBe(1)
      },
    ),
  )
})

describe('A6: a doubt that a human settles with retry', () => {
  const pay = defineTool({
    name: 'pay',
    description: 'd',
    inputSchema: z.object({}),
    effect: 'external',
    timeout: '5s',
    execute: () => 1,
  })
  const played = (): Play =>
    new Play(
      defineAgent({
        name: 'a',
        version: '1',
        context: defineContext({}),
        initial: 'act',
        on: { $error: 'failed', $timeout: 'late' },
        states: {
          act: { tool: pay, args: () => ({}), visitTimeout: '4s', on: { DONE: 'done' } },
          done: { type: 'final' },
          late: { type: 'final', failure: true },
          failed: { type: 'final', failure: true },
        },
      }),
    )

  test('has time of its own, also when the visit has none left, and what it answers counts', () => {
    const play = played()
    play.nowMs += 4_000
    play.fail('timeout')
    expect(play.task.item).toMatchObject({ kind: 'doubt' })
    play.nowMs += 10 * 60_000
    play.answer({ decision: 'retry' })
    expect(play.open).toMatchObject({ attempt: 2, deadlineAtMs: play.nowMs + 5_000 })
    play.nowMs += 4_900
    play.end({ kind: 'tool', result: 'paid' })
    expect(play.exits).toEqual(['act DONE done'])
  })

  test('is no doubt again when the call never began', () => {
    const play = played()
    play.end({ kind: 'failed', failure: { class: 'timeout', message: 'm', unbilled: true } })
    expect(play.all('tool.doubted')).toEqual([])
    expect(play.exits).toEqual(['act $timeout late'])
  })
})
