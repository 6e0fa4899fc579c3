// Rollback by values: back to any point, what is taken back and in which order, what a human is asked, what stays, and
// what cannot be. I18 and SCENARIO A59; over a real store in test/rollback.test.ts.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type State } from '../../src/core/agent.ts'
import { answer } from '../../src/core/command.ts'
import { defineContext } from '../../src/core/context.ts'
import { late } from '../../src/core/decide.ts'
import { draft } from '../../src/core/draft.ts'
import { erased } from '../../src/core/erasure.ts'
import type { Event } from '../../src/core/event.ts'
import type { Json } from '../../src/core/json.ts'
import { park } from '../../src/core/park.ts'
import { pastAt } from '../../src/core/past.ts'
import { rollbackTo } from '../../src/core/rollback.ts'
import { fold } from '../../src/core/fold.ts'
import { dueAtMs, emptyTask, type OpenStep, type Task } from '../../src/core/task.ts'
import type { Tool } from '../../src/core/tool.ts'
import { bookingTool as tool } from '../booking-tool.ts'
import { call, Play } from '../play.ts'

const context = defineContext({
  count: { schema: z.number(), initial: 0 },
  note: z.string().optional(),
  list: { schema: z.array(z.number()), initial: [], merge: 'append' },
})
const act = tool('act', { undo: () => null })
const pay = tool('pay', { idempotent: false, undo: () => null, timeout: '10s' })
const mail = tool('mail')
const look = tool('look', { effect: 'read' })

const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const agentOf = (states: Record<string, State<any, any>>, change: { on?: object; onFailure?: string } = {}) =>
  defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: Object.keys(states)[0]!,
    ...(change as object),
    // Some way leads to either end.
    on: { $turns: 'failed', $refused: 'done', ...change.on },
    states: { ...states, ...ends } as never,
  })
const output = z.object({ count: z.number(), note: z.string(), list: z.array(z.number()) }).partial()
/** A tool state that writes to the context when it leaves. */
const acting = (used: Tool<any>, n: number, target: string, written: object = {}, change: object = {}) => ({
  tool: used,
  args: () => ({ n }),
  exit: () => ({ exit: 'DONE', output: written }),
  on: { DONE: { target, output } },
  ...change,
})
const asking = (target: string): State<any, any> => ({ human: { question: '?' }, on: { yes: target } })
const thinking = (tools: readonly Tool<any>[], target = 'done', change: object = {}): State<any, any> => ({
  model: 'm',
  prompt: 'p',
  tools,
  on: { OK: { target, output } },
  ...change,
})

/** What can be seen of a task from outside. */
const seen = ({ state, context: kept }: Task): { state: string; context: Record<string, Json> } => ({
  state,
  context: Object.fromEntries([...kept].map(([key, { value }]) => [key, value])),
})
const undos = (play: Play): (number | undefined)[] =>
  play.all('tool.called').flatMap(({ undoes }) => (undoes === undefined ? [] : [undoes]))
/** Answers whatever tools are open, in the order of their steps, until nothing is. */
const work = (play: Play, result: (step: OpenStep) => Json = ({ step }) => step): Play => {
  for (let steps = 0; ; steps += 1) {
    if (steps > 200) throw new Error('it never came to rest')
    const step = [...play.task.open.values()].find(({ kind }) => kind === 'tool')
    if (!step) return play
    play.end({ kind: 'tool', result: result(step) }, step)
  }
}
/** The task as it was right after an event. */
const asAt = (play: Play, seq: number): Task =>
  fold(
    emptyTask('t'),
    play.log.filter((event) => event.seq <= seq),
  )
const seqOf = (play: Play, holds: (event: Event) => boolean): number => play.log.find(holds)!.seq
const entered = (play: Play, state: string): number =>
  seqOf(play, ({ type, data }) => type === 'state.entered' && data.state === state)

/** Four effects, each in a state of its own, each followed by a write; then a human. */
const chain = agentOf({
  s1: acting(act, 1, 's2', { count: 1 }),
  s2: acting(pay, 2, 's3', { note: 'two', list: [2] }),
  s3: acting(look, 3, 's4', { count: 3 }),
  s4: acting(act, 4, 's5', { list: [4] }),
  s5: asking('done'),
})

