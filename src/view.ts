// Where a task stands, and all below it, put together from the rows of a store.

import type { Json, JsonObject } from './core/json.ts'
import { isClear, type Label } from './core/label.ts'
import type { TaskStatus, Usage, WaitsFor } from './core/task.ts'
import type { InboxRow, TaskRow } from './store/store.ts'

/** Where a task stands. */
export interface TaskView {
  readonly taskId: string
  readonly agent: string
  readonly version: string
  readonly status: TaskStatus
  readonly state: string
  readonly outcome: string | null
  readonly waitsFor: WaitsFor | null
  readonly context: JsonObject
  /** What is known of the context's keys, where it is not trusted and public. */
  readonly labels: Readonly<Record<string, Label>>
  readonly usage: Usage
  /** How many of its payloads were erased. */
  readonly erased: number
  readonly parentId: string | null
  readonly rootId: string | null
  /** The task and all below it, parents before their children; empty for a task alone. */
  readonly tree: readonly TaskRow[]
  /** What all of them have used together; of a task alone, its own. */
  readonly treeUsage: Usage
  readonly startedBy: string
  readonly startedAtMs: number
  readonly updatedAtMs: number
  readonly seq: number
  /** What waits for a human, of this task and of all below it. */
  readonly inbox: readonly InboxRow[]
}

/** Puts it together. Of a key that is there twice the later entry counts: what a task has for itself. */
export function viewOf(
  row: TaskRow,
  context: readonly { readonly key: string; readonly value: Json; readonly label: Label }[],
  branch: readonly TaskRow[],
  inbox: readonly InboxRow[],
): TaskView {
  const { taskId, agent, version, status, state, outcome, waitsFor, startedBy, startedAtMs, updatedAtMs, seq } = row
  const known = [...new Map(context.map((entry) => [entry.key, entry])).values()]
  return {
    taskId,
    agent,
    version,
    status,
    state,
    outcome,
    waitsFor,
    context: Object.fromEntries(known.map(({ key, value }) => [key, value])),
    labels: Object.fromEntries(known.flatMap(({ key, label }) => (isClear(label) ? [] : [[key, label]]))),
    usage: usageOf([row]),
    erased: row.erased,
    parentId: row.parentId,
    rootId: row.rootId,
    tree: branch,
    treeUsage: usageOf(branch.length === 0 ? [row] : branch),
    startedBy,
    startedAtMs,
    updatedAtMs,
    seq,
    inbox,
  }
}

/** A task and all below it, in the order in which parents started their children. */
export function branchOf(taskId: string, tree: readonly TaskRow[]): readonly TaskRow[] {
  const own = tree.filter((task) => task.taskId === taskId)
  const below = Map.groupBy(tree, ({ parentId }) => parentId)
  const found: TaskRow[] = []
  const visit = (tasks: readonly TaskRow[]): void => {
    for (const task of tasks) {
      found.push(task)
      visit((below.get(task.taskId) ?? []).toSorted((a, b) => stepOf(a.taskId) - stepOf(b.taskId)))
    }
  }
  visit(own)
  return found
}

/** What tasks have used together. */
function usageOf(tasks: readonly TaskRow[]): Usage {
  const sum = (field: keyof Usage): number => tasks.reduce((all, task) => all + task[field], 0)
  return {
    steps: sum('steps'),
    turns: sum('turns'),
    inputTokens: sum('inputTokens'),
    outputTokens: sum('outputTokens'),
    costMicros: sum('costMicros'),
    unpriced: sum('unpriced'),
  }
}

/** The id of a child ends in the step that started it. */
function stepOf(taskId: string): number {
  return Number(taskId.slice(taskId.lastIndexOf(':') + 1))
}

/** Does it wait for somebody outside, itself or by its children? */
export function isAtRest({ waitsFor }: Pick<TaskRow, 'waitsFor'>): boolean {
  return waitsFor === 'human' || waitsFor === 'signal' || waitsFor === 'child'
}
