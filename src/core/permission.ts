// A permission is the committed event that lets a step happen: which call, under which key, until when, and how much of
// the budgets is set aside for it. Every step is judged here before it is permitted, also one that is tried again.
// Nothing acts without a permission.

import { emit, type Draft } from './draft.ts'
import type { Effect } from './effect.ts'
import type { EventData, PlannedRetry, QueuedCall } from './event.ts'
import { boundsOfTool, breakerAfter, free, holdOf, keyOfModel, keyOfTool, leaveGate, pass, type Hold } from './gate.ts'
import type { Json } from './json.ts'
import { clear, isClear, join, labelled, type Label } from './label.ts'
import { charge, firstCorrection, reserve, type Charged, type Reservation } from './ledger.ts'
import { defaults, raisable, type RaisableLimit } from './limits.ts'
import type { Machine, MachineTool, Node } from './machine.ts'
import type { Failure, TokenUsage } from './model.ts'
import { isChanged } from './pin.ts'
import type { Bounds } from './quota.ts'
import { draw, planRetry, type RetryPolicy } from './resilience.ts'
import {
  ceilingOf,
  deadlineAtMs,
  isIdle,
  isUndo,
  lastStep,
  type Delayed,
  type OpenStep,
  type PerformedStep,
} from './task.ts'
import { seenBy } from './reading.ts'
import { bindingOf, judgeCall, judgeModel } from './ruling.ts'
import { askBudget, end, go, leave, reach, refuse } from './transition.ts'
import { awaitTree, isRoot, isTreeShort, ledgerAnswered, ledgerFor, pausedBudget, type TreeBudget } from './tree.ts'
import { fit, sizeOf } from './window.ts'

type ToolStep = Extract<OpenStep, { kind: 'tool' }>
type ModelNode = Extract<Node, { kind: 'model' }>

/** When something that begins now and may take `timeoutMs` must have ended: at the latest with its visit and its task. */
export function until({ nowMs, task }: Draft, timeoutMs: number): number {
  return Math.min(nowMs + timeoutMs, task.visit?.deadlineAtMs ?? Infinity, task.expired ? Infinity : deadlineAtMs(task))
}

/**
 * Judges one more step against the ceilings of the task. Undefined: it may be permitted. Otherwise something else was
 * decided instead, and the answer says, as of every move, whether the task goes on.
 */
export function judge(
  machine: Machine,
  work: Draft,
  tool?: MachineTool,
  descends = tool?.child !== undefined,
): boolean | undefined {
  const limit = ceiling(work, tool, descends)
  if (limit) return reach(machine, work, limit, ceilingValue(work, limit), '$limit')
  return judgeSoftLine(machine, work)
}

/** The ceiling that forbids one more step, if one does; of a step that is a child, also those of the tree. */
export function ceiling(
  { task, terms: { tree }, children }: Draft,
  tool?: MachineTool,
  descends = tool?.child !== undefined,
): RaisableLimit | 'depth' | 'descendants' | undefined {
  if (descends && task.limits.depth < 1) return 'depth'
  const below = (tree?.descendants ?? 0) + children.length
  if (descends && below >= (tree?.descendantsMax ?? task.limits.descendants)) return 'descendants'
  return ceilingOf(task, tool?.name)
}

function ceilingValue({ task, terms }: Draft, limit: RaisableLimit | 'depth' | 'descendants'): number {
  if (limit === 'depth') return task.limits.depth
  if (limit === 'descendants') return terms.tree?.descendantsMax ?? task.limits.descendants
  return task.limits[raisable[limit]] ?? 0
}

