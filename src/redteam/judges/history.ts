// What a log must tell whatever went wrong: nothing that was written is missing, nobody who was given up is heard, a task reads
// of others only what they share, and what is taken back is taken back once. Each answers with what is otherwise, in words.

import { isDeepStrictEqual } from 'node:util'
import { outcomes, type Event, type EventData } from '../../core/event.ts'
import { evolve, fold } from '../../core/fold.ts'
import { keyOf, type Json } from '../../core/json.ts'
import { emptyTask, type Task } from '../../core/task.ts'
import type { TaskRow } from '../../store/store.ts'
import { rootsOf, type Evidence, type Told } from '../evidence.ts'

/** I2: where a row is not what the log says it is. */
export function differences(row: TaskRow, told: TaskRow): readonly string[] {
  const keys = Object.keys(row) as (keyof TaskRow)[]
  return keys.flatMap((key) =>
    told[key] === row[key] ? [] : [`${key} is ${String(row[key])}, and the log says ${String(told[key])}`],
  )
}

/** I5: what a worker was told is written is in a log at the end, as it was; and nothing is that nobody wrote. */
export function durable({ written, tasks }: Evidence): string[] {
  const place = ({ taskId, seq }: Event): string => `${taskId} #${seq}`
  const same = (a: Event, b: Event): boolean => a.type === b.type && a.at === b.at && isSame(a.data, b.data)
  const logged = new Map(tasks.flatMap(({ events }) => events).map((event) => [place(event), event]))
  const lost = written.flatMap((event) => {
    const found = logged.get(place(event))
    if (!found) return [`${place(event)}: ${event.type} was written, and is gone`]
    return same(event, found) ? [] : [`${place(event)}: ${event.type} is not as it was written`]
  })
  const known = new Set(written.map(place))
  const strange = [...logged.keys()].filter((key) => !known.has(key))
  return [...lost, ...strange.map((key) => `${key}: nobody has written this`)]
}

function isSame(a: Event['data'], b: Event['data']): boolean {
  // What is not there in one may be there as undefined in the other.
  return isDeepStrictEqual(a, b) || keyOf(a as unknown as Json) === keyOf(b as unknown as Json)
}

/** I13: what a worker brings that was given up is not applied, and no attempt has two outcomes. */
export function heardOnce({ taskId, events }: Told): string[] {
  const lost = new Set<string>()
  const over = new Set<string>()
  return events.flatMap((event) => {
    const { data } = event
    if (!('step' in data) || !('attempt' in data)) return []
    const key = `${data.step}.${data.attempt}`
    if (event.type === 'step.lost') lost.add(key)
    // From here on people have a say, who were told that nobody knows.
    if (event.type === 'tool.doubted') for (const set of [lost, over]) set.delete(key)
    if (!isOutcome(event)) return []
    const where = `${taskId} #${event.seq}: ${event.type}`
    const wrong = [
      ...(lost.has(key) ? [`${where} is of a worker that was given up before`] : []),
      ...(over.has(key) ? [`${where} is the second outcome of one attempt`] : []),
    ]
    over.add(key)
    return isOurs(event) ? [] : wrong
  })
}

/** Who works on says so itself where it is too late to try again, or was tried too often. */
function isOurs({ data }: Event): boolean {
  return 'class' in data && ['timeout', 'lost', 'unavailable', 'abort'].includes(data.class)
}

function isOutcome(event: Event): boolean {
  const isSaid = event.type === 'tool.answered' && event.data.by !== undefined
  return outcomes.has(event.type) && !isSaid
}

/** I17: what is seen of another task's context is of the same tree, where contexts are shared, and declared. */
export function sharedOnly({ tasks }: Evidence): string[] {
  const rootOf = rootsOf(tasks)
  return tasks.flatMap(({ taskId, machine, events }) => {
    const shares = events.some(
      ({ type, data }) =>
        (type === 'task.started' && data.parent?.shares !== undefined) || (type === 'child.started' && data.shares),
    )
    return events.flatMap(({ seq, type, data }) => {
      if (type !== 'context.synced') return []
      const { key, writer } = data
      const where = `${taskId} #${seq}: reads ${key} of ${writer}`
      if (rootOf.get(writer) !== rootOf.get(taskId)) return [`${where}, which is of another tree`]
      if (!shares) return [`${where}, and shares no context`]
      return machine.context.has(key) ? [] : [`${where}, which it does not declare`]
    })
  })
}

