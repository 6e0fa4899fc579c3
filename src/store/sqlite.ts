// The store on SQLite: one file, one writer, WAL with synchronous=FULL. Transactions are synchronous, so nothing can
// come between their statements; every write checks its own condition first, because it may share its transaction with
// others (see writer).

import type { DatabaseSync } from 'node:sqlite'
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { assert, Fault, isFault, messageOf } from '../core/fault.ts'
import type { Probe, WritePoint } from '../runtime.ts'
import type { Event } from '../core/event.ts'
import type { Kin } from '../core/kin.ts'
import type { Label } from '../core/label.ts'
import { fold } from '../core/fold.ts'
import { emptyTask, type Task } from '../core/task.ts'
import { Derived } from './derived.ts'
import { Family } from './family.ts'
import { isBusy, toFault } from './fault.ts'
import { openFile } from './file.ts'
import { genesis, read, seal, unseal, verifyChain, type Payload, type Place, type Proof, type Sealed } from './log.ts'
import { nextCheckpoint, type Checkpoint, type HeldHead, type Signer, type TaskHead } from './register.ts'
import { taskRow } from './rows.ts'
import { randomSalts } from './salt.ts'
import { SqliteSchedules } from './schedules.ts'
import { derivedTables } from './schema.ts'
import { Shadow } from './shadow.ts'
import { prepare, type Statements } from './statements.ts'
import type {
  Claim,
  ClaimRequest,
  Commit,
  Committed,
  Finding,
  GateRow,
  Head,
  InboxRow,
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
} from './store.ts'
import { Writer } from './writer.ts'

/** How to open a SQLite store. */
export interface SqliteOptions {
  /** Make the file when there is none. Default true; a look at a store should not make one. */
  readonly create?: boolean
  /** How long to wait for another process that is writing. Default 10 s. */
  readonly lockTimeoutMs?: number
  readonly probe?: Probe
  readonly now?: () => number
  /** Makes the salts of payloads. Default: from the system's randomness; a simulated world brings its own. */
  readonly salt?: () => string
}

/** How many payloads are remembered as stored. */
const recentMax = 4_096
const wipePauseMs = 20

/** Opens a store at a path. Throws a Fault that starts with `STORE_` when it cannot be, and leaves the file as it was. */
export async function openSqlite(path: string, options: SqliteOptions = {}): Promise<Store> {
  const lockTimeoutMs = options.lockTimeoutMs ?? 10_000
  const untilMs = performance.now() + lockTimeoutMs
  if (path !== ':memory:' && !existsSync(path) && (options.create === false || !existsSync(dirname(resolve(path))))) {
    throw new Fault('STORE_MISSING', `There is no store at ${path}.`, 'Check --store, or start a task to make one.', {
      data: { path },
    })
  }
  for (;;) {
    try {
      return new SqliteStore(
        openFile(path, options.now ?? Date.now),
        path,
        lockTimeoutMs,
        options.probe ?? (() => undefined),
        options.salt ?? randomSalts(),
      )
    } catch (thrown) {
      if (!isBusy(thrown) || performance.now() >= untilMs) throw toFault(thrown, path)
      await new Promise((wake) => setTimeout(wake, 20))
    }
  }
}

class SqliteStore implements Store {
  readonly #db: DatabaseSync
  readonly #path: string
  readonly #sql: Statements
  readonly #writer: Writer
  readonly #derived: Derived
  readonly #family: Family
  readonly #schedules: SqliteSchedules
  readonly #lockTimeoutMs: number
  readonly #salt: () => string
  /** By task; those of the empty name hear of every task. */
  readonly #listeners = new Map<string, Set<(row: TaskRow, news: boolean) => void>>()
  readonly #recent = new Map<string, Place>()
  #closing: Promise<void> | undefined
  #closed = false

