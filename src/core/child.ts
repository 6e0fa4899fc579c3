// Child tasks: how one begins, in the same commit as its parent learns of it; how the children of an agent state are
// planned, started and joined; and how one is called off. A child has a log of its own. What passes down is said when it
// begins: its input with what is known of it, the time that is left, who started the tree.

import { engineExits, type ChildResult } from './agent.ts'
import { ask, jsonOf } from './author.ts'
import { emit, type Draft } from './draft.ts'
import type { EventData, Parent } from './event.ts'
import { isFault, messageOf } from './fault.ts'
import type { Json, JsonObject } from './json.ts'
import { verdictOf } from './join.ts'
import { clear, labelled, type Label } from './label.ts'
import type { Child, Machine, MachineTool, Node } from './machine.ts'
import { ceiling, failureExit, judge, until } from './permission.ts'
import { seenBy } from './reading.ts'
import { start } from './start.ts'
import { childrenOf, isEnded, lastStep, ownerOf, type Kept, type Plan, type Task, type Visit } from './task.ts'
import { callOff, leave, reading, refuse, takeOrFail } from './transition.ts'

type AgentNode = Extract<Node, { kind: 'agent' }>

// ---- Beginning -----------------------------------------------------------------------------------------------------

type Begun = Pick<
  EventData['child.started'],
  'branch' | 'tool' | 'arguments' | 'index' | 'rule' | 'approval' | 'binding'
>

/** Begins a child: its first events, and the event that says so here. Throws INPUT_INVALID; then nothing was decided. */
function begin(work: Draft, child: Child, input: Json, deadlineAtMs: number, label: Label, given: Begun): void {
  const { task, nowMs, terms } = work
  const { machine, shares } = child
  const step = lastStep(task) + 1
  const { root, depth } = task.tree ?? { root: task.id, depth: 0 }
  const taskId = `${task.id}:${step}`
  const shared = shares ? { shares: ownerOf(task) } : {}
  const parent: Parent = { task: task.id, step, root, depth: depth + 1, deadlineAtMs, ...shared }
  const keys = Object.keys((input ?? {}) as JsonObject).filter((key) => machine.context.has(key))
  const begun = start(
    machine,
    {
      taskId,
      definition: terms.definition(machine.agent),
      input,
      by: task.by,
      limits: child.limits,
      depthMax: task.limits.depth - 1,
      seed: Math.imul(task.seed ^ step, 0x9e3779b1) >>> 0,
      parent,
      fork: task.fork,
      labels: Object.fromEntries(keys.map((key) => [key, [label]])),
      ...(shares ? { shared: sharedWith(machine, task) } : {}),
    },
    nowMs,
    terms,
  )
  work.children.push(begun)
  emit(work, 'child.started', {
    step,
    child: taskId,
    agent: machine.name,
    shares,
    deadlineAtMs,
    ...given,
    ...labelled(label),
    ...(machine.acts ? { acts: true } : {}),
  })
}

/** What of a shared context a machine may come to see. */
function sharedWith({ touches }: Machine, { context, locals }: Task): ReadonlyMap<string, Kept> {
  return new Map([...context].filter(([key]) => !locals.has(key) && (!touches || touches.has(key))))
}

/** Begins the child that a tool is. An input that does not fit is refused, as any argument is. */
export function callChild(
  work: Draft,
  tool: MachineTool & { readonly child: Child },
  input: Json,
  timeoutMs: number,
  { label = clear, ...given }: { label?: Label; turn?: number } & Omit<Begun, 'branch' | 'tool' | 'arguments'>,
): void {
  const { turn, ...place } = given
  try {
    const call = { tool: tool.name, arguments: input, ...place }
    begin(work, tool.child, input, until(work, timeoutMs), label, call)
  } catch (thrown) {
    if (!isFault(thrown, 'INPUT_INVALID')) throw thrown
    const correction = `Refused: ${messageOf(thrown)}`
    const { index } = place
    refuse(work, {
      reason: 'invalid-arguments',
      asked: tool.name,
      correction,
      ...(index === undefined || turn === undefined ? {} : { index, turn }),
    })
  }
}

// ---- An agent state ------------------------------------------------------------------------------------------------

