// Agents for tests of workers: each has one step, which lasts until a file `go` is there. One heeds its signal, the other does not.

import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { defineAgent, defineContext, defineTool } from 'signalbox'
import { z } from 'zod'

function waiter(name: string, { heeds = true, queue = 'default' } = {}) {
  const wait = defineTool({
    name: 'wait',
    description: 'Lasts until there is a file.',
    inputSchema: z.object({}),
    timeout: '2m',
    execute: async (_, { signal }) => {
      appendFileSync('did', `${name} begun\n`)
      while (!existsSync('go')) await pause(20, undefined, heeds ? { signal } : {})
      appendFileSync('did', `${name} ended\n`)
      return {}
    },
  })
  return defineAgent({
    name,
    version: '1',
    queue,
    context: defineContext({}),
    initial: 'wait',
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      wait: { tool: wait, args: () => ({}), on: { DONE: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
}

export const heeding = waiter('heeding')
export const deaf = waiter('deaf', { heeds: false })
export const drawing = waiter('drawing', { queue: 'gpu' })
