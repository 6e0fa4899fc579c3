// Here every step is judged before it is taken. Given a machine, a task and a time, these functions say what happens
// next, as events; they call nothing and wait for nothing. A worker calls `resume` when it takes a task over, `settle`
// with what came of a permitted step, and `proceed` to be told what to do next: either the task has open steps that
// are now permitted, or it waits, or it has ended.

import type { Leaving } from './agent.ts'
import { draft, emit, type Draft } from './draft.ts'
import type { EventData } from './event.ts'
import { Fault, messageOf } from './fault.ts'
import { toJson, type Json, type JsonObject } from './json.ts'
import { defaults, isCeiling } from './limits.ts'
import type { Machine, Node } from './machine.ts'
import type { Answer, Failure } from './model.ts'
import { callTool, fail, failOrRetry, failureExit, permit, permitAgain, retryDue } from './permission.ts'
import type { Cost } from './price.ts'
import { read } from './refusal.ts'
import { validate } from './schema.ts'
import { emptyTask, isEnded, type Visit } from './task.ts'
import { enter, escalate, itemId, leave, reach, reading, refuse, take, takeOrFail, type Leave } from './transition.ts'
import { systemText } from './window.ts'

/** How an attempt ended. Whatever was thrown has become a failure. */
export type Ending =
  | { readonly kind: 'model'; readonly answer: Answer; readonly cost: Cost | null }
  | { readonly kind: 'tool'; readonly result: Json }
  | { readonly kind: 'function'; readonly leaving: Leave }
  | { readonly kind: 'failed'; readonly failure: Failure }

/** What came of one attempt of a step. */
export type Outcome = Ending & { readonly step: number; readonly attempt: number; readonly latencyMs: number }

type NodeOf<Kind extends Node['kind']> = Extract<Node, { kind: Kind }>

// ---- A task begins -------------------------------------------------------------------------------------------------

/** What a task is started with. */
export interface Start {
  readonly taskId: string
  /** The hash of the definition. */
  readonly definition: string
  readonly input: unknown
  readonly by: string
  readonly stepsMax?: number
  /** What the task's random numbers are made from: a whole number of 32 bits. */
  readonly seed: number
}

/** Starts a task: its first events. Throws INPUT_INVALID, naming what does not fit, before anything is written. */
export function start(machine: Machine, given: Start, nowMs: number): Draft {
  proveStart(given)
  const values = readInput(machine, given.input)
  const begun = draft(emptyTask(given.taskId), nowMs)
  const input = Object.fromEntries(
    values.filter((entry) => entry.source === 'input').map(({ key, value }) => [key, value]),
  )
  emit(begun, 'task.started', {
    agent: machine.name,
    version: machine.version,
    definition: given.definition,
    input,
    by: given.by,
    stepsMax: given.stepsMax ?? machine.stepsMax,
    seed: given.seed,
  })
  for (const { key, value, source } of values) emit(begun, 'context.written', { key, version: 1, value, source })
  enter(machine, begun, machine.initial)
  return begun
}

function proveStart({ taskId, stepsMax }: Start): void {
  if (!/^[\w.:-]{1,128}$/.test(taskId)) {
    throw new Fault(
      'INPUT_INVALID',
      `${JSON.stringify(taskId)} cannot be a task's id.`,
      'Use 1 to 128 letters, digits, ".", ":", "_" or "-".',
    )
  }
  if (stepsMax !== undefined && !isCeiling(stepsMax)) {
    throw new Fault(
      'INPUT_INVALID',
      `limits.steps is ${JSON.stringify(stepsMax)}.`,
      'Use a whole number from 1 to 1,000,000.',
    )
  }
}