/** A budget whose soft line is behind stops the task once, before anything more is permitted. */
export function judgeSoftLine(machine: Machine, work: Draft): boolean | undefined {
  const { task } = work
  const { soft, onSoft } = task.limits
  const paused = pausedBudget(work)
  if (paused) return awaitTree(work, paused, 'paused')
  const ledger = ledgerAnswered(work)
  const crossed = (['tokens', 'cost'] as const).filter((limit) => {
    const { max, settled } = ledger[limit]
    return max !== null && settled >= soft * max && !task.neared.has(limit)
  })
  for (const limit of crossed) {
    emit(work, 'limit.neared', { limit, max: ledger[limit].max!, used: ledger[limit].settled, soft })
  }
  if (crossed[0] === undefined || onSoft === task.state) return undefined
  if (onSoft === 'pause') return askBudget(machine, work, crossed[0])
  if (onSoft !== 'terminate') return go(machine, work, '$limit', onSoft)
  return end(work, '$limit', 'failed')
}

// ---- Models --------------------------------------------------------------------------------------------------------

/** A turn that is to be asked for. */
export interface Asked {
  readonly step: number
  readonly attempt: number
  readonly turn: number
  readonly deadlineAtMs: number
  readonly prompt?: NonNullable<EventData['model.called']['prompt']>
  /** Of what the prompt was made of. */
  readonly label?: Label
  /** The largest request that may be made, in estimated tokens, because a larger one was refused. */
  readonly inputTokensMax?: number | undefined
}

/**
 * Permits a call of the first model of the chain, from `first` on, for which the worst case fits into the budgets. A
 * model without a price is passed over where money has a ceiling.
 */
export function askModel(
  machine: Machine,
  work: Draft,
  node: ModelNode,
  asked: Asked,
  first = node.models[0]!,
): boolean {
  const { task, terms } = work
  const { step, deadlineAtMs: deadline } = asked
  let short: 'tokens' | 'cost' | 'window' | 'policy' = 'cost'
  const label = join(task.visit?.label ?? clear, asked.label)
  if (asked.prompt) tellChanged(work, node)
  let held: (Hold & { readonly model: string }) | undefined
  const passed: string[] = []
  for (const model of node.models.slice(Math.max(0, node.models.indexOf(first)))) {
    const ruling = judgeModel(machine, work, node, model, label)
    if (ruling) {
      short = 'policy'
      const correction = `Refused: ${ruling.reason}.`
      refuse(work, { reason: 'policy-denied', asked: model, correction, rule: ruling.rule })
      continue
    }
    const caller = { key: keyOfModel(model), bounds: terms.bounds(model), step, deadlineAtMs: deadline }
    const hold = holdOf(work, caller)
    if (hold) {
      passed.push(model)
      if (!held || hold.untilMs < held.untilMs) held = { ...hold, model }
      // A place will be free; a model that fails is left alone, and the next is asked.
      if (hold.reason === 'busy') break
      continue
    }
    const ready = reserveFor(work, node, asked, model)
    if (typeof ready === 'object') {
      const { inputTokensMax: _, ...call } = asked
      if (ready.cut) emit(work, 'window.cut', { state: node.name, model, ...ready.cut })
      pass(work, caller)
      const { reserved } = ready
      const over = passed.length === 0 ? {} : { passed }
      emit(work, 'model.called', { ...call, model, ...over, outputTokensMax: reserved.outputTokens, reserved })
      return true
    }
    if (ready === 'price') {
      const give = `prices: { ${JSON.stringify(model)}: { inputUsdPerMillion: …, outputUsdPerMillion: … } }`
      const correction = `Refused: money has a ceiling and the model ${model} has no price. Give it one: ${give}.`
      refuse(work, { reason: 'price-unknown', asked: model, correction })
    } else short = ready
  }
  if (held) {
    const { model } = held
    const call = { kind: 'model', turn: asked.turn, model, deadlineAtMs: deadline } as const
    const shown = asked.prompt ? { prompt: asked.prompt, ...(asked.label ? { label: asked.label } : {}) } : {}
    queue(work, held, step, { call, ...shown }, deadline)
    return !task.delayed.has(step)
  }
  if (short === 'policy') return leave(machine, work, '$refused')
  if (short === 'window') return reach(machine, work, 'window', terms.window(node.models[0]!), '$limit')
  return lack(machine, work, node, short)
}

/**
 * A budget has too little left. Where it is the tree's, what others hold may come back; and a state that has no way to
 * go waits for the root to decide.
 */
