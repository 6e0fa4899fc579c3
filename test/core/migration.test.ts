// Moving a task to another definition of its agent, by values: when it may be, what it keeps, and what leaves it as it was.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type MigrationFrom } from '../../src/core/agent.ts'
import { compileChecked } from '../../src/core/check.ts'
import { proceed } from '../../src/core/decide.ts'
import { draft } from '../../src/core/draft.ts'
import type { Event } from '../../src/core/event.ts'
import { defineContext } from '../../src/core/context.ts'
import { fold } from '../../src/core/fold.ts'
import { describe as textOf } from '../../src/core/machine.ts'
import { migrate, type Moved } from '../../src/core/migration.ts'
import { emptyTask } from '../../src/core/task.ts'
import { defineTool } from '../../src/core/tool.ts'
import { call, Play } from '../play.ts'

const look = defineTool({ name: 'look', description: 'd', inputSchema: z.object({}), execute: () => null })
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const on = { $timeout: 'failed' } as const

const old = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({
    goal: { schema: z.string(), initial: 'g' },
    heard: { schema: z.string().optional(), trust: 'untrusted' },
  }),
  initial: 'ask',
  on,
  states: {
    ask: { human: { question: 'Go on?' }, checkpoint: 'asked', on: { yes: 'work', pay: 'pay', wait: 'pause' } },
    work: { model: 'm', prompt: 'p', tools: [look], on: { OK: 'done', BACK: 'ask' } },
    pay: { run: () => 'OK', on: { OK: 'done' } },
    pause: { wait: { signal: 'go' }, on: { DONE: 'done' } },
    ...ends,
  },
})

const context = defineContext({
  aim: z.string(),
  heard: { schema: z.string().optional(), privacy: 'private' },
  times: { schema: z.int(), initial: 3 },
})
type Answer = { readonly state?: any; readonly context?: any } | undefined

/** The next version: `goal` is called `aim`, and a `times` was added. */
function next(answer: (from: MigrationFrom) => Answer, change: object = {}) {
  return compileChecked(
    defineAgent({
      name: 'a',
      version: '2',
      context,
      initial: 'ask',
      on,
      migrate: answer,
      states: {
        ask: { human: { question: 'Really?' }, on: { yes: 'done', work: 'work', wait: 'pause' } },
        work: { model: 'm', prompt: ({ context: { aim } }) => aim, on: { OK: 'done' } },
        pause: { wait: { signal: 'go' }, on: { DONE: 'done' } },
        ...ends,
      },
      ...change,
    }) as never,
  )
}

const renamed = ({ context: { goal } }: MigrationFrom): Answer => ({ context: { aim: goal } })

/** Tries to move the task; what is decided is in the log. */
function move(play: Play, machine = next(renamed), definition = 'd2'): { moved: Moved; events: Event[] } {
  const work = draft(play.task, play.nowMs, play.terms)
  const moved = migrate(machine, definition, work)
  play.log.push(...work.events)
  return { moved, events: work.events }
}

const why = (moved: Moved): string => ('why' in moved ? `${moved.kind}: ${moved.why}` : moved.kind)

test('a task that waits for a human goes on in the new machine: its context renamed and completed, asked anew there', () => {
  const play = new Play(old, { goal: 'x' })
  const { moved, events } = move(play)
  expect(moved.kind).toBe('moved')
  expect(events.map(({ type, data }) => [type, data])).toEqual([
    ['item.closed', { item: 't.4', why: 'withdrawn' }],
    [
      'task.migrated',
      { from: { version: '1', definition: 'd', state: 'ask' }, version: '2', definition: 'd2', state: 'ask' },
    ],
    ['context.removed', { key: 'goal', version: 2 }],
    ['context.written', { key: 'aim', version: 1, value: 'x', source: 'migration' }],
    ['context.written', { key: 'times', version: 1, value: 3, source: 'migration' }],
    ['state.entered', { state: 'ask', kind: 'human', visit: 1 }],
  ])
  const work = draft(fold(emptyTask('t'), play.log), play.nowMs, play.terms)
  proceed(next(renamed), work)
  expect(work.task).toMatchObject({
    version: '2',
    definition: 'd2',
    status: 'waiting',
    item: { options: ['yes', 'work', 'wait'] },
  })
})

test('to another state than the one of the same name, where migrate says so', () => {
  const play = new Play(old)
  move(
    play,
    next((from) => ({ state: from.state === 'ask' ? 'work' : 'done', context: { aim: 'a' } })),
  )
  expect(play.task).toMatchObject({ state: 'work', visit: { kind: 'model' } })
  expect(play.task.visits.get('work')).toBe(1)
})

test('what is computed has the label of all that could be read, and what is kept at least that of its key', () => {
  const play = new Play(old, { heard: 'anything' })
  move(play)
  const labels = Object.fromEntries([...play.task.context].map(([key, { label }]) => [key, label]))
  expect(labels).toEqual({
    aim: { trust: 'untrusted', privacy: 'public' },
    heard: { trust: 'untrusted', privacy: 'private' },
    times: { trust: 'trusted', privacy: 'public' },
  })
})

