// Approvals by values: what a human is asked about a call, what an answer is bound to, and what does not count. I10, and
// SCENARIOS A4, A5, A8, A15 and A17.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import type { Approval } from '../../src/core/approval.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Json } from '../../src/core/json.ts'
import type { Rule } from '../../src/core/policy.ts'
import { dueAtMs, hasDecided } from '../../src/core/task.ts'
import { defineTool } from '../../src/core/tool.ts'
import { sha256 } from '../../src/store/log.ts'
import { call, Play } from '../play.ts'

const look = defineTool({
  name: 'look',
  description: 'd',
  inputSchema: z.object({ at: z.number() }),
  execute: () => null,
})
const payTool = (approval: 'always' | Approval = 'always') =>
  defineTool({
    name: 'pay',
    description: 'd',
    inputSchema: z.object({ to: z.string(), amount: z.number() }),
    effect: 'external',
    approval,
    execute: () => null,
  })

function thinks(approval: 'always' | Approval = 'always', policy: readonly Rule[] = []): Agent<any, any> {
  return defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({ goal: { schema: z.string(), initial: 'g' } }),
    policy,
    initial: 'think',
    on: { $refused: 'refused', $timeout: 'late' },
    states: {
      think: {
        model: 'm',
        prompt: 'p',
        tools: [look, payTool(approval)],
        refusals: 3,
        visitTimeout: '2d',
        on: { OK: 'done' },
      },
      done: { type: 'final' },
      refused: { type: 'final', failure: true },
      late: { type: 'final', failure: true },
    },
  })
}

function acts(approval: 'always' | Approval = 'always'): Agent<any, any> {
  return defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({ goal: { schema: z.string(), initial: 'g' } }),
    initial: 'act',
    on: { $refused: 'refused', $timeout: 'late' },
    states: {
      act: { tool: payTool(approval), args: () => ({ to: 'bob', amount: 5 }), on: { DONE: 'done' } },
      done: { type: 'final' },
      refused: { type: 'final', failure: true },
      late: { type: 'final', failure: true },
    },
  })
}

const bob = { to: 'bob', amount: 5 }
const codeOf = (act: () => unknown): string => {
  try {
    act()
    return 'none'
  } catch (thrown) {
    return (thrown as { code: string }).code
  }
}

