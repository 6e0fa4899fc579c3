// Looks at tasks for whoever asks: where they stand, what they wait for, their events as they come; and waits until one has
// ended or rests. Nothing is written here.

import { isEnded } from '../core/task.ts'
import { rowOf, type Desk } from '../door.ts'
import { treeMax, type InboxRow, type LoggedEvent, type TaskRow } from '../store/store.ts'
import { branchOf, isAtRest, viewOf, type TaskView } from '../view.ts'

/** What an onlooker needs. */
export interface OnlookerOptions extends Desk {
  /** How often something is looked for that nobody has told of: less and less, as long as nothing happens. */
  readonly pollMs: number
  readonly pollMaxMs: number
  /** Are all tasks of a tree worked on in this process? */
  readonly worksOn: (tree: readonly TaskRow[]) => boolean
}

/** Looks at tasks. */
export class Onlooker {
  readonly #options: OnlookerOptions

  constructor(options: OnlookerOptions) {
    this.#options = options
  }

  /** A task's events, those there are and then live ones, until it has ended. Throws TASK_UNKNOWN or LOG_NEWER. */
  async *events(taskId: string, { afterSeq = 0 }: { afterSeq?: number }): AsyncGenerator<LoggedEvent, void, void> {
    const { store, pollMs, pollMaxMs } = this.#options
    let lastSeq = afterSeq
    // The first event says the format of all.
    await store.read(taskId, { limit: 1 })
    for (let waitMs = pollMs; ; waitMs = Math.min(pollMaxMs, 2 * waitMs)) {
      const changed = this.#change(taskId, waitMs)
      try {
        const page = await store.read(taskId, { afterSeq: lastSeq, limit: 500 })
        for (const event of page) {
          yield event
          lastSeq = event.seq
        }
        if (page.length > 0) continue
        const row = await rowOf(this.#options, taskId)
        if (isEnded(row)) {
          if (row.seq <= lastSeq) return
          continue
        }
        await changed.promise
      } finally {
        changed.cancel()
      }
    }
  }

  /** Where a task stands, with its context and what it waits for. Throws TASK_UNKNOWN. */
  async show(taskId: string): Promise<TaskView> {
    const { store } = this.#options
    const row = await rowOf(this.#options, taskId)
    const shared = row.contextOf === null ? [] : await store.context(row.contextOf)
    const context = [...shared, ...(await store.context(taskId))]
    const branch = await this.#branch(taskId, row.rootId)
    return viewOf(row, context, branch, await this.#inboxOf(taskId, branch))
  }

  /** What waits for a human, oldest first, of a task and all below it. */
  async inbox(taskId: string): Promise<readonly InboxRow[]> {
    const row = await this.#options.store.task(taskId)
    return this.#inboxOf(taskId, await this.#branch(taskId, row?.rootId ?? null))
  }

  async #branch(taskId: string, rootId: string | null): Promise<readonly TaskRow[]> {
    const tree = rootId === null ? [] : await this.#options.store.tasks({ rootId, limit: treeMax })
    return branchOf(taskId, tree)
  }

  async #inboxOf(taskId: string, branch: readonly TaskRow[]): Promise<readonly InboxRow[]> {
    const asking = branch.filter((task) => task.waitsFor === 'human')
    const ids = branch.length === 0 ? [taskId] : asking.map((task) => task.taskId)
    const items = await Promise.all(ids.map((id) => this.#options.store.inbox({ taskId: id, status: 'open' })))
    return items.flat()
  }

  /** Fulfilled when a task has ended. Throws TASK_UNKNOWN. */
  ended(taskId: string): Promise<TaskView> {
    return this.#until(taskId, isEnded)
  }

  /**
   * Fulfilled when a task rests: it has ended or waits for somebody outside; one that waits for its children, when all of them do.
   * At the end of a root whose tree is worked on here, those below it that were called off have ended, too. Throws TASK_UNKNOWN.
   */
  async rest(taskId: string): Promise<TaskView> {
    const { store, worksOn, pollMs, pollMaxMs } = this.#options
    for (let waitMs = pollMs; ; waitMs = Math.min(pollMaxMs, 2 * waitMs)) {
      const view = await this.#until(taskId, (task) => isEnded(task) || isAtRest(task))
      const isLeft = isEnded(view) && view.rootId === taskId && worksOn(view.tree)
      if (view.waitsFor !== 'child' && !isLeft) return view
      const changed = this.#change('', waitMs)
      try {
        if (!(await store.isRestless(view.rootId ?? taskId))) return await this.show(taskId)
        await changed.promise
      } finally {
        changed.cancel()
      }
    }
  }

  async #until(taskId: string, done: (row: TaskRow) => boolean): Promise<TaskView> {
    const { pollMs, pollMaxMs } = this.#options
    for (let waitMs = pollMs; ; waitMs = Math.min(pollMaxMs, 2 * waitMs)) {
      const changed = this.#change(taskId, waitMs, done)
      try {
        if (done(await rowOf(this.#options, taskId))) return await this.show(taskId)
        await changed.promise
      } finally {
        changed.cancel()
      }
    }
  }

  /** Fulfilled soon after the task was written to, here or, at the latest after a while, elsewhere. */
  #change(
    taskId: string,
    waitMs: number,
    matters: (row: TaskRow) => boolean = () => true,
  ): { promise: Promise<void>; cancel: () => void } {
    const { store, runtime } = this.#options
    const stops: (() => void)[] = []
    const promise = new Promise<void>((resolve) => {
      stops.push(runtime.setTimer(waitMs, resolve))
      stops.push(store.watch((row) => matters(row) && resolve(), taskId))
    })
    return { promise, cancel: () => stops.forEach((stop) => stop()) }
  }
}
