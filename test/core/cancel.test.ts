// Cancelling by values, where the agent says `onCancel: 'undo'`: what is taken back before the task ends, in which order, what is
// left, and what a human is asked. SCENARIO A20; over a real store in test/cancel.test.ts.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type State } from '../../src/core/agent.ts'
import { check } from '../../src/core/check.ts'
import { cancel } from '../../src/core/command.ts'
import { defineContext } from '../../src/core/context.ts'
import { resume } from '../../src/core/decide.ts'
import { fold } from '../../src/core/fold.ts'
import { dueAtMs, emptyTask } from '../../src/core/task.ts'
import type { Tool } from '../../src/core/tool.ts'
import { bookingTool as tool } from '../booking-tool.ts'
import { call, Play } from '../play.ts'

const book = tool('book', { undo: () => null })
const pay = tool('pay', { idempotent: false, undo: () => null, timeout: '10s' })
const mail = tool('mail')
const look = tool('look', { effect: 'read' })

const agentOf = (states: Record<string, State<any, any>>, change: object = { onCancel: 'undo' }) =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({ count: { schema: z.number(), initial: 0 } }),
    initial: Object.keys(states)[0]!,
    on: { $turns: 'failed', $refused: 'done', $error: 'failed', $timeout: 'failed' },
    ...change,
    states: { ...states, done: { type: 'final' }, failed: { type: 'final', failure: true } } as never,
  })
const acting = (used: Tool<any>, n: number, target: string): State<any, any> => ({
  tool: used,
  args: () => ({ n }),
  on: { DONE: target },
})
const hold: State<any, any> = { human: { question: '?' }, on: { yes: 'done' } }
/** Two things that can be taken back, a letter that cannot, a look, and one more; then a human. */
const chain = agentOf({
  s1: acting(book, 1, 's2'),
  s2: acting(pay, 2, 's3'),
  s3: acting(mail, 3, 's4'),
  s4: acting(look, 4, 's5'),
  s5: acting(book, 5, 'hold'),
  hold,
})
const thinking = (tools: readonly Tool<any>[]) =>
  agentOf({ think: { model: 'm', prompt: 'p', tools, on: { OK: 'done' } } })

/** Answers whatever tools are open until nothing is. */
const work = (play: Play): Play => {
  for (let steps = 0; steps < 100; steps += 1) {
    const step = [...play.task.open.values()].find(({ kind }) => kind === 'tool')
    if (!step) return play
    play.end({ kind: 'tool', result: `r${step.step}` }, step)
  }
  throw new Error('it never came to rest')
}
const undos = (play: Play): (number | undefined)[] =>
  play.all('tool.called').flatMap(({ undoes }) => (undoes === undefined ? [] : [undoes]))
const typesOf = (events: readonly { type: string }[]): string[] => events.map(({ type }) => type)

