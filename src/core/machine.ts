// A machine is an agent made ready to run: durations are numbers, defaults are filled in, schemas have their JSON
// form, every exit knows its candidates. Built once at start-up, so that whatever cannot work fails there.

import type {
  Agent,
  AgentState,
  ChildFailures,
  Declassification,
  ExitDefinition,
  FinalState,
  Join,
  ModelState,
  State,
  ToolState,
  RunState,
  HumanState,
  WaitState,
} from './agent.ts'
import { engineExits, isAgent } from './agent.ts'
import { defaultApproval, ladderOf, resolveApproval, type ApprovalTerms, type Rung } from './approval.ts'
import type { KeyDefinition, Merge } from './context.ts'
import { toMs } from './duration.ts'
import type { StateKind } from './event.ts'
import type { Json, JsonObject } from './json.ts'
import { isObject, toJson } from './json.ts'
import { clear, join, type Label } from './label.ts'
import { defaults, resolveLimits, type Limits, type TaskLimits } from './limits.ts'
import type { Offer } from './model.ts'
import { boundsOf, type Bounds } from './quota.ts'
import type { Rule } from './policy.ts'
import type { RetryPolicy } from './resilience.ts'
import { readOn } from './read-on.ts'
import { isSchema, toJsonSchema, type Schema } from './schema.ts'
import type { Effect, Tool } from './tool.ts'

/** A context key, ready. `initial` is undefined when there is none. */
export interface ContextKey {
  readonly name: string
  readonly schema: Schema
  readonly initial: Json | undefined
  readonly merge: Merge
  /** What is written to it has at least this label. */
  readonly label: Label
  readonly outward: boolean
}

/** A way out of a state, ready. */
export interface MachineExit {
  readonly name: string
  readonly candidates: readonly ExitDefinition[]
  readonly output: Schema | undefined
  readonly outputJson: JsonObject
  readonly description: string | undefined
}

/** A tool, ready. */
export interface MachineTool {
  readonly tool: Tool
  readonly name: string
  readonly effect: Effect
  readonly idempotent: boolean
  readonly timeoutMs: number
  readonly retry: RetryPolicy
  readonly bounds: Bounds
  readonly inputJson: JsonObject
  /** What it answers with has at least this label. */
  readonly label: Label
  readonly origin: 'own' | 'outside'
  /** Paths of the arguments that decide who gets what, each with the context key that holds the allowed values, or null. */
  readonly sinks: ReadonlyMap<string, string | null>
  /** Undefined: it says nothing about where it speaks to. */
  readonly egress: readonly string[] | undefined
  /** Something leaves: it acts elsewhere, or reads from where its arguments say. */
  readonly outward: boolean
  readonly approval: ApprovalTerms
  /** Who does it, where it is an agent. */
  readonly child: Child | undefined
}

/** An agent that another one starts, ready. */
export interface Child {
  readonly machine: Machine
  /** It works on the context of whoever starts it. */
  readonly shares: boolean
  readonly limits: Limits
}

/** How the children of an agent state are joined. `fans`: there is one for each item of a list. */
export interface Joining {
  readonly fans: boolean
  readonly join: Join
  readonly failures: ChildFailures
  readonly concurrency: number
}

interface NodeCommon {
  readonly name: string
  /** Its own exits, and the agent's default routes where it has none. */
  readonly exits: ReadonlyMap<string, MachineExit>
  /** Undefined: all keys. */
  readonly reads: ReadonlySet<string> | undefined
  readonly writes: ReadonlySet<string>
  readonly visitsMax: number
  /** How often a cycle of states may come back here with nothing changed, and a call with the same answer. */
  readonly repeatsMax: number
  readonly timeoutMs: number
  /** How long a visit may last; undefined: as long as what is done in it. */
  readonly visitTimeoutMs: number | undefined
  readonly checkpoint: string | undefined
  /** A state's name, `rollback` or `escalate`. */
  readonly onFailure: string
  /** The label that its outputs have instead of their own. */
  readonly declassify: Declassification | undefined
}

