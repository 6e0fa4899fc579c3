// Policy by values: which rule answers, that it is named, and that what cannot be judged is not done.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Rule } from '../../src/core/policy.ts'
import { rules } from '../../src/core/rules.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import { call, Play } from '../play.ts'

const pay = (more: Partial<Tool> = {}): Tool<any> =>
  defineTool({
    name: 'pay',
    description: 'd',
    inputSchema: z.object({ to: z.string(), amount: z.number().optional(), note: z.string().optional() }),
    effect: 'external',
    execute: () => null,
    ...more,
  })

function agentOf(policy: readonly Rule[], tool: Tool<any> = pay(), more: object = {}): Agent<any, any> {
  return defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({
      payees: { schema: z.array(z.string()), initial: ['bob', 'cleo'] },
      heard: { schema: z.string().optional(), trust: 'untrusted' },
    }),
    policy,
    initial: 'think',
    on: { $refused: 'refused', $timeout: 'refused' },
    states: {
      think: { model: ['m', 'n'], prompt: 'p', tools: [tool], refusals: 3, reads: ['payees'], on: { OK: 'done' } },
      done: { type: 'final' },
      refused: { type: 'final', failure: true },
    },
    ...more,
  })
}

/** What becomes of one call: permitted, asked about, or refused; by which rule. */
function fate(agent: Agent<any, any>, input: unknown, nowMs = 1_000_000, by = 'test'): [string, string | undefined] {
  const play = new Play(agent)
  play.task.by = by
  play.nowMs = nowMs
  play.task.startedAtMs = nowMs
  // Its first turn was permitted in another time: the call is judged in this one.
  for (const step of play.task.open.values()) Object.assign(step, { deadlineAtMs: nowMs + 60_000 })
  play.model([call('pay', input)])
  const [asked] = play.all('human.asked')
  const [called] = play.all('tool.called')
  const [refused] = play.all('step.refused')
  if (called) return ['allow', called.rule]
  if (asked) return ['ask', (asked.show as { reasons: { rule: string }[] }).reasons[0]!.rule]
  return ['deny', refused?.rule]
}

describe('rules', () => {
  const say = (name: string, verdict: 'allow' | 'ask' | 'deny' | undefined): Rule => ({ name, judge: () => verdict })

  test.each<[string, Rule[], [string, string | undefined]]>([
    ['nobody has an opinion', [say('a', undefined)], ['allow', undefined]],
    ['one allows', [say('a', 'allow')], ['allow', 'a']],
    ['one allows and one asks', [say('a', 'allow'), say('b', 'ask')], ['ask', 'b']],
    ['one asks and one denies', [say('a', 'ask'), say('b', 'deny')], ['deny', 'b']],
    ['two deny', [say('a', 'deny'), say('b', 'deny')], ['deny', 'a']],
  ])('when %s: the strictest holds, and names its rule', (_, policy, expected) => {
    // A rule that denies everything would also keep the model from being asked.
    const ofTools = policy.map(({ name, judge }) => ({
      name,
      judge: (step: Parameters<typeof judge>[0]) => (step.kind === 'tool' ? judge(step) : undefined),
    }))
    expect(fate(agentOf(ofTools), { to: 'bob' })).toEqual(expected)
  })

  test.each<[string, Rule['judge']]>([
    [
      'throws',
      ({ kind }) => {
        if (kind === 'tool') throw new Error('no idea')
        return undefined
      },
    ],
    ['answers with something else', ({ kind }) => (kind === 'tool' ? ('perhaps' as never) : undefined)],
    ['answers with a promise', ({ kind }) => (kind === 'tool' ? (Promise.resolve('allow') as never) : undefined)],
  ])('one that %s denies: fail closed', (_, judge) => {
    expect(fate(agentOf([{ name: 'broken', judge }]), { to: 'bob' })).toEqual(['deny', 'broken'])
  })

  test('a denial is told to the model as a structured refusal, the task goes on, and persistence ends in $refused', () => {
    const play = new Play(agentOf([rules.effects({ external: 'deny' })]))
    play.model([call('pay', { to: 'bob' })])
    expect(play.task.visit!.turns[0]!.results.get(0)!.value).toMatchObject({
      refused: true,
      rule: 'effects {"external":"deny"}',
    })
    for (let times = 0; times < 2; times += 1) play.model([call('pay', { to: 'bob' })])
    expect(play.exits).toEqual(['think $refused refused'])
    expect(play.all('tool.called')).toEqual([])
  })

  test('may keep data from a model: the next of the chain is asked, and with none left the state is left by $refused', () => {
    const keep = (models: string[]): Rule => rules.labels({ privacy: 'private' }, { models }, 'deny')
    const agent = (models: string[]): Agent<any, any> =>
      agentOf([keep(models)], pay(), {
        context: defineContext({ payees: { schema: z.string(), initial: 'x', privacy: 'private' } }),
      })
    const play = new Play(agent(['m']))
    expect(play.all('step.refused')).toMatchObject([{ reason: 'policy-denied', asked: 'm' }])
    expect(play.all('model.called')).toMatchObject([{ model: 'n' }])
    expect(new Play(agent(['m', 'n'])).exits).toEqual(['think $refused refused'])
    expect(new Play(agent(['other'])).all('model.called')).toMatchObject([{ model: 'm' }])
  })
})

