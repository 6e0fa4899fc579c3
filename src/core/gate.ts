// The gates before the outside. Each model and each tool has one, shared by every task of a store: a breaker, and places
// for as many calls as it takes at once or in a stretch of time. A step passes its gate, or waits before it; what comes
// back is told to the gate. What a gate decided holds only if it still does when it is committed.

import { admit, failed, succeeded, type Admission, type Breaker, type Gate } from './breaker.ts'
import { emit, type Draft } from './draft.ts'
import type { QueueReason } from './event.ts'
import type { Machine } from './machine.ts'
import type { Failure } from './model.ts'
import { boundsOf, type Bounds } from './quota.ts'
import type { OpenStep, Task } from './task.ts'

/** The key of a model's gate. */
export function keyOfModel(model: string): string {
  return `model:${model}`
}

/** The key of a tool's gate. */
export function keyOfTool(tool: string): string {
  return `tool:${tool}`
}

/** Why a step waits, and until when at the latest. */
export interface Hold {
  readonly key: string
  readonly reason: QueueReason
  readonly untilMs: number
}

/** A call before its gate. */
export interface Caller {
  readonly key: string
  readonly bounds: Bounds
  readonly step: number
  readonly deadlineAtMs: number
}

/** The bounds of a tool, also of one that the machine no longer has. */
export function boundsOfTool(machine: Machine, tool: string): Bounds {
  return machine.tools.get(tool)?.bounds ?? boundsOf({})
}

/** Why a call has to wait, or undefined when it may pass. Changes nothing. */
export function holdOf(work: Draft, caller: Caller): Hold | undefined {
  const { key } = caller
  const admission = ask(work, caller)
  if (!admission.admitted) return { key, reason: admission.reason, untilMs: admission.untilMs }
  const fullUntilMs = work.terms.fullUntilMs(caller.step)
  return fullUntilMs === undefined ? undefined : { key, reason: 'busy', untilMs: fullUntilMs }
}

/** Passes the gate: as the probe of its breaker, where it is that, and into one of its places, where they are counted. */
export function pass(work: Draft, caller: Caller): void {
  const { key, step, bounds, deadlineAtMs: untilMs } = caller
  const gate = gateOf(work, key)
  const admission = ask(work, caller)
  if (!admission.admitted) return
  change(work, key, gate, admission.breaker)
  if (admission.breaker === gate.breaker) work.admits.add(key)
  const { concurrency, rate } = bounds
  if (concurrency === null && rate === null) {
    free(work, step)
    return
  }
  work.takes.push({ key, step, concurrency, rate })
  emit(work, 'slot.taken', { key, step, concurrency, periodMs: rate?.periodMs ?? null, untilMs })
}

/** Tells the gate of a step what came of it, and gives its place back. */
export function leaveGate(machine: Machine, work: Draft, step: OpenStep, failure?: Failure): void {
  free(work, step.step)
  if (!isGated(step)) return
  const key = keyOfStep(step)
  change(work, key, gateOf(work, key), breakerAfter(machine, work, step, failure))
}

/** A step is called off: that says nothing about the other side, but where it is the probe, another may probe. */
export function callOff(work: Draft, step: OpenStep): void {
  free(work, step.step)
  if (!isGated(step)) return
  const key = keyOfStep(step)
  const gate = gateOf(work, key)
  const { breaker: policy } = boundsOf({})
  change(work, key, gate, failed(gate.breaker, policy, callerOf(work.task, step.step), { class: 'abort' }, work.nowMs))
}

/** What an outcome makes of the breaker of a step's model or tool. Changes nothing. */
export function breakerAfter(machine: Machine, work: Draft, step: GatedStep, failure?: Failure): Breaker {
  const { breaker } = gateOf(work, keyOfStep(step))
  const caller = callerOf(work.task, step.step)
  if (!failure) return succeeded(breaker, caller)
  const { breaker: policy } = step.kind === 'model' ? work.terms.bounds(step.model) : boundsOfTool(machine, step.tool)
  // A deadline that passed before anything was asked says nothing about the other side.
  const told: Failure = failure.class === 'timeout' && failure.unbilled ? { ...failure, class: 'lost' } : failure
  return failed(breaker, policy, caller, told, work.nowMs)
}

/** What asks a model or a tool passes a gate; a function and a child are ours. */
type GatedStep = Extract<OpenStep, { kind: 'model' | 'tool' }>

function isGated(step: OpenStep): step is GatedStep {
  return step.kind === 'model' || step.kind === 'tool'
}

function keyOfStep(step: GatedStep): string {
  return step.kind === 'model' ? keyOfModel(step.model) : keyOfTool(step.tool)
}

/** Gives back the place of a step, or its turn in the queue. */
export function free(work: Draft, step: number): void {
  const key = work.task.slots.get(step)
  if (key !== undefined) emit(work, 'slot.freed', { key, step })
}

/** Gives back every place: the task goes elsewhere, or ends. */
export function freeAll(work: Draft): void {
  for (const step of work.task.slots.keys()) free(work, step)
}

function gateOf(work: Draft, key: string): Gate {
  return work.gates.get(key) ?? work.terms.gate(key)
}

function ask(work: Draft, { key, step, deadlineAtMs }: Caller): Admission {
  return admit(gateOf(work, key).breaker, callerOf(work.task, step), work.nowMs, deadlineAtMs)
}

function callerOf(task: Task, step: number): string {
  return `${task.id}.${step}`
}

function change(work: Draft, key: string, { version }: Gate, breaker: Gate['breaker']): void {
  if (breaker === gateOf(work, key).breaker) return
  emit(work, 'breaker.changed', { key, version: version + 1, ...breaker })
  work.gates.set(key, { version: version + 1, breaker })
  work.admits.delete(key)
}
