// Here every step is judged before it is taken. Given a machine, a task and a time, these functions say what happens
// next, as events; they call nothing and wait for nothing. A worker calls `resume` when it takes a task over, `settle`
// with what came of a permitted step, and `proceed` to be told what to do next: either the task has open steps that
// are now permitted, or it waits, or it has ended.

import { ask, jsonOf, leavingOf, render } from './author.ts'
import { callOffLate, moveAgent } from './child.ts'
import { climb, closeExpired, isPending, settleApprovals, want } from './consent.ts'
import { emit, type Draft } from './draft.ts'
import type { EventData } from './event.ts'
import { leaveGate } from './gate.ts'
import { toJson, type Json } from './json.ts'
import { clear, labelled } from './label.ts'
import { charge, countable, type Charged } from './ledger.ts'
import { defaults, raisable, type RaisableLimit } from './limits.ts'
import type { Machine, Node } from './machine.ts'
import type { Answer, Failure, TokenUsage } from './model.ts'
import {
  askModel,
  callAnew,
  ceiling,
  chargeFor,
  fail,
  failOrRetry,
  failureExit,
  judge,
  judgeSoftLine,
  retryDue,
  runAgain,
  undone,
  until,
} from './permission.ts'
import { seenBy } from './reading.ts'
import { read } from './refusal.ts'
import { validate } from './schema.ts'
import { rollBack } from './rollback.ts'
import { childrenOf, deadlineAtMs, isEnded, isIdle, isUndo, lastStep, type Turn, type Visit } from './task.ts'
import { timeMs } from './time.ts'
import {
  askBudget,
  clashOf,
  end,
  enterAnew,
  escalate,
  itemId,
  leave,
  reach,
  reading,
  refuse,
  refuseRead,
  take,
  takeOrFail,
  usedOf,
  type Leave,
} from './transition.ts'
import { isRoot, ledgerFor } from './tree.ts'
import { systemText } from './window.ts'

/** How an attempt ended. Whatever was thrown has become a failure. */
export type Ending =
  | { readonly kind: 'model'; readonly answer: Answer }
  | { readonly kind: 'tool'; readonly result: Json }
  /** The tool said that the call before was not done. */
  | { readonly kind: 'undone' }
  | { readonly kind: 'function'; readonly leaving: Leave }
  | { readonly kind: 'failed'; readonly failure: Failure }

/** What came of one attempt of a step. */
export type Outcome = Ending & {
  readonly step: number
  readonly attempt: number
  readonly latencyMs: number
  /** Context keys that a function asked for and may not read. */
  readonly denied?: readonly string[]
}

type NodeOf<Kind extends Node['kind']> = Extract<Node, { kind: Kind }>

// ---- A worker goes on ----------------------------------------------------------------------------------------------

/**
 * Takes a task over from a worker that went away: a step that was permitted and has no outcome is tried again under
 * the same key, or, when that could do twice what was meant once, asked after, or becomes a doubt.
 */
export function resume(machine: Machine, work: Draft): void {
  for (const step of work.task.open.values()) {
    // Nobody here was at work for a child: others are.
    if (step.kind === 'child') continue
    const burned = chargeFor(work, step)
    const lost = { step: step.step, attempt: step.attempt }
    emit(work, 'step.lost', burned ? { ...lost, charge: burned.charge } : lost, burned ? burned.costMicros : 0)
    leaveGate(machine, work, step, { class: 'lost', message: '' })
    const may = step.attempt < defaults.attempts
    if (step.kind === 'tool' && !step.idempotent) {
      const asks = may && machine.tools.get(step.tool)?.tool.reconcile !== undefined
      if (!asks) emit(work, 'tool.doubted', { step: step.step, attempt: step.attempt, tool: step.tool })
    } else if (work.nowMs >= step.deadlineAtMs && !isUndo(step)) {
      fail(work, step, { class: 'timeout', message: 'The deadline passed while no worker had the task.' })
    } else if (!may) {
      emit(work, 'limit.reached', { limit: 'attempts', max: defaults.attempts, state: work.task.state })
      fail(work, step, {
        class: 'lost',
        message: `The worker went away ${step.attempt} times while it performed this.`,
      })
    }
  }
}

