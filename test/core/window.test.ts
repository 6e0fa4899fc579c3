// The window by values: what a model is shown when not everything fits. I12, and SCENARIOS A32 and A33.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { clear } from '../../src/core/label.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Json } from '../../src/core/json.ts'
import type { Node } from '../../src/core/machine.ts'
import type { AnswerPart, Message, ModelRequest } from '../../src/core/model.ts'
import { readOn } from '../../src/core/read-on.ts'
import { whole, type Cut, type TurnResult, type Visit } from '../../src/core/task.ts'
import { estimateTokens } from '../../src/core/tokens.ts'
import { defineTool } from '../../src/core/tool.ts'
import { assemble, fit, sizeOf } from '../../src/core/window.ts'
import { call, Play } from '../play.ts'

const look = defineTool({
  name: 'look',
  description: 'd',
  inputSchema: z.object({ at: z.unknown() }),
  execute: () => null,
})
const agentOf = (change: object = {}) =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({}),
    initial: 'think',
    limits: { steps: 10_000, toolCalls: 10_000, tokens: 100_000_000 },
    on: { $error: 'failed', $timeout: 'failed', $limit: 'tooLarge' },
    states: {
      think: {
        model: ['main', 'backup'],
        instructions: 'pinned instructions',
        prompt: 'pinned prompt',
        tools: [look],
        turns: 1_000,
        outputTokens: 500,
        on: { OK: 'done' },
        ...change,
      },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
      tooLarge: { type: 'final', failure: true },
    },
  })
const node = new Play(agentOf()).machine.states.get('think') as Extract<Node, { kind: 'model' }>

const visitOf = (
  turns: readonly { content: readonly AnswerPart[]; results?: ReadonlyMap<number, TurnResult>; note?: string }[],
  cut: Cut = whole,
): Visit => ({
  state: 'think',
  kind: 'model',
  actor: 'think',
  base: new Map(),
  plan: undefined,
  deadlineAtMs: undefined,
  prompt: { system: 'pinned instructions', user: 'pinned prompt' },
  label: clear,
  cut,
  turns: turns.map(({ content, results = new Map(), note }, index) => ({
    turn: index + 1,
    content,
    finish: 'tool-calls',
    results: new Map(results),
    note,
  })),
  refusals: 0,
  refusedTurn: 0,
  answers: new Map(),
  repeats: 0,
  ended: undefined,
  leaving: undefined,
})

/** What the chat form of OpenAI takes: every call is answered right behind its message, once, and nothing else is. */
function provesChat({ messages }: ModelRequest): void {
  const ids = new Set<string>()
  let open: string[] = []
  for (const [index, message] of messages.entries()) {
    if (message.role !== 'tool') expect(open).toEqual([])
    if (message.role === 'system') expect(index).toBe(0)
    if (message.role === 'assistant') {
      expect(message.content.length).toBeGreaterThan(0)
      open = message.content.flatMap((part) => (part.type === 'call' ? [part.id] : []))
      for (const id of open) {
        expect(id).toMatch(/^[\w-]{1,64}$/)
        expect(ids.has(id)).toBe(false)
        ids.add(id)
      }
    }
    if (message.role === 'tool') {
      expect(message.results.map(({ id }) => id)).toEqual(open)
      expect(messages[index - 1]!.role).toBe('assistant')
      open = []
    }
  }
  expect(open).toEqual([])
}

/** What the messages form of Anthropic takes: user first, then by turns, results in the user's next message. */
function provesMessages({ messages }: ModelRequest): void {
  const said = messages.filter(({ role }) => role !== 'system')
  const roles = said.map(({ role }) => (role === 'assistant' ? 'assistant' : 'user'))
  const turns = roles.filter((role, index) => role !== roles[index - 1])
  expect(turns[0]).toBe('user')
  expect(turns.every((role, index) => role === (index % 2 === 0 ? 'user' : 'assistant'))).toBe(true)
  expect(turns.at(-1)).toBe('user')
  for (const [index, message] of said.entries()) {
    if (message.role !== 'assistant') continue
    const calls = message.content.filter(({ type }) => type === 'call').length
    const next = said[index + 1]
    expect(next?.role === 'tool' ? next.results.length : 0).toBe(calls)
  }
}

