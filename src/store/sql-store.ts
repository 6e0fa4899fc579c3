// A store on an engine that speaks SQL. What is asked of it becomes transactions that are values (see tx); the engine runs
// them. Every write checks its own condition first, because it may share its transaction with others.

import type { Probe, WritePoint } from '../runtime.ts'
import { assert, Fault, isFault, messageOf } from '../core/fault.ts'
import { quoted } from '../core/json.ts'
import type { Kin } from '../core/kin.ts'
import type { Label } from '../core/label.ts'
import { fold } from '../core/fold.ts'
import { emptyTask, type Task } from '../core/task.ts'
import { askFirst, asksNothing, assume, insertLog, type Made } from './commit.ts'
import { writeAnew, writeJobAnew } from './derived.ts'
import type { Engine, WriteOptions } from './engine.ts'
import { kinOf } from './family.ts'
import { dataOf, genesis, read, seal, unseal, verifyChain, type Place, type Proof } from './log.ts'
import { inMemory, openAll } from './payloads.ts'
import { claim, nextDue, renew } from './queue.ts'
import { nextCheckpoint, type Checkpoint, type HeldHead, type Signer, type TaskHead } from './register.ts'
import { taskRow } from './rows.ts'
import { randomSalts } from './salt.ts'
import { addSchedule, changeSchedule, removeSchedule, schedulesOf, takeInSchedules } from './schedules.ts'
import { shadowProblem } from './shadow.ts'
import { load, snapshotProblem, Snapshots } from './snapshots.ts'
import type { Migrated } from './migration.ts'
import { derivedTables, noLimit } from './statements.ts'
import type {
  Claim,
  ClaimRequest,
  Commit,
  Committed,
  FeedPage,
  Finding,
  GateRow,
  Head,
  HeldTask,
  InboxRow,
  KnownTask,
  Loaded,
  LoggedEvent,
  NewSchedule,
  NoticeRow,
  QueuedTask,
  Renewal,
  Renewed,
  ScheduleChange,
  ScheduleRow,
  SealedEvent,
  Store,
  StoredPayload,
  TaskFilter,
  TaskRow,
  Verification,
  WorkerRow,
  WholeTask,
} from './store.ts'
import { all, one, run, type Tx, type Value } from './tx.ts'

/** What every engine is opened with. */
export interface SqlOptions {
  /** Make the store when there is none. Default true; a look at a store should not make one. */
  readonly create?: boolean
  readonly probe?: Probe
  readonly now?: () => number
  readonly migrated?: Migrated
  /** Makes the salts of payloads. Default: from the system's randomness; a simulated world brings its own. */
  readonly salt?: () => string
}

/** How many payloads are remembered as stored at least, and twice as many at most. */
const recentMax = 4_096
const forgottenMs = 86_400_000

/** A store on an engine. */
export class SqlStore implements Store {
  readonly #engine: Engine
  readonly #address: string
  readonly #salt: () => string
  /** By task; those of the empty name hear of every task. */
  readonly #listeners = new Map<string, Set<(row: TaskRow, news: boolean) => void>>()
  #recent = new Map<string, Place>()
  #before: ReadonlyMap<string, Place> = new Map()
  readonly #snapshots = new Snapshots()
  #closing: Promise<void> | undefined

