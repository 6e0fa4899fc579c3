// A tree of tasks, told to a person: a line a task, indented under its parent, with what it waits for and what it used, and
// what all of them used together. Of many children of one parent the first are shown and the others counted.

import { isEnded, type Usage } from '../core/task.ts'
import type { TaskRow } from '../store/store.ts'
import { paint, table } from './terminal.ts'
import { sayCosts } from './timeline.ts'

/** Children of one parent that are all shown, how many of more of them are, and how many of those waited for are named. */
const [shownMax, headMax, namedMax] = [50, 5, 5]

/** What a task is at: how it ended, or what it waits for; of its children, which. `tree` are the rows around it. */
export function sayStatus(
  row: Pick<TaskRow, 'taskId' | 'status' | 'outcome' | 'waitsFor'>,
  tree: readonly TaskRow[],
): string {
  if (row.status === 'waiting') return `waits for ${sayWait(row, tree)}`
  return row.outcome === null || row.outcome === row.status ? row.status : `${row.status}: ${row.outcome}`
}

function sayWait({ taskId, waitsFor }: Pick<TaskRow, 'taskId' | 'waitsFor'>, tree: readonly TaskRow[]): string {
  if (waitsFor === 'budget') return 'the budget of its tree'
  if (waitsFor !== 'child') return `a ${waitsFor}`
  const open = tree.filter((child) => child.parentId === taskId && !isEnded(child))
  const named = open.slice(0, namedMax).map((child) => child.taskId)
  const more = open.length > named.length ? ` and ${open.length - named.length} more` : ''
  return named.length === 0 ? 'its children' : `children: ${named.join(', ')}${more}`
}

/** The tree as a table. `rows` begin with its top, parents before their children. */
export function sayTree(rows: readonly TaskRow[], usage: Usage, all: boolean): string {
  const heads = ['task', 'agent', 'status', 'state', 'steps', 'turns', 'in', 'out', 'cost']
  const below = Map.groupBy(rows, ({ parentId }) => parentId)
  const lines: (readonly string[])[] = []
  const visit = (row: TaskRow, depth: number): void => {
    const indent = '  '.repeat(depth)
    lines.push([`${indent}${row.taskId}`, row.agent, sayStatus(row, rows), row.state, ...sayUsed(row)])
    const children = below.get(row.taskId) ?? []
    const shown = all || children.length <= shownMax ? children : children.slice(0, headMax)
    for (const child of shown) visit(child, depth + 1)
    const rest = children.slice(shown.length)
    if (rest.length > 0)
      lines.push([`${indent}  and ${rest.length} more`, '', countByStatus(rest), '', '', '', '', '', ''])
  }
  if (rows[0]) visit(rows[0], 0)
  const total = [`${rows.length} tasks`, '', '', '', ...sayUsed(usage)]
  const isFolded = lines.length < rows.length
  return `${table([heads, ...lines, total])}${isFolded ? `\n${paint('dim', '--all shows every task', process.stdout)}` : ''}`
}

function sayUsed(usage: Usage): string[] {
  const { steps, turns, inputTokens, outputTokens } = usage
  return [...[steps, turns, inputTokens, outputTokens].map(String), sayCosts(usage)]
}

function countByStatus(rows: readonly TaskRow[]): string {
  const counts = Map.groupBy(rows, ({ status, waitsFor }) => (waitsFor === null ? status : `waiting for a ${waitsFor}`))
  return [...counts].map(([status, { length }]) => `${length} ${status}`).join(', ')
}
