// What is kept of each task of the corpus besides its log: where it stood after each event, and where it stands.

import { readdirSync } from 'node:fs'
import { fold } from '../../src/core/fold.ts'
import { emptyTask } from '../../src/core/task.ts'
import type { Orchestrator } from '../../src/orchestrator.ts'
import type { TaskView } from '../../src/view.ts'
import { canonical, sha256 } from '../../src/store/log.ts'

/** The tasks that are recorded. */
export const logNames = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.told.json'))
  .map((name) => name.replace('.told.json', ''))

/** Where a task was as far as anyone outside can tell, after those events at which that changed. */
async function pathOf(box: Orchestrator, taskId: string): Promise<string[]> {
  const task = emptyTask(taskId)
  const path: string[] = []
  let last = ''
  for (const event of await box.store.read(taskId)) {
    fold(task, [event])
    const { status, state, usage, reserved, open, delayed, doubts, approvals, item, visit, effects, checkpoints } = task
    const context = [...task.context].map(([key, { value, version, label }]) => [key, value, version, { ...label }])
    const now = [
      `${status} in ${state}`,
      `steps ${usage.steps}: ${open.size} open, ${delayed.size} delayed, ${doubts.size} doubted, ${effects.size} lasting`,
      `asks ${item?.item ?? '-'} and ${approvals.size}`,
      `turns ${visit?.turns.length ?? '-'}, refusals ${visit?.refusals ?? '-'}, checkpoints ${checkpoints.length}`,
      `tokens ${usage.inputTokens}+${usage.outputTokens} and ${reserved.tokens} reserved, ${usage.costMicros} µ$`,
      `context ${sha256(canonical(context)).slice(0, 8)}`,
    ].join('; ')
    if (now !== last) path.push(`${event.seq} ${now}`)
    last = now
  }
  return path
}

/** What a look shows of the task itself: it is taken in without its family, and without what others wrote to its context. */
function alone({ tree: _tree, ...view }: TaskView): object {
  if (view.rootId === null) return view
  const { context: _context, labels: _labels, ...rest } = view
  return rest
}

/** All that is told of a task: what a look shows, its inbox, its head, and its way. */
export async function told(box: Orchestrator, taskId: string): Promise<object> {
  const [view, row, inbox, path] = [
    alone(await box.show(taskId)),
    await box.store.task(taskId),
    await box.store.inbox({ taskId }),
    await pathOf(box, taskId),
  ]
  return JSON.parse(JSON.stringify({ head: { seq: row!.seq, hash: row!.hash }, view, inbox, path })) as object
}