describe('a call that a human must agree to', () => {
  test('is asked about with its exact arguments, and is not permitted', () => {
    const play = new Play(thinks())
    play.model([call('pay', bob)])
    expect(play.all('tool.called')).toEqual([])
    expect(play.task.status).toBe('waiting')
    const [asked] = play.all('human.asked')
    expect(asked).toMatchObject({
      kind: 'approval',
      options: ['approve', 'edit', 'reject'],
      show: { tool: 'pay', arguments: bob, reasons: [{ rule: 'approval' }] },
    })
  })

  test('is made once when it is approved, with the item in its permission, and nothing before it again', () => {
    const play = new Play(thinks())
    play.model([call('pay', bob)])
    const item = play.asked
    play.answer({ decision: 'approve' })
    expect(play.all('tool.called')).toMatchObject([{ tool: 'pay', arguments: bob, rule: 'approval', approval: item }])
    play.end({ kind: 'tool', result: 'paid' })
    play.model([call('OK')])
    expect(play.exits).toEqual(['think OK done'])
    expect(play.all('model.called').length).toBe(2)
  })

  test('A15: is made once also when its worker went away between the answer and the act', () => {
    const play = new Play(thinks())
    play.model([call('pay', bob)])
    play.answer({ decision: 'approve' })
    play.crash()
    // It may have been paid: nobody pays again without being asked.
    expect(play.all('tool.called').length).toBe(1)
    expect(play.all('tool.doubted').length).toBe(1)
    expect(play.all('human.asked').filter(({ kind }) => kind === 'approval').length).toBe(1)
  })

  test('is told to the model as a structured refusal when it is rejected, and the task goes on', () => {
    const play = new Play(thinks())
    play.model([call('pay', bob)])
    play.answer({ decision: 'reject', reason: 'not this month' })
    expect(play.task.visit!.turns[0]!.results.get(0)).toEqual({
      failed: true,
      value: {
        refused: true,
        rule: 'approval',
        correction: 'Refused: ana said no: not this month. Do not ask for the same again.',
      },
    })
    play.model([call('OK')])
    expect(play.exits).toEqual(['think OK done'])
  })

  test('leaves a tool state by $refused when it is rejected', () => {
    const play = new Play(acts())
    play.answer({ decision: 'reject' })
    expect(play.exits).toEqual(['act $refused refused'])
  })

  test('and is asked for again and again ends in $refused', () => {
    const play = new Play(thinks())
    for (let times = 0; times < 3; times += 1) {
      play.model([call('pay', bob)])
      play.answer({ decision: 'reject' })
    }
    expect(play.exits).toEqual(['think $refused refused'])
  })

  test('may be edited: the other arguments are validated, judged and called, and it is asked again when they do not fit', () => {
    const play = new Play(
      thinks('always', [
        {
          name: 'not eve',
          judge: ({ arguments: input }) => ((input as { to?: string }).to === 'eve' ? 'deny' : undefined),
        },
      ]),
    )
    play.model([call('pay', bob)])
    const first = play.asked
    play.answer({ decision: 'edit', data: { to: 'bob' } })
    expect(play.all('step.refused')).toMatchObject([{ reason: 'invalid-arguments' }])
    expect(play.all('item.closed')).toMatchObject([{ why: 'unfit' }])
    expect(play.asked).not.toBe(first)
    play.answer({ decision: 'edit', data: { to: 'bob', amount: 3 } })
    expect(play.all('tool.called')).toMatchObject([{ arguments: { to: 'bob', amount: 3 } }])
    expect(play.all('human.answered').at(-1)).toMatchObject({ decision: 'edit', data: { to: 'bob', amount: 3 } })
    play.end({ kind: 'tool', result: null })
    play.model([call('pay', bob)])
    play.answer({ decision: 'edit', data: { to: 'eve', amount: 3 } })
    expect(play.all('step.refused').at(-1)).toMatchObject({ reason: 'policy-denied', rule: 'not eve' })
    expect(play.all('tool.called').length).toBe(1)
  })

  test('is refused when nobody answers in time; a tool state leaves by $timeout', () => {
    const play = new Play(thinks({ expires: '1h' }))
    play.model([call('pay', bob)])
    play.nowMs += 3_600_000
    play.go()
    expect(play.all('item.closed')).toMatchObject([{ why: 'expired' }])
    expect(play.all('step.refused')).toMatchObject([{ reason: 'approval-expired' }])
    const state = new Play(acts({ expires: '1h' }))
    state.nowMs += 3_600_000
    state.go()
    expect(state.exits).toEqual(['act $timeout late'])
  })

  test('expires also while the task waits for its budget, and is asked about anew when that is raised', () => {
    const play = new Play(acts({ expires: '1h' }), {}, {}, { duration: '10m' })
    play.nowMs += 600_000
    play.go()
    expect(play.task.item).toMatchObject({ kind: 'budget', limit: 'duration' })
    const [approval] = [...play.task.approvals.values()]
    expect(dueAtMs(play.task)).toBe(approval!.expiresAtMs)
    play.nowMs = approval!.expiresAtMs!
    play.go()
    expect(play.all('item.closed')).toMatchObject([{ item: approval!.item, why: 'expired' }])
    expect(dueAtMs(play.task)).toBeNull()
    play.answer({ decision: 'raise' })
    expect(play.task.item).toBeUndefined()
    expect([...play.task.approvals.values()]).toMatchObject([{ arguments: bob, expiresAtMs: play.nowMs + 3_600_000 }])
  })

  test('waits one day where nobody says otherwise, and no longer than its visit', () => {
    const play = new Play(thinks())
    play.model([call('pay', bob)])
    const [approval] = [...play.task.approvals.values()]
    expect(approval!.expiresAtMs! - play.nowMs).toBe(86_400_000)
    const slow = new Play(thinks({ expires: '30d' }))
    slow.model([call('pay', bob)])
    slow.nowMs += 2 * 86_400_000
    slow.go()
    expect(slow.exits).toEqual(['think $timeout late'])
    expect(slow.all('item.closed')).toMatchObject([{ why: 'withdrawn' }])
  })

  test('is asked anew when the policy is another when it is answered: an approval of before approves nothing', () => {
    let version = 'one'
    const policy = {
      rules: [],
      get version() {
        return version
      },
    }
    const play = new Play(acts(), {}, { policy })
    const first = play.asked
    version = 'two'
    play.answer({ decision: 'approve' })
    expect(play.all('tool.called')).toEqual([])
    expect(play.all('item.closed')).toMatchObject([{ item: first, why: 'outdated' }])
    play.answer({ decision: 'approve' })
    expect(play.exits).toEqual([])
    expect(play.all('tool.called').length).toBe(1)
  })
})

