// The night one call takes thirty seconds. The state has two: at its deadline the provider is hung up on, the timeout exit
// is taken, and a fallback state answers with less.
//
//   npx node examples/nights/slow.ts

import { defineAgent, defineContext } from 'signalbox'
import { z } from 'zod'
import { night, tell } from './night.ts'

const summary = z.object({ summary: z.string() })

const summariser = defineAgent({
  name: 'summariser',
  version: '1',
  context: defineContext({ text: z.string(), summary: z.string().optional() }),
  initial: 'think',
  on: { $error: 'failed' },
  states: {
    think: {
      model: 'large',
      prompt: ({ context }) => `Summarise well: ${context.text}`,
      timeout: '2s',
      on: { SUMMARY: { target: 'done', output: summary }, $timeout: 'shorten' },
    },
    shorten: {
      model: 'small',
      prompt: ({ context }) => `Summarise in five words: ${context.text}`,
      timeout: '2s',
      on: { SUMMARY: { target: 'done', output: summary }, $timeout: 'failed' },
    },
    done: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

await night(
  {
    agents: [summariser],
    providers: {
      large: () => ({
        calls: [{ name: 'SUMMARY', arguments: { summary: 'Everything, at length.' } }],
        delayMs: 30_000,
      }),
      small: () => ({ calls: [{ name: 'SUMMARY', arguments: { summary: 'Slow provider, quick fallback.' } }] }),
    },
  },
  async ({ box, asked }) => {
    await (await box.start(summariser, { text: 'It was a long night.' }, { id: 'slow' })).result()
    await tell(box, 'slow')
    const { context } = await box.show('slow')
    console.log(`\nsummary: ${String(context['summary'])}`)
    console.log(`On the wire: large was asked ${asked('large')} time, small ${asked('small')} time.`)
  },
)
