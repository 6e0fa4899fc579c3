// A task is the fold of its log: this file is the fold. `evolve` knows no machine, no clock and no store; the events
// carry all it needs, so any log can be told again by anyone. It changes the task it is given, because a copy of the
// whole for every event would make the cost of a turn grow with the number of turns.

import type { ChildResult } from './agent.ts'
import { change, mayHaveActed, note, noteLate } from './effect.ts'
import { assert } from './fault.ts'
import type { Event, EventData, PlannedRetry } from './event.ts'
import { keyOf, type Json } from './json.ts'
import { clear, join, type Label } from './label.ts'
import { correct, firstCorrection, type Charge } from './ledger.ts'
import { raisable } from './limits.ts'
import type { Failure } from './model.ts'
import {
  deadlineAtMs,
  isEnded,
  isUndo,
  isWaiting,
  type ChildStep,
  type Item,
  ledgerOf,
  type OpenStep,
  type PerformedStep,
  pastOf,
  type Task,
  type Visit,
  whole,
} from './task.ts'

/** Folds one event into the task, in place. */
export function evolve(task: Task, event: Event): void {
  assert(event.seq === task.seq + 1, `event ${event.seq} of task ${task.id} follows event ${task.seq}`)
  task.seq = event.seq
  task.updatedAtMs = event.at
  task.usage.costMicros += event.costMicros ?? 0
  apply(task, event)
  if (!isEnded(task)) task.status = isWaiting(task) ? 'waiting' : 'running'
}

/** Folds events into a task, in place, and returns it. */
export function fold(task: Task, events: Iterable<Event>): Task {
  for (const event of events) evolve(task, event)
  return task
}

