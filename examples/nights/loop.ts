// The night a tool says "retry" for ever, and the model does as it is told. The same call with the same answer is no
// progress; a call that is a little different each time meets a limit on calls; and whatever it does, money has a ceiling,
// and a human is asked before it is used up.
//
//   npx node examples/nights/loop.ts

import { defineAgent, defineContext, defineTool, usd } from 'signalbox'
import { z } from 'zod'
import { night, tell } from './night.ts'

const deploy = defineTool({
  name: 'deploy',
  description: 'Deploys the service.',
  inputSchema: z.object({ wait: z.int() }),
  effect: 'external',
  idempotent: true,
  execute: () => 'Busy. Retry.',
})

const deployer = defineAgent({
  name: 'deployer',
  version: '1',
  context: defineContext({ mood: z.enum(['stubborn', 'inventive', 'talkative']) }),
  limits: { toolCalls: 6, cost: usd(0.02) },
  initial: 'deploy',
  on: { $error: 'failed', $timeout: 'failed', $stuck: 'rollBack', $limit: 'rollBack' },
  states: {
    deploy: {
      model: 'main',
      prompt: ({ context }) => `Deploy it. (${context.mood})`,
      tools: [deploy],
      outputTokens: 500,
      on: { DEPLOYED: 'deployed' },
    },
    rollBack: { run: () => 'DONE', on: { DONE: 'rolledBack' } },
    deployed: { type: 'final' },
    rolledBack: { type: 'final', failure: true },
    failed: { type: 'final', failure: true },
  },
})

await night(
  {
    agents: [deployer],
    providers: {
      main: ({ turn, prompt }) => {
        const mood = /\((\w+)\)/.exec(prompt)?.[1]
        const usage =
          mood === 'talkative' ? { inputTokens: 400, outputTokens: 450 } : { inputTokens: 400, outputTokens: 20 }
        return { calls: [{ name: 'deploy', arguments: { wait: mood === 'stubborn' ? 5 : turn } }], usage }
      },
    },
  },
  async ({ box, asked }) => {
    for (const mood of ['stubborn', 'inventive', 'talkative'] as const) {
      await (await box.start(deployer, { mood }, { id: mood })).rest()
      await tell(box, mood)
    }
    for (const { item, question } of await box.inbox()) console.log(`\n${item}: ${question}`)
    console.log(`\nOn the wire: the model was asked ${asked('main')} times. No loop was endless.`)
  },
)
