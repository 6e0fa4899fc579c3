// Agents for tests of many workers on one store. `plain` is done at once; one that is to be a poison ends its worker while
// its prompt is made, before anything can be written. `slow` calls a tool that takes a while and may be called again.
// `sleeper` waits for a short time, by the clock.

import { appendFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { defineAgent, defineContext, defineTool } from 'signalbox'
import { z } from 'zod'

const on = { $error: 'failed', $timeout: 'failed' } as const
const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const

export const plain = defineAgent({
  name: 'plain',
  version: '1',
  context: defineContext({ poison: z.boolean().optional() }),
  initial: 'look',
  on,
  states: {
    look: {
      tool: defineTool({
        name: 'look',
        description: 'Answers at once.',
        inputSchema: z.object({}),
        idempotent: true,
        execute: () => ({}),
      }),
      args: ({ context }) => {
        if (context.poison) process.kill(process.pid, 'SIGKILL')
        return {}
      },
      on: { DONE: 'done' },
    },
    ...ends,
  },
})

export const slow = defineAgent({
  name: 'slow',
  version: '1',
  context: defineContext({ forMs: z.int() }),
  initial: 'act',
  on,
  states: {
    act: {
      tool: defineTool({
        name: 'act',
        description: 'Takes a while, and says who called it.',
        inputSchema: z.object({ forMs: z.int() }),
        idempotent: true,
        timeout: '1m',
        execute: async ({ forMs }, { idempotencyKey, attempt }) => {
          appendFileSync('acts', `${process.pid} ${attempt} ${idempotencyKey}\n`)
          await pause(forMs)
          return { pid: process.pid }
        },
      }),
      args: ({ context }) => ({ forMs: context.forMs }),
      on: { DONE: 'done' },
    },
    ...ends,
  },
})

export const sleeper = defineAgent({
  name: 'sleeper',
  version: '1',
  context: defineContext({}),
  initial: 'sleep',
  on,
  states: {
    sleep: { wait: { delay: '500ms' }, on: { DONE: 'again' } },
    again: { wait: { delay: '500ms' }, on: { DONE: 'done' } },
    ...ends,
  },
})
