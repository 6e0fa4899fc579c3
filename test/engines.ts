// The engines that every promise is held to, real ones: a file in a folder of its own, and a schema of its own in a
// PostgreSQL server. What is tested on an engine is tested on each.

import { join } from 'node:path'
import { folder } from './folder.ts'
import { testDatabase } from './postgres.ts'

/** An engine, and how to come by an empty store in it. */
export interface TestEngine {
  readonly name: 'SQLite' | 'PostgreSQL'
  /** The address of a store that nobody has opened yet. */
  address(): Promise<string>
}

let database: Promise<string> | undefined
let schemas = 0

/** A store of its own in the PostgreSQL server of this run. */
export async function postgresAddress(): Promise<string> {
  const url = new URL(await (database ??= testDatabase({ lasting: true })))
  url.searchParams.set('schema', `t${(schemas += 1)}`)
  return url.href
}

export const sqlite: TestEngine = { name: 'SQLite', address: async () => `sqlite:${join(folder(), 'store.db')}` }
export const postgres: TestEngine = { name: 'PostgreSQL', address: postgresAddress }
export const engines: readonly TestEngine[] = [sqlite, postgres]