  /** @param address what it is called in what is said to people */
  constructor(engine: Engine, address: string, salt: () => string = randomSalts()) {
    this.#engine = engine
    this.#address = address
    this.#salt = salt
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  async #write<T>(point: WritePoint, body: () => Tx<T>, options: WriteOptions<T> = {}): Promise<T> {
    if (this.#closing) throw this.#closedFault()
    try {
      return await this.#engine.write(point, body, options)
    } catch (thrown) {
      throw this.#damage(thrown)
    }
  }

  async commit(commit: Commit): Promise<Committed> {
    const { task } = commit
    // Where something was erased nothing is taken for known: it may be what is gone.
    const known = (content: string): Place | undefined =>
      task.erased > 0 ? undefined : this.#recall(`${task.id} ${content}`)
    const sealed = seal(commit.head, commit.events, known, this.#salt)
    const row = taskRow(task, sealed.head)
    const begun = (commit.children ?? []).map((child) => ({
      ...child,
      sealed: seal(genesis, child.events, () => undefined, this.#salt),
    }))
    const snapshot = this.#snapshots.due(task, sealed.head)
    const made: Made = { commit, sealed, row, begun, snapshot }
    const { result, woken } = await this.#write(
      commit.point,
      () => askFirst(made),
      asksNothing(commit) ? { assumed: () => assume(made) } : {},
    )
    if (!result.ok) return result
    if (snapshot) this.#snapshots.note(task.id, snapshot.seq, snapshot.body.length)
    for (const { content, seq, hash } of sealed.payloads) this.#remember(`${task.id} ${content}`, { seq, hash })
    this.#tell(row)
    for (const child of begun) this.#tell(taskRow(child.task, child.sealed.head))
    const others = [...begun.map((child) => child.task.id), ...woken]
    if (!commit.keep) others.push(task.id)
    if (others.length > 0) this.#engine.announce(others)
    if (woken.size > 0 && this.#listeners.size > 0)
      for (const kin of await this.#rows([...woken])) this.#tell(kin, true)
    return result
  }

  /** Payloads stored lately, so that what comes again is not stored again. Found by their place, never by their hash. */
  #remember(key: string, place: Place): void {
    if (this.#recent.size >= recentMax) {
      this.#before = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(key, place)
  }

  #recall(key: string): Place | undefined {
    return this.#recent.get(key) ?? this.#before.get(key)
  }

  async claim(request: ClaimRequest): Promise<readonly Claim[]> {
    const { definitions, nowMs, taskId, except = [], limit, delivered } = request
    const due = await this.nextDueMs(definitions, taskId, except, delivered)
    if (due === null || due > nowMs || limit <= 0) return []
    return this.#write('claim', () => claim(request))
  }

  async nextDueMs(
    definitions: readonly string[],
    taskId?: string,
    except: readonly string[] = [],
    delivered: ClaimRequest['delivered'] = {},
  ): Promise<number | null> {
    if (taskId !== undefined && except.includes(taskId)) return null
    return this.#read(() => nextDue(definitions, taskId, JSON.stringify(except), delivered))
  }

  definitions(): ReturnType<Store['definitions']> {
    return this.#read(() => all('definitions'))
  }

  queued(
    definition: string,
    { nowMs, after, limit }: { nowMs: number; after?: QueuedTask; limit: number },
  ): Promise<readonly QueuedTask[]> {
    const { availableAtMs = -1, taskId = '' } = after ?? {}
    return this.#read(() => all('queued', definition, availableAtMs, taskId, nowMs, limit))
  }

  renew(leases: readonly Renewal[], leaseMs: number, nowMs: number): Promise<readonly Renewed[]> {
    return this.#write('renew', () => renew(leases, nowMs + leaseMs))
  }

  async release(leases: readonly Renewal[], nowMs: number): Promise<void> {
    await this.#write('release', function* () {
      for (const { taskId, lease } of leases) yield* run('release', nowMs, taskId, lease)
    })
    this.#engine.announce(leases.map(({ taskId }) => taskId))
  }

  schedule(given: NewSchedule): Promise<boolean> {
    return this.#write('schedule', () => addSchedule(given))
  }

  unschedule(name: string, given: { by: string; reason: string; nowMs: number }): Promise<boolean> {
    return this.#write('schedule', () => removeSchedule(name, given))
  }

  advanceSchedule(given: ScheduleChange): Promise<boolean> {
    return this.#write('schedule', () => changeSchedule(given))
  }

  // ---- Reading -----------------------------------------------------------------------------------------------------

  async #read<T>(body: () => Tx<T>, options?: { readonly steady?: boolean }): Promise<T> {
    if (this.#closing) throw this.#closedFault()
    try {
      return await this.#engine.read(body, options)
    } catch (thrown) {
      throw this.#damage(thrown)
    }
  }

  /** Only JSON is ever written: where it cannot be read any more the store is damaged, also where its engine does not notice. */
  #damage(thrown: unknown): unknown {
    if (!(thrown instanceof SyntaxError)) return thrown
    return new Fault(
      'STORE_CORRUPT',
      `The store ${this.#address} is damaged: what was written there as JSON is none any more.`,
      'See where: signalbox verify. Stop all workers, keep a copy of the store, and restore a backup.',
      { cause: thrown },
    )
  }

