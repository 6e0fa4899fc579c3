// Proves a machine sound before it runs. Whatever types cannot see is found here, by name, with its cure: targets that
// do not exist, states nobody can reach, ways that never end, names that mean two things.

import { engineExits, type Agent, type ModelState, type State } from './agent.ts'
import { Fault, isFault, messageOf } from './fault.ts'
import { defaults, isCeiling, limitProblems } from './limits.ts'
import { candidatesOf, compile, kindOf, outputKeys, type Machine, type Node } from './machine.ts'
import { readOn } from './read-on.ts'
import { hostProblem } from './egress.ts'
import { nameProblem } from './known-secrets.ts'
import { quotaProblem } from './quota.ts'
import { isSchema, toJsonSchema, validate } from './schema.ts'
import { toMs, type Duration } from './duration.ts'
import { estimateTokens, offerTokens } from './tokens.ts'
import type { Tool } from './tool.ts'
import { systemText } from './window.ts'

/** What can be wrong with a machine. */
export type ProblemCode =
  | 'NAME_INVALID'
  | 'NAME_RESERVED'
  | 'NAME_TWICE'
  | 'STATE_KIND'
  | 'STATE_UNREACHABLE'
  | 'STATE_DEAD_END'
  | 'FINAL_MISSING'
  | 'INITIAL_UNKNOWN'
  | 'TARGET_UNKNOWN'
  | 'EXIT_MISSING'
  | 'EXIT_INVALID'
  | 'KEY_UNKNOWN'
  | 'KEY_INVALID'
  | 'WRITE_UNDECLARED'
  | 'TOOL_INVALID'
  | 'SCHEMA_INVALID'
  | 'LIMIT_INVALID'
  | 'ROUTE_MISSING'
  | 'FIELD_UNKNOWN'

/** One thing that is wrong, where, and how to mend it. A warning does not keep the machine from running. */
export interface Problem {
  readonly severity: 'error' | 'warning'
  readonly code: ProblemCode
  /** `investigator.states.search.on.FOUND`. */
  readonly place: string
  readonly problem: string
  readonly cure: string
}

type Report = (code: ProblemCode, place: string, problem: string, cure: string) => void

/**
 * Everything that is wrong with an agent; no errors means that it can run. `windows` are the tokens of the models' windows, as
 * far as they are known.
 */
export function check(agent: Agent, windows: Readonly<Record<string, number>> = {}): readonly Problem[] {
  const problems: Problem[] = []
  const root = typeof agent.name === 'string' && agent.name !== '' ? agent.name : 'agent'
  const report: Report = (code, place, problem, cure) => {
    problems.push({
      severity: code === 'ROUTE_MISSING' ? 'warning' : 'error',
      code,
      place: `${root}${place}`,
      problem,
      cure,
    })
  }
  checkHead(agent, report)
  checkContext(agent, report)
  for (const [name, state] of Object.entries(agent.states)) checkState(agent, name, state, report)
  checkTools(agent, report)
  if (problems.length > 0) return problems
  const machine = compile(agent)
  for (const node of machine.states.values()) {
    checkNode(machine, node, report)
    if (node.kind === 'model') checkFit(node, windows, report)
  }
  checkPaths(machine, report)
  return problems
}

/** Makes an agent ready to run. Throws AGENT_UNSOUND, naming every error, when it is not sound. */
export function compileChecked(agent: Agent): Machine {
  const errors = check(agent).filter((problem) => problem.severity === 'error')
  if (errors.length === 0) return compile(agent)
  const list = errors.map(({ code, place, problem, cure }) => `\n  ${code} ${place}: ${problem} ${cure}`).join('')
  throw new Fault(
    'AGENT_UNSOUND',
    `The agent ${agent.name} has ${errors.length} error${errors.length === 1 ? '' : 's'}:${list}\n`,
    'Mend them; `signalbox check FILE` finds the same.',
    { data: { errors } },
  )
}

const isName = (name: unknown): boolean => typeof name === 'string' && /^[A-Za-z][\w.-]{0,63}$/.test(name)
/** What every provider takes as a tool's name. */
const isCallName = (name: unknown): boolean => typeof name === 'string' && /^[A-Za-z_][\w-]{0,63}$/.test(name)

const common = ['on', 'reads', 'writes', 'visits', 'timeout', 'visitTimeout', 'repeats', 'checkpoint', 'onFailure']

