// The work that is measured: an agent that takes a number of turns, each with an answer of 1 KB and one call of a tool
// that answers with 1 KB, then leaves. The model and the tool are in the process and cost next to nothing.

import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import type { Model } from '../src/core/model.ts'
import { defineTool } from '../src/core/tool.ts'

const kilobyte = 'x'.repeat(1_000)

const look = defineTool({
  name: 'look',
  description: 'Answers with 1 KB.',
  inputSchema: z.object({ turn: z.int() }),
  execute: ({ turn }) => ({ turn, text: kilobyte }),
})

export const agent = defineAgent({
  name: 'bench',
  version: '1',
  context: defineContext({ goal: z.string() }),
  limits: { steps: 1_000_000, toolCalls: 1_000_000, tokens: 1_000_000_000 },
  initial: 'work',
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    work: { model: 'main', prompt: 'work', tools: [look], turns: 1_000_000, on: { DONE: 'done' } },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

/** A model that asks for `turns` tool calls, then leaves; `onTurn` is told before each answer. */
export function modelOf(turns: number, onTurn: (turn: number) => void = () => undefined): Model {
  const usage = {
    inputTokens: 500,
    outputTokens: 250,
    cachedInputTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  }
  return {
    provider: 'bench',
    modelId: 'bench',
    call({ messages }) {
      // Old turns may have been left out of the thread, so the last result says how far it is.
      const last = messages.at(-1)
      const result = last?.role === 'tool' ? (last.results[0]?.value as { turn: number } | undefined) : undefined
      const turn = (result?.turn ?? 0) + 1
      onTurn(turn)
      const content =
        turn > turns
          ? [{ type: 'call' as const, id: '', name: 'DONE', arguments: {} }]
          : [
              { type: 'text' as const, text: kilobyte },
              { type: 'call' as const, id: '', name: 'look', arguments: { turn } },
            ]
      return Promise.resolve({
        ok: true,
        answer: { provider: 'bench', modelId: 'bench', content, finish: 'tool-calls', usage },
      })
    },
  }
}
