// A supervisor: a model is offered other agents as tools, asks whom it wants as often as its state allows, and answers. Each
// question is a child task; the model is told how it ended and what its final state handed over.

import { agentTool, defineAgent, defineContext, type Script } from 'signalbox'
import { z } from 'zod'

const failing = { $error: 'failed', $timeout: 'failed' } as const

/** Needs no model: a specialist may be any machine. */
const sums = defineAgent({
  name: 'sums',
  version: '1',
  context: defineContext({ values: z.array(z.number()).max(100), total: z.number().optional() }),
  initial: 'add',
  on: failing,
  states: {
    add: {
      run: ({ context }) => ({
        exit: 'ADDED',
        output: { total: context.values.reduce((sum, value) => sum + value, 0) },
      }),
      writes: ['total'],
      on: { ADDED: 'done' },
    },
    done: { type: 'final', output: ({ context }) => ({ total: context.total }) },
    failed: { type: 'final', failure: true },
  },
})

const doubter = defineAgent({
  name: 'doubter',
  version: '1',
  context: defineContext({ claim: z.string(), because: z.string().optional() }),
  initial: 'doubt',
  on: failing,
  states: {
    doubt: {
      model: 'small',
      prompt: ({ context }) => `Find what is wrong with this: ${context.claim}`,
      on: { RIGHT: 'right', WRONG: { target: 'wrong', output: z.object({ because: z.string() }) } },
    },
    right: { type: 'final' },
    wrong: { type: 'final', output: ({ context }) => ({ because: context.because }) },
    failed: { type: 'final', failure: true },
  },
})

const supervisor = defineAgent({
  name: 'supervisor',
  version: '1',
  context: defineContext({ question: z.string(), answer: z.string().optional() }),
  limits: { descendants: 10, toolCalls: 5 },
  initial: 'ask',
  on: failing,
  states: {
    ask: {
      model: 'main',
      prompt: ({ context }) => context.question,
      tools: [
        agentTool(sums, { description: 'Adds numbers.' }),
        agentTool(doubter, { description: 'Says what is wrong with a claim.', timeout: '2m' }),
      ],
      turns: 6,
      on: { ANSWER: { target: 'answered', output: z.object({ answer: z.string() }) } },
    },
    answered: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

/** A question, and how its models answer. */
export const input = { question: 'What do 12, 30 and 7 come to?' }
export const script: Script = ({ prompt, turn, results }) => {
  if (prompt.startsWith('Find')) return { calls: [{ name: 'RIGHT' }] }
  if (turn === 1) return { calls: [{ name: 'sums', arguments: { values: [12, 30, 7] } }] }
  const { output } = results[0]!.value as { output: { total: number } }
  if (turn === 2) return { calls: [{ name: 'doubter', arguments: { claim: `It is ${output.total}.` } }] }
  return { calls: [{ name: 'ANSWER', arguments: { answer: String(output.total) } }] }
}

export default { agents: [supervisor] }