/** Every field that means something; another would be passed over in silence, and might be a limit or a gate. */
const fields = {
  agent: ['name', 'version', 'context', 'initial', 'limits', 'policy', 'strict', 'onFailure', 'on', 'states'],
  limits: ['steps', 'toolCalls', 'handovers', 'duration', 'tokens', 'cost', 'soft', 'onSoft'],
  exit: ['target', 'description', 'output', 'guard'],
  model: [
    ...common,
    'model',
    'instructions',
    'prompt',
    'tools',
    'turns',
    'refusals',
    'retry',
    'outputTokens',
    'outputTokensMin',
    'windowTokens',
    'temperature',
    'declassify',
  ],
  tool: [...common, 'tool', 'args', 'exit'],
  run: [...common, 'run', 'declassify'],
  human: [...common, 'human'],
  wait: [...common, 'wait'],
  final: ['type', 'failure'],
} as const

function checkFields(kind: keyof typeof fields, value: object, place: string, report: Report): void {
  const known: readonly string[] = fields[kind]
  for (const field of Object.keys(value)) {
    if (known.includes(field)) continue
    report(
      'FIELD_UNKNOWN',
      `${place}.${field}`,
      `${field} means nothing here.`,
      `Remove it; there may be: ${known.join(', ')}.`,
    )
  }
}

function checkHead(agent: Agent, report: Report): void {
  checkFields('agent', agent, '', report)
  checkFields('limits', agent.limits ?? {}, '.limits', report)
  if (!isName(agent.name)) {
    report(
      'NAME_INVALID',
      '.name',
      `${JSON.stringify(agent.name)} cannot be an agent's name.`,
      'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
    )
  }
  if (typeof agent.version !== 'string' || agent.version === '') {
    report('NAME_INVALID', '.version', 'The version is missing.', "Give it one, such as '1'.")
  }
  const states = Object.entries(agent.states)
  if (!Object.hasOwn(agent.states, agent.initial)) {
    report(
      'INITIAL_UNKNOWN',
      '.initial',
      `There is no state ${agent.initial}.`,
      `Name one of: ${states.map(([name]) => name).join(', ')}.`,
    )
  }
  if (!states.some(([, state]) => kindOf(state) === 'final')) {
    report('FINAL_MISSING', '.states', 'No state is final, so no task can ever end.', "Add a state { type: 'final' }.")
  }
  for (const [exit, target] of Object.entries(agent.on ?? {})) {
    if (!isEngineExit(exit)) {
      report(
        'NAME_RESERVED',
        `.on.${exit}`,
        `${exit} is not an exit of the engine.`,
        `Default routes are for: ${engineExits.join(', ')}.`,
      )
    }
    checkTargets(agent, `.on.${exit}`, target, report)
  }
  for (const { field, problem, cure } of limitProblems(agent.limits ?? {}, Object.keys(agent.states))) {
    report('LIMIT_INVALID', `.limits.${field}`, problem, cure)
  }
}

function checkContext(agent: Agent, report: Report): void {
  for (const [name, key] of Object.entries(agent.context?.keys ?? {})) {
    const place = `.context.${name}`
    if (!isName(name)) {
      report(
        'NAME_INVALID',
        place,
        `${JSON.stringify(name)} cannot be a context key.`,
        'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
      )
    }
    const schema = isSchema(key) ? key : key?.schema
    if (!isSchema(schema)) {
      report('SCHEMA_INVALID', place, 'The key has no schema.', 'Give it a Standard Schema, such as z.string().')
      continue
    }
    if (isSchema(key)) continue
    if (key.merge !== undefined && key.merge !== 'replace' && key.merge !== 'append') {
      report('KEY_INVALID', place, `There is no merge ${JSON.stringify(key.merge)}.`, 'Use replace or append.')
    }
    if (!('initial' in key)) continue
    try {
      const verdict = validate(schema, key.initial)
      if (!verdict.ok)
        report(
          'KEY_INVALID',
          place,
          `The initial value does not fit: ${verdict.problem}.`,
          'Change the value or the schema.',
        )
    } catch (thrown) {
      report('SCHEMA_INVALID', place, messageOf(thrown), 'Use a schema that answers at once.')
    }
  }
}

