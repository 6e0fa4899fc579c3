// Takes in a task that was taken out of another store, with its log, its labels and all that follows from them. A file is
// anyone's words: it is proved before anything is believed.

import { Fault, isFault, messageOf } from '../core/fault.ts'
import { isObject } from '../core/json.ts'
import { exportInvalid } from '../store/export.ts'
import { dataOf } from '../store/log.ts'
import type { Store, WholeTask } from '../store/store.ts'

/**
 * Takes in a task from a file, and answers with its id. Only one that has ended: any other would go on in two places. Throws
 * EXPORT_INVALID, LOG_NEWER, TASK_EXISTS or TASK_RUNNING; then nothing was written.
 */
export async function importTask(store: Store, text: string): Promise<string> {
  // Its schema is loaded by nobody else.
  const { readExport } = await import('../store/import.ts')
  const whole = readExport(text)
  const { taskId, events } = whole
  const last = events.findLast(({ type }) => type === 'task.ended' || type === 'rollback.started')
  if (last?.type !== 'task.ended') {
    throw new Fault(
      'TASK_RUNNING',
      `Task ${taskId} had not ended when it was taken out.`,
      'It would go on in two places. Wait until it has ended, or cancel it, and take it out again.',
    )
  }
  const { parent } = dataOf(events[0]!)
  const parentId = isObject(parent) ? String(parent['task']) : undefined
  if (parentId !== undefined && (await store.task(parentId))) {
    const what = `Task ${taskId} is a child of ${parentId}, which is here, and not the one that it began.`
    throw new Fault('TASK_EXISTS', what, 'Take it into a store of its own.')
  }
  if (!(await takeIn(store, whole))) {
    throw new Fault('TASK_EXISTS', `There is a task ${taskId} here already.`, `Look at it: signalbox show ${taskId}.`)
  }
  return taskId
}

/** A chain can be whole and tell what no engine has written: then no rows follow from it, and nothing is written. */
async function takeIn(store: Store, whole: WholeTask): Promise<boolean> {
  try {
    return await store.takeIn([whole])
  } catch (thrown) {
    if (isFault(thrown)) throw thrown
    throw exportInvalid(`its events tell of no task (${messageOf(thrown)})`)
  }
}
