// What events do to a task of a tree: as a child, as a parent, and as one of those who share a context.

import type { ChildResult } from '../agent.ts'
import { note } from '../effect.ts'
import { keyOf, type Json } from '../json.ts'
import type { ChildStep, Task } from '../task.ts'
import { compare } from './visit.ts'

/** The task is somebody's child, and may share a context. What it was given is its own all the same. */
export function descend(task: Task, parent: NonNullable<Task['parent']>, input: Json): void {
  task.parent = parent
  task.tree = { root: parent.root, depth: parent.depth }
  if (parent.shares === undefined) return
  task.sharing = true
  for (const key of Object.keys(input as object)) task.locals.add(key)
}

/** Takes a child out of what is waited for. */
export function closeChild(task: Task, number: number): ChildStep | undefined {
  const step = task.open.get(number)
  if (step?.kind !== 'child') return undefined
  task.open.delete(number)
  return step
}

/** What a child did outside, its parent cannot take back. */
export function noteChild(task: Task, { step, agent, child, arguments: input }: ChildStep, result?: Json): void {
  const call = { step, tool: `agent ${agent}`, arguments: input ?? null, idempotencyKey: child }
  note(task.effects, { ...call, effect: 'external' }, result)
}

/** Tells whoever asked for a child what it came to. */
export function came(task: Task, step: ChildStep, status: ChildResult['status'], outcome: string, output: Json): void {
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