function apply(task: Task, event: Event): void {
  const { visit } = task
  switch (event.type) {
    case 'task.started':
      task.agent = event.data.agent
      task.version = event.data.version
      task.definition = event.data.definition
      task.by = event.data.by
      task.limits = event.data.limits
      task.granted = event.data.limits
      task.seed = event.data.seed
      task.onCancel = event.data.onCancel ?? 'leave'
      task.startedAtMs = event.at
      if (event.data.parent) descend(task, event.data.parent, event.data.input)
      return
    case 'task.forked':
      task.fork = event.data
      return
    case 'task.migrated':
      move(task, event.data)
      return
    case 'state.entered':
      enter(task, event.data)
      return
    case 'context.written':
      if (!isSame(task.context.get(event.data.key)?.value, event.data.value)) task.progress += 1
      task.context.set(event.data.key, {
        value: freeze(event.data.value),
        version: event.data.version,
        label: event.data.label ?? clear,
      })
      task.versions.set(event.data.key, event.data.version)
      return
    case 'context.synced':
      sync(task, event.data)
      return
    case 'context.removed':
      task.context.delete(event.data.key)
      task.versions.set(event.data.key, event.data.version)
      return
    case 'label.weakened':
    case 'links.removed':
      return
    case 'model.called': {
      const { step, attempt, turn, model, outputTokensMax, reserved, deadlineAtMs, prompt } = event.data
      if (visit && prompt) visit.prompt = prompt
      if (prompt) look(task)
      see(task, event.data.label)
      task.reserved.tokens += reserved.inputTokens + reserved.outputTokens
      task.reserved.costMicros += reserved.costMicros ?? 0
      const permitted = { step, attempt, turn, model, outputTokensMax, reserved, deadlineAtMs }
      open(task, { kind: 'model', ...permitted, failures: 0, delayMs: 0, smaller: false })
      return
    }
    case 'model.answered': {
      const { step, attempt, turn, content, finish, usage, charge } = event.data
      const asked = task.open.get(step)
      if (asked?.kind === 'model' && asked.reserved && usage.inputTokens !== null) {
        const before = task.corrections.get(asked.model) ?? firstCorrection
        task.corrections.set(asked.model, correct(before, asked.reserved.estimate, usage.inputTokens))
      }
      charged(task, step, attempt, charge, event.costMicros)
      task.estimated.delete(`${step}.${attempt}`)
      task.open.delete(step)
      task.usage.turns += 1
      visit?.turns.push({ turn, content, finish, results: new Map(), note: undefined })
      return
    }
    case 'model.failed':
      charged(task, event.data.step, event.data.attempt, event.data.charge, event.costMicros)
      if (postpone(task, event.data)) return
      close(task, event.data.step)
      // What a rollback calls off has not failed: it is asked for again if the rollback is stopped.
      if (visit && !task.rollback) visit.ended = { failure: event.data }
      return
    case 'tool.called': {
      const { step, undoes, reconciles } = event.data
      goOn(task, step, event.at)
      if (visit?.deadlineAtMs !== undefined && undoes === undefined) {
        // Only a human's word gives a step more time than its visit has; then the visit lasts as long.
        visit.deadlineAtMs = Math.max(visit.deadlineAtMs, event.data.deadlineAtMs)
      }
      // A doubt that is called again was not done, as a human said.
      if (task.doubts.has(step) && !reconciles) task.effects.delete(step)
      open(task, { kind: 'tool', ...event.data, failures: 0, delayMs: 0, smaller: false })
      if (undoes !== undefined) change(task.effects, undoes, { undoStep: step, failure: undefined })
      return
    }
    case 'tool.answered':
      see(task, event.data.label)
      goOn(task, event.data.step, event.at)
      settle(task, event.data.step, { result: event.data.result })
      return
    case 'tool.failed':
      see(task, event.data.label)
      judgeFailed(task, event.data)
      if (!postpone(task, event.data)) settle(task, event.data.step, { failure: event.data })
      return
    case 'tool.doubted': {
      const doubted = close(task, event.data.step)
      if (doubted) task.doubts.set(event.data.step, doubted)
      if (doubted?.kind === 'tool') note(task.effects, doubted)
      return
    }
    case 'function.called':
      look(task)
      see(task, event.data.label)
      open(task, { kind: 'function', ...event.data, failures: 0, delayMs: 0, smaller: false })
      return
    case 'function.returned':
      task.open.delete(event.data.step)
      if (visit) visit.leaving = { exit: event.data.exit, output: event.data.output }
      return
    case 'function.failed':
      if (event.data.step !== undefined) {
        if (postpone(task, { ...event.data, step: event.data.step })) return
        close(task, event.data.step)
      }
      if (visit && !task.rollback) {
        visit.ended = { failure: event.data }
        visit.leaving = undefined
      }
      return
    case 'children.planned': {
      const { inputs, label } = event.data
      if (visit) visit.plan = { inputs, label, started: 0, results: new Map() }
      see(task, label)
      return
    }
    case 'child.started': {
      const { branch, shares } = event.data
      task.tree ??= { root: task.id, depth: 0 }
      if (shares) task.sharing = true
      open(task, { kind: 'child', ...event.data, attempt: 1, failures: 0, delayMs: 0, smaller: false })
      if (branch !== undefined && visit?.plan) visit.plan.started += 1
      return
    }
    case 'child.ended': {
      const { step, status, outcome, output, label, acted } = event.data
      see(task, label)
      const child = closeChild(task, step)
      if (!child) return
      if (acted) noteChild(task, child, { outcome, output })
      came(task, child, status, outcome, output)
      return
    }
    case 'child.calledOff': {
      const child = closeChild(task, event.data.step)
      if (!child) return
      if (child.acts) noteChild(task, child)
      // Should the task not go back after all, it is begun anew.
      if (task.rollback && visit) visit.plan = undefined
      else came(task, child, 'cancelled', event.data.class === 'timeout' ? '$timeout' : 'cancelled', {})
      return
    }
    case 'budget.awaited':
      task.awaits = event.data
      return
    case 'step.lost': {
      const { step, attempt, charge } = event.data
      charged(task, step, attempt, charge, event.costMicros)
      const lost = task.open.get(step)
      if (!lost || lost.kind === 'child') return
      task.open.delete(step)
      if (lost.kind === 'tool' && lost.attempt > 0) note(task.effects, lost)
      const reconciles = lost.kind === 'tool' && !lost.idempotent
      task.delayed.set(step, {
        step: lost,
        atMs: event.at,
        model: undefined,
        inputTokensMax: undefined,
        reconciles,
        queued: false,
      })
      return
    }
    case 'window.cut': {
      const { resultsBefore, turnsBefore, headChars } = event.data
      if (visit) visit.cut = { resultsBefore, turnsBefore, headChars }
      return
    }
    case 'step.queued':
      queue(task, event.data)
      return
    case 'slot.taken':
      task.slots.set(event.data.step, event.data.key)
      return
    case 'slot.freed':
      task.slots.delete(event.data.step)
      return
    case 'breaker.changed':
      return
    case 'step.late': {
      const { step, attempt, kind, result, charge } = event.data
      // It came before anybody found its worker gone: then it is not an estimate that it corrects.
      const asked = task.open.get(step)
      if (asked?.kind === 'model' && asked.attempt === attempt && asked.reserved)
        charged(task, step, attempt, charge, event.costMicros)
      else correctEstimate(task, event.data)
      if (kind === 'tool') noteLate(task.effects, step, result, event.seq)
      // What is taken back is not taken back again.
      const delayed = task.delayed.get(step)?.step
      if (delayed && isUndo(delayed)) task.delayed.delete(step)
      return
    }
    case 'step.refused':
      refuse(task, event.data)
      return
    case 'transition.taken':
      task.handedFrom = visit?.actor
      task.state = event.data.target
      leaveBehind(task)
      return
    case 'limit.reached':
      if (event.data.limit === 'duration') {
        task.expired = true
        task.item = undefined
        task.wait = undefined
      }
      if (!visit) task.door = event.data.limit
      return
    case 'limit.neared':
      task.neared.add(event.data.limit)
      return
    case 'limit.raised':
      raise(task, event.data, event.at)
      return
    case 'deadline.passed':
      task.progress += 1
      task.item = undefined
      task.wait = undefined
      return
    case 'wait.started':
      task.wait = event.data
      return
    case 'signal.received': {
      if (event.data.key !== undefined) task.signalKeys.add(`${event.data.name}\n${event.data.key}`)
      const queue = task.signals.get(event.data.name)
      if (queue) queue.push(event.data.data)
      else task.signals.set(event.data.name, [event.data.data])
      return
    }
    case 'signal.consumed':
      task.progress += 1
      task.signals.get(event.data.name)?.shift()
      return
    case 'human.asked': {
      look(task)
      task.awaits = undefined
      const { item, kind, state, options, expiresAtMs, exit, step, limit, steps } = event.data
      const { ladder = [], approval, show, by } = event.data
      const common = { item, kind, state, options, expiresAtMs, exit, step, limit, steps }
      const asked = { ...common, ...(by ? { by } : {}), ladder, rung: 0, answer: undefined }
      if (approval) {
        const { arguments: input } = show as { readonly arguments: Json }
        task.approvals.set(item, { ...asked, ...approval, askedAtMs: event.at, arguments: input, agreed: [] })
      } else {
        // Asked once more, because what was decided could not be done.
        if (limit !== undefined) goOn(task, step, event.at)
        task.item = { ...asked, askedAtMs: event.at }
      }
      return
    }
    case 'human.answered': {
      task.progress += 1
      if (task.item?.item === event.data.item) task.item.answer = event.data
      const approval = task.approvals.get(event.data.item)
      approval?.agreed.push(event.data.by)
      if (approval && event.data.more === undefined) approval.answer = event.data
      return
    }
    case 'human.escalated': {
      const item = task.approvals.get(event.data.item) ?? task.item
      if (item?.item === event.data.item) item.rung += 1
      return
    }
    case 'item.closed':
      task.approvals.delete(event.data.item)
      if (task.item?.item === event.data.item) task.item = undefined
      return
    case 'answer.refused':
    case 'notice.sent':
    case 'notice.failed':
      return
    case 'payload.erased':
      task.erased += 1
      return
    case 'rollback.started':
      goBack(task, event.data, event.at)
      return
    case 'effect.kept':
      change(task.effects, event.data.step, { kept: true })
      task.item = undefined
      return
    case 'rollback.stopped':
      stay(task, event.at)
      return
    case 'task.rolledBack':
      arrive(task, event.data)
      return
    case 'task.cancelled':
      return
    case 'task.ended':
      end(task, event.data)
      return
    default:
      event satisfies never
  }
}

