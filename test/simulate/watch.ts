// Looks at the store after every commit: folds each log by itself, as it grows, and holds what is stored against it. What is
// in the log once is judged at the end, since it never changes; what is stored beside it does, at every step.

import { evolve } from '../../src/core/fold.ts'
import { emptyTask, type Task } from '../../src/core/task.ts'
import type { Scene } from '../../src/redteam/scene.ts'
import type { Commit, Store, TaskRow } from '../../src/store/store.ts'
import { taskRow } from '../../src/store/rows.ts'

/** A watch over one world. */
export function watchOver(): NonNullable<Scene['watch']> {
  const tasks = new Map<string, Task>()

  async function look(taskId: string, events: Commit['events'], store: Store): Promise<readonly string[]> {
    const task = tasks.get(taskId) ?? emptyTask(taskId)
    tasks.set(taskId, task)
    for (const event of events) evolve(task, event)
    const row = await store.task(taskId)
    if (!row) return [`${taskId}: it was written to, and it is not there`]
    // Others may have gone on meanwhile; they look for themselves.
    if (row.seq !== task.seq) return []
    const told = taskRow(task, { seq: row.seq, hash: row.hash })
    const keys = Object.keys(row) as (keyof TaskRow)[]
    const differs = keys.filter((key) => told[key] !== row[key])
    return differs.map(
      (key) => `${taskId} #${row.seq}: ${key} is ${String(row[key])}, and the log says ${String(told[key])}`,
    )
  }

  return async ({ task, events, children = [] }, store) => {
    const all = [{ task, events }, ...children]
    const found = await Promise.all(all.map((one) => look(one.task.id, one.events, store)))
    return found.flat()
  }
}
