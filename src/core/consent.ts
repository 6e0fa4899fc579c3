// How a call of a tool comes to be made, where a policy stands before it: allowed and permitted at once, refused as a
// fact that its caller is told, or put before a human. What was asked is bound to what is called: another argument,
// or another policy, and it is asked anew. Everything else in the task goes on while somebody thinks.

import { callChild } from './child.ts'
import { emit, type Draft } from './draft.ts'
import type { EventData } from './event.ts'
import { keyOf, toJson, type Json } from './json.ts'
import { clear, isClear, join, labelled, sayLabel, type Label } from './label.ts'
import type { Machine, MachineTool, Node } from './machine.ts'
import { callTool, ceiling, judge } from './permission.ts'
import { bindingOf, judgeCall, type CallRuling } from './ruling.ts'
import { validate } from './schema.ts'
import { hasExpired, nextRungAtMs, type Item, type PendingApproval } from './task.ts'
import { itemId, leave, refuse } from './transition.ts'

/** A call that is wanted. `index` is its place in a model's answer; a tool state has none. */
export interface Wanted {
  readonly tool: MachineTool
  readonly input: Json
  /** What was asked for, before the tool's schema made the input of it. */
  readonly asked: unknown
  readonly timeoutMs: number
  readonly label: Label
  readonly index?: number
  readonly turn?: number
}

/** Makes a call, asks about it, or refuses it. False when nothing more is to be done now. */
export function want(machine: Machine, work: Draft, node: Node, given: Wanted): boolean {
  // What people are asked about is what is in the log.
  const { redact } = work.terms
  const wanted = { ...given, input: redact.value(given.input) }
  const { tool, input, label } = wanted
  // Only for its sinks it matters what its schema has made of them.
  const asked = tool.sinks.size > 0 ? toJson(given.asked) : undefined
  const ruling = judgeCall(machine, work, node, tool, input, label, asked?.ok ? redact.value(asked.value) : input)
  if (ruling.verdict === 'allow') {
    call(work, tool, input, wanted.timeoutMs, { ...turned(wanted), ...labelled(label), ...ruleOf(ruling) })
    return true
  }
  if (ruling.verdict === 'deny') return deny(machine, work, node, wanted, 'policy-denied', ruling.reason, ruling.rule)
  ask(machine, work, wanted, ruling)
  return false
}

function placeOf({ index }: Pick<Wanted, 'index'>): { readonly index?: number } {
  return index === undefined ? {} : { index }
}

/** A tool is called; one that is an agent begins as a child task. */
function call(
  work: Draft,
  tool: MachineTool,
  input: Json,
  timeoutMs: number,
  { turn, ...given }: Parameters<typeof callTool>[4] & { readonly turn?: number },
): void {
  const { child } = tool
  if (!child) callTool(work, tool, input, timeoutMs, given)
  else callChild(work, { ...tool, child }, input, timeoutMs, turn === undefined ? given : { ...given, turn })
}

function turned({ index, turn }: Pick<Wanted, 'index' | 'turn'>): { readonly index?: number; readonly turn?: number } {
  return { ...placeOf(index === undefined ? {} : { index }), ...(turn === undefined ? {} : { turn }) }
}

function ruleOf({ rule }: CallRuling): { readonly rule?: string } {
  return rule === 'default' ? {} : { rule }
}

/** Is a call at this place of the last answer waiting for a human? */
export function isPending({ task }: Draft, index?: number): boolean {
  return [...task.approvals.values()].some((approval) => approval.index === index)
}

/** Refuses a call: a model is told, and goes on; a tool state leaves by `$refused`. */
function deny(
  machine: Machine,
  work: Draft,
  { kind }: Node,
  { tool, index, turn }: Pick<Wanted, 'tool' | 'index' | 'turn'>,
  reason: 'policy-denied' | 'approval-rejected' | 'approval-expired',
  why: string,
  rule: string,
): boolean {
  const place = index === undefined || turn === undefined ? {} : { index, turn }
  refuse(work, {
    reason,
    asked: tool.name,
    correction: `Refused: ${why}. Do not ask for the same again.`,
    rule,
    ...place,
  })
  if (kind !== 'tool') return true
  return leave(machine, work, reason === 'approval-expired' ? '$timeout' : '$refused')
}

/** Puts a call before a human, with everything that it would do and every reason to ask. */
function ask(
  machine: Machine,
  work: Draft,
  { tool, input, label, index }: Pick<Wanted, 'tool' | 'input' | 'label' | 'index'>,
  { asks }: CallRuling,
): void {
  const { by, quorum, expiresMs, assignee, ladder } = tool.approval
  const given = asks.map(({ rule, reason }) => ({ rule, reason }))
  const reasons = given.length > 0 ? given : [{ rule: 'approval', reason: 'it was asked about before' }]
  emit(work, 'human.asked', {
    item: itemId(work),
    kind: 'approval',
    state: work.task.state,
    question: `May ${tool.name} be called with exactly these arguments? Asked because ${reasons.map(({ reason }) => reason).join('; ')}.`,
    show: { tool: tool.name, arguments: input, effect: tool.effect, label: sayLabel(label), reasons },
    // More than one who agrees must agree to the same.
    options: quorum > 1 ? ['approve', 'reject'] : ['approve', 'edit', 'reject'],
    expiresAtMs: work.nowMs + expiresMs,
    approval: {
      tool: tool.name,
      hash: bindingOf(machine, work, tool.name, input),
      quorum,
      ...placeOf({ index }),
      ...(by === undefined ? {} : { by }),
      ...labelled(label),
    },
    ...(assignee === undefined ? {} : { assignee }),
    ...(ladder.length === 0 ? {} : { ladder }),
  })
}