function enter(task: Task, entered: EventData['state.entered']): void {
  const { state, kind, visit, deadlineAtMs, checkpoint, agent } = entered
  task.state = state
  task.rollback = undefined
  leaveBehind(task)
  task.visits.set(state, visit)
  const actor = actorOf(state, kind, agent)
  if (isHandover(task, actor)) task.handovers += 1
  task.handedFrom = undefined
  const before = task.entries.get(state)
  const times = before?.progress === task.progress ? before.times + 1 : 1
  task.entries.set(state, { progress: task.progress, times })
  task.visit = {
    state,
    kind,
    actor,
    base: new Map(task.versions),
    plan: undefined,
    deadlineAtMs,
    prompt: undefined,
    label: clear,
    cut: whole,
    turns: [],
    refusals: 0,
    refusedTurn: 0,
    answers: new Map(),
    repeats: 0,
    ended: undefined,
    leaving: undefined,
  }
  if (checkpoint !== undefined) task.checkpoints = [...task.checkpoints, pastOf(task, checkpoint)]
}

/** Who acts in a state: its model, or the agent that is started there. */
export function actorOf(state: string, kind: Visit['kind'], agent?: string): string | undefined {
  return kind === 'model' ? state : agent === undefined ? undefined : `agent ${agent}`
}

