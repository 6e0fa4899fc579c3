// A task that takes its workers down with it. Each time it is delivered a worker goes away, and nothing comes of it; after
// some times it is for a human, and the others go on.

import { resume } from './decide.ts'
import { emit, type Draft } from './draft.ts'
import type { Machine } from './machine.ts'
import { askOnTheWay } from './rollback.ts'
import { isEnded } from './task.ts'
import { itemId, letGo } from './transition.ts'

/** Lays a task aside that was delivered so often. What was at work is lost, as ever; what to do now is for a human to say. */
export function park(machine: Machine, work: Draft, deliveries: number): void {
  const { task } = work
  resume(machine, work)
  // Who waits for a human already, or has ended by what was lost, needs no second question.
  if (isEnded(task) || (task.item && task.item.kind !== 'question')) return
  emit(work, 'limit.reached', { limit: 'deliveries', max: deliveries, state: task.state })
  const why = `The task was given to a worker ${deliveries} times; each time the worker went away, and nothing came of it.`
  if (task.rollback) {
    askOnTheWay(work, task.rollback, why)
    return
  }
  letGo(work)
  emit(work, 'human.asked', {
    item: itemId(work),
    kind: 'escalation',
    state: task.state,
    question: `${why} What now?`,
    options: ['retry', 'end'],
    exit: '$error',
  })
}
