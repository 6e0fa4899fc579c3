// What a task may use at worst: each state by itself, all visits together, and all tasks that it starts, with those below
// them. Each task keeps the ceilings of its own; how many there are is bounded by the steps of whoever starts them, by
// the calls of a tool, and by the number of tasks that a tree may have.

import type { Terms } from './draft.ts'
import { worstCost, worstInput } from './ledger.ts'
import { defaults, resolveLimits, type Limits } from './limits.ts'
import { loopsOf, type Loop } from './loop.ts'
import { childrenIn, toolsOf, type Child, type Machine, type MachineTool, type Node } from './machine.ts'
import { waysOf } from './way.ts'

/** What is known about models: their prices and windows. */
export type Known = Pick<Terms, 'price' | 'window'>

/** What is used by one task or by several, before the ceilings of their tree. */
export interface Load {
  readonly steps: number
  readonly turns: number
  readonly tokens: number
  readonly costMicros: number | null
  /** What the dearest token costs. */
  readonly tokenMicros: number
  /** Attempts that may be charged. */
  readonly tries: number
}

const nothing: Load = { steps: 0, turns: 0, tokens: 0, costMicros: 0, tokenMicros: 0, tries: 0 }

/** The defaults that the steps and the spending of children rest on, each with the name of its agent. */
type Rests = Readonly<Record<'steps' | 'spend', readonly string[]>>

/** A state of a task, all visits together: what is done in it, and by the tasks that it starts and all below them. */
export interface NodeLoad {
  readonly node: Node
  readonly entries: number
  readonly visits: number
  readonly own: Load
  /** How many tasks it may start. */
  readonly children: number
  readonly below: Load
  readonly rests: Rests
  readonly asks: boolean
}

/** A task: what it may use by itself within its own ceilings, and all tasks below it. */
export interface TaskLoad {
  readonly nodes: readonly NodeLoad[]
  readonly own: Load
  readonly below: Load
  /** What is done below is cut at the number of tasks that a tree may have. */
  readonly isCrowded: boolean
  /** The most that one task, it or one below it, may do by itself. */
  readonly most: Pick<Load, 'steps' | 'turns'>
  readonly rests: Rests
  readonly asks: boolean
}

/** What holds for all tasks of a tree. A machine that is started often is weighed once for the same ceilings. */
interface Tree {
  readonly known: Known
  readonly descendants: number
  /** Money has a ceiling. */
  readonly isPriced: boolean
  readonly weighed: Map<Machine, Map<string, TaskLoad>>
}

/** What a task may use that is the root of its tree. `given` are the ceilings that were written. */
export function loadOf(machine: Machine, given: Limits, known: Known): TaskLoad {
  const { descendants, costMicros } = machine.limits
  return weigh(machine, given, { known, descendants, isPriced: costMicros !== null, weighed: new Map() })
}

/** Adds up what a task may use: its states, all visits together, and the tasks that they start. */
function weigh(machine: Machine, given: Limits, tree: Tree): TaskLoad {
  const { limits } = machine
  const entries = entriesOf(machine, loopsOf(machine))
  const working = [...machine.states.values()].filter(({ kind }) => kind !== 'final')
  const nodes = working.map((node) => nodeLoad(machine, node, entries.get(node.name)!, tree))
  const all = sum(nodes.map(({ own }) => own))
  const steps = Math.min(all.steps, limits.steps)
  const worth = all.costMicros === null ? Infinity : tokensWorth(machine, all)
  const cost = Math.min(all.costMicros ?? Infinity, limits.costMicros ?? Infinity, worth)
  const own = {
    ...all,
    steps,
    turns: Math.min(all.turns, steps),
    tokens: Math.min(all.tokens, limits.tokens),
    costMicros: Number.isFinite(cost) ? cost : null,
  }
  const started = nodes.flatMap(({ node }) => childrenOf(node)).map((child) => weighChild(machine, child, tree))
  const raw = sum(nodes.map((one) => one.below))
  const below = within(raw, started, tree)
  return {
    nodes,
    own,
    below,
    isCrowded: below.steps < raw.steps || below.turns < raw.turns,
    most: mostOf([own, ...started.map(({ most }) => most)]),
    rests: restsOf(machine, given, nodes, all),
    asks: nodes.some(({ asks }) => asks),
  }
}

function nodeLoad(machine: Machine, node: Node, entries: number, tree: Tree): NodeLoad {
  const visits = entries * runsOf(machine)
  const started = childrenOf(node).map((child) => weighChild(machine, child, tree))
  const count = startsOf(machine, node, visits, tree)
  const children = Math.min(count * started.length, machine.limits.steps, tree.descendants)
  const turns = visits * (node.kind === 'model' ? node.turnsMax : 0)
  const others = node.kind === 'tool' || node.kind === 'run' ? visits : callsOf(machine, node)
  const begun = node.kind === 'agent' ? children : 0
  return {
    node,
    entries,
    visits,
    own: { ...nothing, turns, steps: turns + others + begun, ...spendOf(machine, node, entries, tree) },
    children,
    below: within(sum(started.map((child) => times(sum([child.own, child.below]), count))), started, tree),
    rests: {
      steps: count > 0 ? started.flatMap(({ rests }) => rests.steps) : [],
      spend: count > 0 ? started.flatMap(({ rests }) => rests.spend) : [],
    },
    asks: node.kind === 'human' || toolsOf(node).some(mayAsk) || started.some(({ asks }) => asks),
  }
}

function childrenOf(node: Node): readonly Child[] {
  return childrenIn([node])
}

