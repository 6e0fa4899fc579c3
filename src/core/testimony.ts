// What a task was told from outside, taken out of its log and the logs below it: its input, what models and tools answered,
// what people decided, what signals came. With that, and nothing else, the task can be run once more by the agent of today,
// bodies of tools left out: `rehearse`. It is plain JSON, made to be read and edited in a test.

import type { Event, EventData, ItemKind } from './event.ts'
import { isErased } from './erasure.ts'
import { Fault } from './fault.ts'
import { fold } from './fold.ts'
import type { Json } from './json.ts'
import type { DeclaredLabel } from './label.ts'
import type { Limits } from './limits.ts'
import type { Answer, Failure, FailureClass } from './model.ts'
import { emptyTask, type Task } from './task.ts'

/** What a model said when it was asked: it answered, or failed; one that did not settle in time never does. */
export type SaidByModel = { readonly answer: Answer } | { readonly failure: Failure }

/** What a tool answered to these arguments; without `arguments`: to any that nothing else is said of. */
export interface SaidByTool {
  readonly tool: string
  readonly arguments?: Json
  readonly result?: Json
  readonly failure?: { readonly class: FailureClass; readonly message: string }
}

/** What somebody decided about an item of that kind that was asked in that state. */
export interface SaidByPerson {
  readonly kind: ItemKind
  readonly state: string
  readonly decision: string
  readonly data?: Json
}

/** All that a task was told, in the order in which it was, and what it came to. */
export interface Testimony {
  readonly agent: string
  readonly input: Json
  readonly limits?: Limits
  readonly labels?: Readonly<Record<string, DeclaredLabel>>
  /** By `AGENT/STATE/MODEL`. */
  readonly models: Readonly<Record<string, readonly SaidByModel[]>>
  readonly tools: readonly SaidByTool[]
  readonly people: readonly SaidByPerson[]
  readonly signals: readonly { readonly name: string; readonly data: Json }[]
  /** Its outcome; or, where it has not ended, `waiting in STATE`. */
  readonly came: string
}

/** How a task came out, or where it stands. */
export function cameTo({
  outcome,
  state,
}: {
  readonly outcome?: string | null | undefined
  readonly state: string
}): string {
  return outcome ?? `waiting in ${state}`
}

/** The testimony of a task, from its log and those of all below it. Throws TESTIMONY_INVALID. */
export function testify(log: readonly Event[], below: readonly (readonly Event[])[]): Testimony {
  const [first, second] = log
  const { taskId = '' } = first ?? {}
  if (first?.type !== 'task.started') throw invalid(`There is no log of task ${taskId}.`, 'Name another task.')
  if (first.data.parent) {
    throw invalid(
      `Task ${taskId} is a child of ${first.data.parent.task}.`,
      `Name its root: ${first.data.parent.root}.`,
    )
  }
  if (second?.type === 'task.forked') {
    throw invalid(`Task ${taskId} was forked from ${second.data.from}, and began in the middle.`, 'Name that task.')
  }
  const events = [log, ...below].flat()
  const erased = events.find(({ data }) => Object.values(data).some(isErased))
  if (erased) {
    const what = `A payload of event ${erased.seq} of task ${erased.taskId} has been erased.`
    throw invalid(what, 'What a task was told is not known any more.')
  }
  const { agent, given, input } = first.data
  const labels = log.flatMap(({ type, data }) => {
    return type === 'context.written' && data.source === 'input' && data.label ? [[data.key, data.label] as const] : []
  })
  const said = [log, ...below].map(hear).flatMap((heard) => heard)
  const models = Map.groupBy(
    said.flatMap((one) => ('model' in one ? one : [])),
    ({ model }) => model,
  )
  return {
    agent,
    input,
    ...(given ? { limits: given } : {}),
    ...(labels.length > 0 ? { labels: Object.fromEntries(labels) } : {}),
    models: Object.fromEntries([...models].map(([model, all]) => [model, all.map(({ said: reply }) => reply)])),
    tools: said.flatMap((one) => ('tool' in one ? one : [])),
    people: said.flatMap((one) => ('decision' in one ? one : [])),
    signals: log.flatMap(({ type, data }) => (type === 'signal.received' ? { name: data.name, data: data.data } : [])),
    came: cameTo(fold(emptyTask(taskId), log)),
  }
}

type Said = SaidByTool | SaidByPerson | { readonly model: string; readonly said: SaidByModel }

/** What one task was told, event by event. */
function hear(log: readonly Event[]): readonly Said[] {
  const task = emptyTask(log[0]?.taskId ?? '')
  return log.flatMap((event) => {
    const said = saidIn(task, event)
    fold(task, [event])
    return said ?? []
  })
}

function saidIn(task: Task, { type, data }: Event): Said | undefined {
  if (type === 'human.answered') {
    const item = task.item?.item === data.item ? task.item : task.approvals.get(data.item)
    const { decision, data: handed } = data
    return item && { kind: item.kind, state: item.state, decision, ...(handed === undefined ? {} : { data: handed }) }
  }
  const step = 'step' in data && data.step !== undefined ? task.open.get(data.step) : undefined
  if (step?.kind === 'model') {
    const model = `${task.agent}/${task.state}/${step.model}`
    if (type === 'model.answered') {
      const { provider, modelId, content, finish, usage } = data
      return { model, said: { answer: { provider, modelId, content, finish, usage } } }
    }
    return type === 'model.failed' && wasAsked(data.class) ? { model, said: { failure: failureIn(data) } } : undefined
  }
  if (step?.kind !== 'tool' || step.undoes !== undefined || step.reconciles) return undefined
  const call = { tool: step.tool, arguments: step.arguments }
  if (type === 'tool.answered') return { ...call, result: data.result }
  if (type === 'tool.doubted') return { ...call, failure: { class: 'timeout', message: '' } }
  if (type !== 'tool.failed' || !wasAsked(data.class)) return undefined
  return { ...call, failure: { class: data.class, message: data.message } }
}

function wasAsked(kind: FailureClass): boolean {
  return kind !== 'abort' && kind !== 'lost' && kind !== 'unavailable'
}

function failureIn({ class: kind, message, status, charge, retry }: EventData['model.failed']): Failure {
  return {
    class: kind,
    message,
    ...(status === undefined ? {} : { status }),
    ...(charge ? {} : { unbilled: true }),
    ...(retry?.reason === 'retry-after' ? { retryAfterMs: retry.delayMs } : {}),
  }
}

function invalid(what: string, next: string): Fault {
  return new Fault('TESTIMONY_INVALID', `${what} No test was written.`, next)
}