/** I18: each effect is taken back at most once, and a task that went back stands where it stood. */
export function takenBackOnce({ taskId, events, row }: Told): string[] {
  const keys = new Map<number, string>()
  const undoing = new Map<number, number>()
  const done = new Set<number>()
  const kept = new Set<number>()
  const wrong: string[] = []
  for (const [index, { seq, type, data }] of events.entries()) {
    const where = `${taskId} #${seq}`
    if (type === 'tool.called' && data.undoes !== undefined) {
      const { step, undoes, idempotencyKey } = data
      if (done.has(undoes)) wrong.push(`${where}: step ${undoes} is taken back, and was before`)
      if ((keys.get(undoes) ?? idempotencyKey) !== idempotencyKey)
        wrong.push(`${where}: step ${undoes} is taken back under another key than before`)
      keys.set(undoes, idempotencyKey)
      undoing.set(step, undoes)
    }
    const isAnswer = type === 'tool.answered' || (type === 'step.late' && data.kind === 'tool')
    if (isAnswer && undoing.has(data.step)) done.add(undoing.get(data.step)!)
    if (type === 'effect.kept') kept.add(data.step)
    if (type === 'task.rolledBack')
      wrong.push(...arrived(where, events.slice(0, index), events.slice(index + 1), done, kept, row.contextOf !== null))
  }
  return wrong
}

/** A task that has gone back has taken back what it said it would, and its context is written again. */
function arrived(
  where: string,
  before: readonly Event[],
  after: readonly Event[],
  done: ReadonlySet<number>,
  kept: ReadonlySet<number>,
  isLent: boolean,
): string[] {
  const plan = before.findLast(({ type }) => type === 'rollback.started')
  if (plan?.type !== 'rollback.started') return [`${where}: it went back, and nothing says why`]
  const left = plan.data.undo.filter((step) => !done.has(step) && !kept.has(step))
  const entered = after.findIndex(({ type }) => type === 'state.entered')
  const written = after.slice(0, entered).flatMap(({ type, data }) => (type === 'context.written' ? [data] : []))
  // What another has written meanwhile to a context that is lent is the other's.
  const since = isLent ? before.filter(({ seq }) => seq > plan.seq) : []
  const theirs = new Set(since.flatMap(({ type, data }) => (type === 'context.synced' ? [data.key] : [])))
  const unset = plan.data.restore.filter(
    ({ key, value }) =>
      !theirs.has(key) && !written.some((one) => one.key === key && keyOf(one.value) === keyOf(value)),
  )
  return [
    ...left.map((step) => `${where}: it went back, and step ${step} stands`),
    ...unset.map(({ key }) => `${where}: it went back, and ${key} is not as it was`),
  ]
}

/** I18: what is taken back was done after what is gone back to, the latest first; and what a task knows is what it knew there. */
export function asItWas({ taskId, events, row }: Told): string[] {
  const wrong: string[] = []
  const task = emptyTask(taskId)
  const called = new Map<number, number>()
  let plan: EventData['rollback.started'] | undefined
  let latest = Infinity
  let goal: ReadonlyMap<string, string> | undefined
  for (const event of events) {
    evolve(task, event)
    const { seq, type, data } = event
    const where = `${taskId} #${seq}`
    if (type === 'rollback.started') [plan, latest] = [data, Infinity]
    if (type === 'tool.called' && data.undoes === undefined) called.set(data.step, called.get(data.step) ?? seq)
    if (type === 'tool.called' && data.undoes !== undefined) {
      const { undoes, tool } = data
      if (undoes > latest) wrong.push(`${where}: step ${undoes} (${tool}) is taken back after step ${latest}`)
      if (plan && plan.to > (called.get(undoes) ?? 0))
        wrong.push(`${where}: step ${undoes} (${tool}) is taken back, and was done before #${plan.to}`)
      latest = undoes
    }
    // Others may write to a context that is shared; what is a task's own is as it was.
    if (type === 'task.rolledBack' && row.contextOf === null)
      goal = valuesOf(fold(emptyTask(taskId), events.slice(0, data.to)))
    if (type !== 'state.entered' || !goal) continue
    const now = valuesOf(task)
    const differs = [...new Set([...goal.keys(), ...now.keys()])].filter((key) => goal!.get(key) !== now.get(key))
    wrong.push(
      ...differs.map((key) => `${where}: ${key} is ${now.get(key)} after the rollback, and was ${goal!.get(key)}`),
    )
    goal = undefined
  }
  return wrong
}

function valuesOf({ context }: Task): ReadonlyMap<string, string> {
  return new Map([...context].map(([key, { value }]) => [key, keyOf(value)]))
}
