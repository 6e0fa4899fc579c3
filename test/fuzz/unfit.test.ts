// What cannot be written down: lists and objects deeper within each other than anything can read by recursion, and half of a
// character. From wherever it comes it is refused in plain words or made whole, and whoever works goes on.

import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { Model } from '../../src/core/model.ts'
import { validate } from '../../src/core/schema.ts'
import { defineTool } from '../../src/core/tool.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../../src/orchestrator.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'
import { address, test } from '../engines.ts'

const text = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
const deep = (levels: number): never => JSON.parse(text(levels)) as never
const depths = [1_500, 6_000, 50_000]

const note = defineTool({
  name: 'note',
  description: 'd',
  inputSchema: z.object({ any: z.json() }),
  execute: () => deep(6_000),
  retry: { attempts: 1 },
})
const agent = defineAgent({
  name: 'a',
  version: '1',
  context: defineContext({ any: z.json().optional(), free: z.unknown().optional() }),
  initial: 'work',
  on: { $error: 'failed', $refused: 'failed' },
  states: {
    work: {
      model: 'main',
      prompt: 'p',
      tools: [note],
      retry: { attempts: 2 },
      on: { OK: 'hear', DEEP: { target: 'hear', output: z.object({ free: z.unknown() }) } },
    },
    hear: { wait: { signal: 'go' }, on: { DONE: 'ask' } },
    ask: {
      human: { question: '?' },
      on: { yes: { target: 'done', output: z.object({ free: z.unknown() }).partial() } },
    },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

async function open(options: Partial<OrchestratorOptions>): Promise<{ box: Orchestrator; faults: unknown[] }> {
  const faults: unknown[] = []
  const onFault = (fault: unknown): void => void faults.push(fault)
  const box = await createOrchestrator({ store: await address(), agents: [agent], env: {}, onFault, ...options })
  onTestFinished(() => box.stop(100))
  return { box, faults }
}

const typesOf = async (box: Orchestrator): Promise<string[]> => (await box.store.read('t')).map(({ type }) => type)

describe('JSON that is too deep', () => {
  test.each(depths)(
    'M16: in a call of a model behind a socket, %i levels, is refused and told back',
    async (levels) => {
      const server = await startMockServer(({ number }) => {
        const [name, any] = [['note', 'DEEP', 'OK'][number - 1] ?? 'OK', text(levels)]
        return { calls: [{ name, raw: number < 3 ? `{"any":${any},"free":${any}}` : '{}' }] }
      })
      onTestFinished(() => server.close())
      const { box, faults } = await open({ env: { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock' } })
      const task = await box.start(agent, {}, { id: 't' })
      expect((await task.rest()).state).toBe('hear')
      expect((await typesOf(box)).filter((type) => type === 'step.refused').length).toBe(2)
      expect([faults, server.requests]).toEqual([[], 3])
    },
  )

  test.each(depths)('in an answer of a model of somebody, %i levels, fails and is tried again', async (levels) => {
    const plain = scriptedModel([{ calls: [{ name: 'OK' }] }])
    let calls = 0
    const call: Model['call'] = (request, signal) => {
      calls += 1
      const usage = {
        inputTokens: 1,
        outputTokens: 1,
        cachedInputTokens: null,
        cacheWriteTokens: null,
        reasoningTokens: null,
      }
      const content = [{ type: 'call', id: '', name: 'note', arguments: { any: deep(levels) } }] as const
      const answer = { provider: 'p', modelId: 'm', content, finish: 'tool-calls', usage } as const
      return calls === 1 ? Promise.resolve({ ok: true, answer }) : plain.call(request, signal)
    }
    const { box, faults } = await open({ models: { main: { ...plain, call } } })
    const task = await box.start(agent, {}, { id: 't' })
    expect((await task.rest()).state).toBe('hear')
    const failed = (await box.store.read('t')).find(({ type }) => type === 'model.failed')
    expect(failed?.data).toMatchObject({ class: 'malformed' })
    expect([faults, calls]).toEqual([[], 2])
  })

  test('T06: in an answer of a tool fails the call', async () => {
    const { box, faults } = await open({
      models: {
        main: scriptedModel([{ calls: [{ name: 'note', arguments: { any: 1 } }] }, { calls: [{ name: 'OK' }] }]),
      },
    })
    await (await box.start(agent, {}, { id: 't' })).rest()
    const failed = (await box.store.read('t')).find(({ type }) => type === 'tool.failed')
    expect(failed?.data).toMatchObject({ class: 'malformed' })
    expect(faults).toEqual([])
  })

  test.each(depths)(
    'in an input, a signal or an answer of a human, %i levels, is INPUT_INVALID, and nothing is written',
    async (levels) => {
      const { box, faults } = await open({ models: { main: scriptedModel([{ calls: [{ name: 'OK' }] }]) } })
      for (const key of ['any', 'free'])
        await expect(box.start(agent, { [key]: deep(levels) }, { id: 't' })).rejects.toMatchObject({
          code: 'INPUT_INVALID',
        })
      const task = await box.start(agent, {}, { id: 't' })
      await task.rest()
      const signal = { name: 'go', data: deep(levels), by: 'ana' }
      await expect(box.signal('t', signal)).rejects.toMatchObject({ code: 'INPUT_INVALID' })
      await box.signal('t', { ...signal, data: {} })
      const [item] = (await task.rest()).inbox
      const answer = { decision: 'yes', by: 'ana', reason: 'r', data: { free: deep(levels) } }
      await expect(box.answer(item!.item, answer)).rejects.toMatchObject({ code: 'INPUT_INVALID' })
      await box.answer(item!.item, { ...answer, data: {} })
      expect((await task.result()).outcome).toBe('done')
      expect((await box.verify('t')).findings).toEqual([])
      expect(faults).toEqual([])
    },
  )

  test('a schema that can read no deeper refuses a value, and is not taken for one that waits', () => {
    const pair: z.ZodType = z.object({ of: z.lazy(() => z.union([z.object({ of: z.string() }), pair, z.null()])) })
    const value = JSON.parse('{"of":'.repeat(1_000) + 'null' + '}'.repeat(1_000)) as unknown
    for (const schema of [z.json(), pair]) expect([true, false]).toContain(validate(schema, value).ok)
    expect(validate(z.json(), deep(3_000))).toMatchObject({ ok: false })
  })
})

describe('half of a character', () => {
  test.each([
    ['where the arguments of a call are cut', { name: 'note', raw: `${'x'.repeat(119)}😀😀` }],
    ['where the name of a tool is cut', { name: `${'x'.repeat(78)}${'😀'.repeat(60)}` }],
  ])('M16: %s, is left out of what is told back', async (_, call) => {
    const { box, faults } = await open({
      models: { main: scriptedModel([{ calls: [call] }, { calls: [{ name: 'OK' }] }]) },
    })
    const task = await box.start(agent, {}, { id: 't' })
    expect((await task.rest()).state).toBe('hear')
    expect((await typesOf(box)).filter((type) => type === 'step.refused').length).toBe(1)
    expect(faults).toEqual([])
  })

  test('in what a prompt, a rule or a tool throws is made whole', async () => {
    const broken = (): never => {
      throw new Error(`${'x'.repeat(499)}😀 \ud800`)
    }
    const burst = defineTool({
      name: 'burst',
      description: 'd',
      inputSchema: z.object({}),
      execute: broken,
      retry: { attempts: 1 },
    })
    const thrower = defineAgent({
      name: 'b',
      version: '1',
      context: defineContext({}),
      initial: 'act',
      policy: [{ name: 'r', judge: ({ state }) => (state === 'judged' ? broken() : undefined) }],
      on: { $timeout: 'done' },
      states: {
        act: { tool: burst, args: () => ({}), on: { DONE: 'done', $error: 'judged' } },
        judged: { tool: burst, args: () => ({}), on: { DONE: 'done', $error: 'prompt', $refused: 'prompt' } },
        prompt: { model: 'main', prompt: broken, on: { OK: 'done', $error: 'done' } },
        done: { type: 'final' },
      },
    })
    const { box, faults } = await open({ agents: [thrower], models: { main: scriptedModel([]) } })
    expect((await (await box.start(thrower, {}, { id: 't' })).result()).outcome).toBe('done')
    const types = await typesOf(box)
    expect(['tool.failed', 'step.refused', 'function.failed'].filter((type) => !types.includes(type))).toEqual([])
    expect(faults).toEqual([])
  })
})
