// The door to a log: a task is loaded, something is decided on it, and that is written whole, or not at all because somebody
// else was first. Whoever writes to a task, the worker, the notifier or a caller, comes through here.

import { openGate } from './core/breaker.ts'
import { draft, type Draft, type Terms } from './core/draft.ts'
import type { Event } from './core/event.ts'
import { Fault } from './core/fault.ts'
import { read } from './core/kin.ts'
import type { Runtime, WritePoint } from './runtime.ts'
import { canonical } from './store/log.ts'
import { gatesOf } from './store/rows.ts'
import type { Commit, Committed, Store, TaskRow } from './store/store.ts'

/** The write points of what is said from outside. */
export type SayPoint = Extract<WritePoint, 'answer' | 'signal' | 'cancel' | 'erase' | 'rollback'>

const conflictsMax = 50

/** Where something is written, and what is known there. */
export interface Desk {
  readonly store: Store
  readonly runtime: Runtime
  readonly terms: Terms
}

/**
 * Decides once on a task as its log says, and writes what was decided, if anything. False when somebody else was first; then
 * nothing was written, and the same may be decided on what holds now.
 */
export async function decideOn(
  { store, runtime, terms }: Desk,
  taskId: string,
  point: WritePoint,
  decide: (work: Draft) => void,
): Promise<boolean> {
  const { task, head } = await store.load(taskId)
  const kin = task.tree && (await store.kin(task))
  const work = draft(task, runtime.now(), { ...terms, tree: kin?.tree })
  // What is set back is what is there now, whoever wrote it.
  if (kin && point === 'rollback') read(work, kin)
  decide(work)
  if (work.events.length === 0) return true
  return (await commitSurely(store, { point, head, events: work.events, task, kin })).ok
}

/** Says something to a task, again until nobody else is first. Throws TASK_UNKNOWN, or LOG_CONFLICT. */
export function say(desk: Desk, taskId: string, point: SayPoint, decide: (work: Draft) => void): Promise<void> {
  return insist(`task ${taskId}`, () => sayOnce(desk, taskId, point, decide))
}

/** Says something to a task. False when somebody else was first; then nothing was written. Throws TASK_UNKNOWN. */
export async function sayOnce(
  desk: Desk,
  taskId: string,
  point: SayPoint,
  decide: (work: Draft) => void,
): Promise<boolean> {
  // Only what calls steps off touches a gate: whoever probes for the task gives it back.
  const gates = gatesOf(point === 'cancel' || point === 'rollback' ? await desk.store.gates() : [])
  const terms = { ...desk.terms, gate: (key: string) => gates.get(key) ?? openGate }
  return decideOn({ ...desk, terms }, taskId, point, (work) => {
    if (work.task.seq === 0) throw unknownTask(desk, taskId)
    decide(work)
  })
}

/** Tries until it is `done`. Throws LOG_CONFLICT when somebody else was first too often. */
export async function insist(who: string, done: () => Promise<boolean>): Promise<void> {
  for (let tries = 1; tries <= conflictsMax; tries += 1) if (await done()) return
  const what = `Others were first ${conflictsMax} times while ${who} was spoken to.`
  throw new Fault('LOG_CONFLICT', what, 'Nothing was written; try again.')
}

/** The row of a task. Throws TASK_UNKNOWN. */
export async function rowOf(desk: Omit<Desk, 'runtime'>, taskId: string): Promise<TaskRow> {
  const row = await desk.store.task(taskId)
  if (!row) throw unknownTask(desk, taskId)
  return row
}

function unknownTask({ terms }: Pick<Desk, 'terms'>, taskId: string): Fault {
  const what = `There is no task ${terms.redact.text(taskId)} in this store.`
  return new Fault('TASK_UNKNOWN', what, 'List them: signalbox tasks.')
}

/**
 * Commits. When the store says that it failed although it did not, because only the news was lost, the events are found in
 * the log, and that is what counts: nothing is written twice. A commit that keeps its lease counts only while it has it.
 */
export async function commitSurely(
  store: Store,
  commit: Commit,
  lease?: { leaseMs: number; nowMs: number },
): Promise<Committed> {
  try {
    return await store.commit(commit)
  } catch (thrown) {
    const { task, head, events } = commit
    const written = await store.read(task.id, { afterSeq: head.seq, limit: events.length }).catch(() => [])
    const same = events.every((event, index) => tells(written[index]) === tells(event))
    const last = written.at(-1)
    if (!last || !same) throw thrown
    if (commit.keep && commit.lease !== undefined && lease) {
      const [renewed] = await store.renew([{ taskId: task.id, lease: commit.lease }], lease.leaseMs, lease.nowMs)
      if (!renewed?.held) return { ok: false, reason: 'lease-lost' }
    }
    return { ok: true, head: { seq: last.seq, hash: last.hash } }
  }
}

function tells(event: Event | undefined): string | undefined {
  return event && canonical({ at: event.at, type: event.type, data: event.data as never, costMicros: event.costMicros })
}
