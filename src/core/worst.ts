// The worst that a machine can come to: in visits, turns, steps, tokens, money and time, for every state and for all of it. Every
// bound is one that the engine keeps, so no task passes it by itself. What people grant (a raised limit, another try)
// comes on top, and so does what an attempt was charged whose worker died; the ceilings of the task hold for that too.
// Time is without the people who are waited for: they have no bound of their own but the task's.

import type { Agent } from './agent.ts'
import { noTerms, type Terms } from './draft.ts'
import { worstCost, worstInput } from './ledger.ts'
import { defaults, type Limits } from './limits.ts'
import { loopsOf, type Loop } from './loop.ts'
import { toolsOf, type Machine, type MachineTool, type Node } from './machine.ts'
import { waysOf } from './way.ts'

/** What is known about models: their prices and windows. */
export type Known = Pick<Terms, 'price' | 'window'>

/** Ceilings, in one task. */
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
  const loops = loopsOf(machine)
  const entries = entriesOf(machine, loops)
  const given = agent.limits ?? {}
  const working = [...machine.states.values()].filter(({ kind }) => kind !== 'final')
  const spends = working.map((node) => spendOf(machine, node, entries.get(node.name)!, known))
  const states = working.map((node, index) => {
    return stateWorst(machine, given, node, entries.get(node.name)!, spends[index]!)
  })
  return { states, total: total(machine, given, states, spends), loops }
}

/**
 * How often each state can be entered: once where it is in no loop, else as often as its ceiling and the states before
 * it allow. By `$visits` and `$limit` a task may leave a state that it could not enter, so these do not count.
 */
function entriesOf(machine: Machine, loops: readonly Loop[]): ReadonlyMap<string, number> {
  const looped = new Set(loops.flatMap(({ states }) => states))
  const nodes = [...machine.states.values()]
  const visits = new Map(nodes.map(({ name, visitsMax }) => [name, looped.has(name) ? visitsMax : 1]))
  const sources = new Map<string, Map<string, boolean>>(nodes.map(({ name }) => [name, new Map()]))
  for (const node of nodes) {
    for (const { exit, target } of waysOf(machine, node)) {
      const from = sources.get(target)!
      from.set(node.name, (from.get(node.name) ?? false) || exit === '$visits' || exit === '$limit')
    }
  }
  // Each round begins with bounds that hold and ends with bounds that hold.
  for (let changed = true; changed;) {
    changed = false
    for (const { name } of nodes) {
      let most = name === machine.initial ? 1 : 0
      for (const [source, unseen] of sources.get(name)!) most += unseen ? Infinity : visits.get(source)!
      if (most >= visits.get(name)!) continue
      visits.set(name, most)
      changed = true
    }
  }
  return visits
}

/** A rollback gives the task another run from its checkpoint, so often that a person is asked. */
function runsOf(machine: Machine): number {
  const rollsBack = [...machine.states.values()].some(
    ({ kind, onFailure }) => kind !== 'final' && onFailure === 'rollback',
  )
  return rollsBack ? 1 + defaults.rollbacks : 1
}

function stateWorst(machine: Machine, given: Limits, node: Node, entries: number, spend: Spend): StateWorst {
  const { limits } = machine
  const visits = entries * runsOf(machine)
  const by = boundsOf(given, node, entries)
  const rests = new Set<string>()
  const within = (limit: keyof Limits, raw: number, max: number | null, fields: readonly string[]): number => {
    const isCut = max !== null && raw > max
    if (raw > 0) for (const field of isCut ? unset(given, limit) : fields) rests.add(field)
    return isCut ? max : raw
  }
  const turnsMax = node.kind === 'model' ? node.turnsMax : 0
  const others = node.kind === 'tool' || node.kind === 'run' ? visits : callsOf(machine, node)
  const lasts = visitMs(node)
  const { costMicros: cost } = spend
  const worth = tokensWorth(machine, [spend])
  return {
    state: node.name,
    kind: node.kind,
    visits,
    turns: within('steps', visits * turnsMax, limits.steps, by.turns),
    steps: within('steps', visits * turnsMax + others, limits.steps, by.steps),
    tokens: within('tokens', spend.tokens, limits.tokens, by.spend),
    costMicros: cost === null ? null : within('cost', within('tokens', cost, worth, by.spend), limits.costMicros, []),
    durationMs: lasts === null ? null : within('duration', visits * lasts, limits.durationMs, by.time),
    asks: node.kind === 'human' || toolsOf(node).some(mayAsk),
    defaults: [...rests],
  }
}

/** By figure: the fields that nobody set and that it rests on, where no ceiling of the task is lower. */
function boundsOf(given: Limits, node: Node, entries: number): Record<'turns' | 'steps' | 'spend' | 'time', string[]> {
  const state = node.kind === 'final' ? {} : (node.state as unknown as Readonly<Record<string, unknown>>)
  const fields = (...names: string[]): string[] => names.filter((name) => state[name] === undefined)
  const visits = entries === node.visitsMax ? fields('visits') : []
  const turns = node.kind === 'model' ? [...visits, ...fields('turns')] : visits
  const calls = node.kind === 'model' && node.tools.size > 0 ? unset(given, 'toolCalls') : []
  return {
    turns,
    steps: [...turns, ...calls],
    spend: [...turns, ...fields('retry', 'outputTokens')],
    time: [...turns, ...(node.visitTimeoutMs === undefined ? timeFields(node, fields) : [])],
  }
}

function unset(given: Limits, limit: keyof Limits): string[] {
  return given[limit] === undefined ? [`limits.${limit}`] : []
}

