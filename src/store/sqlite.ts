// The store on SQLite: one file, one writer, WAL with synchronous=FULL. Transactions are synchronous, so nothing can
// come between their statements; every write checks its own condition first, because it may share its transaction with
// others (see writer).

import type { DatabaseSync } from 'node:sqlite'
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { assert, Fault } from '../core/fault.ts'
import type { Probe, WritePoint } from '../runtime.ts'
import { dueAtMs, emptyTask, evolve, isEnded, type Task } from '../core/task.ts'
import type { Event } from '../core/event.ts'
import type { Json } from '../core/json.ts'
import { clear, type Label } from '../core/label.ts'
import { isBusy, toFault } from './fault.ts'
import { openFile } from './file.ts'
import { SqliteGates } from './gates.ts'
import { canonical, payloadsOf, seal, unseal, verifyChain, type Place, type Sealed } from './log.ts'
import { changingColumns, inboxChange, taskColumns, taskRow } from './rows.ts'
import { derivedTables } from './schema.ts'
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
  NoticeRow,
  Renewal,
  Renewed,
  SealedEvent,
  Store,
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
}

/** How many payloads are remembered as stored. */
const recentMax = 4_096

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
  readonly #gates: SqliteGates
  /** By task; those of the empty name hear of every task. */
  readonly #listeners = new Map<string, Set<(row: TaskRow) => void>>()
  readonly #recent = new Map<string, number>()
  #closing: Promise<void> | undefined
  #closed = false

  constructor(db: DatabaseSync, path: string, lockTimeoutMs: number, probe: Probe) {
    this.#db = db
    this.#path = path
    this.#sql = prepare(db)
    this.#gates = new SqliteGates(this.#sql)
    this.#writer = new Writer(db, path, lockTimeoutMs, probe)
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  #write<T>(point: WritePoint, body: () => T): Promise<T> {
    return this.#closing ? Promise.reject(this.#closedFault()) : this.#writer.write(point, body)
  }

  async commit(commit: Commit): Promise<Committed> {
    const { task } = commit
    const sealed = seal(commit.head, commit.events, (hash) => this.#recent.get(`${task.id} ${hash}`))
    const row = taskRow(task, sealed.head)
    const result = await this.#write(commit.point, (): Committed => {
      const refusal = this.#refusal(commit)
      if (refusal) return { ok: false, reason: refusal }
      const full = this.#gates.refusal(commit)
      if (full) return { ok: false, reason: 'gates', full }
      this.#insert(task.id, sealed)
      this.#writeRow(row, commit.head.seq === 0)
      this.#writeDerived(commit.events, sealed.events)
      this.#writeJob(task, commit)
      this.#gates.wake(commit.events)
      return { ok: true, head: sealed.head }
    })
    if (!result.ok) return result
    for (const { hash, seq } of sealed.payloads) this.#remember(`${task.id} ${hash}`, seq)
    this.#tell(row)
    return result
  }

  #refusal({ task, head, lease }: Commit): 'conflict' | 'lease-lost' | undefined {
    const row = this.#sql.head.get(task.id) as { seq: number; hash: string; lease: string | null } | undefined
    if (row === undefined) return head.seq === 0 ? undefined : 'conflict'
    if (lease !== undefined && row.lease !== lease) return 'lease-lost'
    return row.seq === head.seq && row.hash === head.hash ? undefined : 'conflict'
  }

  #insert(taskId: string, { events, payloads }: Sealed): void {
    for (const { seq, hash, body } of payloads) this.#sql.insertPayload.run(taskId, seq, hash, body)
    for (const { seq, at, type, data, costMicros, prevHash, hash } of events) {
      this.#sql.insertEvent.run(taskId, seq, at, type, data, costMicros, prevHash, hash)
    }
  }

  /** Payloads stored lately, so that what comes again is not stored again. Found by their place, never by their hash. */
  #remember(key: string, seq: number): void {
    this.#recent.set(key, seq)
    if (this.#recent.size <= recentMax) return
    for (const oldest of this.#recent.keys()) {
      this.#recent.delete(oldest)
      return
    }
  }

  #writeRow(row: TaskRow, first: boolean): void {
    if (first) this.#sql.insertTask.run(...taskColumns.map((column) => row[column]))
    else this.#sql.updateTask.run(...changingColumns.map((column) => row[column]), row.taskId)
  }

  /** The context and inbox rows that follow from events. */
  #writeDerived(events: readonly Event[], sealed: readonly SealedEvent[]): void {
    for (const [index, event] of events.entries()) {
      if (event.type === 'context.written') {
        const { seq, hash } = payloadsOf(sealed[index]!).get('value')!
        const { key, version, label = clear } = event.data
        this.#sql.writeContext.run(event.taskId, key, version, seq, hash, label.trust, label.privacy)
        continue
      }
      this.#gates.write(event)
      const change = inboxChange(event)
      if (change?.kind === 'open') {
        const { item, kind, state, question, show, options, assignee, expiresAtMs, approval } = change.asked.data
        this.#sql.openItem.run(
          item,
          event.taskId,
          kind,
          state,
          question,
          canonical(show ?? null),
          canonical(options),
          assignee ?? null,
          event.at,
          expiresAtMs ?? null,
          approval?.hash ?? null,
          event.at,
          `${item}.${event.seq}`,
        )
      } else if (change?.kind === 'answer') {
        const { item, decision, by, reason } = change.answered.data
        this.#sql.answerItem.run(decision, by, reason, item)
      } else if (change?.kind === 'agree') this.#sql.agreeItem.run(change.by, change.item)
      else if (change?.kind === 'assign') {
        const { item, to, atMs, seq } = change
        this.#sql.assignItem.run(to, atMs, `${item}.${seq}`, item)
      } else if (change?.kind === 'notice') {
        const { item, attempts, delayMs, atMs } = change
        this.#sql.planNotice.run(atMs, attempts, delayMs, item)
      } else if (change?.item !== undefined) this.#sql.closeItem.run(change.status, change.item)
      else if (change) this.#sql.closeItems.run(change.status, event.taskId)
    }
  }

  /** Keeps the lease, or puts the task back into the queue, or takes it out. */
  #writeJob(task: Task, { lease, keep }: Pick<Commit, 'lease' | 'keep'>): void {
    const timeMs = dueAtMs(task)
    if (keep && timeMs !== null) return
    if (timeMs === null) this.#sql.deleteJob.run(task.id)
    else if (lease !== undefined) this.#sql.freeJob.run(timeMs, task.id)
    else this.#sql.wakeJob.run(task.id, task.definition, timeMs)
  }

  async claim(request: ClaimRequest): Promise<readonly Claim[]> {
    const { definitions, nowMs, taskId, limit, worker, lease, leaseMs } = request
    const due = await this.nextDueMs(definitions, taskId)
    if (due === null || due > nowMs || limit <= 0) return []
    return this.#write('claim', () => {
      const claims: Claim[] = []
      for (const definition of definitions) {
        const rows =
          taskId === undefined
            ? this.#sql.due.all(definition, nowMs, limit - claims.length)
            : this.#sql.dueTask.all(definition, nowMs, taskId)
        for (const row of rows) {
          const claimed = row['taskId'] as string
          this.#sql.lease.run(nowMs + leaseMs, worker, lease, claimed)
          claims.push({ taskId: claimed, lease })
        }
      }
      return claims
    })
  }

  async nextDueMs(definitions: readonly string[], taskId?: string): Promise<number | null> {
    return this.#read(() => {
      let next: number | null = null
      for (const definition of definitions) {
        const row =
          taskId === undefined ? this.#sql.nextDue.get(definition) : this.#sql.nextDueTask.get(definition, taskId)
        const due = (row?.['due'] ?? null) as number | null
        if (due !== null && (next === null || due < next)) next = due
      }
      return next
    })
  }

  renew(leases: readonly Renewal[], leaseMs: number, nowMs: number): Promise<readonly Renewed[]> {
    return this.#write('renew', () =>
      leases.map(({ taskId, lease }) => {
        const held = this.#sql.renew.run(nowMs + leaseMs, taskId, lease).changes === 1
        const seq = (this.#sql.head.get(taskId)?.['seq'] ?? 0) as number
        return { taskId, held, seq }
      }),
    )
  }

  release(leases: readonly Renewal[], nowMs: number): Promise<void> {
    return this.#write('release', () => {
      for (const { taskId, lease } of leases) this.#sql.release.run(nowMs, taskId, lease)
    })
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

  #payload(taskId: string, { seq, hash }: Place): string | undefined {
    return this.#sql.payload.get(taskId, seq, hash)?.['body'] as string | undefined
  }

  task(taskId: string): Promise<TaskRow | undefined> {
    return this.#read(() => plain<TaskRow>(this.#sql.task.get(taskId)))
  }

  tasks(filter: { status?: string; agent?: string; limit?: number } = {}): Promise<readonly TaskRow[]> {
    const { status = null, agent = null, limit = 100 } = filter
    return this.#read(() => this.#sql.tasks.all({ status, agent, limit }).map((row) => plain<TaskRow>(row)!))
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
      return rows.map((row) => ({ ...(row as unknown as NoticeRow), ...listsOf(row) }))
    })
  }

  inbox(filter: { status?: InboxRow['status']; taskId?: string } = {}): Promise<readonly InboxRow[]> {
    const { status = null, taskId = null } = filter
    return this.#read(() =>
      this.#sql.inbox.all({ status, taskId }).map((row) => ({ ...(row as unknown as InboxRow), ...listsOf(row) })),
    )
  }

  gates(): Promise<readonly GateRow[]> {
    return this.#read(() => this.#sql.gates.all().map((row) => plain<GateRow>(row)!))
  }

  context(taskId: string): ReturnType<Store['context']> {
    return this.#read(() =>
      this.#sql.context.all(taskId).map((row) => {
        const { key, version, trust, privacy, body } = row as unknown as Label & {
          key: string
          version: number
          body: string
        }
        return { key, version, value: JSON.parse(body) as Json, label: { trust, privacy } }
      }),
    )
  }

  async verify(taskId?: string, progress?: (tasks: number) => void): Promise<Verification> {
    const ids = await this.#read(() =>
      taskId === undefined ? this.#sql.taskIds.all().map((row) => row['taskId'] as string) : [taskId],
    )
    const findings: Finding[] = []
    let events = 0
    for (const [index, id] of ids.entries()) {
      // One look at a task is one transaction: a commit in between would look like an edit.
      const found = await this.#read(() => this.#snapshot(() => this.#verifyTask(id)))
      events += found.events
      if (found.finding) findings.push(found.finding)
      progress?.(index + 1)
      await new Promise((wake) => setImmediate(wake))
    }
    return { tasks: ids.length, events, findings }
  }

  #verifyTask(taskId: string): { events: number; finding: Finding | undefined } {
    const rows = this.#sql.events.all(taskId, -1, -1) as unknown as SealedEvent[]
    const head = plain<Head>(this.#sql.head.get(taskId))
    const payload = (place: Place): string | undefined => this.#payload(taskId, place)
    try {
      return { events: rows.length, finding: verifyChain(taskId, rows, head, payload) }
    } catch (thrown) {
      assert(thrown instanceof SyntaxError, 'a chain is proved without failing')
      const seq = rows.find(({ data }) => !isJson(data))?.seq ?? 1
      return { events: rows.length, finding: { taskId, seq, kind: 'unreadable', problem: `event ${seq} is not JSON` } }
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
    const task = emptyTask(taskId)
    for (const event of events) evolve(task, event)
    const last = sealed.at(-1)!
    this.#writeRow(taskRow(task, { seq: last.seq, hash: last.hash }), true)
    this.#writeDerived(events, sealed)
    if (!isEnded(task)) this.#writeJob(task, {})
  }

  watch(listener: (row: TaskRow) => void, taskId = ''): () => void {
    const listeners = this.#listeners.get(taskId) ?? new Set()
    this.#listeners.set(taskId, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.#listeners.get(taskId) === listeners) this.#listeners.delete(taskId)
    }
  }

  #tell(row: TaskRow): void {
    for (const listener of this.#listeners.get('') ?? []) listener(row)
    for (const listener of this.#listeners.get(row.taskId) ?? []) listener(row)
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

/** What an inbox row keeps as JSON. */
function listsOf(row: Record<string, unknown>): Pick<InboxRow, 'show' | 'options' | 'agreed'> {
  const { show, options, agreed } = row as { show: string; options: string; agreed: string }
  return {
    show: JSON.parse(show) as Json,
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
