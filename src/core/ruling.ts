// What is said about one step before it is permitted: the rules of the house, which every call of a tool meets (where it
// may speak to, whose words its sinks are, what may leave at all, what always needs a person), then the machine's own
// and the orchestrator's. A policy can make the house stricter, never weaker.

import type { Draft } from './draft.ts'
import { deedLike } from './fork.ts'
import { hostAllowed } from './egress.ts'
import { head, keyOf, type Json } from './json.ts'
import type { Label } from './label.ts'
import type { Machine, MachineTool, Node } from './machine.ts'
import { isChanged } from './pin.ts'
import { askRules, strictest, type Judged, type Ruling } from './policy.ts'
import { isAddress } from './link.ts'
import { foreignHandles, foreignLinks, foreignSinks, leaves, originOf, valuesAt, type Foreign } from './provenance.ts'
import { readable } from './reading.ts'

/** What the rules came to about a call, and everything that was asked for on the way, for the person who is asked. */
export interface CallRuling extends Ruling {
  readonly asks: readonly Ruling[]
}

/** Judges a call of a tool, with the label of whoever calls it. `asked`: what its arguments were made of by its schema. */
export function judgeCall(
  machine: Machine,
  work: Draft,
  node: Node,
  tool: MachineTool,
  input: Json,
  label: Label,
  asked = input,
): CallRuling {
  const own = askOwn(machine, work, node, label, {
    kind: 'tool',
    name: tool.name,
    arguments: input,
    effect: tool.effect,
    origin: tool.origin,
  })
  const rulings = [...askHouse(machine, work, node, tool, input, label, asked), ...own]
  const allowed = own.find(({ verdict }) => verdict === 'allow')
  if (tool.origin === 'outside' && !allowed) {
    rulings.push({ verdict: 'ask', rule: 'outside', reason: `${tool.name} comes from outside, and no rule allows it` })
  }
  const held = strictest(rulings) ?? { verdict: 'allow', rule: 'default', reason: 'nothing is against it' }
  return { ...held, asks: rulings.filter(({ verdict }) => verdict === 'ask') }
}

/** Judges whether a model may be shown what has this label. Nobody can be asked about each turn, so `ask` denies. */
export function judgeModel(machine: Machine, work: Draft, node: Node, model: string, label: Label): Ruling | undefined {
  const step = { kind: 'model', name: model, arguments: {}, effect: 'read', origin: 'own' } as const
  const held = strictest(askOwn(machine, work, node, label, step))
  return held === undefined || held.verdict === 'allow' ? undefined : held
}

type Step = Pick<Judged, 'kind' | 'name' | 'arguments' | 'effect' | 'origin'>

function askOwn(
  machine: Machine,
  { task, terms, nowMs }: Draft,
  node: Node,
  label: Label,
  step: Step,
): readonly Ruling[] {
  const rules = [...machine.policy, ...terms.policy.rules]
  if (rules.length === 0) return []
  const { id, by, startedAtMs } = task
  const kept = [...task.context].filter(([key]) => !node.reads || node.reads.has(key))
  return askRules(rules, {
    ...step,
    agent: machine.name,
    state: node.name,
    task: { id, by, startedAtMs },
    label,
    context: readable(machine, task, node),
    labels: Object.fromEntries(kept.map(([key, { label: of }]) => [key, of])),
    nowMs,
  })
}

function askHouse(
  machine: Machine,
  { task, terms }: Draft,
  node: Node,
  tool: MachineTool,
  input: Json,
  { trust, privacy }: Label,
  asked: Json,
): Ruling[] {
  const rulings: Ruling[] = []
  const say = (verdict: Ruling['verdict'], rule: string, reason: string): void =>
    void rulings.push({ verdict, rule, reason })
  const { egress, name } = tool
  if (isChanged(tool, terms.hash)) say('deny', 'pin', `the text of ${name} is not the one that was agreed to`)
  const elsewhere = egress === undefined ? undefined : addressesOf(tool, input).find((url) => !hostAllowed(url, egress))
  if (elsewhere !== undefined) {
    say(
      'deny',
      'egress',
      `${quote(elsewhere)} is not among the hosts that ${name} may speak to (${egress!.join(', ') || 'none'})`,
    )
  }
  if (privacy === 'secret' && tool.outward)
    say('deny', 'secrecy', `something secret was seen, and ${name} leads outside`)
  const done = tool.effect === 'read' ? undefined : deedLike(task, name, input)
  if (done) say('ask', 'fork', `${name} was called by ${done.task} in step ${done.step}, and that stands`)
  if (tool.approval.always) say('ask', 'approval', `${name} is always asked about`)
  if (trust === 'trusted') return rulings
  if (tool.sinks.size > 0 || tool.tool.secrets?.length || tool.outward) {
    const origin = originOf(task, node)
    const [sink] = [...foreignSinks(tool, input, origin, asked), ...foreignHandles(tool, input, origin)]
    if (sink) say('ask', 'provenance', `${sink.path} is ${quote(sink.value)}, which nobody of ours has said`)
    const [link] = tool.outward ? foreignLinks(tool, input, origin) : []
    if (link) say('ask', 'links', `the link ${quote(link.value)} would leave, and nobody of ours has said it`)
  }
  if (machine.strict && (tool.effect !== 'read' || tool.outward)) {
    say('ask', 'strict', `untrusted words were seen before this effect`)
  }
  return rulings
}

/** Where a call says that it speaks to: its sinks that begin as an address, and whatever else is one. */
function addressesOf(tool: MachineTool, input: Json): readonly string[] {
  const sinks = [...tool.sinks.keys()].flatMap((path) => leaves(valuesAt(input, path.split('.'))))
  const others = leaves(input).filter((text) => !/\s/.test(text.trim()))
  return [...sinks, ...others].filter(isAddress)
}

function quote(value: Foreign['value']): string {
  return JSON.stringify(head(value, 80))
}

/** What an approval of a call is bound to: this tool, these arguments whatever the order of their keys, this policy. */
export function bindingOf(machine: Machine, { terms }: Draft, tool: string, input: Json): string {
  const rules = machine.policy.map(({ name, judge }) => `${name} ${String(judge)}`)
  return terms.hash(keyOf([tool, input, terms.policy.version, rules]))
}
