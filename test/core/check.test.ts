// A machine that is not sound is named before it runs: a code, a place, a cure.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { agentTool } from '../../src/core/agent-tool.ts'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { check } from '../../src/core/check.ts'
import { defineContext } from '../../src/core/context.ts'
import type { ProblemCode } from '../../src/core/problem.ts'
import { defineTool } from '../../src/core/tool.ts'

const look = defineTool({ name: 'look', description: 'd', inputSchema: z.object({}), execute: () => null })
const sound = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({ goal: z.string(), list: { schema: z.array(z.string()), initial: [], merge: 'append' } }),
  initial: 'first',
  on: { $error: 'end', $timeout: 'end' },
  states: {
    first: {
      model: 'm',
      prompt: 'p',
      tools: [look],
      on: { OK: { target: 'second', output: z.object({ list: z.array(z.string()) }) } },
    },
    second: { human: { question: '?' }, on: { yes: 'end' } },
    end: { type: 'final' },
  },
})

test('a sound machine has no problems', () => {
  expect(check(sound as Agent)).toEqual([])
})

type Change = Record<string, unknown>
const first = (change: Change) => ({ states: { ...sound.states, first: { ...sound.states.first, ...change } } })
const context = (keys: Change) => ({ context: defineContext({ ...sound.context.keys, ...(keys as object) }) })