/** One move in a state that is done by children. False when there is nothing to be done but to wait for them. */
export function moveAgent(machine: Machine, work: Draft, node: AgentNode, visit: Visit): boolean {
  if (visit.ended && 'failure' in visit.ended) return leave(machine, work, failureExit(visit.ended.failure))
  const { plan } = visit
  if (!plan) return planChildren(machine, work, node)
  const results = [...plan.results.values()].sort((a, b) => a.index - b.index)
  const { joining } = node
  if (!joining.fans && results[0]) return conclude(machine, work, node, results[0])
  const verdict = joining.fans ? verdictOf(joining, plan.inputs.length, results) : undefined
  if (verdict === 'FAILED') return takeOrFail(machine, work, node, { exit: verdict, output: {} })
  if (verdict === 'DONE') return hand(machine, work, node, verdict, results)
  return startNext(machine, work, node, plan)
}

function planChildren(machine: Machine, work: Draft, node: AgentNode): true {
  const { state } = node
  const inputs = ask(work, 'input', () => {
    const given = reading(machine, work, node)
    if (state.each === undefined) return [jsonOf(state.input?.({ ...given, item: undefined, index: 0 }))]
    const items = state.each(given)
    if (!Array.isArray(items)) throw new Error('each did not answer with a list')
    return items.map((item, index) => jsonOf(state.input ? state.input({ ...given, item, index }) : item))
  })
  if (inputs) emit(work, 'children.planned', { state: node.name, inputs, ...labelled(seenBy(work.task, node)) })
  return true
}

/** Starts children while there is room. A ceiling has its say when those that run have come to their end. */
function startNext(machine: Machine, work: Draft, node: AgentNode, plan: Plan): boolean {
  while (plan.started < plan.inputs.length && childrenOf(work.task).length < node.joining.concurrency) {
    const limit = ceiling(work, undefined, true)
    if (limit && childrenOf(work.task).length > 0) break
    const stopped = judge(machine, work, undefined, true)
    if (stopped !== undefined) return stopped
    const branch = plan.started
    const label = plan.label ?? clear
    const begun = ask(work, 'input', () => {
      try {
        begin(work, node.child, plan.inputs[branch]!, until(work, node.timeoutMs), label, { branch })
        return true
      } catch (thrown) {
        if (!isFault(thrown, 'INPUT_INVALID') || !node.joining.fans) throw thrown
        throw new Error(`item ${branch}: ${messageOf(thrown)}`, { cause: thrown })
      }
    })
    if (!begun) return true
  }
  return false
}

/** One child has ended: its final state is the exit, and an exit of the engine's leads on as one of this state. */
function conclude(machine: Machine, work: Draft, node: AgentNode, child: ChildResult): boolean {
  const { outcome } = child
  if ((engineExits as readonly string[]).includes(outcome)) return leave(machine, work, outcome)
  if (node.exits.has(outcome)) return hand(machine, work, node, outcome, [child])
  const message = `The child ${child.taskId} was cancelled.`
  emit(work, 'function.failed', { what: 'run', class: 'abort', message })
  return true
}

function hand(machine: Machine, work: Draft, node: AgentNode, exit: string, children: readonly ChildResult[]): true {
  const { output: mapper } = node.state
  const output = ask(work, 'output', () =>
    jsonOf(mapper?.({ ...reading(machine, work, node), child: children[0]!, children })),
  )
  return output === undefined || takeOrFail(machine, work, node, { exit, output })
}

/** Whoever has run for as long as it may is not waited for any more. */
export function callOffLate(work: Draft): void {
  for (const child of childrenOf(work.task)) {
    if (work.nowMs < child.deadlineAtMs) continue
    callOff(work, child, { class: 'timeout', by: 'engine', reason: 'its deadline passed' })
  }
}

// ---- What comes from the family ------------------------------------------------------------------------------------

/** A child that has ended, as its log says. */
export interface EndedChild {
  readonly step: number
  readonly seq: number
  readonly ended: EventData['task.ended']
}

/** Takes note of children that have come to their end. One that was called off in the meantime is not waited for. */
export function hearEnded(work: Draft, ended: Iterable<EndedChild>): void {
  if (isEnded(work.task)) return
  for (const { step, seq, ended: end } of ended) {
    const child = work.task.open.get(step)
    if (child?.kind !== 'child') continue
    const { status, outcome, output = {}, label, acted } = end
    emit(work, 'child.ended', {
      step,
      child: child.child,
      seq,
      status,
      outcome,
      output,
      ...(label ? { label } : {}),
      ...(acted ? { acted } : {}),
    })
  }
}
