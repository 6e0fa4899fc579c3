// Finds the engine that a store's address asks for, opens a store and brings it up to date.

import { Fault } from '../core/fault.ts'
import type { Runtime } from '../runtime.ts'
import type { Migrated, Migration } from './migration.ts'
import { readAddress } from './postgres/connection.ts'
import { openPostgres } from './postgres/engine.ts'
import { migrations as postgresMigrations, rolesSql } from './postgres/schema.ts'
import { openSqlite } from './sqlite/engine.ts'
import { migrations as sqliteMigrations } from './sqlite/schema.ts'
import type { Store } from './store.ts'

/** How to open a store. */
export interface OpenOptions {
  readonly runtime: Runtime
  /** Make the store when there is none. Default true. */
  readonly create?: boolean
  readonly migrated?: Migrated
}

/** Opens `sqlite:PATH` or `postgres://…`. Throws STORE_UNSUPPORTED for any other address, and what the engine throws. */
export async function openStore(address: string, { runtime, create = true, migrated }: OpenOptions): Promise<Store> {
  const options = {
    create,
    now: () => runtime.now(),
    ...(runtime.probe === undefined ? {} : { probe: runtime.probe }),
    ...(migrated === undefined ? {} : { migrated }),
  }
  if (isPostgres(address)) return openPostgres(address, { ...options, random: () => runtime.random() })
  const [, path] = /^sqlite:(.+)$/.exec(address) ?? []
  if (path !== undefined) return openSqlite(path, options)
  throw new Fault(
    'STORE_UNSUPPORTED',
    `${JSON.stringify(address)} is not a store that Signalbox can open.`,
    'Write sqlite:PATH, such as sqlite:./signalbox.db, or postgres://HOST/DATABASE.',
  )
}

function isPostgres(address: string): boolean {
  return /^postgres(ql)?:/.test(address)
}

/** A store that was brought up to date. */
export interface UpToDate {
  /** Its address, without a password. */
  readonly store: string
  /** The number of the newest step of its schema. */
  readonly version: number
  /** The steps that it took; none where it was up to date. */
  readonly applied: readonly Pick<Migration, 'version' | 'name'>[]
}

/** Brings a store up to date, as opening it does, and says what that took. Makes one where there is none. */
export async function migrateStore(address: string, { runtime }: Pick<OpenOptions, 'runtime'>): Promise<UpToDate> {
  const applied: Pick<Migration, 'version' | 'name'>[] = []
  const store = await openStore(address, {
    runtime,
    migrated: ({ version, name }) => void applied.push({ version, name }),
  })
  await store.close()
  const migrations = isPostgres(address) ? postgresMigrations : sqliteMigrations
  return { store: shownAddress(address), version: migrations.at(-1)!.version, applied }
}

/** A store's address for people: without a password. Throws STORE_UNSUPPORTED where it cannot be read. */
export function shownAddress(address: string): string {
  return isPostgres(address) ? readAddress(address).shown : address
}

/** The SQL that lets workers log in with no right to change what was logged. Throws STORE_UNSUPPORTED for a store without roles. */
export function rolesFor(address: string, role: string): string {
  if (isPostgres(address)) return rolesSql(readAddress(address).schema, role)
  throw new Fault(
    'STORE_UNSUPPORTED',
    `${JSON.stringify(address)} is not in PostgreSQL, and only there are roles.`,
    'Who may write a SQLite file may write all of it: give it to one user. For roles, --store postgres://HOST/DATABASE.',
  )
}