/** Does somebody else act now than in the state that was left? */
export function isHandover({ handedFrom }: Task, actor: string | undefined): boolean {
  return actor !== undefined && handedFrom !== undefined && handedFrom !== actor
}

/** Leaves behind what only the old machine knows: the visit, what counts as no progress, the points to go back to. */
function move(task: Task, { from, version, definition, state }: EventData['task.migrated']): void {
  task.moves = [...task.moves, { definition: from.definition, seq: task.seq }]
  task.version = version
  task.definition = definition
  task.state = state
  leaveBehind(task)
  task.entries.clear()
  task.progress += 1
  task.handedFrom = undefined
  task.checkpoints = []
}

/** Drops what belongs to a visit that is over. */
function leaveBehind(task: Task): void {
  task.visit = undefined
  task.item = undefined
  task.wait = undefined
  task.door = undefined
  task.awaits = undefined
  task.delayed.clear()
  task.doubts.clear()
}

// ---- Children ------------------------------------------------------------------------------------------------------

function descend(task: Task, parent: NonNullable<Task['parent']>, input: Json): void {
  task.parent = parent
  task.tree = { root: parent.root, depth: parent.depth }
  if (parent.shares === undefined) return
  task.sharing = true
  for (const key of Object.keys(input as object)) task.locals.add(key)
}

function sync(task: Task, { key, version, value, label, writer }: EventData['context.synced']): void {
  if (!isSame(task.context.get(key)?.value, value ?? null)) task.progress += 1
  if (value === undefined) task.context.delete(key)
  else task.context.set(key, { value: freeze(value), version, label: label ?? clear, writer })
  task.versions.set(key, version)
}

/** What is decided now is decided on the context as it is. */
function look(task: Task): void {
  if (task.sharing && task.visit) task.visit.base = new Map(task.versions)
}

function closeChild(task: Task, number: number): ChildStep | undefined {
  const step = task.open.get(number)
  if (step?.kind !== 'child') return undefined
  task.open.delete(number)
  return step
}

/** What a child did outside, its parent cannot take back. */
function noteChild(task: Task, { step, agent, child, arguments: input }: ChildStep, result?: Json): void {
  const call = { step, tool: `agent ${agent}`, arguments: input ?? null, idempotencyKey: child }
  note(task.effects, { ...call, effect: 'external' }, result)
}

/** Tells whoever asked for a child what it came to. */
function came(task: Task, step: ChildStep, status: ChildResult['status'], outcome: string, output: Json): void {
  const { child: taskId, branch, index } = step
  if (branch !== undefined) {
    task.visit?.plan?.results.set(branch, { taskId, index: branch, status, outcome, output })
    return
  }
  if (index === undefined || !task.visit) return
  const value = { status, outcome, output }
  task.visit.turns.at(-1)?.results.set(index, { value, failed: status !== 'done' })
  compare(task.visit, `${step.tool} ${keyOf(step.arguments ?? null)}`, value)
}

