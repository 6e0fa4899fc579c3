// The core by values: what is decided, given what happened.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type State } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { defineTool } from '../../src/core/tool.ts'
import { call, Play } from '../play.ts'

const context = defineContext({
  goal: { schema: z.string(), initial: 'g' },
  notes: { schema: z.array(z.string()), initial: [], merge: 'append' },
  answer: z.string().optional(),
})
const look = defineTool({
  name: 'look',
  description: 'd',
  inputSchema: z.object({ at: z.string() }),
  execute: () => null,
})
const pay = defineTool({
  name: 'pay',
  description: 'd',
  inputSchema: z.object({ to: z.string() }),
  effect: 'external',
  execute: () => null,
})
const keyed = defineTool({
  name: 'keyed',
  description: 'd',
  inputSchema: z.object({}),
  effect: 'external',
  idempotent: true,
  timeout: '5s',
  execute: () => null,
})

const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
type On = Partial<Record<'$error' | '$timeout' | '$visits' | '$turns' | '$limit' | '$doubt', 'failed'>>

/** An agent with one state of interest, and the ends. */
function agentOf(
  first: State<any, any>,
  on: On = { $error: 'failed', $timeout: 'failed' },
  limits: { steps?: number } = {},
) {
  return defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: 'first',
    limits,
    on,
    states: { first: first as never, ...ends },
  })
}

describe('a task starts', () => {
  test('with its input and initial values written, in the initial state, with its first step permitted', () => {
    const play = new Play(agentOf({ model: 'm', prompt: 'p', on: { OK: 'done' } }), { goal: 'x' })
    expect(play.log.map(({ type }) => type)).toEqual([
      'task.started',
      'context.written',
      'context.written',
      'state.entered',
      'model.called',
    ])
    expect(play.all('context.written').map(({ key, source }) => [key, source])).toEqual([
      ['goal', 'input'],
      ['notes', 'initial'],
    ])
  })

  test.each([
    ['a key that the context does not have', { nope: 1 }, 'nope'],
    ['a value of the wrong type', { goal: 3 }, 'goal'],
    ['something that is not an object', [1], 'not an object'],
    ['a key of the prototype', JSON.parse('{"__proto__": 1}') as unknown, '__proto__'],
  ])('and refuses %s before anything is decided', (_, input, name) => {
    expect(() => new Play(agentOf({ model: 'm', prompt: 'p', on: { OK: 'done' } }), input)).toThrow(name)
  })
})

