// What events do to a task that goes back to an earlier point of its own.

import type { EventData } from '../event.ts'
import { isEnded, isUndo, type Item, type Task } from '../task.ts'
import { leaveBehind } from './visit.ts'

/**
 * Sets aside what the task was at. What is only asked whether it was done is waited for: then that is known; and so is what is
 * being taken back already.
 */
export function goBack(task: Task, started: EventData['rollback.started'], atMs: number): void {
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
export function stay(task: Task, nowMs: number): void {
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

/** Leaves everything that came after behind, but for what was spent and what was heard. */
export function arrive(task: Task, { to, state }: EventData['task.rolledBack']): void {
  task.state = state
  leaveBehind(task)
  task.entries.clear()
  task.progress += 1
  task.handedFrom = undefined
  task.checkpoints = task.checkpoints.filter(({ seq }) => seq < to)
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