describe('a quorum', () => {
  const two = { by: ['ana', 'ben', 'cleo'], quorum: 2 }

  test('needs as many named people; one no is enough to refuse', () => {
    const play = new Play(thinks(two))
    play.model([call('pay', bob)])
    play.answer({ decision: 'approve' })
    expect(play.all('tool.called')).toEqual([])
    expect(play.all('human.answered')).toMatchObject([{ by: 'ana', more: 1 }])
    play.answer({ decision: 'approve', by: 'ben' })
    expect(play.all('tool.called').length).toBe(1)
    const other = new Play(thinks(two))
    other.model([call('pay', bob)])
    other.answer({ decision: 'approve' })
    other.answer({ decision: 'reject', by: 'cleo' })
    expect(other.all('tool.called')).toEqual([])
    expect(other.all('step.refused')).toMatchObject([{ reason: 'approval-rejected' }])
  })

  test('does not count one person twice, nor anyone who is not named', () => {
    const play = new Play(thinks(two))
    play.model([call('pay', bob)])
    play.answer({ decision: 'approve' })
    expect(codeOf(() => play.answer({ decision: 'approve' }))).toBe('ITEM_CLOSED')
    expect(codeOf(() => play.answer({ decision: 'approve', by: 'mallory' }))).toBe('ITEM_CLOSED')
    expect(play.all('answer.refused').map(({ by, problem }) => [by, problem])).toEqual([
      ['ana', 'agreed-already'],
      ['mallory', 'not-entitled'],
    ])
    expect(play.all('tool.called')).toEqual([])
  })
})

test.each<[string, Json | undefined]>([
  ['nothing', undefined],
  ['a text', 'bob'],
  ['null', null],
  ['a list', [{ to: 'bob', amount: 3 }]],
])('to edit with %s is refused at once, nothing is written, and the item stays open', (_, data) => {
  const play = new Play(thinks())
  play.model([call('pay', bob)])
  const [item, seq] = [play.asked, play.task.seq]
  const edit = data === undefined ? {} : { data }
  expect(codeOf(() => play.answer({ decision: 'edit', ...edit }))).toBe('INPUT_INVALID')
  expect([play.task.seq, play.asked]).toEqual([seq, item])
  play.answer({ decision: 'edit', data: { to: 'bob', amount: 3 } })
  expect(play.all('tool.called')).toMatchObject([{ arguments: { to: 'bob', amount: 3 } }])
})

describe('an escalation ladder', () => {
  test('passes an approval on to the next while nobody answers, each once, and anyone entitled may still answer', () => {
    const play = new Play(
      acts({
        assignee: 'ana',
        escalate: [
          { after: '10m', to: 'ben' },
          { after: '1h', to: 'cto' },
        ],
        expires: '2h',
      }),
    )
    expect(play.all('human.asked')).toMatchObject([{ assignee: 'ana' }])
    for (let minutes = 0; minutes < 90; minutes += 5) {
      play.nowMs += 300_000
      play.go()
    }
    expect(play.all('human.escalated').map(({ to }) => to)).toEqual(['ben', 'cto'])
    play.answer({ decision: 'approve', by: 'cto' })
    expect(play.all('tool.called').length).toBe(1)
  })
})

