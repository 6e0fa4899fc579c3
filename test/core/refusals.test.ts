// SCENARIOS A28 and A29: whatever a model answers that its state does not declare is refused, as a fact with a typed
// reason, told back to the model, counted, and leaves the state as it was.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { RefusalReason } from '../../src/core/event.ts'
import type { AnswerPart, Finish } from '../../src/core/model.ts'
import { defineTool } from '../../src/core/tool.ts'
import { assemble } from '../../src/core/window.ts'
import { call, Play } from '../play.ts'

const tool = (name: string, effect: 'read' | 'external' = 'read') =>
  defineTool({ name, description: name, inputSchema: z.object({ path: z.string() }), effect, execute: () => null })
const [read, erase, pay] = [tool('read_file'), tool('erase_file', 'external'), tool('pay', 'external')]

const agent = defineAgent({
  name: 'two',
  version: '1',
  context: defineContext({ goal: z.string(), note: z.string().optional() }),
  initial: 'gather',
  on: { $error: 'failed', $timeout: 'failed', $refused: 'gaveUp' },
  states: {
    gather: {
      model: 'main',
      prompt: 'gather',
      tools: [read, erase],
      refusals: 3,
      on: {
        GATHERED: { target: 'settle', output: z.object({ note: z.string() }) },
        LATER: { target: 'failed', guard: ({ context }) => context.note !== undefined },
        NOTHING: 'failed',
      },
    },
    settle: {
      model: 'main',
      prompt: 'settle',
      tools: [pay],
      refusals: 3,
      on: {
        PAID: { target: 'done', output: z.object({ note: z.string() }) },
        LATER: { target: 'failed', guard: () => false },
        NOTHING: 'failed',
      },
    },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
    gaveUp: { type: 'final', failure: true },
  },
})

const exitOf = { gather: 'GATHERED', settle: 'PAID' } as const
const toolOf = { gather: 'erase_file', settle: 'pay' } as const
const foreign = { gather: 'pay', settle: 'erase_file' } as const
type Name = keyof typeof exitOf

interface Wrong {
  readonly name: string
  readonly answer: (state: Name) => readonly AnswerPart[]
  readonly finish?: Finish
  readonly reasons: readonly RefusalReason[]
}

const wrongs: readonly Wrong[] = [
  { name: 'M13 a tool that does not exist', answer: () => [call('no_such_tool')], reasons: ['unknown-tool'] },
  { name: 'M14 an empty name', answer: () => [call('')], reasons: ['empty-name'] },
  { name: 'M14 a name of spaces', answer: () => [call('  ')], reasons: ['empty-name'] },
  {
    name: 'M17 a tool of another state',
    answer: (state) => [call(foreign[state], { path: 'x' })],
    reasons: ['tool-not-allowed'],
  },
  {
    name: 'M11 arguments that are not JSON',
    answer: (state) => [call(toolOf[state], undefined, '{"path": ')],
    reasons: ['invalid-json'],
  },
  {
    name: 'M15 an argument of the wrong type',
    answer: (state) => [call(toolOf[state], { path: 3 })],
    reasons: ['invalid-arguments'],
  },
  { name: 'M15 a missing argument', answer: (state) => [call(toolOf[state], {})], reasons: ['invalid-arguments'] },
  {
    name: 'M15 arguments that are a list',
    answer: (state) => [call(toolOf[state], ['x'])],
    reasons: ['invalid-arguments'],
  },
  {
    name: 'M15 an output of the wrong type',
    answer: (state) => [call(exitOf[state], { note: 3 })],
    reasons: ['invalid-output'],
  },
  { name: 'M15 a missing output', answer: (state) => [call(exitOf[state], {})], reasons: ['invalid-output'] },
  {
    name: 'M18 an exit of another state',
    answer: (state) => [call(exitOf[state === 'gather' ? 'settle' : 'gather'], { note: 'x' })],
    reasons: ['undeclared-exit'],
  },
  { name: 'M18 an exit of the engine', answer: () => [call('$error')], reasons: ['undeclared-exit'] },
  { name: 'M18 an exit whose guard does not hold', answer: () => [call('LATER')], reasons: ['guard-failed'] },
  {
    name: 'M19 two exits at once',
    answer: (state) => [call(exitOf[state], { note: 'x' }), call('NOTHING')],
    reasons: ['two-exits', 'two-exits'],
  },
  {
    name: 'M19 the same exit twice',
    answer: () => [call('NOTHING'), call('NOTHING')],
    reasons: ['two-exits', 'two-exits'],
  },
  {
    name: 'prose instead of a call',
    answer: () => [{ type: 'text', text: 'I am done.' }],
    finish: 'stop',
    reasons: ['no-call'],
  },
  { name: 'M10 nothing at all', answer: () => [], finish: 'stop', reasons: ['no-call'] },
  {
    name: 'M12 an answer cut by length, with valid arguments of a destructive tool (A29)',
    answer: (state) => [call(toolOf[state], { path: '/' })],
    finish: 'length',
    reasons: ['answer-cut'],
  },
  {
    name: 'M12 an exit cut by length',
    answer: (state) => [call(exitOf[state], { note: 'x' })],
    finish: 'length',
    reasons: ['answer-cut'],
  },
  { name: 'M23 an answer that was withheld', answer: () => [], finish: 'content-filter', reasons: ['answer-withheld'] },
]

