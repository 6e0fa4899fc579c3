// The store's contract: what any engine must do, in whole operations, so that each can be one transaction. A store
// remembers; it decides nothing. Log, context, queue and inbox of one step are written together or not at all.

import type { Breaker } from '../core/breaker.ts'
import type { Take } from '../core/draft.ts'
import type { Event } from '../core/event.ts'
import type { Json } from '../core/json.ts'
import type { Kin } from '../core/kin.ts'
import type { Label } from '../core/label.ts'
import type { Overlap, Progress } from '../core/schedule.ts'
import type { WritePoint } from '../runtime.ts'
import type { ItemKind } from '../core/event.ts'
import type { Task, TaskStatus, WaitsFor } from '../core/task.ts'
import type { Checkpoint, HeldHead, Signer, TaskHead } from './register.ts'

/** The end of a task's log: the last sequence number and its hash. */
export interface Head {
  readonly seq: number
  readonly hash: string
}

/** A task as its log says, and the head that a commit on it must name. One without events has the head of no log. */
export interface Loaded {
  readonly task: Task
  readonly head: Head
}

/** An event as it was hashed: payload fields hold `{ $payload: hash }`. */
export interface SealedEvent {
  readonly taskId: string
  readonly seq: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly type: string
  /** Canonical JSON. */
  readonly data: string
  readonly costMicros: number | null
  readonly prevHash: string
  readonly hash: string
}

/** A payload as it is stored. Without salt and body it was erased. */
export interface StoredPayload {
  readonly seq: number
  readonly hash: string
  readonly salt: string | null
  readonly body: string | null
}

/** A task as it can be carried to another store: its events as they were hashed, and the payloads that they name. */
export interface WholeTask {
  readonly taskId: string
  readonly events: readonly SealedEvent[]
  readonly payloads: readonly StoredPayload[]
}

/** A task that a store knows of: the root of its tree, or itself, and where its log ends. Null: there are only events. */
export interface KnownTask {
  readonly taskId: string
  readonly rootId: string
  readonly seq: number | null
  readonly hash: string | null
}

/** A task that a worker holds, and until when. */
export interface HeldTask {
  readonly taskId: string
  readonly worker: string
  readonly untilMs: number
}

/** An event as it is read: payloads in their places. */
export type LoggedEvent = Event & { readonly prevHash: string; readonly hash: string }

/** Events to be appended to one task, with everything that follows from them. */
export interface Commit {
  readonly point: WritePoint
  /** The head that the events were decided on; another head means that someone else was first. */
  readonly head: Head
  readonly events: readonly Event[]
  /** The task after the events. */
  readonly task: Task
  /** The lease that must still be held. Absent: the commit comes from outside (a start, an answer, a signal). */
  readonly lease?: string
  /** Whether the lease is kept after the commit, because the worker goes on. */
  readonly keep?: boolean
  /** Something has come of what was delivered before: it counts as delivered for the first time. */
  readonly progress?: boolean
  /** Tasks that begin with it: children of this one. */
  readonly children?: readonly { readonly task: Task; readonly events: readonly Event[] }[]
  /** What was heard of the family when it was decided. */
  readonly kin?: Pick<Kin, 'news' | 'treeVersion'> | undefined
  /** Gates that must let everyone through, and places that must be free, when this is written. */
  readonly gates?: { readonly admits: Iterable<string>; readonly takes: readonly Take[]; readonly nowMs: number }
  /** The schedule that starts the task, moved on with it. */
  readonly schedule?: ScheduleChange
}

/**
 * What became of a commit. `conflict`: the log, or the schedule, had moved on. `lease-lost`: another worker has the task. `gates`: a gate is
 * not as it was decided on; `full` says for which steps there is no place, and until when at most. `kin`: the family has
 * used what was counted on, of the budget or of the context. Nothing was written.
 */
export type Committed =
  | { readonly ok: true; readonly head: Head }
  | { readonly ok: false; readonly reason: 'conflict' | 'lease-lost' | 'kin' }
  | { readonly ok: false; readonly reason: 'gates'; readonly full: ReadonlyMap<number, number> }

/** The gate of a model or tool: its breaker, who changed it last, and how many calls are being made or wait. */
export interface GateRow {
  /** `model:NAME` or `tool:NAME`. */
  readonly key: string
  readonly version: number
  readonly status: Breaker['status']
  readonly failures: number
  readonly untilMs: number
  readonly probe: string | null
  readonly pausedUntilMs: number
  /** The event that changed the breaker last. */
  readonly taskId: string | null
  readonly seq: number | null
  readonly active: number
  readonly waiting: number
}