  constructor(db: DatabaseSync, path: string, lockTimeoutMs: number, probe: Probe, salt: () => string) {
    this.#db = db
    this.#path = path
    this.#sql = prepare(db)
    this.#derived = new Derived(this.#sql)
    this.#family = new Family(this.#sql)
    this.#schedules = new SqliteSchedules(this.#sql)
    this.#lockTimeoutMs = lockTimeoutMs
    this.#salt = salt
    this.#writer = new Writer(db, path, lockTimeoutMs, probe)
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  #write<T>(point: WritePoint, body: () => T): Promise<T> {
    return this.#closing ? Promise.reject(this.#closedFault()) : this.#writer.write(point, body)
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
    let woken: ReadonlySet<string> = new Set()
    const result = await this.#write(commit.point, (): Committed => {
      const refusal = this.#refusal(commit)
      if (refusal) return { ok: false, reason: refusal }
      const full = this.#derived.gates.refusal(commit)
      if (full) return { ok: false, reason: 'gates', full }
      if (task.tree && this.#family.refuses(commit)) return { ok: false, reason: 'kin' }
      if (commit.schedule && !this.#schedules.change(commit.schedule)) return { ok: false, reason: 'conflict' }
      this.#insert(task.id, sealed)
      this.#erase(task.id, commit.events)
      this.#derived.writeRow(row, commit.head.seq === 0)
      this.#derived.write(task, commit.events, sealed.events)
      const frees = this.#derived.writeTree(task)
      for (const child of begun) this.#begin(child)
      this.#derived.writeJob(task, commit)
      this.#derived.gates.wake(commit.events)
      woken = this.#derived.wakeKin(task, commit.events, frees)
      return { ok: true, head: sealed.head }
    })
    if (!result.ok) return result
    for (const { content, seq, hash } of sealed.payloads) this.#remember(`${task.id} ${content}`, { seq, hash })
    this.#tell(row)
    for (const child of begun) this.#tell(taskRow(child.task, child.sealed.head))
    for (const taskId of woken) {
      const kin = plain<TaskRow>(this.#sql.task.get(taskId))
      if (kin) this.#tell(kin, true)
    }
    return result
  }

  /** A child begins, in the transaction in which its parent says so. */
  #begin({
    task,
    events,
    sealed,
  }: {
    readonly task: Task
    readonly events: readonly Event[]
    readonly sealed: Sealed
  }): void {
    this.#insert(task.id, sealed)
    this.#derived.writeAnew(taskRow(task, sealed.head), task, events, sealed.events)
    this.#derived.writeJob(task, {})
  }

  #refusal({ task, head, lease }: Commit): 'conflict' | 'lease-lost' | undefined {
    const row = this.#sql.head.get(task.id) as { seq: number; hash: string; lease: string | null } | undefined
    if (row === undefined) return head.seq === 0 ? undefined : 'conflict'
    if (lease !== undefined && row.lease !== lease) return 'lease-lost'
    return row.seq === head.seq && row.hash === head.hash ? undefined : 'conflict'
  }

  #insert(
    taskId: string,
    { events, payloads }: { readonly events: readonly SealedEvent[]; readonly payloads: readonly StoredPayload[] },
  ): void {
    for (const { seq, hash, salt, body } of payloads) this.#sql.insertPayload.run(taskId, seq, hash, salt, body)
    for (const { seq, at, type, data, costMicros, prevHash, hash } of events) {
      this.#sql.insertEvent.run(taskId, seq, at, type, data, costMicros, prevHash, hash)
    }
  }

  /** Takes out what events say is erased. The database allows it only when they are written. */
  #erase(taskId: string, events: Commit['events']): void {
    for (const { type, data } of events)
      if (type === 'payload.erased') this.#sql.erasePayload.run(taskId, data.seq, data.hash)
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
    const { definitions, nowMs, taskId, except = [], limit, worker, lease, leaseMs } = request
    const due = await this.nextDueMs(definitions, taskId, except)
    if (due === null || due > nowMs || limit <= 0) return []
    return this.#write('claim', () => {
      const claims: Claim[] = []
      for (const definition of definitions) {
        const rows =
          taskId === undefined
            ? this.#sql.due.all(definition, nowMs, JSON.stringify(except), limit - claims.length)
            : this.#sql.dueTask.all(definition, nowMs, taskId, taskId, JSON.stringify(except), limit - claims.length)
        for (const row of rows) {
          const claimed = row['taskId'] as string
          this.#sql.lease.run(nowMs + leaseMs, worker, lease, claimed)
          claims.push({ taskId: claimed, lease })
        }
      }
      return claims
    })
  }

  async nextDueMs(
    definitions: readonly string[],
    taskId?: string,
    except: readonly string[] = [],
  ): Promise<number | null> {
    if (taskId !== undefined && except.includes(taskId)) return null
    return this.#read(() => {
      let next: number | null = null
      for (const definition of definitions) {
        const row =
          taskId === undefined
            ? this.#sql.nextDue.get(definition, JSON.stringify(except))
            : this.#sql.nextDueTask.get(definition, taskId, taskId, JSON.stringify(except))
        const due = (row?.['due'] ?? null) as number | null
        if (due !== null && (next === null || due < next)) next = due
      }
      return next
    })
  }

  definitions(): ReturnType<Store['definitions']> {
    return this.#read(() => this.#sql.definitions.all().map((row) => ({ ...row })) as never)
  }

  queued(
    definition: string,
    { nowMs, after, limit }: { nowMs: number; after?: QueuedTask; limit: number },
  ): Promise<readonly QueuedTask[]> {
    const { availableAtMs = -1, taskId = '' } = after ?? {}
    return this.#read(() =>
      this.#sql.queued.all(definition, availableAtMs, taskId, nowMs, limit).map((row) => plain<QueuedTask>(row)!),
    )
  }

  renew(leases: readonly Renewal[], leaseMs: number, nowMs: number): Promise<readonly Renewed[]> {
    return this.#write('renew', () =>
      leases.map(({ taskId, lease }) => {
        const held = this.#sql.renew.run(nowMs + leaseMs, taskId, lease).changes === 1
        const { seq = 0, news = 0 } = (this.#sql.head.get(taskId) ?? {}) as { seq?: number; news?: number }
        return { taskId, held, seq, news }
      }),
    )
  }

  release(leases: readonly Renewal[], nowMs: number): Promise<void> {
    return this.#write('release', () => {
      for (const { taskId, lease } of leases) this.#sql.release.run(nowMs, taskId, lease)
    })
  }

  schedule(given: NewSchedule): Promise<boolean> {
    return this.#write('schedule', () => this.#schedules.add(given))
  }

  unschedule(name: string, given: { by: string; reason: string; nowMs: number }): Promise<boolean> {
    return this.#write('schedule', () => this.#schedules.remove(name, given))
  }

  advanceSchedule(change: ScheduleChange): Promise<boolean> {
    return this.#write('schedule', () => this.#schedules.change(change))
  }

  // ---- Reading -----------------------------------------------------------------------------------------------------

  /** Reads in one transaction, so that what is read belongs together. */
  async #read<T>(body: () => T): Promise<T> {
    if (this.#closed) throw this.#closedFault()
    try {
      return body()
    } catch (thrown) {
      throw toFault(thrown, this.#path)
    }
  }

  async read(taskId: string, options: { afterSeq?: number; limit?: number } = {}): Promise<readonly LoggedEvent[]> {
    const sealed = await this.readSealed(taskId, options)
    return this.#read(() => sealed.map((event) => unseal(event, (place) => this.#payload(taskId, place))))
  }

  readSealed(taskId: string, options: { afterSeq?: number; limit?: number } = {}): Promise<readonly SealedEvent[]> {
    return this.#read(() => {
      const rows = this.#sql.events.all(taskId, options.afterSeq ?? 0, options.limit ?? -1)
      return rows.map((row) => ({ ...row })) as unknown as SealedEvent[]
    })
  }

  #payload(taskId: string, { seq, hash }: Place): Payload | undefined {
    return this.#sql.payload.get(taskId, seq, hash) as unknown as Payload | undefined
  }

  task(taskId: string): Promise<TaskRow | undefined> {
    return this.#read(() => plain<TaskRow>(this.#sql.task.get(taskId)))
  }

  kin(task: Task): Promise<Kin> {
    return this.#read(() =>
      this.#family.kin(task, (sealed) => unseal(sealed, (place) => this.#payload(sealed.taskId, place))),
    )
  }

  isRestless(rootId: string): Promise<boolean> {
    return this.#read(() => this.#sql.restless.get({ rootId }) !== undefined)
  }

  tasks(filter: TaskFilter = {}): Promise<readonly TaskRow[]> {
    const { status = null, agent = null, parentId = null, rootId = null, roots = false, limit = 100 } = filter
    const asked = { status, agent, roots: Number(roots), limit }
    return this.#read(() => {
      const rows =
        rootId !== null
          ? this.#sql.tasksOfTree.all({ ...asked, rootId, parentId })
          : parentId !== null
            ? this.#sql.tasksOfParent.all({ ...asked, parentId })
            : this.#sql.tasks.all(asked)
      return rows.map((row) => plain<TaskRow>(row)!)
    })
  }

  async claimNotices({
    nowMs,
    leaseMs,
    limit,
  }: {
    nowMs: number
    leaseMs: number
    limit: number
  }): Promise<NoticeRow[]> {
    const some = await this.#read(() => this.#sql.dueNotices.get(nowMs, 1))
    if (!some) return []
    return this.#write('claim', () => {
      const rows = this.#sql.dueNotices.all(nowMs, limit)
      for (const row of rows) this.#sql.leaseNotice.run(nowMs + leaseMs, row['item']!)
      return rows.map((row) =>
        itemOf(row as unknown as StoredItem & Pick<NoticeRow, 'noticeId' | 'attempt' | 'delayMs'>),
      )
    })
  }

  inbox(filter: { status?: InboxRow['status']; taskId?: string } = {}): Promise<readonly InboxRow[]> {
    const { status = null, taskId = null } = filter
    return this.#read(() => this.#sql.inbox.all({ status, taskId }).map((row) => itemOf(row as unknown as StoredItem)))
  }

  gates(): Promise<readonly GateRow[]> {
    return this.#read(() => this.#sql.gates.all().map((row) => plain<GateRow>(row)!))
  }

  schedules(filter: { removed?: boolean; dueMs?: number } = {}): Promise<readonly ScheduleRow[]> {
    return this.#read(() => this.#schedules.all(filter))
  }

  context(taskId: string): ReturnType<Store['context']> {
    return this.#read(() =>
      this.#sql.context.all(taskId).map((row) => {
        const { key, version, trust, privacy, body } = row as unknown as Label & {
          key: string
          version: number
          body: string | null
        }
        return { key, version, value: read({ body }), label: { trust, privacy } }
      }),
    )
  }

  async verify(taskId?: string, progress?: (tasks: number) => void): Promise<Verification> {
    const ids = await this.#read(() =>
      taskId === undefined ? this.#sql.taskIds.all().map((row) => row['taskId'] as string) : [taskId],
    )
    const findings: Finding[] = []
    let [events, erased] = [0, 0]
    const shadow = new Shadow()
    try {
      for (const [index, id] of ids.entries()) {
        // One look at a task is one transaction: a commit in between would look like an edit.
        const proof = await this.#read(() => this.#snapshot(() => this.#verifyTask(id, shadow)))
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

  #verifyTask(taskId: string, shadow: Shadow): Proof {
    const rows = this.#sql.events.all(taskId, -1, -1) as unknown as SealedEvent[]
    const head = plain<Head>(this.#sql.head.get(taskId))
    const payload = (place: Place): Payload | undefined => this.#payload(taskId, place)
    const found = (kind: Finding['kind'], seq: number, problem: string): Proof => ({
      events: rows.length,
      erased: 0,
      finding: { taskId, seq, kind, problem },
    })
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
      const problem = shadow.problem(
        this.#sql,
        taskId,
        rows.map((event) => unseal(event, payload)),
        rows,
      )
      return problem === undefined ? proof : found('derived', last, problem)
    } catch (thrown) {
      // The chain holds whatever its events say; what follows from them is for a newer engine to prove.
      if (isFault(thrown, 'LOG_NEWER')) return found('newer', thrown.data['seq'] as number, messageOf(thrown))
      // Hashes that fit, around events that nobody of ours writes.
      return found('unreadable', last, `the events do not tell a task: ${messageOf(thrown)}`)
    }
  }

  #snapshot<T>(body: () => T): T {
    this.#db.exec('BEGIN')
    try {
      return body()
    } finally {
      this.#db.exec('COMMIT')
    }
  }

  async rebuild(): Promise<void> {
    await this.#write('settle', () => {
      for (const table of derivedTables) this.#db.exec(`DELETE FROM ${table}`)
      for (const row of this.#sql.loggedTaskIds.all()) this.#rebuildTask(row['taskId'] as string)
    })
  }

  #rebuildTask(taskId: string): void {
    const sealed = this.#sql.events.all(taskId, 0, -1) as unknown as SealedEvent[]
    const events = sealed.map((event) => unseal(event, (place) => this.#payload(taskId, place)))
    const task = fold(emptyTask(taskId), events)
    const last = sealed.at(-1)!
    this.#derived.writeAnew(taskRow(task, { seq: last.seq, hash: last.hash }), task, events, sealed)
    this.#derived.writeJobAnew(task)
  }

  payloads(taskId: string): Promise<readonly StoredPayload[]> {
    return this.#read(() => this.#sql.payloads.all(taskId).map((row) => plain<StoredPayload>(row)!))
  }

  takeIn(taskId: string, events: readonly SealedEvent[], payloads: readonly StoredPayload[]): Promise<boolean> {
    return this.#write('start', () => {
      if (this.#sql.head.get(taskId)) return false
      this.#insert(taskId, { events, payloads })
      this.#rebuildTask(taskId)
      return true
    })
  }

  // ---- The register ------------------------------------------------------------------------------------------------

  /** Erased bytes are overwritten where they stood, but the write-ahead log still has them until it is emptied. */
  async wipe(): Promise<boolean> {
    const untilMs = performance.now() + this.#lockTimeoutMs
    for (;;) {
      if (await this.#read(() => this.#emptyWal())) return true
      if (performance.now() >= untilMs) return false
      await new Promise((wake) => setTimeout(wake, wipePauseMs))
    }
  }

  /** False while another process reads or writes. */
  #emptyWal(): boolean {
    try {
      return this.#db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()!['busy'] === 0
    } catch (thrown) {
      if (isBusy(thrown)) return false
      throw thrown
    }
  }

  checkpoint(signer: Signer, nowMs: number): Promise<Checkpoint | undefined> {
    return this.#write('checkpoint', () => {
      const heads = this.#sql.newHeads.all() as unknown as TaskHead[]
      if (heads.length === 0) return undefined
      const last = plain<Checkpoint>(this.#sql.lastCheckpoint.get())
      const { tasks, events } = this.#sql.logSize.get() as { tasks: number; events: number }
      const made = nextCheckpoint(last, { at: nowMs, tasks, events, heads }, signer)
      const { number, at, prevRoot, root, keyId, signature } = made
      this.#sql.insertCheckpoint.run(number, at, tasks, events, prevRoot, root, keyId, signature)
      for (const { taskId, seq, hash } of heads) this.#sql.insertHead.run(taskId, number, seq, hash)
      return made
    })
  }

  checkpoints(options: { after?: number; limit?: number } = {}): Promise<readonly Checkpoint[]> {
    const { after = 0, limit = -1 } = options
    return this.#read(() => this.#sql.checkpoints.all(after, limit).map((row) => plain<Checkpoint>(row)!))
  }

  heads(number: number): Promise<readonly HeldHead[]> {
    return this.#read(() => this.#sql.heads.all(number).map((row) => plain<HeldHead>(row)!))
  }

  watch(listener: (row: TaskRow, news: boolean) => void, taskId = ''): () => void {
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

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#writer.idle()
      this.#closed = true
      this.#db.close()
    })()
    return this.#closing
  }

  #closedFault(): Fault {
    return new Fault('STORE_CLOSED', `The store ${this.#path} is closed.`, 'Open it again.')
  }
}

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

function plain<T>(row: Record<string, unknown> | undefined): T | undefined {
  return row === undefined ? undefined : ({ ...row } as T)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