/** A state, ready. */
export type Node =
  | (NodeCommon & { readonly kind: 'final'; readonly state: FinalState; readonly failure: boolean })
  | (NodeCommon & {
      readonly kind: 'agent'
      readonly state: AgentState
      readonly child: Child
      readonly joining: Joining
    })
  | (NodeCommon & {
      readonly kind: 'model'
      readonly state: ModelState
      readonly models: readonly string[]
      readonly tools: ReadonlyMap<string, MachineTool>
      readonly offers: readonly Offer[]
      readonly turnsMax: number
      readonly refusalsMax: number
      readonly retry: RetryPolicy
      readonly outputTokensMax: number
      readonly outputTokensMin: number
      readonly windowTokens: number
    })
  | (NodeCommon & { readonly kind: 'tool'; readonly state: ToolState; readonly tool: MachineTool })
  | (NodeCommon & { readonly kind: 'run'; readonly state: RunState })
  | (NodeCommon & {
      readonly kind: 'human'
      readonly state: HumanState
      readonly expires: boolean
      readonly ladder: readonly Rung[]
    })
  | (NodeCommon & {
      readonly kind: 'wait'
      readonly state: WaitState
      readonly signal: string | undefined
    })

/** An agent, ready to run. */
export interface Machine {
  /** As it was written. */
  readonly agent: Agent
  /** One of its tools, or of its children's, does more than read. */
  readonly acts: boolean
  /** Some state of it takes the task back by itself when it fails. */
  readonly goesBack: boolean
  /** The context keys that some state of it may read or write; undefined: all. */
  readonly touches: ReadonlySet<string> | undefined
  /** The context keys that some state of it may write, or of those below it on the same context. */
  readonly writes: ReadonlySet<string>
  /** How many levels of children there may be below a task of it. */
  readonly levels: number
  readonly name: string
  readonly version: string
  readonly initial: string
  readonly limits: TaskLimits
  readonly policy: readonly Rule[]
  readonly strict: boolean
  readonly migrate: Agent['migrate']
  /** What becomes of what a task did when it is cancelled. */
  readonly onCancel: 'leave' | 'undo'
  /** What signals must hold, by name. Undefined: none is declared, so any may come. */
  readonly signals: ReadonlyMap<string, Schema> | undefined
  readonly context: ReadonlyMap<string, ContextKey>
  readonly states: ReadonlyMap<string, Node>
  /** Every tool of every state, by name: to tell a tool that is not allowed here from one that does not exist. */
  readonly tools: ReadonlyMap<string, MachineTool>
  /** The exits of every state: to tell an exit that is not declared here from a tool that does not exist. */
  readonly exitNames: ReadonlySet<string>
}

/** The exits that `onFailure` answers where nothing routes them. */
export const failureExits: readonly string[] = ['$error', '$timeout', '$doubt']

/** Is this an exit that `onFailure` answers? */
export function isFailure(exit: string): boolean {
  return failureExits.includes(exit)
}

/** Where a state that fails goes: a state, or `rollback`. Undefined where its routes say it all, or a human is asked. */
export function failureTarget({ kind, exits, onFailure }: Node): string | undefined {
  if (kind === 'final' || onFailure === 'escalate' || failureExits.every((exit) => exits.has(exit))) return undefined
  return onFailure
}

/** The tools that may be called in a state. */
export function toolsOf(node: Node): readonly MachineTool[] {
  return node.kind === 'model' ? [...node.tools.values()] : node.kind === 'tool' ? [node.tool] : []
}

/** A state that is where failures lead does not lead to itself: its own are for a human. */
function failureRoute(name: string, declared: string | undefined): string {
  return declared === undefined || declared === name ? 'escalate' : declared
}

/** Which kind a state is, or undefined when it is none or more than one. */
export function kindOf(state: State): StateKind | undefined {
  const kinds = (['model', 'tool', 'run', 'human', 'wait', 'agent'] as const).filter(
    (kind) => state[kind] !== undefined,
  )
  if (state.type === 'final') return kinds.length === 0 ? 'final' : undefined
  return kinds.length === 1 && state.type === undefined ? kinds[0] : undefined
}

/** The candidates of an exit, in order, whichever way it was written. */
export function candidatesOf(exit: unknown): readonly ExitDefinition[] {
  if (typeof exit === 'string') return [{ target: exit }]
  return Array.isArray(exit) ? (exit as ExitDefinition[]) : [exit as ExitDefinition]
}

// An agent never changes, and one that several others start is one machine.
const compiled = new WeakMap<Agent, Machine>()

/** Makes an agent ready. Throws DURATION_INVALID or SCHEMA_UNSUPPORTED; call `check` first for everything else. */
export function compile(agent: Agent): Machine {
  const known = compiled.get(agent) ?? compileAnew(agent)
  compiled.set(agent, known)
  return known
}