/** A task that a worker may work on until the lease ends. */
export interface Claim {
  readonly taskId: string
  readonly lease: string
  /** How often it was given to a worker in a row without being given back, this time included, and nothing came of it. */
  readonly deliveries: number
}

/** What a worker asks for. */
export interface ClaimRequest {
  readonly worker: string
  readonly lease: string
  readonly leaseMs: number
  readonly limit: number
  /** Hashes of the definitions that this worker has. */
  readonly definitions: readonly string[]
  /** Only this task, and those below it where it is a root. */
  readonly taskId?: string
  /** Not these: the worker has found that it cannot work on them. */
  readonly except?: readonly string[]
  readonly nowMs: number
  /** Only tasks that are given for at least, and at most, the so-many-th time without anything coming of it. */
  readonly delivered?: { readonly min?: number; readonly max?: number }
}

/** A task in the queue that no worker holds, as it lies there. */
export interface QueuedTask {
  readonly taskId: string
  /** The end of its log. */
  readonly seq: number
  readonly availableAtMs: number
}

/** How many tasks of a tree are looked at. */
export const treeMax = 1_000_000

/** A task as a list shows it. */
export interface TaskRow {
  readonly taskId: string
  readonly agent: string
  readonly version: string
  readonly definition: string
  readonly startedBy: string
  readonly status: TaskStatus
  readonly state: string
  readonly outcome: string | null
  readonly waitsFor: WaitsFor | null
  readonly steps: number
  readonly turns: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly costMicros: number
  readonly unpriced: number
  /** How many of its payloads were erased. */
  readonly erased: number
  /** The task that started it, the root of its tree, and whose context it shares; each null where there is none. */
  readonly parentId: string | null
  readonly rootId: string | null
  readonly contextOf: string | null
  readonly startedAtMs: number
  readonly updatedAtMs: number
  readonly seq: number
  readonly hash: string
}

/** Something that waits, or waited, for a human. */
export interface InboxRow {
  readonly item: string
  readonly taskId: string
  readonly kind: ItemKind
  readonly state: string
  readonly question: string
  readonly show: Json
  readonly options: readonly string[]
  readonly assignee: string | null
  readonly openedAtMs: number
  readonly expiresAtMs: number | null
  readonly status: 'open' | 'answered' | 'expired' | 'withdrawn'
  readonly decision: string | null
  readonly decidedBy: string | null
  readonly reason: string | null
  /** Of an approval: what exactly is asked about, as a hash, and who has agreed so far. */
  readonly hash: string | null
  readonly agreed: readonly string[]
}

/** An item that the outside is to be told of. `noticeId` is the same for every try, and another after an escalation. */
export interface NoticeRow extends InboxRow {
  readonly noticeId: string
  readonly attempt: number
  readonly delayMs: number
}

/**
 * Something that `verify` found. `seq` is the first event that is not as it was written; it and the task are null where
 * only the anchor is known. `derived`: a row does not follow from the log. `newer`: the chain holds, and only a newer engine
 * can say whether the rest does. With anchors: `rewritten`, a chain that was
 * computed anew; `removed` and `cut`, also where nothing else remembers; `restored`, an older copy of the store; `forked`,
 * one that has gone on by itself; `anchor`, an anchor that is not as it was signed.
 */
export interface Finding {
  readonly taskId: string | null
  readonly seq: number | null
  readonly kind:
    | 'edited'
    | 'removed'
    | 'inserted'
    | 'moved'
    | 'cut'
    | 'payload'
    | 'unreadable'
    | 'newer'
    | 'derived'
    | 'rewritten'
    | 'restored'
    | 'forked'
    | 'anchor'
  readonly problem: string
  /** The number of the first anchor that tells. */
  readonly anchor?: number
}

/** What `verify` looked at. */
export interface Verification {
  readonly tasks: number
  readonly events: number
  /** Payloads that were erased, as the log says. */
  readonly erased: number
  readonly findings: readonly Finding[]
}

/** Tasks to be started again and again: who wants it and why, and what has become of it. */
export interface ScheduleRow extends Progress {
  readonly id: number
  /** Counts its changes. */
  readonly version: number
  readonly name: string
  readonly agent: string
  readonly cron: string
  readonly timezone: string
  readonly overlap: Overlap
  /** What each task is started with; null once it was removed. */
  readonly input: Json
  readonly createdBy: string
  readonly createdAtMs: number
  readonly reason: string
  readonly removedBy: string | null
  readonly removedAtMs: number | null
  readonly removedReason: string | null
}

