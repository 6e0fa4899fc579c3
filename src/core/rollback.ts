// A rollback takes a task back to an earlier point of its own: what its steps did outside since then is taken back, the
// latest first, and then the context and the state are as they were. It is asked for by a human, or by the machine where
// a state fails (`onFailure`); it is carried out by workers, one event at a time, so it goes on after a crash as
// anything else does. Nothing is erased, and what was spent stays spent. A task that is cancelled may take back all that it
// did in the same way (`onCancel`), and ends then where it stands.

import type { Cause, Plan } from './past.ts'
import { erasedIn, goBack, goneSince, invalid, isItsOwn, isUndoable, planOf } from './past.ts'
import { emit, type Draft } from './draft.ts'
import { standing, type Effect } from './effect.ts'
import type { EventData } from './event.ts'
import { callOff, free } from './gate.ts'
import type { Json } from './json.ts'
import type { Machine } from './machine.ts'
import { callUndo, fail, retryDue } from './permission.ts'
import { isEnded, nextVersion, pastOf, type Item, type Past, type Rollback, type Task } from './task.ts'
import { callOff as callOffChild, end, enterAnew, escalate, itemId, withdraw } from './transition.ts'

/**
 * Records that a human takes the task back. What a model or a function is doing for it is called off, and charged all the
 * same; tools that are at work are waited for before anything is taken back; nobody is asked about a call any more. Throws
 * ROLLBACK_INVALID.
 */
export function rollbackTo(work: Draft, past: Past, cause: Cause): Plan {
  const { task } = work
  prove(task, past)
  const plan = goBack(work, past, cause)
  for (const step of task.open.values()) {
    if (step.kind === 'tool') continue
    if (step.kind === 'child') {
      callOffChild(work, step, { class: 'abort', by: cause.by, reason: 'its parent goes back' })
      continue
    }
    fail(work, step, { class: 'abort', message: 'The task goes back.' })
    callOff(work, step)
  }
  letGo(work)
  return plan
}

/** Nobody is asked any more about a call, and what was to be tried again has no place before its gate. */
function letGo(work: Draft): void {
  withdraw(work)
  for (const { step } of work.task.rollback?.aside.delayed ?? []) free(work, step.step)
}

/**
 * Ends a task that was cancelled, after it has taken back what it did: at once, where nothing is left to be. What is at work for
 * it has been called off but for undos, and questions whether a call was made, which are waited for.
 */
export function takeBack(work: Draft, given: Pick<Cause, 'by' | 'reason'>): void {
  const { task } = work
  const past = { ...pastOf(task), seq: 0, lastStep: 0 }
  const { undo, without } = planOf(task, past)
  if (undo.length + without.length > 0) {
    goBack(work, past, { asked: 0, ...given, ends: 'cancelled' })
    letGo(work)
  }
  // A tool that is asked now whether it acted may say that there is something to be taken back.
  const isKnown = without.length === 0 || task.open.size + task.delayed.size === 0
  if (undo.length === 0 && isKnown) end(work, 'cancelled', 'cancelled')
}

function prove(task: Task, past: Past): void {
  if (task.status === 'cancelled' || task.rollback?.ends) {
    throw invalid(`Task ${task.id} was cancelled.`, 'A cancelled task stays so; start a new one.')
  }
  if (task.parent && isEnded(task)) {
    const cure = `Take its parent back: signalbox rollback ${task.parent.task} --to SEQ.`
    throw invalid(`Task ${task.id} has ended, and what it came to is its parent's.`, cure)
  }
  if (task.rollback) {
    const { item } = task
    throw invalid(
      `Task ${task.id} is on its way back to event ${task.rollback.to}.`,
      item ? `It waits for you: signalbox answer ${item.item}.` : 'Wait until it is there.',
    )
  }
  const moved = task.moves.at(-1)
  if (moved && past.seq < moved.seq) {
    throw invalid(
      `Task ${task.id} was moved to version ${task.version} at event ${moved.seq}, which knows nothing of event ${past.seq}.`,
      'Name a later event, or start a new task.',
    )
  }
  const erased = erasedIn(past)
  if (erased !== undefined) {
    throw invalid(
      `What ${erased} was at event ${past.seq} has been erased.`,
      'Name another event, or start a new task.',
    )
  }
  const gone = goneSince(task, past)
  if (!gone) return
  throw invalid(
    `What step ${gone.step} (${gone.tool}) did before event ${past.seq} has been taken back at event ${gone.undoneSeq}.`,
    'Name an event before that step, or after that.',
  )
}

/** Takes a task that goes back one move further. False when it waits: for a tool, a time or a human. */
export function rollBack(machine: Machine, work: Draft, rollback: Rollback): boolean {
  const { task } = work
  if (task.item) {
    if (!isSettled(task, task.item)) return obey(machine, work, rollback)
    // What was asked about has been taken back after all: a late answer said so.
    emit(work, 'item.closed', { item: task.item.item, why: 'withdrawn' })
    return true
  }
  if (task.open.size > 0) return false
  if (task.delayed.size > 0) {
    retryDue(machine, work)
    return task.open.size === 0 && task.delayed.size === 0
  }
  const left = standing(task.effects, rollback.lastStep)
  const lasting = left.filter((effect) => !isUndoable(effect))
  const { ends } = rollback
  // A task that ends leaves what cannot be taken back as it is: its log says what that was.
  if (lasting.length > 0 && !ends) return askWhether(work, rollback, lasting)
  const next = left.find(isUndoable)
  if (!next) return ends ? end(work, ends, ends) : arrive(machine, work, rollback)
  if (next.failure) return askAgain(work, next, ends !== undefined)
  callUndo(machine, work, next)
  return true
}