describe('a task that is cancelled and takes back what it did', () => {
  test('says so in its first event; who cancels it needs no machine', () => {
    expect(new Play(chain).all('task.started')).toMatchObject([{ onCancel: 'undo' }])
    const { onCancel: _, ...leaving } = chain
    expect(new Play(leaving as typeof chain).all('task.started')[0]).not.toHaveProperty('onCancel')
  })

  test('takes back the latest first, one after the other, under the keys of the steps, and ends cancelled where it stands', () => {
    const play = work(new Play(chain))
    const before = play.log.length
    play.cancel()
    expect(typesOf(play.log.slice(before))).toEqual(['task.cancelled', 'rollback.started', 'tool.called'])
    expect(play.all('task.cancelled')).toEqual([{ by: 'ana', reason: 'because' }])
    expect(play.all('rollback.started')).toEqual([
      {
        to: 0,
        asked: 0,
        state: 'hold',
        lastStep: 0,
        undo: [5, 2, 1],
        without: [3],
        restore: [],
        remove: [],
        by: 'ana',
        reason: 'because',
        ends: 'cancelled',
      },
    ])
    expect(play.task).toMatchObject({ status: 'running', item: undefined })
    expect(play.task.open.size).toBe(1)
    work(play)
    expect(undos(play)).toEqual([5, 2, 1])
    const keys = play.all('tool.called').flatMap(({ undoes, idempotencyKey }) => (undoes ? [idempotencyKey] : []))
    expect(keys).toEqual(['t.5.undo', 't.2.undo', 't.1.undo'])
    expect(play.task).toMatchObject({ status: 'cancelled', outcome: 'cancelled', state: 'hold' })
    expect(play.all('task.ended')).toEqual([{ outcome: 'cancelled', status: 'cancelled' }])
    expect(play.all('task.rolledBack')).toEqual([])
    expect(play.all('human.asked').length).toBe(1)
  })

  test('ends at once where nothing can be taken back, and says what stands', () => {
    const asking: State<any, any> = { human: { question: '?' }, on: { yes: 's2' } }
    const play = work(new Play(agentOf({ s1: acting(mail, 1, 'hold'), hold: asking, s2: acting(book, 2, 'done') })))
    const before = play.log.length
    play.cancel()
    expect(typesOf(play.log.slice(before))).toEqual(['task.cancelled', 'rollback.started', 'task.ended'])
    expect(play.all('rollback.started')).toMatchObject([{ undo: [], without: [1], ends: 'cancelled' }])
    expect(play.task.status).toBe('cancelled')
  })

  test('and has done nothing ends at once, as any other', () => {
    const play = new Play(
      agentOf({ hold: { ...hold, on: { yes: 's1' } } as State<any, any>, s1: acting(book, 1, 'done') }),
    )
    play.cancel()
    expect(typesOf(play.log.slice(-2))).toEqual(['task.cancelled', 'task.ended'])
    expect(play.all('rollback.started')).toEqual([])
  })

  test('permits nothing else meanwhile: no second cancel, no signal, no rollback, no answer; each is told why', () => {
    const play = work(new Play(chain))
    const { asked } = play
    play.cancel()
    const events = play.log.length
    expect(() => play.cancel()).toThrow(/TASK_ENDED .*was cancelled and cannot be cancelled: it takes back/)
    expect(() => play.signal({ name: 's' })).toThrow(/TASK_ENDED .*was cancelled and cannot be signalled/)
    expect(() => play.rollback(5)).toThrow(/ROLLBACK_INVALID .*was cancelled/)
    expect(play.log.length).toBe(events)
    expect(() => play.answer({ decision: 'yes' }, asked)).toThrow('ITEM_CLOSED')
    play.nowMs += 60 * 86_400_000
    expect(play.go()).toEqual([])
    work(play)
    expect(play.task.status).toBe('cancelled')
    expect(play.all('limit.reached')).toEqual([])
  })

  test('goes on after a crash at any of its events, and takes back each once', () => {
    const whole = work(new Play(chain))
    const from = whole.log.length
    whole.cancel()
    work(whole)
    for (let at = from + 2; at < whole.log.length; at += 1) {
      const play = new Play(chain)
      play.log.splice(0, play.log.length, ...whole.log.slice(0, at))
      play.task = fold(emptyTask('t'), play.log)
      expect(dueAtMs(play.task)).not.toBeNull()
      play.crash()
      play.nowMs += 1_000
      play.go()
      work(play)
      expect(play.task.status).toBe('cancelled')
      const answered = play.all('tool.answered').map(({ step }) => step)
      expect(new Set(answered).size).toBe(answered.length)
      expect([...new Set(undos(play))]).toEqual([5, 2, 1])
    }
  })
})

