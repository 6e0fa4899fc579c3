// A worker process of the bench. First it does some tasks of its own, so that what is measured is a worker that has served
// before. Then it does what it is told, line by line, and says when it has: `start COUNT NAME` starts tasks and leaves them
// alone, `work` works on what there is until stdin ends.
//
// node postgres-worker.ts STORE TURNS CONCURRENCY WARM

import { createInterface } from 'node:readline'
import { createOrchestrator, type Orchestrator, type TaskHandle } from '../src/orchestrator.ts'
import { agent, modelOf } from './workload.ts'

const [, , store, turns, concurrency, warm] = process.argv
const open = (work: boolean): Promise<Orchestrator> =>
  createOrchestrator({
    store: store!,
    agents: [agent],
    models: { main: modelOf(Number(turns)) },
    concurrency: Number(concurrency),
    work,
  })
const start = (box: Orchestrator, count: number, name: string): Promise<readonly TaskHandle[]> =>
  Promise.all(Array.from({ length: count }, (_, at) => box.start(agent, { goal: 'g' }, { id: `${name}-${at}` })))

const before = await open(true)
for (const task of await start(before, Number(warm), `warm-${process.pid}`)) await task.result()
await before.stop()
process.stdout.write('ready\n')
let box: Orchestrator | undefined
for await (const line of createInterface({ input: process.stdin })) {
  const [word, count, name] = line.split(' ')
  if (word === 'start') {
    const idle = await open(false)
    await start(idle, Number(count), name!)
    await idle.stop()
  } else box = await open(true)
  process.stdout.write('done\n')
}
await box?.stop()
