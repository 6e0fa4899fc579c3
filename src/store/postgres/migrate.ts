// Brings a database up to date, forwards only, and refuses what is not ours before anything is written. However many
// processes start at once, one migrates and the others wait for it. Who may not create tables need not, when they are there.

import type { PoolClient } from 'pg'
import { Fault } from '../../core/fault.ts'
import type { Address } from './connection.ts'
import { alteredStore, newerStore, type Migrated, type Migration } from '../migration.ts'
import { migrations } from './schema.ts'

/** Any number, but always the same: it names the lock that one migration at a time holds. */
const lockId = 0x53474258

/** Throws STORE_MISSING (when nothing is to be made), STORE_NOT_OURS, STORE_NEWER or STORE_ALTERED, and what `pg` throws. */
export async function migrate(
  client: PoolClient,
  address: Address,
  {
    create = true,
    now = Date.now,
    migrated = () => undefined,
  }: { readonly create?: boolean; readonly now?: () => number; readonly migrated?: Migrated },
): Promise<void> {
  if (await isUpToDate(client, address, create)) return
  const made: Migration[] = []
  await client.query('BEGIN')
  try {
    // Another process may be at it. It is waited for as long as it takes.
    await client.query(`SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0`)
    await client.query(`SELECT pg_advisory_xact_lock(${lockId})`)
    const applied = await appliedIn(client, address.schema)
    if (applied === undefined) {
      await client.query(`CREATE SCHEMA IF NOT EXISTS ${address.schema}`)
      await client.query(
        'CREATE TABLE migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, "appliedAtMs" BIGINT NOT NULL)',
      )
    }
    for (const migration of migrations) {
      const { version, name, sql, checksum } = migration
      if (applied?.has(version)) continue
      await client.query(sql)
      await client.query('INSERT INTO migrations VALUES ($1, $2, $3, $4)', [version, name, checksum, now()])
      made.push(migration)
    }
    await client.query('COMMIT')
  } catch (thrown) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw thrown
  }
  for (const migration of made) migrated(migration)
}

async function isUpToDate(client: PoolClient, address: Address, create: boolean): Promise<boolean> {
  const { schema, shown } = address
  const applied = await appliedIn(client, schema)
  if (applied === undefined) {
    const taken = await client.query(
      `SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename IN ('events', 'payloads', 'tasks', 'migrations') LIMIT 1`,
      [schema],
    )
    if (taken.rows.length > 0) {
      // Another process may have made the store between the two looks.
      if (await appliedIn(client, schema)) return isUpToDate(client, address, create)
      throw new Fault(
        'STORE_NOT_OURS',
        `The schema ${schema} of ${shown} holds tables of another program.`,
        'Choose another with ?schema=NAME; nothing was touched.',
      )
    }
    if (create) return false
    throw new Fault(
      'STORE_MISSING',
      `There is no store in the schema ${schema} of ${shown}.`,
      'Check the address, or start a task to make one.',
    )
  }
  const newest = Math.max(0, ...applied.keys())
  const last = migrations.at(-1)!.version
  if (newest > last) throw newerStore(shown, newest, last)
  for (const migration of migrations) {
    const there = applied.get(migration.version)
    if (there !== undefined && there !== migration.checksum) throw alteredStore(shown, migration)
  }
  return migrations.every(({ version }) => applied.has(version))
}

/** The checksums of what was applied, by version; undefined where nothing of ours is. */
async function appliedIn(client: PoolClient, schema: string): Promise<ReadonlyMap<number, string> | undefined> {
  const { rows: columns } = await client.query(
    `SELECT 1 FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'migrations' AND column_name = 'checksum'`,
    [schema],
  )
  if (columns.length === 0) return undefined
  const { rows } = await client.query<{ version: number; checksum: string }>(
    'SELECT version, checksum FROM migrations ORDER BY version',
  )
  return new Map(rows.map(({ version, checksum }) => [Number(version), checksum]))
}