describe('a model state', () => {
  const state = {
    model: ['main', 'backup'],
    prompt: 'p',
    tools: [look, pay],
    turns: 2,
    on: { OK: { target: 'done', output: z.object({ notes: z.array(z.string()) }) } },
  } as const

  test('permits every allowed call of an answer at once, and the next turn when all have come back', () => {
    const play = new Play(agentOf(state))
    const permitted = play.model([call('look', { at: 'a' }), call('look', { at: 'b' })])
    expect(permitted.map(({ type }) => type)).toEqual(['model.answered', 'tool.called', 'tool.called'])
    const [first, second] = [...play.task.open.values()]
    expect(play.end({ kind: 'tool', result: 2 }, second).map(({ type }) => type)).toEqual(['tool.answered'])
    expect(play.end({ kind: 'tool', result: 1 }, first).map(({ type }) => type)).toEqual([
      'tool.answered',
      'model.called',
    ])
  })

  test('tells the model that a tool failed, and goes on', () => {
    const play = new Play(agentOf(state))
    play.model([call('look', { at: 'a' })])
    const events = play.exhaust('error', 'no such file')
    expect(events.map(({ type }) => type)).toEqual(['tool.failed', 'breaker.changed', 'model.called'])
    expect(play.all('tool.called').map(({ attempt, idempotencyKey }) => [attempt, idempotencyKey])).toEqual([
      [1, 't.2'],
      [2, 't.2'],
      [3, 't.2'],
    ])
    expect(play.task.visit!.turns[0]!.results.get(0)).toEqual({
      value: 'The tool failed (error): no such file',
      failed: true,
    })
  })

  test('tries a model that failed again, then the next of its chain, all within the same step and deadline, then leaves by $error', () => {
    const play = new Play(agentOf(state))
    const { deadlineAtMs } = play.open
    play.exhaust('overload')
    expect(play.open).toMatchObject({ kind: 'model', model: 'backup', step: 1, attempt: 5, deadlineAtMs })
    play.exhaust('overload')
    expect(play.exits).toEqual(['first $error failed'])
    expect(play.all('model.called').map(({ model }) => model)).toEqual([
      ...Array(4).fill('main'),
      ...Array(4).fill('backup'),
    ])
    expect(play.task.usage.steps).toBe(1)
  })

  test.each(['auth', 'invalid-request', 'content-filter', 'context-overflow', 'spend-limit'] as const)(
    'asks the next model at once after a failure that does not pass: %s',
    (kind) => {
      const play = new Play(agentOf(state))
      play.fail(kind)
      expect(play.open).toMatchObject({ model: 'backup', attempt: 2 })
    },
  )

  test('leaves by $timeout when the deadline passes, and asks no other model', () => {
    const play = new Play(agentOf(state))
    play.fail('timeout')
    expect(play.exits).toEqual(['first $timeout failed'])
  })

  test('joins an appended list to the one that is there, and counts the version', () => {
    const play = new Play(agentOf(state), { notes: ['a'] })
    play.model([call('OK', { notes: ['b', 'c'] })])
    expect(play.task.context.get('notes')).toMatchObject({ value: ['a', 'b', 'c'], version: 2 })
    expect(play.task.outcome).toBe('done')
  })

  test('leaves by $turns after its last turn, and a human may grant it another visit', () => {
    const play = new Play(agentOf(state, { $error: 'failed', $timeout: 'failed' }))
    for (let turn = 0; turn < 2; turn += 1) {
      play.model([call('look', { at: 'a' })])
      play.end({ kind: 'tool', result: 0 })
    }
    expect(play.all('limit.reached')).toEqual([{ limit: 'turns', max: 2, state: 'first' }])
    expect(play.task.item).toMatchObject({ kind: 'escalation', exit: '$turns', options: ['retry', 'end'] })
    play.answer({ decision: 'retry' })
    expect(play.task.status).toBe('running')
    expect(play.task.visit!.turns).toEqual([])
    expect(play.open.kind).toBe('model')
  })

  test('writes no key that the state does not declare', () => {
    const sneaky = { ...state, writes: ['answer'], on: { OK: { target: 'done', output: z.looseObject({}) } } }
    const play = new Play(agentOf(sneaky))
    play.model([call('OK', { goal: 'mine' })])
    expect(play.all('step.refused')[0]).toMatchObject({ reason: 'undeclared-write', asked: 'OK', turn: 1, index: 0 })
    expect(play.task.state).toBe('first')
    expect(play.task.context.get('goal')).toMatchObject({ value: 'g', version: 1 })
  })

  test('takes the first candidate whose guard holds', () => {
    const guarded = {
      model: 'm',
      prompt: 'p',
      on: {
        OK: [
          { target: 'failed', guard: ({ output }: any) => output.n > 5 },
          {
            target: 'done',
            output: z.object({ answer: z.string(), n: z.number() }).transform(({ answer }) => ({ answer })),
          },
        ],
      },
    }
    expect(() => new Play(agentOf(guarded))).toThrow('AGENT_UNSOUND')
    const plain = {
      model: 'm',
      prompt: 'p',
      on: {
        OK: [
          { target: 'failed', guard: ({ output }: any) => output.answer === 'bad' },
          { target: 'done', output: z.object({ answer: z.string() }) },
        ],
      },
    }
    const play = new Play(agentOf(plain))
    play.model([call('OK', { answer: 'bad' })])
    expect(play.task.outcome).toBe('failed')
  })

  test('leaves by $error when the prompt throws, and asks nobody', () => {
    const play = new Play(
      agentOf({
        ...state,
        prompt: () => {
          throw new Error('boom')
        },
      }),
    )
    expect(play.all('function.failed')).toEqual([{ what: 'prompt', class: 'error', message: 'boom' }])
    expect(play.exits).toEqual(['first $error failed'])
    expect(play.all('model.called')).toEqual([])
  })

  test('shows its prompt only what it may read', () => {
    const seen: unknown[] = []
    const play = new Play(
      agentOf({ ...state, reads: ['goal'], prompt: ({ context }: any) => (seen.push({ ...context }), 'p') }),
    )
    expect(seen).toEqual([{ goal: 'g' }])
    expect(play.open.kind).toBe('model')
  })
})

