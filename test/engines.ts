// The engines that every promise is held to, real ones: a file in a folder of its own, and a schema of its own in a
// PostgreSQL server. What is tested on an engine is tested on each: a file that takes its `test` from here runs it once for
// each engine, and a store that it opens at `address()` is in the engine whose turn it is. What can be tested on one engine
// only takes its `test` from vitest, and says why.

import { join } from 'node:path'
import { onTestFinished, test as testOnce, type TestAPI, type TestFunction, type TestOptions } from 'vitest'
import { systemRuntime } from '../src/runtime.ts'
import { openStore } from '../src/store/open.ts'
import type { Store } from '../src/store/store.ts'
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

/** The engine whose turn it is. Tests of a file run one after the other; whoever runs once is on SQLite. */
let turn: TestEngine = sqlite

/** A store of its own for the running test, in the engine whose turn it is. */
export const address = (): Promise<string> => turn.address()

/** A store that is open until the running test ends: the one at `at`, or one of its own. */
export async function opened(at?: string): Promise<Store> {
  const store = await openStore(at ?? (await address()), { runtime: systemRuntime })
  onTestFinished(() => store.close())
  return store
}

/** Which engine's turn it is, for a test that has to know. */
export const engine = (): TestEngine['name'] => turn.name

type Register = (name: string, ...given: any[]) => void

function onEach(register: Register): Register {
  return (name, ...given) => {
    const body = given.pop() as (...args: unknown[]) => unknown
    for (const its of engines)
      register(`${name} (${its.name})`, ...given, async (...args: unknown[]) => {
        turn = its
        try {
          await body(...args)
        } finally {
          turn = sqlite
        }
      })
  }
}

/** `test` of vitest, once for each engine. */
export const test = Object.assign(onEach(testOnce), {
  each: (cases: readonly unknown[]) => onEach(testOnce.each(cases)),
}) as Pick<TestAPI, 'each'> & {
  (name: string, body: TestFunction): void
  (name: string, options: TestOptions, body: TestFunction): void
}
