// Writes what follows from events into the tables that are not the log: a task's row, its context, its inbox items, the
// gates and its job. The same lines run when a step is committed, when everything is written again, and when `verify`
// asks what ought to be there, so the three cannot come to differ.

import type { Event } from '../core/event.ts'
import { clear } from '../core/label.ts'
import { dueAtMs, isEnded, ownerOf, type Task } from '../core/task.ts'
import { isRoot, stanceOf } from '../core/tree.ts'
import type { MemberRow } from './family.ts'
import { gateWrites, isOfGate } from './gates.ts'
import { canonical, payloadsOf } from './log.ts'
import { changingColumns, inboxChange, taskColumns, type InboxChange } from './rows.ts'
import type { Commit, Head, SealedEvent, TaskRow } from './store.ts'
import { all, change, one, run, runAll, type Tx, type Write } from './tx.ts'

/** Writes all rows of a task that has none yet, but its job. */
export function* writeAnew(
  row: TaskRow,
  task: Task,
  events: readonly Event[],
  sealed: readonly SealedEvent[],
): Tx<void> {
  yield* insertRow(row)
  yield* writeEvents(task, events, sealed)
  yield* writeTree(task)
}

/** Writes a task's first row. */
export function* insertRow(row: TaskRow): Tx<void> {
  yield* run('insertTask', ...taskColumns.map((column) => row[column]))
}

/** Writes what has changed in a task's row, if its log ended at `before`. */
export function* updateRow(row: TaskRow, before: Head): Tx<void> {
  const { taskId, rootId } = row
  yield* run('updateTask', taskId, before.seq, before.hash, ...changingColumns.map((column) => row[column]))
  // It becomes the root of a tree with its first child.
  if (rootId === taskId) yield* run('setRoot', taskId)
}

/** Writes the rows of context, children, inbox and gates that follow from events of a task. */
export function* writeEvents(task: Task, events: readonly Event[], sealed: readonly SealedEvent[]): Tx<void> {
  for (let index = 0; index < events.length; index += 1) {
    yield* runAll(writesOf(task, events[index]!, sealed[index]!))
  }
}

const nothing: readonly Write[] = []

/** Most events are followed by no row. */
function writesOf(task: Task, event: Event, sealed: SealedEvent): readonly Write[] {
  const { taskId, type, data } = event
  if (type === 'context.written' || type === 'context.removed') return [contextWrite(task, event, sealed)]
  if (type === 'child.started') return [['openChild', data.child, taskId, data.step]]
  if (type === 'child.ended') return [['endChild', data.child]]
  if (type === 'child.calledOff') return [['callOffChild', data.child, data.by, data.reason]]
  if (isOfGate(event)) return gateWrites(event)
  const change = inboxChange(event)
  return change ? [inboxWrite(change, event, sealed)] : nothing
}

function contextWrite(
  task: Task,
  { taskId, data, type }: Extract<Event, { type: 'context.written' | 'context.removed' }>,
  sealed: SealedEvent,
): Write {
  const place = payloadsOf(sealed).get('value')
  const { key, version } = data
  const owner = task.locals.has(key) ? taskId : ownerOf(task)
  const { trust, privacy } = (type === 'context.written' ? data.label : undefined) ?? clear
  return ['writeContext', owner, key, version, taskId, place?.seq ?? null, place?.hash ?? null, trust, privacy]
}

/** Writes what a task of a tree has spent and holds, and what its root allows. True: others may have more room now. */
export function* writeTree(task: Task): Tx<boolean> {
  const { tree, usage, reserved, awaits } = task
  if (!tree) return false
  const { root } = tree
  const before = yield* one<MemberRow>('member', task.id)
  const tokens = usage.inputTokens + usage.outputTokens
  const said = awaits ? `${awaits.limit} ${awaits.why} ${awaits.max}` : null
  const { tokens: heldTokens, costMicros: heldMicros } = reserved
  if (!before) yield* run('openTree', root)
  const spent = [
    tokens - (before?.tokens ?? 0),
    usage.costMicros - (before?.costMicros ?? 0),
    heldTokens - (before?.reservedTokens ?? 0),
    heldMicros - (before?.reservedMicros ?? 0),
  ] as const
  const frees = spent.some((amount) => amount < 0)
  yield* run('writeMember', task.id, root, tokens, usage.costMicros, heldTokens, heldMicros, said)
  yield* run('spendTree', root, before ? 0 : 1, ...spent, frees ? 1 : 0)
  return isRoot(task) ? (yield* ruleTree(task)) || frees : frees
}

