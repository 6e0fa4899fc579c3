// What may be said to a task from outside: an answer, a signal, a cancellation. Each is judged against the task as it
// stands and becomes an event, or a Fault that says why not. None of them needs the machine, so anyone who can reach
// the store can speak; what follows from it is decided by the next worker. Where the machine is known, a signal that it would
// not take is refused before it is in the log.

import { emit, type Draft } from './draft.ts'
import { Fault, type FaultCode } from './fault.ts'
import type { AnswerProblem } from './event.ts'
import { seqOf } from './item.ts'
import { head, isObject, toJson, type Json } from './json.ts'
import { raisable, type RaisableLimit } from './limits.ts'
import { callOff } from './gate.ts'
import type { Machine } from './machine.ts'
import { fail } from './permission.ts'
import { closedBreaker, type Gate } from './breaker.ts'
import { validate, type Schema } from './schema.ts'
import { takeBack } from './rollback.ts'
import { isEnded, isUndo, type Item, type PerformedStep } from './task.ts'
import { callOff as callOffChild, end } from './transition.ts'

/** A human's decision about an inbox item. */
export interface HumanAnswer {
  /** One of the item's options. */
  readonly decision: string
  readonly by: string
  readonly reason: string
  /** What the decision hands over, where it takes something: to `edit`, the arguments instead. */
  readonly data?: Json
  /** Of an approval: the hash that was shown. Another one approves nothing. */
  readonly hash?: string
}

/**
 * Records a decision. One that does not count is a fact too: it is recorded with what was wrong, and answered with the
 * Fault that its sender is to be told. Throws INPUT_INVALID for what cannot be recorded at all.
 */
export function answer(work: Draft, item: string, given: HumanAnswer): Fault | undefined {
  const { decision, by, reason } = given
  const data = given.data === undefined ? undefined : proveData(given.data)
  const open = work.task.item?.item === item ? work.task.item : work.task.approvals.get(item)
  const problem = problemOf(work, item, open, given)
  if (problem || !open) {
    const refused = problem ?? 'closed'
    emit(work, 'answer.refused', { item, decision, by, reason, problem: refused })
    return faultOf(work, item, open, given, refused)
  }
  if (decision === 'raise' && open.limit !== undefined && data !== undefined) proveRaise(work, open.limit, data)
  const approval = work.task.approvals.get(item)
  if (decision === 'edit' && approval) proveEdit(item, data)
  const more = approval && decision !== 'reject' ? approval.quorum - approval.agreed.length - 1 : 0
  emit(work, 'human.answered', {
    item,
    decision,
    by,
    reason,
    ...(data === undefined ? {} : { data }),
    ...(approval ? { hash: approval.hash } : {}),
    ...(more > 0 ? { more } : {}),
  })
  return undefined
}

function problemOf(
  { task, nowMs }: Draft,
  item: string,
  open: Item | undefined,
  { decision, by, hash }: HumanAnswer,
): AnswerProblem | undefined {
  if (isEnded(task)) return 'ended'
  if (!open) return seqOf(item) <= task.seq ? 'closed' : 'unknown-item'
  if (open.answer) return 'answered'
  if (open.expiresAtMs !== undefined && nowMs >= open.expiresAtMs) return 'expired'
  if (!open.options.includes(decision)) return 'unknown-decision'
  if (open.by && !open.by.includes(by)) return 'not-entitled'
  const approval = task.approvals.get(item)
  if (!approval) return undefined
  if (approval.agreed.includes(by) && decision !== 'reject') return 'agreed-already'
  return hash !== undefined && hash !== approval.hash ? 'other-arguments' : undefined
}

function faultOf(
  { task }: Draft,
  item: string,
  open: Item | undefined,
  { decision, by }: HumanAnswer,
  problem: AnswerProblem,
): Fault {
  const said = {
    'unknown-item': `There is no inbox item ${item}.`,
    'unknown-decision': `${JSON.stringify(decision)} is not a decision of item ${item}.`,
    'other-arguments': `Item ${item} asks about other arguments than those that were shown (another hash).`,
    'not-entitled': `${by} may not decide item ${item}.`,
    'agreed-already': `${by} has agreed to item ${item} already; somebody else must, too.`,
    answered: `Item ${item} is answered already.`,
    expired: `Item ${item} has expired.`,
    closed: `Item ${item} is no longer open.`,
    ended: `Item ${item} is no longer open: its task has ended (${task.outcome}).`,
  }[problem]
  const look = `See what is open: signalbox inbox; and what came of it: signalbox log ${task.id}.`
  const entitled = open?.by
  const people = problem === 'not-entitled' && entitled ? `It is for: ${entitled.join(', ')}.` : look
  const cures: Partial<Record<AnswerProblem, string>> = {
    'unknown-decision': `Decide one of: ${open?.options.join(', ')}.`,
    'other-arguments': `Look again: signalbox inbox --task ${task.id}.`,
  }
  const code = codes[problem] ?? 'ITEM_CLOSED'
  return new Fault(code, `${said} The attempt is in the log; nothing else was written.`, cures[problem] ?? people)
}

const codes: Partial<Record<AnswerProblem, FaultCode>> = {
  'unknown-item': 'ITEM_UNKNOWN',
  'unknown-decision': 'DECISION_UNKNOWN',
  'other-arguments': 'HASH_MISMATCH',
}