function lack(machine: Machine, work: Draft, node: ModelNode, limit: TreeBudget): boolean {
  const { task, terms } = work
  if (isTreeShort(work, limit)) {
    if (terms.tree!.others[limit].reserved > 0) return awaitTree(work, limit, 'reserved')
    if (!isRoot(task) && !node.exits.has('$limit')) return awaitTree(work, limit, 'short')
  }
  return reach(machine, work, limit, ledgerFor(work)[limit].max ?? 0, '$limit')
}

/** Says once a visit which tools are not shown because their text is not the one that was pinned. */
function tellChanged(work: Draft, { tools }: ModelNode): void {
  for (const tool of tools.values()) {
    if (!isChanged(tool, work.terms.hash)) continue
    const correction = `Refused: the text of ${tool.name} is not the one that was agreed to; it is not shown.`
    refuse(work, { reason: 'tool-changed', asked: tool.name, correction, rule: 'pin' })
  }
}

/** What a call may be made with: a reservation, and what had to be cut to fit the window. */
interface Ready {
  readonly reserved: Reservation
  readonly cut: Omit<EventData['window.cut'], 'state' | 'model'> | undefined
}

function reserveFor(
  work: Draft,
  node: ModelNode,
  asked: Asked,
  model: string,
): Ready | 'tokens' | 'cost' | 'price' | 'window' {
  const { task, terms } = work
  const visit = asked.prompt ? { ...task.visit!, prompt: asked.prompt } : task.visit!
  const correction = task.corrections.get(model) ?? firstCorrection
  const windowTokens = Math.min(node.windowTokens, terms.window(model))
  // The window is in the model's own tokens, the request in estimated ones.
  const tokensEach = Math.max(1, correction)
  const inputBeside = (outputTokens: number): number =>
    Math.min(Math.floor((windowTokens - outputTokens) / tokensEach), asked.inputTokensMax ?? Infinity)
  // Where not even what is pinned fits beside the longest answer, the answer makes room, down to its floor.
  let inputTokensMax = inputBeside(node.outputTokensMax)
  let fitted = inputTokensMax > 0 ? fit(visit, node, inputTokensMax) : undefined
  if (!fitted) {
    inputTokensMax = inputBeside(node.outputTokensMin)
    fitted = fit(visit, node, inputTokensMax)
  }
  if (!fitted) return 'window'
  const wanted = {
    estimate: fitted.tokens,
    correction,
    outputTokensMax: Math.min(node.outputTokensMax, windowTokens - Math.ceil(fitted.tokens * tokensEach)),
    outputTokensMin: node.outputTokensMin,
  }
  const reserved = reserve(ledgerFor(work), wanted, (usage) => terms.price(model, usage))
  if (typeof reserved === 'string') return reserved
  if (fitted.cut === visit.cut) return { reserved, cut: undefined }
  const reason = asked.inputTokensMax === undefined ? 'window' : 'overflow'
  const tokensBefore = sizeOf(visit, node)
  return { reserved, cut: { reason, inputTokensMax, tokensBefore, ...fitted.cut, tokens: fitted.tokens } }
}

/** What an attempt of a model call is charged; without `usage`, what was set aside for it. */
export function chargeFor(work: Draft, step: OpenStep, usage?: TokenUsage, modelId?: string): Charged | undefined {
  if (step.kind !== 'model' || !step.reserved) return undefined
  return charge(ledgerFor(work), step.reserved, usage, (billed) => work.terms.price(step.model, billed, modelId))
}

// ---- Tools ---------------------------------------------------------------------------------------------------------

/** Permits a call of a tool. The key is the same for every attempt of the step, and of no other step. */
export function callTool(
  work: Draft,
  tool: MachineTool,
  input: Json,
  timeoutMs: number,
  {
    label = clear,
    ...given
  }: { label?: Label } & Pick<EventData['tool.called'], 'index' | 'rule' | 'approval' | 'binding'>,
): void {
  const step = lastStep(work.task) + 1
  const call = {
    tool: tool.name,
    idempotencyKey: `${work.task.id}.${step}`,
    idempotent: tool.idempotent,
    deadlineAtMs: until(work, timeoutMs),
    ...labelled(label),
    ...answerLabelled(join(label, tool.label)),
    ...given,
  }
  permitTool(work, tool.bounds, step, input, call, effectOf(tool))
}

