// Carries out one permitted step: asks the model, calls the tool, runs the function. It judges nothing and writes
// nothing; whatever happens comes back as an outcome, also what was thrown, and never later than the deadline.

import { leavingOf, type Ending, type Outcome } from './core/decide.ts'
import { messageOf } from './core/fault.ts'
import { head, toJson } from './core/json.ts'
import type { Machine, Node } from './core/machine.ts'
import type { Failure, Model } from './core/model.ts'
import type { OpenStep, Task } from './core/task.ts'
import { readable } from './core/transition.ts'
import { assemble } from './core/window.ts'
import type { Pricing } from './providers/prices.ts'
import type { Runtime } from './runtime.ts'

/** What a step may need from outside. */
export interface Ports {
  readonly runtime: Runtime
  readonly model: (name: string) => Model
  readonly price: Pricing
}

/**
 * Performs one step until it has an outcome, its deadline passes, or `controller` aborts.
 *
 * *Contract*: never throws; the outcome of a step whose deadline passed is a failure of class `timeout`, whatever the
 * step still does afterwards.
 */
export async function perform(
  step: OpenStep,
  task: Task,
  machine: Machine,
  ports: Ports,
  controller: AbortController,
): Promise<Outcome> {
  const { runtime } = ports
  const startedMs = runtime.now()
  // A worker that stood still between the permission and this line must not begin what is over already.
  if (startedMs >= step.deadlineAtMs) {
    return { kind: 'failed', failure: timedOut, step: step.step, attempt: step.attempt, latencyMs: 0 }
  }
  const came = await new Promise<Ending>((settle) => {
    const { signal } = controller
    const stop = runtime.setTimer(step.deadlineAtMs - startedMs, () => {
      controller.abort(new DOMException('The deadline passed.', 'TimeoutError'))
    })
    const finish = (result: Ending): void => {
      stop()
      signal.removeEventListener('abort', abandon)
      settle(result)
    }
    const abandon = (): void => finish(failed(aborted(signal)))
    signal.addEventListener('abort', abandon)
    carryOut(step, task, machine, ports, signal).then(
      (result) => finish(signal.aborted ? failed(aborted(signal)) : result),
      (thrown: unknown) => finish(failed(signal.aborted ? aborted(signal) : { class: 'error', message: say(thrown) })),
    )
  })
  const latencyMs = Math.max(0, runtime.now() - startedMs)
  return { ...came, step: step.step, attempt: step.attempt, latencyMs }
}

async function carryOut(
  step: OpenStep,
  task: Task,
  machine: Machine,
  ports: Ports,
  signal: AbortSignal,
): Promise<Ending> {
  const node = machine.states.get(task.state)!
  switch (step.kind) {
    case 'model':
      return askModel(step, task, node, ports, signal)
    case 'tool':
      return callTool(step, task, node, machine, signal)
    case 'function':
      return runFunction(task, node, signal)
  }
}

async function askModel(
  step: Extract<OpenStep, { kind: 'model' }>,
  task: Task,
  node: Node,
  ports: Ports,
  signal: AbortSignal,
): Promise<Ending> {
  if (node.kind !== 'model' || !task.visit)
    return failed({ class: 'error', message: 'The task is not in a model state.' })
  const reply = await ports.model(step.model).call(assemble(task.visit, node, step.outputTokensMax), signal)
  if (!reply.ok) return failed(reply.failure)
  return { kind: 'model', answer: reply.answer, cost: ports.price(step.model, reply.answer) }
}

async function callTool(
  step: Extract<OpenStep, { kind: 'tool' }>,
  task: Task,
  node: Node,
  machine: Machine,
  signal: AbortSignal,
): Promise<Ending> {
  const tool = machine.tools.get(step.tool)
  if (!tool) return failed({ class: 'error', message: `There is no tool ${step.tool}.` })
  const { idempotencyKey } = step
  const answer: unknown = await tool.tool.execute(step.arguments, {
    taskId: task.id,
    step: step.step,
    attempt: step.attempt,
    idempotencyKey,
    toolCallId: idempotencyKey,
    context: readable(task, node),
    signal,
    abortSignal: signal,
  })
  const result = toJson(answer)
  return result.ok
    ? { kind: 'tool', result: result.value }
    : failed({ class: 'malformed', message: `The tool answered with something that is not JSON: ${result.problem}.` })
}

async function runFunction(task: Task, node: Node, signal: AbortSignal): Promise<Ending> {
  if (node.kind !== 'run') return failed({ class: 'error', message: 'The task is not in a run state.' })
  const leaving = await node.state.run({ context: readable(task, node), signal })
  return { kind: 'function', leaving: leavingOf(leaving) }
}

function failed(failure: Failure): Ending {
  return { kind: 'failed', failure }
}

const timedOut: Failure = { class: 'timeout', message: 'The deadline passed.' }

function aborted(signal: AbortSignal): Failure {
  const timeout = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError'
  return timeout ? timedOut : { class: 'abort', message: 'The step was called off.' }
}

function say(thrown: unknown): string {
  return head(messageOf(thrown).toWellFormed(), 500)
}