// ---- Going back ----------------------------------------------------------------------------------------------------

/**
 * Sets aside what the task was at. What is only asked whether it was done is waited for: then that is known; and so is what is
 * being taken back already.
 */
function goBack(task: Task, started: EventData['rollback.started'], atMs: number): void {
  const { to, state, lastStep: last, restore, remove, exit, ends } = started
  const { item, wait, status, outcome } = task
  const ended = isEnded(task) && outcome !== undefined ? { outcome, status: status as 'done' | 'failed' } : undefined
  const delayed = [...task.delayed.values()].filter(({ reconciles, step }) => !reconciles && !isUndo(step))
  for (const { step } of delayed) task.delayed.delete(step.step)
  const aside = { item, wait, delayed, ended }
  task.rollback = { to, state, lastStep: last, restore, remove, exit, ends, atMs, aside }
  task.item = undefined
  task.wait = undefined
  task.outcome = undefined
  task.status = 'running'
  if (exit !== undefined) task.rollbacks += 1
}

/** The rollback is stopped: the task is at what it was at, and the time that this took is nobody's. */
function stay(task: Task, nowMs: number): void {
  const { atMs, aside } = task.rollback!
  const tookMs = nowMs - atMs
  task.rollback = undefined
  task.item = aside.item && later(aside.item, tookMs)
  task.wait = aside.wait && { ...aside.wait, untilMs: aside.wait.untilMs + (aside.wait.absolute ? 0 : tookMs) }
  if (task.visit?.deadlineAtMs !== undefined) task.visit.deadlineAtMs += tookMs
  for (const { step, ...delayed } of aside.delayed) {
    const moved = { ...step, deadlineAtMs: step.deadlineAtMs + tookMs }
    task.delayed.set(step.step, { ...delayed, step: moved, atMs: nowMs })
  }
}

/** An item that nobody could answer meanwhile. */
function later(item: Item, tookMs: number): Item {
  const { expiresAtMs, askedAtMs } = item
  return {
    ...item,
    askedAtMs: askedAtMs + tookMs,
    expiresAtMs: expiresAtMs === undefined ? undefined : expiresAtMs + tookMs,
  }
}

/** Leaves everything that came after behind, but for what was spent and what was heard. */
function arrive(task: Task, { to, state }: EventData['task.rolledBack']): void {
  task.state = state
  leaveBehind(task)
  task.entries.clear()
  task.progress += 1
  task.handedFrom = undefined
  task.checkpoints = task.checkpoints.filter(({ seq }) => seq < to)
}

/** What a failed call did outside: nothing, or nobody knows what. */
function judgeFailed(task: Task, failed: EventData['tool.failed']): void {
  const { step: number, class: kind, message, retry } = failed
  const step = task.open.get(number) ?? task.delayed.get(number)?.step
  if (step?.kind !== 'tool') return
  if (step.undoes !== undefined) {
    if (!retry) change(task.effects, step.undoes, { failure: { class: kind, message } })
  } else if (step.reconciles && retry?.reason !== 'reconcile' && kind !== 'unavailable') task.effects.delete(number)
  else if (step.attempt > 0 && mayHaveActed(kind)) note(task.effects, step)
}

/** What is seen in a visit makes all that comes of it as untrusted, and as private. */
function see({ visit }: Task, label: Label | undefined): void {
  if (visit && label) visit.label = join(visit.label, label)
}