/**
 * Permits a call that takes back what an earlier step did. Its key is that step's own and ends in `undo`, whichever
 * rollback asks, so that it is done once. No ceiling of the task forbids it: a task at its limit must be able to go back.
 */
export function callUndo(machine: Machine, work: Draft, effect: Effect): void {
  const { tool, step: undoes, idempotencyKey } = effect
  permitTool(work, boundsOfTool(machine, tool), lastStep(work.task) + 1, effect.arguments, {
    tool,
    idempotencyKey: `${idempotencyKey}.undo`,
    idempotent: true,
    deadlineAtMs: work.nowMs + timeoutOf(machine, tool),
    undoes,
  })
}

/** Permits the first attempt of a tool's step, or puts it before its gate. */
function permitTool(
  work: Draft,
  bounds: Bounds,
  step: number,
  input: Json,
  call: Omit<Extract<QueuedCall, { kind: 'tool' }>, 'kind'>,
  acts: ReturnType<typeof effectOf> = {},
): void {
  const { tool, deadlineAtMs } = call
  const caller = { key: keyOfTool(tool), bounds, step, deadlineAtMs }
  const held = holdOf(work, caller)
  if (held) {
    queue(work, held, step, { call: { kind: 'tool', ...call }, arguments: input }, deadlineAtMs)
    return
  }
  pass(work, caller)
  emit(work, 'tool.called', { step, attempt: 1, arguments: input, ...call, ...acts })
}

/** What a tool does outside, as its call says it. */
function effectOf({ effect, tool }: MachineTool): Pick<EventData['tool.called'], 'effect' | 'undoable'> {
  if (effect === 'read') return {}
  return tool.undo === undefined ? { effect } : { effect, undoable: true }
}

function answerLabelled(answerLabel: Label): { readonly answerLabel?: Label } {
  return isClear(answerLabel) ? {} : { answerLabel }
}

/** The same call under the same key: made again, or only asked after. */
function callAgain(machine: Machine, work: Draft, step: ToolStep, reconciles: boolean, deadlineAtMs: number): void {
  const { tool, arguments: input, idempotencyKey, index, label, answerLabel, rule, approval, binding, undoes } = step
  const known = machine.tools.get(tool)
  const caller = { key: keyOfTool(tool), bounds: boundsOfTool(machine, tool), step: step.step, deadlineAtMs }
  const held = holdOf(work, caller)
  if (held) {
    queue(work, held, step.step, {}, deadlineAtMs)
    return
  }
  pass(work, caller)
  emit(work, 'tool.called', {
    step: step.step,
    attempt: step.attempt + 1,
    tool,
    arguments: input,
    idempotencyKey,
    idempotent: undoes === undefined ? (known?.idempotent ?? step.idempotent) : true,
    deadlineAtMs,
    ...(index === undefined ? {} : { index }),
    ...(label === undefined ? {} : { label }),
    ...(answerLabel === undefined ? {} : { answerLabel }),
    ...(rule === undefined ? {} : { rule }),
    ...(approval === undefined ? {} : { approval }),
    ...(binding === undefined ? {} : { binding }),
    ...(reconciles ? { reconciles } : {}),
    ...(undoes !== undefined ? { undoes } : known ? effectOf(known) : {}),
  })
}

/**
 * Puts a step before its gate until it may pass. Where that could only be behind its deadline it has failed without
 * having been asked.
 */
