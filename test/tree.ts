// A tree of tasks as its store has it: the events of all of them in the order in which they were written, and what the
// ledger of the tree said at each.

import { expect } from 'vitest'
import type { Event } from '../src/core/event.ts'
import { evolve } from '../src/core/fold.ts'
import { emptyTask, type Task } from '../src/core/task.ts'
import type { Orchestrator } from '../src/orchestrator.ts'
import { asOwner } from './owner.ts'

/**
 * From here on a store remembers in which order events are written, over all tasks: in a file they lie in it anyway, in a
 * server they are given numbers. The tasks of a tree write one after the other, so that no number is out of turn.
 */
export async function keepOrder(address: string): Promise<void> {
  if (address.startsWith('sqlite:')) return
  await asOwner(address, (sql) => sql('ALTER TABLE events ADD COLUMN rowid BIGSERIAL'))
}

/** Every event of every task of a store that keeps the order, in the order in which it was written. */
export async function history(box: Pick<Orchestrator, 'store'>, address: string): Promise<readonly Event[]> {
  const logs = new Map<string, readonly Event[]>()
  const events: Event[] = []
  const order = await asOwner(address, (sql) => sql('SELECT taskId, seq FROM events ORDER BY rowid'))
  for (const { taskId, seq } of order as { taskId: string; seq: number }[]) {
    if (!logs.has(taskId)) logs.set(taskId, await box.store.read(taskId))
    events.push(logs.get(taskId)![seq - 1]!)
  }
  return events
}

/** Settled plus reserved of all tasks of a tree, after each event of its history; the tasks as they are then. */
export function* ledger(
  events: readonly Event[],
): Generator<{ event: Event; tokens: number; cost: number; root: Task }> {
  const tasks = new Map<string, Task>()
  for (const event of events) {
    const task = tasks.get(event.taskId) ?? emptyTask(event.taskId)
    tasks.set(event.taskId, task)
    evolve(task, event)
    let [tokens, cost] = [0, 0]
    for (const { usage, reserved } of tasks.values()) {
      tokens += usage.inputTokens + usage.outputTokens + reserved.tokens
      cost += usage.costMicros + reserved.costMicros
    }
    yield { event, tokens, cost, root: [...tasks.values()][0]! }
  }
}

/** I6 over a tree: never more than the root allows, at any event; the soft line once for each ceiling. */
export function proveBudget(events: readonly Event[]): void {
  const neared = new Map<string, number>()
  for (const { event, tokens, cost, root } of ledger(events)) {
    const { tokens: most, costMicros } = root.limits
    expect(tokens, `tokens after ${event.taskId} ${event.seq} ${event.type}`).toBeLessThanOrEqual(most)
    if (costMicros !== null) expect(cost).toBeLessThanOrEqual(costMicros)
    if (event.type !== 'limit.neared' || event.taskId !== root.id) continue
    const key = `${event.data.limit} ${event.data.max}`
    neared.set(key, (neared.get(key) ?? 0) + 1)
    expect(neared.get(key)).toBe(1)
  }
}