test('A8: two calls of one answer are asked about apart, and each answer reaches its own, in whatever order', () => {
  const play = new Play(thinks())
  play.model([call('pay', bob), call('look', { at: 1 }), call('pay', { to: 'cleo', amount: 7 })])
  const [first, second] = [...play.task.approvals.keys()]
  // What nobody asks about goes on meanwhile.
  expect(play.all('tool.called').map(({ tool }) => tool)).toEqual(['look'])
  play.answer({ decision: 'approve' }, second)
  expect(play.all('tool.called').at(-1)).toMatchObject({ arguments: { to: 'cleo', amount: 7 }, approval: second })
  const [looking, paying] = [...play.task.open.values()]
  play.end({ kind: 'tool', result: 'seen' }, looking)
  play.end({ kind: 'tool', result: 'paid cleo' }, paying)
  play.answer({ decision: 'reject' }, first)
  const { results } = play.task.visit!.turns[0]!
  expect([results.get(0)!.failed, results.get(1)!.value, results.get(2)!.value]).toEqual([true, 'seen', 'paid cleo'])
})

test('A5, M16: one call with an effect twice in an answer is asked about, and made, once', () => {
  const play = new Play(thinks())
  play.model([call('pay', bob), call('pay', { amount: 5, to: 'bob' })])
  expect(play.all('human.asked').length).toBe(1)
  expect(play.all('step.refused')).toMatchObject([{ reason: 'duplicate-call', index: 1 }])
  play.answer({ decision: 'approve' })
  play.end({ kind: 'tool', result: 'paid' })
  expect(play.all('tool.called').length).toBe(1)
})

describe('A17, H01 to H07: an answer that does not count is a fact of its own, and changes nothing', () => {
  test.each<[string, (play: Play, item: string) => void, string, string]>([
    [
      'a second of the same',
      (play, item) => (play.answer({ decision: 'approve' }, item), play.answer({ decision: 'approve' }, item)),
      'closed',
      'ITEM_CLOSED',
    ],
    [
      'a second, by somebody else who disagrees',
      (play, item) => (
        play.answer({ decision: 'approve' }, item),
        play.answer({ decision: 'reject', by: 'ben' }, item)
      ),
      'closed',
      'ITEM_CLOSED',
    ],
    [
      'one after its time',
      (play, item) => ((play.nowMs += 86_400_000), play.answer({ decision: 'approve' }, item)),
      'expired',
      'ITEM_CLOSED',
    ],
    [
      'one after the state was left',
      (play, item) => ((play.nowMs += 2 * 86_400_000), play.go(), play.answer({ decision: 'approve' }, item)),
      'ended',
      'ITEM_CLOSED',
    ],
    [
      'one after the task was cancelled',
      (play, item) => (play.cancel(), play.answer({ decision: 'approve' }, item)),
      'ended',
      'ITEM_CLOSED',
    ],
    [
      'one for other arguments',
      (play, item) => play.answer({ decision: 'approve', hash: 'f'.repeat(64) }, item),
      'other-arguments',
      'HASH_MISMATCH',
    ],
    [
      'one for an item that was never asked',
      (play) => play.answer({ decision: 'approve' }, 't.9999'),
      'unknown-item',
      'ITEM_UNKNOWN',
    ],
    [
      'one that is no decision of the item',
      (play, item) => play.answer({ decision: 'whatever' }, item),
      'unknown-decision',
      'DECISION_UNKNOWN',
    ],
  ])('%s', (_, act, problem, code) => {
    const play = new Play(thinks())
    play.model([call('pay', bob)])
    const calls = (): number => play.all('tool.called').length
    const before = play.asked
    expect(codeOf(() => act(play, before))).toBe(code)
    expect(play.all('answer.refused')).toMatchObject([{ problem }])
    expect(calls()).toBe(problem === 'closed' ? 1 : 0)
  })
})

