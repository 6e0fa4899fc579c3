// A transaction as a value: it asks for statements by name and is answered, and knows nothing of who runs them. An engine
// whose database is in the process answers at once; one whose database is elsewhere sends what nobody waits for together
// with the next question. So what a commit checks and writes is told once, for every engine.

import { assert, Fault } from '../core/fault.ts'
import type { StatementName } from './statements.ts'

/** What a statement is given, and what a row is made of. */
export type Value = string | number | null

/** A row, by column. */
export type Row = Readonly<Record<string, Value>>

/** A statement that is to be run. `run`: nobody waits for what comes of it. `change`: how many rows it changed. */
export interface Call {
  readonly name: StatementName
  readonly params: readonly Value[]
  readonly want: 'one' | 'all' | 'change' | 'run'
}

/** A statement that is to be run, and what it is given. */
export type Write = readonly [name: StatementName, ...params: Value[]]

/** Yields a call, or several that may be asked at once, and is given the answer, or the answers. */
export type Tx<T> = Generator<Call | readonly Call[], T, any>

/** The first row that a statement finds. */
export function* one<T = Row>(name: StatementName, ...params: Value[]): Tx<T | undefined> {
  return (yield call(name, params, 'one')) as T | undefined
}

/** Every row that a statement finds. */
export function* all<T = Row>(name: StatementName, ...params: Value[]): Tx<readonly T[]> {
  return (yield call(name, params, 'all')) as readonly T[]
}

/** Runs a statement. */
export function* run(name: StatementName, ...params: Value[]): Tx<void> {
  yield call(name, params, 'run')
}

/** Runs statements, one after the other. */
export function* runAll(writes: readonly Write[]): Tx<void> {
  for (const [name, ...params] of writes) yield call(name, params, 'run')
}

/** Runs a statement, and says how many rows it changed. */
export function* change(name: StatementName, ...params: Value[]): Tx<number> {
  return (yield call(name, params, 'change')) as number
}

/** Asks several at once, each for the rows that it finds. */
export function* together<T extends readonly (readonly unknown[])[]>(
  ...asked: { readonly [Index in keyof T]: readonly [StatementName, ...Value[]] }
): Tx<T> {
  return (yield asked.map(([name, ...params]) => call(name, params, 'all'))) as T
}

/** Plays a transaction to its end where each call is answered at once. */
export function play<T>(tx: Tx<T>, answer: (call: Call) => unknown): T {
  let { done, value } = tx.next()
  while (!done) {
    const asked = value as Call | readonly Call[]
    ;({ done, value } = tx.next('name' in asked ? answer(asked) : asked.map(answer)))
  }
  return value as T
}

/** The same where answers take their time. `ask` is given all that is asked at once; `keep` may take a call that nobody waits for. */
export async function playOn<T>(
  tx: Tx<T>,
  ask: (calls: readonly Call[]) => Promise<readonly unknown[]>,
  keep: (call: Call) => boolean,
): Promise<T> {
  let { done, value } = tx.next()
  while (!done) {
    const asked = value as Call | readonly Call[]
    let answer: unknown
    if (!('name' in asked)) answer = await ask(asked)
    else if (!keep(asked)) [answer] = await ask([asked])
    ;({ done, value } = tx.next(answer))
  }
  return value as T
}

/** Throws TEXT_INVALID for a text that one engine would change or cut, and another refuse. Inside JSON such a thing is escaped. */
function call(name: StatementName, params: readonly Value[], want: Call['want']): Call {
  for (const value of params) {
    if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
      throw new Fault(
        'TEXT_INVALID',
        `The text ${JSON.stringify(value.slice(0, 100))} holds a NUL or half a character, which a database cannot hold.`,
        'Leave it out; nothing was written.',
      )
    }
    // One that is larger comes back as no number at all, and whoever lists it could list nothing.
    assert(typeof value !== 'number' || Math.abs(value) <= Number.MAX_SAFE_INTEGER, 'a number in a store comes back')
  }
  return { name, params, want }
}