/**
 * Records what came of an attempt. An outcome of a step that is no longer open was decided without: what is left of it
 * is a failure that nobody waits for, and it is dropped; a result goes to `late`.
 */
export function settle(machine: Machine, work: Draft, outcome: Outcome): void {
  const { step: number, attempt, latencyMs } = outcome
  const step = work.task.open.get(number)
  if (!step || step.kind === 'child' || step.attempt !== attempt) {
    late(work, outcome)
    return
  }
  for (const key of outcome.denied ?? []) refuseRead(work, { name: work.task.state }, key)
  if (outcome.kind === 'failed') {
    failOrRetry(machine, work, step, outcome.failure, latencyMs)
    return
  }
  if (outcome.kind === 'model' && step.kind === 'model') {
    const { provider, modelId, content, finish } = outcome.answer
    const usage = countable(outcome.answer.usage)
    const { charge, costMicros } = chargeFor(work, step, usage, modelId)!
    const answered = { step: number, attempt, turn: step.turn, provider, modelId, content, finish, usage, charge }
    emit(work, 'model.answered', { ...answered, latencyMs, ...labelled(work.task.visit?.label ?? clear) }, costMicros)
  } else if (outcome.kind === 'undone' && step.kind === 'tool') {
    undone(work, step, latencyMs)
  } else if (outcome.kind === 'tool' && step.kind === 'tool') {
    emit(work, 'tool.answered', {
      step: number,
      attempt,
      tool: step.tool,
      result: outcome.result,
      latencyMs,
      ...(step.reconciles ? { by: 'reconcile' } : {}),
      ...(step.answerLabel ? { label: step.answerLabel } : {}),
    })
  } else if (outcome.kind === 'function') {
    const clash = clashOf(machine, work, outcome.leaving)
    if (clash !== undefined) {
      runAgain(work, step, clash, latencyMs)
      return
    }
    emit(work, 'function.returned', { step: number, attempt, ...outcome.leaving, latencyMs })
  }
  leaveGate(machine, work, step)
}

/**
 * Records the result of an attempt that was given up, because its deadline passed or its worker lost the task: it is kept
 * and what it used is counted, but it is not applied. Works on any task, also one that has ended.
 */
export function late(work: Draft, outcome: Outcome): void {
  const { step, attempt, latencyMs, kind } = outcome
  if (kind === 'failed' || kind === 'undone') return
  const came = { step, attempt, kind, latencyMs }
  if (kind === 'tool') emit(work, 'step.late', { ...came, result: outcome.result })
  else if (kind === 'function') emit(work, 'step.late', { ...came, result: { ...outcome.leaving } })
  else {
    const { content, modelId } = outcome.answer
    const usage = countable(outcome.answer.usage)
    // Before its worker was found gone it still has its reservation, and nothing is charged for it afterwards.
    const asked = work.task.open.get(step)
    const settled = asked?.attempt === attempt ? chargeFor(work, asked, usage, modelId) : undefined
    const charged = settled ?? correction(work, outcome, usage, modelId)
    const data = { ...came, result: content as unknown as Json, usage, ...(charged ? { charge: charged.charge } : {}) }
    emit(work, 'step.late', data, settled ? settled.costMicros : (charged?.costMicros ?? 0))
  }
}

/** What a late answer adds to, or takes from, the estimate that its attempt was charged. */
function correction(work: Draft, { step, attempt }: Outcome, usage: TokenUsage, modelId: string): Charged | undefined {
  const { task, terms } = work
  const before = task.estimated.get(`${step}.${attempt}`)
  if (!before) return undefined
  const { inputTokens, outputTokens, priceSource } = before.charge
  const source = priceSource ? { priceSource } : {}
  const held = { inputTokens, outputTokens, costMicros: before.costMicros, ...source }
  const model = before.model
  const { charge: now, costMicros } = charge(ledgerFor(work), held, usage, (billed) =>
    terms.price(model, billed, modelId),
  )
  return {
    costMicros: costMicros === null ? null : costMicros - (before.costMicros ?? 0),
    charge: { ...now, inputTokens: now.inputTokens - inputTokens, outputTokens: now.outputTokens - outputTokens },
  }
}