function checkState(agent: Agent, name: string, state: State, report: Report): void {
  const place = `.states.${name}`
  if (name.startsWith('$'))
    report('NAME_RESERVED', place, "Names that start with $ are the engine's.", 'Rename the state.')
  else if (!isName(name))
    report(
      'NAME_INVALID',
      place,
      `${JSON.stringify(name)} cannot be a state's name.`,
      'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
    )
  const kind = kindOf(state)
  if (kind === undefined) {
    report(
      'STATE_KIND',
      place,
      "A state is exactly one of model, tool, run, human, wait, or type: 'final'.",
      'Declare one of them.',
    )
    return
  }
  checkFields(kind, state, place, report)
  if (kind === 'final') return
  const { on, reads, writes, visits, timeout, visitTimeout, repeats } = state as Exclude<State, { type: 'final' }>
  for (const [exit, definition] of Object.entries(on ?? {})) {
    const where = `${place}.on.${exit}`
    if (exit.startsWith('$') && !isEngineExit(exit)) {
      report(
        'NAME_RESERVED',
        where,
        `${exit} is not an exit of the engine.`,
        `Exits that start with $ are: ${engineExits.join(', ')}.`,
      )
    } else if (!exit.startsWith('$') && !isCallName(exit)) {
      report(
        'NAME_INVALID',
        where,
        `${JSON.stringify(exit)} cannot be an exit's name.`,
        'Use 1 to 64 letters, digits, "_" or "-", a letter first.',
      )
    }
    checkTargets(agent, where, definition, report)
    checkOutput(exit, where, definition, report)
  }
  for (const [rights, keys] of [
    ['reads', reads],
    ['writes', writes],
  ] as const) {
    for (const key of keys ?? []) {
      if (Object.hasOwn(agent.context.keys, key)) continue
      report(
        'KEY_UNKNOWN',
        `${place}.${rights}`,
        `The context has no key ${key}.`,
        `Its keys are: ${Object.keys(agent.context.keys).join(', ')}.`,
      )
    }
  }
  checkCeiling(visits, `${place}.visits`, report)
  checkCeiling(repeats, `${place}.repeats`, report)
  checkDuration(timeout, `${place}.timeout`, report)
  checkDuration(visitTimeout, `${place}.visitTimeout`, report)
  if (state.model !== undefined) checkModel(state, place, report)
  if (state.wait !== undefined) {
    const { delay, signal } = state.wait
    checkDuration(delay, `${place}.wait.delay`, report)
    if ((delay === undefined) === (signal === undefined) || (signal !== undefined && !isCallName(signal))) {
      report(
        'STATE_KIND',
        `${place}.wait`,
        'A wait is for a delay or for one named signal.',
        "Write { delay: '5m' } or { signal: 'paid' }.",
      )
    }
  }
}

function checkModel(state: Extract<State, { model: any }>, place: string, report: Report): void {
  const models = typeof state.model === 'string' ? [state.model] : state.model
  if (
    !Array.isArray(models) ||
    models.length === 0 ||
    models.some((model) => typeof model !== 'string' || model === '') ||
    new Set(models).size !== models.length
  ) {
    report(
      'STATE_KIND',
      `${place}.model`,
      'A model state names a model, or several different ones.',
      "Write model: 'main' or model: ['main', 'backup'].",
    )
  }
  if (typeof state.prompt !== 'string' && typeof state.prompt !== 'function') {
    report('STATE_KIND', `${place}.prompt`, 'The prompt is missing.', 'Give a text or a function of the context.')
  }
  checkCeiling(state.turns, `${place}.turns`, report)
  checkCeiling(state.refusals, `${place}.refusals`, report)
  checkCeiling(state.retry?.attempts, `${place}.retry.attempts`, report)
  checkCeiling(state.outputTokens, `${place}.outputTokens`, report)
  checkCeiling(state.outputTokensMin, `${place}.outputTokensMin`, report)
  checkWindow(state, place, report)
}

function checkWindow(state: ModelState, place: string, report: Report): void {
  const { windowTokens, outputTokens = defaults.outputTokens, outputTokensMin = defaults.outputTokensMin } = state
  if (windowTokens === undefined) return
  const isWhole = Number.isSafeInteger(windowTokens)
  if (isWhole && windowTokens > Math.min(outputTokens, outputTokensMin)) return
  report(
    'LIMIT_INVALID',
    `${place}.windowTokens`,
    `${JSON.stringify(windowTokens)} leaves no room for input beside the answer.`,
    'Use a whole number above outputTokensMin.',
  )
}

/** What is said and offered on every turn must fit beside the shortest answer, or the model is never asked. */
function checkFit(
  node: Extract<Node, { kind: 'model' }>,
  windows: Readonly<Record<string, number>>,
  report: Report,
): void {
  const least = estimateTokens(systemText(node)) + offerTokens([...node.offers, readOn.offer]) + node.outputTokensMin
  for (const model of node.models) {
    const windowTokens = Math.min(node.windowTokens, windows[model] ?? Infinity)
    if (windowTokens >= least) continue
    report(
      'LIMIT_INVALID',
      `.states.${node.name}.model`,
      `${model} can never be asked: what is always said, and the shortest answer, are ${least} tokens, its window ${windowTokens}.`,
      'Offer fewer tools, say less, lower outputTokensMin, or name a model with a larger window.',
    )
  }
}