function queue(
  work: Draft,
  { key, reason, untilMs }: Hold,
  step: number,
  given: Pick<EventData['step.queued'], 'call' | 'arguments' | 'prompt' | 'label'>,
  deadlineAtMs: number,
): void {
  const waiting = work.task.delayed.get(step)
  const own = work.task.doubts.has(step) ? { deadlineAtMs } : {}
  const isBusy = reason === 'busy' || reason === 'probing'
  // What is owed time has its deadline from when it passes.
  const endsAtMs = isBusy && waiting !== undefined && isOwedTime(waiting) ? Infinity : deadlineAtMs
  // Looked at early, and in vain: it is in the log already that it waits.
  if (waiting?.queued && waiting.atMs > work.nowMs && waiting.atMs <= untilMs) return
  emit(work, 'step.queued', {
    step,
    key,
    reason,
    untilMs: Math.min(untilMs, endsAtMs),
    ...own,
    ...(waiting ? {} : given),
  })
  // A free place, or the end of a probe, may come earlier; the end of a cool-down or a pause does not.
  if (isBusy || untilMs < deadlineAtMs) return
  const until = new Date(untilMs).toISOString()
  const message = `${key} could not be asked: ${sayClosure[reason]} until ${until}, and the deadline is before that.`
  fail(work, work.task.delayed.get(step)!.step, { class: 'unavailable', message, unbilled: true })
}

const sayClosure = {
  open: 'its breaker is open',
  paused: 'it asked for quiet',
} as const

/**
 * Calls a tool again because a human said that it was not done: with time of its own, also where its visit has none left.
 */
export function callAnew(machine: Machine, work: Draft, doubted: ToolStep): void {
  const { nowMs, task } = work
  if (isRefusedNow(machine, work, doubted)) return
  const endMs = task.expired ? Infinity : deadlineAtMs(task)
  callAgain(machine, work, doubted, false, Math.min(nowMs + timeoutOf(machine, doubted.tool), endMs))
}

function timeoutOf(machine: Machine, tool: string): number {
  return machine.tools.get(tool)?.timeoutMs ?? defaults.toolTimeoutMs
}

// ---- Trying again --------------------------------------------------------------------------------------------------

/**
 * Permits again what is due: the same step, the same key, the same deadline, a new number of the attempt. A step whose
 * deadline has passed in the meantime has failed. Undefined when nothing else was decided.
 */
export function retryDue(machine: Machine, work: Draft): boolean | undefined {
  const { task } = work
  const due = [...task.delayed.values()].filter(({ atMs, queued }) => queued || atMs <= work.nowMs)
  for (const delayed of due) {
    const { step } = delayed
    if (work.nowMs >= step.deadlineAtMs && !isOwedTime(delayed)) {
      const message = `The deadline passed before it could be ${step.attempt === 0 ? 'asked' : 'tried again'}.`
      fail(work, step, { class: 'timeout', message })
      continue
    }
    // What is in flight beside this step was judged together with it.
    const stopped = isIdle(task) && !task.rollback ? judgeSoftLine(machine, work) : undefined
    if (stopped !== undefined) return stopped
    const moved = permitAgain(machine, work, delayed)
    if (moved !== undefined) return moved
  }
  return undefined
}

/**
 * What only asks, or takes back, and was begun, is owed an answer: each of its attempts has a deadline of its own, also where
 * its visit has no time left.
 */
function isOwedTime({ step, reconciles }: Delayed): boolean {
  return reconciles || (isUndo(step) && step.attempt > 0)
}

function permitAgain(machine: Machine, work: Draft, delayed: Delayed): boolean | undefined {
  const { step, model, reconciles, inputTokensMax } = delayed
  const { step: number, deadlineAtMs: deadline } = step
  const attempt = step.attempt + 1
  if (step.kind === 'tool') {
    if (!reconciles && isRefusedNow(machine, work, step)) return undefined
    const freshAtMs = work.nowMs + timeoutOf(machine, step.tool)
    callAgain(machine, work, step, reconciles, isOwedTime(delayed) ? freshAtMs : deadline)
  } else if (step.kind === 'function') {
    const node = machine.states.get(work.task.state)
    const label = node ? seenBy(work.task, node) : clear
    emit(work, 'function.called', { step: number, attempt, deadlineAtMs: deadline, ...labelled(label) })
  } else if (step.kind === 'model') {
    const node = machine.states.get(work.task.state)
    if (node?.kind !== 'model') return undefined
    const asked = { step: number, attempt, turn: step.turn, deadlineAtMs: deadline, inputTokensMax }
    const first = step.attempt === 0 ? undefined : (model ?? step.model)
    const before = work.task.open.size
    const moved = askModel(machine, work, node, asked, first)
    const settled = work.task.open.size > before || work.task.delayed.has(number)
    return settled ? undefined : moved
  }
  return undefined
}