/** Goes on until a step is permitted, or the task waits, or it has ended. */
export function proceed(machine: Machine, work: Draft): void {
  const { task } = work
  // A task moves at most this often without performing anything; a machine whose routes form a circle stops here.
  const hopsMax = 10 + 2 * machine.states.size
  for (let hops = 0; !isEnded(task); hops += 1) {
    if (hops >= hopsMax && (!task.item || task.item.answer)) {
      emit(work, 'limit.reached', { limit: 'hops', max: hopsMax, state: task.state })
      escalate(machine, work, '$stuck')
      return
    }
    const decided = work.events.length
    if (!advance(machine, work)) return
    // A signal that was taken is progress: a state may work off as many as have come.
    if (work.events.slice(decided).some(({ type }) => type === 'signal.consumed')) hops = 0
  }
}

/** One thing after the other: people first, then the task's own end, then what is to be tried again, then the state. */
function advance(machine: Machine, work: Draft): boolean {
  const { task, nowMs } = work
  if (task.rollback) return rollBack(machine, work, task.rollback)
  if (task.item && task.item.kind !== 'question') {
    closeExpired(work)
    return obeyHuman(machine, work)
  }
  callOffLate(work)
  if (task.parent && isIdle(task) && nowMs >= task.parent.deadlineAtMs) return end(work, '$timeout', 'failed')
  if (isIdle(task) && !task.expired && nowMs >= deadlineAtMs(task)) {
    return reach(machine, work, 'duration', task.limits.durationMs, '$limit')
  }
  if (task.delayed.size > 0) {
    const moved = retryDue(machine, work)
    if (moved !== undefined) return moved
  }
  if (task.approvals.size > 0) {
    const moved = settleApprovals(machine, work)
    if (moved !== undefined) return moved
  }
  if (isRoot(task) && isIdle(task) && !task.item) {
    const stopped = judgeTree(machine, work)
    if (stopped !== undefined) return stopped
  }
  // Children of an agent state come and go; what a model has asked for is waited for, whole.
  const waits = task.visit?.kind === 'agent' ? !isIdle(task) : task.open.size > 0
  return !waits && task.delayed.size === 0 && move(machine, work)
}

/** The root answers for the budget of its tree, also while it does nothing itself. */
function judgeTree(machine: Machine, work: Draft): boolean | undefined {
  const { task, terms } = work
  const { kind } = machine.states.get(task.state)!
  if (!terms.tree || !task.visit || kind === 'final') return undefined
  const stopped = judgeSoftLine(machine, work)
  if (stopped !== undefined) return stopped
  const { short, max } = terms.tree
  if (!short) return undefined
  const ceiling = task.limits[raisable[short]]
  // Nobody is short any more who was below what has been left, or under a ceiling that was raised a moment ago.
  const isNow = childrenOf(task).length > 0 && max[short] === ceiling
  return isNow ? reach(machine, work, short, ceiling ?? 0, '$limit') : undefined
}

/** One move. False when there is nothing to be done now. */
function move(machine: Machine, work: Draft): boolean {
  const { task } = work
  const node = machine.states.get(task.state)!
  const { visit } = task
  if (task.doubts.size > 0) return leave(machine, work, '$doubt')
  if (!visit && task.door === 'handovers') return leave(machine, work, '$limit', 'handovers')
  if (!visit) return leave(machine, work, '$visits')
  if (node.kind !== 'final') {
    if ((task.entries.get(node.name)?.times ?? 0) > node.repeatsMax) {
      return reach(machine, work, 'repeats', node.repeatsMax, '$stuck')
    }
    if (visit.deadlineAtMs !== undefined && work.nowMs >= visit.deadlineAtMs) {
      emit(work, 'deadline.passed', { of: 'state', state: node.name, deadlineAtMs: visit.deadlineAtMs })
      return leave(machine, work, '$timeout')
    }
  }
  switch (node.kind) {
    case 'final':
      return moveFinal(machine, work, node)
    case 'model':
      return moveModel(machine, work, node, visit)
    case 'tool':
      return moveTool(machine, work, node, visit)
    case 'run':
      return moveRun(machine, work, node, visit)
    case 'human':
      return moveHuman(machine, work, node)
    case 'wait':
      return moveWait(machine, work, node)
    case 'agent':
      return moveAgent(machine, work, node, visit)
  }
}