describe('A59, I18: a task that goes back', () => {
  const whole = work(new Play(chain))

  test('to any event is in the state and has the context of the visit it was in then', () => {
    const last = whole.task.seq
    for (let to = 1; to <= last; to += 1) {
      const play = work(new Play(chain))
      if (to < entered(whole, 's1')) {
        expect(() => play.rollback(to)).toThrow('ROLLBACK_INVALID')
        continue
      }
      const visit = asAt(whole, Math.max(...whole.log.filter(isEntry).flatMap(({ seq }) => (seq <= to ? [seq] : []))))
      const log = play.log.length
      play.rollback(to)
      work(play)
      const started = play.all('rollback.started')[0]!
      expect(started).toMatchObject({ to: visit.seq, asked: to, state: visit.state })
      const back = play.log.findIndex(({ type }, index) => index > log && type === 'state.entered')
      expect(seen(fold(emptyTask('t'), play.log.slice(0, back + 1)))).toEqual(seen(visit))
      const since = [1, 2, 4].filter((step) => step > started.lastStep).reverse()
      expect(started.undo).toEqual(since)
      expect(undos(play)).toEqual(since)
      expect(fold(emptyTask('t'), play.log)).toEqual(play.task)
    }
  })

  test('takes back with the arguments, the result and a key of the step, and counts no step for it', () => {
    const play = work(new Play(chain))
    play.rollback(entered(play, 's1'))
    expect(play.open).toMatchObject({
      tool: 'act',
      arguments: { n: 4 },
      undoes: 4,
      idempotencyKey: 't.4.undo',
      idempotent: true,
      step: 5,
    })
    expect(play.task.usage.steps).toBe(4)
    play.end({ kind: 'tool', result: null })
    expect(play.open).toMatchObject({ tool: 'pay', undoes: 2, idempotencyKey: 't.2.undo', step: 6 })
    play.end({ kind: 'tool', result: null })
    play.end({ kind: 'tool', result: null })
    // The next step of its own does not share a number, and so no key, with any of them.
    expect(play.open).toMatchObject({ tool: 'act', step: 8, idempotencyKey: 't.8', arguments: { n: 1 } })
    expect(play.task.usage.steps).toBe(5)
  })

  test('writes what differs and removes what was not there; versions go up, also when the key is written again', () => {
    const play = work(new Play(chain))
    play.rollback(entered(play, 's2'))
    play.end({ kind: 'tool', result: null })
    const events = play.end({ kind: 'tool', result: null })
    expect(
      events.filter(({ type }) => /context|rolledBack|entered/.test(type)).map(({ type, data }) => [type, data]),
    ).toEqual([
      ['task.rolledBack', { to: entered(play, 's2'), state: 's2' }],
      ['context.written', { key: 'count', version: 4, value: 1, source: 'rollback' }],
      ['context.written', { key: 'list', version: 4, value: [], source: 'rollback' }],
      ['context.removed', { key: 'note', version: 2 }],
      ['state.entered', { state: 's2', kind: 'tool', visit: 2 }],
    ])
    work(play)
    expect(play.task.context.get('note')).toMatchObject({ value: 'two', version: 3 })
  })

  test('and back again, by random points, takes back each effect at most once, and is always as it was at that point', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(200), { minLength: 1, maxLength: 6 }), (points) => {
        const play = work(new Play(chain))
        for (const point of points) {
          const [first, last] = [entered(play, 's1'), play.task.seq]
          const to = first + (point % (last - first + 1))
          const then = play.log.filter((event) => isEntry(event) && event.seq <= to).at(-1)!.seq
          const before = play.log.length
          try {
            play.rollback(to)
          } catch (thrown) {
            // On its way back then, or where an effect was that is gone.
            expect(String(thrown)).toContain('ROLLBACK_INVALID')
            expect(play.log.length).toBe(before)
            continue
          }
          if (point % 3 === 0) play.crash()
          work(play)
          const at = play.log.findIndex((event, index) => index > before && isEntry(event))
          expect(seen(fold(emptyTask('t'), play.log.slice(0, at + 1)))).toEqual(seen(asAt(play, then)))
        }
        expect(new Set(undos(play)).size).toBe(
          play.all('tool.answered').filter(({ step }) => isUndo(play, step)).length,
        )
        expect(fold(emptyTask('t'), play.log)).toEqual(play.task)
      }),
      { numRuns: 200 },
    )
  })
})

const isEntry = ({ type }: Event): boolean => type === 'state.entered'
const isUndo = (play: Play, step: number): boolean =>
  play.all('tool.called').some((called) => called.step === step && called.undoes !== undefined)

describe('a rollback that cannot be', () => {
  const middle = (play: Play): number => play.all('rollback.started')[0]!.to && seqOf(play, isUndoCall)
  const isUndoCall = ({ type, data }: Event): boolean => type === 'tool.called' && data.undoes !== undefined

  test.each<[string, number | string]>([
    ['event 0', 0],
    ['a negative event', -1],
    ['half an event', 3.5],
    ['no number', Number.NaN],
    ['an event before the first state', 1],
    ['an event that is not there yet', 10_000],
    ['a checkpoint nobody passed', 'nowhere'],
  ])('%s: nothing is written', (_, to) => {
    const play = work(new Play(chain))
    const before = play.log.length
    expect(() => play.rollback(to)).toThrow('ROLLBACK_INVALID')
    expect(play.log.length).toBe(before)
  })

  test('to a point inside a rollback, or while one is on its way', () => {
    const play = work(new Play(chain))
    play.rollback(entered(play, 's2'))
    expect(() => play.rollback(entered(play, 's1'))).toThrow('on its way back')
    work(play)
    expect(() => play.rollback(middle(play))).toThrow('was on its way back')
  })

  test('to a point on a branch that was left, where effects were that are gone; where none is gone it may', () => {
    const play = work(new Play(chain))
    const [s2, s5] = [entered(play, 's2'), entered(play, 's5')]
    play.rollback(s2)
    work(play)
    expect(() => play.rollback(s5)).toThrow('has been taken back')
    play.rollback(s2)
    work(play)
    expect(play.task.state).toBe('s5')
    // Each effect of each branch once.
    expect(undos(play)).toEqual([4, 2, 9, 7])
  })

  test('of a cancelled task', () => {
    const play = work(new Play(chain))
    play.cancel()
    expect(() => play.rollback(entered(play, 's1'))).toThrow('was cancelled')
  })
})

