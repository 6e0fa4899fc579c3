// A13: the replay corpus. What an earlier engine has recorded, this one reads to the same heads and tells the same of, event
// by event. A recording that comes out otherwise means that running tasks would: the fold is mended, not the recording.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test as once } from 'vitest'
import { fold } from '../../src/core/fold.ts'
import { emptyTask } from '../../src/core/task.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { address, engine, opened, test } from '../engines.ts'
import { logNames, told } from './corpus.ts'

const names = logNames
const read = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8')

test.each(names)(
  'A13: the log %s comes to the same head, and to the same task after each of its events',
  async (name) => {
    const store = await opened(engine() === 'SQLite' ? 'sqlite::memory:' : await address())
    const box = await createOrchestrator({ store, work: false })
    onTestFinished(async () => {
      await box.stop()
      await store.close()
    })
    const recorded = JSON.parse(read(`${name}.told.json`)) as { head: object }
    const taken = await box.import(read(`${name}.json`))
    const { taskId } = taken
    expect(taken).toMatchObject(recorded.head)
    // A later engine may tell more of a task, and nothing else.
    expect(await told(box, taskId)).toMatchObject(recorded)
    expect((await box.verify()).findings).toEqual([])
    await store.rebuild()
    expect(await told(box, taskId)).toMatchObject(recorded)
    // Taken out again it is what it was.
    expect(JSON.parse(await box.export(taskId))).toEqual(JSON.parse(read(`${name}.json`)))
  },
)

test('A13: a log that is folded in two parts is the task that it is when folded at once', async () => {
  for (const name of names) {
    const store = await opened(engine() === 'SQLite' ? 'sqlite::memory:' : await address())
    const box = await createOrchestrator({ store, work: false })
    const { taskId } = await box.import(read(`${name}.json`))
    const events = await store.read(taskId)
    const whole = fold(emptyTask(taskId), events)
    const parts = fold(fold(emptyTask(taskId), events.slice(0, 7)), events.slice(7))
    expect([name, parts]).toEqual([name, whole])
    await box.stop()
    await store.close()
  }
})

once('the corpus holds every type of event that this engine writes', () => {
  const types = new Set(names.flatMap((name) => read(`${name}.json`).match(/(?<="type": ")[\w.]+/g) ?? []))
  const catalogue = readFileSync(join(import.meta.dirname, '../../src/core/format.ts'), 'utf8')
  const known = [...catalogue.matchAll(/^ {2}'([\w.]+)': true/gm)].map((match) => match[1]!)
  expect(known.filter((type) => !types.has(type))).toEqual([])
})