function checkTools(agent: Agent, report: Report): void {
  const seen = new Map<string, Tool>()
  for (const [stateName, state] of Object.entries(agent.states)) {
    const place = `.states.${stateName}`
    const tools = state.model !== undefined ? (state.tools ?? []) : state.tool !== undefined ? [state.tool] : []
    const here = new Set(state.model === undefined ? [] : [readOn.name, ...Object.keys(state.on ?? {})])
    for (const tool of tools) {
      if (!checkTool(tool, `${place}.tools`, report)) continue
      if (here.has(tool.name))
        report(
          'NAME_TWICE',
          `${place}.tools.${tool.name}`,
          `${tool.name} names two tools or exits of one state.`,
          'Rename one; a model could not tell them apart.',
        )
      here.add(tool.name)
      if ((seen.get(tool.name) ?? tool) !== tool)
        report(
          'NAME_TWICE',
          `${place}.tools.${tool.name}`,
          `${tool.name} names two different tools of one agent.`,
          'Rename one; the log could not tell them apart.',
        )
      seen.set(tool.name, tool)
    }
  }
}

function checkTool(tool: Tool, place: string, report: Report): boolean {
  if (typeof tool !== 'object' || tool === null || !isCallName(tool.name)) {
    report(
      'TOOL_INVALID',
      place,
      'A tool has no valid name.',
      'Use defineTool, and 1 to 64 letters, digits, "_" or "-".',
    )
    return false
  }
  const where = `${place}.${tool.name}`
  if (typeof tool.execute !== 'function')
    report('TOOL_INVALID', where, 'The tool has no execute function.', 'Give it one.')
  if (tool.effect !== undefined && !['read', 'write', 'external'].includes(tool.effect)) {
    report('TOOL_INVALID', where, `There is no effect ${JSON.stringify(tool.effect)}.`, 'Use read, write or external.')
  }
  checkDuration(tool.timeout, `${where}.timeout`, report)
  const quota = quotaProblem(tool)
  if (quota !== undefined) report('LIMIT_INVALID', where, `${quota}.`, 'Change it.')
  checkCeiling(tool.retry?.attempts, `${where}.retry.attempts`, report)
  if (tool.retry && tool.retry.attempts > 1 && (tool.idempotent ?? (tool.effect ?? 'read') === 'read') === false) {
    report(
      'TOOL_INVALID',
      where,
      'A tool that may not be called twice cannot be tried again.',
      'Make it idempotent by its key, or remove retry.',
    )
  }
  checkSchema(tool.inputSchema, `${where}.inputSchema`, report)
  checkDoors(tool, where, report)
  return true
}

/** What a tool may speak to and be given. */
function checkDoors({ egress = [], secrets = [] }: Tool, where: string, report: Report): void {
  for (const host of egress) {
    const problem = hostProblem(String(host))
    if (problem === undefined) continue
    report(
      'TOOL_INVALID',
      `${where}.egress`,
      `${JSON.stringify(host)}: ${problem}.`,
      'Name a host, and nothing around it.',
    )
  }
  for (const name of secrets) {
    const problem = nameProblem(String(name))
    if (problem !== undefined)
      report('TOOL_INVALID', `${where}.secrets`, `${JSON.stringify(name)}: ${problem}.`, 'Rename it.')
  }
}

function checkTargets(agent: Agent, place: string, exit: unknown, report: Report): void {
  const candidates = candidatesOf(exit)
  if (candidates.length === 0) report('EXIT_INVALID', place, 'The exit has no target.', 'Name a state.')
  for (const candidate of candidates) {
    if (typeof candidate === 'object' && candidate !== null) checkFields('exit', candidate, place, report)
    const target = candidate?.target
    if (typeof target === 'string' && Object.hasOwn(agent.states, target)) continue
    report(
      'TARGET_UNKNOWN',
      place,
      `There is no state ${JSON.stringify(target)}.`,
      `Name one of: ${Object.keys(agent.states).join(', ')}.`,
    )
  }
}

function checkOutput(exit: string, place: string, definition: unknown, report: Report): void {
  const outputs = candidatesOf(definition).flatMap((candidate) =>
    candidate?.output === undefined ? [] : [candidate.output],
  )
  for (const output of outputs) checkSchema(output, `${place}.output`, report)
  if (exit.startsWith('$') && outputs.length > 0) {
    report('EXIT_INVALID', `${place}.output`, 'An exit of the engine hands nothing over.', 'Remove the output.')
  }
  if (new Set(outputs).size > 1) {
    report(
      'EXIT_INVALID',
      `${place}.output`,
      'The candidates of one exit have different outputs.',
      'Give the output once; guards may look into it.',
    )
  }
}

