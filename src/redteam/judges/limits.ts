// What must hold of budgets, limits, deadlines, and of whoever waits.

import type { Event } from '../../core/event.ts'
import { evolve } from '../../core/fold.ts'
import { emptyTask, isEnded, type Task } from '../../core/task.ts'
import { rootsOf, type Evidence, type Told } from '../evidence.ts'

/** What is settled and what is set aside stay within every budget. */
export function budgets({ tasks, written }: Evidence): string[] {
  const rootOf = rootsOf(tasks)
  return [...Map.groupBy(written, ({ taskId }) => rootOf.get(taskId) ?? taskId).values()].flatMap(budgetOfTree)
}

/** The events of a tree: what its root may spend is for all of it. */
function budgetOfTree(written: readonly Event[]): string[] {
  const tasks = new Map<string, Task>()
  const neared = new Set<string>()
  for (const event of written) {
    const task = tasks.get(event.taskId) ?? emptyTask(event.taskId)
    tasks.set(event.taskId, task)
    evolve(task, event)
    const root = [...tasks.values()][0]!
    let [tokens, micros] = [0, 0]
    for (const { usage, reserved } of tasks.values()) {
      tokens += usage.inputTokens + usage.outputTokens + reserved.tokens
      micros += usage.costMicros + reserved.costMicros
    }
    const { tokens: most, costMicros } = root.limits
    const where = `${event.taskId} #${event.seq}`
    if (tokens > most) return [`${where}: ${tokens} tokens, and ${most} are allowed`]
    if (costMicros !== null && micros > costMicros)
      return [`${where}: ${micros} micro-dollars, and ${costMicros} are allowed`]
    if (event.type !== 'limit.neared') continue
    const key = `${event.taskId} ${event.data.limit} ${event.data.max}`
    if (neared.has(key)) return [`${where}: the soft line of ${event.data.limit} was told twice`]
    neared.add(key)
  }
  return []
}

/** Limits of steps and tool calls are exact. */
export function limits({ taskId, events }: Told): string[] {
  const task = emptyTask(taskId)
  for (const event of events) {
    evolve(task, event)
    const { steps, toolCalls } = task.limits
    if (task.usage.steps > steps) return [`${taskId} #${event.seq}: step ${task.usage.steps} of ${steps}`]
    const many = [...task.toolCalls].find(([, count]) => count > toolCalls)
    if (many) return [`${taskId} #${event.seq}: ${many[0]} was called ${many[1]} times of ${toolCalls}`]
  }
  return []
}

/** Nothing outlives its deadline. */
export function deadlines({ taskId, machine, events }: Told, slackMs: number): string[] {
  const open = new Map<string, number>()
  const first = new Map<number, number>()
  let visitEndsAtMs = Infinity
  const wrong: string[] = []
  for (const event of events) {
    const { data } = event
    const isUndone = event.type === 'tool.failed' && event.data.retry?.reason === 'undone'
    if (event.type === 'human.answered' || event.type === 'rollback.stopped' || isUndone) first.clear()
    // What people take is no time of the visit's.
    if (event.type === 'human.asked') visitEndsAtMs = Infinity
    if (event.type === 'state.entered')
      visitEndsAtMs = event.at + (machine.states.get(event.data.state)?.visitTimeoutMs ?? Infinity)
    const key = 'step' in data && 'attempt' in data ? `${data.step}.${data.attempt}` : undefined
    if (key === undefined) continue
    if (event.type === 'model.called' || event.type === 'tool.called' || event.type === 'function.called') {
      const { step, deadlineAtMs } = event.data
      open.set(key, deadlineAtMs)
      const isOwed = event.type === 'tool.called' && (event.data.reconciles ?? event.data.undoes) !== undefined
      if (isOwed) continue
      // All tries of a step have its time together; what a person has tried again has its own.
      const most = first.get(step) ?? deadlineAtMs
      first.set(step, most)
      if (deadlineAtMs > visitEndsAtMs)
        wrong.push(`${taskId} #${event.seq}: a try has ${deadlineAtMs - visitEndsAtMs} ms more than its visit`)
      if (deadlineAtMs > most)
        wrong.push(`${taskId} #${event.seq}: a try has ${deadlineAtMs - most} ms more than its step`)
      continue
    }
    const dueMs = open.get(key)
    if (dueMs === undefined || event.type === 'step.late') continue
    open.delete(key)
    const lateMs = event.at - dueMs
    if (lateMs > slackMs) wrong.push(`${taskId} #${event.seq}: ${event.type} came ${lateMs} ms after its deadline`)
  }
  return wrong
}

/** Nothing is asked for longer than it may be. */
export function overdue({ inbox, endedAtMs, slackMs }: Evidence): string[] {
  return inbox.flatMap(({ item, expiresAtMs }) => {
    const lateMs = endedAtMs - (expiresAtMs ?? Infinity)
    return lateMs > slackMs ? [`${item} has expired ${lateMs} ms ago, and is asked yet`] : []
  })
}

/** Every task ends, or waits for somebody. */
export function liveness({ tasks, stalled, inbox }: Evidence): string[] {
  if (tasks.length === 0) return ['the task was never begun']
  const asked = new Set(inbox.map(({ taskId }) => taskId))
  const open = tasks.filter(({ row }) => !isEnded(row))
  if (stalled) {
    const stuck = open.length > 0 ? open : tasks
    return stuck.map(
      ({ taskId, row: { state, status } }) => `${taskId} stands in ${state} (${status}), and nothing moves it`,
    )
  }
  return open.flatMap(({ taskId, row: { status, state, waitsFor } }) => {
    if (status !== 'waiting') return [`${taskId} rests in ${state} and is ${status}`]
    if (waitsFor === 'human' && !asked.has(taskId))
      return [`${taskId} waits for a human in ${state}, and nobody is asked`]
    return []
  })
}

/** Nobody is asked about a task that has ended. */
export function inVain({ tasks, inbox }: Evidence): string[] {
  const over = new Set(tasks.filter(({ row }) => isEnded(row)).map(({ taskId }) => taskId))
  return inbox.flatMap(({ item, taskId }) => (over.has(taskId) ? [`${item} is asked, and its task has ended`] : []))
}