describe('a task that has ended', () => {
  test('done goes back and runs again', () => {
    const play = work(new Play(chain))
    play.answer({ decision: 'yes' })
    expect(play.task.status).toBe('done')
    play.rollback(entered(play, 's4'))
    expect(play.task).toMatchObject({ status: 'running', outcome: undefined })
    play.end({ kind: 'tool', result: null })
    work(play)
    play.answer({ decision: 'yes' })
    expect(play.task).toMatchObject({ status: 'done', outcome: 'done' })
    expect(undos(play)).toEqual([4])
  })

  test('and whose rollback is stopped has ended as it had', () => {
    const play = work(new Play(agentOf({ s1: acting(mail, 1, 'failed') })))
    expect(play.task.status).toBe('failed')
    play.rollback(entered(play, 's1'))
    expect(play.task).toMatchObject({ status: 'waiting' })
    play.answer({ decision: 'stop' })
    expect(play.task).toMatchObject({ status: 'failed', outcome: 'failed', item: undefined })
  })
})

describe('a step whose tool has no undo', () => {
  const mailing = agentOf({
    s1: acting(act, 1, 's2', { count: 1 }),
    s2: acting(mail, 2, 's3', { count: 2 }),
    s3: asking('done'),
  })
  const back = (): Play => {
    const play = work(new Play(mailing))
    play.rollback(entered(play, 's1'))
    return play
  }

  test('is listed, with what it did, and nothing is taken back before a human has said yes', () => {
    const play = back()
    expect(play.all('rollback.started')[0]).toMatchObject({ undo: [1], without: [2] })
    expect(play.task.item).toMatchObject({ kind: 'rollback', options: ['accept', 'stop'], steps: [2] })
    expect(play.all('human.asked').at(-1)!.show).toEqual([
      { step: 2, tool: 'mail', arguments: { n: 2 }, idempotencyKey: 't.2', result: 2 },
    ])
    expect(undos(play)).toEqual([])
    play.answer({ decision: 'accept', by: 'eva', reason: 'harmless' })
    expect(play.all('effect.kept')).toEqual([{ step: 2, tool: 'mail', by: 'eva', reason: 'harmless' }])
    work(play)
    expect(undos(play)).toEqual([1])
  })

  test('is not asked about a second time', () => {
    const play = back()
    play.answer({ decision: 'accept' })
    play.end({ kind: 'tool', result: null })
    play.rollback(entered(play, 's1'))
    expect(play.task.item).toBe(undefined)
    work(play)
    expect(play.task.state).toBe('s3')
  })

  test('can stop the rollback: the same question is open again, and nothing was taken back', () => {
    const play = work(new Play(mailing))
    const { item } = play.task.item!
    play.rollback(entered(play, 's1'))
    expect(play.task.item!.item).not.toBe(item)
    play.answer({ decision: 'stop' })
    expect(play.task).toMatchObject({ state: 's3', item: { item, answer: undefined }, rollback: undefined })
    expect(play.all('rollback.stopped')).toEqual([{ by: 'ana', reason: 'because', item }])
    expect(undos(play)).toEqual([])
    play.answer({ decision: 'yes' })
    expect(play.task.status).toBe('done')
  })

  test('a read is no effect', () => {
    const play = work(new Play(agentOf({ s1: acting(look, 1, 's2'), s2: asking('done') })))
    play.rollback(entered(play, 's1'))
    expect(play.all('rollback.started')[0]).toMatchObject({ undo: [], without: [] })
  })
})

