// Moving a running task to another definition of its agent. A task is pinned to the definition that it was started with;
// where the new definition declares `migrate`, the task may be moved, at a safe state and with an event: nothing of it is
// under way, and nothing has been done yet in the visit that it is in. It then begins a visit anew, in the new machine.
// Whatever does not fit is found before anything is decided; then the task stays as it is, for workers that have the
// definition it is pinned to.

import type { Migration } from './agent.ts'
import { emit, type Draft } from './draft.ts'
import type { EventData } from './event.ts'
import { messageOf } from './fault.ts'
import { isObject, keyOf, type Json } from './json.ts'
import { clear, join, labelled, type Label } from './label.ts'
import { softTarget } from './limits.ts'
import type { ContextKey, Machine, Node } from './machine.ts'
import { originOf, withoutLinks } from './provenance.ts'
import { validate } from './schema.ts'
import { isEnded, nextVersion, type Kept, type Task } from './task.ts'
import { enterAnew } from './transition.ts'

/**
 * What became of a task that was to be moved. `later`: it is not at a safe state. `left`: the new definition does not want
 * it. `unfit`: it does, and its answer does not fit the task or the machine.
 */
export type Moved = { readonly kind: 'moved' } | { readonly kind: 'later' | 'left' | 'unfit'; readonly why: string }

/** Moves a task to a machine whose definition has this hash, or says why it stays where it is. Nothing is decided then. */
export function migrate(machine: Machine, definition: string, work: Draft): Moved {
  const { task } = work
  const under = unsafe(task)
  if (under !== undefined) return { kind: 'later', why: under }
  if (task.parent) return { kind: 'left', why: 'it is a child: its tree goes on under the definitions it began with' }
  if (!machine.migrate) return { kind: 'left', why: `version ${machine.version} declares no migrate` }
  if (task.moves.some((move) => move.definition === definition)) {
    return { kind: 'left', why: 'it was moved from there before, and is not moved back' }
  }
  let ready: Ready | undefined
  try {
    const asked = machine.migrate(fromOf(task))
    ready = asked === undefined ? undefined : read(machine, task, asked)
  } catch (thrown) {
    return { kind: 'unfit', why: messageOf(thrown) }
  }
  if (!ready) return { kind: 'left', why: `version ${machine.version} does not take it` }
  move(machine, definition, work, ready)
  return { kind: 'moved' }
}

/** Why a task must not be moved now, or undefined. */
function unsafe(task: Task): string | undefined {
  const { item, visit } = task
  if (isEnded(task)) return 'it has ended'
  if (task.rollback) return 'it is on its way back'
  if (task.open.size + task.delayed.size > 0) return 'a step of it is under way'
  if (task.doubts.size > 0) return 'nobody knows whether a step of it was done'
  if (task.approvals.size > 0) return 'a human is asked about a call of it'
  // Whoever answers so lets the visit begin anew, here or in another machine.
  if (item?.kind === 'escalation' && item.answer?.decision === 'retry') return undefined
  if (item && (item.kind !== 'question' || item.answer)) return 'what a human decides is to be done first'
  if (!visit) return 'it stands before a state that it may not enter'
  if (visit.turns.length > 0 || visit.ended || visit.leaving)
    return `something was done already in its state ${task.state}`
  return undefined
}

/** What the author's function is given. */
function fromOf({ version, definition, state, context }: Task): Parameters<NonNullable<Machine['migrate']>>[0] {
  const values: Record<string, Json> = Object.create(null) as Record<string, Json>
  for (const [key, { value }] of context) values[key] = value
  return Object.freeze({ version, definition, state, context: Object.freeze(values) })
}

/** Where a task goes on, and what is to be written there. */
interface Ready {
  readonly node: Node
  readonly writes: readonly Write[]
}

interface Write {
  readonly key: string
  readonly value: Json
  readonly label: Label
  readonly links: readonly string[]
}

/** Reads what the author's function answered with. Throws when it does not fit, naming what. */
function read(machine: Machine, task: Task, asked: Migration): Ready {
  if (!isObject(asked) || 'then' in asked)
    throw new Error('migrate must answer at once, with { state, context } or undefined')
  const unknown = Object.keys(asked).find((field) => field !== 'state' && field !== 'context')
  if (unknown !== undefined) throw new Error(`migrate answered with ${unknown}, which means nothing`)
  const { state = task.state, context = {} }: Migration = asked
  const node = machine.states.get(state)
  if (!node) throw new Error(`version ${machine.version} has no state ${JSON.stringify(state)}`)
  const soft = softTarget(task.limits)
  if (soft !== undefined && !machine.states.has(soft)) {
    throw new Error(`version ${machine.version} has no state ${soft}, which the task's limits.onSoft leads to`)
  }
  if (!isObject(context)) throw new Error("migrate's context is not an object")
  const more = Object.keys(context).find((key) => !machine.context.has(key))
  if (more !== undefined) throw new Error(`the context of version ${machine.version} has no key ${more}`)
  // What was computed is made of all that could be read.
  const seen = [...task.context.values()].reduce((label, kept) => join(label, kept.label), clear)
  const writes = [...machine.context.values()].flatMap((key) => {
    const write = writeOf(key, new Map(Object.entries(context)), task.context.get(key.name), seen)
    if (!write) return []
    const cleans = key.outward && write.label.trust === 'untrusted'
    return [{ ...write, links: [], ...(cleans ? withoutLinks(write.value, originOf(task, node)) : {}) }]
  })
  return { node, writes: writes.filter((write) => !isSame(task.context.get(write.key), write)) }
}

/** What a key of the new context is: as the author says, else as it was, else its initial value. */
function writeOf(
  { name, schema, initial, label }: ContextKey,
  given: ReadonlyMap<string, unknown>,
  kept: Kept | undefined,
  seen: Label,
): Omit<Write, 'links'> | undefined {
  const said = given.get(name)
  const value = said !== undefined ? said : kept ? kept.value : initial
  const verdict = validate(schema, value)
  if (!verdict.ok)
    throw new Error(value === undefined ? `${name} is missing` : `${name} does not fit: ${verdict.problem}`)
  if (value === undefined) return undefined
  return { key: name, value: verdict.value, label: join(label, said === undefined ? kept?.label : seen) }
}

function isSame(kept: Kept | undefined, { value, label }: Write): boolean {
  if (kept === undefined || keyOf(kept.value) !== keyOf(value)) return false
  return kept.label.trust === label.trust && kept.label.privacy === label.privacy
}

function move(machine: Machine, definition: string, work: Draft, { node, writes }: Ready): void {
  const { task } = work
  if (task.item && !task.item.answer) emit(work, 'item.closed', { item: task.item.item, why: 'withdrawn' })
  const moved: EventData['task.migrated'] = {
    from: { version: task.version, definition: task.definition, state: task.state },
    version: machine.version,
    definition,
    state: node.name,
  }
  const visits = task.visits.get(node.name) ?? 0
  // A visit in which nothing was done is not counted twice.
  const visit = node.name === task.state ? Math.max(1, visits) : visits + 1
  emit(work, 'task.migrated', moved)
  for (const key of task.context.keys()) {
    if (!machine.context.has(key)) emit(work, 'context.removed', { key, version: nextVersion(task, key) })
  }
  for (const { key, value, label, links } of writes) {
    if (links.length > 0) emit(work, 'links.removed', { key, links })
    const version = nextVersion(task, key)
    emit(work, 'context.written', { key, version, value, source: 'migration', ...labelled(label) })
  }
  enterAnew(work, node, visit)
}
