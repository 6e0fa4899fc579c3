// A process that starts, opens a new store, and tells when its first turn is durable.
//
// node first-turn.ts STORE

import { createOrchestrator } from '../dist/orchestrator.js'
import { agent, modelOf } from './workload.ts'

const box = await createOrchestrator({
  store: `sqlite:${process.argv[2]!}`,
  agents: [agent as never],
  models: { main: modelOf(1) },
})
const task = await box.start(agent as never, { goal: 'first' } as never)
for await (const { type } of task.events()) if (type === 'model.answered') break
process.stdout.write('durable\n')
await box.stop()