const parts = fc.oneof(
  fc.record({ type: fc.constant('text' as const), text: fc.string({ maxLength: 30 }) }),
  fc.record({ type: fc.constant('reasoning' as const), text: fc.string({ maxLength: 30 }) }),
  fc.record({
    type: fc.constant('call' as const),
    id: fc.constantFrom('', 'a', 'a', 'call_1', 'ü', 'x'.repeat(80)),
    name: fc.constantFrom('look', 'OK', '', 'no such', 'look'),
    arguments: fc.jsonValue() as fc.Arbitrary<Json>,
  }),
)
const turns = fc.array(
  fc
    .tuple(
      fc.array(parts, { maxLength: 4 }),
      fc.array(fc.string({ maxLength: 600 }), { minLength: 4, maxLength: 4 }),
      fc.nat(5),
    )
    .map(([content, values, kind]) => {
      const calls = content.flatMap((part, index) => (part.type === 'call' ? [index] : []))
      const results = new Map(
        calls.filter((_, at) => at !== kind).map((index, at) => [index, { value: values[at % 4]!, failed: false }]),
      )
      // A turn without a call has a note: that is its refusal.
      return calls.length === 0 ? { content, results, note: 'Refused: answer by calling.' } : { content, results }
    }),
  { minLength: 1, maxLength: 12 },
)

test('A33, I12: a history cut to every length, with every bound on heads, is well formed for both forms of request', () => {
  fc.assert(
    fc.property(turns, fc.constantFrom(null, 200, 400), (all, headChars) => {
      for (let resultsBefore = 1; resultsBefore <= all.length; resultsBefore += 1) {
        for (let turnsBefore = 1; turnsBefore <= resultsBefore; turnsBefore += 1) {
          const visit = visitOf(all, { resultsBefore, turnsBefore, headChars })
          const request = assemble(visit, node, 100)
          provesChat(request)
          provesMessages(request)
          expect(request.messages[0]).toEqual({ role: 'system', text: 'pinned instructions' })
          expect((request.messages[1] as { text: string }).text.startsWith('pinned prompt')).toBe(true)
          expect(request.messages.filter(({ role }) => role === 'assistant').length).toBe(all.length - turnsBefore + 1)
        }
      }
    }),
    { numRuns: 150 },
  )
})

test('what a model is shown under a cut does not depend on the cuts that were tried before', () => {
  const cut = fc.record({
    resultsBefore: fc.integer({ min: 1, max: 12 }),
    turnsBefore: fc.integer({ min: 1, max: 12 }),
    headChars: fc.constantFrom(null, 200, 300, 400),
  })
  fc.assert(
    fc.property(turns, fc.array(cut, { minLength: 1, maxLength: 6 }), cut, (all, tried, chosen) => {
      const visit = visitOf(all)
      for (const other of tried) assemble({ ...visit, cut: other }, node, 100)
      const fresh = visitOf(all, chosen)
      expect(sizeOf(visit, node, chosen)).toBe(sizeOf(fresh, node))
      expect(assemble({ ...visit, cut: chosen }, node, 100)).toEqual(assemble(fresh, node, 100))
    }),
    { numRuns: 500 },
  )
})

