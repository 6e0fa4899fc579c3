// An audit of the log of one task, or of all: each proved whole by itself, and held against anchors outside the store, which
// know what no log can say of itself. It says what it found, and what nobody can know from what it was given.

import { anchorsIn, judge } from '../anchors.ts'
import { keysOf } from '../store/key.ts'
import type { Store, Verification } from '../store/store.ts'

/** What to hold a log against. */
export interface VerifyOptions {
  /** Told the number of tasks done. */
  readonly progress?: (tasks: number) => void
  /** The path of an anchors file. */
  readonly anchors?: string
  /** The keys, as PEM, whose signatures count. Without any, anchors are believed as they are. */
  readonly publicKeys?: readonly string[]
}

/** What `verify` looked at and found, and what nobody can know from what it was given. */
export interface Audit extends Verification {
  /** How many anchors the store was held against. */
  readonly anchors: number
  readonly notProved: readonly string[]
}

/** What a log cannot say of itself. */
const unanchored: readonly string[] = [
  'that no tail was cut off together with the head that remembers it',
  'that no task was removed with all its rows',
  'that the store is not an older copy that was put back, or one that has gone on by itself',
  'that no chain was computed anew after an edit, by somebody who can write to the store',
]

/** Proves the log of one task, or of all, whole; with anchors, also what no log can say of itself. Throws ANCHORS_INVALID. */
export async function audit(store: Store, taskId: string | undefined, options: VerifyOptions): Promise<Audit> {
  const keys = options.publicKeys && keysOf(options.publicKeys)
  // Read before the store: what is anchored while we look is then not taken for missing.
  const anchors = options.anchors === undefined ? undefined : anchorsIn(options.anchors)
  const proved = await store.verify(taskId, options.progress)
  if (!anchors) return { ...proved, anchors: 0, notProved: unanchored }
  const verdict = await judge(store, anchors, keys, taskId)
  const rest = Math.max(0, proved.events - verdict.events)
  return {
    ...proved,
    anchors: anchors.length,
    findings: [...proved.findings, ...verdict.findings],
    notProved: [
      ...(keys ? [] : ['that the anchors were signed by the holder of the key: give --public-key']),
      ...(rest > 0 ? [`that ${rest} events are as they were written: they are newer than the last anchor`] : []),
    ],
  }
}
