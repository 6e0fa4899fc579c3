// The store's contract on PostgreSQL, and what is PostgreSQL's alone.

import { Pool } from 'pg'
import { openPostgres } from '../../src/store/postgres/engine.ts'
import { derivedTables } from '../../src/store/statements.ts'
import { postgresAddress } from '../engines.ts'
import { contract } from './contract.ts'
import { familyContract } from './family.ts'

contract('PostgreSQL', async () => {
  const address = await postgresAddress()
  return { store: await openPostgres(address), dump: () => dump(address) }
})

familyContract('PostgreSQL', async () => openPostgres(await postgresAddress()))

async function dump(address: string): Promise<unknown> {
  const url = new URL(address)
  const schema = url.searchParams.get('schema')!
  url.search = ''
  const pool = new Pool({ connectionString: url.href, max: 1 })
  try {
    const rows = async (table: string): Promise<Record<string, unknown>[]> =>
      (await pool.query(`SELECT * FROM ${schema}.${table} ORDER BY 1, 2, 3`)).rows
    const waiting = (await rows('slots')).filter(({ status }) => status === 'waiting')
    const queued = new Set(waiting.map(({ taskId }) => taskId))
    const found: Record<string, unknown> = {}
    for (const table of derivedTables) found[table] = await rows(table)
    // Who waits before a gate is called up by whoever leaves it: earlier than its own log says, and only a hint.
    const jobs = (found['jobs'] as Record<string, unknown>[]).map((job) =>
      queued.has(job['taskId']) ? { ...job, availableAtMs: 'when called' } : job,
    )
    return { ...found, jobs }
  } finally {
    await pool.end()
  }
}
