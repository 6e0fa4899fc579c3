// The bench measures and asserts nothing; that it can still be run is asserted here, on a small scale, and on SQLite only:
// it measures files.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { manyChildren } from '../bench/children.ts'
import { readCommits, writeRaw } from '../bench/raw.ts'
import { agent, modelOf } from '../bench/workload.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { folder } from './folder.ts'

test('the bench can write again what a task has written, and join children', async () => {
  const path = join(folder(), 'store.db')
  const box = await createOrchestrator({ store: `sqlite:${path}`, agents: [agent], models: { main: modelOf(3) } })
  await (await box.start(agent, { goal: 'g' }, { id: 'measured' })).result()
  await box.stop()
  expect(writeRaw(`${path}.raw`, readCommits(path, 'measured'), 1)).toBeGreaterThan(0)
  expect(await manyChildren(folder(), 12)).toMatchObject({ what: 'a parent of 12 children' })
})