describe('a call of which nobody knows whether it was done', () => {
  test('is listed and needs a yes; a doubt that was decided done is taken back', () => {
    const doubtful = agentOf({ s1: acting(pay, 1, 's2', {}, { on: { DONE: 's2', $doubt: 's2' } }), s2: asking('done') })
    const play = new Play(doubtful)
    play.crash()
    expect(play.task.state).toBe('s2')
    play.rollback(entered(play, 's1'))
    expect(play.all('human.asked').at(-1)!.show).toEqual([
      { step: 1, tool: 'pay', arguments: { n: 1 }, idempotencyKey: 't.1', unknown: true },
    ])

    const decided = new Play(agentOf({ s1: acting(pay, 1, 's2'), s2: asking('done') }))
    decided.crash()
    decided.answer({ decision: 'done', data: 'receipt' })
    decided.rollback(entered(decided, 's1'))
    expect(decided.open).toMatchObject({ undoes: 1 })
    expect(decided.task.effects.get(1)).toMatchObject({ result: 'receipt' })
  })

  test('is known when its answer comes late', () => {
    const timing = agentOf({ s1: acting(act, 1, 's2', {}, { on: { DONE: 's2', $timeout: 's2' } }), s2: asking('done') })
    const play = new Play(timing)
    play.fail('timeout')
    expect(play.task.effects.get(1)).toMatchObject({ result: undefined })
    play.late({ kind: 'tool', result: 'done' }, { step: 1, attempt: 1 })
    play.rollback(entered(play, 's1'))
    expect(play.open).toMatchObject({ undoes: 1 })
  })

  test('that a human, or the tool itself, says was not done, is no effect', () => {
    const play = new Play(
      agentOf({ s1: acting(pay, 1, 's2', {}, { on: { DONE: 's2', $error: 's2' } }), s2: asking('done') }),
    )
    play.crash()
    play.answer({ decision: 'retry' })
    play.fail('error')
    expect(play.task.state).toBe('s2')
    expect([...play.task.effects]).toEqual([])

    const reconciled = { ...pay, reconcile: () => ({ done: false as const }) }
    const asked = new Play(
      agentOf({ s1: acting(reconciled, 1, 's2', {}, { on: { DONE: 's2', $error: 's2' } }), s2: asking('done') }),
    )
    asked.crash()
    expect(asked.open).toMatchObject({ reconciles: true })
    expect(asked.task.effects.size).toBe(1)
    asked.rollback(entered(asked, 's1'))
    asked.end({ kind: 'undone' })
    expect(asked.task.effects.size).toBe(0)
    // It went back without calling it, and now calls it for the first time in the new visit.
    expect(asked.open).toMatchObject({ tool: 'pay', step: 2 })
  })
})

describe('an undo that fails', () => {
  const going = (): Play => {
    const play = work(new Play(agentOf({ s1: acting(pay, 1, 's2'), s2: asking('done') })))
    play.rollback(entered(play, 's1'))
    return play
  }

  test('is tried again as often as a tool may be, under the same key', () => {
    const play = going()
    play.exhaust('error', 'no luck')
    const keys = play
      .all('tool.called')
      .flatMap(({ undoes, attempt, idempotencyKey }) => (undoes ? [[attempt, idempotencyKey]] : []))
    expect(keys).toEqual([
      [1, 't.1.undo'],
      [2, 't.1.undo'],
      [3, 't.1.undo'],
    ])
    expect(play.task.item).toMatchObject({ kind: 'rollback', options: ['retry', 'accept', 'stop'], steps: [1] })
  })

  test.each(['retry', 'accept', 'stop'])('for good is put before a human: %s', (decision) => {
    const play = going()
    play.exhaust('error', 'no luck')
    play.answer({ decision })
    if (decision === 'retry') {
      expect(play.open).toMatchObject({ undoes: 1, idempotencyKey: 't.1.undo' })
      play.end({ kind: 'tool', result: null })
    }
    expect(play.task).toMatchObject({ state: decision === 'stop' ? 's2' : 's1', rollback: undefined })
    expect(play.all('effect.kept').length).toBe(decision === 'accept' ? 1 : 0)
  })

  test.each(['retry', 'stop'])('whose task gets nowhere is put before a human, too: %s', (decision) => {
    const play = going()
    const parked = draft(play.task, play.nowMs, play.terms)
    park(play.machine, parked, 10)
    play.log.push(...parked.events)
    expect(play.task.item).toMatchObject({ kind: 'rollback', options: ['retry', 'stop'] })
    expect(dueAtMs(play.task)).toBeNull()
    play.answer({ decision })
    if (decision === 'retry') {
      expect(play.open).toMatchObject({ undoes: 1, attempt: 2, idempotencyKey: 't.1.undo' })
      play.end({ kind: 'tool', result: null })
    }
    expect(play.task).toMatchObject({ state: decision === 'stop' ? 's2' : 's1', rollback: undefined })
  })

  test('that is lost with its worker is made again, also behind its deadline', () => {
    const play = going()
    play.nowMs += 86_400_000
    play.crash()
    expect(play.open).toMatchObject({ undoes: 1, attempt: 2, deadlineAtMs: play.nowMs + 10_000 })
    play.end({ kind: 'tool', result: null })
    expect(play.task.state).toBe('s1')
  })

  test('but comes to pass late, is done', () => {
    const play = going()
    const { step, attempt } = play.open
    play.fail('timeout')
    play.late({ kind: 'tool', result: null }, { step, attempt })
    // Nobody has to say anything any more.
    expect(play.all('item.closed')).toMatchObject([{ why: 'withdrawn' }])
    expect(play.task.effects.get(1)!.undoneSeq).toBeDefined()
    expect(play.task.state).toBe('s1')
    expect(play.all('tool.called').filter(({ undoes }) => undoes === 1).length).toBe(1)
  })

  test('is not tried again when a human says so after it has come to pass late; nor when another try was planned', () => {
    for (const planned of [false, true]) {
      const play = going()
      const { step, attempt } = play.open
      play.fail('timeout')
      const item = planned ? undefined : play.asked
      // The answer comes before any worker has looked at what was said.
      const work = draft(play.task, play.nowMs, play.terms)
      if (item !== undefined) answer(work, item, { decision: 'retry', by: 'ana', reason: 'r' })
      late(work, { kind: 'tool', result: 'undone', step, attempt, latencyMs: 1 })
      play.log.push(...work.events)
      play.nowMs += 3_600_000
      play.go()
      expect(play.all('tool.called').filter(({ undoes }) => undoes === 1).length).toBe(1)
      expect(play.task.state).toBe('s1')
    }
  })

  test('and a question that was open meanwhile has as much time left, when the rollback is stopped, as it had', () => {
    const play = work(
      new Play(
        agentOf({ s1: acting(pay, 1, 's2'), s2: { human: { question: '?' }, timeout: '1h', on: { yes: 'done' } } }),
      ),
    )
    const expiresAtMs = play.task.item!.expiresAtMs!
    play.rollback(entered(play, 's1'))
    play.exhaust('error')
    play.nowMs += 2 * 3_600_000
    play.answer({ decision: 'stop' })
    const took = play.nowMs - play.log.find(({ type }) => type === 'rollback.started')!.at
    expect(play.task.item).toMatchObject({ kind: 'question', expiresAtMs: expiresAtMs + took })
    expect(play.all('rollback.stopped')).toMatchObject([{ expiresAtMs: expiresAtMs + took }])
    expect(dueAtMs(play.task)).toBe(expiresAtMs + took)
  })

  test('waits before its breaker like any call', () => {
    const play = work(new Play(agentOf({ s1: acting(act, 1, 's2'), s2: asking('done') })))
    const until = play.nowMs + 5_000
    const shut = { status: 'open', failures: 9, untilMs: until, probe: null, pausedUntilMs: 0 } as const
    play.gates.set('tool:act', { version: 1, breaker: shut })
    play.rollback(entered(play, 's1'))
    expect(play.task).toMatchObject({ status: 'waiting' })
    play.nowMs = until
    play.go()
    expect(play.open).toMatchObject({ undoes: 1, idempotencyKey: 't.1.undo', idempotent: true })
    expect(play.task.usage.steps).toBe(1)
  })
})

