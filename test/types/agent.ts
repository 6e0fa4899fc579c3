// Types that must not compile. Each line after an @ts-expect-error is wrong in the one way that its comment names; if
// the types let it through, the compiler reports an unused directive and `npm run types` fails.

import { z } from 'zod'
import { defineAgent } from '../../src/core/agent.ts'
import { defineContext, type InputOf } from '../../src/core/context.ts'
import { defineTool } from '../../src/core/tool.ts'

const context = defineContext({
  alert: z.string(),
  findings: { schema: z.array(z.string()), initial: [], merge: 'append' },
  diagnosis: z.object({ cause: z.string() }).optional(),
})

const grep = defineTool({
  name: 'grep',
  description: 'Finds lines.',
  inputSchema: z.object({ pattern: z.string() }),
  execute: ({ pattern }) => pattern.length,
})

const head = { name: 'a', version: '1', context } as const

export const sound = defineAgent({
  ...head,
  initial: 'search',
  on: { $error: 'failed' },
  states: {
    search: {
      model: ['main', 'backup'],
      prompt: ({ context }) => context.alert.toUpperCase() + context.findings.length,
      tools: [grep],
      reads: ['alert'],
      writes: ['findings', 'diagnosis'],
      on: {
        FOUND: {
          target: 'lookup',
          output: z.object({
            findings: z.array(z.string()),
            diagnosis: z.object({ cause: z.string() }),
          }),
        },
        BACK: [{ target: 'search', guard: ({ context }) => context.findings.length < 3 }, { target: 'failed' }],
        NO: 'failed',
      },
    },
    lookup: {
      tool: grep,
      args: ({ context }) => ({ pattern: context.alert }),
      on: { DONE: 'decide' },
    },
    decide: {
      run: ({ context }) => ({ exit: 'OK', output: { findings: [context.alert] } }),
      on: { OK: 'ask' },
    },
    ask: {
      human: { question: ({ context }) => context.alert },
      on: { approve: 'pause', reject: 'failed' },
    },
    pause: { wait: { delay: '5m' }, on: { DONE: 'meet' } },
    meet: { wait: { until: ({ context }) => context.alert }, on: { DONE: 'found' } },
    found: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

export const inputs: InputOf<(typeof context)['keys']>[] = [
  { alert: 'x' },
  { alert: 'x', findings: ['y'] },
  // @ts-expect-error the key alert has no initial value and is not optional
  { findings: [] },
  // @ts-expect-error an alert is a text
  { alert: 3 },
]

const final = { type: 'final' } as const
const model = 'main'
const prompt = 'p'

defineAgent({
  ...head,
  // @ts-expect-error the initial state does not exist
  initial: 'serch',
  states: { search: { model, prompt, on: { NO: 'end' } }, end: final },
})

defineAgent({
  ...head,
  initial: 'search',
  // @ts-expect-error the target of a default route does not exist
  on: { $error: 'nowhere' },
  states: { search: { model, prompt, on: { NO: 'end' } }, end: final },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    // @ts-expect-error the target does not exist
    search: { model, prompt, on: { NO: 'nowhere' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    // @ts-expect-error the target in an object does not exist
    search: { model, prompt, on: { NO: { target: 'nowhere' } } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    search: {
      model,
      prompt,
      // @ts-expect-error the second candidate's target does not exist
      on: { NO: [{ target: 'end', guard: () => true }, { target: 'nowhere' }] },
    },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    // @ts-expect-error the prompt reads a key that the context does not have
    search: { model, prompt: ({ context }) => context.alrt, on: { NO: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    // @ts-expect-error reads names an unknown key
    search: { model, prompt, reads: ['alrt'], on: { NO: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    // @ts-expect-error writes names an unknown key
    search: { model, prompt, writes: ['alrt'], on: { NO: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    search: {
      model,
      prompt,
      // @ts-expect-error the output has the wrong type for its key
      on: { NO: { target: 'end', output: z.object({ findings: z.string() }) } },
    },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    search: {
      model,
      prompt,
      // @ts-expect-error the output has a key that the context does not have, beside one that it has
      on: { NO: { target: 'end', output: z.object({ alert: z.string(), extra: z.string() }) } },
    },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'decide',
  states: {
    // @ts-expect-error a function hands over a value of the wrong type
    decide: { run: () => ({ exit: 'OK', output: { alert: 3 } }), on: { OK: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'lookup',
  states: {
    // @ts-expect-error the arguments are not what the tool takes
    lookup: { tool: grep, args: () => ({ patern: 'x' }), on: { DONE: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  states: {
    // @ts-expect-error a state is of one kind
    search: { model, prompt, tool: grep, on: { NO: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'search',
  migrate: ({ version, context: { note } }) =>
    version === '1' ? { state: 'search', context: { alert: note } } : undefined,
  states: { search: { model, prompt, on: { NO: 'end' } }, end: final },
})

defineAgent({
  ...head,
  initial: 'search',
  // @ts-expect-error tasks are taken over into a state that does not exist
  migrate: () => ({ state: 'serch' }),
  states: { search: { model, prompt, on: { NO: 'end' } }, end: final },
})

defineAgent({
  ...head,
  initial: 'search',
  // @ts-expect-error an alert is a text
  migrate: () => ({ context: { alert: 3 } }),
  states: { search: { model, prompt, on: { NO: 'end' } }, end: final },
})

defineTool({
  name: 'grep',
  description: 'Finds lines.',
  inputSchema: z.object({ pattern: z.string() }),
  // @ts-expect-error the input has no such field
  execute: ({ patern }) => patern,
})

const other = defineAgent({
  name: 'other',
  version: '1',
  context: defineContext({ word: z.string(), length: z.number().optional() }),
  initial: 'think',
  states: { think: { run: () => 'OK', on: { OK: 'yes' } }, yes: { type: 'final' } },
})

const asked = defineAgent({
  name: 'asked',
  version: '1',
  context,
  initial: 'think',
  states: {
    think: { run: () => 'OK', on: { OK: 'yes' } },
    yes: { type: 'final', output: ({ context: known }) => ({ alert: known.alert.length }) },
    no: { type: 'final' },
  },
})

defineAgent({
  ...head,
  initial: 'ask',
  states: {
    // @ts-expect-error one of the ends of the child leads nowhere
    ask: { agent: asked, on: { yes: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'ask',
  states: {
    ask: { agent: asked, input: ({ context: known }) => ({ alert: known.alert }), on: { yes: 'end', no: 'end' } },
    // @ts-expect-error the context has no such key
    fan: { agent: asked, each: ({ context: known }) => known.nothing, on: { DONE: 'end', FAILED: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'ask',
  states: {
    // @ts-expect-error the child takes a text, and a key that it does not have
    ask: { agent: other, input: ({ context: known }) => ({ wrd: known.alert }), on: { yes: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'ask',
  states: {
    ask: { agent: other, input: ({ context: known }) => ({ word: known.alert }), on: { yes: 'end' } },
    end: final,
  },
})

defineAgent({
  ...head,
  initial: 'ask',
  states: {
    // @ts-expect-error the child cannot begin without a word
    ask: { agent: other, on: { yes: 'end' } },
    end: final,
  },
})
