// Signals and waits by values: what a signal must hold, who is told when it does not, and until when is waited. Over a real
// store in test/signals.test.ts.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Reading, type State } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { dueAtMs } from '../../src/core/task.ts'
import type { Time } from '../../src/core/time.ts'
import { defineTool } from '../../src/core/tool.ts'
import { call, Play } from '../play.ts'

const context = defineContext({ amount: z.number().optional(), currency: z.string().optional() })
const paid = z.object({ amount: z.number(), currency: z.string().default('EUR') })
const output = z.object({ amount: z.number(), currency: z.string() }).partial()
const ends = { done: { type: 'final' }, late: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const agentOf = (states: Record<string, State<any, any>>, change: object = {}) =>
  defineAgent({
    name: 'shop',
    version: '1',
    context,
    initial: Object.keys(states)[0]!,
    on: { $error: 'failed', $timeout: 'late' },
    ...change,
    states: { ...states, ...ends } as never,
  })
const waiting: State<any, any> = { wait: { signal: 'paid' }, timeout: '1h', on: { DONE: { target: 'done', output } } }
const shop = agentOf({ first: waiting }, { signals: { paid, shipped: z.object({}) } })
const valueOf = (play: Play, key: string): unknown => play.task.context.get(key)?.value

describe('a signal that is declared', () => {
  test('hands over what its schema makes of it: defaults are filled in, what is not declared is not there', () => {
    const play = new Play(shop)
    play.signal({ name: 'paid', data: { amount: 3, note: 'x' } }, play.machine)
    expect(play.all('signal.received')).toMatchObject([{ data: { amount: 3, note: 'x' } }])
    expect(play.all('transition.taken')).toMatchObject([{ exit: 'DONE', output: { amount: 3, currency: 'EUR' } }])
    expect([valueOf(play, 'amount'), valueOf(play, 'currency')]).toEqual([3, 'EUR'])
    expect(play.task.outcome).toBe('done')
  })

  test('and does not fit is refused where the machine is known, naming what does not: nothing is written', () => {
    const play = new Play(shop)
    const events = play.log.length
    const refused = {
      code: 'INPUT_INVALID',
      message: expect.stringMatching(/signal paid .*amount: .*number/) as string,
    }
    expect(() => play.signal({ name: 'paid', data: { amount: 'much' } }, play.machine)).toThrow(
      expect.objectContaining(refused) as Error,
    )
    expect(play.log.length).toBe(events)
  })

  test('and does not fit, from where no machine is known, is consumed with a refusal, and the wait goes on to its end', () => {
    const play = new Play(shop)
    const started = play.all('wait.started')
    const events = play.signal({ name: 'paid', data: { amount: 'much' } })
    expect(events.map(({ type }) => type)).toEqual(['signal.received', 'signal.consumed', 'step.refused'])
    expect(play.all('step.refused')).toMatchObject([{ reason: 'invalid-signal', state: 'first', asked: 'paid' }])
    expect(play.all('step.refused')[0]!.correction).toContain('amount: ')
    // The same wait, with the time that it had.
    expect(play.all('wait.started')).toEqual(started)
    expect(play.task).toMatchObject({ status: 'waiting', wait: { signal: 'paid' } })
    play.crash()
    play.nowMs += 3_600_000 - 1
    expect(play.go()).toEqual([])
    play.nowMs += 1
    play.go()
    expect(play.exits).toEqual(['first $timeout late'])
  })

  test('and fits, behind others that do not, is taken', () => {
    const play = new Play(
      agentOf({ ask: { human: { question: '?' }, on: { go: 'first' } }, first: waiting }, { signals: { paid } }),
    )
    for (let number = 0; number < 30; number += 1) play.signal({ name: 'paid', data: { amount: String(number) } })
    play.signal({ name: 'paid', data: { amount: 7 } })
    play.answer({ decision: 'go' })
    expect(play.all('step.refused').length).toBe(30)
    expect(valueOf(play, 'amount')).toBe(7)
  })

  test('fits its schema but not what the state hands over: the function of the machine has failed, as before', () => {
    const narrow = { ...waiting, on: { DONE: { target: 'done', output: z.object({ amount: z.number().max(5) }) } } }
    const play = new Play(agentOf({ first: narrow }, { signals: { paid } }))
    play.signal({ name: 'paid', data: { amount: 7 } }, play.machine)
    expect(play.all('step.refused')).toMatchObject([{ reason: 'invalid-output' }])
    expect(play.exits).toEqual(['first $error failed'])
  })
})

test('a signal that nobody declares is refused with those that are declared, where the machine is known', () => {
  const play = new Play(shop)
  const events = play.log.length
  const refused = { code: 'INPUT_INVALID', message: expect.stringMatching(/"payed".*paid, shipped/) as string }
  expect(() => play.signal({ name: 'payed' }, play.machine)).toThrow(expect.objectContaining(refused) as Error)
  expect(play.log.length).toBe(events)
  // From elsewhere it is kept, and nobody takes it.
  play.signal({ name: 'payed' })
  expect(play.task.status).toBe('waiting')
})

test('an agent that declares no signals takes any, with anything in it', () => {
  const play = new Play(agentOf({ first: waiting }))
  play.signal({ name: 'whatever', data: [1] }, play.machine)
  play.signal({ name: 'paid', data: { amount: 1 } }, play.machine)
  expect(play.all('transition.taken')).toMatchObject([{ output: { amount: 1 } }])
})

test('an early signal waits for its state, a key counts once, and both are so after a crash in between', () => {
  const states = { think: { model: 'm', prompt: 'p', on: { OK: 'first' } }, first: waiting } as const
  const play = new Play(agentOf(states, { signals: { paid } }))
  play.signal({ name: 'paid', data: { amount: 1 }, key: 'k' }, play.machine)
  play.crash()
  expect(play.signal({ name: 'paid', data: { amount: 2 }, key: 'k' }, play.machine)).toEqual([])
  play.model([call('OK')])
  expect(valueOf(play, 'amount')).toBe(1)
})

describe('a wait until a time', () => {
  // A minute after a play begins.
  const atMs = 1_060_000
  const until = (time: (given: Reading<any>) => unknown, change: object = {}) =>
    agentOf({ first: { wait: { until: time as () => Time }, on: { DONE: 'done' }, ...change } })
  test.each([
    ['a date', () => new Date(atMs)],
    ['a text', () => '1970-01-01T00:17:40Z'],
    ['a text in another zone', () => '1970-01-01T02:17:40+02:00'],
    ['milliseconds', () => atMs],
    ['a fraction of one, which is not over before it is', () => atMs - 0.5],
    ['what the context says', ({ context: { currency } }: any) => currency as string],
  ])('that is %s leaves by DONE then, not before', (_, time) => {
    const play = new Play(until(time), { currency: '1970-01-01T00:17:40.000Z' })
    expect(play.all('wait.started')).toEqual([{ state: 'first', untilMs: atMs, absolute: true }])
    expect(play.task.status).toBe('waiting')
    play.crash()
    play.nowMs = atMs - 1
    expect(play.go()).toEqual([])
    play.nowMs = atMs
    play.go()
    expect(play.exits).toEqual(['first DONE done'])
  })

  test('that is past is not waited for', () => {
    const play = new Play(until(() => 999_999))
    expect(play.all('wait.started')).toMatchObject([{ untilMs: 999_999 }])
    expect(play.task.outcome).toBe('done')
  })

  test('asks for the time once in a visit, and anew in the next', () => {
    let asked = 0
    const time = () => 1_000_000 + 60_000 * (asked += 1)
    const play = new Play(until(time, { visits: 2, on: { DONE: 'first', $visits: 'done' } }))
    for (let look = 0; look < 3; look += 1) play.crash()
    expect(asked).toBe(1)
    play.nowMs += 60_000
    play.crash()
    expect(play.all('wait.started').map(({ untilMs }) => untilMs)).toEqual([1_060_000, 1_120_000])
  })

  const wrong: readonly (readonly [string, () => unknown, string])[] = [
    [
      'throws',
      () => {
        throw new Error('no calendar')
      },
      'no calendar',
    ],
    ['says nothing', () => undefined, 'milliseconds'],
    ['says it later', async () => atMs, 'milliseconds'],
    ['says what is no time', () => 'tomorrow', 'milliseconds'],
    ['names no zone, so that it would be another time elsewhere', () => '2026-10-01T09:00:00', 'zone'],
    ['says a month that there is not', () => '2026-13-01', 'milliseconds'],
    ['says a day that there is not', () => '2026-02-30T09:00:00Z', 'milliseconds'],
    ['says no date at all', () => new Date(Number.NaN), 'milliseconds'],
    ['never comes to an end', () => Infinity, 'milliseconds'],
  ]
  test.each(wrong)('whose function %s has failed: $error, with the reason', (_, time, said) => {
    const play = new Play(until(time))
    expect(play.all('function.failed')).toMatchObject([{ what: 'wait', class: 'error' }])
    expect(play.all('function.failed')[0]!.message).toContain(said)
    expect(play.exits).toEqual(['first $error failed'])
  })

  test('may read what its state may read, and no more', () => {
    const play = new Play(
      until(({ context: { currency } }) => currency, { reads: ['amount'] }),
      { currency: '2026-10-01' },
    )
    expect(play.all('step.refused')).toMatchObject([{ reason: 'undeclared-read', asked: 'currency' }])
    expect(play.exits).toEqual(['first $error failed'])
  })

  test('ends earlier where its visit, or the task, has no more time', () => {
    const visit = new Play(until(() => atMs, { visitTimeout: '10s' }))
    visit.nowMs += 10_000
    visit.go()
    expect(visit.exits).toEqual(['first $timeout late'])
    const task = new Play(
      until(() => atMs, { on: { DONE: 'done', $limit: 'late' } }),
      {},
      {},
      { duration: '30s' },
    )
    expect(dueAtMs(task.task)).toBe(1_030_000)
    task.nowMs += 30_000
    task.go()
    expect(task.exits).toEqual(['first $limit late'])
  })

  test('is that time also when a rollback took time and was stopped; a delay has as much left as it had', () => {
    const mail = defineTool({
      name: 'mail',
      description: 'd',
      inputSchema: z.object({}),
      effect: 'external',
      idempotent: true,
      execute: () => null,
    })
    const waits = (wait: object): Play => {
      const act = { tool: mail, args: () => ({}), on: { DONE: 'first' } }
      const play = new Play(agentOf({ act, first: { wait, on: { DONE: 'done' } } as State<any, any> }))
      play.end({ kind: 'tool', result: 'sent' })
      play.rollback(4)
      play.nowMs += 10_000
      play.answer({ decision: 'stop' })
      return play
    }
    expect(waits({ until: () => 1_060_000 }).task.wait?.untilMs).toBe(1_060_000)
    expect(waits({ delay: '1m' }).task.wait?.untilMs).toBe(1_070_000)
  })
})