describe('a rollback while the task is at work', () => {
  const both = agentOf({ s1: acting(act, 1, 'think'), think: thinking([act, pay]) })

  test('calls a model off, charges what was set aside for it, and keeps what it says late', () => {
    const play = new Play(both)
    work(play)
    const { step, attempt } = play.open
    play.rollback(entered(play, 's1'))
    expect(play.all('model.failed')).toMatchObject([{ class: 'abort', charge: { estimated: true } }])
    expect(play.task.reserved).toEqual({ tokens: 0, costMicros: 0 })
    expect(play.open).toMatchObject({ undoes: 1 })
    const usage = {
      inputTokens: 1,
      outputTokens: 1,
      cachedInputTokens: null,
      cacheWriteTokens: null,
      reasoningTokens: null,
    }
    const answer = { provider: 'p', modelId: 'm', content: [call('OK')], finish: 'tool-calls', usage } as const
    play.end({ kind: 'model', answer }, { step, attempt } as OpenStep)
    expect(play.all('step.late')).toMatchObject([{ step, kind: 'model' }])
    expect(play.task.usage).toMatchObject({ inputTokens: 1, outputTokens: 1 })
  })

  test('asks the model again when it is stopped', () => {
    const play = work(new Play(agentOf({ s1: acting(mail, 1, 'think'), think: thinking([act]) })))
    play.rollback(entered(play, 's1'))
    play.answer({ decision: 'stop' })
    expect(play.open).toMatchObject({ kind: 'model', turn: 1 })
    play.model([call('OK')])
    expect(play.task.status).toBe('done')
  })

  test('waits for tools that are at work, and takes them back too', () => {
    const play = new Play(both)
    work(play)
    play.model([call('act', { n: 2 }), call('pay', { n: 3 })])
    const [first, second] = play.task.open.values()
    play.rollback(entered(play, 'think'))
    expect(play.all('rollback.started')[0]).toMatchObject({ undo: [], without: [] })
    play.end({ kind: 'tool', result: 'b' }, second)
    expect(undos(play)).toEqual([])
    play.end({ kind: 'tool', result: 'a' }, first)
    // What came to be last is taken back first.
    work(play)
    expect(undos(play)).toEqual([first!.step, second!.step])
    expect(play.open).toMatchObject({ kind: 'model', turn: 1 })
  })

  test('begins nothing anew that failed or was to be tried again, unless it is stopped: then under the same key', () => {
    const trying = agentOf({ s1: acting(mail, 1, 's2'), s2: acting(act, 2, 's3'), s3: asking('done') })
    const play = new Play(trying)
    play.end({ kind: 'tool', result: null })
    play.fail('error')
    expect(play.task.delayed.size).toBe(1)
    play.rollback(entered(play, 's1'))
    expect(play.task.delayed.size).toBe(0)
    play.answer({ decision: 'stop' })
    expect(play.open).toMatchObject({ tool: 'act', attempt: 2, idempotencyKey: 't.2' })
  })

  test('gives a tool that fails meanwhile no other try', () => {
    const play = new Play(agentOf({ s1: acting(act, 1, 's2'), s2: asking('done') }))
    play.rollback(entered(play, 's1'))
    play.fail('error')
    expect(play.all('tool.failed')[0]!.retry).toBe(undefined)
    expect(play.open).toMatchObject({ step: 2, attempt: 1, idempotencyKey: 't.2' })
  })

  test('and was answered just before: if it is stopped, the answer counts', () => {
    const play = work(new Play(agentOf({ s1: acting(mail, 1, 's2'), s2: asking('done') })))
    const past = pastAt('t', play.log, entered(play, 's1'))
    play.go((draft) => {
      answer(draft, play.task.item!.item, { decision: 'yes', by: 'eva', reason: 'r' })
      rollbackTo(draft, past, { asked: past.seq, by: 'ana', reason: 'r' })
    })
    play.answer({ decision: 'stop' })
    expect(play.all('rollback.stopped')).toEqual([{ by: 'ana', reason: 'because' }])
    expect(play.task.status).toBe('done')
  })

  test('has as much time left as it had, if it is stopped', () => {
    const timed = { ...asking('done'), visitTimeout: '1h' } as State
    const play = work(new Play(agentOf({ s1: acting(mail, 1, 's2'), s2: timed })))
    const deadline = play.task.visit!.deadlineAtMs!
    play.rollback(entered(play, 's1'))
    play.nowMs += 7_200_000
    play.answer({ decision: 'stop' })
    expect(play.task.visit!.deadlineAtMs).toBe(deadline + 7_200_000)
    expect(play.task.item).toMatchObject({ kind: 'question' })
  })

  test('is due when the rollback is, whatever else was to happen by then', () => {
    const play = work(
      new Play(agentOf({ s1: acting(act, 1, 's2'), s2: { ...asking('done'), visitTimeout: '100ms' } as State })),
    )
    play.rollback(entered(play, 's1'))
    play.fail('error')
    const [undo] = play.task.delayed.values()
    play.nowMs += 60_000
    expect(dueAtMs(play.task)).toBe(undo!.atMs)
    play.go()
    play.end({ kind: 'tool', result: null })
    expect(play.all('deadline.passed')).toEqual([])
    expect(play.task.state).toBe('s1')
  })

  test('stops a function, and runs it again when it is stopped itself', () => {
    const running = agentOf({ s1: acting(mail, 1, 'run'), run: { run: () => 'OK', on: { OK: 'done' } } })
    const play = new Play(running)
    play.end({ kind: 'tool', result: null })
    play.rollback(entered(play, 's1'))
    play.answer({ decision: 'stop' })
    expect(play.open).toMatchObject({ kind: 'function' })
    play.end({ kind: 'function', leaving: { exit: 'OK', output: {} } })
    expect(play.task.status).toBe('done')
  })

  test('goes on where it was after a crash at any of its events', () => {
    const play = work(new Play(chain))
    play.rollback(entered(play, 's1'))
    for (let turn = 0; play.task.rollback; turn += 1) {
      play.crash()
      const step = play.open
      expect(step).toMatchObject({ attempt: 2 })
      play.end({ kind: 'tool', result: null }, step)
    }
    expect(undos(play)).toEqual([4, 4, 2, 2, 1, 1])
    expect(play.task.state).toBe('s1')
  })
})

