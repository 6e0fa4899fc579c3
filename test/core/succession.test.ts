// Whether tasks of one definition can go on in another, as far as the definitions say.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent, type MigrationFrom } from '../../src/core/agent.ts'
import { compileChecked } from '../../src/core/check.ts'
import { defineContext } from '../../src/core/context.ts'
import { judgeSuccession } from '../../src/core/succession.ts'

const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const on = { $timeout: 'failed' } as const

const before = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({ goal: z.string(), note: z.string().optional(), n: { schema: z.int(), initial: 1 } }),
  initial: 'ask',
  on,
  states: {
    ask: { human: { question: '?' }, on: { yes: 'pause' } },
    pause: { wait: { signal: 'go' }, on: { DONE: 'done' } },
    ...ends,
  },
})

const states = {
  ask: { human: { question: '?' }, on: { yes: 'hold' } },
  hold: { wait: { signal: 'go' }, on: { DONE: 'done' } },
  ...ends,
}

/** What is said of the next version, with these keys in its context. */
function judge(migrate: ((from: MigrationFrom) => any) | undefined, keys: object = {}, old: object = {}) {
  const context = defineContext({ goal: z.string(), ...keys })
  const after: Agent<any, any> = defineAgent({
    name: 'a',
    version: '2',
    context,
    initial: 'ask',
    on,
    states,
    ...(migrate ? { migrate } : {}),
  } as never)
  const { passages, problems, notProved } = judgeSuccession(
    compileChecked({ ...before, ...old } as never),
    compileChecked(after),
    'd',
  )
  return {
    passages: passages.map(({ state, target }) => `${state} → ${target ?? '-'}`),
    problems: problems.map(({ code, place, problem }) => `${code} ${place}: ${problem}`),
    severe: problems.some(({ severity }) => severity === 'error'),
    notProved,
  }
}

const toHold = ({ state }: MigrationFrom) => ({ state: state === 'pause' ? 'hold' : state })

test('every state that leads to one that there is can move', () => {
  expect(judge(toHold)).toMatchObject({ passages: ['ask → ask', 'pause → hold'], problems: [] })
})

test('without migrate nothing can move', () => {
  const { problems, severe } = judge(undefined)
  expect([problems[0], severe]).toEqual([expect.stringMatching(/^MIGRATION_MISSING a.migrate: .*old file/), true])
})

test.each<[string, (from: MigrationFrom) => any, string]>([
  ['has no successor of its name', () => ({}), 'version 2 has no state "pause"'],
  ['is left alone', ({ state }) => (state === 'ask' ? {} : undefined), 'migrate leaves them'],
  [
    'makes migrate throw, whatever the context',
    ({ state }) => {
      if (state === 'pause') throw new Error('not that')
      return {}
    },
    'migrate threw: not that',
  ],
  ['is answered later', ({ state }) => (state === 'ask' ? {} : Promise.resolve({})), 'must answer at once'],
])('a state that %s cannot move, and the others can', (_, migrate, says) => {
  const { passages, problems, severe } = judge(migrate)
  expect(passages).toEqual(['ask → ask', 'pause → -'])
  expect(problems).toEqual([expect.stringContaining('MIGRATION_STATE a.migrate.pause: Tasks in pause cannot move: ')])
  expect([problems[0], severe]).toEqual([expect.stringContaining(says), true])
})

test('where the answer hangs on the context it cannot be told, and that is no error', () => {
  const { passages, problems, severe } = judge(({ state, context }) => {
    return state === 'ask' ? { state: context['goal'].length > 3 ? 'ask' : 'hold' } : { state: 'hold' }
  })
  expect(passages).toEqual(['ask → -', 'pause → hold'])
  expect([problems, severe]).toEqual([
    [expect.stringMatching(/^MIGRATION_UNTOLD a.migrate.ask: .*migrate threw/)],
    false,
  ])
})

test('a key that the new context must have comes with every task, or migrate sets it, or nothing moves', () => {
  const keys = { aim: z.string() }
  expect(judge(toHold, keys).problems).toEqual([
    'MIGRATION_KEY a.migrate.ask: Tasks in ask cannot move: aim is new, and must have a value.',
    'MIGRATION_KEY a.migrate.pause: Tasks in pause cannot move: aim is new, and must have a value.',
  ])
  expect(judge((from) => ({ ...toHold(from), context: { aim: from.context['goal'] } }), keys).problems).toEqual([])
  expect(judge(toHold, { n: z.int() }).problems).toEqual([])
  expect(judge(toHold, { note: z.string() }).problems[0]).toContain('note may have no value, and must have one now')
  expect(judge(toHold, { aim: { schema: z.string(), initial: 'x' } }).problems).toEqual([])
})

test('a key that migrate sets and the new context does not have is an error', () => {
  expect(judge((from) => ({ ...toHold(from), context: { aims: 1 } })).problems[0]).toMatch(/MIGRATION_KEY .*sets aims/)
})

test('limits that lead to a state which is gone keep every task where it is, because tasks keep their limits', () => {
  const more = { ...before.states, late: { type: 'final' } }
  const { problems } = judge(toHold, {}, { limits: { onSoft: 'late' }, states: more })
  expect(problems).toEqual([expect.stringMatching(/MIGRATION_STATE a.limits.onSoft: .*onSoft leads to late/)])
})

test('what only the values of a task can say is not claimed', () => {
  expect(judge(toHold).notProved).toEqual(['that migrate answers for the values of every task as it did here'])
  expect(
    judge((from) => ({ ...toHold(from), context: { n: 2 } }), { n: z.int(), note: z.string().max(3).optional() })
      .notProved,
  ).toEqual([
    'that the values of note fit its new schema',
    'that what migrate sets fits: n',
    'that migrate answers for the values of every task as it did here',
  ])
})
