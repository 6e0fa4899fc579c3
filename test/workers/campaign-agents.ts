// What the campaign against the engine works on: agents that think, post, rest and charge, with a service outside that keeps a
// ledger. Where it is, the second argument of the process says.

import { setTimeout as pause } from 'node:timers/promises'
import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext } from '../../src/core/context.ts'
import type { JsonObject } from '../../src/core/json.ts'
import type { Model } from '../../src/core/model.ts'
import { defineTool } from '../../src/core/tool.ts'

const service = process.argv[3] ?? ''
const ask = async (what: 'post' | 'charge', key: string): Promise<object> => {
  const answer = await fetch(`${service}/${what}/${key}`, { method: 'POST' })
  return (await answer.json()) as object
}

const post = defineTool({
  name: 'post',
  description: 'Posts once for each key: the service knows it again.',
  inputSchema: z.object({}),
  effect: 'external',
  idempotent: true,
  retry: { attempts: 5 },
  execute: (_, { idempotencyKey }) => ask('post', idempotencyKey),
})
const charge = defineTool({
  name: 'charge',
  description: 'Charges whenever it is called.',
  inputSchema: z.object({}),
  effect: 'external',
  execute: (_, { idempotencyKey }) => ask('charge', idempotencyKey),
})

const on = { $error: 'failed', $timeout: 'failed' } as const
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const

/** Thinks, posts, rests, charges, and counts into a key that it shares with nobody. */
export const payer = defineAgent({
  name: 'payer',
  version: '1',
  context: defineContext({ n: z.int(), notes: { schema: z.array(z.string()), initial: [], merge: 'append' } }),
  initial: 'think',
  on,
  states: {
    think: {
      model: 'main',
      prompt: 'Post.',
      tools: [post],
      writes: ['notes'],
      on: { POSTED: { target: 'rest', output: z.object({ notes: z.array(z.string()) }) } },
    },
    rest: { wait: { delay: '150ms' }, on: { DONE: 'charge' } },
    charge: { tool: charge, args: () => ({}), on: { DONE: 'again' } },
    again: { tool: post, args: () => ({}), on: { DONE: 'done' } },
    ...ends,
  },
})

/** Starts two payers, and waits for both. */
export const family = defineAgent({
  name: 'family',
  version: '1',
  context: defineContext({ n: z.int() }),
  initial: 'fan',
  on,
  states: {
    fan: {
      agent: payer,
      each: () => [1, 2],
      input: ({ item }) => ({ n: item as number }),
      on: { DONE: 'done', FAILED: 'failed' },
    },
    ...ends,
  },
})

const usage = {
  inputTokens: 10,
  outputTokens: 5,
  cachedInputTokens: null,
  cacheWriteTokens: null,
  reasoningTokens: null,
}
/** Posts, and says so. */
export const main: Model = {
  provider: 'test',
  modelId: 'test',
  async call({ messages }) {
    await pause(20)
    const posted = messages.some(({ role }) => role === 'tool')
    const name = posted ? 'POSTED' : 'post'
    const input: JsonObject = posted ? { notes: ['posted'] } : {}
    const content = [{ type: 'call' as const, id: 'c', name, arguments: input }]
    return { ok: true, answer: { provider: 'test', modelId: 'test', content, finish: 'tool-calls', usage } }
  },
}

export const agents = [payer, family]