const cases: readonly (readonly [string, Change, ProblemCode, string])[] = [
  ['an agent without a proper name', { name: 'a b' }, 'NAME_INVALID', '.name'],
  ['an agent without a version', { version: '' }, 'NAME_INVALID', '.version'],
  ['a queue without a name', { queue: '' }, 'NAME_INVALID', '.queue'],
  ['a queue whose name would be two', { queue: 'gpu,default' }, 'NAME_INVALID', '.queue'],
  ['a queue of a name that is too long', { queue: 'q'.repeat(65) }, 'NAME_INVALID', '.queue'],
  ['a queue that is no text', { queue: null }, 'NAME_INVALID', '.queue'],
  ['states that are no object', { states: [] }, 'FIELD_INVALID', '.states'],
  ['no context', { context: undefined }, 'FIELD_INVALID', '.context'],
  ['a state that is none', { states: { ...sound.states, first: 'model' } }, 'FIELD_INVALID', '.states.first'],
  ['tools that are no list', first({ tools: {} }), 'FIELD_INVALID', '.states.first.tools'],
  ['a tool that is none', first({ tools: [5] }), 'FIELD_INVALID', '.states.first.tools'],
  ['rights that are no names', first({ reads: [1] }), 'FIELD_INVALID', '.states.first.reads'],
  ['an exit that is a number', first({ on: { OK: 5 } }), 'FIELD_INVALID', '.states.first.on.OK'],
  [
    'a guard that is no function',
    first({ on: { OK: { target: 'done', guard: true } } }),
    'FIELD_INVALID',
    '.states.first.on.OK.guard',
  ],
  ['an initial state that does not exist', { initial: 'nope' }, 'INITIAL_UNKNOWN', '.initial'],
  ['an initial state from the prototype', { initial: 'toString' }, 'INITIAL_UNKNOWN', '.initial'],
  [
    'a machine without an end',
    { states: { first: { model: 'm', prompt: 'p', on: { OK: 'first' } } }, on: {} },
    'FINAL_MISSING',
    '.states',
  ],
  ['a limit that nobody keeps', { limits: { words: 5 } }, 'FIELD_UNKNOWN', '.limits.words'],
  ['a ceiling on tokens that is none', { limits: { tokens: 0 } }, 'LIMIT_INVALID', '.limits.tokens'],
  ['a ceiling on money that is none', { limits: { cost: 0.5 } }, 'LIMIT_INVALID', '.limits.cost'],
  ['a ceiling on tool calls that is none', { limits: { toolCalls: -1 } }, 'LIMIT_INVALID', '.limits.toolCalls'],
  ['a ceiling on hand-overs that is none', { limits: { handovers: 1.5 } }, 'LIMIT_INVALID', '.limits.handovers'],
  ['a duration that is none', { limits: { duration: 'soon' } }, 'LIMIT_INVALID', '.limits.duration'],
  ['a soft line that is none', { limits: { soft: 80 } }, 'LIMIT_INVALID', '.limits.soft'],
  ['a way past the soft line that leads nowhere', { limits: { onSoft: 'nope' } }, 'LIMIT_INVALID', '.limits.onSoft'],
  ['a word of the agent that means nothing', { polisy: {} }, 'FIELD_UNKNOWN', '.polisy'],
  ['a word of a state that means nothing', first({ approval: 'always' }), 'FIELD_UNKNOWN', '.states.first.approval'],
  [
    'a word of an exit that means nothing',
    first({ on: { OK: { target: 'second', when: true } } }),
    'FIELD_UNKNOWN',
    '.states.first.on.OK.when',
  ],
  ['a target that does not exist', first({ on: { OK: 'nope' } }), 'TARGET_UNKNOWN', '.states.first.on.OK'],
  [
    'a second candidate whose target does not exist',
    first({ on: { OK: [{ target: 'second' }, { target: 'nope' }] } }),
    'TARGET_UNKNOWN',
    '.states.first.on.OK',
  ],
  ['an exit without a target', first({ on: { OK: [] } }), 'EXIT_INVALID', '.states.first.on.OK'],
  ['a default route for an exit that the engine does not have', { on: { $nope: 'end' } }, 'NAME_RESERVED', '.on.$nope'],
  [
    "an exit of a state that looks like the engine's",
    first({ on: { OK: 'second', $mine: 'end' } }),
    'NAME_RESERVED',
    '.states.first.on.$mine',
  ],
  [
    "a state that looks like the engine's",
    { states: { ...sound.states, $x: { type: 'final' } } },
    'NAME_RESERVED',
    '.states.$x',
  ],
  ['an exit that no model could call', first({ on: { 'O K': 'second' } }), 'NAME_INVALID', '.states.first.on.O K'],
  ['a tool named like an exit', first({ on: { look: 'second' } }), 'NAME_TWICE', '.states.first.tools.look'],
  ['the same tool twice in a state', first({ tools: [look, look] }), 'NAME_TWICE', '.states.first.tools.look'],
  [
    'two different tools of one name',
    { states: { ...sound.states, second: { tool: { ...look }, args: () => ({}), on: { DONE: 'end' } } } },
    'NAME_TWICE',
    '.states.second.tools.look',
  ],
  [
    'a tool state whose tool is an agent',
    first({
      model: undefined,
      prompt: undefined,
      tools: undefined,
      tool: agentTool(sound as Agent, { description: 'd' }),
      args: () => ({}),
      on: { DONE: 'second' },
    }),
    'TOOL_INVALID',
    '.states.first.tool',
  ],
  ['something that is not a tool', first({ tools: [{}] }), 'TOOL_INVALID', '.states.first.tools'],
  [
    'a tool that does nothing',
    first({ tools: [{ ...look, execute: undefined }] }),
    'TOOL_INVALID',
    '.states.first.tools.look',
  ],
  [
    'a tool with an effect nobody knows',
    first({ tools: [{ ...look, effect: 'big' }] }),
    'TOOL_INVALID',
    '.states.first.tools.look',
  ],
  [
    'a tool whose input no model could be shown',
    first({ tools: [{ ...look, inputSchema: z.object({ at: z.date() }) }] }),
    'SCHEMA_INVALID',
    '.states.first.tools.look.inputSchema',
  ],
  [
    'a tool whose input is not an object',
    first({ tools: [{ ...look, inputSchema: z.string() }] }),
    'SCHEMA_INVALID',
    '.states.first.tools.look.inputSchema',
  ],
  [
    'a schema that answers later',
    first({ tools: [{ ...look, inputSchema: z.object({}).refine(async () => true) }] }),
    'SCHEMA_INVALID',
    '.states.first.tools.look.inputSchema',
  ],
  [
    'an output for an engine exit',
    first({ on: { OK: 'second', $error: { target: 'end', output: z.object({}) } } }),
    'EXIT_INVALID',
    '.states.first.on.$error.output',
  ],
  [
    'an output with a key that the context does not have',
    first({ on: { OK: { target: 'second', output: z.object({ nope: z.string() }) } } }),
    'KEY_UNKNOWN',
    '.states.first.on.OK.output',
  ],
  [
    'an output with a key that the state may not write',
    first({ writes: ['goal'] }),
    'WRITE_UNDECLARED',
    '.states.first.on.OK.output',
  ],
  [
    'two outputs of one exit',
    first({
      on: {
        OK: [
          { target: 'second', output: z.object({}) },
          { target: 'end', output: z.object({}) },
        ],
      },
    }),
    'EXIT_INVALID',
    '.states.first.on.OK.output',
  ],
  ['reading a key that does not exist', first({ reads: ['nope'] }), 'KEY_UNKNOWN', '.states.first.reads'],
  ['writing a key that does not exist', first({ writes: ['list', 'nope'] }), 'KEY_UNKNOWN', '.states.first.writes'],
  ['a state of two kinds', first({ run: () => 'OK' }), 'STATE_KIND', '.states.first'],
  [
    'a state of no kind',
    { states: { ...sound.states, first: { on: { OK: 'second' } } } },
    'STATE_KIND',
    '.states.first',
  ],
  ['signals that are no schemas by name', { signals: ['paid'] }, 'SCHEMA_INVALID', '.signals'],
  ['a signal without a schema', { signals: { paid: 'yes' } }, 'SCHEMA_INVALID', '.signals.paid'],
  ['a signal that is not an object', { signals: { paid: z.string() } }, 'SCHEMA_INVALID', '.signals.paid'],
  ['a signal whose name is none', { signals: { 'pa id': z.object({}) } }, 'NAME_INVALID', '.signals.pa id'],
  [
    'a wait for a signal that is not among those that are declared',
    {
      signals: { paid: z.object({}) },
      states: { ...sound.states, second: { wait: { signal: 'payed' }, on: { DONE: 'end' } } },
    },
    'SIGNAL_UNKNOWN',
    '.states.second.wait.signal',
  ],
  ...(
    [
      ['a wait for two things', { delay: '1m', until: () => 0 }, {}, 'STATE_KIND', '.wait'],
      ['a wait until what no function says', { until: '2026-10-01' }, {}, 'STATE_KIND', '.wait'],
      ['a word of a wait that means nothing', { signal: 'paid', key: 'k' }, {}, 'FIELD_UNKNOWN', '.wait.key'],
      ['a timeout that a wait would pass over', { until: () => 0 }, { timeout: '1h' }, 'LIMIT_INVALID', '.timeout'],
    ] as const
  ).map(([what, wait, more, code, place]): (typeof cases)[number] => {
    const second = { wait, on: { DONE: 'end' }, ...more }
    return [what, { states: { ...sound.states, second } }, code, `.states.second${place}`]
  }),
  [
    'a wait for nothing',
    { states: { ...sound.states, second: { wait: {}, on: { DONE: 'end' } } } },
    'STATE_KIND',
    '.states.second.wait',
  ],
  ['a model state without a model', first({ model: [] }), 'STATE_KIND', '.states.first.model'],
  ['a model state without a prompt', first({ prompt: undefined }), 'STATE_KIND', '.states.first.prompt'],
  [
    'a tool state that cannot leave',
    { states: { ...sound.states, second: { tool: look, args: () => ({}), on: { OK: 'end' } } } },
    'EXIT_MISSING',
    '.states.second.on',
  ],
  [
    'a state without an exit',
    { states: { ...sound.states, second: { human: { question: '?' } } } },
    'STATE_DEAD_END',
    '.states.second',
  ],
  [
    'a state from which no end can be reached',
    { states: { ...sound.states, second: { human: { question: '?' }, on: { yes: 'second' } } }, on: {} },
    'STATE_DEAD_END',
    '.states.second',
  ],
  [
    'a state that no way leads into',
    { states: { ...sound.states, lost: { human: { question: '?' }, on: { yes: 'end' } } } },
    'STATE_UNREACHABLE',
    '.states.lost',
  ],
  [
    'an end that no way leads into',
    { states: { ...sound.states, other: { type: 'final' } } },
    'STATE_UNREACHABLE',
    '.states.other',
  ],
  ['a failure that leads nowhere', first({ onFailure: 'nope' }), 'TARGET_UNKNOWN', '.states.first.onFailure'],
  ['a way back to nowhere', { onFailure: 'rollback' }, 'TARGET_UNKNOWN', '.onFailure'],
  ['a checkpoint that could be a number', first({ checkpoint: '7' }), 'NAME_INVALID', '.states.first.checkpoint'],
  [
    'an undo of what only reads',
    first({ tools: [{ ...look, undo: () => null }] }),
    'TOOL_INVALID',
    '.states.first.tools.look.undo',
  ],
  ['no visits at all', first({ visits: 0 }), 'LIMIT_INVALID', '.states.first.visits'],
  ['half a turn', first({ turns: 1.5 }), 'LIMIT_INVALID', '.states.first.turns'],
  ['endless steps', { limits: { steps: Infinity } }, 'LIMIT_INVALID', '.limits.steps'],
  ['a limit that is misspelt', { limits: { token: 5 } }, 'LIMIT_INVALID', '.limits.token'],
  ['a timeout that is no duration', first({ timeout: 'soon' }), 'LIMIT_INVALID', '.states.first.timeout'],
  ['a timeout of no time', first({ timeout: 0 }), 'LIMIT_INVALID', '.states.first.timeout'],
  ['a key without a schema', context({ bad: {} }), 'SCHEMA_INVALID', '.context.bad'],
  [
    'a key whose initial value does not fit',
    context({ bad: { schema: z.string(), initial: 3 } }),
    'KEY_INVALID',
    '.context.bad',
  ],
  [
    'a merge nobody knows',
    context({ bad: { schema: z.string(), initial: 'x', merge: 'mix' } }),
    'KEY_INVALID',
    '.context.bad',
  ],
  ['a key of a name that could be mistaken', context({ __proto: z.string() }), 'NAME_INVALID', '.context.__proto'],
]