describe('a tool state', () => {
  const state = {
    tool: look,
    args: ({ context }: any) => ({ at: context.goal }),
    on: { DONE: 'done', EMPTY: { target: 'failed', output: z.object({ answer: z.string() }) } },
  } as const

  test('calls its tool with computed arguments and leaves by DONE', () => {
    const play = new Play(agentOf(state))
    expect(play.all('tool.called')[0]).toMatchObject({
      tool: 'look',
      arguments: { at: 'g' },
      idempotencyKey: 't.1',
      attempt: 1,
    })
    play.end({ kind: 'tool', result: 5 })
    expect(play.exits).toEqual(['first DONE done'])
  })

  test('leaves as its mapper says, and hands over', () => {
    const play = new Play(
      agentOf({ ...state, exit: ({ result }: any) => ({ exit: 'EMPTY', output: { answer: String(result) } }) }),
    )
    play.end({ kind: 'tool', result: 5 })
    expect(play.task.context.get('answer')?.value).toBe('5')
    expect(play.exits).toEqual(['first EMPTY failed'])
  })

  test.each([
    ['an exit that is not declared', () => 'NOWHERE', 'undeclared-exit'],
    ['an exit of the engine', () => '$error', 'undeclared-exit'],
    ['an output that does not fit', () => ({ exit: 'EMPTY', output: { answer: 3 } }), 'invalid-output'],
  ])('has failed when its mapper answers with %s', (_, exit, reason) => {
    const play = new Play(agentOf({ ...state, exit }))
    play.end({ kind: 'tool', result: 5 })
    expect(play.all('step.refused')[0]).toMatchObject({ reason })
    expect(play.exits).toEqual(['first $error failed'])
  })

  test('calls nothing when its arguments do not fit', () => {
    const play = new Play(agentOf({ ...state, args: () => ({ at: 3 }) }))
    expect(play.all('tool.called')).toEqual([])
    expect(play.exits).toEqual(['first $error failed'])
  })

  test.each([
    ['error', '$error'],
    ['timeout', '$timeout'],
  ] as const)('leaves after a failure of class %s by %s', (kind, exit) => {
    const play = new Play(agentOf(state))
    play.exhaust(kind)
    expect(play.exits).toEqual([`first ${exit} failed`])
  })
})

describe('a run state', () => {
  const state = {
    run: () => 'OK',
    on: { OK: { target: 'done', output: z.object({ answer: z.string() }).partial() } },
  } as const

  test('leaves as its function says', () => {
    const play = new Play(agentOf(state))
    play.end({ kind: 'function', leaving: { exit: 'OK', output: { answer: 'x' } } })
    expect(play.task.context.get('answer')?.value).toBe('x')
    expect(play.task.outcome).toBe('done')
  })

  test('has failed when its function asks for what is not declared', () => {
    const play = new Play(agentOf(state))
    play.end({ kind: 'function', leaving: { exit: 'NO', output: {} } })
    expect(play.all('step.refused')[0]).toMatchObject({ reason: 'undeclared-exit', asked: 'NO' })
    expect(play.exits).toEqual(['first $error failed'])
  })
})

