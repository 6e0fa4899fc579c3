// A worker process of the bench: starts tasks, as many as it is told, and tells when it is there; works when it is told to,
// and leaves when stdin ends.
//
// node postgres-worker.ts STORE TURNS CONCURRENCY TASKS NAME

import { createOrchestrator } from '../src/orchestrator.ts'
import { agent, modelOf } from './workload.ts'

const [, , store, turns, concurrency, tasks, name] = process.argv
const options = { store: store!, agents: [agent], models: { main: modelOf(Number(turns)) } }
const idle = await createOrchestrator({ ...options, work: false })
await Promise.all(
  Array.from({ length: Number(tasks) }, (_, at) => idle.start(agent, { goal: 'g' }, { id: `${name}-${at}` })),
)
await idle.stop()
process.stdout.write('ready\n')
const told = process.stdin[Symbol.asyncIterator]()
await told.next()
const box = await createOrchestrator({ ...options, concurrency: Number(concurrency) })
await told.next()
await box.stop()
