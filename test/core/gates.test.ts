// Gates by values: what a step does when its model or tool is not to be asked now. I14, and SCENARIOS A45 and A22.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { closedBreaker, type Gate } from '../../src/core/breaker.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Terms } from '../../src/core/draft.ts'
import { boundsOf } from '../../src/core/quota.ts'
import { defineTool } from '../../src/core/tool.ts'
import { call, Play } from '../play.ts'

const look = defineTool({
  name: 'look',
  description: 'd',
  inputSchema: z.object({ at: z.number() }),
  timeout: '20s',
  breaker: { failures: 2, coolDown: '5s' },
  execute: () => null,
})
const agentOf = (change: object = {}) =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({}),
    initial: 'think',
    on: { $error: 'failed', $timeout: 'late' },
    states: {
      think: { model: ['main', 'backup'], prompt: 'p', tools: [look], timeout: '60s', on: { OK: 'act' }, ...change },
      act: { tool: look, args: () => ({ at: 0 }), on: { DONE: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
      late: { type: 'final', failure: true },
    },
  })

const nowMs = 1_000_000
const open = (ms: number): Gate => ({
  version: 3,
  breaker: { ...closedBreaker, status: 'open', failures: 5, untilMs: nowMs + ms },
})
/** A play with gates as they are at its start. */
const play = (gates: Record<string, Gate>, change: object = {}, terms: Partial<Terms> = {}): Play => {
  const known = new Map(Object.entries(gates))
  const made: Play[] = []
  const begun = new Play(
    agentOf(change),
    {},
    {
      gate: (key) => made[0]?.gates.get(key) ?? known.get(key) ?? { version: 0, breaker: closedBreaker },
      ...terms,
    },
  )
  made.push(begun)
  return begun
}

describe('a model whose breaker is open', () => {
  test('is not asked: the next of the chain is, at once', () => {
    const played = play({ 'model:main': open(30_000) })
    expect(played.open).toMatchObject({ kind: 'model', model: 'backup', attempt: 1 })
    expect(played.all('step.queued')).toEqual([])
  })

  test('is waited for when there is none left and its cool-down ends before the deadline, and then probed', () => {
    const played = play({ 'model:main': open(30_000), 'model:backup': open(10_000) })
    expect(played.task).toMatchObject({ status: 'waiting' })
    expect(played.all('step.queued')).toMatchObject([
      { step: 1, key: 'model:backup', reason: 'open', untilMs: nowMs + 10_000 },
    ])
    played.nowMs += 9_999
    expect(played.go()).toEqual([])
    played.nowMs += 1
    expect(played.go().map(({ type }) => type)).toEqual(['breaker.changed', 'slot.freed', 'model.called'])
    expect(played.all('breaker.changed').at(-1)).toMatchObject({
      key: 'model:backup',
      version: 4,
      status: 'half-open',
      probe: 't.1',
    })
    // The deadline is the one that the step had from the beginning, and it is the first step.
    expect(played.open).toMatchObject({ step: 1, attempt: 1, deadlineAtMs: nowMs + 60_000 })
    played.model([call('OK')])
    expect(played.all('breaker.changed').at(-1)).toMatchObject({ version: 5, status: 'closed', failures: 0 })
  })

  test('a crash while it is waited for forgets nothing', () => {
    const played = play({ 'model:main': open(30_000), 'model:backup': open(10_000) })
    expect(played.crash()).toEqual([])
    played.nowMs += 10_000
    played.crash()
    expect(played.open).toMatchObject({ step: 1, attempt: 1, model: 'backup' })
  })

  test('is not waited for behind the deadline: $error, with the reason, and nothing was asked', () => {
    const played = play({ 'model:main': open(90_000), 'model:backup': open(70_000) })
    expect(played.exits).toEqual(['think $error failed'])
    expect(played.all('model.failed')).toMatchObject([{ attempt: 0, class: 'unavailable' }])
    expect(played.all('model.failed')[0]!.message).toContain(
      'model:backup could not be asked: its breaker is open until',
    )
    expect(played.all('model.called')).toEqual([])
  })

  test('that is being probed by another is waited for until the probe must have ended', () => {
    const probing: Gate = {
      version: 1,
      breaker: { ...closedBreaker, status: 'half-open', failures: 5, untilMs: nowMs + 20_000, probe: 'other.1' },
    }
    const played = play({ 'model:main': probing }, { model: 'main' })
    expect(played.all('step.queued')).toMatchObject([{ reason: 'probing', untilMs: nowMs + 20_000 }])
    // The prober never came back: this one probes in its place.
    played.nowMs += 20_000
    played.go()
    expect(played.all('breaker.changed')).toMatchObject([{ status: 'half-open', probe: 't.1' }])
  })
})