/**
 * Does what humans have decided about calls, and what time has. Undefined when there is nothing new; else, as of every
 * move, whether the task goes on.
 */
export function settleApprovals(machine: Machine, work: Draft): boolean | undefined {
  const node = machine.states.get(work.task.state)!
  for (const approval of work.task.approvals.values()) {
    const { item, answer } = approval
    const tool = machine.tools.get(approval.tool)
    if (answer && tool) {
      const moved = obey(machine, work, node, approval, tool, answer)
      if (moved !== undefined) return moved
    } else if (tool && hasExpired(approval, work.nowMs)) {
      emit(work, 'item.closed', { item, why: 'expired' })
      return deny(
        machine,
        work,
        node,
        placed(work, approval, tool),
        'approval-expired',
        'nobody answered in time',
        'approval',
      )
    } else climb(work, approval)
  }
  return undefined
}

/** While something else is asked about the whole task, a question about a call expires all the same: it is asked anew when the task goes on. */
export function closeExpired(work: Draft): void {
  for (const approval of work.task.approvals.values())
    if (hasExpired(approval, work.nowMs)) emit(work, 'item.closed', { item: approval.item, why: 'expired' })
}

/** Whoever is next is asked, when nobody has answered for so long. */
export function climb(work: Draft, item: Item): void {
  while (!item.answer && work.nowMs >= nextRungAtMs(item)) {
    emit(work, 'human.escalated', { item: item.item, to: item.ladder[item.rung]!.to })
  }
}

function placed(
  { task }: Draft,
  { index }: PendingApproval,
  tool: MachineTool,
): Pick<Wanted, 'tool' | 'index' | 'turn'> {
  const turn = task.visit?.turns.at(-1)?.turn
  return { tool, ...placeOf({ index }), ...(index === undefined || turn === undefined ? {} : { turn }) }
}

function obey(
  machine: Machine,
  work: Draft,
  node: Node,
  approval: PendingApproval,
  tool: MachineTool,
  answer: EventData['human.answered'],
): boolean | undefined {
  const { item, hash } = approval
  const place = placed(work, approval, tool)
  if (answer.decision === 'reject') {
    emit(work, 'item.closed', { item, why: 'withdrawn' })
    return deny(machine, work, node, place, 'approval-rejected', `${answer.by} said no: ${answer.reason}`, 'approval')
  }
  const input = answer.decision === 'edit' ? edited(work, tool, answer) : approval.arguments
  // What the tool's schema has made of what was typed, nobody has seen.
  const unseen = answer.decision === 'edit' && input !== undefined && keyOf(input) !== keyOf(answer.data ?? null)
  // What was seen when it was asked about, and what was seen since.
  const label = join(work.task.visit?.label ?? clear, approval.label)
  const wanted = { ...place, input: input ?? approval.arguments, timeoutMs: timeoutOf(node, tool), label }
  const outdated = bindingOf(machine, work, tool.name, approval.arguments) !== hash
  const ruling = judgeCall(machine, work, node, tool, wanted.input, label)
  const why = whyAgain({ unfit: input === undefined, outdated, unseen }, ruling)
  if (why !== undefined) {
    emit(work, 'item.closed', { item, why })
    ask(machine, work, wanted, ruling)
    return true
  }
  if (ruling.verdict === 'deny') {
    emit(work, 'item.closed', { item, why: 'withdrawn' })
    return deny(machine, work, node, place, 'policy-denied', ruling.reason, ruling.rule)
  }
  const { open, delayed } = work.task
  const stopped = open.size + delayed.size === 0 ? judge(machine, work, tool) : undefined
  if (stopped !== undefined) return stopped
  const limit = ceiling(work, tool)
  if (limit === 'depth' || limit === 'descendants') {
    emit(work, 'item.closed', { item, why: 'withdrawn' })
    return deny(
      machine,
      work,
      node,
      place,
      'policy-denied',
      `there is no room below for ${tool.name} (${limit})`,
      'limit',
    )
  }
  if (limit) return undefined
  call(work, tool, wanted.input, wanted.timeoutMs, {
    ...turned(place),
    ...(isClear(label) ? {} : { label }),
    rule: 'approval',
    approval: item,
    binding: bindingOf(machine, work, tool.name, wanted.input),
  })
  // An agent that does not take it was not begun, and its caller was told.
  if (work.task.approvals.has(item)) emit(work, 'item.closed', { item, why: 'unfit' })
  return true
}

type Again = { readonly unfit: boolean; readonly outdated: boolean; readonly unseen: boolean }

/** Why somebody who has said yes is asked once more; undefined when it holds, or nobody's yes would help. */
function whyAgain({ unfit, outdated, unseen }: Again, { verdict }: CallRuling): keyof Again | undefined {
  if (unfit) return 'unfit'
  if (verdict === 'deny') return undefined
  if (outdated && verdict === 'ask') return 'outdated'
  return unseen ? 'unseen' : undefined
}

/** The arguments that a human gave instead; undefined when they do not fit, which is a fact, and it is asked again. */
function edited(work: Draft, tool: MachineTool, { data }: EventData['human.answered']): Json | undefined {
  const verdict = validate(tool.tool.inputSchema, data ?? null)
  if (verdict.ok) return verdict.value
  const correction = `Refused: the arguments that were given for ${tool.name} do not fit: ${verdict.problem}`
  refuse(work, { reason: 'invalid-arguments', asked: tool.name, correction })
  return undefined
}

function timeoutOf(node: Node, tool: MachineTool): number {
  return node.kind === 'tool' ? node.timeoutMs : tool.timeoutMs
}
