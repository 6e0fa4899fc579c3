// A task begins: with an input that fits, ceilings that hold and labels that mean something, in the first state of its
// machine; or it does not, and says why before anything is written. A child begins in the same way, with what its parent
// passes down.

import { draft, emit, noTerms, type Draft, type Terms } from './draft.ts'
import type { EventData, Parent } from './event.ts'
import { Fault } from './fault.ts'
import { isObject, quoted, type Json } from './json.ts'
import { join, labelled, labelValues, type DeclaredLabel, type Label } from './label.ts'
import { limitProblems, resolveLimits, type Limits } from './limits.ts'
import type { Machine } from './machine.ts'
import { validate } from './schema.ts'
import { emptyTask, type Kept } from './task.ts'
import { enter } from './transition.ts'

/** What a task is started with. */
export interface Start {
  readonly taskId: string
  /** The hash of the definition. */
  readonly definition: string
  readonly input: unknown
  readonly by: string
  /** Ceilings of this task alone, in place of the agent's. */
  readonly limits?: Limits
  /** What the task's random numbers are made from: a whole number of 32 bits. */
  readonly seed: number
  /** The task whose context some of the input was taken from. */
  readonly from?: string
  /** Of a child: where it comes from, and the context that it shares as it is now. */
  readonly parent?: Parent
  /** How deep below it children may be at most, whatever its agent says. */
  readonly depthMax?: number
  readonly shared?: ReadonlyMap<string, Kept>
  /** What is known of the input, by key, beyond what the context's definition says. */
  readonly labels?: Readonly<Record<string, readonly DeclaredLabel[]>>
  /** Of a child of a fork: what its parent knows of the task that was forked. */
  readonly fork?: EventData['task.forked'] | undefined
  /** Keys whose value is not known any more, where a task is told again: whether it fits, nobody can say. */
  readonly erased?: ReadonlySet<string>
}

/** Starts a task: its first events. Throws INPUT_INVALID, naming what does not fit, before anything is written. */
export function start(machine: Machine, given: Start, nowMs: number, terms: Terms = noTerms): Draft {
  return startIn(machine, given, draft(emptyTask(given.taskId), nowMs, terms))
}

/** Starts a task in a draft of a task that has no events. Throws INPUT_INVALID. */
export function startIn(machine: Machine, given: Start, begun: Draft): Draft {
  proveStart(machine, given, begun.terms)
  const values = readInput(machine, given)
  const input = Object.fromEntries(
    values.filter((entry) => entry.source === 'input').map(({ key, value }) => [key, value]),
  )
  const limits = resolveLimits(given.limits ?? {}, machine.limits)
  const depth = Math.min(limits.depth, given.depthMax ?? Infinity)
  const own = { ...given.limits, ...(given.depthMax === undefined ? {} : { depth }) }
  emit(begun, 'task.started', {
    agent: machine.name,
    version: machine.version,
    definition: given.definition,
    input,
    by: given.by,
    ...(given.from === undefined ? {} : { from: given.from }),
    limits: { ...limits, depth },
    ...(Object.keys(own).length === 0 ? {} : { given: own }),
    seed: given.seed,
    ...(given.parent === undefined ? {} : { parent: given.parent }),
    ...(machine.onCancel === 'undo' ? { onCancel: machine.onCancel } : {}),
  })
  if (given.fork) emit(begun, 'task.forked', given.fork)
  for (const [key, { value, version, label }] of given.shared ?? []) {
    if (begun.task.locals.has(key)) continue
    emit(begun, 'context.synced', { key, version, value, writer: given.parent!.task, ...labelled(label) })
  }
  for (const { key, value, source } of values) {
    const said = new Map(Object.entries(given.labels ?? {})).get(key) ?? []
    const label = (source === 'input' ? said : []).reduce<Label>(join, machine.context.get(key)!.label)
    emit(begun, 'context.written', { key, version: 1, value, source, ...labelled(label) })
  }
  enter(machine, begun, machine.initial)
  return begun
}

/** Throws INPUT_INVALID for what cannot be the id of a task that no other task begins. */
export function proveId(taskId: string): void {
  if (!/^[\w.:-]{1,128}$/.test(taskId)) {
    throw new Fault(
      'INPUT_INVALID',
      `${quoted(taskId)} cannot be a task's id.`,
      'Use 1 to 128 letters, digits, ".", ":", "_" or "-".',
    )
  }
  if (/:\d+$/.test(taskId)) {
    const what = `${quoted(taskId)} ends as the ids of child tasks do.`
    throw new Fault('INPUT_INVALID', what, 'Choose an id that does not end in ":" and a number.')
  }
}

function proveStart(machine: Machine, { taskId, limits, labels = {}, parent }: Start, { redact }: Terms): void {
  if (!parent) proveId(taskId)
  if (redact.text(taskId) !== taskId) {
    throw new Fault('INPUT_INVALID', `A task's id holds a secret, or what looks like one.`, 'Choose another id.')
  }
  for (const { field, problem, cure } of limitProblems(limits ?? {}, [...machine.states.keys()])) {
    throw new Fault('INPUT_INVALID', `limits.${field}: ${problem}`, cure)
  }
  for (const [key, all] of Object.entries(labels)) for (const label of all) proveLabel(machine, key, label)
}

/** A label that is written wrongly would label nothing, in silence. */
function proveLabel(machine: Machine, key: string, label: DeclaredLabel): void {
  const cure = `Use { trust: ${labelValues.trust.join(' | ')}, privacy: ${labelValues.privacy.join(' | ')} }.`
  if (!machine.context.has(key)) {
    const known = [...machine.context.keys()].join(', ')
    throw new Fault('INPUT_INVALID', `labels.${key}: the context has no key ${key}.`, `Its keys are: ${known}.`)
  }
  if (!isObject(label)) throw new Fault('INPUT_INVALID', `labels.${key}: ${quoted(label)} is not a label.`, cure)
  for (const [field, value] of Object.entries(label)) {
    const values: readonly string[] = Object.hasOwn(labelValues, field) ? labelValues[field as keyof Label] : []
    if (value === undefined || values.includes(value)) continue
    throw new Fault('INPUT_INVALID', `labels.${key}.${field}: ${quoted(value)} is not a label.`, cure)
  }
}

/** What is there already, in a context that is shared, need not come as input. */
function readInput(
  machine: Machine,
  { input, shared, parent, erased }: Start,
): { key: string; value: Json; source: 'input' | 'initial' }[] {
  const fail = (problem: string): never => {
    const keys = [...machine.context.keys()].join(', ')
    throw new Fault(
      'INPUT_INVALID',
      `The input of agent ${machine.name}: ${problem}.`,
      `Give a JSON object with the context's keys (${keys}).`,
    )
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return fail('it is not an object')
  const given = new Map(Object.entries(input))
  for (const key of given.keys()) if (!machine.context.has(key)) fail(`${key} is not a key of its context`)
  const values: { key: string; value: Json; source: 'input' | 'initial' }[] = []
  for (const { name, schema, initial } of machine.context.values()) {
    if (shared && parent?.shares !== undefined && !given.has(name)) continue
    const source = given.has(name) ? 'input' : 'initial'
    const value = given.has(name) ? given.get(name) : initial
    const verdict = erased?.has(name) ? { ok: true as const, value: value as Json } : validate(schema, value)
    if (!verdict.ok) fail(given.has(name) ? `${name}: ${verdict.problem}` : `${name} is missing`)
    else if (value !== undefined) values.push({ key: name, value: verdict.value, source })
  }
  return values
}
