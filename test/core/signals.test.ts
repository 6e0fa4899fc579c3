// Signals and waits by values: what a signal must hold, who is told when it does not, and until when is waited. Over a real
// store in test/signals.test.ts.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type State } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
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
