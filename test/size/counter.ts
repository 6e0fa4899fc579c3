// An agent that counts, with a log that gets five events longer each time, and rests until it is told how far to go on.

import { defineAgent, defineContext } from 'signalbox'
import { z } from 'zod'

const counted = z.object({ n: z.int() })

export const counter = defineAgent({
  name: 'counter',
  version: '1',
  context: defineContext({ n: { schema: z.int(), initial: 0 }, upTo: z.int() }),
  limits: { steps: 1_000_000, duration: '366d' },
  initial: 'count',
  on: { $error: 'failed', $timeout: 'failed', $limit: 'failed' },
  states: {
    count: {
      run: ({ context: { n, upTo } }) => {
        const exit = upTo === 0 ? 'ENOUGH' : n + 1 < upTo ? 'MORE' : 'PAUSE'
        return { exit, output: { n: n + 1 } }
      },
      visits: 1_000_000,
      on: {
        MORE: { target: 'count', output: counted },
        PAUSE: { target: 'rest', output: counted },
        ENOUGH: { target: 'done', output: counted },
      },
    },
    rest: {
      wait: { signal: 'go' },
      timeout: '366d',
      visits: 1_000_000,
      on: { DONE: { target: 'count', output: z.object({ upTo: z.int() }) } },
    },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})
