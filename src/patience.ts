// Patience with a store that is away: what came of a step is not thrown away because it could not be written at once.

import { isFault } from './core/fault.ts'
import type { Runtime } from './runtime.ts'

/** How long to wait before a store that is away is spoken to again, at first. */
export const awayMinMs = 100
/** The same, at most. */
export const awayMaxMs = 5_000

/** Somebody who may have to wait. */
export interface Waiting {
  readonly taskId: string
  /** Whether there is nothing to wait for any more. */
  readonly lost: boolean
  /** Ends the wait before its time. */
  wake: (() => void) | undefined
}

/** Where one waits. */
export interface WaitingRoom {
  readonly ports: { readonly runtime: Runtime }
  /** Whether everybody was told to stop. */
  readonly stopping: () => boolean
  /** Told about failures that are survived. */
  readonly onFault: (fault: unknown, taskId?: string) => void
}

/** Failures of a store that pass. One that is damaged, or somebody else's, is not waited for. */
function isAway(thrown: unknown): boolean {
  return (['STORE_FAILED', 'STORE_FULL', 'STORE_LOCKED'] as const).some((code) => isFault(thrown, code))
}

/**
 * Speaks to the store, and waits while it is away. Whether the task is still ours is for the store to say when it is back.
 * Throws what does not pass, and whatever was thrown last when who waits is told to stop.
 */
export async function patiently<T>(
  waiting: Waiting,
  { ports, stopping, onFault }: WaitingRoom,
  speak: () => Promise<T>,
): Promise<T> {
  for (let pauseMs = awayMinMs; ; pauseMs = Math.min(awayMaxMs, 2 * pauseMs)) {
    try {
      return await speak()
    } catch (thrown) {
      if (!isAway(thrown) || stopping() || waiting.lost) throw thrown
      onFault(thrown, waiting.taskId)
    }
    await new Promise<void>((resolve) => {
      waiting.wake = resolve
      ports.runtime.setTimer(pauseMs, resolve)
    })
  }
}