/** However children are nested there are no more tasks than the tree may have, and each keeps its own ceiling. */
function within(load: Load, started: readonly TaskLoad[], { descendants }: Tree): Load {
  const { steps, turns } = mostOf(started.map(({ most }) => most))
  return {
    ...load,
    steps: Math.min(load.steps, descendants * steps),
    turns: Math.min(load.turns, descendants * turns),
  }
}

function mostOf(loads: readonly TaskLoad['most'][]): TaskLoad['most'] {
  return {
    steps: Math.max(0, ...loads.map(({ steps }) => steps)),
    turns: Math.max(0, ...loads.map(({ turns }) => turns)),
  }
}

/**
 * How many tasks of each of its children a state may start. A list may be of any length: then as many as the task may take
 * steps, or the tree may have tasks.
 */
function startsOf({ limits }: Machine, node: Node, visits: number, { descendants }: Tree): number {
  if (limits.depth < 1 || node.kind === 'final') return 0
  const max = Math.min(limits.steps, descendants)
  if (node.kind === 'agent') return node.joining.fans ? max : Math.min(visits, max)
  return Math.min(limits.toolCalls, max)
}

/** A child as its parent starts it: its ceilings are its own, or those that the state gives it. */
function weighChild({ limits: above }: Machine, { machine, limits: given }: Child, tree: Tree): TaskLoad {
  const resolved = resolveLimits(given, machine.limits)
  const limits = { ...resolved, depth: Math.max(0, Math.min(resolved.depth, above.depth - 1)) }
  const known = tree.weighed.get(machine) ?? new Map<string, TaskLoad>()
  tree.weighed.set(machine, known)
  const key = JSON.stringify([limits, given])
  const weighed = known.get(key) ?? weigh({ ...machine, limits }, { ...machine.agent.limits, ...given }, tree)
  known.set(key, weighed)
  return weighed
}

/** What nobody set, of a child, by its agent's name. */
function restsOf({ name, limits }: Machine, given: Limits, nodes: readonly NodeLoad[], all: Load): Rests {
  const rests = { steps: new Set<string>(), spend: new Set<string>() }
  const add = (to: keyof Rests, fields: readonly string[]): void => {
    for (const field of fields) rests[to].add(`${name}.${field}`)
  }
  for (const one of nodes) {
    const by = boundsOf(given, one)
    if (one.own.steps > 0 && all.steps <= limits.steps) add('steps', by.steps)
    if (one.own.tokens > 0 && all.tokens <= limits.tokens) add('spend', by.spend)
    for (const field of one.rests.steps) rests.steps.add(field)
    for (const field of one.rests.spend) rests.spend.add(field)
  }
  if (all.steps > limits.steps) add('steps', unset(given, 'steps'))
  if (all.tokens > limits.tokens) add('spend', unset(given, 'tokens'))
  return { steps: [...rests.steps], spend: [...rests.spend] }
}

/** Several loads as one. */
export function sum(loads: readonly Load[]): Load {
  return loads.reduce((a, b) => {
    return {
      steps: a.steps + b.steps,
      turns: a.turns + b.turns,
      tokens: a.tokens + b.tokens,
      costMicros: a.costMicros === null || b.costMicros === null ? null : a.costMicros + b.costMicros,
      tokenMicros: Math.max(a.tokenMicros, b.tokenMicros),
      tries: a.tries + b.tries,
    }
  }, nothing)
}

/** As much, so many times; what is never done is not unknown either. */
function times(load: Load, count: number): Load {
  if (count === 0) return nothing
  const { steps, turns, tokens, costMicros, tokenMicros, tries } = load
  return {
    steps: steps * count,
    turns: turns * count,
    tokens: tokens * count,
    costMicros: costMicros === null ? null : costMicros * count,
    tokenMicros,
    tries: tries * count,
  }
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

/** By figure: the fields that nobody set and that it rests on, where no ceiling of the task is lower. */
export function boundsOf(
  given: Limits,
  { node, entries }: Pick<NodeLoad, 'node' | 'entries'>,
): Record<'turns' | 'steps' | 'spend' | 'time', string[]> {
  const state = node.kind === 'final' ? {} : (node.state as unknown as Readonly<Record<string, unknown>>)
  const fields = (...names: string[]): string[] => names.filter((name) => state[name] === undefined)
  const visits = entries === node.visitsMax ? fields('visits') : []
  const turns = node.kind === 'model' ? [...visits, ...fields('turns')] : visits
  const calls = node.kind === 'model' && node.tools.size > 0 ? unset(given, 'toolCalls') : []
  const fans = node.kind === 'agent' && node.joining.fans
  return {
    turns,
    steps: fans ? unset(given, 'steps') : [...turns, ...calls],
    spend: [...turns, ...fields('retry', 'outputTokens')],
    time: [...turns, ...(node.visitTimeoutMs === undefined ? timeFields(node, fields) : [])],
  }
}

/** A limit of the task that nobody set. */
export function unset(given: Limits, limit: keyof Limits): string[] {
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

/**
 * Every try of every model of the chain counts, since a failed one may be charged as it was reserved, and one more with a
 * smaller request. A model without a price is not called where money has a ceiling.
 */
function spendOf(
  machine: Machine,
  node: Node,
  entries: number,
  { known, isPriced }: Tree,
): Pick<Load, 'tokens' | 'costMicros' | 'tokenMicros' | 'tries'> {
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
    if (cost === null && (isPriced || machine.limits.costMicros !== null)) continue
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
export function tokensWorth({ limits }: Machine, { tokenMicros, tries }: Pick<Load, 'tokenMicros' | 'tries'>): number {
  return Math.ceil(limits.tokens * tokenMicros) + tries
}
