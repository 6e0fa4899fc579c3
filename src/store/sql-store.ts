// A store on an engine that speaks SQL. What a commit checks and what follows from it is told here once, as transactions
// that are values (see tx); the engine runs them. Every write checks its own condition first, because it may share its
// transaction with others.

import type { Probe, WritePoint } from '../runtime.ts'
import { assert, Fault, isFault, messageOf } from '../core/fault.ts'
import type { Event } from '../core/event.ts'
import type { Kin } from '../core/kin.ts'
import type { Label } from '../core/label.ts'
import { fold } from '../core/fold.ts'
import { emptyTask, type Task } from '../core/task.ts'
import { insertRow, updateRow, wakeKin, writeAnew, writeEvents, writeJob, writeJobAnew, writeTree } from './derived.ts'
import type { Engine, WriteOptions } from './engine.ts'
import { kinOf, kinRefuses } from './family.ts'
import { gatesRefusal, holdGates, wakeWaiting } from './gates.ts'
import { genesis, read, seal, unseal, verifyChain, type Place, type Proof, type Sealed } from './log.ts'
import { inMemory, openAll } from './payloads.ts'
import { nextCheckpoint, type Checkpoint, type HeldHead, type Signer, type TaskHead } from './register.ts'
import { taskRow } from './rows.ts'
import { randomSalts } from './salt.ts'
import { addSchedule, changeSchedule, removeSchedule, schedulesOf, takeInSchedules } from './schedules.ts'
import { Shadow } from './shadow.ts'
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

/** How many payloads are remembered as stored. */
const recentMax = 4_096
const forgottenMs = 86_400_000

/** Whatever became of what a commit was decided on. */
type Refused = Exclude<Committed, { readonly ok: true }>