  async load(taskId: string): Promise<Loaded> {
    const { task, head, snapshot } = await this.#read(() => load(taskId))
    if (snapshot) this.#snapshots.note(taskId, snapshot.seq, snapshot.body.length)
    return { task, head }
  }

  read(taskId: string, options: { afterSeq?: number; limit?: number } = {}): Promise<readonly LoggedEvent[]> {
    return this.#read(function* () {
      return yield* openAll(taskId, yield* sealedOf(taskId, options))
    })
  }

  readSealed(taskId: string, options: { afterSeq?: number; limit?: number } = {}): Promise<readonly SealedEvent[]> {
    return this.#read(() => sealedOf(taskId, options))
  }

  task(taskId: string): Promise<TaskRow | undefined> {
    return this.#read(() => one<TaskRow>('task', taskId))
  }

  #rows(taskIds: readonly string[]): Promise<readonly TaskRow[]> {
    return this.#read(() => all<TaskRow>('tasksAt', JSON.stringify(taskIds)))
  }

  kin(task: Task): Promise<Kin> {
    return this.#read(() => kinOf(task), { steady: true })
  }

  async isRestless(rootId: string): Promise<boolean> {
    return (await this.#read(() => one('restless', rootId))) !== undefined
  }

  tasks(filter: TaskFilter = {}): Promise<readonly TaskRow[]> {
    const { status = null, agent = null, parentId = null, rootId = null, roots = false, limit = 100 } = filter
    const asked = [status, agent, Number(roots), limit] as const
    return this.#read(() =>
      rootId !== null
        ? all<TaskRow>('tasksOfTree', rootId, parentId, ...asked)
        : parentId !== null
          ? all<TaskRow>('tasksOfParent', parentId, ...asked)
          : all<TaskRow>('tasks', ...asked),
    )
  }

  async claimNotices({
    nowMs,
    leaseMs,
    limit,
  }: {
    nowMs: number
    leaseMs: number
    limit: number
  }): Promise<readonly NoticeRow[]> {
    if (!(await this.#read(() => one('hasNotice', nowMs)))) return []
    return this.#write('claim', function* () {
      const rows = yield* all<StoredItem & Pick<NoticeRow, 'noticeId' | 'attempt' | 'delayMs'>>(
        'dueNotices',
        nowMs,
        limit,
      )
      for (const { item } of rows) yield* run('leaseNotice', item, nowMs + leaseMs)
      return rows.map(itemOf)
    })
  }

  inbox(filter: { status?: InboxRow['status']; taskId?: string } = {}): Promise<readonly InboxRow[]> {
    const { status = null, taskId = null } = filter
    return this.#read(function* () {
      return (yield* all<StoredItem>('inbox', status, taskId)).map(itemOf)
    })
  }

  gates(): Promise<readonly GateRow[]> {
    return this.#read(() => all<GateRow>('gates'))
  }

  schedules(filter: { removed?: boolean; dueMs?: number } = {}): Promise<readonly ScheduleRow[]> {
    return this.#read(() => schedulesOf(filter))
  }

  context(taskId: string): ReturnType<Store['context']> {
    type Stored = Label & { key: string; version: number; body: string | null }
    return this.#read(function* () {
      const rows = yield* all<Stored>('context', taskId)
      return rows.map(({ key, version, trust, privacy, body }) => ({
        key,
        version,
        value: read({ body }),
        label: { trust, privacy },
      }))
    })
  }

  payloads(taskId: string): Promise<readonly StoredPayload[]> {
    return this.#read(() => all<StoredPayload>('payloads', taskId))
  }

  feed(after = '', limit = 1_000): Promise<FeedPage> {
    return this.#read(() => feed(after, limit))
  }

  async beat({ agents, queues, ...row }: WorkerRow): Promise<void> {
    const { worker, host, pid, concurrency, held, status, startedAtMs, beatAtMs } = row
    const lists = [JSON.stringify(agents), JSON.stringify(queues)]
    await this.#write('renew', function* () {
      yield* run('beat', worker, host, pid, ...lists, concurrency, held, status, startedAtMs, beatAtMs)
      yield* run('forgetWorkers', beatAtMs - forgottenMs)
    })
  }

  leave(worker: string): Promise<void> {
    return this.#write('renew', () => run('leave', worker))
  }

  async workers(): Promise<readonly WorkerRow[]> {
    type Stored = Omit<WorkerRow, 'agents' | 'queues'> & { agents: string; queues: string }
    const rows = await this.#read(() => all<Stored>('workers'))
    return rows.map(({ agents, queues, ...row }) => ({
      ...row,
      agents: JSON.parse(agents) as string[],
      queues: JSON.parse(queues) as string[],
    }))
  }

  get tells(): boolean {
    return this.#engine.tells
  }

  now(): Promise<number | undefined> {
    return this.#engine.now()
  }

  // ---- The whole of it ---------------------------------------------------------------------------------------------

  async verify(taskId?: string, progress?: (tasks: number) => void): Promise<Verification> {
    const ids =
      taskId === undefined
        ? (await this.#read(() => all<{ taskId: string }>('taskIds'))).map((row) => row.taskId)
        : [taskId]
    const findings: Finding[] = []
    let [events, erased] = [0, 0]
    for (const [index, id] of ids.entries()) {
      // One look at a task is one transaction: a commit in between would look like an edit.
      const proof = await this.#read(() => verifyTask(id), { steady: true })
      events += proof.events
      erased += proof.erased
      if (proof.finding) findings.push(proof.finding)
      progress?.(index + 1)
      await new Promise((wake) => setImmediate(wake))
    }
    return { tasks: ids.length, events, erased, findings }
  }

  rebuild(): Promise<void> {
    return this.#write('settle', function* () {
      yield* run('holdAll')
      for (const table of derivedTables) yield* run(`empty_${table}`)
      for (const { taskId } of yield* all<{ taskId: string }>('loggedTaskIds')) yield* rebuildTask(taskId)
    })
  }

  // ---- From one store to another -----------------------------------------------------------------------------------

  known(): Promise<readonly KnownTask[]> {
    return this.#read(() => all<KnownTask>('known'))
  }

  held(nowMs: number): Promise<readonly HeldTask[]> {
    return this.#read(() => all<HeldTask>('heldNow', nowMs))
  }

  takeOut(taskId: string): Promise<WholeTask> {
    return this.#read(
      function* () {
        const events = yield* sealedOf(taskId, { afterSeq: -1 })
        return { taskId, events, payloads: yield* all<StoredPayload>('payloads', taskId) }
      },
      { steady: true },
    )
  }

  async takeIn(tasks: readonly WholeTask[]): Promise<boolean> {
    const taskIds = tasks.map(({ taskId }) => taskId)
    const taken = await this.#write('start', function* () {
      if (yield* one('tasksAt', JSON.stringify(taskIds))) return false
      for (const task of tasks) {
        yield* insertLog(task.taskId, task)
        yield* rebuildTask(task.taskId)
      }
      return true
    })
    if (taken) this.#engine.announce(taskIds)
    return taken
  }

  takeInCheckpoint(checkpoint: Checkpoint, heads: readonly TaskHead[]): Promise<boolean> {
    return this.#write('checkpoint', function* () {
      const last = yield* one<Checkpoint>('lastCheckpoint')
      if (checkpoint.number !== (last?.number ?? 0) + 1) return false
      yield* insertCheckpoint(checkpoint, heads)
      return true
    })
  }

  takeInSchedules(schedules: readonly ScheduleRow[]): Promise<boolean> {
    return this.#write('schedule', () => takeInSchedules(schedules))
  }

  // ---- What is gone ------------------------------------------------------------------------------------------------

  wipe(): Promise<boolean> {
    if (this.#closing) return Promise.reject(this.#closedFault())
    return this.#engine.wipe()
  }

  // ---- The register ------------------------------------------------------------------------------------------------

  checkpoint(signer: Signer, nowMs: number): Promise<Checkpoint | undefined> {
    return this.#write('checkpoint', () => checkpoint(signer, nowMs), { steady: true })
  }

  checkpoints(options: { after?: number; limit?: number } = {}): Promise<readonly Checkpoint[]> {
    return this.#read(() => all<Checkpoint>('checkpoints', options.after ?? 0, options.limit ?? noLimit))
  }

  heads(number: number): Promise<readonly HeldHead[]> {
    return this.#read(() => all<HeldHead>('heads', number))
  }

  // ---- Who is told -------------------------------------------------------------------------------------------------

  watch(listener: (row: TaskRow, news: boolean) => void, taskId = ''): () => void {
    this.#engine.listen((taskIds) => void this.#hear(taskIds).catch(() => undefined))
    const listeners = this.#listeners.get(taskId) ?? new Set()
    this.#listeners.set(taskId, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.#listeners.get(taskId) === listeners) this.#listeners.delete(taskId)
    }
  }

  #tell(row: TaskRow, news = false): void {
    this.#listeners.get('')?.forEach((listener) => listener(row, news))
    this.#listeners.get(row.taskId)?.forEach((listener) => listener(row, news))
  }

  /** Another process has changed tasks: whoever listens here is told, of the family's news too. */
  async #hear(taskIds: readonly string[]): Promise<void> {
    const heard = this.#listeners.has('') ? taskIds : taskIds.filter((taskId) => this.#listeners.has(taskId))
    if (heard.length === 0 || this.#closing) return
    for (const row of await this.#rows(heard)) this.#tell(row, row.rootId !== null)
  }

  close(): Promise<void> {
    this.#closing ??= this.#engine.close()
    return this.#closing
  }

  #closedFault(): Fault {
    return new Fault('STORE_CLOSED', `The store ${this.#address} is closed.`, 'Open it again.')
  }
}

