// A permission is the committed event that lets a step happen: which call, under which key, until when. A step that
// was lost or failed may be permitted again, under the same key. Nothing acts without one.

import { emit, type Draft } from './draft.ts'
import type { PlannedRetry } from './event.ts'
import type { Json } from './json.ts'
import type { Machine, MachineTool } from './machine.ts'
import type { Failure } from './model.ts'
import { draw, planRetry } from './resilience.ts'
import type { OpenStep } from './task.ts'
import { reach } from './transition.ts'

/** Permits one step, unless the task has used up its steps: then it leaves by `$limit`. */
export function permit(machine: Machine, work: Draft, call: (step: number) => void): boolean {
  const { usage, stepsMax } = work.task
  if (usage.steps >= stepsMax) return reach(machine, work, 'steps', stepsMax, '$limit')
  call(usage.steps + 1)
  return true
}

/** Permits a call of a tool. The key is the same for every attempt of the step, and of no other step. */
export function callTool(
  work: Draft,
  tool: MachineTool,
  step: number,
  input: Json,
  timeoutMs: number,
  index?: number,
): void {
  emit(work, 'tool.called', {
    step,
    attempt: 1,
    tool: tool.name,
    arguments: input,
    idempotencyKey: `${work.task.id}.${step}`,
    idempotent: tool.idempotent,
    deadlineAtMs: work.nowMs + timeoutMs,
    ...(index === undefined ? {} : { index }),
  })
}

/** The same step, the same key, the same deadline: only the number of the attempt is new. */
export function permitAgain(machine: Machine, work: Draft, lost: OpenStep, deadlineAtMs = lost.deadlineAtMs): void {
  const again = { step: lost.step, attempt: lost.attempt + 1, deadlineAtMs }
  if (lost.kind === 'model') {
    const { turn, model, outputTokensMax } = lost
    emit(work, 'model.called', { ...again, turn, model, outputTokensMax })
  } else if (lost.kind === 'tool') {
    const { tool, arguments: input, idempotencyKey, index } = lost
    const idempotent = machine.tools.get(tool)?.idempotent ?? lost.idempotent
    emit(work, 'tool.called', {
      ...again,
      tool,
      arguments: input,
      idempotencyKey,
      idempotent,
      ...(index === undefined ? {} : { index }),
    })
  } else {
    emit(work, 'function.called', again)
  }
}

/** After a failure that is not a timeout, the next model of the state's chain is asked, within the same deadline. */
function tryNextModel(machine: Machine, work: Draft, failed: OpenStep): void {
  const node = machine.states.get(work.task.state)
  if (failed.kind !== 'model' || node?.kind !== 'model' || work.nowMs >= failed.deadlineAtMs) return
  const failure = work.task.visit?.ended
  if (!failure || !('failure' in failure) || failure.failure.class === 'timeout') return
  const model = node.models[node.models.indexOf(failed.model) + 1]
  if (model !== undefined) permitAgain(machine, work, { ...failed, model })
}

/** Plans another try of a failed step, by the policy of its model state or tool. */
function plan(machine: Machine, work: Draft, step: OpenStep, failure: Failure): PlannedRetry | undefined {
  const node = machine.states.get(work.task.state)
  const policy =
    step.kind === 'tool' ? machine.tools.get(step.tool)?.retry : node?.kind === 'model' ? node.retry : undefined
  if (!policy || step.kind === 'function') return undefined
  const random = draw(work.task.seed, step.step, step.attempt)
  const { failures, delayMs: previousMs, deadlineAtMs } = step
  const retry = planRetry(policy, { failure, failures, previousMs, deadlineAtMs, nowMs: work.nowMs, random })
  return retry && { ...retry, atMs: work.nowMs + retry.delayMs }
}

/**
 * Records what a failed attempt leads to: another try at a time, the next model of the chain, a doubt where nobody knows
 * whether a tool has acted, or the failure of the step.
 */
export function failOrRetry(machine: Machine, work: Draft, step: OpenStep, failure: Failure, latencyMs: number): void {
  const unknown = failure.class === 'timeout' || failure.class === 'abort'
  if (step.kind === 'tool' && !step.idempotent && unknown) {
    emit(work, 'tool.doubted', { step: step.step, attempt: step.attempt, tool: step.tool })
    return
  }
  const retry = plan(machine, work, step, failure)
  fail(work, step, failure, latencyMs, retry)
  if (!retry) tryNextModel(machine, work, step)
}

/** Tries again what is due. A step whose deadline has passed in the meantime has failed. */
export function retryDue(machine: Machine, work: Draft): void {
  const due = [...work.task.delayed.values()].filter(({ atMs }) => atMs <= work.nowMs)
  for (const { step } of due) {
    if (work.nowMs < step.deadlineAtMs) permitAgain(machine, work, step)
    else fail(work, step, { class: 'timeout', message: 'The deadline passed before it could be tried again.' })
  }
}

/** Records that an attempt failed. */
export function fail(work: Draft, step: OpenStep, failure: Failure, latencyMs = 0, planned?: PlannedRetry): void {
  const { step: number, attempt } = step
  const retry = planned === undefined ? {} : { retry: planned }
  const { class: kind, message, status } = failure
  if (step.kind === 'model') {
    const data = { step: number, attempt, turn: step.turn, class: kind, message, latencyMs, ...retry }
    emit(work, 'model.failed', status === undefined ? data : { ...data, status })
  } else if (step.kind === 'tool') {
    emit(work, 'tool.failed', {
      step: number,
      attempt,
      tool: step.tool,
      class: kind,
      message,
      latencyMs,
      ...retry,
    })
  } else {
    emit(work, 'function.failed', {
      step: number,
      attempt,
      what: 'run',
      class: kind,
      message,
      latencyMs,
    })
  }
}

/** The exit that a failure leads to where no retry is left. */
export function failureExit(failure: Pick<Failure, 'class'>): string {
  return failure.class === 'timeout' ? '$timeout' : '$error'
}
