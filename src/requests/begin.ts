// How a task begins: by an agent that is known here, with an input that fits it, some of it from another task's context if
// so wished. Beginning it twice under one id is the same as once.

import type { Agent } from '../core/agent.ts'
import type { Draft } from '../core/draft.ts'
import { isErased } from '../core/erasure.ts'
import { Fault } from '../core/fault.ts'
import type { JsonObject } from '../core/json.ts'
import type { DeclaredLabel } from '../core/label.ts'
import type { Limits } from '../core/limits.ts'
import { start } from '../core/start.ts'
import { commitSurely, rowOf, type Desk } from '../door.ts'
import { provePrices, type Outfit } from '../outfit.ts'
import { canonical, genesis } from '../store/log.ts'

/** What a task may be started with besides its input. */
export interface StartOptions {
  /** The task's id. Starting it again with the same agent and input gives the same task. Default: a new UUID. */
  readonly id?: string
  /** Who starts it. Default `api`. */
  readonly by?: string
  readonly limits?: Limits
  /** What is known of the input, by context key: never less than what the key's definition says. */
  readonly labels?: Readonly<Record<string, DeclaredLabel>>
  /** Takes these keys of another task's context as input, with their labels: what it read stays what it was. */
  readonly from?: { readonly taskId: string; readonly keys: readonly string[] }
}

/** Where tasks begin, and what is known there. */
export interface Platform extends Desk, Pick<Outfit, 'machines'> {
  /** Whether tasks are worked on here, too: then a limit of what they cost takes prices of all that they use. */
  readonly works: boolean
}

/**
 * Starts a task, and answers with its id. Throws AGENT_UNKNOWN, INPUT_INVALID, PRICE_UNKNOWN, or TASK_EXISTS when the id stands for
 * another task already; then nothing was written.
 */
export async function startTask(
  platform: Platform,
  agent: Agent<any, any> | string,
  input: unknown,
  options: StartOptions,
): Promise<string> {
  const begun = await beginTask(platform, agent, input, options)
  const { task, events } = begun
  const committed = await commitSurely(platform.store, { point: 'start', head: genesis, events, task })
  if (!committed.ok) await proveSame(platform, begun)
  return task.id
}

/** A task's first events. Nothing is written. */
export async function beginTask(
  platform: Platform,
  agent: Agent<any, any> | string,
  input: unknown,
  options: StartOptions,
): Promise<Draft> {
  const { machines, runtime, terms, works } = platform
  const name = typeof agent === 'string' ? agent : agent.name
  const found = [...machines].find(([, entry]) => entry.agent === name)
  if (!found) {
    const known = [...machines.values()].map((entry) => entry.agent).join(', ')
    throw new Fault('AGENT_UNKNOWN', `There is no agent ${name} here.`, `Known agents: ${known || 'none'}.`)
  }
  const [definition, { machine }] = found
  const { id: taskId = runtime.id(), by = 'api', limits } = options
  const taken = options.from ? await takeFrom(platform, options.from) : { input: {}, labels: {} }
  const seed = Math.floor(runtime.random() * 2 ** 32)
  if (limits?.cost !== undefined && works) provePrices(machine, limits.cost, terms)
  const labels = both(taken.labels, options.labels ?? {})
  const given = {
    taskId,
    definition,
    input: options.from ? { ...(input as object), ...taken.input } : input,
    by,
    seed,
    labels,
    ...(limits ? { limits } : {}),
    ...(options.from ? { from: options.from.taskId } : {}),
  }
  return start(machine, given, runtime.now(), terms)
}

type Labels = Readonly<Record<string, DeclaredLabel>>

/** Keys of another task's context, with their labels. */
async function takeFrom(
  desk: Desk,
  { taskId, keys }: NonNullable<StartOptions['from']>,
): Promise<{ input: JsonObject; labels: Labels }> {
  await rowOf(desk, taskId)
  // What was erased is not there any more.
  const context = (await desk.store.context(taskId)).filter(({ value }) => !isErased(value))
  const missing = keys.find((key) => !context.some((kept) => kept.key === key))
  if (missing !== undefined) {
    const known = context.map(({ key }) => key).join(', ')
    throw new Fault('INPUT_INVALID', `Task ${taskId} has no ${missing} in its context.`, `It has: ${known}.`)
  }
  const taken = context.filter(({ key }) => keys.includes(key))
  return {
    input: Object.fromEntries(taken.map(({ key, value }) => [key, value])),
    labels: Object.fromEntries(taken.map(({ key, label }) => [key, label])),
  }
}

/** What is said of each key: by the one, by the other, or by both. */
function both(a: Labels, b: Labels): Readonly<Record<string, readonly DeclaredLabel[]>> {
  const said = Map.groupBy([...Object.entries(a), ...Object.entries(b)], ([key]) => key)
  return Object.fromEntries([...said].map(([key, entries]) => [key, entries.map(([, label]) => label)]))
}

async function proveSame(desk: Desk, begun: Draft): Promise<void> {
  const [first] = await desk.store.read(begun.task.id, { limit: 1 })
  const [asked] = begun.events
  // A task that was moved is the same by the definition that it was started with, and by the one that it is pinned to.
  const { definition: now } = await rowOf(desk, begun.task.id)
  const its = new Set([now, first?.type === 'task.started' ? first.data.definition : now])
  // An input that was erased can be held against nothing: then the id and the agent say that it is the same.
  const gone = first?.type === 'task.started' && isErased(first.data.input)
  const facts = (event: typeof asked): string => {
    const data = event?.type === 'task.started' ? event.data : undefined
    if (!data) return canonical(null)
    const { agent, definition, input } = data
    return canonical({ agent, its: its.has(definition), input: gone ? null : input })
  }
  if (facts(first) === facts(asked)) return
  throw new Fault(
    'TASK_EXISTS',
    `Task ${begun.task.id} exists, with another agent, definition or input.`,
    `Choose another id, or look at it: signalbox show ${begun.task.id}.`,
  )
}