const withTool = (change: Change) => first({ tools: [{ ...look, ...change }] })
const tools = '.states.first.tools.look'
const person = (human: Change, change: Change = {}) => ({
  states: { ...sound.states, second: { human: { question: '?', ...human }, on: { yes: 'end' }, ...change } },
})
const judge = () => undefined
const ladder = (...afters: unknown[]) => afters.map((after) => ({ after, to: 'lead' }))
const why = { trust: 'trusted', reason: 'a choice' }
/** A quarantine whose output is this, with the context key that it is written to. */
const quarantine = (list: z.ZodType, change: Change = {}) => ({
  ...context({ list }),
  ...first({
    tools: [],
    declassify: why,
    on: { OK: { target: 'second', output: z.object({ list }) } },
    ...change,
  }),
})
const declassify = '.states.first.declassify'

const boundaries: typeof cases = [
  ['a trust nobody knows', withTool({ trust: 'low' }), 'LABEL_INVALID', `${tools}.trust`],
  ['a privacy nobody knows', withTool({ privacy: 'hidden' }), 'LABEL_INVALID', `${tools}.privacy`],
  ['a label of a key', context({ k: { schema: z.any(), privacy: true } }), 'LABEL_INVALID', '.context.k.privacy'],
  [
    'a word of a key that means nothing',
    context({ k: { schema: z.any(), privat: 1 } }),
    'FIELD_UNKNOWN',
    '.context.k.privat',
  ],
  [
    'a key that is outward perhaps',
    context({ k: { schema: z.any(), outward: 'yes' } }),
    'LABEL_INVALID',
    '.context.k.outward',
  ],
  ['a strictness that is none', { strict: 'yes' }, 'LABEL_INVALID', '.strict'],
  ['an origin nobody knows', withTool({ origin: 'mcp' }), 'TOOL_INVALID', `${tools}.origin`],
  ['a pin that is none', withTool({ pin: 7 }), 'TOOL_INVALID', `${tools}.pin`],
  ['a text that is not asked for', withTool({ current: {} }), 'TOOL_INVALID', `${tools}.current`],
  ['an undo that is no function', withTool({ undo: true }), 'TOOL_INVALID', `${tools}.undo`],
  ['sinks that are a text', withTool({ sinks: 'to' }), 'SINK_INVALID', `${tools}.sinks`],
  ['a sink that the input does not have', withTool({ sinks: ['to'] }), 'SINK_INVALID', `${tools}.sinks.to`],
  [
    'a sink below one that the input has',
    withTool({ inputSchema: z.object({ to: z.array(z.object({ mail: z.string() })) }), sinks: ['to.name'] }),
    'SINK_INVALID',
    `${tools}.sinks.to.name`,
  ],
  [
    'a sink that is a place of a tuple',
    withTool({ inputSchema: z.object({ to: z.tuple([z.string(), z.string()]) }), sinks: ['to.0'] }),
    'SINK_INVALID',
    `${tools}.sinks.to.0`,
  ],
  [
    "a sink below names of the model's choice",
    withTool({
      inputSchema: z.object({ to: z.record(z.string(), z.object({ mail: z.string() })) }),
      sinks: ['to.mail'],
    }),
    'SINK_INVALID',
    `${tools}.sinks.to.mail`,
  ],
  [
    'a sink whose set is no key',
    withTool({ inputSchema: z.object({ to: z.string() }), sinks: { to: { in: 'nope' } } }),
    'KEY_UNKNOWN',
    `${tools}.sinks.to.in`,
  ],
  [
    'a sink whose set is untrusted',
    {
      ...withTool({ inputSchema: z.object({ to: z.string() }), sinks: { to: { in: 'set' } } }),
      ...context({ set: { schema: z.any(), trust: 'untrusted' } }),
    },
    'SINK_INVALID',
    `${tools}.sinks.to.in`,
  ],
  [
    'a sink that is false',
    withTool({ inputSchema: z.object({ to: z.string() }), sinks: { to: false } }),
    'SINK_INVALID',
    `${tools}.sinks.to`,
  ],
  [
    'a word of a sink that means nothing',
    withTool({ inputSchema: z.object({ to: z.string() }), sinks: { to: { in: 'goal', or: 'x' } } }),
    'FIELD_UNKNOWN',
    `${tools}.sinks.to.or`,
  ],
  ...['https://a.example', 'a.example/x', 'a.*.example', 'a.example:99999999', '', '*', 3].map(
    (host) => [`the host ${host}`, withTool({ egress: [host] }), 'EGRESS_INVALID', `${tools}.egress`] as const,
  ),
  ['hosts that are a text', withTool({ egress: 'a.example' }), 'EGRESS_INVALID', `${tools}.egress`],
  ['secrets that are not named', withTool({ secrets: ['my key'] }), 'NAME_INVALID', `${tools}.secrets`],
  ['an approval that is none', withTool({ approval: 'never' }), 'APPROVAL_INVALID', `${tools}.approval`],
  ['an approval sometimes', withTool({ approval: { when: 'friday' } }), 'APPROVAL_INVALID', `${tools}.approval.when`],
  ['an approval by nobody', withTool({ approval: { by: [] } }), 'APPROVAL_INVALID', `${tools}.approval.by`],
  [
    'an approval by one person twice',
    withTool({ approval: { by: ['a', 'a'] } }),
    'APPROVAL_INVALID',
    `${tools}.approval.by`,
  ],
  ['a quorum of none', withTool({ approval: { quorum: 0 } }), 'APPROVAL_INVALID', `${tools}.approval.quorum`],
  ['half a quorum', withTool({ approval: { quorum: 1.5 } }), 'APPROVAL_INVALID', `${tools}.approval.quorum`],
  [
    'a quorum of more than there are',
    withTool({ approval: { by: ['a', 'b'], quorum: 3 } }),
    'APPROVAL_INVALID',
    `${tools}.approval.quorum`,
  ],
  [
    'an approval that expires at once',
    withTool({ approval: { expires: 0 } }),
    'APPROVAL_INVALID',
    `${tools}.approval.expires`,
  ],
  [
    'an approval that nobody is to give',
    withTool({ approval: { assignee: '' } }),
    'APPROVAL_INVALID',
    `${tools}.approval.assignee`,
  ],
  [
    'a word of an approval that means nothing',
    withTool({ approval: { who: 'a' } }),
    'FIELD_UNKNOWN',
    `${tools}.approval.who`,
  ],
  [
    'a ladder out of order',
    withTool({ approval: { escalate: ladder('2h', '1h') } }),
    'ESCALATION_INVALID',
    `${tools}.approval.escalate`,
  ],
  [
    'a ladder behind the end',
    withTool({ approval: { escalate: ladder('2d') } }),
    'ESCALATION_INVALID',
    `${tools}.approval.escalate`,
  ],
  [
    'a ladder that is none',
    withTool({ approval: { escalate: 'lead' } }),
    'ESCALATION_INVALID',
    `${tools}.approval.escalate`,
  ],
  [
    'a rung without a time',
    person({ escalate: ladder(undefined) }),
    'ESCALATION_INVALID',
    '.states.second.human.escalate',
  ],
  ['a rung to nobody', person({ escalate: [{ after: '1h' }] }), 'ESCALATION_INVALID', '.states.second.human.escalate'],
  [
    'a rung behind the end of a question',
    person({ escalate: ladder('1h') }, { timeout: '1h' }),
    'ESCALATION_INVALID',
    '.states.second.human.escalate',
  ],
  [
    'a word of a rung that means nothing',
    person({ escalate: [{ after: '1h', to: 'a', by: 'b' }] }),
    'FIELD_UNKNOWN',
    '.states.second.human.escalate.by',
  ],
  ['a word of a question that means nothing', person({ options: [] }), 'FIELD_UNKNOWN', '.states.second.human.options'],
  ['a checkpoint without a name', first({ checkpoint: '' }), 'NAME_INVALID', '.states.first.checkpoint'],
  [
    'two checkpoints of one name',
    {
      states: {
        ...sound.states,
        ...first({ checkpoint: 'c' }).states,
        second: { ...sound.states.second, checkpoint: 'c' },
      },
    },
    'NAME_TWICE',
    '.states.second.checkpoint',
  ],
  ['a failure that leads nowhere', first({ onFailure: 'nope' }), 'TARGET_UNKNOWN', '.states.first.onFailure'],
  ['a failure of any state that leads nowhere', { onFailure: 'toString' }, 'TARGET_UNKNOWN', '.onFailure'],
  ['a policy that is no list', { policy: {} }, 'POLICY_INVALID', '.policy'],
  ['a rule without a name', { policy: [{ judge }] }, 'POLICY_INVALID', '.policy.0'],
  ['a rule without a judge', { policy: [{ name: 'r' }] }, 'POLICY_INVALID', '.policy.0'],
  [
    'two rules of one name',
    {
      policy: [
        { name: 'r', judge },
        { name: 'r', judge },
      ],
    },
    'POLICY_INVALID',
    '.policy.1',
  ],
  ['a declassification that is none', quarantine(z.boolean(), { declassify: true }), 'DECLASSIFY_INVALID', declassify],
  [
    'one without a reason',
    quarantine(z.boolean(), { declassify: { trust: 'trusted' } }),
    'DECLASSIFY_INVALID',
    declassify,
  ],
  [
    'one that makes nothing weaker',
    quarantine(z.boolean(), { declassify: { trust: 'untrusted', privacy: 'secret', reason: 'r' } }),
    'DECLASSIFY_INVALID',
    declassify,
  ],
  [
    'a label of one that nobody knows',
    quarantine(z.boolean(), { declassify: { ...why, privacy: 'x' } }),
    'LABEL_INVALID',
    `${declassify}.privacy`,
  ],
  [
    'a word of one that means nothing',
    quarantine(z.boolean(), { declassify: { ...why, by: 'x' } }),
    'FIELD_UNKNOWN',
    `${declassify}.by`,
  ],
  ['one with tools', quarantine(z.boolean(), { tools: [look] }), 'DECLASSIFY_INVALID', declassify],
  ...(
    [
      ['a text', z.string()],
      ['a pattern', z.string().regex(/^a+$/)],
      ['a text or nothing', z.string().nullable()],
      ['a text among choices', z.union([z.literal('a'), z.string()])],
      ['a list without a maximum', z.array(z.boolean())],
      ['a list of texts', z.array(z.string()).max(3)],
      ['a text inside', z.object({ deep: z.object({ text: z.string() }) })],
      ['any properties', z.record(z.string(), z.boolean())],
      ['more properties', z.looseObject({ a: z.boolean() })],
      ['anything', z.any()],
      ['any number', z.number()],
      ['any whole number', z.int()],
      ['a list as long as a letter', z.array(z.int().min(0).max(255)).max(40)],
    ] as const
  ).map(
    ([what, schema]) =>
      [`one that lets ${what} through`, quarantine(schema), 'DECLASSIFY_INVALID', declassify] as const,
  ),
]

