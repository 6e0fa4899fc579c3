// How a task changes its state: by a declared exit, by one of the engine's own, or, where nothing routes one, not at
// all: then a human is asked. Every way out is checked here, whoever asked for it.

import { emit, type Draft } from './draft.ts'
import type { EventData, RefusalReason } from './event.ts'
import { messageOf } from './fault.ts'
import { freeAll } from './gate.ts'
import { itemIdOf } from './item.ts'
import { isMerging, merged } from './context.ts'
import { head, isObject, type Json, type JsonObject } from './json.ts'
import { clear, join, labelled, weaken, type Label } from './label.ts'
import { defaults, raisable, sayAmount, type LimitName, type RaisableLimit } from './limits.ts'
import { actorOf, isHandover } from './folding/visit.ts'
import { isFailure, type ContextKey, type Machine, type MachineExit, type Node } from './machine.ts'
import { erasedIn, goBack, goneSince } from './past.ts'
import type { Refusal } from './refusal.ts'
import { validate, type Judgement } from './schema.ts'
import { withoutLinks, originOf } from './provenance.ts'
import { readable, seenBy } from './reading.ts'
import { childrenOf, nextVersion, type ChildStep, type Task } from './task.ts'
import { ledgerAnswered } from './tree.ts'

/** An exit that is asked for, and what it hands over to the context. */
export interface Leave {
  readonly exit: string
  readonly output: Json
}

/**
 * Leaves a state by one of its declared exits: finds the target, checks what is handed over, writes it to the context
 * and enters. False when that cannot be: it is refused, as a fact, and the state is not left. `asked` is the place in a
 * model's answer that asked for it.
 */
export function take(
  machine: Machine,
  work: Draft,
  node: Node,
  leaving: Leave,
  asked?: { turn: number; index: number },
): boolean {
  const { exit, output } = leaving
  const ready = prepare(machine, work, node, exit, output)
  if ('reason' in ready) {
    const { reason, problem, key } = ready
    const shown = key === undefined ? {} : { key, ...labelled(work.task.context.get(key)?.label ?? clear) }
    refuse(work, { reason, asked: exit, correction: `Refused: ${problem}`, ...shown, ...asked })
    return false
  }
  const { target, writes, cleanings } = ready
  const { visit, sharing } = work.task
  // What others have written since is seen by whoever is asked again, or for the first time, when the state is left.
  const looks = sharing && node.kind !== 'human' && node.kind !== 'wait'
  const seen = join(visit?.label ?? clear, looks ? seenBy(work.task, node) : undefined)
  letGo(work)
  emit(work, 'transition.taken', {
    source: node.name,
    exit,
    target,
    ...(writes.length > 0 && cleanings.length === 0 ? { output } : {}),
  })
  for (const cleaning of cleanings) emit(work, 'links.removed', cleaning)
  for (const { key, value } of writes) write(machine, work, node, key, value, seen)
  enter(machine, work, target)
  return true
}

/** Writes a key, with the label of what was seen, or the weaker one that a quarantine declares for what leaves it. */
function write(machine: Machine, work: Draft, node: Node, key: string, value: Json, seen: Label): void {
  const known = machine.context.get(key)!
  const kept = work.task.context.get(key)
  const to = node.declassify ? weaken(seen, node.declassify) : seen
  if (node.declassify && to !== seen) {
    const { reason } = node.declassify
    emit(work, 'label.weakened', { key, from: seen, to, state: node.name, reason })
  }
  const label = join(join(to, known.label), isMerging(known.merge) ? kept?.label : undefined)
  const version = nextVersion(work.task, key)
  emit(work, 'context.written', { key, version, value, source: 'exit', ...labelled(label) })
}

/** What is under way when a state is left: places are given back, nobody is asked any more, children are cancelled. */
export function letGo(work: Draft): void {
  freeAll(work)
  withdraw(work)
  callOffAll(work)
}

function callOffAll(work: Draft): void {
  const { id, state } = work.task
  for (const child of childrenOf(work.task)) {
    callOff(work, child, { class: 'abort', by: `task ${id}`, reason: `its parent left the state ${state}` })
  }
}

/** A child is not waited for any more; its own log will say that it was cancelled. */
export function callOff(
  work: Draft,
  { step, child }: ChildStep,
  why: Pick<EventData['child.calledOff'], 'class' | 'by' | 'reason'>,
): void {
  emit(work, 'child.calledOff', { step, child, ...why })
}

/** Nobody is asked any more about a call of a visit that is over. */
export function withdraw(work: Draft): void {
  for (const item of work.task.approvals.keys()) emit(work, 'item.closed', { item, why: 'withdrawn' })
}

