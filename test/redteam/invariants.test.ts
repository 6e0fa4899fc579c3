// An invariant that cannot fail is worth nothing: each is shown evidence in which just one thing is wrong, and says so.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { canary } from '../../src/redteam/fault-kinds.ts'
import { invariants } from '../../src/redteam/invariants.ts'
import { fault } from '../../src/redteam/plan.ts'
import type { Act, Evidence } from '../../src/redteam/evidence.ts'
import { play } from '../../src/redteam/world.ts'
import { defineTool } from '../../src/core/tool.ts'

const look = defineTool({
  name: 'look',
  description: 'Looks.',
  inputSchema: z.object({}),
  trust: 'untrusted',
  execute: () => 'never called',
})
const pay = defineTool({
  name: 'pay',
  description: 'Pays.',
  inputSchema: z.object({ account: z.string() }),
  effect: 'external',
  sinks: ['account'],
  approval: 'always',
  execute: () => 'never called',
})
const clerk = defineAgent({
  name: 'clerk',
  version: '1',
  context: defineContext({ account: z.string().optional() }),
  initial: 'search',
  limits: { steps: 20 },
  states: {
    search: {
      model: 'main',
      prompt: 'Search.',
      tools: [look],
      on: { FOUND: { target: 'pay', output: z.object({ account: z.string() }) }, $error: 'failed' },
    },
    pay: {
      tool: pay,
      args: ({ context }) => ({ account: context.account ?? '' }),
      on: { DONE: 'paid', $error: 'failed' },
    },
    paid: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

/** A play that went well, with one retry in it. */
const good = await play({ agent: clerk, seed: 1, faults: [fault('M05')] })

/** The data of the first event of a type is changed, or the event is taken out. */
function edit(type: string, change: (data: any, event: any) => object | undefined): Evidence {
  let done = false
  const edited = (events: readonly any[]): any[] => {
    done = false
    return events.flatMap((event) => {
      if (done || event.type !== type) return [event]
      done = true
      const data = change(event.data, event)
      return data === undefined ? [] : [{ ...event, data: { ...event.data, ...data } }]
    })
  }
  const tasks = good.tasks.map((told) => ({ ...told, events: edited(told.events) }))
  const written = edited(good.written)
  expect(done, `there is a ${type}`).toBe(true)
  return { ...good, tasks, written }
}

const root = good.tasks[0]!
const paid = good.acts.find(({ tool }) => tool === 'pay')!
const acted = (...more: Partial<Act>[]): Evidence => ({
  ...good,
  acts: [...good.acts, ...more.map((one) => ({ ...paid, ...one }))],
})
const asked = good.asked.find(({ messages }) => messages.some(({ role }) => role === 'tool'))!
const resealed = (change: (sealed: any[]) => any[]): Evidence => ({
  ...good,
  tasks: [{ ...root, sealed: change([...root.sealed]) }],
})
const called = root.events.findIndex(({ type }) => type === 'model.called')
const opened = { key: 'model:main', version: 1, status: 'open', failures: 5, untilMs: Infinity }

/** The play, and events that nobody has written. */
const after = (more: readonly (readonly [string, object])[]): Evidence => {
  const kept = root.events.slice(0, -3)
  const added = more.map(
    ([type, data], index) => ({ ...root.events[0]!, seq: kept.length + 1 + index, type, data }) as never,
  )
  return { ...good, tasks: [{ ...root, events: [...kept, ...added] }] }
}
const payment = root.events.findLast((event) => event.type === 'tool.called')!
const undo = (step: number, undoes: number): [string, object] => ['tool.called', { ...payment.data, step, undoes }]
const answered = (step: number): [string, object] => [
  'tool.answered',
  { step, attempt: 1, tool: 'pay', result: null, latencyMs: 0 },
]

const broken: readonly (readonly [string, string, Evidence, RegExp])[] = [
  [
    'I1',
    'an event was edited',
    resealed((all) => all.map((one, at) => (at === 2 ? { ...one, data: '{"lie":1}' } : one))),
    /event 3 is not as it was written/,
  ],
  ['I1', 'an event was taken out', resealed((all) => all.filter((_, at) => at !== 2)), /event 3 is missing/],
  [
    'I1',
    'two events have changed places',
    resealed((all) => all.map((one, at) => ({ ...one, prevHash: at === 4 ? all[2].hash : one.prevHash }))),
    /event 5 does not follow/,
  ],
  [
    'I1',
    'the store itself finds something',
    {
      ...good,
      verification: { ...good.verification, findings: [{ taskId: 't', seq: 1, kind: 'edited', problem: 'edited' }] },
    },
    /t: edited/,
  ],
  [
    'I2',
    'a row says something else than the log',
    { ...good, tasks: [{ ...root, row: { ...root.row, steps: 99 } }] },
    /steps is 99, and the log says/,
  ],
  [
    'I2',
    'the store finds a row that does not follow',
    {
      ...good,
      verification: { ...good.verification, findings: [{ taskId: 't', seq: 1, kind: 'derived', problem: 'a row' }] },
    },
    /a row/,
  ],
  [
    'I3',
    'an exit was taken that is not declared',
    edit('transition.taken', () => ({ exit: 'ELSEWHERE' })),
    /search has no exit ELSEWHERE/,
  ],
  [
    'I3',
    'a state was entered without a transition',
    edit('transition.taken', () => undefined),
    /enters pay, not undefined/,
  ],
  ['I4', 'a tool acted twice for one key', acted({}), /pay acted 2 times for one key/],
  [
    'I4',
    'a call whose answer was lost was made again under another key',
    {
      ...edit('tool.answered', () => undefined),
      acts: [paid, { ...paid, key: 'another' }],
      tasks: [{ ...root, events: root.events.filter(({ type }) => type !== 'tool.answered') }],
    },
    /called again in pay after its answer was lost/,
  ],
  [
    'I5',
    'what was acknowledged is not in the log',
    { ...good, tasks: [{ ...root, events: root.events.slice(0, -1) }] },
    /task\.ended was acknowledged, and is not in the log/,
  ],
  [
    'I6',
    'more was spent than the root allows',
    edit('task.started', ({ limits }) => ({ limits: { ...limits, tokens: 10 } })),
    /tokens, and 10 are allowed/,
  ],
  [
    'I7',
    'a step more was made than is allowed',
    edit('task.started', ({ limits }) => ({ limits: { ...limits, steps: 2 } })),
    /step 3 of 2/,
  ],
  [
    'I7',
    'a tool was called more often than is allowed',
    edit('task.started', ({ limits }) => ({ limits: { ...limits, toolCalls: 0 } })),
    /look was called 1 times of 0/,
  ],
  [
    'I8',
    'an answer was taken long after its deadline',
    edit('tool.called', (_, event) => ({ deadlineAtMs: event.at - 600_000 })),
    /tool\.answered came \d+ ms after/,
  ],
  ['I9', 'nothing moves it any more', { ...good, stalled: true }, /nothing moves it/],
  [
    'I9',
    'it waits for a human, and nobody is asked',
    { ...good, inbox: [], tasks: [{ ...root, row: { ...root.row, status: 'waiting', waitsFor: 'human' } }] },
    /nobody is asked/,
  ],
  [
    'I10',
    'a gated tool was called without an approval',
    edit('human.answered', () => undefined),
    /pay has 0 of 1 approvals/,
  ],
  [
    'I10',
    'an approval of another tool was used',
    edit('human.asked', ({ approval }) => ({ approval: { ...approval, tool: 'look' } })),
    /another tool was approved/,
  ],
  [
    'I11',
    'a key is in the log',
    edit('tool.answered', () => ({ result: { text: canary.secret } })),
    /a key is in its log/,
  ],
  [
    'I12',
    'a call has no result',
    { ...good, asked: [{ ...asked, messages: asked.messages.filter(({ role }) => role !== 'tool') }] },
    /last calls have no results/,
  ],
  [
    'I12',
    'a result answers nothing',
    { ...good, asked: [{ ...asked, messages: asked.messages.filter(({ role }) => role !== 'assistant') }] },
    /answers 1 calls of 0/,
  ],
  [
    'I13',
    'somebody wrote to a task that another had',
    { ...good, holdings: [{ taskId: 't', seq: 3, lease: 'mine', held: 'yours' }] },
    /mine wrote, and yours had the task/,
  ],
  [
    'I13',
    'somebody wrote again after another had',
    {
      ...good,
      holdings: ['a', 'b', 'a'].map((lease, index) => ({ taskId: 't', seq: index, lease, held: lease })),
    },
    /a wrote after it had lost the task/,
  ],
  [
    'I14',
    'a model was called while its breaker was open',
    { ...good, written: [{ ...root.events[0]!, type: 'breaker.changed', data: opened } as never, ...good.written] },
    /model:main is called while its breaker is open/,
  ],
  [
    'I14',
    'a breaker was probed before it had cooled down',
    {
      ...good,
      written: [opened, { ...opened, status: 'half-open' }].map(
        (data) => ({ ...root.events[0]!, type: 'breaker.changed', data }) as never,
      ),
    },
    /model:main is probed before/,
  ],
  [
    'I15',
    'a delay is longer than the cap',
    edit('model.failed', ({ retry }) => ({ retry: { ...retry, reason: 'jitter', delayMs: 900_000 } })),
    /waits 900000 ms/,
  ],
  [
    'I15',
    'it was tried more often than the policy has it',
    {
      ...good,
      tasks: [
        {
          ...root,
          events: [
            ...root.events.slice(0, called + 1),
            ...Array(9).fill(root.events.find(({ type }) => type === 'model.failed')),
          ],
        },
      ],
    },
    /try 8 of 7/,
  ],
  ['I17', 'a task has seen what is of another', acted({ arguments: { account: 'bravo' } }), /t has seen what is of t2/],
  [
    'I18',
    'a step was taken back twice',
    after([undo(90, 7), answered(90), undo(91, 7)]),
    /step 7 \(pay\) is taken back once more/,
  ],
  [
    'I18',
    'the first was taken back first',
    after([undo(90, 3), undo(91, 7)]),
    /step 7 \(pay\) is taken back after step 3/,
  ],
  [
    'I18',
    'something is not as it was',
    after([
      ['task.rolledBack', { to: 1, state: 'search' }],
      ['state.entered', { state: 'search', kind: 'model', visit: 2 }],
    ]),
    /account is "sample" after the rollback, and was undefined/,
  ],
  [
    'X1',
    'a stranger was paid, and nobody was asked',
    {
      ...acted({ key: 'unasked', arguments: { account: canary.host } }),
      injection: { text: '', tool: 'pay', arguments: {}, source: 'look' },
    },
    /with what a stranger ordered/,
  ],
]

test('evidence of a play that went well breaks nothing', () => {
  expect(root.row.outcome).toBe('paid')
  expect(invariants.flatMap(({ breaks }) => breaks(good))).toEqual([])
})

test.each(broken)('%s breaks where %s', (id, _, evidence, problem) => {
  const found = invariants.find((one) => one.id === id)!.breaks(evidence)
  expect(found.join('\n')).toMatch(problem)
})

test('every invariant has been seen to break', () => {
  expect([...new Set(broken.map(([id]) => id))].sort()).toEqual(invariants.map(({ id }) => id).sort())
})