describe('what is at work when the task is cancelled', () => {
  test('is called off: of a tool nobody knows whether it acted, so it is listed and left; a model is paid', () => {
    const play = new Play(thinking([book, pay, look]))
    play.model([call('book', { n: 1 })])
    work(play)
    play.model([call('book', { n: 2 }), call('pay', { n: 3 }), call('look', { n: 4 })])
    expect(play.task.open.size).toBe(3)
    play.cancel()
    expect(play.all('tool.failed').map(({ step, class: kind }) => [step, kind])).toEqual([
      [4, 'abort'],
      [6, 'abort'],
    ])
    expect(play.all('tool.doubted').map(({ step }) => step)).toEqual([5])
    expect(play.all('rollback.started')).toMatchObject([{ undo: [2], without: [5, 4] }])
    expect([...play.task.open.values()]).toMatchObject([{ undoes: 2 }])
    work(play)
    expect(play.task.status).toBe('cancelled')

    const asked = new Play(thinking([book]))
    asked.model([call('book', { n: 1 })])
    work(asked)
    asked.cancel()
    expect(asked.all('model.failed')).toMatchObject([{ class: 'abort', charge: { estimated: true } }])
    work(asked)
    expect(asked.task).toMatchObject({ status: 'cancelled', reserved: { tokens: 0 } })
  })

  test('is taken back too where it says late, while the task is on its way, that it acted', () => {
    const play = new Play(thinking([book, pay]))
    play.model([call('book', { n: 1 })])
    work(play)
    play.model([call('pay', { n: 2 })])
    const { step, attempt } = play.open
    play.cancel()
    play.late({ kind: 'tool', result: 'paid' }, { step, attempt })
    work(play)
    expect(undos(play)).toEqual([2, step])
    expect(play.task.status).toBe('cancelled')
    // What comes behind the end is kept, and is no work any more.
    const end = work(new Play(thinking([book, pay])))
    end.model([call('pay', { n: 1 })])
    const late = end.open
    end.cancel()
    expect(end.task.status).toBe('cancelled')
    end.late({ kind: 'tool', result: 'paid' }, late)
    expect(typesOf(end.log.slice(-1))).toEqual(['step.late'])
    expect(dueAtMs(end.task)).toBeNull()
  })

  test.each([
    ['was made is taken back', { kind: 'tool', result: 'sure' } as const, [2]],
    ['was not made is nothing', { kind: 'undone' } as const, []],
    ['nobody knows is left', { kind: 'failed', failure: { class: 'transport', message: 'm' } } as const, []],
  ])('a tool that is being asked whether it acted is waited for: what %s', (_, ending, undone) => {
    const sure = tool('sure', { idempotent: false, undo: () => null, reconcile: () => ({ done: false }) as never })
    const begun = (): Play => {
      const play = new Play(thinking([sure]))
      play.model([call('sure', { n: 1 })])
      return play
    }
    const asked = begun()
    asked.fail('timeout')
    asked.cancel()
    // Or it is to be asked, since the worker of the call went away.
    const lost = begun()
    lost.go((draft) => {
      resume(lost.machine, draft)
      cancel(draft, { by: 'ana', reason: 'because' })
    })
    for (const play of [asked, lost]) {
      expect(play.all('rollback.started')).toMatchObject([{ undo: [], without: [2], ends: 'cancelled' }])
      expect(play.open).toMatchObject({ step: 2, reconciles: true })
      play.end(ending)
      work(play)
      expect(undos(play)).toEqual(undone)
      expect(play.task.status).toBe('cancelled')
    }
  })

  test('a call that waits for a yes is withdrawn, and a try that is planned is not made', () => {
    const careful = tool('careful', { approval: 'always' })
    const play = new Play(thinking([book, careful]))
    play.model([call('book', { n: 1 })])
    work(play)
    play.model([call('careful', { n: 2 }), call('book', { n: 3 })])
    play.fail('error')
    expect(play.task.approvals.size + play.task.delayed.size).toBe(2)
    play.cancel()
    expect(play.all('item.closed')).toMatchObject([{ why: 'withdrawn' }])
    play.nowMs += 3_600_000
    work(play)
    expect(undos(play)).toEqual([2])
    expect(play.task.status).toBe('cancelled')
  })

  test('a rollback: what it is taking back is taken back, each once, and then the rest, to the beginning', () => {
    const play = work(new Play(chain))
    play.rollback(play.log.find(({ type, data }) => type === 'state.entered' && data.state === 's2')!.seq)
    play.answer({ decision: 'accept' })
    expect(play.open).toMatchObject({ undoes: 5 })
    play.cancel()
    expect(play.all('rollback.started').at(-1)).toMatchObject({ undo: [5, 2, 1], without: [], ends: 'cancelled' })
    expect(play.open).toMatchObject({ undoes: 5 })
    play.fail('transport')
    play.nowMs += 60_000
    play.go()
    work(play)
    expect([...new Set(undos(play))]).toEqual([5, 2, 1])
    expect(play.task).toMatchObject({ status: 'cancelled', state: 'hold' })
    const planned = work(new Play(chain))
    planned.rollback(planned.log.findLast(({ type, data }) => type === 'state.entered' && data.state === 's5')!.seq)
    planned.fail('transport')
    expect(planned.task.delayed.size).toBe(1)
    planned.cancel()
    expect(planned.task.delayed.size).toBe(1)
    planned.nowMs += 60_000
    planned.go()
    expect(planned.open).toMatchObject({ step: 6, attempt: 2, undoes: 5 })
  })
})

describe('an undo that fails for good', () => {
  const failing = (): Play => {
    const play = work(new Play(chain))
    play.cancel()
    play.exhaust('error', 'the service said no')
    return play
  }

  test('asks a human: try again, or accept; to stop there is nothing', () => {
    const play = failing()
    const asked = play.all('human.asked').at(-1)!
    expect(asked).toMatchObject({ kind: 'rollback', options: ['retry', 'accept'], steps: [5] })
    expect(asked.question).toMatch(
      /book \(step 5\) could not be taken back \(error: the service said no\)\. The task was cancelled/,
    )
    expect(play.task.status).toBe('waiting')
    expect(() => play.answer({ decision: 'stop' })).toThrow('DECISION_UNKNOWN')
    expect(() => play.cancel()).toThrow(/It waits for you: signalbox answer t\./)
    play.crash()
    play.answer({ decision: 'retry' })
    work(play)
    expect([...new Set(undos(play))]).toEqual([5, 2, 1])
    expect(play.task.status).toBe('cancelled')
  })

  test('and is accepted stands; the rest is taken back', () => {
    const play = failing()
    play.answer({ decision: 'accept' })
    work(play)
    expect(play.all('effect.kept')).toMatchObject([{ step: 5 }])
    const undone = play.all('tool.answered').slice(-2)
    expect(undone.map(({ tool: name }) => name)).toEqual(['pay', 'book'])
    expect(play.task.status).toBe('cancelled')
  })
})

test('without onCancel nothing is taken back', () => {
  const play = work(new Play(agentOf({ s1: acting(book, 1, 'hold'), hold }, {})))
  play.cancel()
  expect(typesOf(play.log.slice(-2))).toEqual(['task.cancelled', 'task.ended'])
})

test('onCancel where no tool has an undo, or that is none, is a problem', () => {
  const found = (agent: object) => check(agent as never).map(({ code, place }) => [code, place])
  expect(found(chain)).toEqual([])
  expect(found(thinking([mail, look]))).toContainEqual(['TOOL_INVALID', 'a.onCancel'])
  expect(found({ ...chain, onCancel: 'perhaps' })).toEqual([['TARGET_UNKNOWN', 'a.onCancel']])
})