/** Leaves as a function of the author's said. When that cannot be, the function has failed, unless it is to look again. */
export function takeOrFail(machine: Machine, work: Draft, node: Node, leaving: Leave): true {
  if (!take(machine, work, node, leaving) && !wasStale(work)) {
    emit(work, 'function.failed', {
      what: 'exit',
      class: 'error',
      message: `The exit ${leaving.exit} was refused.`,
    })
  }
  return true
}

/** Was it refused because somebody else was first? Then the context has been looked at anew. */
function wasStale({ events }: Draft): boolean {
  const last = events.at(-1)
  return last?.type === 'step.refused' && last.data.reason === 'stale-write'
}

type Ready =
  | {
      readonly target: string
      readonly writes: readonly { readonly key: string; readonly value: Json }[]
      readonly cleanings: readonly EventData['links.removed'][]
    }
  | { readonly reason: RefusalReason; readonly problem: string; readonly key?: string }

/** What is shown outside carries no links that an untrusted window has made up: a browser would follow them by itself. */
function cleaned(work: Draft, node: Node, value: Json): { value: Json; links: readonly string[] } {
  const { task } = work
  return task.visit?.label.trust === 'untrusted' ? withoutLinks(value, originOf(task, node)) : { value, links: [] }
}

function prepare(machine: Machine, work: Draft, node: Node, name: string, output: Json): Ready {
  const exit = name.startsWith('$') ? undefined : node.exits.get(name)
  if (!exit)
    return {
      reason: 'undeclared-exit',
      problem: `${name} is not an exit of the state ${node.name}.`,
    }
  const verdict = exit.output ? validate(exit.output, output) : { ok: true as const, value: output }
  if (!verdict.ok)
    return {
      reason: 'invalid-output',
      problem: `the output of ${name} does not fit: ${verdict.problem}`,
    }
  const handed: JsonObject = isObject(verdict.value) ? verdict.value : {}
  const writes: { key: string; value: Json }[] = []
  const cleanings: EventData['links.removed'][] = []
  for (const [key, value] of Object.entries(handed)) {
    const known = machine.context.get(key)
    if (!known || !node.writes.has(key)) {
      return {
        reason: 'undeclared-write',
        problem: `the state ${node.name} may not write ${key}.`,
      }
    }
    const kept = work.task.context.get(key)?.value
    if (isStale(work, node, known))
      return { reason: 'stale-write', problem: `${sayStale(work, node, key)} Decide on that.`, key }
    const { value: shown, links } = known.outward ? cleaned(work, node, value) : { value, links: [] }
    if (links.length > 0) cleanings.push({ key, links })
    const fits = fitting(known, kept, shown)
    if (!fits.ok)
      return {
        reason: 'invalid-output',
        problem: `${key} does not fit its schema: ${fits.problem}`,
      }
    writes.push({ key, value: fits.value })
  }
  try {
    const target = targetOf(machine, exit, work, node, verdict.value)
    return target === undefined
      ? { reason: 'guard-failed', problem: `no guard of the exit ${name} holds now.` }
      : { target, writes, cleanings }
  } catch (thrown) {
    return {
      reason: 'guard-failed',
      problem: `a guard of the exit ${name} threw: ${messageOf(thrown)}`,
    }
  }
}

/** What whoever decides here has looked at is not what is there any more: a value that replaces it would undo another's. */
function isStale({ task }: Draft, { kind }: Node, { name: key, merge }: ContextKey): boolean {
  if (!task.sharing || isMerging(merge) || task.locals.has(key)) return false
  // A mapper is called when its state is left, on the context as it is then.
  if (kind !== 'model' && kind !== 'run' && kind !== 'human') return false
  return (task.versions.get(key) ?? 0) > (task.visit?.base.get(key) ?? 0)
}

function sayStale({ task }: Draft, { reads }: Node, key: string): string {
  const kept = task.context.get(key)?.value ?? null
  const now = !reads || reads.has(key) ? `: it is ${head(JSON.stringify(kept), 400)} now.` : '.'
  return `${key} was changed by another task meanwhile${now}`
}

/** What another task has changed of that which is handed over, since whoever acts here looked at it; undefined: nothing. */
export function clashOf(machine: Machine, work: Draft, { output }: Leave): string | undefined {
  const node = machine.states.get(work.task.state)!
  const key = Object.keys(isObject(output) ? output : {}).find((name) => {
    const known = machine.context.get(name)
    return known !== undefined && isStale(work, node, known)
  })
  return key === undefined ? undefined : sayStale(work, node, key)
}

