// What a model may not do, said as a value. An answer is read against the state it was given in: which calls may be
// made, which exit is taken, and what is refused with which reason and which correction. Nothing here acts.

import type { RefusalReason } from './event.ts'
import { head, keyOf, type Json } from './json.ts'
import type { Label } from './label.ts'
import { readOnTool, type Machine, type MachineTool, type Node } from './machine.ts'
import type { AnswerPart, Finish } from './model.ts'
import { validate } from './schema.ts'

/** A refusal of one call (`index`) or of a whole answer. */
export interface Refusal {
  readonly reason: RefusalReason
  readonly asked: string
  readonly correction: string
  readonly index?: number
  /** The rule that said so, where one did. */
  readonly rule?: string
  /** The key that another task has changed, and what is known of its value. */
  readonly key?: string
  readonly label?: Label
}

/** An answer, read: calls to be made, at most one exit to be taken, and what is refused. */
export interface Reading {
  readonly calls: readonly {
    readonly index: number
    readonly tool: MachineTool
    readonly input: Json
    /** What was asked for, before the tool's schema made the input of it. */
    readonly asked: Json
  }[]
  readonly exit: { readonly index: number; readonly name: string; readonly output: Json } | undefined
  readonly refusals: readonly Refusal[]
}

type ModelNode = Extract<Node, { kind: 'model' }>
type Call = Extract<AnswerPart, { type: 'call' }>
type Verdict =
  | { kind: 'tool'; index: number; tool: MachineTool; input: Json; asked: Json }
  | { kind: 'exit'; index: number; name: string; output: Json }
  | { kind: 'refused'; refusal: Refusal }

/** Reads an answer against the state it was given in. `readsOn`: a result was shown by its head. */
export function read(
  machine: Machine,
  node: ModelNode,
  content: readonly AnswerPart[],
  finish: Finish,
  readsOn = false,
): Reading {
  const calls = content.flatMap((part, index) => (part.type === 'call' ? [{ part, index }] : []))
  const whole = refuseWhole(node, calls.length, finish)
  if (whole) {
    const unmade = calls.map(({ part, index }) => ({ ...whole, asked: part.name, index }))
    return { calls: [], exit: undefined, refusals: unmade.length > 0 ? unmade : [whole] }
  }
  const verdicts = refuseTwins(calls.map(({ part, index }) => judge(machine, node, part, index, readsOn)))
  const exits = verdicts.filter((verdict) => verdict.kind === 'exit')
  const refusals: Refusal[] = []
  for (const verdict of verdicts) {
    if (verdict.kind === 'refused') refusals.push(verdict.refusal)
    if (verdict.kind !== 'exit' || verdicts.length === 1) continue
    const reason = exits.length > 1 ? 'two-exits' : 'exit-not-alone'
    const correction = `Refused: the exit ${verdict.name} must be the only call of an answer. The state was not left.`
    refusals.push({ reason, asked: verdict.name, correction, index: verdict.index })
  }
  return {
    calls: verdicts.filter((verdict) => verdict.kind === 'tool'),
    exit: verdicts.length === 1 ? exits[0] : undefined,
    refusals,
  }
}

/** The same call with an effect twice in one answer is made once: the second is a stutter until it is asked for again. */
function refuseTwins(verdicts: readonly Verdict[]): readonly Verdict[] {
  const seen = new Set<string>()
  return verdicts.map((verdict) => {
    if (verdict.kind !== 'tool' || verdict.tool.effect === 'read') return verdict
    const { tool, input, index } = verdict
    const key = keyOf([tool.name, input])
    if (!seen.has(key)) {
      seen.add(key)
      return verdict
    }
    const correction = `Refused: ${tool.name} with the same arguments is in this answer already, and is called once.`
    return { kind: 'refused', refusal: { reason: 'duplicate-call', asked: tool.name, correction, index } }
  })
}

function refuseWhole(node: ModelNode, calls: number, finish: Finish): Refusal | undefined {
  if (finish === 'length') {
    const correction = `Refused: the answer was cut at its limit of ${node.outputTokensMax} tokens; nothing of it was done. Answer shorter.`
    return { reason: 'answer-cut', asked: '', correction }
  }
  if (finish === 'content-filter' || finish === 'error') {
    const correction = 'Refused: the answer was withheld by the provider; nothing of it was done. Go on with the task.'
    return { reason: 'answer-withheld', asked: '', correction }
  }
  if (calls > 0) return undefined
  return {
    reason: 'no-call',
    asked: '',
    correction: `Refused: answer by calling a tool or an exit. ${may(node)}`,
  }
}

function judge(machine: Machine, node: ModelNode, call: Call, index: number, readsOn: boolean): Verdict {
  const refused = (reason: RefusalReason, what: string): Verdict => {
    return {
      kind: 'refused',
      refusal: { reason, asked: call.name, correction: `Refused: ${what}`, index },
    }
  }
  const { name } = call
  if (name.trim() === '') return refused('empty-name', `a call needs the name of a tool or an exit. ${may(node)}`)
  const tool = node.tools.get(name) ?? (readsOn && name === readOnTool.name ? readOnTool : undefined)
  const exit = name.startsWith('$') ? undefined : node.exits.get(name)
  if (!tool && !exit) {
    if (machine.tools.has(name))
      return refused('tool-not-allowed', `the tool ${name} is not allowed here. ${may(node)}`)
    if (machine.exitNames.has(name))
      return refused('undeclared-exit', `${name} is not an exit of this state. ${may(node)}`)
    return refused('unknown-tool', `there is no tool or exit ${head(JSON.stringify(name), 80)}. ${may(node)}`)
  }
  if (call.arguments === undefined) {
    return refused('invalid-json', `the arguments of ${name} are not valid JSON: ${head(call.raw ?? '', 120)}`)
  }
  if (tool) {
    const verdict = validate(tool.tool.inputSchema, call.arguments)
    if (!verdict.ok) return refused('invalid-arguments', `the arguments of ${name} do not fit: ${verdict.problem}`)
    return { kind: 'tool', index, tool, input: verdict.value, asked: call.arguments }
  }
  const verdict = exit!.output ? validate(exit!.output, call.arguments) : { ok: true as const, value: {} }
  if (!verdict.ok) return refused('invalid-output', `the output of ${name} does not fit: ${verdict.problem}`)
  return { kind: 'exit', index, name, output: verdict.value }
}

/** What may be asked for in a state, in a sentence. */
function may(node: ModelNode): string {
  return `You may call: ${node.offers.map((offer) => offer.name).join(', ')}.`
}