function compileAnew(agent: Agent): Machine {
  const context = new Map(Object.entries(agent.context.keys).map(([name, key]) => [name, contextKey(name, key)]))
  const states = new Map(
    Object.entries(agent.states).map(([name, state]) => [name, compileState(name, state, agent, context)]),
  )
  const tools = new Map<string, MachineTool>()
  const exitNames = new Set<string>(engineExits)
  for (const node of states.values()) {
    for (const name of node.exits.keys()) exitNames.add(name)
    if (node.kind === 'model') for (const [name, tool] of node.tools) tools.set(name, tool)
    if (node.kind === 'tool') tools.set(node.tool.name, node.tool)
  }
  tools.set(readOnTool.name, readOnTool)
  const children = childrenIn([...states.values()])
  return {
    agent,
    goesBack: [...states.values()].some(({ onFailure }) => onFailure === 'rollback'),
    touches: touchedBy([...states.values()]),
    writes: new Set([...states.values()].flatMap((node) => [...node.writes, ...writtenBelow(node)])),
    levels: Math.max(0, ...children.map(({ machine }) => machine.levels + 1)),
    acts: [...tools.values()].some(({ effect }) => effect !== 'read') || children.some(({ machine }) => machine.acts),
    name: agent.name,
    version: agent.version,
    initial: agent.initial,
    limits: resolveLimits(agent.limits ?? {}),
    policy: agent.policy ?? [],
    strict: agent.strict === true,
    migrate: agent.migrate,
    onCancel: agent.onCancel ?? 'leave',
    signals: agent.signals && new Map(Object.entries(agent.signals)),
    context,
    states,
    tools,
    exitNames,
  }
}

function touchedBy(nodes: readonly Node[]): ReadonlySet<string> | undefined {
  const touched = new Set<string>()
  for (const node of nodes) {
    const looks = node.kind !== 'final' || node.state.output !== undefined
    if (looks && !node.reads) return undefined
    for (const key of [...(node.reads ?? []), ...node.writes]) touched.add(key)
  }
  return touched
}

/** The keys of a shared context that children of a state may write, however they end. */
export function writtenBelow(node: Node): ReadonlySet<string> {
  const below = childrenIn([node]).filter(({ shares }) => shares)
  return new Set(below.flatMap(({ machine }) => [...machine.writes]))
}

/** The agents that are started in states, as children or as tools. */
export function childrenIn(nodes: Iterable<Node>): readonly Child[] {
  return [...nodes].flatMap((node) =>
    node.kind === 'agent' ? [node.child] : toolsOf(node).flatMap(({ child }) => child ?? []),
  )
}

/** An agent, and all that it may start, each once. */
export function familyOf(agent: Agent): readonly Agent[] {
  const found = new Set([agent])
  for (const one of found) {
    for (const state of Object.values(one.states ?? {})) for (const child of agentsOf(state)) found.add(child)
  }
  return [...found]
}

/** The agents that a state starts, as they are written: nobody may have looked at it yet. */
export function agentsOf(state: State): readonly Agent[] {
  if (!isObject(state)) return []
  const { agent, model, tools } = state as ModelState & AgentState
  const offered = model !== undefined && Array.isArray(tools) ? (tools as readonly (Tool | null)[]) : []
  return [agent, ...offered.map((tool) => tool?.agent)].filter((one) => isAgent(one))
}

function childOf(agent: Agent, parent: Agent, limits: Limits = {}): Child {
  return { machine: compile(agent), shares: agent.context === parent.context, limits }
}

function contextKey(name: string, key: KeyDefinition): ContextKey {
  if (isSchema(key)) return { name, schema: key, initial: undefined, merge: 'replace', label: clear, outward: false }
  const initial = 'initial' in key ? toJson(key.initial) : undefined
  return {
    name,
    schema: key.schema,
    initial: initial?.ok ? initial.value : undefined,
    merge: key.merge ?? 'replace',
    label: join(clear, key),
    outward: key.outward === true,
  }
}

const nothing: JsonObject = { type: 'object', properties: {}, additionalProperties: false }

function compileExit(name: string, exit: unknown): MachineExit {
  const candidates = candidatesOf(exit)
  const output = candidates.find((candidate) => candidate.output !== undefined)?.output
  const description = candidates.find((candidate) => candidate.description !== undefined)?.description
  return {
    name,
    candidates,
    output,
    outputJson: output ? toJsonSchema(output) : nothing,
    description,
  }
}

