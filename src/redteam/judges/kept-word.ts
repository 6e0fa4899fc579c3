// What whoever is spoken to has promised, held against the logs: what people were told is done, is done; a task is in the hands
// of one at a time; a parent hears of its child; nobody writes over what they have not seen. Each answers with what is
// otherwise, in words.

import type { Event, EventData } from '../../core/event.ts'
import type { Promised } from '../caller.ts'
import type { Evidence, Told } from '../evidence.ts'

/** I5: what people were told is written is in the log. */
export function done({ told, tasks }: Evidence): string[] {
  const logs = new Map(tasks.map(({ taskId, events }) => [taskId, events]))
  const groups = Map.groupBy(told, ({ taskId, what, about, once }) => `${taskId} ${what} ${about ?? ''} ${once ?? ''}`)
  return [...groups.values()].flatMap((same) => {
    const [first] = same as [Promised]
    const found = (logs.get(first.taskId) ?? []).filter((event) => isOf(event, first)).length
    const wanted = first.once || first.what === 'cancel' ? 1 : same.length
    if (found >= wanted) return []
    return [
      `${first.taskId}: ${wanted} times it was said that ${first.what} ${first.about ?? ''} is done, and ${found} are in the log`,
    ]
  })
}

function isOf({ type, data }: Event, { what, about }: Promised): boolean {
  if (what === 'answer') return type === 'human.answered' && data.item === about
  if (what === 'signal') return type === 'signal.received' && data.name === about
  if (what === 'cancel') return type === 'task.cancelled' || type === 'task.ended'
  return type === 'rollback.started'
}

/** I13: who writes holds the task, and once another has it never again. */
export function holders({ holdings }: Evidence): string[] {
  const over = new Map<string, Set<string>>()
  const last = new Map<string, string>()
  const wrong: string[] = []
  for (const { taskId, seq, lease, held } of holdings) {
    const where = `${taskId} after #${seq}`
    if (lease !== held) wrong.push(`${where}: ${lease} wrote, and ${held} had the task`)
    const before = last.get(taskId)
    const lost = over.get(taskId) ?? new Set()
    over.set(taskId, lost)
    if (before !== undefined && before !== lease) lost.add(before)
    if (lost.has(lease)) wrong.push(`${where}: ${lease} wrote after it had lost the task`)
    last.set(taskId, lease)
  }
  return wrong
}

/** I13: nobody is given a task that is in the hands of somebody who still has time. */
export function oneAtATime({ grants }: Evidence): string[] {
  return grants.flatMap(({ taskId, lease, atMs, before }) =>
    before && before.untilMs > atMs
      ? [`${taskId}: ${lease} is given it, and ${before.lease} has it for ${before.untilMs - atMs} ms yet`]
      : [],
  )
}

/** I9: a parent hears of the end of a child as soon as it could. */
export function heardInTime({ tasks, slackMs }: Evidence): string[] {
  const logs = new Map(tasks.map((told) => [told.taskId, told]))
  return tasks.flatMap(({ taskId, events, row: { parentId } }) => {
    const ended = events.findLast(({ type }) => type === 'task.ended')
    const parent = parentId === null ? undefined : logs.get(parentId)
    const told = parent?.events.find(
      ({ type, data }) => (type === 'child.ended' || type === 'child.calledOff') && data.child === taskId,
    )
    if (!ended || !told || told.at - ended.at <= slackMs) return []
    return [`${taskId} ended, and its parent came to know ${told.at - ended.at} ms later (#${told.seq}: ${told.type})`]
  })
}

/** A11: what a function writes takes the place of nothing that it has not seen, where a key is replaced. */
export function seenBefore({ taskId, machine, events }: Told): string[] {
  const unseen = new Map<string, number>()
  let isAtWork = false
  return events.flatMap(({ seq, type, data }) => {
    if (type === 'function.called') {
      unseen.clear()
      isAtWork = true
    }
    if (type === 'context.synced' && isAtWork) unseen.set(data.key, seq)
    if (type === 'state.entered') isAtWork = false
    if (type !== 'context.written' || data.source !== 'exit' || !isAtWork) return []
    const since = unseen.get(data.key)
    if (since === undefined || machine.context.get(data.key)?.merge !== 'replace') return []
    return [
      `${taskId} #${seq}: ${data.key} is written over what another wrote (#${since}) after its function had begun`,
    ]
  })
}