test('A4: over 1,000 seeds, whatever arrives while a tool runs, in whatever order and however often: it starts once', () => {
  const arrivals = fc.array(fc.constantFrom('signal', 'same signal', 'look again', 'late', 'answer'), { maxLength: 12 })
  fc.assert(
    fc.property(arrivals, fc.nat(12), (arriving, doneAt) => {
      const play = new Play(thinks({ when: 'asked' }))
      play.model([call('pay', bob)])
      const [paying] = [...play.task.open.values()]
      let keys = 0
      for (const [index, arrives] of arriving.entries()) {
        if (index === doneAt) play.end({ kind: 'tool', result: 'paid' }, paying)
        if (arrives === 'signal') play.signal({ name: 'hurry', key: `k${(keys += 1)}` })
        else if (arrives === 'same signal') play.signal({ name: 'hurry', key: 'same' })
        else if (arrives === 'look again') play.go()
        else if (arrives === 'late') play.late({ kind: 'tool', result: 'paid' }, { step: paying!.step, attempt: 7 })
        // What was settled once is settled: the same outcome again is nobody's.
        else if (index > doneAt) play.end({ kind: 'tool', result: 'paid' }, paying)
      }
      expect(play.all('tool.called').length).toBe(1)
      expect(play.all('signal.received').length).toBe(keys + (arriving.includes('same signal') ? 1 : 0))
    }),
    { numRuns: 1_000 },
  )
})

test('a soft line that is crossed while a call waits is asked about first, and the approval is not lost by it', () => {
  const play = new Play(thinks(), {}, {}, { tokens: 100_000, soft: 0.0001 })
  play.model([call('pay', bob)])
  // The budget's question comes before the call is judged; raised, the call is asked about.
  expect(play.all('human.asked').map(({ kind }) => kind)).toEqual(['budget'])
  play.answer({ decision: 'raise' })
  expect(play.all('human.asked').map(({ kind }) => kind)).toEqual(['budget', 'approval'])
  play.answer({ decision: 'approve' })
  expect(play.all('tool.called').length).toBe(1)
})

describe('a call that was approved and has to wait', () => {
  const busy = { ...payTool(), concurrency: 1 }
  const acting = defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({ goal: { schema: z.string(), initial: 'g' } }),
    initial: 'act',
    on: { $refused: 'refused', $timeout: 'refused', $error: 'refused' },
    states: {
      act: { tool: busy, args: () => ({ to: 'bob', amount: 5 }), on: { DONE: 'done' } },
      done: { type: 'final' },
      refused: { type: 'final', failure: true },
    },
  })
  const waiting = (): { play: Play; rules: Rule[]; free: () => void } => {
    const rules: Rule[] = []
    let full = true
    const policy = {
      rules,
      get version() {
        return String(rules.length)
      },
    }
    const fullUntilMs = (): number | undefined => (full ? 9_000_000 : undefined)
    const play = new Play(acting, {}, { policy, fullUntilMs })
    play.answer({ decision: 'approve' })
    expect(play.all('step.queued').length).toBe(1)
    return { play, rules, free: () => void (full = false) }
  }

  test('is made when its turn comes, under the approval that it has', () => {
    const { play, free } = waiting()
    free()
    play.go()
    expect(play.all('tool.called')).toMatchObject([{ rule: 'approval', approval: 't.4' }])
  })

  test.each<[string, Rule]>([
    ['denies it by now', { name: 'no more', judge: () => 'deny' }],
    ['is another by now', { name: 'new', judge: () => undefined }],
  ])('is not made when the policy %s', (_, rule) => {
    const { play, rules, free } = waiting()
    rules.push(rule)
    free()
    play.go()
    expect(play.all('tool.called')).toEqual([])
    expect(play.all('step.refused')).toMatchObject([{ reason: 'policy-denied' }])
    expect(play.task.outcome).toBe('refused')
  })
})

test('a call that was approved when no step is left waits for what is under way, without a move, and then for more', () => {
  const play = new Play(thinks(), {}, {}, { steps: 2 })
  play.model([call('pay', bob), call('look', { at: 1 })])
  const [looking] = [...play.task.open.values()]
  play.answer({ decision: 'approve' }, play.asked)
  expect(play.all('tool.called').map(({ tool }) => tool)).toEqual(['look'])
  expect(hasDecided(play.task)).toBe(false)
  expect(play.go()).toEqual([])
  play.end({ kind: 'tool', result: 1 }, looking)
  expect(play.all('human.asked').at(-1)).toMatchObject({ kind: 'budget' })
  play.answer({ decision: 'raise' })
  expect(play.all('tool.called').map(({ tool }) => tool)).toEqual(['look', 'pay'])
})

