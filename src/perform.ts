// Carries out one permitted step: asks the model, calls the tool, runs the function. It judges nothing and writes
// nothing; whatever happens comes back as an outcome, also what was thrown, and never later than the deadline.

import { leavingOf } from './core/author.ts'
import type { Ending, Outcome } from './core/decide.ts'
import { isFault, messageOf } from './core/fault.ts'
import { head, toJson, type Json, type JsonObject } from './core/json.ts'
import { defaults } from './core/limits.ts'
import type { Terms } from './core/draft.ts'
import type { Machine, MachineTool, Node } from './core/machine.ts'
import type { Answer, Failure, Model, Offer } from './core/model.ts'
import { readOn } from './core/read-on.ts'
import type { Redactor } from './core/redact.ts'
import type { PerformedStep, Task, Visit } from './core/task.ts'
import { readable } from './core/reading.ts'
import type { ToolCall } from './core/tool.ts'
import { assemble } from './core/window.ts'
import { egressDoor } from './egress.ts'
import type { Runtime } from './runtime.ts'
import type { Secrets } from './secrets.ts'

/** What a step may need from outside. */
export interface Ports {
  readonly runtime: Runtime
  readonly model: (name: string) => Model
  /** What is known outside of a task and a decision needs. */
  readonly terms: Terms
  /** What tools may be given. */
  readonly secrets: Secrets
}

/**
 * Performs one step until it has an outcome, its deadline passes, or `controller` aborts.
 *
 * *Contract*: never throws; the outcome of a step whose deadline passed is a failure of class `timeout`, whatever the
 * step still does afterwards. A result that comes after all is told to `onLate`.
 */
export async function perform(
  step: PerformedStep,
  task: Task,
  machine: Machine,
  ports: Ports,
  controller: AbortController,
  onLate: (outcome: Outcome) => void = () => undefined,
): Promise<Outcome> {
  const { runtime } = ports
  const startedMs = runtime.now()
  const denied = new Set<string>()
  const outcome = (ending: Ending): Outcome => {
    const latencyMs = Math.max(0, runtime.now() - startedMs)
    const came = { ...ending, step: step.step, attempt: step.attempt, latencyMs }
    return denied.size === 0 ? came : { ...came, denied: [...denied] }
  }
  // A worker that stood still between the permission and this line must not begin what is over already.
  if (startedMs >= step.deadlineAtMs) {
    return outcome(failed({ ...timedOut, unbilled: true }))
  }
  const came = await new Promise<Ending>((settle) => {
    const { signal } = controller
    // A loop that stood still has run no timer: whatever comes is held to the clock before it counts.
    const expire = (): void => {
      if (runtime.now() >= step.deadlineAtMs) timeOut()
    }
    const timeOut = (): void => controller.abort(new DOMException('The deadline passed.', 'TimeoutError'))
    const stop = runtime.setTimer(step.deadlineAtMs - startedMs, timeOut)
    const finish = (result: Ending): void => {
      stop()
      signal.removeEventListener('abort', abandon)
      settle(result)
    }
    const abandon = (): void => finish(failed(aborted(signal)))
    signal.addEventListener('abort', abandon)
    carryOut(step, task, machine, ports, signal, (key) => denied.add(key)).then(
      (result) => {
        expire()
        if (signal.aborted && result.kind !== 'failed') onLate(outcome(result))
        finish(signal.aborted ? failed(aborted(signal)) : result)
      },
      (thrown: unknown) => {
        expire()
        finish(failed(signal.aborted ? aborted(signal) : failureOf(thrown, ports.terms.redact)))
      },
    )
  })
  return outcome(came)
}

async function carryOut(
  step: PerformedStep,
  task: Task,
  machine: Machine,
  ports: Ports,
  signal: AbortSignal,
  denied: (key: string) => void,
): Promise<Ending> {
  const node = machine.states.get(task.state)!
  const context = readable(machine, task, node, denied)
  switch (step.kind) {
    case 'model':
      return askModel(step, task, node, ports, signal)
    case 'tool':
      return callTool(step, task, machine, context, ports, signal)
    case 'function':
      return runFunction(node, context, signal)
  }
}

