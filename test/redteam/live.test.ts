// Real models in the world: over a real socket, while its clock stands still; and whatever they fail with is what the engine sees.

import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { FailureClass, Model } from '../../src/core/model.ts'
import { defineTool } from '../../src/core/tool.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { resolveModel } from '../../src/providers/registry.ts'
import { toReply, type Script } from '../../src/providers/scripted.ts'
import { campaign } from '../../src/redteam/campaign.ts'
import { fault, state } from '../../src/redteam/plan.ts'
import { liveScript } from '../../src/redteam/live.ts'
import { play } from '../../src/redteam/world.ts'

const look = defineTool({
  name: 'look',
  description: 'Looks.',
  inputSchema: z.object({ at: z.string() }),
  execute: () => expect.unreachable('a tool was called'),
})
const reader = defineAgent({
  name: 'reader',
  version: '1',
  context: defineContext({ topic: z.string(), text: z.string().optional() }),
  initial: 'read',
  on: { $error: 'failed', $timeout: 'failed', $refused: 'failed', $turns: 'failed', $stuck: 'failed' },
  states: {
    read: {
      model: 'main',
      prompt: ({ context }) => `Read about ${context.topic}.`,
      tools: [look],
      timeout: '100ms',
      turns: 4,
      on: { READ: { target: 'write', output: z.object({ text: z.string() }) } },
    },
    write: { model: 'main', prompt: 'Write.', on: { WRITTEN: 'done', AGAIN: 'read' } },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
}) as Agent<any, any>

/** A model behind a real socket, found as a command finds it; and how often it was asked. */
async function behindSocket(script: Script): Promise<{ script: Script; requests: () => number; asked: () => number }> {
  const server = await startMockServer(script)
  onTestFinished(() => server.close())
  const main = await resolveModel('main', {
    models: {},
    env: { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' },
  })
  let asked = 0
  const live = liveScript(new Map([['main', main]]), () => (asked += 1))
  return { script: live, requests: () => server.requests, asked: () => asked }
}

const answers: Script = ({ offers, turn }) => {
  const has = (name: string): boolean => offers.some((offer) => offer.name === name)
  if (has('look') && turn === 1)
    return { text: 'I look.', calls: [{ name: 'look', arguments: { at: 'the sky' } }], delayMs: 250 }
  return { calls: [has('READ') ? { name: 'READ', arguments: { text: 'It rains.' } } : { name: 'WRITTEN' }] }
}

test('a real model is asked over the wire, longer than its deadline while the clock stands still; tools are played', async () => {
  const { script, requests, asked } = await behindSocket(answers)
  const { tasks, acts } = await play({ agent: reader, seed: 1, outside: { script, tools: { look: () => 'clouds' } } })
  expect(tasks[0]!.row.outcome).toBe('done')
  expect(acts.map(({ tool, arguments: input }) => [tool, input])).toEqual([['look', { at: 'the sky' }]])
  expect([requests(), asked()]).toEqual([3, 3])
  const said = tasks[0]!.events.flatMap(({ type, data }) => (type === 'model.answered' ? [data] : []))
  expect(said[0]!.content).toMatchObject([
    { type: 'text', text: 'I look.' },
    { type: 'call', name: 'look' },
  ])
  expect(said[0]!.usage.inputTokens).toBeGreaterThan(50)
})

test('faults strike a real model as they do a played one', async () => {
  const { script } = await behindSocket(answers)
  const evidence = await play({
    agent: reader,
    seed: 1,
    outside: { script },
    faults: [fault('M05').at(state('write'))],
  })
  const failed = evidence.written.filter(({ type }) => type === 'model.failed')
  expect([evidence.struck, failed.length, evidence.tasks[0]!.row.outcome]).toEqual([1, 1, 'done'])
})

const failures: readonly (readonly [kind: FailureClass, status?: number])[] = [
  ['auth', 403],
  ['rate-limit'],
  ['spend-limit'],
  ['spend-limit', 402],
  ['context-overflow'],
  ['content-filter'],
  ['invalid-request', 404],
  ['overload', 529],
  ['overload'],
  ['transport'],
  ['malformed'],
]

test.each(failures.map(([kind, status]) => ({ kind, status })))(
  'a real failure of class $kind ($status) is one in the world',
  async ({ kind, status }) => {
    const failure = { class: kind, message: 'm', retryAfterMs: 2_000, ...(status === undefined ? {} : { status }) }
    const model: Model = { provider: 'p', modelId: 'm', call: () => Promise.resolve({ ok: false, failure }) }
    const script = liveScript(new Map([['main', model]]), () => undefined) as (request: object) => Promise<object>
    const reply = toReply(await script({ model: 'main', messages: [], offers: [] }), 'main')
    expect(reply).toMatchObject({ ok: false, failure: { class: kind } })
    if (kind === 'rate-limit') expect(reply).toMatchObject({ failure: { retryAfterMs: 2_000 } })
  },
)

test('one that never answers is one that hangs', async () => {
  const failure = { class: 'timeout', message: '' } as const
  const model: Model = { provider: 'p', modelId: 'm', call: () => Promise.resolve({ ok: false, failure }) }
  const script = liveScript(new Map([['main', model]]), () => undefined)
  const { tasks } = await play({ agent: reader, seed: 1, outside: { script } })
  expect(tasks[0]!.row.outcome).toBe('failed')
  expect(tasks[0]!.events.findLast(({ type }) => type === 'transition.taken')!.data).toMatchObject({ exit: '$timeout' })
})

test('a campaign looks once at where real models go by themselves, and leads nobody in circles', async () => {
  const { script, requests } = await behindSocket(answers)
  const ran = await campaign({ agent: reader, outside: { script }, only: ['L1'] })
  expect(ran.cells.find(({ state: name }) => name === 'read')!.reason).toMatch(/not led in circles/)
  expect([ran.plays, requests()]).toEqual([0, 3])
})
