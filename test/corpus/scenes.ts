// The tasks of the corpus: their agents, and what is done to each from outside. They are told again by the same agents.

import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import { usd } from '../../src/core/price.ts'
import type { Orchestrator, OrchestratorOptions } from '../../src/orchestrator.ts'
import type { Script, ScriptAnswer } from '../../src/providers/scripted.ts'

const context = defineContext({
  goal: { schema: z.string(), initial: 'g' },
  list: { schema: z.array(z.string()), initial: [], merge: 'append' },
  note: z.string().optional(),
})
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const on = { $error: 'failed', $timeout: 'failed' } as const
const noted = z.object({ note: z.string() })

function agentOf(states: Record<string, State<any, any>>, change: object = {}): Agent<any, any> {
  const base = { name: 'corpus', version: '1', context, on, initial: Object.keys(states)[0]! }
  return defineAgent({ ...base, ...change, states: { ...states, ...ends } } as never)
}

function tool(name: string, execute: Tool['execute'], more: Partial<Tool> = {}): Tool<any> {
  const inputSchema = z.object({ x: z.string() })
  return defineTool({ name, description: `Does ${name}.`, inputSchema, ...more, execute })
}

/** A task, and what is done to it from outside until it has ended. */
export interface Scene {
  readonly agents: readonly Agent<any, any>[]
  readonly script?: Script
  readonly options?: Partial<OrchestratorOptions>
  readonly act?: (box: Orchestrator) => Promise<void>
  /** The task that is recorded, where it is not the one that was started. */
  readonly task?: string
}

export const by = { by: 'ana', reason: 'because' }
export const rest = async (box: Orchestrator): Promise<void> => void (await box.task('t').rest())
async function decide(box: Orchestrator, decision: string, more: object = {}): Promise<void> {
  await rest(box)
  const [item] = await box.inbox()
  await box.answer(item!.item, { decision, ...by, ...more })
}

const read = tool('read', ({ x }) => `somebody wrote ${x}`, { trust: 'untrusted' })
const flaky = tool('flaky', (_, { attempt }) => {
  if (attempt < 2) throw new Error('not yet')
  return { fine: true }
})
const send = tool('send', ({ x }) => ({ sent: x }), { effect: 'external', approval: 'always' })
const put = tool('put', ({ x }) => ({ put: x }), { effect: 'external', idempotent: true, undo: () => null })
const lasting = tool('lasting', ({ x }) => ({ done: x }), { effect: 'external' })
const calls = (...made: [string, object][]): ScriptAnswer => ({
  calls: made.map(([name, input]) => ({ name, arguments: input as never })),
})

const first = agentOf({ ask: { human: { question: 'Go on?' }, on: { yes: 'done' } } })
const second: Agent<any, any> = agentOf(
  { ask: { human: { question: 'Go on now?' }, on: { yes: 'done' } } },
  {
    version: '2',
    context: defineContext({ aim: z.string(), list: { schema: z.array(z.string()), initial: [] } }),
    migrate: ({ context: { goal } }: { context: { goal: string } }) => ({ context: { aim: goal } }),
  },
)

const member = agentOf(
  {
    note: {
      run: ({ context: { goal } }) => ({ exit: 'OK', output: { list: [goal] } }),
      on: { OK: { target: 'work', output: z.object({ list: z.array(z.string()) }) } },
    },
    work: { model: 'main', prompt: 'p', tools: [read], outputTokens: 300, on: { OK: 'done' } },
  },
  { name: 'member' },
)
const team = agentOf(
  {
    fan: {
      agent: member,
      each: () => [{ goal: 'a' }, { goal: 'b' }],
      on: { DONE: 'wait', FAILED: 'failed' },
    },
    wait: {
      agent: { ...first, name: 'asked' },
      timeout: '30ms',
      on: { done: 'failed', $timeout: 'done', failed: 'failed' },
    },
  },
  { limits: { tokens: 6_000, soft: 0.3 } },
)
const teamScene: Scene = {
  agents: [team],
  // By the turn: the members ask in any order.
  script: ({ turn }) => ({
    ...(turn === 1 ? calls(['read', { x: 'a' }]) : calls(['OK', {}])),
    usage: { inputTokens: 900, outputTokens: 100 },
  }),
  act: (box) => decide(box, 'raise', { data: { tokens: 20_000 } }),
}