describe('what does not go back', () => {
  test('steps, spend and visits; a task at its limit can go back, and is at its limit there', () => {
    const limited = { ...chain, limits: { steps: 4 } }
    const play = work(new Play(limited))
    play.rollback(entered(play, 's4'))
    work(play)
    expect(undos(play)).toEqual([4])
    expect(play.task.usage.steps).toBe(4)
    expect(play.task.visits.get('s4')).toBe(2)
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'steps' })
  })

  test('signals that were received; what was counted as no progress begins anew', () => {
    const waiting = agentOf({
      s1: acting(act, 1, 'wait'),
      wait: { wait: { signal: 'go' }, on: { DONE: 's3' } },
      s3: asking('done'),
    })
    const play = work(new Play(waiting))
    play.rollback(entered(play, 's1'))
    play.signal({ name: 'go', key: 'k' })
    work(play)
    expect(play.task.state).toBe('s3')
    expect(play.all('signal.received').length).toBe(1)
    for (let turn = 0; turn < 5; turn += 1) {
      play.rollback(entered(play, 's1'))
      work(play)
      play.signal({ name: 'go' })
    }
    expect(play.all('limit.reached')).toEqual([])
  })
})

describe('what was erased', () => {
  /** The log as it is read after some of its payloads were erased. */
  const erase = (play: Play, holds: (event: Event) => boolean): void => {
    const fields = ['value', 'arguments', 'result'] as const
    const read = play.log.map((event) => {
      const data = { ...event.data } as Record<string, unknown>
      if (holds(event)) for (const field of fields) if (field in data) data[field] = erased
      return { ...event, data } as Event
    })
    play.log.splice(0, play.log.length, ...read)
    play.task = fold(emptyTask('t'), play.log)
  }
  const begun = (): Play => {
    const play = work(new Play(agentOf({ s1: acting(act, 1, 's2', { note: 'x' }), s2: asking('done') })))
    play.answer({ decision: 'yes' })
    return play
  }

  test.each(['tool.called', 'tool.answered'])('is not given to an undo: a human is asked (%s)', (type) => {
    const play = begun()
    erase(play, (event) => event.type === type)
    play.rollback(entered(play, 's1'))
    expect(play.all('rollback.started')[0]).toMatchObject({ undo: [], without: [1] })
    expect(play.task.item).toMatchObject({ kind: 'rollback', options: ['accept', 'stop'] })
  })

  test('does not come back to the context: there is no way to that point', () => {
    const play = begun()
    erase(play, ({ type, data }) => type === 'context.written' && data.key === 'note')
    expect(() => play.rollback(entered(play, 's2'))).toThrow('What note was at event')
    play.rollback(entered(play, 's1'))
    expect(play.open).toMatchObject({ undoes: 1 })
  })
})