test.each([...cases, ...boundaries])('%s is found', (_, change, code, place) => {
  const problems = check({ ...sound, ...change } as Agent)
  expect(problems.map((problem) => `${problem.severity} ${problem.code} ${problem.place}`)).toContain(
    `error ${code} ${String(change['name'] ?? 'a')}${place}`,
  )
  for (const { problem, cure } of problems) {
    expect(problem).not.toBe('')
    expect(cure).not.toBe('')
  }
})

test('a tool state, or a delay, whose DONE needs an output that nobody hands over is found, with the cure', () => {
  const output = z.object({ list: z.array(z.string()) })
  const place = 'a.states.first.on.DONE.output'
  const found = (state: Change) => {
    const states: Change = { ...sound.states, first: state }
    const problems = check({ ...sound, states } as Agent)
    return problems.filter(({ severity }) => severity === 'error')
  }
  const tool = { tool: look, args: () => ({}), on: { DONE: { target: 'second', output } } }
  expect(found(tool)).toMatchObject([
    { code: 'EXIT_INVALID', place, cure: "Give the state exit: ({ result }) => ({ exit: 'DONE', output: … })." },
  ])
  expect(found({ ...tool, exit: ({ result }: any) => ({ exit: 'DONE', output: { list: result } }) })).toEqual([])
  expect(found({ ...tool, on: { DONE: { target: 'second', output: output.partial() } } })).toEqual([])
  const wait = (on: Change) => found({ wait: on, on: tool.on })
  expect(wait({ delay: '5m' })).toMatchObject([{ code: 'EXIT_INVALID', place }])
  expect(wait({ until: () => 0 })).toMatchObject([{ code: 'EXIT_INVALID', place }])
  expect(wait({ signal: 'paid' })).toEqual([])
})

