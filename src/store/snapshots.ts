// Snapshots of tasks with long logs: whoever opens one reads the last of them and what came since, and not the whole log.
// One is written with a commit when the log has grown so far since the last that it is worth it, and there is one of a
// task at most. A task that has ended has none: what it was told may be erased then, and no other table holds a payload.

import { fold } from '../core/fold.ts'
import { known, logFormat } from '../core/format.ts'
import type { Json } from '../core/json.ts'
import { pack, unpack } from '../core/snapshot.ts'
import { emptyTask, isEnded, type Task } from '../core/task.ts'
import { canonical, genesis, sha256 } from './log.ts'
import { openAll } from './payloads.ts'
import type { Head, Loaded, LoggedEvent, SealedEvent } from './store.ts'
import { one, run, together, type Tx } from './tx.ts'

/** A snapshot as it is stored: of the task as it was at an event. */
export interface Snapshot extends Head {
  readonly body: string
}

/** Raised when a task that was written down comes to mean something else although it has the same fields. */
const shape = 1

/**
 * Which snapshots are read: those of tasks with the same fields, from logs of the same format with the same types of events.
 * Where an engine was that knows others, nobody can tell from a snapshot whether the log has something that is not known here.
 */
const form = sha256(canonical([shape, logFormat, [...known].sort(), Object.keys(emptyTask('')).sort()]))

/** The fewest events between two snapshots. */
const eventsMin = 1_000
/** What a snapshot may take for each event since the last, so that snapshots never take more than the log. */
const charsPerEvent = 256
/** What takes more is not worth it: the log is read. */
const charsMax = 16_000_000
/** How many tasks with a snapshot are remembered. */
const tasksMax = 1_024

/** Knows when the next snapshot of a task is worth it. */
export class Snapshots {
  /** Where the last one of a task is, and how long it is. */
  readonly #last = new Map<string, { readonly seq: number; readonly chars: number }>()

  /** The one that is to be written with a commit that ends at `head`, where one is. */
  due(task: Task, head: Head): Snapshot | undefined {
    const { seq, chars } = this.#last.get(task.id) ?? { seq: 0, chars: 0 }
    if (isEnded(task) || head.seq - seq < Math.max(eventsMin, chars / charsPerEvent)) return undefined
    const body = bodyOf(task)
    if (body === undefined) this.note(task.id, head.seq, charsMax)
    return body === undefined ? undefined : { ...head, body }
  }

  /** Keeps in mind that there is one. */
  note(taskId: string, seq: number, chars: number): void {
    this.#last.delete(taskId)
    this.#last.set(taskId, { seq, chars })
    const [oldest] = this.#last.keys()
    if (this.#last.size > tasksMax) this.#last.delete(oldest!)
  }
}

function bodyOf(task: Task): string | undefined {
  const packed = pack(task, charsMax)
  return packed === undefined ? undefined : canonical(packed)
}

/** Loads a task: its snapshot, and what came since. Throws LOG_NEWER. */
export function* load(taskId: string): Tx<Loaded & { readonly snapshot: Snapshot | undefined }> {
  // In this order: a snapshot that is written in between is of what was read, or of more.
  const [sealed, [snapshot]] = yield* together<[SealedEvent[], Snapshot[]]>(
    ['eventsSince', taskId, form],
    ['snapshot', taskId, form],
  )
  const since = sealed.filter(({ seq }) => seq > (snapshot?.seq ?? 0))
  const [first] = since
  // One that was thrown away in between.
  if (first && first.seq !== (snapshot?.seq ?? 0) + 1) return yield* load(taskId)
  const task = snapshot ? unpack(JSON.parse(snapshot.body) as Json) : emptyTask(taskId)
  const { seq, hash } = since.at(-1) ?? snapshot ?? genesis
  return { task: fold(task, yield* openAll(taskId, since)), head: { seq, hash }, snapshot }
}

/** Writes the snapshot of a commit, or throws away the last one of a task that has ended. */
export function* writeSnapshot(task: Task, snapshot: Snapshot | undefined): Tx<void> {
  if (snapshot) yield* run('writeSnapshot', task.id, snapshot.seq, snapshot.hash, form, snapshot.body)
  else if (isEnded(task) && task.seq >= eventsMin) yield* run('dropSnapshot', task.id)
}

/** Where a snapshot is not what the events up to it say. `events` are all of the task's, in order. */
export function* snapshotProblem(taskId: string, events: readonly LoggedEvent[]): Tx<string | undefined> {
  const snapshot = yield* one<Snapshot>('snapshot', taskId, form)
  if (!snapshot) return undefined
  const { seq, hash, body } = snapshot
  if (events[seq - 1]?.hash !== hash) return `snapshots ${taskId} is of an event ${seq} that the log does not have`
  const meant = bodyOf(fold(emptyTask(taskId), events.slice(0, seq)))
  return body === meant ? undefined : `snapshots ${taskId} is not what events 1 to ${seq} say`
}