/** A schedule as somebody wants it. */
export type NewSchedule = Pick<
  ScheduleRow,
  'name' | 'agent' | 'cron' | 'timezone' | 'overlap' | 'input' | 'createdBy' | 'createdAtMs' | 'reason' | 'nextAtMs'
>

/** How far a schedule has come now, if it is still as it was. */
export interface ScheduleChange {
  readonly id: number
  /** The version that this was decided on. */
  readonly version: number
  readonly progress: Progress
}

/** A lease that is to go on, and the head as its worker knows it. */
export interface Renewal {
  readonly taskId: string
  readonly lease: string
}

/** What a renewal found: the lease is lost, or it holds and the log stands at `seq`. */
export interface Renewed {
  readonly taskId: string
  readonly held: boolean
  /** Until when, if it is held. Of a task that was just being written to, no longer than before. */
  readonly untilMs: number
  readonly seq: number
  /** What the family had to tell so far, as `Kin.news` counts it. */
  readonly news: number
}

/** A worker, as it said itself when it was last heard of. */
export interface WorkerRow {
  readonly worker: string
  readonly host: string
  readonly pid: number
  readonly agents: readonly string[]
  readonly queues: readonly string[]
  /** Tasks at a time, and how many it has now. */
  readonly concurrency: number
  readonly held: number
  readonly status: 'working' | 'draining'
  readonly startedAtMs: number
  readonly beatAtMs: number
}

/** Events of all tasks, and the place behind the last of them. */
export interface FeedPage {
  readonly events: readonly SealedEvent[]
  readonly next: string
}

/** Which tasks are meant: all, where nothing is said. */
export interface TaskFilter {
  readonly status?: TaskStatus
  readonly agent?: string
  /** Those that this task started. */
  readonly parentId?: string
  /** Those of the tree of this root, itself included. */
  readonly rootId?: string
  /** Only those that no task started. */
  readonly roots?: boolean
  readonly limit?: number
}

/**
 * A store.
 *
 * *Contract*: every method is one transaction; it is durable when its promise is fulfilled. A failure of the world is a
 * Fault whose code starts with `STORE_`; after one, either all of the operation is there or nothing of it.
 */
