// What events do to the steps of a task: opened, settled, tried again, waiting before a gate, charged.

import { change, mayHaveActed, note } from '../effect.ts'
import type { EventData, PlannedRetry } from '../event.ts'
import { keyOf, type Json } from '../json.ts'
import type { Charge } from '../ledger.ts'
import type { Failure } from '../model.ts'
import { deadlineAtMs, isUndo, type OpenStep, type PerformedStep, type Task } from '../task.ts'
import { compare, look, see } from './visit.ts'

/** Opens a step. What is known of its failures stays, as long as it is the same model or tool that is tried. */
export function open(task: Task, permitted: OpenStep): void {
  const before = close(task, permitted.step)
  const same =
    before !== undefined && (before.kind !== 'model' || permitted.kind !== 'model' || before.model === permitted.model)
  const step = same
    ? { ...permitted, failures: before.failures, delayMs: before.delayMs, smaller: before.smaller }
    : permitted
  if (before === undefined) begin(task, step)
  const approval = step.kind === 'tool' || step.kind === 'child' ? step.approval : undefined
  if (approval !== undefined) task.approvals.delete(approval)
  task.open.set(step.step, step)
  task.awaits = undefined
  if (task.visit && !task.rollback) task.visit.ended = undefined
}

/** Takes a step that a worker performs out of everything that waits for its outcome. */
export function close(task: Task, number: number): PerformedStep | undefined {
  const running = task.open.get(number)
  if (running?.kind === 'child') return undefined
  const step = running ?? task.doubts.get(number) ?? task.delayed.get(number)?.step
  task.open.delete(number)
  task.doubts.delete(number)
  task.delayed.delete(number)
  if (task.item?.step === number) task.item = undefined
  return step
}

/** A call has come to its end, for good: whoever asked for it is told. */
export function settle(
  task: Task,
  number: number,
  outcome: { result: Json } | { failure: Pick<Failure, 'class' | 'message'> },
): void {
  const step = close(task, number)
  if (step?.kind !== 'tool') return
  if (step.undoes !== undefined) {
    if ('result' in outcome) change(task.effects, step.undoes, { undoneSeq: task.seq })
    return
  }
  if ('result' in outcome) note(task.effects, step, outcome.result)
  if (!task.visit) return
  if (step.index === undefined) {
    task.visit.ended = outcome
    return
  }
  const result =
    'result' in outcome
      ? { value: outcome.result, failed: false }
      : { value: sayFailure(outcome.failure), failed: true }
  task.visit.turns.at(-1)?.results.set(step.index, result)
  compare(task.visit, `${step.tool} ${keyOf(step.arguments)}`, result.value)
}

/** What a failed call did outside: nothing, or nobody knows what. */
export function judgeFailed(task: Task, failed: EventData['tool.failed']): void {
  const { step: number, class: kind, message, retry } = failed
  const step = task.open.get(number) ?? task.delayed.get(number)?.step
  if (step?.kind !== 'tool') return
  if (step.undoes !== undefined) {
    if (!retry) change(task.effects, step.undoes, { failure: { class: kind, message } })
  } else if (step.reconciles && retry?.reason !== 'reconcile' && kind !== 'unavailable') task.effects.delete(number)
  else if (step.attempt > 0 && mayHaveActed(kind)) note(task.effects, step)
}

/** Keeps a failed step for another try, if one was planned. */
export function postpone(task: Task, failed: { readonly step: number; readonly retry?: PlannedRetry }): boolean {
  const { step: number, retry } = failed
  const step = retry && close(task, number)
  if (!retry || !step) return false
  const { atMs, delayMs, model, reason, inputTokensMax } = retry
  const smaller = step.smaller || reason === 'smaller'
  const next = { ...step, failures: step.failures + 1, delayMs, smaller }
  task.delayed.set(number, {
    step: next,
    atMs,
    model,
    inputTokensMax,
    reconciles: reason === 'reconcile',
    queued: false,
  })
  return true
}

