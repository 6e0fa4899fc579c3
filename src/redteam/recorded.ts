// What the outside of an agent said in tasks that were recorded: what they were started with, what tools answered, what was handed
// over with exits by models, people and functions, what signals held. A campaign plays with that in the place of values that are
// made up. What does not fit the agent of today, or was erased, is left out, and told.

import { isErased } from '../core/erasure.ts'
import type { Event } from '../core/event.ts'
import { isObject, keyOf, type Json } from '../core/json.ts'
import type { Machine } from '../core/machine.ts'
import { validate, type Schema } from '../core/schema.ts'
import { teamOf } from './route.ts'
import { sampleInput } from './guide.ts'
import type { Outside } from './scene.ts'

/** What is known from recorded tasks. */
export interface Recorded {
  readonly outside: Outside
  /** How many answers of each tool are known, and which exits and signals. */
  readonly tools: Readonly<Record<string, number>>
  readonly exits: readonly string[]
  readonly signals: readonly string[]
  /** Whether tasks are started as one of them was. */
  readonly input: boolean
  /** What is left out, each with the reason. */
  readonly left: readonly string[]
}

interface Answered {
  readonly arguments: Json
  readonly result: Json
}

/** Reads logs, each whole, for the campaign against a root. Of several values for one place the last counts. */
export function recordedOf(root: Machine, logs: readonly (readonly Event[])[]): Recorded {
  const team = teamOf(root)
  const left = new Set<string>()
  const known = <Value>(value: Value, what: string): Value | undefined => {
    if (!isErased(value)) return value
    left.add(`${what} was erased`)
    return undefined
  }
  const input = inputOf(root, logs, left)
  const tools = new Map<string, Answered[]>()
  const outputs = new Map<string, Json>()
  const signals = new Map<string, Json>()
  for (const log of logs) {
    const [first] = log
    const machine = first?.type === 'task.started' ? team.get(first.data.agent) : undefined
    if (!machine) continue
    const called = new Map<number, Json>()
    for (const { type, data } of log) {
      if (type === 'tool.called' && data.undoes === undefined) called.set(data.step, data.arguments)
      if (type === 'tool.answered' && called.has(data.step)) {
        const result = known(data.result, `an answer of ${data.tool}`)
        const answer = { arguments: called.get(data.step)!, result: result! }
        if (result !== undefined) tools.set(data.tool, [...(tools.get(data.tool) ?? []), answer])
      }
      if (type === 'transition.taken' && data.output !== undefined && isSaid(machine, data.source)) {
        const output = known(data.output, `what was handed over with ${data.exit}`)
        const problem = output === undefined ? undefined : unfit(team, data.exit, output)
        if (problem !== undefined) left.add(`what was handed over with ${data.exit} does not fit ${problem}`)
        else if (output !== undefined) outputs.set(data.exit, output)
      }
      if (type === 'signal.received') {
        const held = known(data.data, `the signal ${data.name}`)
        const verdict = held === undefined ? undefined : judge(machine.signals?.get(data.name), held)
        if (verdict !== undefined) left.add(`the signal ${data.name} does not fit: ${verdict}`)
        else if (held !== undefined) signals.set(data.name, held)
      }
    }
  }
  return {
    outside: {
      ...(input ? { input } : {}),
      tools: Object.fromEntries([...tools].map(([name, answers]) => [name, (given: Json) => answerOf(answers, given)])),
      outputs: Object.fromEntries(outputs),
      signals: Object.fromEntries(signals),
    },
    tools: Object.fromEntries([...tools].map(([name, answers]) => [name, answers.length])),
    exits: [...outputs.keys()],
    signals: [...signals.keys()],
    input: input !== undefined,
    left: [...left],
  }
}

/** To the same arguments what was answered to them last; to others what was answered last. Plays know nothing of each other. */
function answerOf(answers: readonly Answered[], given: Json): Json {
  const key = keyOf(given)
  return (answers.findLast((one) => keyOf(one.arguments) === key) ?? answers.at(-1)!).result
}

/** Is what leaves this state handed over by a model, a person or a function, and not computed? */
function isSaid({ states }: Machine, state: string): boolean {
  const kind = states.get(state)?.kind
  return kind === undefined || kind === 'model' || kind === 'human' || kind === 'run'
}

/** The state that this cannot be handed over from; undefined where it may be from every state with such an exit. */
function unfit(team: ReadonlyMap<string, Machine>, exit: string, output: Json): string | undefined {
  for (const machine of team.values()) {
    for (const { name, exits } of machine.states.values()) {
      const problem = isSaid(machine, name) ? judge(exits.get(exit)?.output, output) : undefined
      if (problem !== undefined) return `${machine.name}.${name}: ${problem}`
    }
  }
  return undefined
}

function judge(schema: Schema | undefined, value: Json): string | undefined {
  const verdict = schema && validate(schema, value)
  return verdict && !verdict.ok ? verdict.problem : undefined
}

/** What the last of them was started with, as far as it fits; what is missing is made up. */
function inputOf(
  root: Machine,
  logs: readonly (readonly Event[])[],
  left: Set<string>,
): Readonly<Record<string, Json>> | undefined {
  const started = logs.flatMap(([first]) => {
    const isIts = first?.type === 'task.started' && first.data.agent === root.name && !first.data.parent
    return isIts ? [first.data.input] : []
  })
  const last = started.findLast((input) => !isErased(input))
  if (started.length > 0 && last === undefined) left.add('the input was erased')
  if (!isObject(last)) return undefined
  const fitting = Object.entries(last).filter(([key, value]) => {
    const known = root.context.get(key)
    const problem = known ? judge(known.schema, value) : 'the context has no such key'
    if (problem !== undefined) left.add(`the input ${key} does not fit: ${problem}`)
    return problem === undefined
  })
  return { ...sampleInput(root), ...Object.fromEntries(fitting) }
}