function checkSchema(schema: unknown, place: string, report: Report): void {
  if (!isSchema(schema)) {
    report('SCHEMA_INVALID', place, 'This is not a schema.', 'Give it a Standard Schema, such as z.object({ … }).')
    return
  }
  try {
    if (toJsonSchema(schema)['type'] !== 'object') {
      report('SCHEMA_INVALID', place, 'What is handed over must be an object.', 'Wrap it: z.object({ … }).')
    }
    validate(schema, {})
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown
    report('SCHEMA_INVALID', place, thrown.message, 'Change the schema.')
  }
}

function checkCeiling(value: unknown, place: string, report: Report): void {
  if (value === undefined || isCeiling(value)) return
  report('LIMIT_INVALID', place, `${JSON.stringify(value)} is not a limit.`, 'Use a whole number from 1 to 1,000,000.')
}

function checkDuration(value: Duration | undefined, place: string, report: Report): void {
  if (value === undefined) return
  try {
    toMs(value)
  } catch (thrown) {
    report('LIMIT_INVALID', place, messageOf(thrown), 'Change it.')
  }
}

// What follows needs a machine that compiles.

function checkNode(machine: Machine, node: Node, report: Report): void {
  if (node.kind === 'final') return
  const place = `.states.${node.name}`
  const own = [...node.exits.values()].filter((exit) => !exit.name.startsWith('$'))
  const fixed = node.kind === 'wait' || (node.kind === 'tool' && !node.state.exit)
  if (fixed && !node.exits.has('DONE')) {
    report(
      'EXIT_MISSING',
      `${place}.on`,
      `A ${node.kind} state leaves by DONE, and it is not declared.`,
      'Add on: { DONE: … }.',
    )
  } else if (own.length === 0) {
    report('STATE_DEAD_END', place, 'The state has no exit.', 'Declare one in on, or make the state final.')
  }
  for (const exit of own) {
    for (const key of outputKeys(exit)) {
      if (!machine.context.has(key)) {
        report(
          'KEY_UNKNOWN',
          `${place}.on.${exit.name}.output`,
          `The context has no key ${key}.`,
          `Its keys are: ${[...machine.context.keys()].join(', ')}.`,
        )
      } else if (!node.writes.has(key)) {
        report(
          'WRITE_UNDECLARED',
          `${place}.on.${exit.name}.output`,
          `The state may not write ${key}.`,
          'Add it to writes.',
        )
      }
    }
  }
  for (const route of node.kind === 'model' || node.kind === 'tool' || node.kind === 'run'
    ? ['$error', '$timeout']
    : []) {
    if (!node.exits.has(route)) {
      report(
        'ROUTE_MISSING',
        `${place}.on.${route}`,
        `Nothing routes ${route}; the task would wait in the inbox.`,
        'Add a route to the state or to the agent.',
      )
    }
  }
}

function checkPaths(machine: Machine, report: Report): void {
  const next = new Map<string, Set<string>>()
  for (const node of machine.states.values()) {
    const targets = [...node.exits.values()].flatMap((exit) => exit.candidates.map((candidate) => candidate.target))
    const { onSoft } = machine.limits
    const soft = node.kind !== 'final' && machine.states.has(onSoft) ? [onSoft] : []
    next.set(node.name, new Set([...targets, ...soft]))
  }
  const reachable = closure([machine.initial], next)
  const before = new Map<string, Set<string>>([...next.keys()].map((name) => [name, new Set()]))
  for (const [source, targets] of next) for (const target of targets) before.get(target)?.add(source)
  const finals = [...machine.states.values()].filter((node) => node.kind === 'final').map((node) => node.name)
  const ending = closure(finals, before)
  for (const name of machine.states.keys()) {
    const place = `.states.${name}`
    if (!reachable.has(name))
      report('STATE_UNREACHABLE', place, 'No way leads into this state.', 'Route an exit to it, or remove it.')
    else if (!ending.has(name))
      report('STATE_DEAD_END', place, 'No way leads from this state to a final one.', 'Add an exit that ends the task.')
  }
}

function closure(from: readonly string[], next: ReadonlyMap<string, ReadonlySet<string>>): Set<string> {
  const seen = new Set(from)
  for (const name of seen) for (const other of next.get(name) ?? []) seen.add(other)
  return seen
}

function isEngineExit(name: string): boolean {
  return (engineExits as readonly string[]).includes(name)
}
