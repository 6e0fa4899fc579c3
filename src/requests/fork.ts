// How a task is forked: what another did up to a place is told again to a new one, which goes on from there. What was done
// outside is marked, and not done again unless a human agrees.

import { draft } from '../core/draft.ts'
import { Fault } from '../core/fault.ts'
import { fold } from '../core/fold.ts'
import { beginningAt, deedsOf, fork, type Deed } from '../core/fork.ts'
import { checkpointOf, pastAt } from '../core/past.ts'
import { proveId } from '../core/start.ts'
import { emptyTask, type Task } from '../core/task.ts'
import { commitSurely, rowOf, type Desk } from '../door.ts'
import type { Outfit } from '../outfit.ts'
import { genesis } from '../store/log.ts'
import { treeMax, type Store } from '../store/store.ts'

/** What a task is forked with. */
export interface ForkOptions {
  /** An event of it, or the name of a checkpoint that it has passed. */
  readonly at: number | string
  /** The new task's id. Default: a new UUID. */
  readonly id?: string
  readonly by: string
  readonly reason: string
}

/** A new task, and where it begins. */
export interface Forked {
  readonly taskId: string
  readonly from: string
  /** The event of that task that began the visit, and its state. */
  readonly seq: number
  readonly state: string
  /** What was done outside, and is not done again unasked. */
  readonly deeds: readonly Deed[]
}

/**
 * Starts a new task where another was at an event, or when it last passed a checkpoint: at the beginning of that visit, under the
 * definition of its agent that is here, or else the one it was pinned to then. Throws TASK_UNKNOWN, FORK_INVALID, INPUT_INVALID or
 * TASK_EXISTS; then nothing was written.
 */
export async function forkTask(
  desk: Desk & Pick<Outfit, 'machines'>,
  taskId: string,
  { at, id = desk.runtime.id(), by, reason }: ForkOptions,
): Promise<Forked> {
  const { store, runtime, terms, machines } = desk
  proveId(id)
  await rowOf(desk, taskId)
  const log = await store.read(taskId)
  const of = fold(emptyTask(taskId), log)
  const past = typeof at === 'number' ? pastAt(taskId, log, at, 'FORK_INVALID') : checkpointOf(of, at, 'FORK_INVALID')
  const deeds = [...deedsOf(of, past.lastStep), ...(await deedsBelow(store, of, past.lastStep))]
  const seed = Math.floor(runtime.random() * 2 ** 32)
  const [definition, here] = [...machines].find(([, { agent }]) => agent === of.agent) ?? []
  const to = here && definition !== undefined ? { to: { machine: here.machine, definition } } : {}
  const work = draft(emptyTask(id), runtime.now(), terms)
  fork(work, { ...beginningAt(log, past), of, past, asked: at, deeds, by, reason, seed, ...to })
  const { events, task } = work
  if (!(await commitSurely(store, { point: 'start', head: genesis, events, task })).ok) {
    const what = `There is a task ${id} here already. Nothing was written.`
    throw new Fault('TASK_EXISTS', what, `Choose another id, or look at it: signalbox show ${id}.`)
  }
  return { taskId: id, from: taskId, seq: past.seq, state: past.state, deeds }
}

/** What stands of what the children of a task have done. */
async function deedsBelow(store: Store, { id, tree }: Task, lastStep: number): Promise<readonly Deed[]> {
  if (tree?.root !== id) return []
  const below = await store.tasks({ rootId: id, limit: treeMax })
  const told = below.map(async ({ taskId }) => {
    if (taskId === id) return []
    // The child of the root that it is, or is below, is named by the step that began it.
    const step = Number(taskId.slice(id.length + 1).split(':')[0])
    return deedsOf((await store.load(taskId)).task, step > lastStep ? 0 : Infinity)
  })
  return (await Promise.all(told)).flat()
}
