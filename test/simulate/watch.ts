// Looks at the store after every commit: folds each log by itself, as it grows, and holds what is stored against it. What is
// in the log once is judged at the end, since it never changes; what is stored beside it does, at every step.

import { evolve } from '../../src/core/fold.ts'
import { emptyTask, type Task } from '../../src/core/task.ts'
import type { Violation } from '../../src/redteam/evidence.ts'
import { differences } from '../../src/redteam/judges/history.ts'
import type { Scene } from '../../src/redteam/scene.ts'
import type { Commit, Store, TaskRow } from '../../src/store/store.ts'
import { taskRow } from '../../src/store/rows.ts'

/** Is a task in the queue, or does a worker hold it? */
async function isAtHand({ taskId, definition, updatedAtMs: nowMs }: TaskRow, store: Store): Promise<boolean> {
  const held = await store.held(nowMs)
  if (held.some((one) => one.taskId === taskId)) return true
  const queued = await store.queued(definition, { nowMs, limit: 1_000 })
  // Whoever had it may have gone on meanwhile.
  return queued.some((one) => one.taskId === taskId) || (await store.task(taskId))?.updatedAtMs !== nowMs
}

/** A watch over one world. */
export function watchOver(): NonNullable<Scene['watch']> {
  const tasks = new Map<string, Task>()

  async function look(taskId: string, events: Commit['events'], store: Store): Promise<readonly Violation[]> {
    const task = tasks.get(taskId) ?? emptyTask(taskId)
    tasks.set(taskId, task)
    for (const event of events) evolve(task, event)
    const row = await store.task(taskId)
    if (!row) return [{ invariant: 'I2', problem: `${taskId}: it was written to, and it is not there` }]
    // Others may have gone on meanwhile; they look for themselves.
    if (row.seq !== task.seq) return []
    const where = `${taskId} #${row.seq}`
    const differs = differences(row, taskRow(task, { seq: row.seq, hash: row.hash }))
    const wrong = differs.map((problem) => ({ invariant: 'I2', problem: `${where}: ${problem}` }))
    const isDue = row.status === 'running' || row.waitsFor === 'time'
    if (!isDue || (await isAtHand(row, store))) return wrong
    const problem = `${where}: it is to go on, and is neither in the queue nor in anybody's hands`
    return [...wrong, { invariant: 'I9', problem }]
  }

  return async ({ task, events, children = [] }, store) => {
    const all = [{ task, events }, ...children]
    const found = await Promise.all(all.map((one) => look(one.task.id, one.events, store)))
    return found.flat()
  }
}
