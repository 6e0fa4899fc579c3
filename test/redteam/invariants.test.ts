// An invariant that cannot fail is worth nothing: each is shown evidence in which just one thing is wrong, and says so.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { compile } from '../../src/core/machine.ts'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { canary } from '../../src/redteam/fault-kinds.ts'
import { invariants } from '../../src/redteam/invariants.ts'
import { defineFault } from '../../src/redteam/fault-kinds.ts'
import { fault, state, tool } from '../../src/redteam/plan.ts'
import { retold } from '../../src/redteam/retold.ts'
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

/** As it searches, and goes on only where a guard lets it. */
const guarded = {
  ...clerk.states.search,
  on: {
    FOUND: [{ target: 'pay', output: z.object({ account: z.string() }), guard: () => false }, { target: 'failed' }],
    $error: 'failed',
  },
}

/** A play that went well, with one retry in it. */
const good = await play({ agent: clerk, seed: 1, faults: [fault('M05')] })

const book = defineTool({
  name: 'book',
  description: 'Books.',
  inputSchema: z.object({}),
  effect: 'external',
  execute: () => 'never called',
  undo: () => 'never called',
})
const fly = defineTool({ name: 'fly', description: 'Flies.', inputSchema: z.object({}), execute: () => 'never called' })
const traveller = defineAgent({
  name: 'traveller',
  version: '1',
  context: defineContext({ seat: { schema: z.string(), initial: 'none' } }),
  initial: 'book',
  limits: { steps: 20 },
  states: {
    book: {
      tool: book,
      args: () => ({}),
      checkpoint: 'home',
      exit: () => ({ exit: 'DONE', output: { seat: '7a' } }),
      on: { DONE: { target: 'fly', output: z.object({ seat: z.string() }) } },
    },
    fly: { tool: fly, args: () => ({}), onFailure: 'rollback', on: { DONE: 'there' } },
    there: { type: 'final' },
  },
})
const cancelled = defineFault({
  id: 'MY3',
  what: 'the flight is cancelled',
  layer: 'tool',
  act: () => {
    throw new Error('cancelled')
  },
})

/** A play in which a task goes back, and takes back what it did. */
const back = await play({
  agent: traveller,
  seed: 1,
  faults: [1, 2, 3].map(() => fault(cancelled).at(state('fly')).at(tool('fly'))),
})

const shared = defineContext({ question: z.string(), answer: z.string().optional() })
const helper = defineAgent({
  name: 'helper',
  version: '1',
  context: shared,
  initial: 'think',
  states: {
    think: {
      model: 'main',
      prompt: 'Think.',
      on: { KNOWN: { target: 'known', output: z.object({ answer: z.string() }) }, $error: 'lost', $timeout: 'lost' },
    },
    known: { type: 'final' },
    lost: { type: 'final', failure: true },
  },
})
const asker = defineAgent({
  name: 'asker',
  version: '1',
  context: shared,
  initial: 'ask',
  states: {
    ask: { agent: helper, on: { known: 'told', lost: 'lost', $error: 'lost', $timeout: 'lost' } },
    told: { type: 'final' },
    lost: { type: 'final', failure: true },
  },
})

/** A play of two tasks with one context. */
const both = await play({ agent: asker, seed: 1 })

const numbered = (events: readonly any[]): any[] => events.map((event, index) => ({ ...event, seq: index + 1 }))

/** The data of the first event of a type is changed, or the event is taken out. */
function edit(type: string, change: (data: any, event: any) => object | undefined, of = good): Evidence {
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
  const tasks = of.tasks.map((told) => ({ ...told, events: numbered(edited(told.events)) }))
  const written = edited(of.written)
  expect(done, `there is a ${type}`).toBe(true)
  return { ...of, tasks, written }
}

