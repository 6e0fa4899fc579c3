// What must hold of what models are asked, of breakers, and of what is tried again.

import type { Event, EventData } from '../../core/event.ts'
import { defaults } from '../../core/limits.ts'
import { toolsOf, type Machine } from '../../core/machine.ts'
import type { Message } from '../../core/model.ts'
import type { Told } from '../evidence.ts'

/** What a model is asked is well formed. */
export function request(messages: readonly Message[]): string[] {
  for (const [index, message] of messages.entries()) {
    const before = messages[index - 1]
    if (message.role === 'tool') {
      const results = message.results.map(({ id }) => id)
      if (results.join('\n') !== ids(before).join('\n'))
        return [`message ${index} answers ${results.length} calls of ${ids(before).length}`]
      continue
    }
    if (ids(before).length > 0) return [`the calls of message ${index - 1} have no results`]
    if (new Set(ids(message)).size !== ids(message).length) return [`message ${index} has two calls of one id`]
  }
  return ids(messages.at(-1)).length > 0 ? ['the last calls have no results'] : []
}

function ids(message: Message | undefined): string[] {
  return message?.role === 'assistant' ? message.content.flatMap((part) => (part.type === 'call' ? [part.id] : [])) : []
}

/** Nobody calls through an open breaker. */
export function breakers(written: readonly Event[]): string[] {
  const gates = new Map<string, EventData['breaker.changed']>()
  const probes = new Map<string, number>()
  for (const event of written) {
    if (event.type === 'breaker.changed') {
      const before = gates.get(event.data.key)
      const isEarly = before?.status === 'open' && event.data.status === 'half-open' && event.at < before.untilMs
      if (isEarly)
        return [`${event.taskId} #${event.seq}: ${event.data.key} is probed before its breaker has cooled down`]
      // Who probes has said how it came out, or has had its time, before another one probes.
      const isSecond = before?.status === 'half-open' && event.data.status === 'half-open' && event.at < before.untilMs
      if (isSecond && before.probe !== event.data.probe)
        return [`${event.taskId} #${event.seq}: ${event.data.key} is probed by two at a time`]
      gates.set(event.data.key, event.data)
      if (before?.probe !== event.data.probe) probes.delete(event.data.key)
    }
    const key =
      event.type === 'model.called'
        ? `model:${event.data.model}`
        : event.type === 'tool.called'
          ? `tool:${event.data.tool}`
          : ''
    const gate = gates.get(key)
    if (gate?.status === 'open' && event.at < gate.untilMs)
      return [`${event.taskId} #${event.seq}: ${key} is called while its breaker is open`]
    if (gate && event.at < gate.pausedUntilMs)
      return [
        `${event.taskId} #${event.seq}: ${key} is called ${gate.pausedUntilMs - event.at} ms too soon: it asked for quiet`,
      ]
    if (gate?.status !== 'half-open') continue
    const made = (probes.get(key) ?? 0) + 1
    probes.set(key, made)
    if (made > 1 && event.at < gate.untilMs) return [`${event.taskId} #${event.seq}: ${key} is probed by two at a time`]
  }
  return []
}

/** Tries and delays stay within policy. */
export function retries({ taskId, machine, events }: Told): string[] {
  const tries = new Map<number, number>()
  const due = new Map<number, number>()
  const wrong: string[] = []
  let state: string | undefined
  for (const event of events) {
    if (event.type === 'state.entered') state = event.data.state
    if (event.type === 'model.called' || event.type === 'tool.called') due.set(event.data.step, event.data.deadlineAtMs)
    // A person who has it tried again gives it as many tries again.
    if (event.type === 'human.answered' && event.data.decision === 'retry') tries.clear()
    if (event.type !== 'model.failed' && event.type !== 'tool.failed') continue
    const { step, retry } = event.data
    // To ask whether it was done is no try; that it was not done makes the next one the first.
    if (retry?.reason === 'reconcile' || retry?.reason === 'undone') continue
    const made = (tries.get(step) ?? 0) + 1
    tries.set(step, made)
    if (!retry) continue
    const where = `${taskId} #${event.seq}`
    const most = mostTries(machine, state, event)
    if (made >= most) wrong.push(`${where}: try ${made + 1} of ${most}`)
    const deadlineAtMs = due.get(step) ?? Infinity
    if (retry.atMs >= deadlineAtMs)
      wrong.push(`${where}: is to be tried again ${retry.atMs - deadlineAtMs} ms after its deadline`)
    if (retry.delayMs < 0) wrong.push(`${where}: a delay of ${retry.delayMs} ms`)
    if (retry.reason === 'jitter' && retry.delayMs > defaults.retryCapMs)
      wrong.push(`${where}: waits ${retry.delayMs} ms, and ${defaults.retryCapMs} is the most`)
  }
  return wrong
}

function mostTries(machine: Machine, state: string | undefined, event: Event): number {
  const node = machine.states.get(state ?? '')
  if (event.type === 'tool.failed') {
    const tool = node && toolsOf(node).find(({ name }) => name === event.data.tool)
    return (tool ?? machine.tools.get(event.data.tool))?.retry.attempts ?? Infinity
  }
  // One more where a request that was too large is made smaller.
  return node?.kind === 'model' ? node.retry.attempts * node.models.length + 3 : Infinity
}
