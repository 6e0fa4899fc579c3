// Erases payloads of a task: their bodies go, and that they did is an event. What others still need is not erased.

import { erase } from '../core/erasure.ts'
import { Fault, isFault } from '../core/fault.ts'
import { isEnded } from '../core/task.ts'
import { insist, rowOf, sayOnce, type Desk } from '../door.ts'
import { erasable } from '../store/erasable.ts'
import type { Store } from '../store/store.ts'

/** What is erased, and because of whom. Without `seq`: all payloads of the task. */
export interface EraseOptions {
  readonly seq?: number
  readonly by: string
  readonly reason: string
}

/** What an erasure did. */
export interface Erased {
  /** How many payloads. */
  readonly erased: number
  /** False while the files of the store still hold the bytes, for others use them, we do not own them, or the disk is full. */
  readonly wiped: boolean
}

/** Erases payloads of a task that has ended. Throws TASK_UNKNOWN, TASK_RUNNING or PAYLOAD_UNKNOWN. */
export async function eraseTask(desk: Desk, taskId: string, given: EraseOptions): Promise<Erased> {
  const { store } = desk
  const { contextOf } = await rowOf(desk, taskId)
  const owner = contextOf === null ? undefined : await store.task(contextOf)
  if (owner && !isEnded(owner)) {
    const what = `Task ${taskId} wrote to the context of ${owner.taskId}, which has not ended.`
    throw new Fault('TASK_RUNNING', what, 'Wait until it has ended, or cancel it.')
  }
  let erased = 0
  await insist(`task ${taskId}`, async () => {
    const sealed = await store.readSealed(taskId)
    const places = erasable(taskId, sealed, await store.read(taskId, { limit: sealed.length }), given.seq)
    erased = places.length
    let stale = false
    const said = await sayOnce(desk, taskId, 'erase', (work) => {
      // What came late in the meantime is to be erased, too.
      stale = work.task.seq !== sealed.length
      if (!stale) erase(work, places, given)
    })
    return said && !stale
  })
  return { erased, wiped: await wipe(store) }
}

/** What was erased stays erased where the disk has no room for its files to be written anew. */
async function wipe(store: Store): Promise<boolean> {
  try {
    return await store.wipe()
  } catch (thrown) {
    if (isFault(thrown, 'STORE_FULL')) return false
    throw thrown
  }
}