/** Keeps a failed step for another try, if one was planned. */
function postpone(task: Task, failed: { readonly step: number; readonly retry?: PlannedRetry }): boolean {
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
function queue(task: Task, queued: EventData['step.queued']): void {
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

/** A step about which nothing else was said. */
const fresh = { model: undefined, inputTokensMax: undefined, reconciles: false } as const

/** Books what an attempt was charged, and gives back what was set aside for it. */
function charged(
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

function count({ usage }: Task, { inputTokens, outputTokens }: Charge): void {
  usage.inputTokens += inputTokens
  usage.outputTokens += outputTokens
}

/** A late answer says what was used: the estimate that was charged is corrected. */
function correctEstimate(task: Task, { step, attempt, charge }: EventData['step.late']): void {
  if (charge) count(task, charge)
  task.estimated.delete(`${step}.${attempt}`)
}

/** Sets a ceiling higher. A budget whose soft line is thereby ahead again may come near it again. */
function raise(task: Task, { limit, max, used }: EventData['limit.raised'], nowMs: number): void {
  task.limits = { ...task.limits, [raisable[limit]]: max }
  if (limit === 'duration') task.expired = false
  goOn(task, undefined, nowMs)
  task.item = undefined
  if (limit !== 'tokens' && limit !== 'cost') return
  const settled = used ?? ledgerOf(task)[limit].settled
  if (settled < task.limits.soft * max) task.neared.delete(limit)
}

/** A human let the task go on: the time that this took is nobody's, so what has a deadline has it so much later. */
function goOn(task: Task, step: number | undefined, nowMs: number): void {
  const { item, visit } = task
  if (!item || item.step !== step) return
  const tookMs = nowMs - item.askedAtMs
  if (visit?.deadlineAtMs !== undefined) visit.deadlineAtMs += tookMs
  for (const [number, delayed] of task.delayed) {
    const laterMs = Math.min(delayed.step.deadlineAtMs + tookMs, task.expired ? Infinity : deadlineAtMs(task))
    task.delayed.set(number, { ...delayed, step: { ...delayed.step, deadlineAtMs: laterMs } })
  }
}

/** Is this the value that was there? */
function isSame(before: Json | undefined, value: Json): boolean {
  return before !== undefined && (before === value || keyOf(before) === keyOf(value))
}

/** Takes a step that a worker performs out of everything that waits for its outcome. */
function close(task: Task, number: number): PerformedStep | undefined {
  const running = task.open.get(number)
  if (running?.kind === 'child') return undefined
  const step = running ?? task.doubts.get(number) ?? task.delayed.get(number)?.step
  task.open.delete(number)
  task.doubts.delete(number)
  task.delayed.delete(number)
  if (task.item?.step === number) task.item = undefined
  return step
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

/** Opens a step. What is known of its failures stays, as long as it is the same model or tool that is tried. */
function open(task: Task, permitted: OpenStep): void {
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

function settle(
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

/** No progress is the same call with the same answer again; any other answer is news, and the count begins anew. */
function compare(visit: Visit, call: string, answer: Json): void {
  const before = visit.answers.get(call)
  const times = before && keyOf(before.answer) === keyOf(answer) ? before.times + 1 : 1
  visit.answers.set(call, { answer, times })
  visit.repeats = Math.max(visit.repeats, times)
}

function sayFailure(failure: Pick<Failure, 'class' | 'message'>): string {
  return `The tool failed (${failure.class}): ${failure.message}`
}

function refuse(task: Task, refused: EventData['step.refused']): void {
  const { reason, turn, index, correction, rule, key, label } = refused
  const { visit } = task
  see(task, label)
  if (reason === 'stale-write' && visit) {
    // A person is asked anew, and shown all; a model is told of this key alone.
    const now = key === undefined ? task.versions : new Map(visit.base).set(key, task.versions.get(key) ?? 0)
    visit.base = new Map(now)
    visit.leaving = undefined
  }
  if (!visit || turn === undefined) return
  if (visit.refusedTurn !== turn) {
    visit.refusedTurn = turn
    visit.refusals += 1
  }
  const last = visit.turns.at(-1)
  if (!last) return
  if (index === undefined) last.note = correction
  else
    last.results.set(index, {
      value: rule === undefined ? correction : { refused: true, rule, correction },
      failed: true,
    })
}

function end(task: Task, { outcome, status }: EventData['task.ended']): void {
  task.status = status
  task.outcome = outcome
  task.rollback = undefined
  leaveBehind(task)
  task.open.clear()
  task.slots.clear()
  task.approvals.clear()
}

/** Makes a value one that nobody changes. */
export function freeze(value: Json): Json {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) freeze(inner)
    Object.freeze(value)
  }
  return value
}