// ---- The kinds of state --------------------------------------------------------------------------------------------

/** The end. Only a parent is handed something over. */
function moveFinal(machine: Machine, work: Draft, node: NodeOf<'final'>): true {
  const { output: mapper } = node.state
  const status = node.failure ? 'failed' : 'done'
  if (!work.task.parent || !mapper) return end(work, node.name, status)
  const output = ask(work, 'output', () => jsonOf(mapper(reading(machine, work, node))))
  if (output === undefined) return end(work, '$error', 'failed')
  return end(work, node.name, status, { output, ...labelled(seenBy(work.task, node)) })
}

function moveModel(machine: Machine, work: Draft, node: NodeOf<'model'>, visit: Visit): boolean {
  const last = visit.turns.at(-1)
  if (last && !isObeyed(last)) return obey(machine, work, node, last)
  if (visit.ended && 'failure' in visit.ended) return leave(machine, work, failureExit(visit.ended.failure))
  if (visit.refusals >= node.refusalsMax) return reach(machine, work, 'refusals', node.refusalsMax, '$refused')
  if (visit.repeats >= node.repeatsMax) return reach(machine, work, 'repeats', node.repeatsMax, '$stuck')
  if (visit.turns.length >= node.turnsMax) return reach(machine, work, 'turns', node.turnsMax, '$turns')
  const stopped = judge(machine, work)
  if (stopped !== undefined) return stopped
  const step = lastStep(work.task) + 1
  const asked = { step, attempt: 1, turn: visit.turns.length + 1, deadlineAtMs: until(work, node.timeoutMs) }
  if (visit.prompt) return askModel(machine, work, node, asked)
  const user = ask(work, 'prompt', () => render(node.state.prompt, reading(machine, work, node)))
  const prompt = { system: systemText(node), user: user ?? '' }
  return user === undefined || askModel(machine, work, node, { ...asked, prompt, ...labelled(seenBy(work.task, node)) })
}

/** Has everything that an answer asks for been done or refused? */
function isObeyed({ content, results, note }: Turn): boolean {
  const calls = content.flatMap((part, index) => (part.type === 'call' ? [index] : []))
  return calls.length === 0 ? note !== undefined : calls.every((index) => results.has(index))
}

function moveTool(machine: Machine, work: Draft, node: NodeOf<'tool'>, visit: Visit): boolean {
  if (visit.ended) {
    if ('failure' in visit.ended) return leave(machine, work, failureExit(visit.ended.failure))
    const { result } = visit.ended
    const leaving = ask(work, 'exit', () =>
      leavingOf(node.state.exit?.({ ...reading(machine, work, node), result }) ?? 'DONE'),
    )
    return leaving === undefined || takeOrFail(machine, work, node, leaving)
  }
  if (isPending(work)) return false
  const ready = ask(work, 'args', () => {
    const given = node.state.args(reading(machine, work, node))
    const verdict = validate(node.tool.tool.inputSchema, given)
    if (!verdict.ok) throw new Error(`the arguments of ${node.tool.name} do not fit: ${verdict.problem}`)
    return { input: verdict.value, asked: given }
  })
  if (ready === undefined) return true
  const stopped = judge(machine, work, node.tool)
  if (stopped !== undefined) return stopped
  const label = seenBy(work.task, node)
  return want(machine, work, node, { tool: node.tool, ...ready, timeoutMs: node.timeoutMs, label })
}