/** The value of a key after a write, held to its schema. */
function fitting({ merge, schema }: ContextKey, kept: Json | undefined, given: Json): Judgement {
  try {
    return validate(schema, merged(merge, kept, given))
  } catch (thrown) {
    return { ok: false, problem: `its merge threw: ${messageOf(thrown)}` }
  }
}

function targetOf(machine: Machine, exit: MachineExit, work: Draft, node: Node, output: Json): string | undefined {
  return exit.candidates.find(({ guard }) => !guard || guard({ ...reading(machine, work, node), output }) === true)
    ?.target
}

/** Leaves by one of the engine's exits, or, where nothing routes it, asks a human. */
export function leave(machine: Machine, work: Draft, name: string, limit?: LimitName): boolean {
  const node = machine.states.get(work.task.state)!
  const exit = node.exits.get(name)
  let target: string | undefined
  try {
    target = exit && targetOf(machine, exit, work, node, null)
  } catch {
    // A guard that throws does not hold; the task goes to the inbox, where nothing is lost.
  }
  if (target !== undefined) return go(machine, work, name, target)
  if (recover(machine, work, node, name)) return true
  return limit !== undefined && Object.hasOwn(raisable, limit)
    ? askBudget(machine, work, limit as RaisableLimit)
    : escalate(machine, work, name)
}

/** What a state does about its own failure, where nothing routes it. False: a human is asked. */
function recover(machine: Machine, work: Draft, { onFailure }: Node, exit: string): boolean {
  const { task } = work
  if (onFailure === 'escalate' || !isFailure(exit)) return false
  if (onFailure !== 'rollback') return go(machine, work, exit, onFailure)
  const past = task.checkpoints.at(-1)
  if (!past || goneSince(task, past) || erasedIn(past) !== undefined) return false
  if (task.rollbacks >= defaults.rollbacks) {
    emit(work, 'limit.reached', { limit: 'rollbacks', max: defaults.rollbacks, state: task.state })
    return false
  }
  letGo(work)
  goBack(work, past, { asked: past.checkpoint ?? past.seq, by: 'engine', reason: exit, exit })
  return true
}

/** Goes to a state, by one of the engine's exits. */
export function go(machine: Machine, work: Draft, exit: string, target: string): true {
  letGo(work)
  emit(work, 'transition.taken', { source: work.task.state, exit, target })
  enter(machine, work, target)
  return true
}

/** Ends the task. A child says what it hands over, and whether something that it did outside stands. */
export function end(
  work: Draft,
  outcome: string,
  status: EventData['task.ended']['status'],
  handed: Pick<EventData['task.ended'], 'output' | 'label'> = {},
): true {
  letGo(work)
  const { parent, effects } = work.task
  const acted = parent !== undefined && [...effects.values()].some(({ undoneSeq }) => undoneSeq === undefined)
  emit(work, 'task.ended', { outcome, status, ...handed, ...(acted ? { acted } : {}) })
  return true
}

/** Records that a limit is reached, and leaves by its exit. */
export function reach(machine: Machine, work: Draft, limit: LimitName, max: number, exit: string): boolean {
  emit(work, 'limit.reached', { limit, max, state: work.task.state })
  return leave(machine, work, exit, limit)
}

/** Enters a state, unless it was entered or handed over to too often: then the task stands at its door. */
export function enter(machine: Machine, work: Draft, state: string): void {
  const { task } = work
  const node = machine.states.get(state)!
  const visits = task.visits.get(state) ?? 0
  const handedOver = isHandover(task, actorOf(state, node.kind, agentOf(node)))
  if (node.kind !== 'final' && visits >= node.visitsMax) {
    emit(work, 'limit.reached', { limit: 'visits', max: node.visitsMax, state })
  } else if (handedOver && task.handovers >= task.limits.handovers) {
    emit(work, 'limit.reached', { limit: 'handovers', max: task.limits.handovers, state })
  } else enterAnew(work, node, visits + 1)
}

/** Begins a visit, whatever was before. */
export function enterAnew(work: Draft, node: Node, visit: number): void {
  const checkpoint = node.checkpoint === undefined ? {} : { checkpoint: node.checkpoint }
  const agent = agentOf(node)
  const entered = {
    state: node.name,
    kind: node.kind,
    visit,
    ...checkpoint,
    ...(agent === undefined ? {} : { agent }),
  }
  const timeoutMs = node.visitTimeoutMs
  emit(work, 'state.entered', timeoutMs === undefined ? entered : { ...entered, deadlineAtMs: work.nowMs + timeoutMs })
}