test('what is declared rightly is no problem, and an AI SDK tool may have fields of its own', () => {
  const inputSchema = z.object({ message: z.object({ to: z.array(z.object({ mail: z.string() })) }), url: z.string() })
  const change = {
    inputSchema,
    trust: 'untrusted',
    privacy: 'secret',
    origin: 'outside',
    sinks: { 'message.to.mail': { in: 'goal' }, url: true },
    egress: ['a.example', '*.b.example', 'localhost', '10.0.0.1', '[::1]'],
    secrets: ['API_KEY', '_x'],
    approval: {
      when: 'always',
      by: ['ana', 'ben'],
      quorum: 2,
      expires: '2d',
      assignee: 'ana',
      escalate: [{ after: '1h', to: 'ben' }, ...ladder('1d')],
    },
    effect: 'external',
    undo: () => null,
    toModelOutput: () => null,
  }
  const { states } = sound
  const agent = {
    ...sound,
    strict: true,
    onFailure: 'rollback',
    policy: [{ name: 'r', judge, more: 1 }],
    states: {
      ...states,
      first: { ...states.first, tools: [{ ...look, ...change }], checkpoint: 'begin', onFailure: 'end' },
      second: { human: { question: '?', escalate: ladder('1m', '2m') }, timeout: '3m', on: { yes: 'end' } },
    },
  }
  expect(check(agent as never)).toEqual([])
})

