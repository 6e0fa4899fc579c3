// A task is the fold of its log: this file is the fold. `evolve` knows no machine, no clock and no store; the events
// carry all it needs, so any log can be told again by anyone. It changes the task it is given, because a copy of the
// whole for every event would make the cost of a turn grow with the number of turns.

import { change, note, noteLate } from './effect.ts'
import type { Event, EventData } from './event.ts'
import { assert } from './fault.ts'
import { came, closeChild, descend, noteChild } from './folding/child.ts'
import { charged, close, correctEstimate, goOn, judgeFailed, open, postpone, queue, settle } from './folding/step.ts'
import { enter, leaveBehind, look, move, refuse, see } from './folding/visit.ts'
import { arrive, goBack, stay } from './folding/way-back.ts'
import { freeze, keyOf, type Json } from './json.ts'
import { clear } from './label.ts'
import { correct, firstCorrection } from './ledger.ts'
import { raisable } from './limits.ts'
import { isEnded, isUndo, isWaiting, ledgerOf, type Task } from './task.ts'

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

function sync(task: Task, { key, version, value, label, writer }: EventData['context.synced']): void {
  if (!isSame(task.context.get(key)?.value, value ?? null)) task.progress += 1
  if (value === undefined) task.context.delete(key)
  else task.context.set(key, { value: freeze(value), version, label: label ?? clear, writer })
  task.versions.set(key, version)
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

function end(task: Task, { outcome, status }: EventData['task.ended']): void {
  task.status = status
  task.outcome = outcome
  task.rollback = undefined
  leaveBehind(task)
  task.open.clear()
  task.slots.clear()
  task.approvals.clear()
}

/** Is this the value that was there? */
function isSame(before: Json | undefined, value: Json): boolean {
  return before !== undefined && (before === value || keyOf(before) === keyOf(value))
}