function agentOf(node: Node): string | undefined {
  return node.kind === 'agent' ? node.child.machine.name : undefined
}

/** The task stops and waits in the inbox: nothing routes this exit. Nothing dies silently. */
export function escalate(machine: Machine, work: Draft, exit: string): boolean {
  const { task } = work
  const doubt = exit === '$doubt' ? [...task.doubts.values()][0] : undefined
  const tool = doubt?.kind === 'tool' ? doubt : undefined
  // After a doubt the visit goes on; after anything else it does not.
  if (!tool) {
    withdraw(work)
    callOffAll(work)
  }
  const by = tool && machine.tools.get(tool.tool)?.approval.by
  const why = {
    $error: 'a step failed and no retry is left',
    $timeout: 'a deadline passed',
    $visits: 'the state was entered too often',
    $turns: 'the model took too many turns',
    $refused: 'what was asked for is refused',
    $limit: 'a limit is reached',
    $stuck: 'nothing moves, the same came again and again',
    $doubt: `nobody knows whether ${tool?.tool ?? 'the tool'} was done: its answer was lost`,
  }[exit]
  emit(work, 'human.asked', {
    item: itemId(work),
    kind: tool ? 'doubt' : 'escalation',
    state: task.state,
    question: `State ${task.state} has no route for ${exit}: ${why}. What now?`,
    options: tool ? ['done', 'retry', 'end'] : ['retry', 'end'],
    exit,
    ...(tool
      ? {
          step: tool.step,
          ...(by ? { by } : {}),
          show: { tool: tool.tool, arguments: tool.arguments, idempotencyKey: tool.idempotencyKey },
        }
      : failureShown(task)),
  })
  return false
}

/** What a human is shown besides the question, where a step has failed. */
function failureShown({ visit }: Task): { readonly show?: Json } {
  const ended = visit?.ended
  if (!ended || !('failure' in ended)) return {}
  const { class: kind, message } = ended.failure
  return { show: { failure: { class: kind, message } } }
}

/** Asks a human about a limit: raise it, finish by one of the state's own exits, or end the task. */
export function askBudget(machine: Machine, work: Draft, limit: RaisableLimit): boolean {
  const { task } = work
  const field = raisable[limit]
  const max = task.limits[field]
  const used = usedOf(work, limit)
  const exits = [...(machine.states.get(task.state)?.exits.keys() ?? [])].filter((name) => !name.startsWith('$'))
  const finishes = exits.length > 0 && task.visit !== undefined
  const ways = [
    `raise it, to {"${field}": N} or by as much as it had at the start`,
    ...(finishes ? ['finish by an exit, {"exit": NAME, "output": …}'] : []),
    'end the task',
  ]
  emit(work, 'human.asked', {
    item: itemId(work),
    kind: 'budget',
    state: task.state,
    question: `The task has used ${sayAmount(limit, used)} of ${sayAmount(limit, max ?? 0)} (${limit}). You may ${ways.slice(0, -1).join(', ')}, or ${ways.at(-1)}.`,
    show: { limit, used, max, exits },
    options: ['raise', ...(finishes ? ['finish'] : []), 'end'],
    exit: '$limit',
    limit,
  })
  return false
}

/** How much of a limit the task has used, in the unit of its ceiling. */
export function usedOf(work: Draft, limit: RaisableLimit): number {
  const { task, nowMs } = work
  const ledger = ledgerAnswered(work)
  switch (limit) {
    case 'steps':
      return task.usage.steps
    case 'toolCalls':
      return Math.max(0, ...task.toolCalls.values())
    case 'handovers':
      return task.handovers
    case 'duration':
      return nowMs - task.startedAtMs
    case 'tokens':
    case 'cost':
      return ledger[limit].settled
  }
}

/** Refuses something that was asked for, as a fact. */
export function refuse(work: Draft, refusal: Refusal & { readonly turn?: number }): void {
  emit(work, 'step.refused', { state: work.task.state, ...refusal })
}

/** The id that an inbox item opened by the next event will have. */
export function itemId(work: Draft): string {
  return itemIdOf(work.task.id, work.task.seq + 1)
}

/** What the author's functions are given. What they ask for and may not read is refused, as a fact. */
export function reading(machine: Machine, work: Draft, node: Node): { context: JsonObject } {
  return { context: readable(machine, work.task, node, (key) => refuseRead(work, node, key)) }
}

/** Refuses to show a key to a function of the author's. */
export function refuseRead(work: Draft, { name }: Pick<Node, 'name'>, key: string): void {
  refuse(work, { reason: 'undeclared-read', asked: key, correction: `Refused: the state ${name} may not read ${key}.` })
}