test('a quarantine may hand over choices, numbers, booleans, and lists and objects of them', () => {
  const closed = z.object({
    list: z.object({
      verdict: z.enum(['spam', 'ham']),
      score: z.number().min(0).max(1),
      sure: z.boolean().optional(),
      kind: z.union([z.literal('a'), z.literal(1), z.null()]),
      codes: z.array(z.int().min(0).max(99)).max(5),
      pair: z.tuple([z.boolean(), z.enum(['x'])]),
      one: z.discriminatedUnion('k', [z.object({ k: z.literal('a') }), z.strictObject({ k: z.literal('b') })]),
    }),
  })
  const change = quarantine(closed.shape.list)
  expect(check({ ...sound, ...change } as never)).toEqual([])
  const run = { run: () => 'OK', declassify: why, on: { OK: { target: 'second', output: closed } } }
  expect(check({ ...sound, ...change, states: { ...sound.states, first: run } } as never)).toEqual([])
  const bare = { ...run, on: { ...run.on, NO: 'end' } }
  const [problem] = check({ ...sound, ...change, states: { ...sound.states, first: bare } } as never)
  expect([problem?.code, problem?.problem]).toEqual([
    'DECLASSIFY_INVALID',
    'What leaves by NO is not closed: it has no output schema.',
  ])
})

