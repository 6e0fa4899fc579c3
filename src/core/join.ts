// When the children of a fan-out are enough: judged on what has come of them so far, in whatever order that came.

import type { ChildResult } from './agent.ts'
import type { Joining } from './machine.ts'

/** Has the join been reached, or can it not be any more? Undefined: that is still open. */
export function verdictOf(
  { join, failures }: Pick<Joining, 'join' | 'failures'>,
  total: number,
  results: Iterable<Pick<ChildResult, 'status'>>,
): 'DONE' | 'FAILED' | undefined {
  const all = [...results]
  const good = all.filter(({ status }) => status === 'done').length
  const bad = all.length - good
  const over = all.length === total
  // All of those that did not fail are all, where failures are left out; but none of several is not.
  if (join === 'all' && failures === 'skip' && over && total > 0 && good === 0) return 'FAILED'
  const needed = join === 'all' ? total - (failures === 'skip' ? bad : 0) : join === 'any' ? 1 : join.quorum
  if (failures === 'stop' && bad > 0 && good < needed) return 'FAILED'
  if (failures === 'wait' && !over) return undefined
  if (good >= needed && (join !== 'all' || over)) return 'DONE'
  return total - bad < needed || over ? 'FAILED' : undefined
}
