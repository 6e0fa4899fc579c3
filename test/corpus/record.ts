// Records the corpus: tasks of many kinds, each exported as a user would, with what this engine tells of it. A recording is
// never made again, because a later engine must read what an earlier one has written; what is missing is added.
//
// node test/corpus/record.ts

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { cancel } from '../../src/core/command.ts'
import { isEnded } from '../../src/core/task.ts'
import { draft } from '../../src/core/draft.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import { usd } from '../../src/core/price.ts'
import { loadTask } from '../../src/door.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../../src/orchestrator.ts'
import { scriptedModel, type Script, type ScriptAnswer } from '../../src/providers/scripted.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import { playHistory } from '../store/history.ts'
import { told } from './corpus.ts'

const here = import.meta.dirname
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
interface Scene {
  readonly agents: readonly Agent<any, any>[]
  readonly script?: Script
  readonly options?: Partial<OrchestratorOptions>
  readonly act?: (box: Orchestrator) => Promise<void>
  /** The task that is recorded, where it is not the one that was started. */
  readonly task?: string
}

const by = { by: 'ana', reason: 'because' }
const rest = async (box: Orchestrator): Promise<void> => void (await box.task('t').rest())
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

const scenes: Readonly<Record<string, Scene>> = {
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

/** Writes down a task as a store has it. */
type Recorder = (box: Orchestrator, taskId: string) => Promise<void>

async function play({ agents, script = [], options = {}, act, task = 't' }: Scene, record: Recorder) {
  const store = await openSqlite(':memory:')
  const common = { store, env: {}, models: { main: scriptedModel(script) }, ...options }
  // With several, each is a version of the same agent, and takes the task over from the one before.
  for (const [index, agent] of agents.entries()) {
    const box = await createOrchestrator({ ...common, agents: [agent], only: 't' })
    await (index === 0 ? box.start(agent, { goal: 'to be kept' } as never, { id: 't', by: 'corpus' }) : box.adopt('t'))
    if (index < agents.length - 1) await rest(box)
    else {
      await act?.(box)
      await box.task('t').result()
      await record(box, task)
    }
    await box.drain(0)
  }
  await store.close()
}

/** A random history of the machine that has every kind of state, called off where it has not ended. */
async function history(seed: number, record: Recorder): Promise<void> {
  const store = await openSqlite(':memory:')
  let at = seed
  const choices = Array.from({ length: 90 }, () => (at = (at * 48_271) % 2_147_483_647) % 1_009)
  await playHistory(store, 't', { seed }, choices, ['v', { w: 1 }, [1, 'zwei']])
  const { task, head } = await loadTask(store, 't')
  if (!isEnded(task)) {
    const work = draft(task, task.updatedAtMs + 1)
    cancel(work, by)
    await store.commit({ point: 'cancel', head, events: work.events, task })
  }
  const box = await createOrchestrator({ store, work: false })
  await record(box, 't')
  await box.stop()
  await store.close()
}

// Small ones that hold every type of event between them.
const seeds = [396, 292, 275, 399, 63, 86, 392, 65]

const recordings: Record<string, (record: Recorder) => Promise<void>> = {
  ...Object.fromEntries(Object.entries(scenes).map(([name, scene]) => [name, (record) => play(scene, record)])),
  ...Object.fromEntries(seeds.map((seed) => [`history-${seed}`, (record) => history(7 * seed, record)])),
}

for (const [name, make] of Object.entries(recordings)) {
  const path = join(here, `${name}.json`)
  if (existsSync(path)) continue
  await make(async (box, taskId) => {
    const file = await box.export(taskId)
    if (file.includes(tmpdir())) throw new Error(`${name} holds a path of this machine`)
    writeFileSync(path, `${JSON.stringify(JSON.parse(file), undefined, 2)}\n`)
    writeFileSync(join(here, `${name}.told.json`), `${JSON.stringify(await told(box, taskId), undefined, 2)}\n`)
  })
  console.log(`${name}: ${readFileSync(path).length} bytes`)
}