describe('failures', () => {
  test('in a row open the breaker, as events, and the chain goes on without it', () => {
    const terms: Partial<Terms> = { bounds: () => boundsOf({ breaker: { failures: 2, coolDown: '40s' } }) }
    const played = play({}, {}, terms)
    played.fail('overload')
    played.nowMs = [...played.task.delayed.values()][0]!.atMs
    played.go()
    expect(played.open).toMatchObject({ model: 'main', attempt: 2 })
    played.fail('overload')
    expect(played.all('breaker.changed').map(({ status, failures }) => [status, failures])).toEqual([
      ['closed', 1],
      ['open', 2],
    ])
    // Its two tries that were left are not made, nor waited for: the breaker is open.
    expect(played.all('model.failed').at(-1)!.retry).toMatchObject({ reason: 'fallback', delayMs: 0 })
    expect(played.open).toMatchObject({ model: 'backup', attempt: 3 })
  })

  test('that are ours, or the request’s, or the account’s do not count', () => {
    for (const kind of ['invalid-request', 'auth', 'content-filter', 'spend-limit', 'abort'] as const) {
      const played = play({}, { model: 'main' })
      played.fail(kind)
      expect(played.all('breaker.changed')).toEqual([])
    }
  })

  test('A22, M06: a rate limit pauses the key for everyone until Retry-After, and is no failure', () => {
    const played = play({}, { model: 'main' })
    played.end({ kind: 'failed', failure: { class: 'rate-limit', message: 'm', retryAfterMs: 7_000 } })
    expect(played.all('breaker.changed')).toMatchObject([
      { status: 'closed', failures: 0, pausedUntilMs: nowMs + 7_000 },
    ])
    const other = play(
      { 'model:main': { version: 1, breaker: { ...closedBreaker, pausedUntilMs: nowMs + 7_000 } } },
      { model: 'main' },
    )
    expect(other.all('step.queued')).toMatchObject([{ reason: 'paused', untilMs: nowMs + 7_000 }])
    other.nowMs += 7_000
    other.go()
    expect(other.open).toMatchObject({ model: 'main' })
  })
})

describe('a tool whose breaker is open', () => {
  test('is waited for in a tool state, or is an $error behind the deadline', () => {
    const waiting = play({ 'tool:look': open(10_000) })
    waiting.model([call('OK')])
    expect(waiting.all('step.queued')).toMatchObject([
      { step: 2, reason: 'open', call: { tool: 'look', idempotencyKey: 't.2' } },
    ])
    waiting.nowMs += 10_000
    waiting.go()
    expect(waiting.open).toMatchObject({ kind: 'tool', step: 2, attempt: 1, arguments: { at: 0 } })
    const late = play({ 'tool:look': open(21_000) })
    late.model([call('OK')])
    expect(late.exits).toEqual(['think OK act', 'act $error failed'])
    expect(late.all('tool.called')).toEqual([])
  })

  test('is told to a model that asks for it, and counts as a step', () => {
    const played = play({ 'tool:look': open(21_000) })
    played.model([call('look', { at: 1 })])
    expect(played.task.visit!.turns[0]!.results.get(0)).toMatchObject({ failed: true })
    expect(String(played.task.visit!.turns[0]!.results.get(0)!.value)).toContain('could not be asked')
    expect(played.open).toMatchObject({ kind: 'model', turn: 2 })
    expect(played.task.usage.steps).toBe(3)
  })
})

describe('a tool that takes only so many calls at once', () => {
  test('is waited for, with its place in the queue kept, and looked at again when a place is free', () => {
    const full = new Set([2, 3])
    const played = play({}, {}, { fullUntilMs: (step) => (full.has(step) ? nowMs + 4_000 : undefined) })
    played.model([call('look', { at: 1 }), call('look', { at: 2 })])
    expect(played.all('step.queued').map(({ step, reason }) => [step, reason])).toEqual([
      [2, 'busy'],
      [3, 'busy'],
    ])
    // Looked at early and in vain: nothing to say.
    expect(played.go()).toEqual([])
    full.clear()
    played.go()
    expect(played.all('tool.called').map(({ step }) => step)).toEqual([2, 3])
    expect(played.task.usage.steps).toBe(3)
  })

  test('and waits no longer than the deadline of the call', () => {
    const played = play({}, {}, { fullUntilMs: (step) => (step === 2 ? nowMs + 90_000 : undefined) })
    played.model([call('OK')])
    expect(played.all('step.queued')).toMatchObject([{ untilMs: nowMs + 20_000 }])
    played.nowMs += 20_000
    played.go()
    expect(played.exits).toEqual(['think OK act', 'act $timeout late'])
    expect(played.all('slot.freed')).toEqual([{ key: 'tool:look', step: 2 }])
  })
})

test('a task that is cancelled while it probes lets another probe at once', () => {
  const played = play(
    { 'model:main': { ...open(0), breaker: { ...open(0).breaker, untilMs: nowMs } } },
    { model: 'main' },
  )
  expect(played.gates.get('model:main')!.breaker).toMatchObject({ status: 'half-open', probe: 't.1' })
  played.cancel()
  expect(played.gates.get('model:main')!.breaker).toMatchObject({ status: 'open', untilMs: nowMs, probe: null })
  expect(played.task.status).toBe('cancelled')
})

test('a call that waits its turn is performed although its model asked for one more than the task has steps; then $limit', () => {
  let full = true
  const terms: Partial<Terms> = { fullUntilMs: (step) => (full && step === 2 ? nowMs + 100 : undefined) }
  const begun = new Play(agentOf({ on: { OK: 'act', $limit: 'late' } }), {}, terms, { steps: 2 })
  begun.model([call('look', { at: 1 }), call('look', { at: 2 })])
  expect(begun.task.delayed.size).toBe(1)
  expect(begun.exits).toEqual([])
  full = false
  begun.nowMs += 100
  begun.go()
  expect(begun.open).toMatchObject({ kind: 'tool', step: 2 })
  begun.end({ kind: 'tool', result: 1 })
  expect(begun.exits).toEqual(['think $limit late'])
  expect(begun.task.usage.steps).toBe(2)
})