test('onFailure is a route: of what it answers nothing is missing, and what it leads to is reached', () => {
  const rescue = { states: { ...sound.states, rescue: { human: { question: '?' }, on: { yes: 'end' } } }, on: {} }
  expect(check({ ...sound, ...rescue, onFailure: 'rescue' } as Agent)).toEqual([])
  // A rollback opens no state, but it leads out of one: to where the task has been.
  const { first } = sound.states
  const looping = {
    ...sound.states,
    first: { ...first, checkpoint: 'begun', on: { ...first.on, QUIT: 'end' } },
    second: { tool: look, args: () => ({}), on: { DONE: 'second' } },
  }
  const codes = (change: object): string[] => {
    const problems = check({ ...sound, states: looping, on: {}, ...change } as Agent)
    return problems.filter(({ severity }) => severity === 'error').map(({ code }) => code)
  }
  expect(codes({})).toContain('STATE_DEAD_END')
  expect(codes({ onFailure: 'rollback' })).toEqual([])
})

test('a missing route for $error or $timeout is a warning, not an error', () => {
  const problems = check({ ...sound, on: {} } as Agent)
  expect(problems.map(({ severity, code, place }) => `${severity} ${code} ${place}`)).toEqual([
    'warning ROUTE_MISSING a.states.first.on.$error',
    'warning ROUTE_MISSING a.states.first.on.$timeout',
  ])
})

