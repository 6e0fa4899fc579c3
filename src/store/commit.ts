// One commit: what it is decided on is proved again, and what it writes follows from its events. The same twice: asking
// first, under locks, or taking for granted what its one statement checks.

import type { Event } from '../core/event.ts'
import type { Task } from '../core/task.ts'
import { insertRow, nobody, updateRow, wakeKin, writeAnew, writeEvents, writeJob, writeTree } from './derived.ts'
import { kinRefuses } from './family.ts'
import { gatesRefusal, holdGates, isOfGate, wakeWaiting } from './gates.ts'
import type { Sealed } from './log.ts'
import { taskRow } from './rows.ts'
import { changeSchedule } from './schedules.ts'
import { writeSnapshot, type Snapshot } from './snapshots.ts'
import type { Commit, Committed, Head, SealedEvent, StoredPayload, TaskRow } from './store.ts'
import { one, run, type Tx } from './tx.ts'

/** Whatever became of what a commit was decided on. */
type Refused = Exclude<Committed, { readonly ok: true }>

/** A commit in its final form. */
export interface Made {
  readonly commit: Commit
  readonly sealed: Sealed
  readonly row: TaskRow
  /** The task as it is then, where it is worth writing down whole. */
  readonly snapshot: Snapshot | undefined
  readonly begun: readonly { readonly task: Task; readonly events: readonly Event[]; readonly sealed: Sealed }[]
}

/** What came of a commit, and who of the family is called up by it. */
export interface Done {
  readonly result: Committed
  readonly woken: ReadonlySet<string>
}

/** Writes a commit if everything that it was decided on holds still. */
export function* askFirst(made: Made): Tx<Done> {
  const { commit, sealed } = made
  const refused = yield* refusal(commit)
  if (refused) return { result: refused, woken: nobody }
  return { result: { ok: true, head: sealed.head }, woken: yield* writeCommit(made) }
}

function* refusal(commit: Commit): Tx<Refused | undefined> {
  const { task, head, lease, schedule } = commit
  // What many tasks share before what is one task's own: whoever holds it calls up others, whose jobs must then be free or
  // with somebody who waits for nothing.
  if (task.tree) yield* run('holdTree', task.tree.root)
  yield* holdGates(commit)
  yield* run('holdJob', task.id)
  const row = yield* one<Head & { lease: string | null }>('holdHead', task.id)
  if (row && lease !== undefined && row.lease !== lease) return { ok: false, reason: 'lease-lost' }
  if (row ? row.seq !== head.seq || row.hash !== head.hash : head.seq !== 0) return { ok: false, reason: 'conflict' }
  const full = yield* gatesRefusal(commit)
  if (full) return { ok: false, reason: 'gates', full }
  if (task.tree && (yield* kinRefuses(commit))) return { ok: false, reason: 'kin' }
  if (schedule && !(yield* changeSchedule(schedule))) return { ok: false, reason: 'conflict' }
  return undefined
}

/** Does nothing that the commit writes depend on what others have written, but its head, its lease and open gates? */
export function asksNothing({ task, events, children = [], gates, schedule }: Commit): boolean {
  return (
    !task.tree &&
    !schedule &&
    children.length === 0 &&
    (gates?.takes.length ?? 0) === 0 &&
    !events.some((event) => isOfGate(event) || event.type === 'payload.erased')
  )
}

/** Writes a commit that asks nothing. What it takes for granted is checked by the statement that writes it. */
export function* assume(made: Made): Tx<Done> {
  const { task, lease, gates } = made.commit
  yield* run('assume', task.id, lease ?? null)
  for (const key of gates?.admits ?? []) yield* run('admit', key, gates?.nowMs ?? 0)
  return { result: { ok: true, head: made.sealed.head }, woken: yield* writeCommit(made) }
}

function* writeCommit({ commit, sealed, row, begun, snapshot }: Made): Tx<ReadonlySet<string>> {
  const { task, head, events } = commit
  yield* insertLog(task.id, sealed)
  // The database allows it only when what says so is written.
  for (const { type, data } of events)
    if (type === 'payload.erased') yield* run('erasePayload', task.id, data.seq, data.hash)
  if (head.seq === 0) yield* insertRow(row)
  else yield* updateRow(row, head)
  yield* writeEvents(task, events, sealed.events)
  yield* writeSnapshot(task, snapshot)
  const frees = yield* writeTree(task)
  for (const child of begun) yield* begin(child)
  yield* writeJob(task, commit)
  if (commit.progress) yield* run('progress', task.id)
  yield* wakeWaiting(events)
  return yield* wakeKin(task, events, frees)
}

/** A child begins, in the transaction in which its parent says so. */
function* begin({ task, events, sealed }: Made['begun'][number]): Tx<void> {
  yield* insertLog(task.id, sealed)
  yield* writeAnew(taskRow(task, sealed.head), task, events, sealed.events)
  yield* writeJob(task, {})
}

/** Appends events, and what they carry. */
export function* insertLog(
  taskId: string,
  { events, payloads }: { readonly events: readonly SealedEvent[]; readonly payloads: readonly StoredPayload[] },
): Tx<void> {
  for (const { seq, hash, salt, body } of payloads) yield* run('insertPayload', taskId, seq, hash, salt, body)
  for (const { seq, at, type, data, costMicros, prevHash, hash } of events) {
    yield* run('insertEvent', taskId, seq, at, type, data, costMicros, prevHash, hash)
  }
}
