// The tree of tasks that a task is in, as far as its budget goes: what the root allows is for all of them together. What
// one task has spent and set aside is in its own log; what all others have is told by the store, and a commit that rests
// on it holds only while it is still so. So settled plus reserved of the tree never passes the root's ceilings.

import { emit, type Draft } from './draft.ts'
import type { EventData } from './event.ts'
import { free, type Budget, type Ledger } from './ledger.ts'
import { isAsking, ledgerOf, type Task } from './task.ts'

/** A budget of the whole tree. */
export type TreeBudget = 'tokens' | 'cost'

/** What is known of a tree, besides what the task that asks has spent and set aside itself. */
export interface Tree {
  /** The ceilings of the root. */
  readonly max: { readonly tokens: number; readonly cost: number | null }
  readonly others: Readonly<Record<TreeBudget, { readonly settled: number; readonly reserved: number }>>
  readonly soft: number
  /** The budgets whose soft line the root has taken note of. */
  readonly neared: ReadonlySet<TreeBudget>
  /** The root asks a human about its budget. */
  readonly asks: boolean
  readonly descendants: number
  readonly descendantsMax: number
  /** A budget that some task is short of, although nothing is held that might come back. */
  readonly short: TreeBudget | undefined
}

/** Is this task the root of a tree? */
export function isRoot({ id, tree }: Task): boolean {
  return tree?.root === id
}

/** The budgets of the tree; undefined for a task alone. The root's own ceilings are newer than what the store says. */
export function treeLedger({ task, terms: { tree } }: Draft): Ledger | undefined {
  if (!tree) return undefined
  const own = ledgerOf(task)
  const budget = (limit: TreeBudget): Budget => ({
    max: isRoot(task) ? own[limit].max : tree.max[limit],
    settled: own[limit].settled + tree.others[limit].settled,
    reserved: own[limit].reserved + tree.others[limit].reserved,
  })
  return { tokens: budget('tokens'), cost: budget('cost') }
}

/** The budgets that hold for the next call: the task's own or the tree's, whichever has less left. */
export function ledgerFor(work: Draft): Ledger {
  const [own, tree] = [ledgerOf(work.task), treeLedger(work)]
  if (!tree) return own
  const tighter = (limit: TreeBudget): Budget => (free(tree[limit]) <= free(own[limit]) ? tree[limit] : own[limit])
  return { tokens: tighter('tokens'), cost: tighter('cost') }
}

/** The budgets that a task answers for at its soft line: the root for the tree, any other for itself. */
export function ledgerAnswered(work: Draft): Ledger {
  return (isRoot(work.task) && treeLedger(work)) || ledgerOf(work.task)
}

/** Is it the tree that is short, and not the task itself? */
export function isTreeShort(work: Draft, limit: TreeBudget): boolean {
  const tree = treeLedger(work)
  return tree !== undefined && free(tree[limit]) <= free(ledgerOf(work.task)[limit])
}

/** A budget of the tree that is past its soft line while the root has not decided about it; nobody goes on then. */
export function pausedBudget(work: Draft): TreeBudget | undefined {
  const { task, terms } = work
  const ledger = treeLedger(work)
  if (!ledger || !terms.tree || isRoot(task)) return undefined
  const { soft, neared, asks } = terms.tree
  return (['tokens', 'cost'] as const).find((limit) => {
    const { max, settled } = ledger[limit]
    return max !== null && settled >= soft * max && (asks || !neared.has(limit))
  })
}

/** Waits for the tree; said once, however often it is looked at in vain. Always false: nothing else is to be done. */
export function awaitTree(work: Draft, limit: TreeBudget, why: EventData['budget.awaited']['why']): false {
  const { awaits } = work.task
  const max = treeLedger(work)?.[limit].max ?? 0
  const isKnown = awaits?.limit === limit && awaits.why === why && awaits.max === max
  if (!isKnown) emit(work, 'budget.awaited', { limit, why, max })
  return false
}

/** How the root stands to the budget of its tree, as everyone in it is told. */
export function stanceOf(task: Task): Pick<Tree, 'neared' | 'asks'> {
  return { neared: task.neared, asks: isAsking(task) }
}