describe('what does not fit', () => {
  const long = (index: number): TurnResult => ({ value: `result ${index} ${'word '.repeat(100)}`, failed: false })
  const thread = (length: number): Visit =>
    visitOf(
      Array.from({ length }, (_, index) => ({
        content: [call('look', { at: 'why '.repeat(20) })],
        results: new Map([[0, long(index)]]),
      })),
    )

  test('goes oldest results first, then oldest turns, whole; the last turn and what is pinned stay', () => {
    const visit = thread(12)
    const all = sizeOf(visit, node)
    const slightly = fit(visit, node, all - 1)!
    expect(slightly.cut.turnsBefore).toBe(1)
    expect(slightly.cut.resultsBefore).toBeGreaterThan(1)
    const request = assemble({ ...visit, cut: slightly.cut }, node, 100)
    const shown = request.messages.flatMap((message) =>
      message.role === 'tool' ? message.results.map(({ value }) => String(value)) : [],
    )
    expect(shown[0]).toContain('Left out')
    expect(shown.at(-1)).toContain('result 11')
    const much = fit(visit, node, 500)!
    expect(much.cut.resultsBefore).toBe(12)
    expect(much.cut.turnsBefore).toBeGreaterThan(1)
    const little = assemble({ ...visit, cut: much.cut }, node, 100)
    expect((little.messages[1] as { text: string }).text).toContain(
      `The first ${much.cut.turnsBefore - 1} turns were left out`,
    )
    expect(JSON.stringify(little.messages.at(-1))).toContain('result 11')
  })

  test('is cut with room to spare, so that the next turns need no cut', () => {
    const visit = thread(12)
    const max = sizeOf(visit, node) - 1
    expect(fit(visit, node, max)!.tokens).toBeLessThanOrEqual(max * 0.7)
  })

  test('whatever was said: it fits when there is an answer, it only gets deeper, and an answer fails only when the last turn does', () => {
    fc.assert(
      fc.property(
        turns,
        fc.integer({ min: 50, max: 1_500 }),
        fc.integer({ min: 50, max: 1_500 }),
        (all, first, second) => {
          const visit = visitOf(all)
          const fitted = fit(visit, node, first)
          if (!fitted) {
            const last: Cut = { resultsBefore: all.length, turnsBefore: all.length, headChars: 200 }
            expect(sizeOf(visit, node, last)).toBeGreaterThan(first * 0.6)
            return
          }
          expect(fitted.tokens).toBeLessThanOrEqual(first)
          expect(sizeOf({ ...visit, cut: fitted.cut }, node)).toBe(fitted.tokens)
          const again = fit({ ...visit, cut: fitted.cut }, node, second)
          if (!again) return
          expect(again.tokens).toBeLessThanOrEqual(second)
          expect(again.cut.resultsBefore).toBeGreaterThanOrEqual(fitted.cut.resultsBefore)
          expect(again.cut.turnsBefore).toBeGreaterThanOrEqual(fitted.cut.turnsBefore)
          expect(again.cut.headChars ?? Infinity).toBeLessThanOrEqual(fitted.cut.headChars ?? Infinity)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('a turn that was put together once is the same object in every later request', () => {
    const visit = thread(500)
    const before = assemble(visit, node, 100).messages
    visit.turns.push({ turn: 501, content: [call('look')], finish: 'tool-calls', results: new Map(), note: undefined })
    const after = assemble(visit, node, 100).messages
    expect(after.length).toBe(before.length + 2)
    expect(before.every((message, index) => message === after[index])).toBe(true)
  })
})

describe('A32, T06: a result of 2 MB', () => {
  const text = Array.from({ length: 60_000 }, (_, line) => `line ${line} "quoted" 😀 and more`).join('\n')

  test('is shown by its head, with a handle, and a tool to read on gives all of it, to the last character', () => {
    expect(text.length).toBeGreaterThan(1_900_000)
    const play = new Play(agentOf({ windowTokens: 8_000 }))
    play.model([call('look', { at: 1 }), call('look', { at: 2 })])
    const [first, second] = [...play.task.open.values()]
    play.end({ kind: 'tool', result: text }, first)
    play.end({ kind: 'tool', result: 'small' }, second)
    const [cut] = play.all('window.cut')
    expect(cut).toMatchObject({ reason: 'window', turnsBefore: 1, resultsBefore: 1 })
    expect(cut!.tokens).toBeLessThanOrEqual(cut!.inputTokensMax)
    const visit = play.task.visit!
    const request = assemble(visit, node, 100)
    provesChat(request)
    provesMessages(request)
    expect(request.offers.map(({ name }) => name)).toContain(readOn.name)
    const results = (request.messages.at(-1) as Extract<Message, { role: 'tool' }>).results
    const shown = results[0]!.value as { head: string; handle: string; totalChars: number }
    expect(shown).toMatchObject({ handle: '1.0', totalChars: text.length })
    expect(results[1]!.value).toBe('small')
    let read = shown.head
    for (let start: number | null = read.length; start !== null;) {
      const next = readOn.read(visit, '1.0', start, 100_000) as { text: string; nextStart: number | null }
      expect(next.text.isWellFormed()).toBe(true)
      read += next.text
      start = next.nextStart
    }
    expect(read).toBe(text)
    expect(readOn.read(visit, '9.9', 0, 10)).toHaveProperty('problem')
  })

  test('may be read on by the model, as a step like any other; before there is one, that tool is refused', () => {
    const play = new Play(agentOf({ windowTokens: 8_000 }))
    play.model([call(readOn.name, { handle: '1.0', start: 0 })])
    expect(play.all('step.refused')).toMatchObject([{ reason: 'tool-not-allowed' }])
    play.model([call('look', { at: 1 })])
    play.end({ kind: 'tool', result: text })
    play.model([call(readOn.name, { handle: '2.0', start: 5_000 })])
    expect(play.open).toMatchObject({ kind: 'tool', tool: readOn.name, arguments: { handle: '2.0', start: 5_000 } })
  })

  test('and the thread stays within its window for as long as it goes on', () => {
    const play = new Play(agentOf({ windowTokens: 6_000 }))
    for (let turn = 1; turn <= 40; turn += 1) {
      const called = play.all('model.called').at(-1)!
      expect(called.reserved.estimate + 500).toBeLessThanOrEqual(6_000)
      play.model([call('look', { at: turn })], 'tool-calls', { inputTokens: called.reserved.estimate })
      play.end({ kind: 'tool', result: `${turn} ${'word '.repeat(300)}` })
    }
    expect(play.all('window.cut').length).toBeGreaterThan(1)
    expect(play.all('window.cut').length).toBeLessThan(12)
  })
})

describe('M09: a provider that says the request is too large', () => {
  const filled = (change: object = {}): Play => {
    const play = new Play(agentOf(change))
    for (let turn = 1; turn <= 6; turn += 1) {
      play.model([call('look', { at: turn })])
      play.end({ kind: 'tool', result: 'word '.repeat(200) })
    }
    return play
  }

  test('is asked once more, with at most half of it, and never with the same again; then the next model is', () => {
    const play = filled()
    const before = play.all('model.called').at(-1)!.reserved.estimate
    play.end({ kind: 'failed', failure: { class: 'context-overflow', message: 'm', unbilled: true } })
    expect(play.all('model.failed').at(-1)!.retry).toMatchObject({
      reason: 'smaller',
      inputTokensMax: Math.floor(before / 2),
    })
    expect(play.all('window.cut').at(-1)).toMatchObject({ reason: 'overflow' })
    expect(play.open).toMatchObject({ model: 'main' })
    expect(play.all('model.called').at(-1)!.reserved.estimate).toBeLessThanOrEqual(before / 2)
    play.end({ kind: 'failed', failure: { class: 'context-overflow', message: 'm', unbilled: true } })
    expect(play.open).toMatchObject({ model: 'backup' })
  })

  test('is not asked again where nothing is left to be cut: the next model is, and then $error is taken', () => {
    const play = new Play(agentOf())
    play.fail('context-overflow')
    expect(play.open).toMatchObject({ model: 'backup', attempt: 2 })
    play.fail('context-overflow')
    expect(play.exits).toEqual(['think $error failed'])
    expect(play.all('model.called').length).toBe(2)
  })

  test('a window that the longest answer fills alone leaves room for the request: the answer gets shorter, down to its floor', () => {
    for (const windowTokens of [4_096, 900]) {
      const play = new Play(agentOf({ outputTokens: 4_096 }), {}, { window: () => windowTokens })
      const [called] = play.all('model.called')
      expect(called!.outputTokensMax).toBeGreaterThanOrEqual(256)
      expect(called!.outputTokensMax + called!.reserved.estimate).toBeLessThanOrEqual(windowTokens)
      expect(called!.outputTokensMax).toBe(windowTokens - Math.ceil(called!.reserved.estimate * 1.25))
    }
  })

  test('what is pinned and does not fit any window is not sent: $limit', () => {
    const play = new Play(agentOf({ prompt: 'word '.repeat(5_000), windowTokens: 2_000 }))
    expect(play.all('limit.reached')).toMatchObject([{ limit: 'window' }])
    expect(play.exits).toEqual(['think $limit tooLarge'])
    expect(play.all('model.called')).toEqual([])
  })
})

test('tokens are estimated in linear time over texts that are made to hurt: eight times the text is not 40 times the time', () => {
  const kinds: [string, (length: number) => string][] = [
    ['one letter', (length) => 'a'.repeat(length)],
    ['white space', (length) => ' \n\t'.repeat(length / 3)],
    ['no spaces', (length) => '漢字'.repeat(length / 2)],
    ['signs', (length) => '!?.,'.repeat(length / 4)],
    [
      'random letters',
      (length) =>
        Array.from({ length: length / 8 }, (_, index) =>
          ((index * 2_654_435_761) >>> 0).toString(36).padEnd(8, 'q').slice(0, 8),
        ).join(''),
    ],
  ]
  const timeOf = (text: string): number => {
    const times = Array.from({ length: 5 }, () => {
      const begun = performance.now()
      estimateTokens(text)
      return performance.now() - begun
    })
    return Math.min(...times)
  }
  for (const [, make] of kinds) {
    const [short, far] = [make(200_000), make(1_600_000)]
    expect(timeOf(far)).toBeLessThan(Math.max(40 * timeOf(short), 40))
    expect(estimateTokens(far)).toBeGreaterThan(0)
  }
})