export const scenes: Readonly<Record<string, Scene>> = {
  'model-with-tools': {
    agents: [
      agentOf(
        { work: { model: 'main', prompt: 'p', tools: [read, flaky], on: { OK: { target: 'done', output: noted } } } },
        { limits: { cost: usd(1) } },
      ),
    ],
    script: [
      { status: 503 },
      calls(['read', { x: 'a' }], ['flaky', { x: 'b' }]),
      calls(['nope', {}], ['read', { y: 1 }]),
      { text: 'Let me think.' },
      calls(['OK', { note: 'noted' }]),
    ],
    options: { prices: { main: { inputUsdPerMillion: 1, outputUsdPerMillion: 3 } } },
  },
  human: {
    agents: [
      agentOf({
        ask: {
          human: { question: 'Which?', show: () => ({ of: ['a', 'b'] }), assignee: 'ana' },
          on: { yes: { target: 'done', output: noted }, no: 'failed' },
        },
      }),
    ],
    act: async (box) => {
      await rest(box)
      const [item] = await box.inbox()
      await box.answer(item!.item, { decision: 'perhaps', ...by }).catch(() => undefined)
      await decide(box, 'yes', { data: { note: 'a' } })
    },
  },
  'wait-and-signal': {
    agents: [
      agentOf({
        nap: { wait: { delay: '20ms' }, on: { DONE: 'hear' } },
        hear: { wait: { signal: 'go' }, on: { DONE: { target: 'run', output: noted } } },
        run: {
          run: () => ({ exit: 'OK', output: { list: ['x'] } }),
          on: { OK: { target: 'late', output: z.object({ list: z.array(z.string()) }) } },
        },
        late: { wait: { signal: 'never' }, timeout: '20ms', on: { DONE: 'failed', $timeout: 'done' } },
      }),
    ],
    act: async (box) => {
      await box.signal('t', { name: 'go', data: { note: 'heard' }, by: 'bell', key: 'k' })
      await box.signal('t', { name: 'go', data: { note: 'heard' }, by: 'bell', key: 'k' })
    },
  },
  rollback: {
    agents: [
      agentOf({
        one: {
          checkpoint: 'start',
          tool: put,
          args: () => ({ x: '1' }),
          exit: () => ({ exit: 'DONE', output: { list: ['1'] } }),
          on: { DONE: { target: 'two', output: z.object({ list: z.array(z.string()) }) } },
        },
        two: { tool: lasting, args: () => ({ x: '2' }), on: { DONE: 'ask' } },
        ask: { human: { question: 'Well?' }, on: { yes: 'done' } },
      }),
    ],
    act: async (box) => {
      await rest(box)
      await box.rollback('t', { to: 'start', ...by })
      await decide(box, 'accept')
      await decide(box, 'yes')
    },
  },
  cancelled: {
    agents: [first],
    act: async (box) => {
      await rest(box)
      await box.cancel('t', by)
    },
  },
  approvals: {
    agents: [agentOf({ work: { model: 'main', prompt: 'p', tools: [send], on: { OK: 'done' } } })],
    script: [calls(['send', { x: 'a' }]), calls(['send', { x: 'b' }]), calls(['send', { x: 'c' }]), calls(['OK', {}])],
    act: async (box) => {
      await decide(box, 'approve')
      await decide(box, 'reject')
      await decide(box, 'edit', { data: { x: 'd' } })
    },
  },
  budget: {
    agents: [
      agentOf(
        { work: { model: 'main', prompt: 'p', tools: [read], outputTokens: 300, on: { OK: 'done' } } },
        { limits: { tokens: 3_000, soft: 0.3 } },
      ),
    ],
    script: [
      { ...calls(['read', { x: 'a' }]), usage: { inputTokens: 900, outputTokens: 100 } },
      { ...calls(['OK', {}]), usage: { inputTokens: 500 } },
    ],
    act: (box) => decide(box, 'raise', { data: { tokens: 9_000 } }),
  },
  forked: {
    agents: [
      agentOf({
        one: { tool: put, args: () => ({ x: '1' }), on: { DONE: 'two' } },
        two: { checkpoint: 'second', tool: lasting, args: () => ({ x: '2' }), on: { DONE: 'done' } },
      }),
    ],
    act: async (box) => {
      await box.task('t').result()
      await box.fork('t', { at: 'second', id: 'f', ...by })
      await box.cancel('f', by)
    },
    task: 'f',
  },
  escalated: {
    agents: [agentOf({ work: { run: () => 'NOWHERE', on: { OK: 'done', NO: 'failed' } } }, { on: {} })],
    act: async (box) => {
      await decide(box, 'retry')
      await decide(box, 'end')
    },
  },
  moved: {
    agents: [first, second],
    act: (box) => decide(box, 'yes'),
  },
  team: teamScene,
  'team-member': { ...teamScene, task: 't:2' },
  erased: {
    agents: [first],
    act: async (box) => {
      await decide(box, 'yes')
      await box.task('t').result()
      await box.erase('t', by)
    },
  },
}