describe('an approval of a visit that is over', () => {
  const { states, ...rest } = thinks()
  const escalates: Agent<any, any> = defineAgent({
    ...rest,
    on: {},
    states: { think: { ...states['think'], visitTimeout: '1h' }, done: states['done'] },
  } as never)

  test('is withdrawn before a human is asked what now, and nothing of the next visit is taken for what it was about', () => {
    const play = new Play(escalates)
    play.model([call('pay', bob)])
    const item = play.asked
    play.nowMs += 3_600_000
    play.go()
    expect(play.task.item).toMatchObject({ kind: 'escalation', exit: '$timeout' })
    expect(play.all('item.closed')).toEqual([{ item, why: 'withdrawn' }])
    expect(codeOf(() => play.answer({ decision: 'approve' }, item))).toBe('ITEM_CLOSED')
    play.answer({ decision: 'retry' })
    play.model([call('look', { at: 1 })])
    expect(play.all('tool.called').map(({ tool }) => tool)).toEqual(['look'])
  })
})

describe('a doubt about a call that people had agreed to', () => {
  const twoOf = { by: ['ana', 'ben'], quorum: 2 }
  const doubted = (): { play: Play; rules: Rule[] } => {
    const rules: Rule[] = []
    const policy = {
      rules,
      get version() {
        return String(rules.length)
      },
    }
    const play = new Play(thinks(twoOf), {}, { policy })
    play.model([call('pay', bob)])
    const item = play.asked
    play.answer({ decision: 'approve', by: 'ana' }, item)
    play.answer({ decision: 'approve', by: 'ben' }, item)
    play.crash()
    expect(play.task.item).toMatchObject({ kind: 'doubt' })
    return { play, rules }
  }

  test('is for the same people', () => {
    const { play } = doubted()
    expect(codeOf(() => play.answer({ decision: 'retry', by: 'mallory' }))).toBe('ITEM_CLOSED')
    expect(play.all('answer.refused')).toMatchObject([{ problem: 'not-entitled' }])
    play.answer({ decision: 'retry', by: 'ben' })
    expect(play.open).toMatchObject({ attempt: 2, tool: 'pay' })
  })

  test.each<[string, Rule]>([
    ['denies it', { name: 'no more', judge: ({ kind }) => (kind === 'tool' ? 'deny' : undefined) }],
    ['is another, under which nobody has agreed', { name: 'new', judge: () => undefined }],
  ])('is not called again when the policy %s by now', (_, rule) => {
    const { play, rules } = doubted()
    rules.push(rule)
    play.answer({ decision: 'retry', by: 'ben' })
    expect(play.all('tool.called').length).toBe(1)
    expect(play.all('step.refused')).toMatchObject([{ reason: 'policy-denied', asked: 'pay' }])
    expect(play.task.doubts.size).toBe(0)
    expect(play.open).toMatchObject({ kind: 'model', turn: 2 })
  })
})

describe('arguments that were given instead', () => {
  const cents = defineTool({
    name: 'pay',
    description: 'd',
    inputSchema: z.object({
      to: z.string(),
      amount: z.number().transform((euros) => euros * 100),
      cc: z.string().default('all'),
    }),
    effect: 'external',
    approval: 'always',
    execute: () => null,
  })

  test('are asked about as the tool would be given them, where its schema makes something else of them', () => {
    const play = new Play(
      defineAgent({
        ...thinks(),
        states: { ...thinks().states, think: { ...thinks().states['think'], tools: [cents] } },
      } as never),
    )
    play.model([call('pay', bob)])
    play.answer({ decision: 'edit', data: { to: 'bill', amount: 500 } })
    expect(play.all('tool.called')).toEqual([])
    expect(play.all('item.closed')).toMatchObject([{ why: 'unseen' }])
    expect(play.all('human.asked').at(-1)!.show).toMatchObject({ arguments: { to: 'bill', amount: 50_000, cc: 'all' } })
    play.answer({ decision: 'approve' })
    expect(play.all('tool.called')).toMatchObject([{ arguments: { to: 'bill', amount: 50_000, cc: 'all' } }])
  })

  test('are asked about under the policy that holds by now', () => {
    const rules: Rule[] = []
    const play = new Play(
      thinks(),
      {},
      {
        policy: {
          rules,
          get version() {
            return String(rules.length)
          },
        },
      },
    )
    play.model([call('pay', bob)])
    rules.push({ name: 'large', judge: () => 'ask' })
    play.answer({ decision: 'edit', data: { to: 'bob', amount: 51 } })
    expect(play.all('tool.called')).toEqual([])
    expect(play.all('item.closed')).toMatchObject([{ why: 'outdated' }])
    expect(play.all('human.asked').at(-1)!.show).toMatchObject({ arguments: { to: 'bob', amount: 51 } })
  })
})