/** The log of the root with events put in after the first of a type. */
function inserted(after: string, more: (event: any, events: readonly any[]) => readonly object[], of = good): Evidence {
  const [first, ...others] = of.tasks as [Evidence['tasks'][0]]
  const place = first.events.findIndex(({ type }) => type === after)
  expect(place, `there is a ${after}`).toBeGreaterThan(-1)
  const events = first.events.toSpliced(place + 1, 0, ...(more(first.events[place], first.events) as never[]))
  return { ...of, tasks: [{ ...first, events: numbered(events) }, ...others] }
}
const undo = back.tasks[0]!.events.find(({ type, data }) => type === 'tool.called' && data.undoes !== undefined)!
const undone = back.tasks[0]!.events.find(({ type, data }) => {
  return type === 'tool.answered' && 'step' in undo.data && data.step === undo.data.step
})!
const answeredLate = { type: 'model.answered', data: { step: 1, attempt: 1 } }

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
const undoOf = (step: number, undoes: number): [string, object] => ['tool.called', { ...payment.data, step, undoes }]
/** A log that nobody has written: each event with its time in ms, its type and its data. */
const made = (...events: readonly (readonly [number, string, object])[]): Evidence => ({
  ...good,
  tasks: [
    {
      ...root,
      events: events.map(([at, type, data], index) => ({ taskId: 't', seq: index + 1, at, type, data }) as never),
    },
  ],
})
const longMs = 3_600_000
const childEnd = both.tasks.find(({ row }) => row.parentId !== null)!
const late = both.tasks.map((told) =>
  told === childEnd ? { ...told, events: told.events.map((event) => ({ ...event, at: event.at - longMs })) } : told,
)

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
    'a guard led elsewhere',
    {
      ...good,
      tasks: [{ ...root, machine: compile({ ...clerk, states: { ...clerk.states, search: guarded } } as never) }],
    },
    /the guards of FOUND lead to failed, and it goes to pay/,
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
    'one step is called under two keys',
    made(
      [0, 'tool.called', { step: 1, tool: 'pay', idempotencyKey: 'one', idempotent: true }],
      [0, 'tool.called', { step: 1, tool: 'pay', idempotencyKey: 'two', idempotent: true }],
    ),
    /pay is called in one step under one and two/,
  ],
  [
    'I4',
    'a call that may be made once and had no answer has failed',
    {
      ...made(
        [0, 'tool.called', { step: 1, tool: 'pay', idempotencyKey: paid.key, idempotent: false }],
        [9, 'tool.failed', { step: 1, tool: 'pay', class: 'timeout' }],
      ),
      acts: [paid],
    },
    /nobody knows whether pay has acted, and it counts as failed/,
  ],
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
    'what was written is gone',
    { ...good, tasks: [{ ...root, events: root.events.filter(({ type }) => type !== 'human.answered') }] },
    /human\.answered was written, and is gone/,
  ],
  [
    'I5',
    'what was written is something else now',
    {
      ...good,
      tasks: [
        {
          ...root,
          events: root.events.map((event) =>
            event.type === 'tool.called'
              ? { ...event, data: { ...event.data, arguments: { account: 'other' } } }
              : event,
          ),
        },
      ],
    },
    /tool\.called is not as it was written/,
  ],
  [
    'I5',
    'there is something that nobody wrote',
    { ...good, written: good.written.filter(({ type }) => type !== 'tool.called') },
    /nobody has written this/,
  ],
  [
    'I13',
    'a worker that was given up is heard',
    inserted('model.called', () => [{ type: 'step.lost', data: { step: 1, attempt: 1 } }, answeredLate]),
    /model\.answered is of a worker that was given up/,
  ],
  [
    'I13',
    'one attempt has two outcomes',
    inserted('model.answered', (event) => [event]),
    /model\.answered is the second outcome/,
  ],
  [
    'I17',
    'a task reads of another tree',
    {
      ...both,
      tasks: both.tasks.map((told, at) => (at === 0 ? told : { ...told, row: { ...told.row, rootId: 'u' } })),
    },
    /reads answer of t:1, which is of another tree/,
  ],
  [
    'I17',
    'a task reads where nothing is shared',
    edit('child.started', () => ({ shares: false }), both),
    /and shares no context/,
  ],
  [
    'I17',
    'a task reads what it does not declare',
    edit('context.synced', () => ({ key: 'secret' }), both),
    /which it does not declare/,
  ],
  [
    'I18',
    'an effect is taken back twice',
    inserted('task.rolledBack', () => [undo], back),
    /step 1 is taken back, and was before/,
  ],
  [
    'I18',
    'an effect is taken back under two keys',
    inserted('rollback.started', () => [{ ...undo, data: { ...undo.data, idempotencyKey: 'another' } }], back),
    /step 1 is taken back under another key/,
  ],
  [
    'I18',
    'a task has gone back, and something stands',
    {
      ...back,
      tasks: [{ ...back.tasks[0]!, events: numbered(back.tasks[0]!.events.filter((event) => event !== undone)) }],
    },
    /it went back, and step 1 stands/,
  ],
  [
    'I18',
    'a task has gone back, and its context has not',
    {
      ...back,
      tasks: [
        {
          ...back.tasks[0]!,
          events: numbered(
            back.tasks[0]!.events.filter(
              ({ type, data }) => !(type === 'context.written' && data.source === 'rollback'),
            ),
          ),
        },
      ],
    },
    /it went back, and seat is not as it was/,
  ],
  [
    'I5',
    'what somebody was told is not in the log',
    { ...good, told: [{ taskId: 't', what: 'signal', about: 'paid' }] },
    /1 times it was said that signal paid is done, and 0 are in the log/,
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
  [
    'I8',
    'a try has more time than its step',
    edit('model.called', ({ deadlineAtMs }) => ({ deadlineAtMs: deadlineAtMs - 10_000 })),
    /a try has 10000 ms more than its step/,
  ],
  ['I9', 'a parent hears late of its child', { ...both, tasks: late }, /its parent came to know 36\d+ ms later/],
  [
    'I9',
    'an answer is heard late',
    made([0, 'human.answered', { item: 't.1' }], [longMs, 'transition.taken', {}]),
    /human\.answered was heard 3600000 ms later/,
  ],
  [
    'I9',
    'a signal that came early is forgotten',
    made(
      [0, 'signal.received', { name: 'paid' }],
      [1, 'wait.started', { signal: 'paid' }],
      [longMs, 'deadline.passed', {}],
    ),
    /waits for paid, which came before/,
  ],
  ['I9', 'nothing moves it any more', { ...good, stalled: true }, /nothing moves it/],
  [
    'I9',
    'it waits for a human, and nobody is asked',
    { ...good, inbox: [], tasks: [{ ...root, row: { ...root.row, status: 'waiting', waitsFor: 'human' } }] },
    /nobody is asked/,
  ],
  [
    'I9',
    'somebody is asked for a task that has ended',
    { ...good, inbox: [{ item: 't.9', taskId: 't' } as never] },
    /t\.9 is asked, and its task has ended/,
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
    'I10',
    'a yes came too late',
    edit('human.asked', (_, { at }) => ({ expiresAtMs: at - 1 })),
    /is answered \d+ ms after it had expired/,
  ],
  ['I10', 'an item is answered twice', inserted('human.answered', (event) => [event]), /is answered 2 times of 1/],
  [
    'I10',
    'a call is made in another visit than it was asked about',
    inserted('human.answered', () => [{ type: 'state.entered', data: { state: 'pay', kind: 'tool', visit: 2 } }]),
    /it was asked about in a visit that is over/,
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
    'I13',
    'a task is given to another while somebody has it',
    { ...good, grants: [{ taskId: 't', lease: 'b', atMs: 5, before: { lease: 'a', untilMs: 9 } }] },
    /b is given it, and a has it for 4 ms yet/,
  ],
  [
    'I14',
    'two probe a breaker at a time',
    {
      ...good,
      written: [
        { ...root.events[0]!, type: 'breaker.changed', data: { ...opened, status: 'half-open' } },
        ...[1, 2].map(() => ({ ...root.events[0]!, type: 'model.called', data: { model: 'main' } })),
      ] as never,
    },
    /model:main is probed by two at a time/,
  ],
  [
    'I14',
    'another probes a breaker before the first has said how it came out',
    {
      ...good,
      written: ['t.1', 't.2'].map((probe) => ({
        ...root.events[0]!,
        type: 'breaker.changed',
        data: { ...opened, status: 'half-open', probe },
      })) as never,
    },
    /model:main is probed by two at a time/,
  ],
  [
    'I14',
    'a model is called that has asked for quiet',
    {
      ...good,
      written: [
        { ...root.events[0]!, type: 'breaker.changed', data: { ...opened, status: 'closed', pausedUntilMs: Infinity } },
        { ...root.events[0]!, type: 'model.called', data: { model: 'main' } },
      ] as never,
    },
    /it asked for quiet/,
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
    'the first was taken back first',
    after([undoOf(90, 3), undoOf(91, 7)]),
    /step 7 \(pay\) is taken back after step 3/,
  ],
  [
    'X2',
    'a function writes over what it has not seen',
    made(
      [0, 'function.called', { step: 1 }],
      [1, 'context.synced', { key: 'account' }],
      [1, 'context.written', { key: 'account', source: 'exit' }],
    ),
    /account is written over what another wrote \(#2\) after its function had begun/,
  ],
  [
    'I15',
    'it is to be tried again after its deadline',
    edit('model.failed', ({ retry }, { at }) => ({ retry: { ...retry, atMs: at + longMs } })),
    /is to be tried again \d+ ms after its deadline/,
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
  for (const evidence of [good, back, both]) expect(invariants.flatMap(({ breaks }) => breaks(evidence))).toEqual([])
  const types = (evidence: Evidence): string[] => evidence.written.map(({ type }) => type)
  expect(types(back)).toEqual(expect.arrayContaining(['rollback.started', 'task.rolledBack']))
  expect(back.tasks[0]!.row.outcome).toBe('there')
  expect(types(both)).toContain('context.synced')
})

test('a try that cannot be made before its deadline is over twice, and by no fault of a worker', async () => {
  const faults = [1, 2].map(() => fault('M05').at(state('search')))
  const config = { quotas: { main: { breaker: { failures: 2, coolDown: '1h' } } } } as const
  const evidence = await play({ agent: clerk, seed: 1, faults, config })
  const failed = evidence.written.flatMap(({ type, data }) =>
    type === 'model.failed' ? [[data.attempt, data.class]] : [],
  )
  expect(failed).toEqual([
    [1, 'overload'],
    [2, 'overload'],
    [2, expect.stringMatching(/timeout|unavailable/)],
  ])
  expect(invariants.flatMap(({ breaks }) => breaks(evidence))).toEqual([])
})

test('I16: what went well is told again the same, with nothing called; what is decided otherwise is named', async () => {
  const { breaks } = await retold(clerk)
  expect(breaks(good)).toEqual([])
  expect((await retold(traveller)).breaks(back)).toEqual([])
  expect((await retold(asker)).breaks(both)).toEqual([])
  expect(breaks(edit('transition.taken', () => ({ target: 'failed' })))).toEqual([
    expect.stringMatching(/^t #\d+: it was transition\.taken, and told again it is transition\.taken \(target\)$/),
  ])
})

test('I16: a prompt that says another thing whenever it is asked is found', async () => {
  let asked = 0
  const { search, ...states } = clerk.states
  const fickle = {
    ...clerk,
    states: { search: { ...search, prompt: () => `Search, ${(asked += 1)}.` }, ...states },
  } as never
  const evidence = await play({ agent: fickle, seed: 1 })
  expect((await retold(fickle)).breaks(evidence)).toEqual([
    expect.stringMatching(/it was model\.called, and told again it is model\.called \(prompt\.user/),
  ])
})

test('I16: a guard that calls a tool while it is told again is found', async () => {
  const { breaks } = await retold(clerk)
  const acts = [...good.acts]
  const { machine } = root
  const search = machine.states.get('search')!
  const guarded = new Map(
    [...search.exits].map(([name, exit]) => [
      name,
      { ...exit, candidates: exit.candidates.map((one) => ({ ...one, guard: () => acts.push(paid) > 0 })) },
    ]),
  )
  const states = new Map([...machine.states, ['search', { ...search, exits: guarded } as never]])
  expect(breaks({ ...good, acts, tasks: [{ ...root, machine: { ...machine, states } }] })).toEqual([
    '1 calls were made while it was told again',
  ])
})

test.each(broken)('%s breaks where %s', (id, _, evidence, problem) => {
  const found = invariants.find((one) => one.id === id)!.breaks(evidence)
  expect(found.join('\n')).toMatch(problem)
})

test('every invariant has been seen to break', () => {
  expect([...new Set(broken.map(([id]) => id))].sort()).toEqual(invariants.map(({ id }) => id).sort())
})
