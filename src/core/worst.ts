// The worst that a machine can come to: in visits, turns, steps, tokens, money and time, for every state and for all of it. Every
// bound is one that the engine keeps, so no task passes it by itself. What people grant (a raised limit, another try)
// comes on top, and so does what an attempt was charged whose worker died; the ceilings of the task hold for that too.
//
// The tasks below it are in it, as many as its own steps and the number of descendants allow. Each keeps the ceilings of its
// own; tokens and money of all of them together are within those of the task, which is then the root.
//
// Time is without the people who are waited for: they have no bound of their own but the task's.

import type { Agent } from './agent.ts'
import { noTerms } from './draft.ts'
import { defaults, type Limits } from './limits.ts'
import { boundsOf, loadOf, sum, tokensWorth, unset, type Known, type NodeLoad, type TaskLoad } from './load.ts'
import { loopsOf, type Loop } from './loop.ts'
import type { Machine, MachineTool, Node } from './machine.ts'

/** Ceilings, in one task and all below it. */
export interface Ceilings {
  readonly steps: number
  readonly turns: number
  readonly tokens: number
  /** Millionths of a dollar; null where a price is not known. */
  readonly costMicros: number | null
  /** Without the people who are waited for; null where nothing but the task's own ceiling ends a wait for one, or for a time. */
  readonly durationMs: number | null
  /** What these rest on that nobody set: `visits`, `turns`, `limits.steps` … */
  readonly defaults: readonly string[]
}

/** The worst that one state can come to, all visits together. */
export interface StateWorst extends Ceilings {
  readonly state: string
  readonly kind: Node['kind']
  readonly visits: number
  /** How many tasks it may start; those below them are not counted. */
  readonly children: number
  /** It waits for people, or may have to: a question, an approval. */
  readonly asks: boolean
}

/** The worst that a machine can come to. */
export interface Worst {
  readonly states: readonly StateWorst[]
  /** All states together, within the ceilings of the task. */
  readonly total: Ceilings & { readonly durationMs: number }
  readonly loops: readonly Loop[]
}

/** Adds up the worst. `known` says what models cost and hold; without it no price is known, and windows are the default. */
export function worstOf(agent: Agent, machine: Machine, known: Known = noTerms): Worst {
  const given = agent.limits ?? {}
  const task = loadOf(machine, given, known)
  const states = task.nodes.map((one) => stateWorst(machine, given, one))
  return { states, total: total(machine, given, states, task), loops: loopsOf(machine) }
}

function stateWorst(machine: Machine, given: Limits, load: NodeLoad): StateWorst {
  const { limits } = machine
  const { node, visits, own, children, below, asks } = load
  const by = boundsOf(given, load)
  const rests = new Set<string>()
  const within = (limit: keyof Limits, raw: number, max: number | null, fields: readonly string[]): number => {
    const isCut = max !== null && raw > max
    if (raw > 0) for (const field of isCut ? unset(given, limit) : fields) rests.add(field)
    return isCut ? max : raw
  }
  const spend = sum([own, below])
  const spendFields = [...(own.tokens > 0 ? by.spend : []), ...load.rests.spend]
  const lasts = visitMs(load)
  const { costMicros: cost } = spend
  const worth = tokensWorth(machine, spend)
  const turns = within('steps', own.turns, limits.steps, by.turns) + below.turns
  const steps = within('steps', own.steps, limits.steps, by.steps) + below.steps
  if (below.steps > 0) for (const field of load.rests.steps) rests.add(field)
  return {
    state: node.name,
    kind: node.kind,
    visits,
    children,
    turns,
    steps,
    tokens: within('tokens', spend.tokens, limits.tokens, spendFields),
    costMicros:
      cost === null ? null : within('cost', within('tokens', cost, worth, spendFields), limits.costMicros, []),
    durationMs: lasts === null ? null : within('duration', visits * lasts, limits.durationMs, by.time),
    asks,
    defaults: [...rests],
  }
}

/** How long one visit may last, all people apart; null where only a person ends it, or a time that is not known. */
function visitMs(load: NodeLoad): number | null {
  const ownMs = ownMsOf(load)
  const { visitTimeoutMs } = load.node
  if (ownMs === null) return visitTimeoutMs ?? null
  return visitTimeoutMs === undefined ? ownMs : Math.min(ownMs, visitTimeoutMs)
}

function ownMsOf({ node, children }: NodeLoad): number | null {
  switch (node.kind) {
    case 'model':
      // The calls of one answer are made side by side.
      return node.turnsMax * (node.timeoutMs + Math.max(0, ...[...node.tools.values()].map(callMs)))
    case 'tool':
      return node.timeoutMs + callMs(node.tool) - node.tool.timeoutMs
    case 'human':
      return node.expires ? node.timeoutMs : null
    case 'wait':
      // Until when is for a function to say.
      return node.state.wait.until ? null : node.timeoutMs
    case 'run':
      return node.timeoutMs
    case 'agent':
      // The deadline of a child counts from when it is started, and it is started when there is room.
      return node.timeoutMs * (node.joining.fans ? Math.ceil(children / node.joining.concurrency) : 1)
    case 'final':
      return 0
  }
}

/** All tries of a call have one deadline; to ask after it, and to make it again when it was not done, has another. */
function callMs({ timeoutMs, tool }: MachineTool): number {
  return tool.reconcile === undefined ? timeoutMs : timeoutMs * 2 * defaults.attempts
}

function total(machine: Machine, given: Limits, states: readonly StateWorst[], task: TaskLoad): Worst['total'] {
  const { limits } = machine
  const { own, below } = task
  const rests = new Set<string>()
  const within = (limit: keyof Limits, field: keyof Ceilings, max: number): number => {
    const raw = states.reduce((all, state) => all + ((state[field] as number | null) ?? Infinity), 0)
    if (raw > max) for (const name of unset(given, limit)) rests.add(name)
    return Math.min(raw, max)
  }
  for (const state of states) for (const field of state.defaults) rests.add(field)
  if (sum(task.nodes.map((node) => node.own)).steps > own.steps)
    for (const name of unset(given, 'steps')) rests.add(name)
  if (task.isCrowded) for (const name of unset(given, 'descendants')) rests.add(name)
  const isPriced = states.every(({ costMicros }) => costMicros !== null)
  const cost = Math.min(
    within('cost', 'costMicros', limits.costMicros ?? Infinity),
    isPriced ? tokensWorth(machine, sum([own, below])) : Infinity,
  )
  return {
    steps: own.steps + below.steps,
    turns: own.turns + below.turns,
    tokens: within('tokens', 'tokens', limits.tokens),
    costMicros: Number.isFinite(cost) ? cost : null,
    durationMs: within('duration', 'durationMs', limits.durationMs),
    defaults: [...rests],
  }
}
