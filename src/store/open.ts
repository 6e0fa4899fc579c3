// Finds the engine that a store's address asks for.

import { Fault } from '../core/fault.ts'
import type { Runtime } from '../runtime.ts'
import { openPostgres } from './postgres/engine.ts'
import { openSqlite } from './sqlite/engine.ts'
import type { Store } from './store.ts'

/** How to open a store. */
export interface OpenOptions {
  readonly runtime: Runtime
  /** Make the store when there is none. Default true. */
  readonly create?: boolean
}

/** Opens `sqlite:PATH` or `postgres://…`. Throws STORE_UNSUPPORTED for any other address, and what the engine throws. */
export async function openStore(address: string, { runtime, create = true }: OpenOptions): Promise<Store> {
  const options = { create, now: () => runtime.now(), ...(runtime.probe === undefined ? {} : { probe: runtime.probe }) }
  if (/^postgres(ql)?:/.test(address)) return openPostgres(address, options)
  const [, path] = /^sqlite:(.+)$/.exec(address) ?? []
  if (path !== undefined) return openSqlite(path, options)
  throw new Fault(
    'STORE_UNSUPPORTED',
    `${JSON.stringify(address)} is not a store that Signalbox can open.`,
    'Write sqlite:PATH, such as sqlite:./signalbox.db, or postgres://HOST/DATABASE.',
  )
}
