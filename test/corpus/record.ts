// Records the corpus: tasks of many kinds, each exported as a user would, with what this engine tells of it. A recording is
// never made again, because a later engine must read what an earlier one has written; what is missing is added.
//
// node test/corpus/record.ts

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cancel } from '../../src/core/command.ts'
import { isEnded } from '../../src/core/task.ts'
import { draft } from '../../src/core/draft.ts'
import { createOrchestrator, type Orchestrator } from '../../src/orchestrator.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'
import { openSqlite } from '../../src/store/sqlite/engine.ts'
import { playHistory } from '../store/history.ts'
import { told } from './corpus.ts'
import { by, rest, scenes, type Scene } from './scenes.ts'

const here = import.meta.dirname
/** Writes down a task as a store has it. */
type Recorder = (box: Orchestrator, taskId: string) => Promise<void>

async function play({ agents, script = [], options = {}, act, task = 't' }: Scene, record: Recorder) {
  const store = await openSqlite(':memory:')
  const common = { store, env: {}, models: { main: scriptedModel(script) }, ...options }
  // With several, each is a version of the same agent, and takes the task over from the one before.
  for (const [index, agent] of agents.entries()) {
    const box = await createOrchestrator({ ...common, agents: [agent], only: 't' })
    await (index === 0 ? box.start(agent, { goal: 'to be kept' } as never, { id: 't', by: 'corpus' }) : box.adopt('t'))
    if (index < agents.length - 1) await rest(box)
    else {
      await act?.(box)
      await box.task('t').result()
      await record(box, task)
    }
    await box.drain(0)
  }
  await store.close()
}

/** A random history of the machine that has every kind of state, called off where it has not ended. */
async function history(seed: number, record: Recorder): Promise<void> {
  const store = await openSqlite(':memory:')
  let at = seed
  const choices = Array.from({ length: 90 }, () => (at = (at * 48_271) % 2_147_483_647) % 1_009)
  await playHistory(store, 't', { seed }, choices, ['v', { w: 1 }, [1, 'zwei']])
  const { task, head } = await store.load('t')
  if (!isEnded(task)) {
    const work = draft(task, task.updatedAtMs + 1)
    cancel(work, by)
    await store.commit({ point: 'cancel', head, events: work.events, task })
  }
  const box = await createOrchestrator({ store, work: false })
  await record(box, 't')
  await box.stop()
  await store.close()
}

// Small ones that hold every type of event between them.
const seeds = [396, 292, 275, 399, 63, 86, 392, 65]

const recordings: Record<string, (record: Recorder) => Promise<void>> = {
  ...Object.fromEntries(Object.entries(scenes).map(([name, scene]) => [name, (record) => play(scene, record)])),
  ...Object.fromEntries(seeds.map((seed) => [`history-${seed}`, (record) => history(7 * seed, record)])),
}

for (const [name, make] of Object.entries(recordings)) {
  const path = join(here, `${name}.json`)
  if (existsSync(path)) continue
  await make(async (box, taskId) => {
    const file = await box.export(taskId)
    if (file.includes(tmpdir())) throw new Error(`${name} holds a path of this machine`)
    writeFileSync(path, `${JSON.stringify(JSON.parse(file), undefined, 2)}\n`)
    writeFileSync(join(here, `${name}.told.json`), `${JSON.stringify(await told(box, taskId), undefined, 2)}\n`)
  })
  console.log(`${name}: ${readFileSync(path).length} bytes`)
}