function retryPolicy(attempts: number): RetryPolicy {
  return { attempts, baseMs: defaults.retryBaseMs, capMs: defaults.retryCapMs }
}

/** The engine's own tool. It is performed from the task itself; its `execute` is never called. */
export const readOnTool: MachineTool = {
  tool: { name: readOn.name, description: readOn.offer.description, inputSchema: readOn.schema, execute: () => null },
  name: readOn.name,
  effect: 'read',
  idempotent: true,
  timeoutMs: defaults.toolTimeoutMs,
  retry: retryPolicy(1),
  bounds: boundsOf({}),
  inputJson: readOn.offer.inputSchema,
  label: clear,
  origin: 'own',
  sinks: new Map(),
  egress: undefined,
  outward: false,
  approval: defaultApproval,
  child: undefined,
}

function compileTool(tool: Tool, agent: Agent): MachineTool {
  const effect = tool.effect ?? 'read'
  const idempotent = tool.idempotent ?? effect === 'read'
  return {
    tool,
    name: tool.name,
    effect,
    idempotent,
    timeoutMs: tool.timeout === undefined ? timeoutOf(tool) : toMs(tool.timeout),
    retry: retryPolicy(idempotent ? (tool.retry?.attempts ?? defaults.toolAttempts) : 1),
    bounds: boundsOf(tool),
    inputJson: toJsonSchema(tool.inputSchema),
    // Whoever provides a tool from outside also provides what it answers with.
    label: join(clear, {
      trust: tool.trust ?? (tool.origin === 'outside' ? 'untrusted' : 'trusted'),
      ...privacyOf(tool),
    }),
    origin: tool.origin ?? 'own',
    sinks: sinksOf(tool),
    egress: tool.egress,
    outward: effect === 'external' || tool.egress !== undefined,
    approval: resolveApproval(tool.approval),
    child: tool.agent && childOf(tool.agent, agent),
  }
}

/** A child task may take as long as its parent. */
function timeoutOf({ agent }: Tool): number {
  return agent === undefined ? defaults.toolTimeoutMs : defaults.durationMs
}

function privacyOf({ privacy }: Tool): Pick<Label, 'privacy'> | undefined {
  return privacy === undefined ? undefined : { privacy }
}

function sinksOf({ sinks = [] }: Tool): ReadonlyMap<string, string | null> {
  if (Array.isArray(sinks)) return new Map((sinks as readonly string[]).map((path) => [path, null]))
  return new Map(Object.entries(sinks).map(([path, sink]) => [path, typeof sink === 'object' ? sink.in : null]))
}

function compileState(name: string, state: State, agent: Agent, context: ReadonlyMap<string, ContextKey>): Node {
  const exits = new Map<string, MachineExit>()
  const kind = kindOf(state)
  if (kind !== 'final') {
    for (const [exitName, exit] of Object.entries(agent.on ?? {})) exits.set(exitName, compileExit(exitName, exit))
    for (const [exitName, exit] of Object.entries(state.on ?? {})) exits.set(exitName, compileExit(exitName, exit))
  }
  const timeout = 'timeout' in state && state.timeout !== undefined ? toMs(state.timeout) : undefined
  const common: NodeCommon = {
    name,
    exits,
    reads: 'reads' in state && state.reads ? new Set(state.reads) : undefined,
    writes: writesOf(state, exits, context),
    visitsMax: ('visits' in state ? state.visits : undefined) ?? defaults.visits,
    repeatsMax: ('repeats' in state ? state.repeats : undefined) ?? defaults.repeats,
    timeoutMs: timeout ?? 0,
    visitTimeoutMs: 'visitTimeout' in state && state.visitTimeout ? toMs(state.visitTimeout) : undefined,
    checkpoint: 'checkpoint' in state ? state.checkpoint : undefined,
    onFailure: failureRoute(name, ('onFailure' in state ? state.onFailure : undefined) ?? agent.onFailure),
    declassify: 'declassify' in state ? state.declassify : undefined,
  }
  switch (kind) {
    case 'model':
      return compileModel(common, state as ModelState, timeout, agent)
    case 'tool': {
      const tool = compileTool((state as ToolState).tool, agent)
      return {
        ...common,
        kind,
        state: state as ToolState,
        tool,
        timeoutMs: timeout ?? tool.timeoutMs,
      }
    }
    case 'run':
      return {
        ...common,
        kind,
        state: state as RunState,
        timeoutMs: timeout ?? defaults.functionTimeoutMs,
      }
    case 'human': {
      const { escalate } = (state as HumanState).human
      return { ...common, kind, state: state as HumanState, expires: timeout !== undefined, ladder: ladderOf(escalate) }
    }
    case 'wait': {
      const wait = (state as WaitState).wait
      const timeoutMs = wait.delay === undefined ? (timeout ?? defaults.waitTimeoutMs) : toMs(wait.delay)
      return { ...common, kind, state: state as WaitState, signal: wait.signal, timeoutMs }
    }
    case 'agent': {
      const written = state as AgentState
      const child = childOf(written.agent, agent, written.limits)
      const timeoutMs = timeout ?? defaults.durationMs
      return { ...common, kind, state: written, child, joining: joiningOf(written), timeoutMs }
    }
    case 'final':
    case undefined:
      return {
        ...common,
        kind: 'final',
        state: state as FinalState,
        failure: (state as { failure?: boolean }).failure === true,
      }
  }
}