export interface Store {
  /** Appends events and writes everything that follows from them. A payload that one of them erases is gone with it. */
  commit(commit: Commit): Promise<Committed>
  /** A task, folded; of one with a long log little is read but what came lately. Throws LOG_NEWER. */
  load(taskId: string): Promise<Loaded>
  /** A task's events after `afterSeq` (default 0), in order, payloads in place; at most `limit`. Throws LOG_NEWER. */
  read(taskId: string, options?: { afterSeq?: number; limit?: number }): Promise<readonly LoggedEvent[]>
  /** The same, as they were hashed. */
  readSealed(taskId: string, options?: { afterSeq?: number; limit?: number }): Promise<readonly SealedEvent[]>
  /**
   * Events of all tasks behind a place (default: from the beginning), as they were hashed. Nothing is ever put in behind a place that
   * was given out: what is still being written is not there yet, and comes later.
   */
  feed(after?: string, limit?: number): Promise<FeedPage>
  /** A task's payloads, in the order in which they were stored. */
  payloads(taskId: string): Promise<readonly StoredPayload[]>
  /** Every task that there is a row or an event of, those of a tree together. */
  known(): Promise<readonly KnownTask[]>
  /** Tasks that workers hold; those whose lease has run out are free. */
  held(nowMs: number): Promise<readonly HeldTask[]>
  /** A task as it can be carried elsewhere, as of one moment. */
  takeOut(taskId: string): Promise<WholeTask>
  /**
   * Takes in tasks that were proved whole elsewhere. Nobody holds them, and what they wait for is looked at anew. False when there
   * is one of their ids; then nothing was written.
   */
  takeIn(tasks: readonly WholeTask[]): Promise<boolean>
  /** Takes in the next checkpoint of another store, as it was signed there. False when it is not the next; then nothing was written. */
  takeInCheckpoint(checkpoint: Checkpoint, heads: readonly TaskHead[]): Promise<boolean>
  /** Takes in schedules of another store with their ids, their versions and how far they have come. False when an id or a name is taken. */
  takeInSchedules(schedules: readonly ScheduleRow[]): Promise<boolean>
  /** Gives a worker tasks that are due and free; each to one worker at a time. */
  claim(request: ClaimRequest): Promise<readonly Claim[]>
  /** When the next task of these definitions is due, those of `except` aside, in ms since 1970, or null. */
  nextDueMs(
    definitions: readonly string[],
    taskId?: string,
    except?: readonly string[],
    delivered?: ClaimRequest['delivered'],
  ): Promise<number | null>
  /** The definitions that tasks in the queue are pinned to, and their agents. */
  definitions(): Promise<readonly { readonly agent: string; readonly definition: string }[]>
  /** Tasks of a definition that are in the queue and held by no worker, in the order in which they are due, behind one. */
  queued(
    definition: string,
    options: { nowMs: number; after?: QueuedTask; limit: number },
  ): Promise<readonly QueuedTask[]>
  /** Prolongs leases. */
  renew(leases: readonly Renewal[], leaseMs: number, nowMs: number): Promise<readonly Renewed[]>
  /** Gives leases back as they are: the tasks are due at once. */
  release(leases: readonly Renewal[], nowMs: number): Promise<void>
  /** A worker says that it is there. Who has not done so for a day is forgotten. */
  beat(worker: WorkerRow): Promise<void>
  /** A worker says that it goes. */
  leave(worker: string): Promise<void>
  /** Workers, in the order in which they began. */
  workers(): Promise<readonly WorkerRow[]>
  /** What is known of the family of a task that is in a tree, beyond what the task as it is given knows. */
  kin(task: Task): Promise<Kin>
  /** Is any task of a tree at work, or about to be without anybody outside? */
  isRestless(rootId: string): Promise<boolean>
  /** One task, or undefined. */
  task(taskId: string): Promise<TaskRow | undefined>
  /** Tasks, newest first. */
  tasks(filter?: TaskFilter): Promise<readonly TaskRow[]>
  /** Inbox items, oldest first. */
  inbox(filter?: { status?: InboxRow['status']; taskId?: string }): Promise<readonly InboxRow[]>
  /** Open items that the outside is to be told of now; each to one who asks at a time, until its lease ends. */
  claimNotices(request: { nowMs: number; leaseMs: number; limit: number }): Promise<readonly NoticeRow[]>
  /** The gates that anything is known about, by key. */
  gates(): Promise<readonly GateRow[]>
  /** Writes a schedule down. False when there is one of its name; then nothing was written. */
  schedule(given: NewSchedule): Promise<boolean>
  /** Removes a schedule; its row stays, without the input. False when there is none of that name. */
  unschedule(name: string, given: { by: string; reason: string; nowMs: number }): Promise<boolean>
  /** Schedules by name; those removed too, or only those that something may be to do for until `dueMs`. */
  schedules(filter?: { removed?: boolean; dueMs?: number }): Promise<readonly ScheduleRow[]>
  /** Moves a schedule on without starting a task. False when somebody else was first; then nothing was written. */
  advanceSchedule(change: ScheduleChange): Promise<boolean>
  /** A task's context keys with their versions and labels. */
  context(taskId: string): Promise<readonly { key: string; version: number; value: Json; label: Label }[]>
  /** Proves the log whole: of one task, or of all. `progress` is told the number of tasks done. */
  verify(taskId?: string, progress?: (tasks: number) => void): Promise<Verification>
  /** Drops everything that follows from the log and writes it again from the events and payloads alone. */
  rebuild(): Promise<void>
  /** Makes sure that what was erased is in none of the store's files. False: others are using them; ask again. */
  wipe(): Promise<boolean>
  /** Signs the heads of all tasks that have gone on since the last checkpoint. Undefined: none has; nothing was written. */
  checkpoint(signer: Signer, nowMs: number): Promise<Checkpoint | undefined>
  /** Checkpoints, in order, behind a number. */
  checkpoints(options?: { after?: number; limit?: number }): Promise<readonly Checkpoint[]>
  /** The heads that a checkpoint signed, each beside what the log holds now. */
  heads(number: number): Promise<readonly HeldHead[]>
  /**
   * Calls back after commits of this process, of one task or of all: a hint, not a promise. `news`: the task itself has not
   * changed, its family has something to tell. Returns how to stop.
   */
  watch(listener: (row: TaskRow, news: boolean) => void, taskId?: string): () => void
  /** Whether other processes are told of changes, so that nobody has to look often. */
  readonly tells: boolean
  /** The clock that all workers of the store go by, in ms since 1970; undefined where it is this machine's own. */
  now(): Promise<number | undefined>
  /** Finishes what was asked for and closes. */
  close(): Promise<void>
}
