// What an engine is: it runs transactions that are values (see tx) on a database.

import type { WritePoint } from '../runtime.ts'
import type { Tx } from './tx.ts'

/** How a write may be done. */
export interface WriteOptions<T> {
  /**
   * The same write for an engine that would have to ask: it takes for granted what the whole one asks first, and what it
   * takes for granted is checked where it is written. If it does not hold, nothing is written, and the whole one is run.
   */
  readonly assumed?: () => Tx<T>
  /** Everything that it reads is to be of one moment, also what it reads without a lock. */
  readonly steady?: boolean
}

/** Runs transactions. A transaction may be run more than once, when what was done before has come to nothing. */
export interface Engine {
  /** Runs a write: durable when fulfilled, all of it or nothing. */
  write<T>(point: WritePoint, body: () => Tx<T>, options?: WriteOptions<T>): Promise<T>
  /** Runs a read. `steady`: everything that it reads is of one moment. */
  read<T>(body: () => Tx<T>, options?: { readonly steady?: boolean }): Promise<T>
  /** Makes sure that what was erased is nowhere on the disk. False: somebody is in the way; ask again. */
  wipe(): Promise<boolean>
  /** Whether other processes hear what is announced. */
  readonly tells: boolean
  /** Tells other processes that tasks have changed: a hint. */
  announce(taskIds: readonly string[]): void
  /** Calls back when another process tells that tasks have changed: a hint. The last who asks is called. */
  listen(heard: (taskIds: readonly string[]) => void): void
  /** The database's clock, in ms since 1970; undefined where it is this machine's. */
  now(): Promise<number | undefined>
  /** Finishes what was asked for and closes. */
  close(): Promise<void>
}
