// A transaction as a value: it asks for statements by name and is answered, and knows nothing of who runs them. An engine
// whose database is in the process answers at once; one whose database is elsewhere sends what nobody waits for together
// with the next question. So what a commit checks and writes is told once, for every engine.

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

/** Yields a call, or several that may be asked at once, and is given the answer, or the answers. */
export type Tx<T> = Generator<Call | readonly Call[], T, any>

/** The first row that a statement finds. */
export function* one<T = Row>(name: StatementName, ...params: Value[]): Tx<T | undefined> {
  return (yield { name, params, want: 'one' }) as T | undefined
}

/** Every row that a statement finds. */
export function* all<T = Row>(name: StatementName, ...params: Value[]): Tx<readonly T[]> {
  return (yield { name, params, want: 'all' }) as readonly T[]
}

/** Runs a statement. */
export function* run(name: StatementName, ...params: Value[]): Tx<void> {
  yield { name, params, want: 'run' }
}

/** Runs a statement, and says how many rows it changed. */
export function* change(name: StatementName, ...params: Value[]): Tx<number> {
  return (yield { name, params, want: 'change' }) as number
}

/** Asks several at once, each for the rows that it finds. */
export function* together<T extends readonly (readonly unknown[])[]>(
  ...asked: { readonly [Index in keyof T]: readonly [StatementName, ...Value[]] }
): Tx<T> {
  return (yield asked.map(([name, ...params]) => ({ name, params, want: 'all' }) satisfies Call)) as T
}