describe('a human state', () => {
  const state = {
    human: { question: 'ok?', assignee: 'ana' },
    timeout: '1h',
    on: { approve: { target: 'done', output: z.object({ answer: z.string() }).partial() }, reject: 'failed' },
  } as const

  test('asks, waits in the inbox without a step, and takes the decision as its exit', () => {
    const play = new Play(agentOf(state))
    expect(play.task).toMatchObject({ status: 'waiting', item: { kind: 'question', options: ['approve', 'reject'] } })
    expect(play.task.open.size).toBe(0)
    play.answer({ decision: 'approve', data: { answer: 'yes' } })
    expect(play.all('human.answered')[0]).toMatchObject({ decision: 'approve', by: 'ana', reason: 'because' })
    expect(play.task.context.get('answer')?.value).toBe('yes')
  })

  test('asks again when what was handed over does not fit, and says why', () => {
    const play = new Play(agentOf(state))
    play.answer({ decision: 'approve', data: { answer: 3 } })
    expect(play.all('step.refused')[0]).toMatchObject({ reason: 'invalid-output' })
    expect(play.all('human.asked').length).toBe(2)
    play.answer({ decision: 'reject' })
    expect(play.task.outcome).toBe('failed')
  })

  test.each([
    ['a decision that is not an option', 'maybe', 0, 'DECISION_UNKNOWN'],
    ['an engine exit as a decision', '$timeout', 0, 'DECISION_UNKNOWN'],
    ['a decision after the expiry', 'approve', 3_600_000, 'ITEM_CLOSED'],
  ])('refuses %s', (_, decision, laterMs, code) => {
    const play = new Play(agentOf(state))
    play.nowMs += laterMs
    expect(() => play.answer({ decision })).toThrow(code)
    expect(play.task.item).toBeDefined()
  })

  test('leaves by $timeout when nobody answered in time', () => {
    const play = new Play(agentOf(state))
    play.nowMs += 3_599_999
    expect(play.go()).toEqual([])
    play.nowMs += 1
    play.go()
    expect(play.exits).toEqual(['first $timeout failed'])
  })
})

describe('a wait state', () => {
  test('leaves by DONE when its delay is over, not before', () => {
    const play = new Play(agentOf({ wait: { delay: '5m' }, on: { DONE: 'done' } }))
    play.nowMs += 299_999
    expect(play.go()).toEqual([])
    play.nowMs += 1
    play.go()
    expect(play.exits).toEqual(['first DONE done'])
  })

  test('takes a signal that came early, and its data as output', () => {
    const waits = {
      wait: { signal: 'paid' },
      on: { DONE: { target: 'done', output: z.object({ answer: z.string() }) } },
    } as const
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context,
      initial: 'ask',
      on: { $error: 'failed', $timeout: 'failed' },
      states: { ask: { human: { question: '?' }, on: { go: 'first' } }, first: waits, ...ends },
    })
    const play = new Play(agent)
    play.signal({ name: 'paid', data: { answer: 'early' }, key: 'k' })
    expect(play.signal({ name: 'paid', data: { answer: 'twice' }, key: 'k' })).toEqual([])
    expect(play.task.state).toBe('ask')
    play.answer({ decision: 'go' })
    expect(play.task.context.get('answer')?.value).toBe('early')
    expect(play.task.outcome).toBe('done')
  })

  test('leaves by $timeout after its own time, or a day, without a signal', () => {
    const play = new Play(agentOf({ wait: { signal: 'paid' }, on: { DONE: 'done' } }))
    play.nowMs += 86_400_000
    play.go()
    expect(play.exits).toEqual(['first $timeout failed'])
  })
})

test('a wait state works off as many signals as have come, and that is no circle', () => {
  const again = {
    wait: { signal: 'more' },
    visits: 1_000,
    on: { DONE: { target: 'first', output: z.object({ notes: z.array(z.string()) }) }, $visits: 'failed' },
  } as const
  const agent = defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: 'ask',
    on: { $error: 'failed', $timeout: 'done' },
    states: { ask: { human: { question: '?' }, on: { go: 'first' } }, first: again, ...ends },
  })
  const play = new Play(agent)
  for (let number = 0; number < 60; number += 1) play.signal({ name: 'more', data: { notes: [String(number)] } })
  play.answer({ decision: 'go' })
  expect(play.task.context.get('notes')!.value).toHaveLength(60)
  expect(play.task).toMatchObject({ status: 'waiting', item: undefined })
})