/** A store on an engine. */
export class SqlStore implements Store {
  readonly #engine: Engine
  readonly #address: string
  readonly #salt: () => string
  /** By task; those of the empty name hear of every task. */
  readonly #listeners = new Map<string, Set<(row: TaskRow, news: boolean) => void>>()
  readonly #recent = new Map<string, Place>()
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
    return this.#engine.write(point, body, options)
  }

  async commit(commit: Commit): Promise<Committed> {
    const { task } = commit
    // Where something was erased nothing is taken for known: it may be what is gone.
    const known = (content: string): Place | undefined =>
      task.erased > 0 ? undefined : this.#recent.get(`${task.id} ${content}`)
    const sealed = seal(commit.head, commit.events, known, this.#salt)
    const row = taskRow(task, sealed.head)
    const begun = (commit.children ?? []).map((child) => ({
      ...child,
      sealed: seal(genesis, child.events, () => undefined, this.#salt),
    }))
    const made: Made = { commit, sealed, row, begun }
    const { result, woken } = await this.#write(
      commit.point,
      () => askFirst(made),
      asksNothing(commit) ? { assumed: () => assume(made) } : {},
    )
    if (!result.ok) return result
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
    this.#recent.set(key, place)
    if (this.#recent.size <= recentMax) return
    for (const oldest of this.#recent.keys()) {
      this.#recent.delete(oldest)
      return
    }
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
    return this.#engine.read(body, options)
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
    const shadow = new Shadow()
    try {
      for (const [index, id] of ids.entries()) {
        // One look at a task is one transaction: a commit in between would look like an edit.
        const proof = await this.#read(() => verifyTask(id, shadow), { steady: true })
        events += proof.events
        erased += proof.erased
        if (proof.finding) findings.push(proof.finding)
        progress?.(index + 1)
        await new Promise((wake) => setImmediate(wake))
      }
    } finally {
      shadow.close()
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
    for (const listener of this.#listeners.get('') ?? []) listener(row, news)
    for (const listener of this.#listeners.get(row.taskId) ?? []) listener(row, news)
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

// ---- One commit ----------------------------------------------------------------------------------------------------

/** A commit in its final form. */
interface Made {
  readonly commit: Commit
  readonly sealed: Sealed
  readonly row: TaskRow
  readonly begun: readonly { readonly task: Task; readonly events: readonly Event[]; readonly sealed: Sealed }[]
}

/** What came of a commit, and who of the family is called up by it. */
interface Done {
  readonly result: Committed
  readonly woken: ReadonlySet<string>
}

const nobody: ReadonlySet<string> = new Set()

/** Writes a commit if everything that it was decided on holds still. */
function* askFirst(made: Made): Tx<Done> {
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
function asksNothing({ task, events, children = [], gates, schedule }: Commit): boolean {
  return (
    !task.tree &&
    !schedule &&
    children.length === 0 &&
    (gates?.takes.length ?? 0) === 0 &&
    events.every(({ type }) => !asking.has(type))
  )
}

const asking: ReadonlySet<Event['type']> = new Set([
  'breaker.changed',
  'step.queued',
  'slot.taken',
  'slot.freed',
  'payload.erased',
])

function* assume(made: Made): Tx<Done> {
  const { task, lease, gates } = made.commit
  const admits = JSON.stringify([...(gates?.admits ?? [])])
  yield* run('assume', task.id, lease ?? null, admits, gates?.nowMs ?? 0)
  return { result: { ok: true, head: made.sealed.head }, woken: yield* writeCommit(made) }
}

function* writeCommit({ commit, sealed, row, begun }: Made): Tx<ReadonlySet<string>> {
  const { task, head, events } = commit
  yield* insertLog(task.id, sealed)
  // The database allows it only when what says so is written.
  for (const { type, data } of events)
    if (type === 'payload.erased') yield* run('erasePayload', task.id, data.seq, data.hash)
  if (head.seq === 0) yield* insertRow(row)
  else yield* updateRow(row, head)
  yield* writeEvents(task, events, sealed.events)
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

function* insertLog(
  taskId: string,
  { events, payloads }: { readonly events: readonly SealedEvent[]; readonly payloads: readonly StoredPayload[] },
): Tx<void> {
  for (const { seq, hash, salt, body } of payloads) yield* run('insertPayload', taskId, seq, hash, salt, body)
  for (const { seq, at, type, data, costMicros, prevHash, hash } of events) {
    yield* run('insertEvent', taskId, seq, at, type, data, costMicros, prevHash, hash)
  }
}

// ---- The queue -----------------------------------------------------------------------------------------------------

function* claim(request: ClaimRequest): Tx<Claim[]> {
  const { definitions, nowMs, taskId, except = [], limit, worker, lease, leaseMs, delivered = {} } = request
  const { min = 0, max = noLimit } = delivered
  const claims: Claim[] = []
  const not = JSON.stringify(except)
  for (const definition of definitions) {
    const room = limit - claims.length
    if (room <= 0) break
    const due =
      taskId === undefined
        ? all<Omit<Claim, 'lease'>>('due', definition, nowMs, not, room, min, max)
        : all<Omit<Claim, 'lease'>>('dueOfTask', definition, nowMs, taskId, not, room)
    for (const row of yield* due) claims.push({ ...row, lease })
  }
  if (claims.length > 0)
    yield* run('lease', nowMs + leaseMs, worker, lease, JSON.stringify(claims.map((claimed) => claimed.taskId)))
  return claims
}

function* nextDue(
  definitions: readonly string[],
  taskId: string | undefined,
  except: string,
  { min = 0, max = noLimit }: NonNullable<ClaimRequest['delivered']>,
): Tx<number | null> {
  let next: number | null = null
  for (const definition of definitions) {
    const row: { due: number | null } | undefined =
      taskId === undefined
        ? yield* one('nextDue', definition, except, min, max)
        : yield* one('nextDueOfTask', definition, except, taskId)
    const due = row?.due ?? null
    if (due !== null && (next === null || due < next)) next = due
  }
  return next
}

function* renew(leases: readonly Renewal[], wantedMs: number): Tx<Renewed[]> {
  type Held = Head & { taskId: string; lease: string | null; untilMs: number; news: number }
  const taskIds = JSON.stringify(leases.map(({ taskId }) => taskId))
  yield* run('renew', wantedMs, taskIds, JSON.stringify([...new Set(leases.map(({ lease }) => lease))]))
  const found = new Map((yield* all<Held>('held', taskIds)).map((row) => [row.taskId, row]))
  return leases.map(({ taskId, lease }) => {
    const { seq = 0, untilMs = 0, news = 0, lease: its } = found.get(taskId) ?? {}
    return { taskId, held: its === lease, untilMs, seq, news }
  })
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
  const [place = '0', seq = '0', taskId = ''] = after.split(' ')
  type Placed = SealedEvent & { place?: Value }
  const rows = (yield* all<Placed>('feed', limit, place || '0', taskId, Number(seq))) as Placed[]
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

function* verifyTask(taskId: string, shadow: Shadow): Tx<Proof> {
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
    const seq = rows.find(({ data }) => !isJson(data))?.seq ?? 1
    return found('unreadable', seq, `event ${seq} is not JSON`)
  }
  if (proof.finding) return proof
  const last = rows.at(-1)?.seq ?? 1
  try {
    const problem = yield* shadow.problem(
      taskId,
      rows.map((event) => unseal(event, payload)),
      rows,
    )
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

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