// ---- The log -------------------------------------------------------------------------------------------------------

function sealedOf(
  taskId: string,
  { afterSeq = 0, limit = noLimit }: { afterSeq?: number; limit?: number } = {},
): Tx<readonly SealedEvent[]> {
  return all<SealedEvent>('events', taskId, afterSeq, limit)
}

/** A place is the last event that was read: its number among all, its own, and its task. */
function* feed(after: string, limit: number): Tx<FeedPage> {
  const [, place, seq, taskId] = /^(\d{1,20}) (\d{1,15}) ([^]*)$/.exec(after === '' ? '0 0 ' : after) ?? []
  if (place === undefined) {
    const what = `${quoted(after)} is no place among the events.`
    throw new Fault('INPUT_INVALID', what, 'Give what the page before said is next, or nothing to begin anew.')
  }
  type Placed = SealedEvent & { place?: Value }
  const rows = (yield* all<Placed>('feed', limit, place, taskId!, Number(seq))) as Placed[]
  const last = rows.at(-1)
  const next = last ? `${last.place} ${last.seq} ${last.taskId}` : after
  for (const row of rows) delete row.place
  return { events: rows, next }
}

function* rebuildTask(taskId: string): Tx<void> {
  const sealed = yield* sealedOf(taskId)
  const events = yield* openAll(taskId, sealed)
  const task = fold(emptyTask(taskId), events)
  const { seq, hash } = sealed.at(-1)!
  yield* writeAnew(taskRow(task, { seq, hash }), task, events, sealed)
  yield* writeJobAnew(task)
}