describe('labels and approvals', () => {
  test('A52: a key comes back with the label that it had, also where its value is the same now', () => {
    const heard = tool('heard', { effect: 'read', trust: 'untrusted' })
    const labelling = agentOf({
      s1: acting(heard, 1, 's2', { note: 'x' }, { reads: [] }),
      s2: acting(act, 2, 's3', { note: 'x' }, { reads: [] }),
      s3: asking('done'),
    })
    const untrusted = { trust: 'untrusted', privacy: 'public' }
    const play = work(new Play(labelling))
    expect(play.task.context.get('note')!.label.trust).toBe('trusted')
    play.rollback(entered(play, 's2'))
    play.end({ kind: 'tool', result: null })
    expect(play.task.context.get('note')).toEqual({ value: 'x', version: 3, label: untrusted })
    play.crash()
    expect(play.task.context.get('note')).toEqual({ value: 'x', version: 3, label: untrusted })
  })

  test('nobody is asked any longer about a call that is left behind; if the rollback is stopped, it is asked anew', () => {
    const guarded = tool('guarded', { approval: 'always' })
    const approving = agentOf({ s1: acting(mail, 1, 'think'), think: thinking([guarded]) })
    const play = work(new Play(approving))
    play.model([call('guarded', { n: 1 })])
    expect(play.task.approvals.size).toBe(1)
    play.rollback(entered(play, 's1'))
    expect(play.all('item.closed')).toMatchObject([{ why: 'withdrawn' }])
    expect(play.task.approvals.size).toBe(0)
    play.answer({ decision: 'stop' })
    expect(play.task.approvals.size).toBe(1)
    expect(play.all('tool.called').map(({ tool: name }) => name)).toEqual(['mail'])
    play.rollback(entered(play, 's1'))
    play.answer({ decision: 'accept' })
    work(play)
    expect(play.task.approvals.size).toBe(0)
    expect(play.open).toMatchObject({ kind: 'model', turn: 1 })
  })
})

describe('a checkpoint', () => {
  const marked = agentOf({
    s1: acting(act, 1, 's2', { count: 1 }, { checkpoint: 'begun' }),
    s2: acting(act, 2, 's3', { count: 2 }, { checkpoint: 'half' }),
    s3: { human: { question: '?' }, on: { yes: 'done', again: 's1' } },
  })

  test('is a point by name: the last time that the task passed it', () => {
    const play = work(new Play(marked))
    play.answer({ decision: 'again' })
    work(play)
    play.rollback('half')
    expect(play.all('rollback.started')[0]).toMatchObject({ asked: 'half', state: 's2', undo: [4] })
    expect(() => play.rollback('half')).toThrow('on its way back')
  })

  test('that was passed on a branch that was left is no longer there', () => {
    const play = work(new Play(marked))
    play.rollback('begun')
    play.end({ kind: 'tool', result: null })
    play.end({ kind: 'tool', result: null })
    expect(play.task.state).toBe('s1')
    expect(play.task.checkpoints.map(({ checkpoint }) => checkpoint)).toEqual(['begun'])
    expect(() => play.rollback('half')).toThrow('It has passed: begun')
  })
})