/** Refuses to call a tool again where something is against it now: then its step has failed. To take back is never refused. */
function isRefusedNow(machine: Machine, work: Draft, step: ToolStep): boolean {
  const against = isUndo(step) ? undefined : judgeAgain(machine, work, step)
  if (against === undefined) return false
  refuse(work, { reason: 'policy-denied', asked: step.tool, ...against })
  fail(work, step, { class: 'invalid-request', message: against.correction, unbilled: true })
  return true
}

/** What is against a call now that was permitted before: it waited, and the rules, or the tool, may be others. */
function judgeAgain(
  machine: Machine,
  work: Draft,
  step: ToolStep,
): { readonly rule: string; readonly correction: string } | undefined {
  const node = machine.states.get(work.task.state)
  const tool = machine.tools.get(step.tool)
  if (!node || !tool) return undefined
  const { verdict, rule, reason } = judgeCall(machine, work, node, tool, step.arguments, step.label ?? clear)
  if (verdict === 'deny') return { rule, correction: `Refused: ${reason}.` }
  if (verdict === 'allow') return undefined
  const agreed = step.binding !== undefined && step.binding === bindingOf(machine, work, step.tool, step.arguments)
  return agreed ? undefined : { rule, correction: `Refused: ${reason}, and nobody has agreed to it under this policy.` }
}

/** Plans another try of a failed step: by the policy of its state or tool, else with the next model of the chain. */
function plan(machine: Machine, work: Draft, step: PerformedStep, failure: Failure): PlannedRetry | undefined {
  const node = machine.states.get(work.task.state)
  const { nowMs } = work
  const policy = step.kind === 'tool' ? retryOf(machine, step) : node?.kind === 'model' ? node.retry : undefined
  // Of what the task did not come to before it goes back, nothing is begun again.
  if (work.task.rollback && !isUndo(step)) return undefined
  if (!policy || step.kind === 'function') return undefined
  const random = draw(work.task.seed, step.step, step.attempt)
  const { failures, delayMs: previousMs, deadlineAtMs: deadline } = step
  const retry = planRetry(policy, { failure, failures, previousMs, deadlineAtMs: deadline, nowMs, random })
  const model = node?.kind === 'model' && step.kind === 'model' ? nextModel(node, step.model) : undefined
  // A model whose breaker has opened is left alone, where another may be asked now.
  const leftAlone = model !== undefined && breakerAfter(machine, work, step, failure).status === 'open'
  if (retry && !leftAlone) return { ...retry, atMs: nowMs + retry.delayMs }
  if (step.kind !== 'model' || node?.kind !== 'model' || failure.class === 'timeout' || nowMs >= deadline)
    return undefined
  if (failure.class === 'context-overflow' && !step.smaller && step.reserved && work.task.visit) {
    // Half of what was too large; where nothing is left to be cut, the next model may have a larger window.
    const inputTokensMax = Math.floor(step.reserved.estimate / 2)
    if (fit(work.task.visit, node, inputTokensMax)) {
      return { delayMs: 0, atMs: nowMs, reason: 'smaller', inputTokensMax }
    }
  }
  return model === undefined ? undefined : { delayMs: 0, atMs: nowMs, reason: 'fallback', model }
}

/** A tool that may not be called twice may be told to take back as often as any. */
function retryOf(machine: Machine, { tool, undoes }: ToolStep): RetryPolicy | undefined {
  const known = machine.tools.get(tool)
  if (!known || undoes === undefined || known.idempotent) return known?.retry
  return { ...known.retry, attempts: defaults.toolAttempts }
}