function* verifyTask(taskId: string): Tx<Proof> {
  const rows = yield* sealedOf(taskId, { afterSeq: -1 })
  const head = yield* one<Head>('head', taskId)
  const found = (kind: Finding['kind'], seq: number, problem: string): Proof => ({
    events: rows.length,
    erased: 0,
    finding: { taskId, seq, kind, problem },
  })
  const payload = inMemory(yield* all<StoredPayload>('payloads', taskId))
  let proof: Proof
  try {
    // A task of which nothing is there but rows that follow from a log.
    const bare = rows.length === 0 && head === undefined
    proof = bare ? { events: 0, erased: 0, finding: undefined } : verifyChain(taskId, rows, head, payload)
  } catch (thrown) {
    assert(thrown instanceof SyntaxError, 'a chain is proved without failing')
    const seq = rows.find((event) => !isReadable(event))?.seq ?? 1
    return found('unreadable', seq, `event ${seq} is no JSON object`)
  }
  if (proof.finding) return proof
  const last = rows.at(-1)?.seq ?? 1
  try {
    const events = rows.map((event) => unseal(event, payload))
    const problem = (yield* shadowProblem(taskId, events, rows)) ?? (yield* snapshotProblem(taskId, events))
    return problem === undefined ? proof : found('derived', last, problem)
  } catch (thrown) {
    // The chain holds whatever its events say; what follows from them is for a newer engine to prove.
    if (isFault(thrown, 'LOG_NEWER')) return found('newer', thrown.data['seq'] as number, messageOf(thrown))
    // The database failed, and not what it told.
    if (isFault(thrown)) throw thrown
    // Hashes that fit, around events that nobody of ours writes.
    return found('unreadable', last, `the events do not tell a task: ${messageOf(thrown)}`)
  }
}