describe('a worker takes over', () => {
  const one = (tool: typeof keyed | typeof pay) => ({ tool, args: () => ({ to: 'x' }), on: { DONE: 'done' } })

  test('from one that died in a step that may be done again: same step, same key, same deadline, next attempt', () => {
    const play = new Play(agentOf(one(keyed)))
    const before = play.open
    play.nowMs += 1_000
    expect(play.crash().map(({ type }) => type)).toEqual(['step.lost', 'tool.called'])
    expect(play.open).toMatchObject({
      step: before.step,
      attempt: 2,
      deadlineAtMs: before.deadlineAtMs,
      idempotencyKey: 't.1',
    })
    expect(play.task.usage.steps).toBe(1)
  })

  test('after the deadline: the step has failed by timeout', () => {
    const play = new Play(agentOf(one(keyed)))
    play.nowMs += 5_000
    play.crash()
    expect(play.exits).toEqual(['first $timeout failed'])
  })

  test('five times: the step has failed', () => {
    const play = new Play(agentOf(one(keyed)))
    for (let crash = 0; crash < 5; crash += 1) play.crash()
    expect(play.all('tool.called').length).toBe(5)
    expect(play.all('limit.reached')).toEqual([{ limit: 'attempts', max: 5, state: 'first' }])
    expect(play.exits).toEqual(['first $error failed'])
  })

  test('of a tool that must not be done twice: it is in doubt, takes $doubt where routed', () => {
    const play = new Play(agentOf(one(pay), { $error: 'failed', $timeout: 'failed', $doubt: 'failed' }))
    play.crash()
    expect(play.all('tool.called').length).toBe(1)
    expect(play.exits).toEqual(['first $doubt failed'])
  })

  test('and where $doubt is not routed, a human says that it was done, and with what result', () => {
    const play = new Play(agentOf(one(pay)))
    play.crash()
    expect(play.task.item).toMatchObject({ kind: 'doubt', options: ['done', 'retry', 'end'], step: 1 })
    play.answer({ decision: 'done', data: { paid: true } })
    expect(play.all('tool.answered')[0]).toMatchObject({ result: { paid: true }, by: 'ana' })
    expect(play.task.outcome).toBe('done')
  })

  test('or says to try again: same key, a deadline of its own', () => {
    const play = new Play(agentOf(one(pay)))
    play.crash()
    play.nowMs += 3_600_000
    play.answer({ decision: 'retry' })
    expect(play.open).toMatchObject({ step: 1, attempt: 2, idempotencyKey: 't.1', deadlineAtMs: play.nowMs + 30_000 })
    play.end({ kind: 'tool', result: null })
    expect(play.task.outcome).toBe('done')
  })

  test('or ends the task', () => {
    const play = new Play(agentOf(one(pay)))
    play.crash()
    play.answer({ decision: 'end' })
    expect(play.task).toMatchObject({ status: 'failed', outcome: '$doubt' })
  })

  test('of one tool among several in a turn: the others are done again first, then the doubt is settled', () => {
    const play = new Play(agentOf({ model: 'm', prompt: 'p', tools: [look, pay], on: { OK: 'done' } }))
    play.model([call('look', { at: 'a' }), call('pay', { to: 'x' })])
    play.crash()
    expect([...play.task.open.keys()]).toEqual([2])
    expect([...play.task.doubts.keys()]).toEqual([3])
    play.end({ kind: 'tool', result: 'seen' })
    play.answer({ decision: 'done', data: 'paid' })
    expect(play.open.kind).toBe('model')
    expect([...play.task.visit!.turns[0]!.results]).toEqual([
      [0, { value: 'seen', failed: false }],
      [1, { value: 'paid', failed: false }],
    ])
  })
})