describe('onFailure', () => {
  const failing = (onFailure: string, agent: object = {}) =>
    agentOf(
      {
        s1: acting(act, 1, 's2', { count: 1 }, { checkpoint: 'begun' }),
        s2: acting(act, 2, 's3', {}, { onFailure }),
        s3: asking('done'),
        rescue: asking('done'),
      },
      { on: { $limit: 'rescue' }, ...agent },
    )
  const failed = (agent: ReturnType<typeof failing>): Play => {
    const play = new Play(agent)
    play.end({ kind: 'tool', result: null })
    play.exhaust('error')
    return play
  }

  test('escalate, the default, asks a human', () => {
    expect(failed(failing('escalate')).task.item).toMatchObject({ kind: 'escalation', exit: '$error' })
  })

  test('a state: the task goes there', () => {
    const play = failed(failing('rescue'))
    expect(play.exits.at(-1)).toBe('s2 $error rescue')
  })

  test('a route of the state comes first, and other exits are not failures', () => {
    const routed = agentOf({
      s1: acting(act, 1, 's2', {}, { onFailure: 'done', on: { DONE: 's2', $error: 'failed' } }),
      s2: { human: { question: '?' }, on: { yes: 'done' } },
    })
    const play = new Play(routed)
    play.exhaust('error')
    expect(play.exits).toEqual(['s1 $error failed'])
    const door = new Play(agentOf({ s1: acting(act, 1, 's1', {}, { onFailure: 'done', visits: 1 }) }))
    door.end({ kind: 'tool', result: null })
    expect(door.task.item).toMatchObject({ kind: 'escalation', exit: '$visits' })
  })

  test('rollback: back to the last checkpoint, by the engine, three times; then a human is asked', () => {
    const play = failed(failing('rollback'))
    for (let times = 1; times <= 3; times += 1) {
      expect(play.all('rollback.started').length).toBe(times)
      expect(play.all('rollback.started').at(-1)).toMatchObject({
        asked: 'begun',
        by: 'engine',
        reason: '$error',
        exit: '$error',
      })
      expect(play.open).toMatchObject({ tool: 'act', undoes: expect.any(Number) })
      play.end({ kind: 'tool', result: null })
      expect(play.task).toMatchObject({ state: 's1' })
      play.end({ kind: 'tool', result: null })
      play.exhaust('error')
    }
    expect(play.all('limit.reached')).toEqual([{ limit: 'rollbacks', max: 3, state: 's2' }])
    expect(play.task.item).toMatchObject({ kind: 'escalation', exit: '$error' })
    expect(play.all('rollback.started').length).toBe(3)
  })

  test('rollback without a checkpoint behind it asks a human, and one that is stopped does too', () => {
    const ahead = agentOf(
      {
        s1: acting(act, 1, 's2'),
        s2: { human: { question: '?' }, on: { yes: 'done' }, checkpoint: 'later' },
      },
      { onFailure: 'rollback' },
    )
    const play = new Play(ahead)
    play.exhaust('error')
    expect(play.task.item).toMatchObject({ kind: 'escalation', exit: '$error' })

    const doubtful = agentOf({ s1: acting(pay, 1, 'done', {}, { checkpoint: 'begun' }) }, { onFailure: 'rollback' })
    const stopped = new Play(doubtful)
    stopped.crash()
    expect(stopped.task.item).toMatchObject({ kind: 'rollback', steps: [1] })
    stopped.answer({ decision: 'stop' })
    expect(stopped.task.item).toMatchObject({ kind: 'doubt', exit: '$doubt', options: ['done', 'retry', 'end'] })
  })
})

test('A23: a task that is paused at its soft line may be taken back: what it did is taken back, nothing else is called, and the line is told once', () => {
  const agent = agentOf({ s1: acting(act, 1, 's2'), s2: thinking([look]) })
  const play = new Play(agent, {}, {}, { tokens: 10_000, soft: 0.8, onSoft: 'pause' })
  play.end({ kind: 'tool', result: 'acted' })
  play.model([call('nonsense')], 'tool-calls', { inputTokens: 100, outputTokens: 8_000 })
  expect(play.task.item).toMatchObject({ kind: 'budget' })
  const called = (): string[] =>
    play.log.flatMap(({ type, data }) =>
      type === 'tool.called' ? [data.undoes === undefined ? 'call' : 'undo'] : type === 'model.called' ? ['ask'] : [],
    )
  expect(called()).toEqual(['call', 'ask'])
  play.rollback(entered(play, 's1'))
  expect(called()).toEqual(['call', 'ask', 'undo'])
  play.end({ kind: 'tool', result: 'undone' })
  // Back where it was: it acts anew, and what it has spent is still spent.
  expect(called()).toEqual(['call', 'ask', 'undo', 'call'])
  expect(play.task.usage.outputTokens).toBe(8_000)
  expect(play.all('limit.neared').length).toBe(1)
})
