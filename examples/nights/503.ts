// The night the provider answers 503. Its calls are tried again with jitter; then its breaker opens and the backup takes
// over; the next task does not even ask; and when it is well again, one probe finds out.
//
//   npx node examples/nights/503.ts

import { setTimeout as wait } from 'node:timers/promises'
import { defineAgent, defineContext } from 'signalbox'
import { z } from 'zod'
import { night, tell } from './night.ts'

const answerer = defineAgent({
  name: 'answerer',
  version: '1',
  context: defineContext({ question: z.string(), answer: z.string().optional() }),
  initial: 'answer',
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    answer: {
      model: ['main', 'backup'],
      retry: { attempts: 4 },
      prompt: ({ context }) => context.question,
      on: { ANSWER: { target: 'answered', output: z.object({ answer: z.string() }) } },
    },
    answered: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

let down = true
const says = (answer: string) => ({ calls: [{ name: 'ANSWER', arguments: { answer } }] })

await night(
  {
    agents: [answerer],
    providers: {
      main: () => (down ? { status: 503, body: 'upstream connect error' } : says('42, says main')),
      backup: () => says('42, says the backup'),
    },
    quotas: { main: { breaker: { failures: 3, coolDown: '3s' } } },
  },
  async ({ box, asked }) => {
    const ask = async (id: string): Promise<void> => {
      await (await box.start(answerer, { question: 'What is it?' }, { id })).result()
      await tell(box, id)
    }
    await ask('while-it-fails')
    await ask('while-its-breaker-is-open')
    down = false
    await wait(3_000)
    await ask('when-it-is-well-again')
    console.log(`\nOn the wire: main was asked ${asked('main')} times, backup ${asked('backup')} times.`)
  },
)