function joiningOf(state: AgentState): Joining {
  const { each, join = 'all', concurrency = defaults.childConcurrency } = state
  return {
    fans: each !== undefined,
    join,
    failures: state.failures ?? (join === 'all' ? 'stop' : 'skip'),
    concurrency: each === undefined ? 1 : concurrency,
  }
}

function compileModel(common: NodeCommon, state: ModelState, timeoutMs: number | undefined, agent: Agent): Node {
  const tools = new Map((state.tools ?? []).map((tool) => [tool.name, compileTool(tool, agent)]))
  const outputTokensMax = state.outputTokens ?? defaults.outputTokens
  const offers: Offer[] = []
  for (const { name, tool, inputJson } of tools.values()) {
    offers.push({ name, description: tool.description, inputSchema: inputJson })
  }
  for (const exit of common.exits.values()) {
    if (exit.name.startsWith('$')) continue
    const description = exit.description ?? `Leave the state ${common.name} by the exit ${exit.name}.`
    offers.push({ name: exit.name, description, inputSchema: exit.outputJson })
  }
  return {
    ...common,
    kind: 'model',
    state,
    tools,
    offers,
    models: typeof state.model === 'string' ? [state.model] : state.model,
    turnsMax: state.turns ?? defaults.turns,
    refusalsMax: state.refusals ?? defaults.refusals,
    retry: retryPolicy(state.retry?.attempts ?? defaults.modelAttempts),
    outputTokensMax,
    outputTokensMin: Math.min(outputTokensMax, state.outputTokensMin ?? defaults.outputTokensMin),
    windowTokens: state.windowTokens ?? Infinity,
    timeoutMs: timeoutMs ?? defaults.modelTimeoutMs,
  }
}

/** The keys a state may write: those it names, or those that its exits' outputs have as properties. */
function writesOf(
  state: State,
  exits: ReadonlyMap<string, MachineExit>,
  context: ReadonlyMap<string, ContextKey>,
): ReadonlySet<string> {
  if ('writes' in state && state.writes) return new Set(state.writes)
  const written = new Set<string>()
  for (const exit of exits.values()) {
    for (const key of outputKeys(exit)) if (context.has(key)) written.add(key)
  }
  return written
}

/** The properties that an exit's output declares. */
export function outputKeys(exit: MachineExit): readonly string[] {
  const properties = exit.outputJson['properties']
  return typeof properties === 'object' && properties !== null ? Object.keys(properties) : []
}

/**
 * Everything about an agent that its behaviour depends on, as JSON: the hash of this is what a task is pinned to.
 * Functions are named by their source text; what they call elsewhere is not seen. How tasks of other definitions are taken
 * over, and where its own wait, is no part of it.
 */
export function describe(agent: Agent): Json {
  const plain = (value: unknown): unknown => {
    if (typeof value === 'function') return isSchema(value) ? toJsonSchema(value) : { function: String(value) }
    if (typeof value !== 'object' || value === null) return value
    if (isSchema(value)) return toJsonSchema(value)
    if (Array.isArray(value)) return value.map(plain)
    // Whether a child shares the context is not in what either of them says.
    if (isAgent(value)) return { agent: describe(value), shares: value.context === agent.context }
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]))
  }
  const conversion = toJson(
    plain(Object.fromEntries(Object.entries({ ...agent, migrate: undefined, queue: undefined }))),
  )
  return conversion.ok ? conversion.value : conversion.problem
}
