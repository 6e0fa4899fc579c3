// Writes what follows from events into the tables that are not the log: a task's row, its context, its inbox items, the
// gates and its job. The same lines run when a step is committed, when everything is written again, and when `verify`
// asks what ought to be there, so the three cannot come to differ.

import type { Event } from '../core/event.ts'
import { clear } from '../core/label.ts'
import { dueAtMs, type Task } from '../core/task.ts'
import { SqliteGates } from './gates.ts'
import { canonical, payloadsOf } from './log.ts'
import { changingColumns, inboxChange, taskColumns } from './rows.ts'
import type { Statements } from './statements.ts'
import type { Commit, SealedEvent, TaskRow } from './store.ts'

/** The tables that follow from the log, on prepared statements. Every method is called inside a transaction. */
export class Derived {
  readonly gates: SqliteGates
  readonly #sql: Statements

  constructor(sql: Statements) {
    this.#sql = sql
    this.gates = new SqliteGates(sql)
  }

  /** Writes a task's row: its first, or what has changed in it. */
  writeRow(row: TaskRow, first: boolean): void {
    if (first) this.#sql.insertTask.run(...taskColumns.map((column) => row[column]))
    else this.#sql.updateTask.run(...changingColumns.map((column) => row[column]), row.taskId)
  }

  /** Writes the rows of context, inbox and gates that follow from events. */
  write(events: readonly Event[], sealed: readonly SealedEvent[]): void {
    for (const [index, event] of events.entries()) {
      if (event.type === 'context.written') {
        const { seq, hash } = payloadsOf(sealed[index]!).get('value')!
        const { key, version, label = clear } = event.data
        this.#sql.writeContext.run(event.taskId, key, version, seq, hash, label.trust, label.privacy)
        continue
      }
      if (event.type === 'context.removed') {
        this.#sql.removeContext.run(event.taskId, event.data.key)
        continue
      }
      this.gates.write(event)
      this.#writeInbox(event, sealed[index]!)
    }
  }

  /** An item holds the places of what it asks and shows, and not the texts: those may be erased. */
  #writeInbox(event: Event, sealed: SealedEvent): void {
    const change = inboxChange(event)
    if (change?.kind === 'open') {
      const { item, kind, state, options, assignee, expiresAtMs, approval } = change.asked.data
      const places = payloadsOf(sealed)
      const question = places.get('question')!
      const show = places.get('show')
      this.#sql.openItem.run(
        item,
        event.taskId,
        kind,
        state,
        question.seq,
        question.hash,
        show?.seq ?? null,
        show?.hash ?? null,
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
      const { item, noticeId, attempts, delayMs, atMs } = change
      this.#sql.planNotice.run(atMs, attempts, delayMs, item, noticeId)
    } else if (change?.kind === 'reopen') this.#sql.reopenItem.run(change.expiresAtMs, change.item)
    else if (change?.item !== undefined) this.#sql.closeItem.run(change.status, change.item)
    else if (change) this.#sql.closeItems.run(change.status, event.taskId)
  }

  /** Keeps the lease, or puts the task back into the queue, or takes it out. */
  writeJob(task: Task, { lease, keep }: Pick<Commit, 'lease' | 'keep'>): void {
    const timeMs = dueAtMs(task)
    if (keep && timeMs !== null) return
    if (timeMs === null) this.#sql.deleteJob.run(task.id)
    else if (lease !== undefined) this.#sql.freeJob.run(timeMs, task.id)
    else this.#sql.wakeJob.run(task.id, task.definition, timeMs)
  }
}