function* checkpoint(signer: Signer, nowMs: number): Tx<Checkpoint | undefined> {
  const heads = yield* all<TaskHead>('newHeads')
  if (heads.length === 0) return undefined
  const last = yield* one<Checkpoint>('lastCheckpoint')
  const { tasks, events } = (yield* one<{ tasks: number; events: number }>('logSize'))!
  const made = nextCheckpoint(last, { at: nowMs, tasks, events, heads }, signer)
  yield* insertCheckpoint(made, heads)
  return made
}

function* insertCheckpoint(checkpoint: Checkpoint, heads: readonly TaskHead[]): Tx<void> {
  const { number, at, tasks, events, prevRoot, root, keyId, signature } = checkpoint
  yield* run('insertCheckpoint', number, at, tasks, events, prevRoot, root, keyId, signature)
  for (const { taskId, seq, hash } of heads) yield* run('insertHead', taskId, number, seq, hash)
}

// ---- Rows as they are read -----------------------------------------------------------------------------------------

/** An inbox row as it is read: payloads as their bodies, lists as JSON. */
type StoredItem = Omit<InboxRow, 'question' | 'show' | 'options' | 'agreed'> & {
  readonly question: string | null
  readonly showSeq: number | null
  readonly show: string | null
  readonly options: string
  readonly agreed: string
}

function itemOf<Row extends StoredItem>({ question, showSeq, show, options, agreed, ...item }: Row) {
  const asked = read({ body: question })
  return {
    ...item,
    question: typeof asked === 'string' ? asked : '(erased)',
    show: showSeq === null ? null : read({ body: show }),
    options: JSON.parse(options) as string[],
    agreed: JSON.parse(agreed) as string[],
  }
}

function isReadable(event: SealedEvent): boolean {
  try {
    dataOf(event)
    return true
  } catch {
    return false
  }
}
