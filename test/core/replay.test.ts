// A task told again, by values: from its log and a machine, with nothing called.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import { noTerms } from '../../src/core/draft.ts'
import type { Event } from '../../src/core/event.ts'
import { compile } from '../../src/core/machine.ts'
import { replay, type Replay } from '../../src/core/replay.ts'
import { defineTool, type Tool } from '../../src/core/tool.ts'
import { readToTell } from '../../src/outfit.ts'
import { plainRedactor } from '../../src/core/redact.ts'
import { eventsOf } from '../../src/store/export.ts'
import { readExport } from '../../src/store/import.ts'
import { scenes } from '../corpus/scenes.ts'
import { logNames } from '../corpus/corpus.ts'
import { call, Play } from '../play.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import { historyTerms, machine as everyKind, playHistory } from '../store/history.ts'

const recorded = (name: string): readonly Event[] =>
  eventsOf(readExport(readFileSync(join(import.meta.dirname, `../corpus/${name}.json`), 'utf8')))

/** Tells a log of the corpus again, by the agent that it was recorded with last. */
async function retold(name: string): Promise<Replay> {
  const log = recorded(name)
  if (name.startsWith('history-')) return replay(everyKind, log, historyTerms)
  const { agents, options = {} } = scenes[name]!
  const { machines, terms } = await readToTell({ ...options, agents: [agents.at(-1)!], env: {} }, plainRedactor)
  const agent = log[0]?.type === 'task.started' ? log[0].data.agent : ''
  return replay([...machines.values()].find((known) => known.agent === agent)!.machine, log, terms)
}

describe('A58: the corpus', () => {
  test.each(logNames)('%s is told the same by the agent that it was recorded with', async (name) => {
    const { verdict, divergence, events, decided } = await retold(name)
    expect({ verdict, divergence }).toEqual({ verdict: 'same', divergence: undefined })
    expect(decided).toBeGreaterThan(events / 4)
  })
})

test('I16: random histories are told the same, with every kind of state, gate, crash and late answer in them', async () => {
  const store = await openSqlite(':memory:')
  for (let seed = 1; seed <= 500; seed += 1) {
    let at = seed
    const choices = Array.from({ length: 90 }, () => (at = (at * 48_271) % 2_147_483_647) % 1_009)
    const { events } = await playHistory(store, `t${seed}`, { seed }, choices, ['v', { w: 1 }, [1, 'zwei']])
    const told = replay(everyKind, events, historyTerms)
    expect([seed, told.verdict, told.divergence]).toEqual([seed, 'same', undefined])
  }
  await store.close()
})

// ---- A changed definition ------------------------------------------------------------------------------------------

const context = defineContext({ goal: { schema: z.string(), initial: 'g' }, note: z.string().optional() })
const noted = z.object({ note: z.string() })

interface Given {
  readonly context: { readonly goal: string; readonly note?: string }
}

let called = 0
const tool = (name: string, more: Partial<Tool> = {}): Tool<any> =>
  defineTool({
    name,
    description: `Does ${name}.`,
    inputSchema: z.object({ x: z.string() }),
    ...more,
    execute: () => {
      called += 1
      return null
    },
  })

/** What is changed of the agent that the log below is of. */
interface Change {
  readonly agent?: object
  readonly think?: object
  readonly send?: object
  readonly exit?: object
}