function* ruleTree(task: Task): Tx<boolean> {
  const { tokens, costMicros, descendants, soft } = task.limits
  const { neared, asks } = stanceOf(task)
  const near = [Number(neared.has('tokens')), Number(neared.has('cost'))]
  return (yield* change('ruleTree', task.id, tokens, costMicros, descendants, soft, ...near, Number(asks))) > 0
}

/** Where nobody is called up. */
export const nobody: ReadonlySet<string> = new Set()

/** Tells the family what it waits for: that a child has ended, that it is called off, that there is room again. */
export function* wakeKin(task: Task, events: readonly Event[], frees: boolean): Tx<ReadonlySet<string>> {
  const { parent, tree } = task
  if (!tree) return nobody
  const woken = new Set<string>()
  for (const { type, data } of events) {
    if (type === 'task.ended' && parent) woken.add(parent.task)
    else if (type === 'child.calledOff') woken.add(data.child)
    else if (type === 'budget.awaited' && data.why !== 'reserved') woken.add(tree.root)
  }
  if (frees) for (const { taskId } of yield* all<{ taskId: string }>('awaiting', tree.root)) woken.add(taskId)
  woken.delete(task.id)
  const nowMs = events.at(-1)?.at ?? task.updatedAtMs
  for (const taskId of woken) yield* run('wakeKin', taskId, nowMs)
  return woken
}

/** An item holds the places of what it asks and shows, and not the texts: those may be erased. */
function inboxWrite(change: InboxChange, { taskId, at, seq }: Event, sealed: SealedEvent): Write {
  switch (change.kind) {
    case 'open': {
      const { item, kind, state, options, assignee, expiresAtMs, approval } = change.asked.data
      const places = payloadsOf(sealed)
      const question = places.get('question')!
      const show = places.get('show')
      const shown = [show?.seq ?? null, show?.hash ?? null] as const
      const asked = [question.seq, question.hash, ...shown, canonical(options), assignee ?? null, at] as const
      const until = [expiresAtMs ?? null, approval?.hash ?? null, at] as const
      return ['openItem', item, taskId, kind, state, ...asked, ...until, `${item}.${seq}`]
    }
    case 'answer': {
      const { item, decision, by, reason } = change.answered.data
      return ['answerItem', item, decision, by, reason]
    }
    case 'agree':
      return ['agreeItem', change.item, JSON.stringify(change.by)]
    case 'assign':
      return ['assignItem', change.item, change.to, change.atMs, `${change.item}.${change.seq}`]
    case 'notice':
      return ['planNotice', change.item, change.noticeId, change.atMs, change.attempts, change.delayMs]
    case 'reopen':
      return ['reopenItem', change.item, change.expiresAtMs]
    case 'close':
      return change.item === undefined
        ? ['closeItems', taskId, change.status]
        : ['closeItem', change.item, change.status]
  }
}

/** Keeps the lease, or puts the task back into the queue, or takes it out. */
export function* writeJob(task: Task, { lease, keep, kin }: Pick<Commit, 'lease' | 'keep' | 'kin'>): Tx<void> {
  const timeMs = dueAtMs(task)
  if (keep && timeMs !== null) return
  // Who speaks from outside has heard nothing of the family's.
  const { news = 0 } = lease === undefined ? {} : (kin ?? {})
  const { id, updatedAtMs } = task
  if (isEnded(task)) yield* run('endJob', id)
  else if (lease !== undefined) {
    if (timeMs === null) yield* run('restJob', id, news)
    yield* run('freeJob', id, news, updatedAtMs, timeMs ?? updatedAtMs, timeMs === null ? 1 : 0)
  } else if (timeMs === null) yield* run('restJob', id, 0)
  else yield* run('wakeJob', id, task.definition, timeMs)
}

/** The job of a task of which nothing but its log is known: whoever has a family looks what came of it. */
export function* writeJobAnew(task: Task): Tx<void> {
  const timeMs = dueAtMs(task)
  if (task.tree && !isEnded(task)) yield* run('wakeJob', task.id, task.definition, task.updatedAtMs)
  else if (timeMs !== null) yield* run('wakeJob', task.id, task.definition, timeMs)
}