function nextModel(node: ModelNode, model: string): string | undefined {
  return node.models[node.models.indexOf(model) + 1]
}

/**
 * Records what a failed attempt leads to: another try at a time, the next model of the chain, a doubt where nobody knows
 * whether a tool has acted, or the failure of the step.
 */
export function failOrRetry(
  machine: Machine,
  work: Draft,
  step: PerformedStep,
  failure: Failure,
  latencyMs: number,
): void {
  // What never began has not acted; but to ask after an attempt and get no answer says nothing about that attempt.
  const begun = failure.unbilled !== true
  const cut = begun && (failure.class === 'timeout' || failure.class === 'abort')
  const unknown = cut || (step.kind === 'tool' && step.reconciles)
  if (step.kind === 'tool' && !step.idempotent && unknown) {
    const asks = !step.reconciles && machine.tools.get(step.tool)?.tool.reconcile !== undefined
    if (asks) fail(work, step, failure, latencyMs, { delayMs: 0, atMs: work.nowMs, reason: 'reconcile' })
    else emit(work, 'tool.doubted', { step: step.step, attempt: step.attempt, tool: step.tool })
  } else fail(work, step, failure, latencyMs, plan(machine, work, step, failure))
  leaveGate(machine, work, step, failure)
}

const clashPolicy = { attempts: Infinity, baseMs: defaults.clashBaseMs, capMs: defaults.clashCapMs }

/**
 * A function wrote on top of what another task has changed since it looked: it runs again a little later, each time a
 * little more, until its deadline, so that of many who write one key each comes to its turn.
 */
export function runAgain(work: Draft, step: PerformedStep, message: string, latencyMs: number): void {
  const { nowMs, task } = work
  const failure: Failure = { class: 'conflict', message }
  const { failures, delayMs: previousMs, deadlineAtMs: deadline } = step
  const random = draw(task.seed, step.step, step.attempt)
  const retry = planRetry(clashPolicy, { failure, failures, previousMs, deadlineAtMs: deadline, nowMs, random })
  fail(work, step, failure, latencyMs, retry && { ...retry, atMs: nowMs + retry.delayMs })
}

/** A tool said that it was not done: it is called again, as often as a step may be lost. */
export function undone(work: Draft, step: ToolStep, latencyMs: number): void {
  const { step: number, attempt, tool } = step
  if (!work.task.rollback && (attempt >= defaults.attempts || work.nowMs >= until(work, 1))) {
    emit(work, 'tool.doubted', { step: number, attempt, tool })
    return
  }
  const message = 'It was not done.'
  const again = { delayMs: 0, atMs: work.nowMs, reason: 'undone' } as const
  fail(work, step, { class: 'lost', message }, latencyMs, work.task.rollback ? undefined : again)
}

/** Records that an attempt failed, and what it burned. */
export function fail(work: Draft, step: PerformedStep, failure: Failure, latencyMs = 0, planned?: PlannedRetry): void {
  const { step: number, attempt } = step
  free(work, number)
  const retry = planned === undefined ? {} : { retry: planned }
  const { class: kind, message, status, unbilled } = failure
  const failed = { step: number, attempt, class: kind, message, latencyMs }
  if (step.kind === 'model') {
    const burned = unbilled ? undefined : chargeFor(work, step)
    const data = { ...failed, turn: step.turn, ...(status === undefined ? {} : { status }) }
    const costMicros = burned ? burned.costMicros : 0
    emit(work, 'model.failed', { ...data, ...(burned ? { charge: burned.charge } : {}), ...retry }, costMicros)
  } else if (step.kind === 'tool') {
    const { tool, answerLabel: label } = step
    emit(work, 'tool.failed', { ...failed, tool, ...(label === undefined ? {} : { label }), ...retry })
  } else {
    emit(work, 'function.failed', { ...failed, what: 'run', ...retry })
  }
}

/** The exit that a failure leads to where no retry is left. */
export function failureExit(failure: Pick<Failure, 'class'>): string {
  return failure.class === 'timeout' ? '$timeout' : '$error'
}