function readInput(machine: Machine, input: unknown): { key: string; value: Json; source: 'input' | 'initial' }[] {
  const fail = (problem: string): never => {
    const keys = [...machine.context.keys()].join(', ')
    throw new Fault(
      'INPUT_INVALID',
      `The input of agent ${machine.name}: ${problem}.`,
      `Give a JSON object with the context's keys (${keys}).`,
    )
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return fail('it is not an object')
  const given = new Map(Object.entries(input))
  for (const key of given.keys()) if (!machine.context.has(key)) fail(`${key} is not a key of its context`)
  const values: { key: string; value: Json; source: 'input' | 'initial' }[] = []
  for (const { name, schema, initial } of machine.context.values()) {
    const source = given.has(name) ? 'input' : 'initial'
    const value = given.has(name) ? given.get(name) : initial
    const verdict = validate(schema, value)
    if (!verdict.ok) fail(given.has(name) ? `${name}: ${verdict.problem}` : `${name} is missing`)
    else if (value !== undefined) values.push({ key: name, value: verdict.value, source })
  }
  return values
}

// ---- A worker goes on ----------------------------------------------------------------------------------------------

/**
 * Takes a task over from a worker that went away: a step that was permitted and has no outcome is tried again under
 * the same key, or, when that could do twice what was meant once, becomes a doubt.
 */
export function resume(machine: Machine, work: Draft): void {
  // Permitting a step again changes the map that is walked here.
  const open = [...work.task.open.values()]
  for (const step of open) {
    emit(work, 'step.lost', { step: step.step, attempt: step.attempt })
    if (step.kind === 'tool' && !step.idempotent) {
      emit(work, 'tool.doubted', { step: step.step, attempt: step.attempt, tool: step.tool })
    } else if (work.nowMs >= step.deadlineAtMs) {
      fail(work, step, {
        class: 'timeout',
        message: 'The deadline passed while no worker had the task.',
      })
    } else if (step.attempt >= defaults.attempts) {
      emit(work, 'limit.reached', {
        limit: 'attempts',
        max: defaults.attempts,
        state: work.task.state,
      })
      fail(work, step, {
        class: 'lost',
        message: `The worker went away ${step.attempt} times while it performed this.`,
      })
    } else {
      permitAgain(machine, work, step)
    }
  }
}

/** Records what came of an attempt. An outcome of a step that is no longer open is dropped: it was decided without it. */
export function settle(machine: Machine, work: Draft, outcome: Outcome): void {
  const { step: number, attempt, latencyMs } = outcome
  const step = work.task.open.get(number)
  if (!step || step.attempt !== attempt) return
  if (outcome.kind === 'failed') {
    failOrRetry(machine, work, step, outcome.failure, latencyMs)
  } else if (outcome.kind === 'model' && step.kind === 'model') {
    const { provider, modelId, content, finish, usage } = outcome.answer
    const { turn } = step
    const { cost } = outcome
    const answered = { step: number, attempt, turn, provider, modelId, content, finish, usage, latencyMs }
    const priced = cost ? { ...answered, priceSource: cost.source } : answered
    emit(work, 'model.answered', priced, cost?.costMicros ?? null)
    obey(machine, work, outcome.answer, turn)
  } else if (outcome.kind === 'tool' && step.kind === 'tool') {
    emit(work, 'tool.answered', {
      step: number,
      attempt,
      tool: step.tool,
      result: outcome.result,
      latencyMs,
    })
  } else if (outcome.kind === 'function') {
    emit(work, 'function.returned', { step: number, attempt, ...outcome.leaving, latencyMs })
  }
}

/** Goes on until a step is permitted, or the task waits, or it has ended. */
export function proceed(machine: Machine, work: Draft): void {
  const { task } = work
  // A task moves at most this often without performing anything; a machine whose routes form a circle stops here.
  const hopsMax = 10 + 2 * machine.states.size
  retryDue(machine, work)
  for (let hops = 0; !isEnded(task) && task.open.size === 0 && task.delayed.size === 0; hops += 1) {
    if (hops >= hopsMax && !task.item) {
      emit(work, 'limit.reached', { limit: 'hops', max: hopsMax, state: task.state })
      escalate(work, '$stuck')
      return
    }
    const decided = work.events.length
    if (!move(machine, work)) return
    // A signal that was taken is progress: a state may work off as many as have come.
    if (work.events.slice(decided).some(({ type }) => type === 'signal.consumed')) hops = 0
  }
}

/** One move. False when there is nothing to be done now. */
function move(machine: Machine, work: Draft): boolean {
  const { task } = work
  const node = machine.states.get(task.state)!
  if (task.item && task.item.kind !== 'question') return obeyHuman(machine, work)
  if (task.doubts.size > 0) return leave(machine, work, '$doubt')
  if (!task.visit) return leave(machine, work, '$visits')
  switch (node.kind) {
    case 'final':
      emit(work, 'task.ended', { outcome: node.name, status: node.failure ? 'failed' : 'done' })
      return true
    case 'model':
      return moveModel(machine, work, node, task.visit)
    case 'tool':
      return moveTool(machine, work, node, task.visit)
    case 'run':
      return moveRun(machine, work, node, task.visit)
    case 'human':
      return moveHuman(machine, work, node)
    case 'wait':
      return moveWait(machine, work, node)
  }
}

// ---- The kinds of state --------------------------------------------------------------------------------------------

function moveModel(machine: Machine, work: Draft, node: NodeOf<'model'>, visit: Visit): boolean {
  if (visit.ended && 'failure' in visit.ended) return leave(machine, work, failureExit(visit.ended.failure))
  if (visit.refusals >= node.refusalsMax) return reach(machine, work, 'refusals', node.refusalsMax, '$refused')
  if (visit.repeats >= node.repeatsMax) return reach(machine, work, 'repeats', node.repeatsMax, '$stuck')
  if (visit.turns.length >= node.turnsMax) return reach(machine, work, 'turns', node.turnsMax, '$turns')
  const turn = visit.turns.length + 1
  let prompt: EventData['model.called']['prompt']
  if (!visit.prompt) {
    const user = ask(work, 'prompt', () => render(node.state.prompt, reading(work, node)))
    if (user === undefined) return true
    prompt = { system: systemText(node), user }
  }
  return permit(machine, work, (step) => {
    const data = {
      step,
      attempt: 1,
      turn,
      model: node.models[0]!,
      outputTokensMax: node.outputTokensMax,
      deadlineAtMs: work.nowMs + node.timeoutMs,
    }
    emit(work, 'model.called', prompt ? { ...data, prompt } : data)
  })
}

function moveTool(machine: Machine, work: Draft, node: NodeOf<'tool'>, visit: Visit): boolean {
  if (visit.ended) {
    if ('failure' in visit.ended) return leave(machine, work, failureExit(visit.ended.failure))
    const { result } = visit.ended
    const leaving = ask(work, 'exit', () => leavingOf(node.state.exit?.({ ...reading(work, node), result }) ?? 'DONE'))
    return leaving === undefined || takeOrFail(machine, work, node, leaving)
  }
  const input = ask(work, 'args', () => {
    const verdict = validate(node.tool.tool.inputSchema, node.state.args(reading(work, node)))
    if (!verdict.ok) throw new Error(`the arguments of ${node.tool.name} do not fit: ${verdict.problem}`)
    return verdict.value
  })
  if (input === undefined) return true
  return permit(machine, work, (step) => callTool(work, node.tool, step, input, node.timeoutMs))
}

function moveRun(machine: Machine, work: Draft, node: NodeOf<'run'>, visit: Visit): boolean {
  if (visit.leaving) return takeOrFail(machine, work, node, visit.leaving)
  if (visit.ended && 'failure' in visit.ended) return leave(machine, work, failureExit(visit.ended.failure))
  return permit(machine, work, (step) => {
    emit(work, 'function.called', { step, attempt: 1, deadlineAtMs: work.nowMs + node.timeoutMs })
  })
}

function moveHuman(machine: Machine, work: Draft, node: NodeOf<'human'>): boolean {
  const { item } = work.task
  if (work.task.visit?.ended) return leave(machine, work, '$error')
  if (item?.answer) {
    const { decision, data } = item.answer
    // What a person handed over may not fit: then the question is asked again, and the refusal says why.
    return take(machine, work, node, { exit: decision, output: data ?? {} }) || askHuman(work, node)
  }
  if (item) {
    if (item.expiresAtMs === undefined || work.nowMs < item.expiresAtMs) return false
    emit(work, 'deadline.passed', {
      of: 'question',
      state: node.name,
      deadlineAtMs: item.expiresAtMs,
    })
    return leave(machine, work, '$timeout')
  }
  return askHuman(work, node)
}

function askHuman(work: Draft, node: NodeOf<'human'>): boolean {
  const { human } = node.state
  const asked = ask(work, 'question', () => {
    const show = toJson(human.show?.(reading(work, node)))
    if (!show.ok) throw new Error(show.problem)
    return { question: render(human.question, reading(work, node)), show: show.value }
  })
  if (asked === undefined) return true
  emit(work, 'human.asked', {
    item: itemId(work),
    kind: 'question',
    state: node.name,
    ...asked,
    options: [...node.exits.keys()].filter((name) => !name.startsWith('$')),
    ...(human.assignee === undefined ? {} : { assignee: human.assignee }),
    ...(node.expires ? { expiresAtMs: work.nowMs + node.timeoutMs } : {}),
  })
  return false
}

function moveWait(machine: Machine, work: Draft, node: NodeOf<'wait'>): boolean {
  const { task } = work
  if (task.visit?.ended) return leave(machine, work, '$error')
  const { signal } = node
  const queue = signal === undefined ? undefined : task.signals.get(signal)
  if (signal !== undefined && queue?.length) {
    const data = queue[0] ?? null
    emit(work, 'signal.consumed', { name: signal })
    return takeOrFail(machine, work, node, { exit: 'DONE', output: data })
  }
  if (!task.wait) {
    const untilMs = work.nowMs + node.timeoutMs
    emit(
      work,
      'wait.started',
      signal === undefined ? { state: node.name, untilMs } : { state: node.name, signal, untilMs },
    )
    return false
  }
  if (work.nowMs < task.wait.untilMs) return false
  emit(work, 'deadline.passed', { of: 'wait', state: node.name, deadlineAtMs: task.wait.untilMs })
  return node.delayMs === undefined
    ? leave(machine, work, '$timeout')
    : takeOrFail(machine, work, node, { exit: 'DONE', output: {} })
}

/** Does what a model's answer asks for, as far as its state allows; refuses the rest, as facts. */
function obey(machine: Machine, work: Draft, answer: Answer, turn: number): void {
  const node = machine.states.get(work.task.state)
  if (node?.kind !== 'model') return
  const asked = read(machine, node, answer.content, answer.finish)
  for (const refusal of asked.refusals) refuse(work, { ...refusal, turn })
  for (const { index, tool, input } of asked.calls) {
    const { usage, stepsMax } = work.task
    if (usage.steps < stepsMax) callTool(work, tool, usage.steps + 1, input, tool.timeoutMs, index)
    else
      refuse(work, {
        reason: 'step-limit',
        asked: tool.name,
        correction: `Refused: the task has used its ${stepsMax} steps.`,
        turn,
        index,
      })
  }
  if (asked.exit) {
    const { name: exit, output, index } = asked.exit
    take(machine, work, node, { exit, output }, { turn, index })
  }
}

// ---- People --------------------------------------------------------------------------------------------------------

/** What a human decided about an escalation or a doubt. */
function obeyHuman(machine: Machine, work: Draft): boolean {
  const { task } = work
  const item = task.item!
  if (!item.answer) return false
  const { decision, by, data } = item.answer
  const doubted = item.step === undefined ? undefined : task.doubts.get(item.step)
  if (decision === 'end') {
    emit(work, 'task.ended', { outcome: item.exit ?? '$error', status: 'failed' })
  } else if (doubted?.kind === 'tool' && decision === 'done') {
    emit(work, 'tool.answered', {
      step: doubted.step,
      attempt: doubted.attempt,
      tool: doubted.tool,
      result: data ?? null,
      latencyMs: 0,
      by,
    })
  } else if (doubted?.kind === 'tool') {
    const timeoutMs = machine.tools.get(doubted.tool)?.timeoutMs ?? defaults.toolTimeoutMs
    permitAgain(machine, work, doubted, work.nowMs + timeoutMs)
  } else {
    const node = machine.states.get(task.state)!
    if (item.exit === '$limit') {
      emit(work, 'limit.raised', { limit: 'steps', max: task.usage.steps + machine.stepsMax, by })
    }
    const visits = item.exit === '$visits' ? 0 : (task.visits.get(task.state) ?? 0)
    emit(work, 'state.entered', { state: node.name, kind: node.kind, visit: visits + 1 })
  }
  return true
}

// ---- The author's functions ----------------------------------------------------------------------------------------

/** Calls a function of the machine's author. When it throws, that is a fact, and the state leaves by `$error`. */
function ask<T>(work: Draft, what: EventData['function.failed']['what'], call: () => T): T | undefined {
  try {
    return call()
  } catch (thrown) {
    emit(work, 'function.failed', { what, class: 'error', message: messageOf(thrown) })
    return undefined
  }
}

function render(text: string | ((given: { context: any }) => string), given: { context: JsonObject }): string {
  const rendered = typeof text === 'string' ? text : text(given)
  if (typeof rendered !== 'string') throw new Error(`it returned ${typeof rendered}, not a text`)
  return rendered.toWellFormed()
}

/** Reads what a function or a mapper answered with. Throws when it is neither an exit nor an exit with an output. */
export function leavingOf(answer: Leaving): Leave {
  if (typeof answer === 'string') return { exit: answer, output: {} }
  const output = toJson(answer?.output ?? {})
  if (typeof answer?.exit !== 'string') throw new Error('it must answer with an exit, or with { exit, output }')
  if (!output.ok) throw new Error(`its output: ${output.problem}`)
  return { exit: answer.exit, output: output.value }
}
