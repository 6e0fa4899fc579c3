// Follows a task and all below it through their logs. Of each log only what is new is read: a commit of this process says
// which task has something new, and what other processes wrote is looked for once in a while in the rows of the tree.

import { Alarm } from './alarm.ts'
import { Fault } from './core/fault.ts'
import { isEnded } from './core/task.ts'
import type { Runtime } from './runtime.ts'
import { treeMax, type LoggedEvent, type Store, type TaskRow } from './store/store.ts'

/** From where on, and how long, a tree is followed. */
export interface FollowOptions {
  /** By task: the last event that is known already. Default: none. */
  readonly after?: ReadonlyMap<string, number>
  /** When it is aborted, what there is by then is told, and nothing more is waited for. */
  readonly signal?: AbortSignal
}

interface Following {
  readonly store: Store
  readonly runtime: Runtime
  readonly pollMs: number
}

const pageMax = 100

/**
 * The events of a task and of all below it. Those of one task come in their order, and a child's only behind the event that
 * began it; those that are found together by time. Throws TASK_UNKNOWN.
 */
export async function* follow(
  { store, runtime, pollMs }: Following,
  taskId: string,
  { after = new Map(), signal }: FollowOptions,
): AsyncGenerator<LoggedEvent, void, void> {
  const top = await store.task(taskId)
  if (!top) throw new Fault('TASK_UNKNOWN', `There is no task ${taskId} in this store.`, 'List them: signalbox tasks.')
  // A task that is in no tree yet can only be the root of one.
  const rootId = top.rootId ?? taskId
  const isMeant = (row: TaskRow): boolean =>
    row.taskId === taskId || (row.rootId === rootId && row.taskId.startsWith(`${taskId}:`))
  const told = new Map(after)
  const fresh = new Set<string>()
  const alarm = new Alarm(runtime)
  const ring = (): void => alarm.ring()
  const unwatch = store.watch((row) => {
    if (!isMeant(row)) return
    fresh.add(row.taskId)
    alarm.ring()
  })
  signal?.addEventListener('abort', ring)
  try {
    for (let [polledAtMs, isOver] = [-Infinity, false]; ;) {
      const isLast = signal?.aborted === true
      if (isLast || runtime.now() - polledAtMs >= pollMs) {
        const rows = (await store.tasks({ rootId, limit: treeMax })).filter(isMeant)
        polledAtMs = runtime.now()
        isOver = rows.every(isEnded)
        for (const row of rows) if (row.seq > (told.get(row.taskId) ?? 0)) fresh.add(row.taskId)
      }
      const found = [...fresh]
      fresh.clear()
      yield* byTime(store, found, told)
      if (isLast || (isOver && found.length === 0)) return
      if (fresh.size > 0 || signal?.aborted) continue
      await alarm.sleep(Math.max(0, polledAtMs + pollMs - runtime.now()))
    }
  } finally {
    unwatch()
    signal?.removeEventListener('abort', ring)
  }
}

/** What is new of these tasks, a page of each at a time, the earliest first; of two at once that of the parent. */
async function* byTime(
  store: Store,
  taskIds: readonly string[],
  told: Map<string, number>,
): AsyncGenerator<LoggedEvent, void, void> {
  const pages = new Map<string, LoggedEvent[]>()
  const turn = async (taskId: string): Promise<void> => {
    const page = await store.read(taskId, { afterSeq: told.get(taskId) ?? 0, limit: pageMax })
    if (page.length > 0) pages.set(taskId, page.toReversed())
    else pages.delete(taskId)
  }
  // A child's id is longer than its parent's, and a later child's not shorter than an earlier one's.
  for (const taskId of taskIds.toSorted((a, b) => a.length - b.length || (a < b ? -1 : 1))) await turn(taskId)
  while (pages.size > 0) {
    let next: LoggedEvent | undefined
    for (const page of pages.values()) if (!next || page.at(-1)!.at < next.at) next = page.at(-1)
    const { taskId, seq } = next!
    told.set(taskId, seq)
    pages.get(taskId)!.pop()
    yield next!
    if (pages.get(taskId)!.length === 0) await turn(taskId)
  }
}