test('migrate is given the version, the definition, the state and the context, and can change none of them', () => {
  const play = new Play(old, { goal: 'x' })
  let seen: MigrationFrom | undefined
  move(
    play,
    next((from) => {
      seen = from
      return undefined
    }),
  )
  expect(seen).toMatchObject({ version: '1', definition: 'd', state: 'ask', context: { goal: 'x' } })
  expect([Object.isFrozen(seen), Object.isFrozen(seen!.context)]).toEqual([true, true])
})

describe('a task is not moved, and nothing is decided,', () => {
  const at = {
    'while a model is asked': () => {
      const play = new Play(old)
      play.answer({ decision: 'yes' })
      return play
    },
    'after a turn of a model, though nothing is under way': () => {
      const play = new Play(old)
      play.answer({ decision: 'yes' })
      play.model([call('look')])
      play.end({ kind: 'tool', result: 1 })
      // The worker stopped before it asked again.
      const asked = play.log.findLastIndex(({ type }) => type === 'model.called')
      play.task = fold(emptyTask('t'), play.log.slice(0, asked))
      return play
    },
    'while a step waits for another try': () => {
      const play = new Play(old)
      play.answer({ decision: 'yes' })
      play.fail('overload')
      return play
    },
    'while a function runs': () => {
      const play = new Play(old)
      play.answer({ decision: 'pay' })
      return play
    },
    'while a human is asked about a failure': () => {
      const play = new Play(old)
      play.answer({ decision: 'yes' })
      play.fail('auth')
      expect(play.task.item?.kind).toBe('escalation')
      return play
    },
    'when it has ended': () => {
      const play = new Play(old)
      play.cancel()
      return play
    },
  }
  test.each(Object.entries(at))('%s', (_, make) => {
    const play = make()
    const { moved, events } = move(play)
    expect([moved.kind, events]).toEqual(['later', []])
  })

  test('when a human has answered, and what they decided is not done', () => {
    const play = new Play(old)
    const before = play.log.length
    play.answer({ decision: 'yes' })
    play.task = fold(emptyTask('t'), play.log.slice(0, before + 1))
    expect(why(move(play).moved)).toMatch('later: what a human decides')
  })

  test.each<[string, (from: MigrationFrom) => any, string]>([
    ['where migrate does not want it', () => undefined, 'left: version 2 does not take it'],
    ['where migrate throws', ({ context: { nope } }) => nope.more, 'unfit: Cannot read prop'],
    ['where migrate answers later', () => Promise.resolve({}), 'unfit: migrate must answer at once'],
    ['where migrate answers with a word', () => 'ask', 'unfit: migrate must answer at once'],
    ['where a field means nothing', () => ({ states: 'ask' }), 'unfit: migrate answered with states'],
    ['where the state is none of the new ones', () => ({ state: 'pay' }), 'unfit: version 2 has no state "pay"'],
    ['where a key of the new context is missing', () => ({}), 'unfit: aim is missing'],
    ['where a value does not fit', () => ({ context: { aim: 1 } }), 'unfit: aim does not fit: '],
    ['where it sets a key that the context does not have', () => ({ context: { goal: 'x' } }), 'no key goal'],
  ])('%s', (_, answer, says) => {
    const { moved, events } = move(new Play(old), next(answer))
    expect(why(moved)).toContain(says)
    expect(events).toEqual([])
  })

  test('where its own limits lead to a state that there is no more', () => {
    const play = new Play({ ...old, limits: { onSoft: 'pay' } } as never)
    expect(why(move(play).moved)).toBe("unfit: version 2 has no state pay, which the task's limits.onSoft leads to")
  })

  test('to a definition that it was moved from', () => {
    const play = new Play(old)
    move(play)
    expect(
      why(
        move(
          play,
          next(() => ({})),
          'd',
        ).moved,
      ),
    ).toMatch('left: it was moved from there before')
  })
})

test('a task whose failed visit a human lets begin anew does so in the new machine', () => {
  const play = new Play(old)
  play.answer({ decision: 'yes' })
  play.fail('auth')
  const before = play.log.length
  play.answer({ decision: 'retry' })
  play.task = fold(emptyTask('t'), play.log.splice(0, before + 1))
  expect(move(play).moved.kind).toBe('moved')
  expect(play.task).toMatchObject({ state: 'work', version: '2', item: undefined })
})

test('signals that have come are there for the new machine, and its waits begin anew', () => {
  const play = new Play(old)
  play.answer({ decision: 'wait' })
  expect(move(play).moved.kind).toBe('moved')
  expect(play.task).toMatchObject({ state: 'pause', wait: undefined })
  const work = draft(play.task, play.nowMs, play.terms)
  proceed(next(renamed), work)
  expect(work.events.map(({ type }) => type)).toEqual(['wait.started'])
})

test('a rollback does not go back behind a move: the new machine knows nothing of what was there', () => {
  const play = new Play(old)
  move(play)
  expect(() => play.rollback(3)).toThrow(/ROLLBACK_INVALID .*moved to version 2 at event 6/)
  expect(() => play.rollback('asked')).toThrow('ROLLBACK_INVALID')
})

test('how tasks are taken over is no part of the definition that they are pinned to', () => {
  expect(textOf({ ...old, migrate: () => ({}) } as never)).toEqual(textOf(old as never))
})