/** What is called instead must be there to be called. Whether it fits the tool is seen when it is judged. */
function proveEdit(item: string, data: Json | undefined): void {
  if (isObject(data)) return
  throw new Fault(
    'INPUT_INVALID',
    `To edit item ${item} takes the other arguments, as a JSON object; ${data === undefined ? 'none were given' : `${head(JSON.stringify(data), 80)} is none`}. Nothing was written.`,
    "Give all of them in data (--data '{ … }'); signalbox inbox shows those that were asked about.",
  )
}

/** A ceiling may only be raised, and to something that can be counted. */
function proveRaise({ task }: Draft, limit: RaisableLimit, data: Json): void {
  const field = raisable[limit]
  const before = task.limits[field] ?? 0
  const entries = typeof data === 'object' && data !== null ? Object.entries(data) : []
  const [[name, max] = []] = entries
  if (entries.length === 1 && name === field && Number.isSafeInteger(max) && (max as number) > before) return
  throw new Fault(
    'INPUT_INVALID',
    `${JSON.stringify(data)} does not raise ${field}.`,
    `Give a whole number above ${before}: {"${field}": ${before * 2}}; or no data, to add what the task had at its start.`,
  )
}

/** Something the outside tells a task. */
export interface Signal {
  readonly name: string
  readonly data: Json
  readonly by: string
  /** Two signals of one name with the same key count once. */
  readonly key?: string
}

/**
 * Records a signal; one that nobody waits for yet is kept. False when its key was seen before. `machine` is the task's, where it
 * is known. Throws TASK_ENDED; INPUT_INVALID for a signal that the machine does not declare, or that does not fit.
 */
export function signal(work: Draft, given: Signal, machine?: Machine): boolean {
  refuseEnded(work, 'be signalled')
  const { by } = given
  // As they will be in the log: there it is looked whether a key was seen before, and whether the data fits.
  const { text, value } = work.terms.redact
  const name = text(given.name)
  const data = value(proveData(given.data))
  if (machine?.signals) proveSignal(machine.name, machine.signals, name, data)
  const key = given.key === undefined ? undefined : text(given.key)
  if (key !== undefined && work.task.signalKeys.has(`${name}\n${key}`)) return false
  emit(work, 'signal.received', key === undefined ? { name, data, by } : { name, data, by, key })
  return true
}

/** What somebody hands over, as JSON. Throws INPUT_INVALID. */
function proveData(data: unknown): Json {
  const json = toJson(data)
  if (json.ok) return json.value
  throw new Fault('INPUT_INVALID', `The data cannot be kept: ${json.problem}. Nothing was written.`, 'Give plain JSON.')
}

function proveSignal(agent: string, signals: ReadonlyMap<string, Schema>, name: string, data: Json): void {
  const schema = signals.get(name)
  if (!schema) {
    throw new Fault(
      'INPUT_INVALID',
      `The agent ${agent} has no signal ${JSON.stringify(name)}. Nothing was written.`,
      `Its signals are: ${[...signals.keys()].join(', ')}.`,
    )
  }
  const verdict = validate(schema, data)
  if (verdict.ok) return
  throw new Fault(
    'INPUT_INVALID',
    `The data of the signal ${name} does not fit: ${verdict.problem}. Nothing was written.`,
    `Give what the agent ${agent} declares: signals: { ${name}: … }.`,
  )
}

/** Ends a task because a human said so; where its agent says so, after it has taken back what it did. Throws TASK_ENDED. */
export function cancel(work: Draft, given: { readonly by: string; readonly reason: string }): void {
  refuseEnded(work, 'be cancelled')
  const { by, reason } = given
  const undoes = work.task.onCancel === 'undo'
  for (const step of work.task.open.values()) {
    if (step.kind === 'child') {
      callOffChild(work, step, { class: 'abort', by, reason })
      continue
    }
    // What is being taken back now is wanted all the same, and so is the answer whether a call was made.
    if (undoes && (isUndo(step) || (step.kind === 'tool' && step.reconciles))) continue
    // What is being asked of a model now is called off, and paid for all the same.
    if (step.kind === 'model' || undoes) cutOff(work, step)
    callOff(work, step)
  }
  emit(work, 'task.cancelled', { by, reason })
  if (undoes) takeBack(work, { by, reason })
  else end(work, 'cancelled', 'cancelled')
}

/** A step has no outcome any more. Whether a tool has acted nobody knows, until it says so late. */
function cutOff(work: Draft, step: PerformedStep): void {
  if (step.kind === 'tool' && !step.idempotent) {
    emit(work, 'tool.doubted', { step: step.step, attempt: step.attempt, tool: step.tool })
  } else fail(work, step, { class: 'abort', message: 'The task was cancelled.' })
}

/** Closes the breaker of a model or tool because a human said so. The log of the task that changed it last tells it. */
export function resetBreaker(
  work: Draft,
  key: string,
  { version }: Gate,
  given: { readonly by: string; readonly reason: string },
): void {
  const { by, reason } = given
  emit(work, 'breaker.changed', { key, version: version + 1, ...closedBreaker, by, reason })
}

function refuseEnded({ task }: Draft, what: string): void {
  if (task.rollback?.ends) {
    throw new Fault(
      'TASK_ENDED',
      `Task ${task.id} was cancelled and cannot ${what}: it takes back what it did, and ends.`,
      task.item ? `It waits for you: signalbox answer ${task.item.item}.` : `See how: signalbox log ${task.id}.`,
    )
  }
  if (!isEnded(task)) return
  throw new Fault(
    'TASK_ENDED',
    `Task ${task.id} has ended (${task.outcome}) and cannot ${what}.`,
    `See how: signalbox log ${task.id}.`,
  )
}
