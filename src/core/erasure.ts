// Erasing a payload: what a task was told or answered is taken out of the store for good, and the log says who did it
// and why. The events stay, and so do their hashes, so the chain still proves that something was there and what stood
// around it. Only a task that has ended can lose a payload: a step that is still to be decided needs all of them.

import { emit, type Draft } from './draft.ts'
import { Fault } from './fault.ts'
import type { Json } from './json.ts'
import { isEnded } from './task.ts'

/** What is read in the place of an erased payload. */
export const erased: Json = Object.freeze({ $erased: true })

/** Is this what stands in the place of an erased payload? */
export function isErased(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (value as { $erased?: unknown }).$erased === true
}

/** Records that payloads are erased, each by its place. The store takes them out when this is written. Throws TASK_RUNNING. */
export function erase(
  work: Draft,
  places: readonly { readonly seq: number; readonly hash: string }[],
  given: { readonly by: string; readonly reason: string },
): void {
  const { task } = work
  if (!isEnded(task)) {
    throw new Fault(
      'TASK_RUNNING',
      `Task ${task.id} has not ended (${task.status}); nothing was erased.`,
      `Wait for its end, or end it: signalbox cancel ${task.id}.`,
    )
  }
  const { by, reason } = given
  for (const { seq, hash } of places) emit(work, 'payload.erased', { seq, hash, by, reason })
}
