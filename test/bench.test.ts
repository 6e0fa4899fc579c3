// The bench measures and asserts nothing; that it can still be run is asserted here, on a small scale. Each engine has a
// bench of its own, beside its own limits.

import { join } from 'node:path'
import { expect, test } from 'vitest'
import { manyChildren } from '../bench/children.ts'
import { measurePostgres } from '../bench/postgres.ts'
import { readCommits, writeRaw } from '../bench/raw.ts'
import { agent, modelOf } from '../bench/workload.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { folder } from './folder.ts'
import { admin, testDatabase } from './postgres.ts'

test('the bench can write again what a task has written, and join children', async () => {
  const path = join(folder(), 'store.db')
  const box = await createOrchestrator({ store: `sqlite:${path}`, agents: [agent], models: { main: modelOf(3) } })
  await (await box.start(agent, { goal: 'g' }, { id: 'measured' })).result()
  await box.stop()
  expect(writeRaw(`${path}.raw`, readCommits(path, 'measured'), 1)).toBeGreaterThan(0)
  expect(await manyChildren(folder(), 12)).toMatchObject({ what: 'a parent of 12 children' })
})

test('the bench of PostgreSQL measures each of its cases, and leaves nothing behind', async () => {
  const url = await testDatabase()
  const told: string[] = []
  const scale = { turns: 10, longTurns: 20, tasks: 8, others: 1_000, rounds: 1 }
  await measurePostgres(
    url,
    ({ what, ...figures }) => {
      told.push(what)
      for (const [name, value] of Object.entries(figures)) expect(value, `${what}: ${name}`).toBeGreaterThan(0)
    },
    scale,
  )
  expect(told).toHaveLength(7)
  expect(await admin(url, `SELECT nspname FROM pg_namespace WHERE nspname LIKE 'bench%'`)).toEqual([])
})
