// What follows from events: the rows of every table that is not the log itself. The same functions write them when a
// step is committed and when they are all written again, so both come out equal.

import { ownerOf, waitsFor, type Task } from '../core/task.ts'
import type { Event } from '../core/event.ts'
import { gateOf, type Gate } from '../core/breaker.ts'
import type { GateRow, Head, TaskRow } from './store.ts'

/** The columns of a task that change with its events, in the order of the statement that writes them. */
export const changingColumns = [
  'version',
  'definition',
  'status',
  'state',
  'outcome',
  'waitsFor',
  'steps',
  'turns',
  'inputTokens',
  'outputTokens',
  'costMicros',
  'unpriced',
  'erased',
  'updatedAtMs',
  'seq',
  'hash',
] as const

/** All columns of a task. */
export const taskColumns = [
  'taskId',
  'agent',
  'startedBy',
  'startedAtMs',
  'parentId',
  'rootId',
  'contextOf',
  ...changingColumns,
] as const

/** The task's row, as a list shows it. */
export function taskRow(task: Task, head: Head): TaskRow {
  const { usage } = task
  return {
    taskId: task.id,
    agent: task.agent,
    version: task.version,
    definition: task.definition,
    startedBy: task.by,
    status: task.status,
    state: task.state,
    outcome: task.outcome ?? null,
    waitsFor: waitsFor(task),
    steps: usage.steps,
    turns: usage.turns,
    inputTokens: usage.inputTokens,
    outputTokens: usage.outputTokens,
    costMicros: usage.costMicros,
    unpriced: usage.unpriced,
    erased: task.erased,
    parentId: task.parent?.task ?? null,
    rootId: task.tree?.root ?? null,
    contextOf: ownerOf(task) === task.id ? null : ownerOf(task),
    startedAtMs: task.startedAtMs,
    updatedAtMs: task.updatedAtMs,
    seq: head.seq,
    hash: head.hash,
  }
}

/** The gates that rows tell of, by key. */
export function gatesOf(rows: readonly GateRow[]): ReadonlyMap<string, Gate> {
  return new Map(rows.map((row) => [row.key, gateOf(row)]))
}

/** What an event does to the inbox. `close` closes whatever is open for the task. */
export type InboxChange =
  | { readonly kind: 'open'; readonly asked: Extract<Event, { type: 'human.asked' }> }
  | { readonly kind: 'answer'; readonly answered: Extract<Event, { type: 'human.answered' }> }
  | { readonly kind: 'agree'; readonly item: string; readonly by: string }
  | { readonly kind: 'assign'; readonly item: string; readonly to: string; readonly atMs: number; readonly seq: number }
  | {
      readonly kind: 'notice'
      readonly item: string
      readonly noticeId: string
      readonly attempts: number
      readonly delayMs: number
      /** Null: nothing more is told. */
      readonly atMs: number | null
    }
  | { readonly kind: 'reopen'; readonly item: string; readonly expiresAtMs: number | null }
  /** One item, or whatever is open but approvals. */
  | { readonly kind: 'close'; readonly status: 'expired' | 'withdrawn'; readonly item?: string }

/** The inbox changes of an event, if any. */
export function inboxChange(event: Event): InboxChange | undefined {
  if (event.type === 'human.asked') return { kind: 'open', asked: event }
  if (event.type === 'human.answered') {
    const { item, by, more } = event.data
    return more === undefined ? { kind: 'answer', answered: event } : { kind: 'agree', item, by }
  }
  if (event.type === 'human.escalated') {
    const { item, to } = event.data
    return { kind: 'assign', item, to, atMs: event.at, seq: event.seq }
  }
  if (event.type === 'notice.sent' || event.type === 'notice.failed') {
    const { item, noticeId, attempt: attempts } = event.data
    const retry = event.type === 'notice.failed' ? event.data.retry : undefined
    return { kind: 'notice', item, noticeId, attempts, delayMs: retry?.delayMs ?? 0, atMs: retry?.atMs ?? null }
  }
  if (event.type === 'item.closed') {
    return { kind: 'close', status: event.data.why === 'expired' ? 'expired' : 'withdrawn', item: event.data.item }
  }
  if (event.type === 'deadline.passed' && event.data.of !== 'wait') return { kind: 'close', status: 'expired' }
  if (event.type === 'limit.reached' && event.data.limit === 'duration') return { kind: 'close', status: 'expired' }
  if (event.type === 'rollback.started') return { kind: 'close', status: 'withdrawn' }
  if (event.type === 'rollback.stopped' && event.data.item !== undefined) {
    const { item, expiresAtMs = null } = event.data
    return { kind: 'reopen', item, expiresAtMs }
  }
  if (event.type === 'task.ended') return { kind: 'close', status: 'withdrawn' }
  return undefined
}