test('a model whose window holds not even what is always said and the shortest answer is found', () => {
  const problems = check(sound as Agent, { m: 280 })
  expect(problems.map(({ severity, code, place }) => `${severity} ${code} ${place}`)).toContain(
    'error LIMIT_INVALID a.states.first.model',
  )
  expect(check(sound as Agent, { m: 4_096 })).toEqual([])
})

test('a team with more levels than its depth allows is found', () => {
  const over = (below: Agent, name: string, depth: number): Agent =>
    ({
      ...sound,
      name,
      limits: { depth },
      states: { first: { agent: below, on: { end: 'end' } }, end: { type: 'final' } },
    }) as never
  const found = (agent: Agent): readonly string[] =>
    check(agent).flatMap(({ severity, code, place }) => (code === 'DEPTH_EXCEEDED' ? [`${severity} ${place}`] : []))
  const two = (depth: number): Agent => over(over(sound as Agent, 'b', 1), 'c', depth)
  expect(found(sound as Agent)).toEqual([])
  expect(found(two(2))).toEqual([])
  expect(found(two(1))).toEqual(['warning c.limits.depth'])
})

test('each of a team is looked at once, however many ways lead to it', () => {
  const goal = defineContext({ goal: { schema: z.string(), trust: 'untrusted', privacy: 'private' } })
  const send = defineTool({ ...look, name: 'send', effect: 'external' })
  const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } }
  const team = (name: string, states: object): Agent =>
    defineAgent({
      name,
      version: '1',
      context: goal,
      initial: 'first',
      on: { $error: 'failed', $timeout: 'failed' },
      states: { ...states, ...ends } as never,
    }) as never
  const ask = (agent: Agent, target: string) => ({ agent, on: { done: target, failed: 'failed' } })
  const sends = { first: { tool: send, args: () => ({}), on: { DONE: 'done' } } }
  // Forty levels: by each way alone it would never end.
  const top = (lowest: object): Agent => {
    let below = [team('a', lowest), team('b', sends)] as const
    for (let level = 1; level <= 40; level += 1) {
      const [left, right] = below
      const states = { first: ask(left, 'second'), second: ask(right, 'done') }
      below = [team(`a${level}`, states), team(`b${level}`, states)]
    }
    return below[0]
  }
  const found = (lowest: object, what: string): number =>
    check(top(lowest)).filter(({ code, place }) => `${code} ${place.split(' → ').at(-1)!}` === what).length
  expect(found(sends, 'FLOW_UNGATED b.states.first.tool.send')).toBe(1)
  // One of each agent that starts it: by whatever way it comes to that.
  expect(found(sends, 'FLOW_UNGATED a40.states.first.tools.b.send')).toBe(1)
  // Of what has a child that is broken nothing is said beyond that.
  const broken = { first: { tool: look, args: () => ({}), on: {} } }
  expect(found(broken, 'EXIT_MISSING a.states.first.on')).toBe(1)
  expect(found(broken, 'FLOW_UNGATED a40.states.first.tools.b.send')).toBe(0)
})
