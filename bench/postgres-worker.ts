// A worker process of the bench: does some tasks of its own, so that what is measured is a worker that has served before,
// and tells when they are done; works on what there is when it is told to, and leaves when stdin ends.
//
// node postgres-worker.ts STORE TURNS CONCURRENCY WARM

import { createOrchestrator } from '../src/orchestrator.ts'
import { agent, modelOf } from './workload.ts'

const [, , store, turns, concurrency, warm] = process.argv
const serve = (): ReturnType<typeof createOrchestrator> =>
  createOrchestrator({
    store: store!,
    agents: [agent],
    models: { main: modelOf(Number(turns)) },
    concurrency: Number(concurrency),
  })
const before = await serve()
const tasks = await Promise.all(Array.from({ length: Number(warm) }, () => before.start(agent, { goal: 'g' })))
await Promise.all(tasks.map((task) => task.result()))
await before.stop()
process.stdout.write('ready\n')
const told = process.stdin[Symbol.asyncIterator]()
await told.next()
const box = await serve()
await told.next()
await box.stop()
