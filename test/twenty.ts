// An agent of twenty states, each with an effect outside and a write to the context; and the outside, a file that holds
// what was done and what was taken back, in the order in which it happened.

import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { z } from 'zod'
import { defineAgent, type Agent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import type { Event } from '../src/core/event.ts'
import { defineTool } from '../src/core/tool.ts'

export interface Entry {
  readonly what: 'do' | 'undo'
  readonly n: number
  readonly key: string
}

export interface Ledger {
  readonly entries: () => Entry[]
  readonly add: (entry: Entry) => void
}

export function ledgerOf(path: string): Ledger {
  const entries = (): Entry[] =>
    existsSync(path)
      ? readFileSync(path, 'utf8')
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line) as Entry)
      : []
  return { entries, add: (entry) => appendFileSync(path, `${JSON.stringify(entry)}\n`) }
}

/** The tool acts once for a key, and so does its undo, however often they are called. */
export function twenty(ledger: Ledger, onUndo: (phase: 'before' | 'after') => void = () => undefined): Agent<any, any> {
  const once = (entry: Entry): void => {
    if (!ledger.entries().some(({ key }) => key === entry.key)) ledger.add(entry)
  }
  const book = defineTool({
    name: 'book',
    description: 'Books a number.',
    inputSchema: z.object({ n: z.int() }),
    effect: 'external',
    idempotent: true,
    execute: ({ n }, { idempotencyKey: key }) => {
      once({ what: 'do', n, key })
      return { booked: n }
    },
    undo: ({ n }, { booked }, { idempotencyKey: key }) => {
      if (booked !== n) throw new Error(`it was given the result of ${booked}`)
      onUndo('before')
      once({ what: 'undo', n, key })
      onUndo('after')
    },
  })
  const output = z.object({ last: z.int(), list: z.array(z.int()) })
  const states = Array.from({ length: 20 }, (_, index) => {
    const n = index + 1
    const state = {
      tool: book,
      args: () => ({ n }),
      exit: () => ({ exit: 'DONE', output: { last: n, list: [n] } }),
      checkpoint: `c${n}`,
      on: { DONE: { target: n === 20 ? 'hold' : `w${n + 1}`, output } },
    }
    return [`w${n}`, state] as const
  })
  return defineAgent({
    name: 'twenty',
    version: '1',
    context: defineContext({
      last: z.int().optional(),
      list: { schema: z.array(z.int()), initial: [], merge: 'append' },
    }),
    limits: { steps: 10_000, toolCalls: 10_000 },
    initial: 'w1',
    states: {
      ...Object.fromEntries(states),
      hold: { human: { question: 'go on?' }, on: { yes: 'done' } },
      done: { type: 'final' },
    } as never,
  })
}

/** The event of the first entry into a state. */
export function entryOf(events: readonly Event[], state: string): number {
  return events.find(({ type, data }) => type === 'state.entered' && data.state === state)!.seq
}