function timeFields(node: Node, fields: (...names: string[]) => string[]): string[] {
  if (node.kind === 'wait') return node.signal === undefined ? [] : fields('timeout')
  if (node.kind === 'tool') return fields('timeout').filter(() => node.tool.tool.timeout === undefined)
  const tools = toolsOf(node).some(({ tool }) => tool.timeout === undefined) ? ['timeout of a tool'] : []
  return [...fields('timeout'), ...tools]
}

/** May a person be asked about a call? Rules of a policy may ask about any. */
function mayAsk({ approval, sinks, outward, origin }: MachineTool): boolean {
  return approval.always || sinks.size > 0 || outward || origin === 'outside'
}

/** The calls of tools that a model can make in a task: each tool, and reading on in what they answered, has one ceiling. */
function callsOf({ limits }: Machine, node: Node): number {
  return node.kind === 'model' && node.tools.size > 0 ? (node.tools.size + 1) * limits.toolCalls : 0
}

/** How long one visit may last, all people apart; null where only a person ends it, or a time that is not known. */
function visitMs(node: Node): number | null {
  const ownMs = ownMsOf(node)
  const { visitTimeoutMs } = node
  if (ownMs === null) return visitTimeoutMs ?? null
  return visitTimeoutMs === undefined ? ownMs : Math.min(ownMs, visitTimeoutMs)
}

function ownMsOf(node: Node): number | null {
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
    case 'agent':
      return node.timeoutMs
    case 'final':
      return 0
  }
}

/** All tries of a call have one deadline; to ask after it, and to make it again when it was not done, has another. */
function callMs({ timeoutMs, tool }: MachineTool): number {
  return tool.reconcile === undefined ? timeoutMs : timeoutMs * 2 * defaults.attempts
}

/** What the models of a state may use in a task, before the ceilings of the task. */
interface Spend {
  readonly tokens: number
  readonly costMicros: number | null
  /** What the dearest token costs. */
  readonly tokenMicros: number
  /** Attempts that may be charged. */
  readonly tries: number
}

/**
 * Every try of every model of the chain counts, since a failed one may be charged as it was reserved, and one more with a
 * smaller request. A model without a price is not called where money has a ceiling.
 */
function spendOf(machine: Machine, node: Node, entries: number, known: Known): Spend {
  if (node.kind !== 'model') return { tokens: 0, costMicros: 0, tokenMicros: 0, tries: 0 }
  const turns = Math.min(entries * runsOf(machine) * node.turnsMax, machine.limits.steps)
  const tries = turns * (node.retry.attempts + 1)
  let [tokens, costMicros, tokenMicros]: [number, number | null, number] = [0, 0, 0]
  for (const model of node.models) {
    const windowTokens = Math.min(node.windowTokens, known.window(model))
    const priced = (input: number, output: number): number | null =>
      worstCost(input, output, (usage) => known.price(model, usage))?.costMicros ?? null
    // A long request leaves less room for the answer, and the other way round: the worst is at one of the ends.
    const ends = [node.outputTokensMin, node.outputTokensMax].map((outputTokens) => {
      return [worstInput(Math.max(0, windowTokens - outputTokens)), outputTokens] as const
    })
    const costs = ends.map(([input, output]) => priced(input, output))
    const cost = costs.some((one) => one === null) ? null : Math.max(...costs.map(Number))
    if (cost === null && machine.limits.costMicros !== null) continue
    tokens += tries * Math.max(...ends.map(([input, output]) => input + output))
    costMicros = cost === null || costMicros === null ? null : costMicros + tries * cost
    for (const [input, output] of ends) tokenMicros = Math.max(tokenMicros, dearest(priced, input, output))
  }
  return { tokens, costMicros, tokenMicros, tries: tries * node.models.length }
}

/** What a token costs at most, in or out, in a call of this size. */
function dearest(priced: (input: number, output: number) => number | null, input: number, output: number): number {
  const read = priced(input, 0) ?? 0
  const written = (priced(input, output) ?? 0) - read
  return Math.max(read / Math.max(1, input), written / output)
}

/** What all the tokens of a task can cost: each as much as the dearest, and a micro-dollar an attempt for rounding up. */
function tokensWorth({ limits }: Machine, spends: readonly Spend[]): number {
  const dearest = spends.reduce((all, { tokenMicros }) => Math.max(all, tokenMicros), 0)
  return Math.ceil(limits.tokens * dearest) + spends.reduce((all, { tries }) => all + tries, 0)
}

function total(
  machine: Machine,
  given: Limits,
  states: readonly StateWorst[],
  spends: readonly Spend[],
): Worst['total'] {
  const { limits } = machine
  const rests = new Set<string>()
  const within = (limit: keyof Limits, field: keyof Ceilings, max: number): number => {
    const sum = states.reduce((all, state) => all + ((state[field] as number | null) ?? Infinity), 0)
    if (sum > max) for (const name of unset(given, limit)) rests.add(name)
    return Math.min(sum, max)
  }
  for (const state of states) for (const field of state.defaults) rests.add(field)
  const steps = within('steps', 'steps', limits.steps)
  const isPriced = states.every(({ costMicros }) => costMicros !== null)
  const cost = Math.min(
    within('cost', 'costMicros', limits.costMicros ?? Infinity),
    isPriced ? tokensWorth(machine, spends) : Infinity,
  )
  return {
    steps,
    turns: Math.min(steps, within('steps', 'turns', limits.steps)),
    tokens: within('tokens', 'tokens', limits.tokens),
    costMicros: Number.isFinite(cost) ? cost : null,
    durationMs: within('duration', 'durationMs', limits.durationMs),
    defaults: [...rests],
  }
}