function at(state: Name): Play {
  const play = new Play(agent, { goal: 'x' })
  if (state === 'settle') play.model([call('GATHERED', { note: 'n' })])
  expect(play.task.state).toBe(state)
  return play
}

describe.each(['gather', 'settle'] as const)('A28: in the state %s', (state) => {
  test.each(wrongs)('$name is refused, told back, and changes nothing', ({ answer, finish, reasons }) => {
    const play = at(state)
    const context = JSON.stringify([...play.task.context])
    const events = play.model(answer(state), finish)

    const refused = events.flatMap((event) => (event.type === 'step.refused' ? [event.data] : []))
    expect(refused.map(({ reason }) => reason)).toEqual(reasons)
    expect(refused.every((refusal) => refusal.state === state)).toBe(true)
    expect(events.some(({ type }) => type === 'tool.called' || type === 'transition.taken')).toBe(false)
    expect(play.task.state).toBe(state)
    expect(JSON.stringify([...play.task.context])).toBe(context)

    // The next request is well formed and says what was wrong.
    const node = play.machine.states.get(state)!
    if (node.kind !== 'model') throw new Error('not a model state')
    const { messages } = assemble(play.task.visit!, node, 100)
    const told = JSON.stringify(messages.slice(2))
    expect(told).toContain('Refused: ')
    const calls = messages
      .flatMap((message) => (message.role === 'assistant' ? message.content : []))
      .filter(({ type }) => type === 'call')
    const results = messages.flatMap((message) => (message.role === 'tool' ? message.results : []))
    expect(results.map(({ id }) => id)).toEqual(calls.map((part) => (part.type === 'call' ? part.id : '')))
    expect(new Set(results.map(({ id }) => id)).size).toBe(results.length)
  })

  test.each(wrongs)('$name, again and again, ends in $$refused and not in a loop', ({ answer, finish }) => {
    const play = at(state)
    const before = play.all('model.called').length
    for (let turn = 0; turn < 3; turn += 1) play.model(answer(state), finish)
    expect(play.task.outcome).toBe('gaveUp')
    expect(play.exits.at(-1)).toBe(`${state} $refused gaveUp`)
    expect(play.all('model.called').length - before).toBe(2)
    expect(play.all('limit.reached')).toEqual([{ limit: 'refusals', max: 3, state }])
  })
})

test('an exit beside a tool call is refused; the tool is called and both results come back in order', () => {
  const play = at('gather')
  play.model([call('NOTHING'), call('read_file', { path: 'a' })])
  expect(play.all('step.refused').map(({ reason }) => reason)).toEqual(['exit-not-alone'])
  play.end({ kind: 'tool', result: 'text' })
  const node = play.machine.states.get('gather')!
  if (node.kind !== 'model') throw new Error('not a model state')
  const { messages } = assemble(play.task.visit!, node, 100)
  const last = messages.at(-1)!
  expect(last.role === 'tool' && last.results.map(({ name, failed }) => [name, failed])).toEqual([
    ['NOTHING', true],
    ['read_file', false],
  ])
})

test('M16: calls with the same id, or an id no provider takes, get ids of their own', () => {
  const play = at('gather')
  const same = (path: string): AnswerPart => ({ type: 'call', id: 'x', name: 'read_file', arguments: { path } })
  play.model([same('a'), same('b'), { ...same('c'), id: 'bad id!' } as AnswerPart])
  const steps = [...play.task.open.values()]
  expect(steps.length).toBe(3)
  for (const [index, step] of steps.toReversed().entries()) play.end({ kind: 'tool', result: index }, step)
  const node = play.machine.states.get('gather')!
  if (node.kind !== 'model') throw new Error('not a model state')
  const tools = assemble(play.task.visit!, node, 100).messages.at(-1)!
  expect(tools.role === 'tool' && tools.results.map(({ id, value }) => [id, value])).toEqual([
    ['x', 2],
    ['call_1_1', 1],
    ['call_1_2', 0],
  ])
})

test('M16: five refusals in one answer count once, so a model can still mend its ways', () => {
  const play = at('gather')
  play.model([call('a'), call('b'), call('c'), call('d'), call('e')])
  expect(play.task.visit!.refusals).toBe(1)
  play.model([call('GATHERED', { note: 'n' })])
  expect(play.task.state).toBe('settle')
})