/** Puts a step before its gate: one that was permitted before, or one that is to be permitted for the first time. */
export function queue(task: Task, queued: EventData['step.queued']): void {
  const { step: number, key, untilMs, call, prompt, deadlineAtMs: own } = queued
  const before = task.delayed.get(number)
  const doubted = task.doubts.get(number)
  task.slots.set(number, key)
  task.awaits = undefined
  if (doubted) {
    // A human wants it tried again: it waits its turn like any other.
    close(task, number)
    const step = { ...doubted, deadlineAtMs: own ?? doubted.deadlineAtMs }
    task.delayed.set(number, { ...fresh, step, atMs: untilMs, queued: true })
    return
  }
  if (before) {
    task.delayed.set(number, { ...before, atMs: untilMs, queued: true })
    return
  }
  if (!call) return
  if (prompt && task.visit) task.visit.prompt = prompt
  if (prompt) look(task)
  see(task, queued.label)
  const common = { step: number, attempt: 0, failures: 0, delayMs: 0, smaller: false }
  const step: PerformedStep =
    call.kind === 'model'
      ? { ...common, ...call, outputTokensMax: 0, reserved: undefined }
      : { ...common, ...call, arguments: queued.arguments ?? null }
  if (call.kind === 'tool' && call.approval !== undefined) task.approvals.delete(call.approval)
  begin(task, step)
  task.delayed.set(number, { ...fresh, step, atMs: untilMs, queued: true })
}

/** Books what an attempt was charged, and gives back what was set aside for it. */
export function charged(
  task: Task,
  number: number,
  attempt: number,
  charge: Charge | undefined,
  costMicros: number | null,
): void {
  const step = task.open.get(number)
  if (step?.kind !== 'model') return
  if (step.reserved) {
    task.reserved.tokens -= step.reserved.inputTokens + step.reserved.outputTokens
    task.reserved.costMicros -= step.reserved.costMicros ?? 0
    step.reserved = undefined
  }
  if (!charge) return
  count(task, charge)
  if (costMicros === null) task.usage.unpriced += 1
  if (charge.estimated) task.estimated.set(`${number}.${attempt}`, { charge, costMicros, model: step.model })
}

/** A late answer says what was used: the estimate that was charged is corrected. */
export function correctEstimate(task: Task, { step, attempt, charge }: EventData['step.late']): void {
  if (charge) count(task, charge)
  task.estimated.delete(`${step}.${attempt}`)
}

/** A human let the task go on: the time that this took is nobody's, so what has a deadline has it so much later. */
export function goOn(task: Task, step: number | undefined, nowMs: number): void {
  const { item, visit } = task
  if (!item || item.step !== step) return
  const tookMs = nowMs - item.askedAtMs
  if (visit?.deadlineAtMs !== undefined) visit.deadlineAtMs += tookMs
  for (const [number, delayed] of task.delayed) {
    const laterMs = Math.min(delayed.step.deadlineAtMs + tookMs, task.expired ? Infinity : deadlineAtMs(task))
    task.delayed.set(number, { ...delayed, step: { ...delayed.step, deadlineAtMs: laterMs } })
  }
}

/** Counts a step that was not there before. */
function begin(task: Task, step: OpenStep): void {
  if (isUndo(step)) {
    task.undos += 1
    task.item = undefined
    return
  }
  task.usage.steps += 1
  const tool = step.kind === 'tool' || step.kind === 'child' ? step.tool : undefined
  if (tool !== undefined) task.toolCalls.set(tool, (task.toolCalls.get(tool) ?? 0) + 1)
}

/** A step about which nothing else was said. */
const fresh = { model: undefined, inputTokensMax: undefined, reconciles: false } as const

function count({ usage }: Task, { inputTokens, outputTokens }: Charge): void {
  usage.inputTokens += inputTokens
  usage.outputTokens += outputTokens
}

function sayFailure(failure: Pick<Failure, 'class' | 'message'>): string {
  return `The tool failed (${failure.class}): ${failure.message}`
}