function agentOf({ agent = {}, think = {}, send = {}, exit = {} }: Change = {}): Agent<any, any> {
  return defineAgent({
    name: 'a',
    version: '1',
    context,
    initial: 'think',
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      think: {
        model: ['main', 'backup'],
        prompt: ({ context: { goal } }: Given) => `Goal: ${goal}`,
        tools: [tool('look')],
        on: { OK: { target: 'send', output: noted, ...exit } },
        ...think,
      },
      send: {
        tool: tool('send', { effect: 'external', idempotent: true }),
        args: ({ context: given }: Given) => ({ x: given.note ?? '' }),
        on: { DONE: 'done' },
        ...send,
      },
      other: { human: { question: '?' }, on: { yes: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
    ...agent,
  } as never)
}

/** A model fails and answers, a tool is called, an exit is taken, a tool is tried twice. */
function played(): Play {
  const play = new Play(compile(agentOf()))
  play.fail('overload')
  play.nowMs = [...play.task.delayed.values()][0]!.atMs
  play.go()
  play.model([call('look', { x: 'a' })])
  play.end({ kind: 'tool', result: { seen: 'b' } })
  play.model([call('OK', { note: 'n' })])
  play.fail('error')
  play.nowMs = [...play.task.delayed.values()][0]!.atMs
  play.go()
  play.end({ kind: 'tool', result: null })
  return play
}

describe('a task that is told again', () => {
  const { log } = played()
  const told = (change: Change): Replay => replay(compile(agentOf(change)), log)

  test('by the same agent is the same, and nothing of it is called', () => {
    expect(told({})).toMatchObject({ verdict: 'same', events: log.length, from: 1, divergence: undefined, erased: [] })
    expect(called).toBe(0)
  })

  const prompt = (): string => 'Another.'
  const cases: [string, Change, object][] = [
    ['prompt', { think: { prompt } }, { seq: 4, step: 1, attempt: 1, differences: [{ path: 'prompt.user' }, {}, {}] }],
    [
      'instructions',
      { think: { instructions: 'Think.' } },
      { seq: 4, differences: [{ path: 'prompt.system' }, {}, {}] },
    ],
    [
      'model',
      { think: { model: 'other' } },
      { seq: 4, differences: [{ path: 'model', logged: 'main', decided: 'other' }] },
    ],
    [
      'bound on the answer',
      { think: { outputTokens: 300 } },
      { seq: 4, differences: [{ path: 'reserved.outputTokens' }] },
    ],
    ['timeout', { think: { timeout: '5s' } }, { seq: 4, differences: [{ path: 'deadlineAtMs' }] }],
    ['retries', { think: { retry: { attempts: 1 } } }, { step: 1, attempt: 1, logged: { type: 'model.failed' } }],
    ['tools', { think: { tools: [] } }, { seq: 4, logged: { type: 'model.called' } }],
    [
      'target',
      { exit: { target: 'other' } },
      { logged: { type: 'transition.taken' }, differences: [{ path: 'target', logged: 'send', decided: 'other' }] },
    ],
    [
      'guard',
      { exit: { guard: () => false } },
      { logged: { type: 'transition.taken' }, decided: { type: 'step.refused', data: { reason: 'guard-failed' } } },
    ],
    [
      'arguments',
      { send: { args: () => ({ x: 'm' }) } },
      { state: 'send', step: 4, attempt: 1, differences: [{ path: 'arguments.x', logged: 'n', decided: 'm' }] },
    ],
    [
      'approval',
      { send: { tool: tool('send', { effect: 'external', idempotent: true, approval: 'always' }) } },
      { state: 'send', logged: { type: 'tool.called' }, decided: { type: 'human.asked' } },
    ],
    [
      'idempotence',
      { send: { tool: tool('send', { effect: 'external' }) } },
      { state: 'send', differences: [{ path: 'idempotent', logged: true, decided: false }] },
    ],
    [
      'rules',
      {
        agent: {
          policy: [{ name: 'no', judge: ({ name }: { name: string }) => (name === 'send' ? 'deny' : undefined) }],
        },
      },
      { state: 'send', decided: { type: 'step.refused', data: { rule: 'no' } } },
    ],
    [
      'limits',
      { agent: { limits: { steps: 3 } } },
      { seq: 1, differences: [{ path: 'limits.steps', logged: 100, decided: 3 }] },
    ],
    [
      'initial value',
      {
        agent: { context: defineContext({ goal: { schema: z.string(), initial: 'h' }, note: z.string().optional() }) },
      },
      { seq: 2, differences: [{ path: 'value', logged: 'g', decided: 'h' }] },
    ],
    ['initial state', { agent: { initial: 'other' } }, { seq: 3, logged: { type: 'state.entered' } }],
  ]
  test.each(cases)(
    'by one with another %s parts from its log there, and both sides are told',
    (_, change, expected) => {
      const { verdict, divergence } = told(change)
      expect(verdict).toBe('diverged')
      expect(divergence).toMatchObject(expected)
      expect(divergence!.seq).toBe(log.findIndex((event) => event.seq === divergence!.seq) + 1)
    },
  )

  test('by an agent that says less of what is performed is the same: bodies are not called, and version is only a name', () => {
    const execute = (): never => {
      throw new Error('called')
    }
    expect(told({ agent: { version: '2' }, think: { tools: [{ ...tool('look'), execute }] } }).verdict).toBe('same')
  })

  test('with ceilings of its own keeps them, whatever the agent says by now', () => {
    const given = new Play(compile(agentOf()), {}, {}, { steps: 7, duration: '1h' })
    expect(replay(compile(agentOf({ agent: { limits: { steps: 3 } } })), given.log).verdict).toBe('same')
    const { divergence } = replay(compile(agentOf({ agent: { limits: { tokens: 500_000 } } })), given.log)
    expect(divergence).toMatchObject({ seq: 1, differences: [{ path: 'limits.tokens' }] })
  })

  test('and whose input the agent would not take by now parts at its first event, and says why', () => {
    const stricter = defineContext({ goal: z.string().min(5), note: z.string().optional() })
    const play = new Play(compile(agentOf()), { goal: 'g' })
    const { divergence } = replay(compile(agentOf({ agent: { context: stricter } })), play.log)
    expect(divergence).toMatchObject({ seq: 1, decided: null, why: expect.stringMatching(/^INPUT_INVALID .* goal: /) })
  })

  test('and would go on where its log ends in the middle of a decision parts there', () => {
    const { divergence } = replay(compile(agentOf()), log.slice(0, -1))
    expect(divergence).toMatchObject({ seq: log.length, logged: null, decided: { type: 'task.ended' } })
  })

  test('of which something was erased is held against what is left, and what hangs on the rest is untold', () => {
    const gone = log.map((event): Event =>
      event.type === 'context.written' && event.data.key === 'goal'
        ? { ...event, data: { ...event.data, value: { $erased: true } } }
        : event,
    )
    const silent = compile(agentOf({ think: { prompt: () => 'Goal: g' } }))
    expect(replay(silent, gone)).toMatchObject({ verdict: 'same', erased: [2] })
    expect(replay(compile(agentOf()), gone)).toMatchObject({
      verdict: 'untold',
      erased: [2],
      divergence: { seq: 4, differences: [{ path: 'prompt.user' }, {}, {}] },
    })
  })

  test('of another agent’s states never gets further than they agree', () => {
    // A fork that was called off at once has decided nothing that hangs on its agent.
    for (const name of logNames.filter((known) => known !== 'forked')) {
      const { verdict } = replay(compile(agentOf()), recorded(name), noTerms)
      expect([name, verdict]).not.toEqual([name, 'same'])
    }
  })
})
