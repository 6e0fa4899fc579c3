// Writes what follows from events into the tables that are not the log: a task's row, its context, its inbox items, the
// gates and its job. The same lines run when a step is committed, when everything is written again, and when `verify`
// asks what ought to be there, so the three cannot come to differ.

import type { Event } from '../core/event.ts'
import { clear } from '../core/label.ts'
import { dueAtMs, isEnded, ownerOf, type Task } from '../core/task.ts'
import { isRoot, stanceOf } from '../core/tree.ts'
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

  /** Writes all rows of a task that has none yet, but its job. */
  writeAnew(row: TaskRow, task: Task, events: readonly Event[], sealed: readonly SealedEvent[]): void {
    this.writeRow(row, true)
    this.write(task, events, sealed)
    this.writeTree(task)
  }

  /** Writes a task's row: its first, or what has changed in it. */
  writeRow(row: TaskRow, first: boolean): void {
    if (first) this.#sql.insertTask.run(...taskColumns.map((column) => row[column]))
    else this.#sql.updateTask.run(...changingColumns.map((column) => row[column]), row.taskId)
    // It becomes the root of a tree with its first child.
    if (!first && row.rootId === row.taskId) this.#sql.setRoot.run(row.rootId, row.taskId)
  }

  /** Writes the rows of context, children, inbox and gates that follow from events of a task. */
  write(task: Task, events: readonly Event[], sealed: readonly SealedEvent[]): void {
    for (const [index, event] of events.entries()) {
      if (event.type === 'context.written' || event.type === 'context.removed') {
        this.#writeContext(task, event, sealed[index]!)
        continue
      }
      this.#writeChild(event)
      this.gates.write(event)
      this.#writeInbox(event, sealed[index]!)
    }
  }

  #writeContext(
    task: Task,
    { taskId, data, type }: Extract<Event, { type: 'context.written' | 'context.removed' }>,
    sealed: SealedEvent,
  ): void {
    const place = payloadsOf(sealed).get('value')
    const { key, version } = data
    const owner = task.locals.has(key) ? taskId : ownerOf(task)
    const { trust, privacy } = (type === 'context.written' ? data.label : undefined) ?? clear
    const [seq, hash] = [place?.seq ?? null, place?.hash ?? null]
    this.#sql.writeContext.run(owner, key, version, taskId, seq, hash, trust, privacy)
  }

  #writeChild({ type, taskId, data }: Event): void {
    if (type === 'child.started') this.#sql.openChild.run(data.child, taskId, data.step)
    else if (type === 'child.ended') this.#sql.endChild.run(data.child)
    else if (type === 'child.calledOff') this.#sql.callOffChild.run(data.by, data.reason, data.child)
  }

  /** Writes what a task of a tree has spent and holds, and what its root allows. True: others may have more room now. */
  writeTree(task: Task): boolean {
    const { tree, usage, reserved, awaits } = task
    if (!tree) return false
    const { root } = tree
    const before = this.#sql.member.get(task.id) as
      | Record<'tokens' | 'costMicros' | 'reservedTokens' | 'reservedMicros', number>
      | undefined
    const tokens = usage.inputTokens + usage.outputTokens
    const said = awaits ? `${awaits.limit} ${awaits.why} ${awaits.max}` : null
    const { tokens: heldTokens, costMicros: heldMicros } = reserved
    if (!before) this.#sql.openTree.run(root)
    const spent = [
      tokens - (before?.tokens ?? 0),
      usage.costMicros - (before?.costMicros ?? 0),
      heldTokens - (before?.reservedTokens ?? 0),
      heldMicros - (before?.reservedMicros ?? 0),
    ] as const
    const frees = spent.some((amount) => amount < 0)
    this.#sql.writeMember.run(task.id, root, tokens, usage.costMicros, heldTokens, heldMicros, said)
    this.#sql.spendTree.run(before ? 0 : 1, ...spent, frees ? 1 : 0, root)
    return isRoot(task) ? this.#ruleTree(task) || frees : frees
  }

  #ruleTree(task: Task): boolean {
    const { limits } = task
    const { neared, asks } = stanceOf(task)
    const changed = this.#sql.ruleTree.run({
      rootId: task.id,
      tokensMax: limits.tokens,
      costMax: limits.costMicros,
      tasksMax: limits.descendants,
      soft: limits.soft,
      tokensNeared: Number(neared.has('tokens')),
      costNeared: Number(neared.has('cost')),
      asks: Number(asks),
    })
    return changed.changes > 0
  }

  /** Tells the family what it waits for: that a child has ended, that it is called off, that there is room again. */
  wakeKin(task: Task, events: readonly Event[], frees: boolean): ReadonlySet<string> {
    const woken = new Set<string>()
    const { parent, tree } = task
    if (!tree) return woken
    for (const { type, data } of events) {
      if (type === 'task.ended' && parent) woken.add(parent.task)
      else if (type === 'child.calledOff') woken.add(data.child)
      else if (type === 'budget.awaited' && data.why !== 'reserved') woken.add(tree.root)
    }
    if (frees) for (const { taskId } of this.#sql.awaiting.all(tree.root)) woken.add(taskId as string)
    woken.delete(task.id)
    const nowMs = events.at(-1)?.at ?? task.updatedAtMs
    for (const taskId of woken) this.#sql.wakeKin.run({ taskId, nowMs })
    return woken
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
  writeJob(task: Task, { lease, keep, kin }: Pick<Commit, 'lease' | 'keep' | 'kin'>): void {
    const timeMs = dueAtMs(task)
    if (keep && timeMs !== null) return
    const { news = 0 } = kin ?? {}
    if (isEnded(task)) this.#sql.endJob.run(task.id)
    // Who speaks from outside has heard nothing of the family's.
    else if (timeMs === null && lease === undefined) this.#sql.deleteJob.run(task.id, 0)
    else if (timeMs === null && this.#sql.deleteJob.run(task.id, news).changes > 0) return
    else if (lease !== undefined) {
      const dueMs = timeMs ?? task.updatedAtMs
      this.#sql.freeJob.run(news, task.updatedAtMs, dueMs, dueMs, task.id)
    } else this.#sql.wakeJob.run(task.id, task.definition, timeMs)
  }

  /** The job of a task of which nothing but its log is known: whoever has a family looks what came of it. */
  writeJobAnew(task: Task): void {
    const timeMs = dueAtMs(task)
    if (task.tree && !isEnded(task)) this.#sql.wakeJob.run(task.id, task.definition, task.updatedAtMs)
    else if (timeMs !== null) this.#sql.wakeJob.run(task.id, task.definition, timeMs)
  }
}