function moveRun(machine: Machine, work: Draft, node: NodeOf<'run'>, visit: Visit): boolean {
  if (visit.leaving) return takeOrFail(machine, work, node, visit.leaving)
  if (visit.ended && 'failure' in visit.ended) return leave(machine, work, failureExit(visit.ended.failure))
  const stopped = judge(machine, work)
  if (stopped !== undefined) return stopped
  const step = lastStep(work.task) + 1
  const deadline = until(work, node.timeoutMs)
  emit(work, 'function.called', { step, attempt: 1, deadlineAtMs: deadline, ...labelled(seenBy(work.task, node)) })
  return true
}

function moveHuman(machine: Machine, work: Draft, node: NodeOf<'human'>): boolean {
  const { item } = work.task
  if (item) climb(work, item)
  if (work.task.visit?.ended) return leave(machine, work, '$error')
  if (item?.answer) {
    const { decision, data } = item.answer
    // What a person handed over may not fit: then the question is asked again, and the refusal says why.
    return take(machine, work, node, { exit: decision, output: data ?? {} }) || askHuman(machine, work, node)
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
  return askHuman(machine, work, node)
}

function askHuman(machine: Machine, work: Draft, node: NodeOf<'human'>): boolean {
  const { human } = node.state
  const asked = ask(work, 'question', () => {
    const show = toJson(human.show?.(reading(machine, work, node)))
    if (!show.ok) throw new Error(show.problem)
    return { question: render(human.question, reading(machine, work, node)), show: show.value }
  })
  if (asked === undefined) return true
  emit(work, 'human.asked', {
    item: itemId(work),
    kind: 'question',
    state: node.name,
    ...asked,
    options: [...node.exits.keys()].filter((name) => !name.startsWith('$')),
    ...(human.assignee === undefined ? {} : { assignee: human.assignee }),
    ...(node.ladder.length === 0 ? {} : { ladder: node.ladder }),
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
    const schema = machine.signals?.get(signal)
    const verdict = schema ? validate(schema, data) : { ok: true as const, value: data }
    emit(work, 'signal.consumed', { name: signal })
    if (verdict.ok) return takeOrFail(machine, work, node, { exit: 'DONE', output: verdict.value })
    // Who sent it knew no machine. The wait goes on.
    const correction = `Refused: the signal ${signal} does not fit: ${verdict.problem}`
    refuse(work, { reason: 'invalid-signal', asked: signal, correction })
    return true
  }
  if (!task.wait) {
    const ends = endOf(machine, work, node)
    if (ends === undefined) return true
    emit(work, 'wait.started', { state: node.name, ...(signal === undefined ? {} : { signal }), ...ends })
  }
  const { untilMs } = task.wait!
  if (work.nowMs < untilMs) return false
  emit(work, 'deadline.passed', { of: 'wait', state: node.name, deadlineAtMs: untilMs })
  return signal === undefined
    ? takeOrFail(machine, work, node, { exit: 'DONE', output: {} })
    : leave(machine, work, '$timeout')
}

/** When a wait ends that begins now. Undefined: the function that says so has failed. */
function endOf(
  machine: Machine,
  work: Draft,
  node: NodeOf<'wait'>,
): Pick<EventData['wait.started'], 'untilMs' | 'absolute'> | undefined {
  const { until } = node.state.wait
  if (!until) return { untilMs: work.nowMs + node.timeoutMs }
  return ask(work, 'wait', () => {
    const untilMs = timeMs(until(reading(machine, work, node)))
    if (untilMs === undefined) throw new Error('it must answer with a Date, an ISO text with a zone, or milliseconds')
    return { untilMs, absolute: true }
  })
}

/**
 * Does what a model's answer asks for, as far as its state allows; refuses the rest, as facts. A limit may stop it half
 * way: when the limit is raised, it goes on with what was not called yet.
 */
function obey(machine: Machine, work: Draft, node: NodeOf<'model'>, turn: Turn): boolean {
  const { events } = work
  const decided = events.length
  const readsOn = work.task.visit?.cut.headChars !== null
  const asked = read(machine, node, turn.content, turn.finish, readsOn)
  for (const refusal of asked.refusals) {
    const known = refusal.index === undefined ? turn.note !== undefined : turn.results.has(refusal.index)
    if (!known) refuse(work, { ...refusal, turn: turn.turn })
  }
  for (const { index, tool, input, asked: given } of asked.calls) {
    if (turn.results.has(index) || isPending(work, index) || isRunning(work, index)) continue
    // What was counted is performed, also where it still waits before its gate; then the limit has its say.
    const none = work.task.open.size === 0 && work.task.delayed.size === 0
    const stopped = none ? judge(machine, work, tool) : undefined
    if (stopped !== undefined) return stopped
    if (ceiling(work, tool)) return true
    const label = work.task.visit?.label ?? clear
    want(machine, work, node, {
      tool,
      input,
      asked: given,
      timeoutMs: tool.timeoutMs,
      label,
      index,
      turn: turn.turn,
    })
  }
  if (asked.exit) {
    const { name: exit, output, index } = asked.exit
    take(machine, work, node, { exit, output }, { turn: turn.turn, index })
  }
  // A call that waits for a human is no move.
  return events.length > decided
}

/** Is a child at work for this place of the last answer? */
function isRunning({ task }: Draft, index: number): boolean {
  return childrenOf(task).some((child) => child.index === index)
}

// ---- People --------------------------------------------------------------------------------------------------------

/** What a human decided about an escalation, a doubt or a budget. */
function obeyHuman(machine: Machine, work: Draft): boolean {
  const { task } = work
  const { item } = task
  if (!item?.answer) return false
  const { decision, by, data } = item.answer
  const doubted = item.step === undefined ? undefined : task.doubts.get(item.step)
  if (decision === 'end') {
    end(work, item.exit ?? '$error', 'failed')
  } else if (item.limit !== undefined) {
    return decision === 'raise'
      ? raise(machine, work, item.limit, item.answer)
      : finish(machine, work, item.limit, data)
  } else if (doubted?.kind === 'tool' && decision === 'done') {
    emit(work, 'tool.answered', {
      step: doubted.step,
      attempt: doubted.attempt,
      tool: doubted.tool,
      result: data ?? null,
      latencyMs: 0,
      by,
      ...(doubted.answerLabel ? { label: doubted.answerLabel } : {}),
    })
  } else if (doubted?.kind === 'tool') {
    callAnew(machine, work, doubted)
  } else {
    const visits = item.exit === '$visits' ? 0 : (task.visits.get(task.state) ?? 0)
    enterAnew(work, machine.states.get(task.state)!, visits + 1)
  }
  return true
}

type Answered = EventData['human.answered']

/** Raises a ceiling, and goes on where the task stands. */
function raise(machine: Machine, work: Draft, limit: RaisableLimit, { by, reason, data }: Answered): true {
  const { task } = work
  const field = raisable[limit]
  const given = (data as Record<string, number> | undefined)?.[field]
  // What was used already is not given again: a ceiling that is behind is raised from where the task stands.
  const from = Math.max(task.limits[field] ?? 0, usedOf(work, limit))
  const used = isRoot(task) ? { used: usedOf(work, limit) } : {}
  emit(work, 'limit.raised', { limit, max: given ?? from + (task.granted[field] ?? 0), ...used, by, reason })
  if (!task.visit) enterAnew(work, machine.states.get(task.state)!, (task.visits.get(task.state) ?? 0) + 1)
  return true
}

/** Leaves by the exit that a human named; when that cannot be, it is asked again, and the refusal says why. */
function finish(machine: Machine, work: Draft, limit: RaisableLimit, data: Json | undefined): boolean {
  const named = typeof data === 'object' && data !== null && 'exit' in data ? data : {}
  const { exit = '', output = {} } = named as { exit?: Json; output?: Json }
  const node = machine.states.get(work.task.state)!
  return take(machine, work, node, { exit: String(exit), output }) || askBudget(machine, work, limit)
}