/** Is everything that an item asks about taken back? */
function isSettled({ effects }: Task, { steps = [] }: Item): boolean {
  return steps.length > 0 && steps.every((step) => effects.get(step)?.undoneSeq !== undefined)
}

/** The context and the state are as they were; the visit begins anew. */
function arrive(machine: Machine, work: Draft, { to, state, restore, remove }: Rollback): true {
  const { task } = work
  emit(work, 'task.rolledBack', { to, state })
  // What another has written meanwhile to a context that is lent is not set back.
  for (const restored of restore.filter(({ key }) => isItsOwn(task, key))) {
    emit(work, 'context.written', { ...restored, version: nextVersion(task, restored.key), source: 'rollback' })
  }
  for (const key of remove.filter((name) => isItsOwn(task, name)))
    emit(work, 'context.removed', { key, version: nextVersion(task, key) })
  enterAnew(work, machine.states.get(state)!, (task.visits.get(state) ?? 0) + 1)
  return true
}

// ---- People --------------------------------------------------------------------------------------------------------

function askWhether(work: Draft, { to, state }: Rollback, effects: readonly Effect[]): false {
  const list = effects.map(say).join('; ')
  return ask(work, effects, ['accept', 'stop'], {
    question:
      `The task goes back to event ${to} (${state}), and this cannot be taken back: ${list}. ` +
      'Accept that it stands and go back all the same, or stop and go on where the task was?',
    show: effects.map(show),
  })
}

/** A task that was cancelled ends in any case: there is nowhere to go on. */
function askAgain(work: Draft, effect: Effect, ends: boolean): false {
  const why = `${effect.failure?.class}: ${effect.failure?.message}`
  const ways = ends
    ? 'The task was cancelled. Try again, or accept that it stands and let the task end?'
    : 'Try again, accept that it stands and go back all the same, or stop and go on where the task was, without what ' +
      'is taken back already?'
  return ask(work, [effect], ends ? ['retry', 'accept'] : ['retry', 'accept', 'stop'], {
    question: `${effect.tool} (step ${effect.step}) could not be taken back (${why}). ${ways}`,
    show: [show(effect)],
  })
}

/** A task that does not get on while it goes back: a human says whether it tries on; one that was cancelled cannot stop. */
export function askOnTheWay(work: Draft, { to, state, ends }: Rollback, why: string): false {
  const where = ends ? 'It takes back what it did, and ends.' : `It goes back to event ${to} (${state}).`
  const ways = ends ? 'Try again when it is repaired?' : 'Try again, or stop and go on where the task was?'
  return ask(work, [], ends ? ['retry'] : ['retry', 'stop'], { question: `${why} ${where} ${ways}` })
}

function say({ tool, step, result }: Effect): string {
  return `${tool} (step ${step}${result === undefined ? ', which may have been done' : ''})`
}

function show(effect: Effect): Json {
  const { step, tool, arguments: input, result, idempotencyKey } = effect
  const known = { step, tool, arguments: input, idempotencyKey }
  return result === undefined ? { ...known, unknown: true } : { ...known, result }
}

function ask(
  work: Draft,
  effects: readonly Effect[],
  options: readonly string[],
  asked: Pick<EventData['human.asked'], 'question' | 'show'>,
): false {
  const steps = effects.map(({ step }) => step)
  emit(work, 'human.asked', {
    item: itemId(work),
    kind: 'rollback',
    state: work.task.state,
    ...asked,
    options,
    steps,
  })
  return false
}

/** What a human decided about effects that stand. */
function obey(machine: Machine, work: Draft, rollback: Rollback): boolean {
  const { effects, item } = work.task
  if (!item?.answer) return false
  const { decision, by, reason } = item.answer
  const asked = (item.steps ?? []).flatMap((step) => effects.get(step) ?? [])
  // What is taken back in the meantime is neither taken back again nor let stand.
  const about = asked.filter(({ undoneSeq }) => undoneSeq === undefined)
  if (decision === 'stop') return stop(machine, work, rollback, { by, reason })
  if (decision === 'retry' && about[0]) {
    callUndo(machine, work, about[0])
    return true
  }
  // Who was only asked whether to try on has said so.
  if (about.length === 0) emit(work, 'item.closed', { item: item.item, why: 'withdrawn' })
  for (const { step, tool } of about) emit(work, 'effect.kept', { step, tool, by, reason })
  return true
}

/** The task goes on where it was: what it waited for is open again, and what had ended has ended. */
function stop(
  machine: Machine,
  work: Draft,
  { aside, exit, atMs }: Rollback,
  given: { by: string; reason: string },
): boolean {
  const { item, ended } = aside
  const open = item && !item.answer ? item : undefined
  const later = open?.expiresAtMs === undefined ? {} : { expiresAtMs: open.expiresAtMs + work.nowMs - atMs }
  emit(work, 'rollback.stopped', open ? { ...given, item: open.item, ...later } : given)
  if (ended) return end(work, ended.outcome, ended.status)
  return exit === undefined || escalate(machine, work, exit)
}