test('an approval that is decided and waits for what is under way beside it is not looked at when it would have expired', () => {
  const slow = defineTool({
    name: 'slow',
    description: 'd',
    inputSchema: z.object({}),
    timeout: '20m',
    rate: { calls: 1, per: '10m' },
    execute: () => null,
  })
  const play = new Play(
    defineAgent({
      ...thinks(),
      states: { ...thinks().states, think: { ...thinks().states['think'], tools: [slow, payTool({ expires: '1m' })] } },
    } as never),
    {},
    { fullUntilMs: (step: number) => (step === 2 ? 1_600_000 : undefined) },
    { steps: 2 },
  )
  play.model([call('pay', bob), call('slow')])
  play.answer({ decision: 'approve' }, play.asked)
  expect(play.task.status).toBe('waiting')
  play.nowMs += 120_000
  play.go()
  expect(play.task.approvals.size).toBe(1)
  expect(dueAtMs(play.task)).toBe(1_600_000)
})

describe('arguments that are canonically equal', () => {
  const context = defineContext({ goal: { schema: z.string(), initial: 'g' } })
  const loose = defineTool({
    name: 'pay',
    description: 'd',
    inputSchema: z.object({ to: z.string(), amount: z.union([z.number(), z.string()]) }).loose(),
    effect: 'external',
    approval: 'always',
    execute: () => null,
  })
  const hashOf = (text: string): string => {
    const agent = defineAgent({
      name: 'a',
      version: '1',
      context,
      initial: 'think',
      on: { $error: 'done' },
      states: { think: { model: 'm', prompt: 'p', tools: [loose], on: { OK: 'done' } }, done: { type: 'final' } },
    })
    const play = new Play(agent, {}, { hash: sha256 })
    play.model([call('pay', JSON.parse(text))])
    return play.all('human.asked')[0]!.approval!.hash
  }
  const asked = hashOf('{"to":"bob","amount":5}')

  test.each([
    ['in another order', '{"amount":5,"to":"bob"}'],
    ['with other white space', '{ "to" : "bob",\n\t"amount" : 5 }'],
    ['with escapes of the same letters', '{"to":"\\u0062ob","amount":5}'],
    ['with the same number spelled as another literal', '{"to":"bob","amount":5.0}'],
    ['with the same number in exponents', '{"to":"bob","amount":0.5e1}'],
  ])('pass the same approval: %s', (_, text) => {
    expect(hashOf(text)).toBe(asked)
  })

  test.each([
    ['a look-alike letter', '{"to":"b\u043eb","amount":5}'],
    ['the letter as a composition', '{"to":"bo\u0308b","amount":5}'],
    ['a space more', '{"to":"bob ","amount":5}'],
    ['another capital', '{"to":"Bob","amount":5}'],
    ['a number as a text', '{"to":"bob","amount":"5"}'],
    ['a number with a fraction', '{"to":"bob","amount":5.0000001}'],
    ['a field more', '{"to":"bob","amount":5,"note":"x"}'],
    ['a field of nothing', '{"to":"bob","amount":5,"note":null}'],
    ['a field of the prototype', '{"to":"bob","amount":5,"constructor":{"to":"eve"}}'],
    ['a zero-width letter', '{"to":"bo\u200bb","amount":5}'],
  ])('and any other difference is a new question: %s', (_, text) => {
    expect(hashOf(text)).not.toBe(asked)
  })
})
