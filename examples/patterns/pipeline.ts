// A pipeline: one agent reads a letter and hands over what it asks for, another answers that. Neither sees what the other
// saw; what passes between them is what the final state of the first hands over.

import { defineAgent, defineContext, type Script } from 'signalbox'
import { z } from 'zod'

const failing = { $error: 'failed', $timeout: 'failed' } as const

const reader = defineAgent({
  name: 'reader',
  version: '1',
  context: defineContext({ letter: z.string(), wish: z.string().optional() }),
  initial: 'read',
  on: failing,
  states: {
    read: {
      model: 'main',
      prompt: ({ context }) => `What does this letter ask for?\n${context.letter}`,
      on: { CLEAR: { target: 'clear', output: z.object({ wish: z.string() }) }, UNCLEAR: 'unclear' },
    },
    clear: { type: 'final', output: ({ context }) => ({ wish: context.wish }) },
    unclear: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

const answerer = defineAgent({
  name: 'answerer',
  version: '1',
  context: defineContext({ wish: z.string(), reply: z.string().optional() }),
  initial: 'answer',
  on: failing,
  states: {
    answer: {
      model: 'main',
      prompt: ({ context }) => `Answer somebody who asks for this: ${context.wish}`,
      on: { ANSWERED: { target: 'answered', output: z.object({ reply: z.string() }) } },
    },
    answered: { type: 'final', output: ({ context }) => ({ reply: context.reply }) },
    failed: { type: 'final', failure: true },
  },
})

const post = defineAgent({
  name: 'post',
  version: '1',
  context: defineContext({ letter: z.string(), wish: z.string().optional(), reply: z.string().optional() }),
  initial: 'read',
  on: failing,
  states: {
    read: {
      agent: reader,
      input: ({ context }) => ({ letter: context.letter }),
      output: ({ child }) => ({ wish: child.output.wish }),
      writes: ['wish'],
      on: { clear: 'answer', unclear: 'returned', failed: 'failed' },
    },
    answer: {
      agent: answerer,
      input: ({ context }) => ({ wish: context.wish ?? '' }),
      output: ({ child }) => ({ reply: child.output.reply }),
      writes: ['reply'],
      timeout: '2m',
      on: { answered: 'answered', failed: 'failed' },
    },
    answered: { type: 'final' },
    returned: { type: 'final', failure: true },
    failed: { type: 'final', failure: true },
  },
})

/** A letter, and how its models answer. */
export const input = { letter: 'Dear all, my lamp 4711 came without a plug. Could you send one? Yours, K.' }
export const script: Script = ({ prompt }) =>
  prompt.startsWith('What')
    ? { calls: [{ name: 'CLEAR', arguments: { wish: 'a plug for lamp 4711' } }] }
    : { calls: [{ name: 'ANSWERED', arguments: { reply: `You will get ${prompt.split(': ')[1]}.` } }] }

export default { agents: [post] }