/** I9: what people say to a task that waits for it is heard as soon as it could be. */
export function answeredInTime({ tasks, slackMs }: Evidence): string[] {
  return tasks.flatMap(({ taskId, events }) => {
    let waitsFor: string | undefined
    return events.flatMap((event, index) => {
      const { type, data } = event
      if (type === 'wait.started') waitsFor = data.signal
      // Nor does it wait for a signal while somebody is asked what is to become of it.
      if (['transition.taken', 'human.asked', 'rollback.started'].includes(type)) waitsFor = undefined
      const isHeard =
        (type === 'human.answered' && (data.more ?? 0) === 0) || (type === 'signal.received' && data.name === waitsFor)
      const next = events.slice(index + 1).find((one) => !isFromOutside(one))
      if (!isHeard || !next || next.at - event.at <= slackMs) return []
      return [`${taskId} #${event.seq}: ${type} was heard ${next.at - event.at} ms later (#${next.seq}: ${next.type})`]
    })
  })
}

function isFromOutside({ type }: Event): boolean {
  return ['signal.received', 'human.answered', 'answer.refused', 'notice.sent', 'notice.failed'].includes(type)
}

/** I9: a signal that came early is there when the task comes to wait for it. */
export function signalsKept({ taskId, events }: Told): string[] {
  const kept = new Map<string, number>()
  return events.flatMap(({ seq, type, data }, index) => {
    if (type === 'signal.received') kept.set(data.name, (kept.get(data.name) ?? 0) + 1)
    if (type === 'signal.consumed') kept.set(data.name, (kept.get(data.name) ?? 0) - 1)
    if (type !== 'wait.started' || data.signal === undefined || (kept.get(data.signal) ?? 0) <= 0) return []
    const name = data.signal
    const next = events
      .slice(index + 1)
      .find((one) => ['signal.consumed', 'signal.received', 'deadline.passed'].includes(one.type))
    if (!next || next.type === 'signal.consumed') return []
    return [`${taskId} #${seq}: waits for ${name}, which came before`]
  })
}

/** I4: one step has one key, however often it is tried; and a call that may be made once and had no answer has not just failed. */
export function unknownIsKnown({ tasks, acts }: Evidence): string[] {
  const acted = new Set(acts.map(({ key }) => key))
  return tasks.flatMap((told) => unknownIn(told, acted))
}

function unknownIn({ taskId, events }: Told, acted: ReadonlySet<string>): string[] {
  const calls = new Map<number, EventData['tool.called']>()
  return events.flatMap(({ seq, type, data }) => {
    const where = `${taskId} #${seq}`
    if (type === 'tool.called') {
      const before = calls.get(data.step)
      calls.set(data.step, data)
      if (!before || before.idempotencyKey === data.idempotencyKey) return []
      return [`${where}: ${data.tool} is called in one step under ${before.idempotencyKey} and ${data.idempotencyKey}`]
    }
    if (type !== 'tool.failed' || !['timeout', 'abort'].includes(data.class) || data.retry) return []
    const call = calls.get(data.step)
    // One that never began has not acted.
    if (!call || call.idempotent || call.undoes !== undefined || call.reconciles) return []
    if (!acted.has(call.idempotencyKey)) return []
    return [`${where}: nobody knows whether ${data.tool} has acted, and it counts as failed`]
  })
}

/** I10: who agrees says to what, and it is that. */
export function agreedTo({ tasks, told }: Evidence): string[] {
  const asked = new Map<string, string>()
  for (const { events } of tasks)
    for (const { type, data } of events)
      if (type === 'human.asked' && data.approval) asked.set(data.item, data.approval.hash)
  return told.flatMap(({ about = '', hash }) =>
    hash === undefined || (asked.get(about) ?? hash) === hash
      ? []
      : [`${about} was agreed to with the hash of something else`],
  )
}
