// Makes a long log as a worker would whose steps end in no time: what is decided is what would be, and a thousand events at a
// time are one commit, where a worker writes five.

import type { Agent } from '../../src/core/agent.ts'
import { compileChecked } from '../../src/core/check.ts'
import { proceed, settle } from '../../src/core/decide.ts'
import { draft } from '../../src/core/draft.ts'
import type { Store } from '../../src/store/store.ts'

const perCommit = 1_000

/** Lets a counter that was started, and that no worker has, count until it rests. */
export async function grow(store: Store, taskId: string, counter: Agent<any, any>): Promise<void> {
  const machine = compileChecked(counter)
  let { task, head } = await store.load(taskId)
  while (task.status === 'running') {
    const work = draft(task, Date.now())
    proceed(machine, work)
    for (const step of task.open.values()) {
      const { n, upTo } = Object.fromEntries([...task.context].map(([key, { value }]) => [key, value as number]))
      const leaving = { exit: n! + 1 < upTo! ? 'MORE' : 'PAUSE', output: { n: n! + 1 } }
      settle(machine, work, { kind: 'function', leaving, step: step.step, attempt: step.attempt, latencyMs: 0 })
      if (work.events.length >= perCommit) break
      proceed(machine, work)
    }
    const committed = await store.commit({ point: 'settle', head, events: work.events, task })
    if (!committed.ok) throw new Error(committed.reason)
    head = committed.head
  }
}