describe('limits', () => {
  test.each([1, 2, 3, 7])('a task of %i steps performs exactly so many and leaves by $limit', (steps) => {
    const agent = agentOf(
      { model: 'm', prompt: 'p', tools: [look], on: { OK: 'done' } },
      { $error: 'failed', $timeout: 'failed', $limit: 'failed' },
      { steps },
    )
    const play = new Play(agent)
    while (play.task.status === 'running') {
      const [open] = play.task.open.values()
      if (open!.kind === 'model') play.model([call('look', { at: 'a' }), call('look', { at: 'b' })])
      else play.end({ kind: 'tool', result: 0 }, open)
    }
    const performed = play.log.filter(({ type }) => type === 'model.called' || type === 'tool.called').length
    expect(performed).toBe(steps)
    expect(play.task.usage.steps).toBe(steps)
    expect(play.task.outcome).toBe('failed')
  })

  test('a human may let a task that has used its steps go on', () => {
    const play = new Play(
      agentOf(
        { model: 'm', prompt: 'p', tools: [look], on: { OK: 'done' } },
        { $error: 'failed', $timeout: 'failed' },
        { steps: 1 },
      ),
    )
    play.model([call('look', { at: 'a' })])
    expect(play.all('tool.called')).toEqual([])
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'steps', exit: '$limit' })
    play.answer({ decision: 'raise' })
    expect(play.all('limit.raised')).toEqual([{ limit: 'steps', max: 2, by: 'ana', reason: 'because' }])
    // The call that was not made is made now, and nothing is asked again.
    play.end({ kind: 'tool', result: 1 })
    play.answer({ decision: 'raise', data: { steps: 5 } })
    play.model([call('OK')])
    expect(play.task).toMatchObject({ outcome: 'done', usage: { steps: 3 } })
  })

  test('A18: a tool that says "retry" for ever is asked three times, and the state is left by $stuck', () => {
    const play = new Play(
      agentOf({ model: 'm', prompt: 'p', tools: [look], on: { OK: 'done' } }, {
        $error: 'failed',
        $timeout: 'failed',
        $stuck: 'failed',
      } as never),
    )
    while (play.task.status === 'running') {
      play.model([call('look', { at: 'a' })])
      play.end({ kind: 'tool', result: { error: 'busy', retry: true } })
    }
    expect(play.all('tool.called').length).toBe(3)
    expect(play.all('limit.reached')).toEqual([{ limit: 'repeats', max: 3, state: 'first' }])
    expect(play.exits).toEqual(['first $stuck failed'])
  })

  test('other arguments, another answer, or the keys in another order: only the same again is no progress', () => {
    const any = defineTool({ name: 'any', description: 'd', inputSchema: z.looseObject({}), execute: () => null })
    const play = new Play(
      agentOf({ model: 'm', prompt: 'p', tools: [any], turns: 50, on: { OK: 'done' } }, {
        $error: 'failed',
        $timeout: 'failed',
        $stuck: 'failed',
      } as never),
    )
    const round = (input: object, result: object): void => {
      play.model([call('any', input)])
      play.end({ kind: 'tool', result: result as never })
    }
    for (let number = 0; number < 5; number += 1) round({ a: number }, { r: 1 })
    for (let number = 0; number < 5; number += 1) round({ a: 'poll' }, { progress: number })
    round({ a: 1, b: 2 }, { x: 1, y: 2 })
    round({ b: 2, a: 1 }, { y: 2, x: 1 })
    expect(play.task.status).toBe('running')
    round({ a: 1, b: 2 }, { x: 1, y: 2 })
    expect(play.exits).toEqual(['first $stuck failed'])
  })

  test('a state entered too often is not entered: it is left by $visits at the door', () => {
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context,
      initial: 'ask',
      on: { $error: 'failed', $timeout: 'failed' },
      states: { ask: { run: () => 'AGAIN', visits: 3, on: { AGAIN: 'ask', OK: 'done', $visits: 'failed' } }, ...ends },
    })
    const play = new Play(agent)
    while (play.task.status === 'running') play.end({ kind: 'function', leaving: { exit: 'AGAIN', output: {} } })
    expect(play.all('function.called').length).toBe(3)
    expect(play.exits).toEqual(['ask AGAIN ask', 'ask AGAIN ask', 'ask AGAIN ask', 'ask $visits failed'])
  })

  test('routes that lead in a circle stop in the inbox', () => {
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context,
      initial: 'left',
      on: { $timeout: 'failed' },
      states: {
        left: {
          model: 'm',
          prompt: () => {
            throw new Error('x')
          },
          visits: 1000,
          repeats: 1000,
          on: { OK: 'done', $error: 'right' },
        },
        right: {
          model: 'm',
          prompt: () => {
            throw new Error('y')
          },
          visits: 1000,
          repeats: 1000,
          on: { OK: 'done', $error: 'left' },
        },
        ...ends,
      },
    })
    const play = new Play(agent)
    expect(play.task.item).toMatchObject({ kind: 'escalation', exit: '$stuck' })
    expect(play.all('limit.reached')[0]).toMatchObject({ limit: 'hops' })
  })
})

test('an engine exit that nothing routes waits in the inbox, and a human may end the task', () => {
  const play = new Play(agentOf({ model: 'm', prompt: 'p', on: { OK: 'done', NO: 'failed' } }, {}))
  play.exhaust('overload')
  expect(play.task).toMatchObject({ status: 'waiting', item: { kind: 'escalation', exit: '$error' } })
  play.answer({ decision: 'end' })
  expect(play.task).toMatchObject({ status: 'failed', outcome: '$error' })
})
