// A machine that is not sound is named before it runs: a code, a place, a cure.

import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { check, type ProblemCode } from '../../src/core/check.ts'
import { defineContext } from '../../src/core/context.ts'
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
  ['no visits at all', first({ visits: 0 }), 'LIMIT_INVALID', '.states.first.visits'],
  ['half a turn', first({ turns: 1.5 }), 'LIMIT_INVALID', '.states.first.turns'],
  ['endless steps', { limits: { steps: Infinity } }, 'LIMIT_INVALID', '.limits.steps'],
  ['a timeout that is no duration', first({ timeout: 'soon' }), 'LIMIT_INVALID', '.states.first.timeout'],
  ['a timeout of no time', first({ timeout: 0 }), 'LIMIT_INVALID', '.states.first.timeout'],
  [
    'a host that is an address',
    first({ tools: [{ ...look, egress: ['https://a.example/'] }] }),
    'TOOL_INVALID',
    '.states.first.tools.look.egress',
  ],
  [
    'a host that is everybody',
    first({ tools: [{ ...look, egress: ['*'] }] }),
    'TOOL_INVALID',
    '.states.first.tools.look.egress',
  ],
  [
    'a secret of no name',
    first({ tools: [{ ...look, secrets: ['a/b'] }] }),
    'TOOL_INVALID',
    '.states.first.tools.look.secrets',
  ],
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

test.each(cases)('%s is found', (_, change, code, place) => {
  const problems = check({ ...sound, ...change } as Agent)
  expect(problems.map((problem) => `${problem.severity} ${problem.code} ${problem.place}`)).toContain(
    `error ${code} ${String(change['name'] ?? 'a')}${place}`,
  )
  for (const { problem, cure } of problems) {
    expect(problem).not.toBe('')
    expect(cure).not.toBe('')
  }
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