describe('rules that come with the house', () => {
  const at = (iso: string): number => Date.parse(iso)
  const office = rules.hours(
    { from: '08:00', to: '18:00', zone: 'Europe/Berlin', days: ['mon', 'tue'], tools: ['pay'] },
    'deny',
  )

  test.each<[Rule, unknown, string]>([
    [rules.only(['look']), { to: 'bob' }, 'deny'],
    [rules.only(['pay']), { to: 'bob' }, 'allow'],
    [rules.argument('pay', 'to', { enum: ['bob'] }), { to: 'bob' }, 'allow'],
    [rules.argument('pay', 'to', { enum: ['bob'] }), { to: 'bob ' }, 'deny'],
    [rules.argument('pay', 'amount', { min: 1, max: 500 }), { to: 'x', amount: 500 }, 'allow'],
    [rules.argument('pay', 'amount', { min: 1, max: 500 }), { to: 'x', amount: 500.01 }, 'deny'],
    [rules.argument('pay', 'amount', { min: 1, max: 500 }, 'ask'), { to: 'x', amount: -1 }, 'ask'],
    [rules.argument('pay', 'to', { pattern: /[a-z]+/ }), { to: 'bob' }, 'allow'],
    [rules.argument('pay', 'to', { pattern: /[a-z]+/g }), { to: 'bob; drop' }, 'deny'],
    [rules.argument('pay', 'to', { in: 'payees' }), { to: 'cleo' }, 'allow'],
    [rules.argument('pay', 'to', { in: 'payees' }), { to: 'mallory' }, 'deny'],
    [rules.argument('pay', 'to', { in: 'nowhere' }), { to: 'cleo' }, 'deny'],
    [rules.effects({ external: 'ask' }), { to: 'bob' }, 'ask'],
    [rules.egress(['api.example.com']), { to: 'bob', note: 'see https://api.example.com/x' }, 'allow'],
    [rules.egress(['api.example.com']), { to: 'bob', note: 'see https://api.example.com.evil.io/x' }, 'deny'],
    [rules.egress(['*.example.com']), { to: 'bob', note: 'https://a.example.com' }, 'allow'],
    [rules.egress(['*.example.com']), { to: 'bob', note: 'https://user@a.example.com' }, 'deny'],
    [rules.startedBy(['test']), { to: 'bob' }, 'allow'],
    [rules.startedBy(['pager']), { to: 'bob' }, 'deny'],
    [rules.startedBy(['pager'], ['other']), { to: 'bob' }, 'allow'],
  ])('$name: %j', (rule, input, expected) => {
    expect(fate(agentOf([rule]), input)[0]).toBe(expected)
  })

  test.each<[string, string]>([
    ['2026-06-01T06:00:00Z', 'allow'],
    ['2026-06-01T05:59:59Z', 'deny'],
    ['2026-06-01T16:00:00Z', 'deny'],
    ['2026-01-05T07:00:00Z', 'allow'],
    ['2026-01-05T06:59:00Z', 'deny'],
    ['2026-06-03T10:00:00Z', 'deny'],
  ])('C02: office hours in their own time zone, summer and winter: %s', (iso, expected) => {
    expect(fate(agentOf([office]), { to: 'bob' }, at(iso))[0]).toBe(expected)
  })

  test('a set that has become untrusted allows nothing', () => {
    const agent = agentOf([rules.argument('pay', 'to', { in: 'payees' })], pay(), {
      context: defineContext({ payees: { schema: z.array(z.string()), initial: ['bob'], trust: 'untrusted' } }),
    })
    expect(fate(agent, { to: 'bob' })[0]).toBe('deny')
  })
})

describe('a tool from outside', () => {
  test('is asked about unless a rule allows it', () => {
    const outside = pay({ origin: 'outside', effect: 'read' })
    expect(fate(agentOf([], outside), { to: 'bob' })).toEqual(['ask', 'outside'])
    expect(fate(agentOf([rules.allow(['pay'])], outside), { to: 'bob' })).toEqual(['allow', 'allow pay'])
    expect(fate(agentOf([rules.allow(['other'])], outside), { to: 'bob' })[0]).toBe('ask')
  })

  test('answers with untrusted words, whatever it says of itself not', () => {
    const play = new Play(agentOf([rules.allow(['pay'])], pay({ origin: 'outside', effect: 'read' })))
    play.model([call('pay', { to: 'bob' })])
    play.end({ kind: 'tool', result: 'order!' })
    expect(play.task.visit!.label.trust).toBe('untrusted')
  })
})

test('a rule sees the step, who started the task, the labels, and only what the state may read', () => {
  const seen: unknown[] = []
  const watch: Rule = {
    name: 'watch',
    judge: ({ kind, name, arguments: input, context, labels, task, state, agent }) => {
      seen.push({ kind, name, input, keys: Object.keys(context), labels, by: task.by, state, agent })
      return undefined
    },
  }
  const play = new Play(agentOf([watch]), { heard: 'x' })
  play.model([call('pay', { to: 'bob' })])
  const label = { trust: 'trusted', privacy: 'public' }
  const common = { keys: ['payees'], labels: { payees: label }, by: 'test', state: 'think', agent: 'a' }
  expect(seen).toEqual([
    { ...common, kind: 'model', name: 'm', input: {} },
    { ...common, kind: 'tool', name: 'pay', input: { to: 'bob' } },
  ])
})