async function askModel(
  step: Extract<PerformedStep, { kind: 'model' }>,
  task: Task,
  node: Node,
  ports: Ports,
  signal: AbortSignal,
): Promise<Ending> {
  if (node.kind !== 'model' || !task.visit)
    return failed({ class: 'error', message: 'The task is not in a model state.' })
  const request = assemble(task.visit, node, step.outputTokensMax, ports.terms.hash)
  // The rest of it was in the log, and is clean; what is on offer comes from the author.
  const offers = request.offers.map((offer) => clean(offer, ports.terms.redact))
  const reply = await ports.model(step.model).call({ ...request, offers }, signal)
  if (!reply.ok) return failed(reply.failure)
  // A model may be anyone's.
  const content = toJson(reply.answer.content)
  if (content.ok && Array.isArray(content.value)) {
    return { kind: 'model', answer: { ...reply.answer, content: content.value as Answer['content'] } }
  }
  const problem = content.ok ? 'it is no list of parts' : content.problem
  return failed({ class: 'malformed', message: `The model answered with something that cannot be read: ${problem}.` })
}

async function callTool(
  step: Extract<PerformedStep, { kind: 'tool' }>,
  task: Task,
  machine: Machine,
  context: JsonObject,
  ports: Ports,
  signal: AbortSignal,
): Promise<Ending> {
  const tool = machine.tools.get(step.tool)
  if (!tool) return failed({ class: 'error', message: `There is no tool ${step.tool}.` })
  if (step.tool === readOn.name && task.visit) return readResult(task.visit, step.arguments)
  const call = callOf(step, task, context, tool, ports, signal)
  // Here, and nowhere before, a handle becomes what it stands for.
  const input = ports.secrets.resolve(step.arguments, tool.tool)
  if (step.undoes !== undefined) {
    const done = task.effects.get(step.undoes)
    if (!tool.tool.undo || done?.result === undefined) return failed({ class: 'error', message: 'It has no undo.' })
    return toolEnding(await tool.tool.undo(input, done.result, call))
  }
  if (!step.reconciles) return toolEnding(await tool.tool.execute(input, call))
  const found = await tool.tool.reconcile?.(input, call)
  if (found?.done === true) return toolEnding(found.result)
  return found?.done === false ? { kind: 'undone' } : failed({ class: 'lost', message: 'The tool does not know.' })
}

/** What a tool's body is given besides its input. */
function callOf(
  { step, attempt, idempotencyKey }: Extract<PerformedStep, { kind: 'tool' }>,
  task: Task,
  context: JsonObject,
  { tool }: MachineTool,
  { secrets }: Ports,
  signal: AbortSignal,
): ToolCall {
  return {
    taskId: task.id,
    step,
    attempt,
    idempotencyKey,
    toolCallId: idempotencyKey,
    context,
    secret: (name) => secrets.give(name, tool),
    fetch: egressDoor(tool.name, tool.egress, signal),
    signal,
    abortSignal: signal,
  }
}

/** The engine's own tool: what was too large to be shown is read from the task. */
function readResult(visit: Visit, input: Json): Ending {
  const { handle, start } = input as { handle: string; start: number }
  // Half a head, so that the answer, as JSON, is not too large in its turn.
  const chars = Math.floor((visit.cut.headChars ?? defaults.windowTokens) / 2)
  return { kind: 'tool', result: readOn.read(visit, handle, start, chars) }
}

function toolEnding(answer: unknown): Ending {
  const result = toJson(answer)
  return result.ok
    ? { kind: 'tool', result: result.value }
    : failed({ class: 'malformed', message: `The tool answered with something that is not JSON: ${result.problem}.` })
}

async function runFunction(node: Node, context: JsonObject, signal: AbortSignal): Promise<Ending> {
  if (node.kind !== 'run') return failed({ class: 'error', message: 'The task is not in a run state.' })
  const leaving = await node.state.run({ context, signal })
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

/** What was thrown, as a failure. It is cut only when no secret is in it: half of one is harder to find. */
function failureOf(thrown: unknown, redact: Redactor): Failure {
  // What a door refused is refused again.
  const refused = isFault(thrown, 'SECRET_REFUSED') || isFault(thrown, 'EGRESS_REFUSED')
  const message = head(redact.text(messageOf(thrown).toWellFormed()), 500)
  return { class: refused ? 'invalid-request' : 'error', message }
}

const cleaned = new WeakMap<Redactor, WeakMap<Offer, Offer>>()

/** An offer without secrets; the same each time. */
function clean(offer: Offer, redact: Redactor): Offer {
  const known = cleaned.get(redact) ?? new WeakMap<Offer, Offer>()
  cleaned.set(redact, known)
  const kept = known.get(offer) ?? { ...offer, ...(redact.value({ ...offer }) as object) }
  known.set(offer, kept)
  return kept
}
