// Proves a machine sound before it runs. Whatever types cannot see is found here, by name, with its cure: targets that
// do not exist, states nobody can reach, ways that never end, names that mean two things.

import { engineExits, type Agent, type ModelState, type State, type WaitState } from './agent.ts'
import { checkAgentBoundary, checkKeyBoundary, checkStateBoundary, checkToolBoundary } from './boundary.ts'
import { durationProblem, type Duration } from './duration.ts'
import { Fault, isFault, messageOf } from './fault.ts'
import { checkFields } from './field.ts'
import { defaults, isCeiling, limitProblems } from './limits.ts'
import { isObject, quoted } from './json.ts'
import { isUnbounded, loopsOf } from './loop.ts'
import { merges } from './context.ts'
import type { Known } from './load.ts'
import {
  agentsOf,
  candidatesOf,
  compile,
  failureTarget,
  kindOf,
  outputKeys,
  type Machine,
  type Node,
} from './machine.ts'
import { severityOf, type Problem, type Report } from './problem.ts'
import { placesMax, prove, type Flow, type Proof } from './proof.ts'
import { quarantineProblems } from './quarantine.ts'
import { isQueueName, queueOf } from './queue.ts'
import { readOn } from './read-on.ts'
import { quotaProblem } from './quota.ts'
import { isSchema, toJsonSchema, validate } from './schema.ts'
import { checkShape } from './shape.ts'
import { estimateTokens, offerTokens } from './tokens.ts'
import { checkAgentState, checkChildEnds, checkParallel } from './team.ts'
import type { Tool } from './tool.ts'
import { reach, targetsOf } from './way.ts'
import { systemText } from './window.ts'
import { worstOf, type Worst } from './worst.ts'

/** All that can be said about an agent before it runs. What needs a machine is there where one could be made. */
export interface Examination {
  readonly problems: readonly Problem[]
  readonly proof: Pick<Proof, 'looked' | 'exact'> | undefined
  readonly worst: Worst | undefined
}

type Windows = Readonly<Record<string, number>>

/**
 * Everything that is wrong with an agent; no errors means that it can run. `windows` are the tokens of the models' windows, as
 * far as they are known.
 */
export function check(agent: Agent<any, any>, windows: Windows = {}): readonly Problem[] {
  return find(agent, windows).problems
}

/** Everything that is wrong with an agent, and the worst that it can come to, with prices and windows where `known` says them. */
export function examine(agent: Agent<any, any>, known?: Known, windows: Windows = {}): Examination {
  const { problems, machine, proof } = find(agent, windows)
  const worst = machine && worstOf(agent, machine, known)
  return { problems, proof: proof && { looked: proof.looked, exact: proof.exact }, worst }
}

/** What the places of an agent begin with: its name, where it has one. */
function rootOf({ name }: Agent): string {
  return typeof name === 'string' && name !== '' ? name : 'agent'
}

interface Found {
  readonly problems: readonly Problem[]
  readonly machine?: Machine
  readonly proof?: Proof
}

function find(agent: Agent, windows: Windows): Found {
  const problems: Problem[] = []
  const root = rootOf(agent)
  const report: Report = (code, place, problem, cure) => {
    problems.push({ severity: severityOf(code), code, place: `${root}${place}`, problem, cure })
  }
  if (!checkShape(agent, report)) return { problems }
  checkHead(agent, report)
  checkContext(agent, report)
  for (const [name, state] of Object.entries(agent.states)) checkState(agent, name, state, report)
  checkAgentBoundary(agent, report)
  checkTools(agent, report)
  for (const child of new Set(Object.values(agent.states).flatMap(agentsOf))) {
    for (const problem of find(child, windows).problems) {
      problems.push({ ...problem, place: `${root} → ${problem.place}` })
    }
  }
  if (problems.some(({ severity, code }) => severity === 'error' && code !== 'FLOW_UNGATED')) return { problems }
  const machine = compile(agent)
  for (const node of machine.states.values()) {
    checkNode(machine, node, report)
    if (node.kind === 'model') checkFit(node, windows, report)
  }
  checkPaths(machine, report)
  checkLoops(machine, report)
  checkParallel(machine, report)
  const proof = prove(machine)
  checkFlows(machine, proof, report)
  return { problems, machine, proof }
}

/**
 * Makes an agent ready to run. Throws AGENT_UNSOUND, naming every error, when it is not sound. One whose only errors are
 * flows into tools that name their sinks may run: where such a call would go to is judged again when it is made.
 */
export function compileChecked(agent: Agent): Machine {
  const { problems, machine, proof } = find(agent, {})
  const errors = problems.filter((problem) => problem.severity === 'error')
  const others = errors.filter(({ code }) => code !== 'FLOW_UNGATED')
  if (machine && others.length === 0 && proof?.ungated.every(({ hasSinks }) => hasSinks)) return machine
  const list = errors.map(({ code, place, problem, cure }) => `\n  ${code} ${place}: ${problem} ${cure}`).join('')
  throw new Fault(
    'AGENT_UNSOUND',
    `The agent ${rootOf(agent)} has ${errors.length} error${errors.length === 1 ? '' : 's'}:${list}\n`,
    'Mend them; `signalbox check FILE` finds the same.',
    { data: { errors } },
  )
}

const isName = (name: unknown): boolean => typeof name === 'string' && /^[A-Za-z][\w.-]{0,63}$/.test(name)
/** What every provider takes as a tool's name. */
const isCallName = (name: unknown): boolean => typeof name === 'string' && /^[A-Za-z_][\w-]{0,63}$/.test(name)

function checkHead(agent: Agent, report: Report): void {
  checkFields('agent', agent, '', report)
  checkFields('limits', agent.limits ?? {}, '.limits', report)
  if (!isName(agent.name)) {
    report(
      'NAME_INVALID',
      '.name',
      `${quoted(agent.name)} cannot be an agent's name.`,
      'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
    )
  }
  if (typeof agent.version !== 'string' || agent.version === '') {
    report('NAME_INVALID', '.version', 'The version is missing.', "Give it one, such as '1'.")
  }
  if (!isQueueName(queueOf(agent))) {
    const problem = `${quoted(agent.queue)} cannot be a queue's name.`
    report('NAME_INVALID', '.queue', problem, 'Use 1 to 64 letters, digits, ".", "_" or "-".')
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
  if (agent.migrate !== undefined && typeof agent.migrate !== 'function') {
    report('MIGRATION_INVALID', '.migrate', 'It is not a function.', 'Use migrate: ({ version, state, context }) => …')
  }
  for (const { field, problem, cure } of limitProblems(agent.limits ?? {}, Object.keys(agent.states))) {
    report('LIMIT_INVALID', `.limits.${field}`, problem, cure)
  }
  checkSignals(agent.signals, report)
}

function checkSignals(signals: unknown, report: Report): void {
  if (signals === undefined) return
  if (!isObject(signals)) {
    report('SCHEMA_INVALID', '.signals', 'Signals are schemas by name.', 'Write { paid: z.object({ … }) }.')
    return
  }
  for (const [name, schema] of Object.entries(signals)) {
    const place = `.signals.${name}`
    if (!isCallName(name)) {
      const problem = `${quoted(name)} cannot be a signal's name.`
      report('NAME_INVALID', place, problem, 'Use 1 to 64 letters, digits, "_" or "-", a letter first.')
    }
    checkSchema(schema, place, report)
  }
}

/** Where signals are declared, a wait for another would be for one that nobody can send. */
function checkAwaited({ signals }: Agent, signal: string | undefined, place: string, report: Report): void {
  if (signal === undefined || !isObject(signals) || Object.hasOwn(signals, signal)) return
  const cure = `Declare it in signals, or name one of: ${Object.keys(signals).join(', ')}.`
  report('SIGNAL_UNKNOWN', place, `The agent has no signal ${quoted(signal)}.`, cure)
}

function checkContext(agent: Agent, report: Report): void {
  for (const [name, key] of Object.entries(agent.context?.keys ?? {})) {
    const place = `.context.${name}`
    if (!isName(name)) {
      report(
        'NAME_INVALID',
        place,
        `${quoted(name)} cannot be a context key.`,
        'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
      )
    }
    const schema = isSchema(key) ? key : key?.schema
    if (!isSchema(schema)) {
      report('SCHEMA_INVALID', place, 'The key has no schema.', 'Give it a Standard Schema, such as z.string().')
      continue
    }
    if (isSchema(key)) continue
    checkKeyBoundary(key, place, report)
    if (key.merge !== undefined && typeof key.merge !== 'function' && !merges.includes(key.merge)) {
      const cure = `Use ${merges.join(', ')} or a function of what is there and what is given.`
      report('KEY_INVALID', place, `There is no merge ${quoted(key.merge)}.`, cure)
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
      `${quoted(name)} cannot be a state's name.`,
      'Use 1 to 64 letters, digits, ".", "_" or "-", a letter first.',
    )
  const kind = kindOf(state)
  if (kind === undefined) {
    report(
      'STATE_KIND',
      place,
      "A state is exactly one of model, tool, run, human, wait, agent, or type: 'final'.",
      'Declare one of them.',
    )
    return
  }
  checkFields(kind === 'agent' ? 'agentState' : kind, state, place, report)
  if (kind === 'final') {
    checkRights(agent, state as Rights, place, report)
    return
  }
  checkStateBoundary(agent, state, place, report)
  const { on, visits, timeout, visitTimeout, repeats } = state as Exclude<State, { type: 'final' }>
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
        `${quoted(exit)} cannot be an exit's name.`,
        'Use 1 to 64 letters, digits, "_" or "-", a letter first.',
      )
    }
    checkTargets(agent, where, definition, report)
    checkOutput(exit, where, definition, report)
  }
  checkRights(agent, state as Rights, place, report)
  checkCeiling(visits, `${place}.visits`, report)
  checkCeiling(repeats, `${place}.repeats`, report)
  checkDuration(timeout, `${place}.timeout`, report)
  checkDuration(visitTimeout, `${place}.visitTimeout`, report)
  if (state.model !== undefined) checkModel(state, place, report)
  if (state.agent !== undefined) checkAgentState(state, place, report)
  if (state.tool?.agent !== undefined) {
    report(
      'TOOL_INVALID',
      `${place}.tool`,
      'An agent is a tool for a model only.',
      'Make this an agent state: { agent, input }.',
    )
  }
  if (state.wait !== undefined) checkWait(agent, state, place, report)
}

type Rights = { readonly reads?: readonly string[]; readonly writes?: readonly string[] }

function checkRights(agent: Agent, { reads, writes }: Rights, place: string, report: Report): void {
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
}

function checkWait(agent: Agent, { wait, timeout }: WaitState, place: string, report: Report): void {
  const { delay, signal, until } = wait
  checkFields('awaited', wait, `${place}.wait`, report)
  checkDuration(delay, `${place}.wait.delay`, report)
  checkAwaited(agent, signal, `${place}.wait.signal`, report)
  const given = [delay, signal, until].filter((one) => one !== undefined)
  const fits = (signal === undefined || isCallName(signal)) && (until === undefined || typeof until === 'function')
  if (given.length !== 1 || !fits) {
    report(
      'STATE_KIND',
      `${place}.wait`,
      'A wait is for a delay, for one named signal, or until the time that a function says.',
      "Write { delay: '5m' }, { signal: 'paid' } or { until: ({ context }) => context.due }.",
    )
  } else if (until && timeout !== undefined) {
    const problem = 'The wait ends at its own time, so its timeout would be passed over.'
    report('LIMIT_INVALID', `${place}.timeout`, problem, 'Remove it, or set visitTimeout: past it, $timeout.')
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
    `${quoted(windowTokens)} leaves no room for input beside the answer.`,
    'Use a whole number above outputTokensMin.',
  )
}

/** What is said and offered on every turn must fit beside the shortest answer, or the model is never asked. */
function checkFit(node: Extract<Node, { kind: 'model' }>, windows: Windows, report: Report): void {
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
      if (!checkTool(agent, tool, `${place}.tools`, report)) continue
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

function checkTool(agent: Agent, tool: Tool, place: string, report: Report): boolean {
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
    report('TOOL_INVALID', where, `There is no effect ${quoted(tool.effect)}.`, 'Use read, write or external.')
  }
  checkUndo(tool, `${where}.undo`, report)
  checkDuration(tool.timeout, `${where}.timeout`, report)
  const quota = quotaProblem(tool)
  if (quota !== undefined) report('LIMIT_INVALID', where, `${quota}.`, 'Change it.')
  checkCeiling(tool.retry?.attempts, `${where}.retry.attempts`, report)
  if (
    isCeiling(tool.retry?.attempts) &&
    tool.retry.attempts > 1 &&
    (tool.idempotent ?? (tool.effect ?? 'read') === 'read') === false
  ) {
    report(
      'TOOL_INVALID',
      where,
      'A tool that may not be called twice cannot be tried again.',
      'Make it idempotent by its key, or remove retry.',
    )
  }
  checkSchema(tool.inputSchema, `${where}.inputSchema`, report)
  checkToolBoundary(agent, tool, where, report)
  return true
}

function checkUndo({ undo, effect = 'read' }: Tool, place: string, report: Report): void {
  if (undo === undefined || effect !== 'read') return
  report(
    'TOOL_INVALID',
    place,
    'A tool that only reads has nothing to take back.',
    'Declare its effect, or remove undo.',
  )
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
      `There is no state ${quoted(target)}.`,
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
  report('LIMIT_INVALID', place, `${quoted(value)} is not a limit.`, 'Use a whole number from 1 to 1,000,000.')
}

function checkDuration(value: Duration | undefined, place: string, report: Report): void {
  const problem = value === undefined ? undefined : durationProblem(value)
  if (problem !== undefined) report('LIMIT_INVALID', place, problem, 'Change it.')
}

// What follows needs a machine that compiles.

function checkNode(machine: Machine, node: Node, report: Report): void {
  if (node.kind === 'final') return
  const place = `.states.${node.name}`
  const own = [...node.exits.values()].filter((exit) => !exit.name.startsWith('$'))
  if (node.kind === 'agent') checkChildEnds(machine, node, place, report)
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
  checkHandedOver(node, place, report)
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
  for (const { problem, cure } of quarantineProblems(node)) {
    report('DECLASSIFY_INVALID', `${place}.declassify`, problem, cure)
  }
  for (const route of node.kind === 'model' || node.kind === 'tool' || node.kind === 'run' || node.kind === 'agent'
    ? ['$error', '$timeout']
    : []) {
    if (!node.exits.has(route) && node.onFailure === 'escalate') {
      report(
        'ROUTE_MISSING',
        `${place}.on.${route}`,
        `Nothing routes ${route}; the task would wait in the inbox.`,
        'Add a route to the state or to the agent.',
      )
    }
  }
}

/** A tool state without `exit`, and a wait for a time, hand over {}: an output that needs more can never be left by. */
function checkHandedOver(node: Node, place: string, report: Report): void {
  const isTool = node.kind === 'tool' && !node.state.exit
  const isTime = node.kind === 'wait' && node.signal === undefined
  const output = isTool || isTime ? node.exits.get('DONE')?.output : undefined
  if (!output || validate(output, {}).ok) return
  report(
    'EXIT_INVALID',
    `${place}.on.DONE.output`,
    isTool
      ? "DONE needs an output, and nothing hands one over: without exit, a tool's result is not the output."
      : 'DONE needs an output, and a time that has come hands nothing over.',
    isTool
      ? "Give the state exit: ({ result }) => ({ exit: 'DONE', output: … })."
      : 'Remove the output, or what it requires.',
  )
}

function checkLoops(machine: Machine, report: Report): void {
  for (const loop of loopsOf(machine).filter(isUnbounded)) {
    const [first] = loop.states
    const states = loop.states.join(', ')
    const agents = new Set(
      loop.states.flatMap((name) => {
        const node = machine.states.get(name)
        return node?.kind === 'agent' ? [node.child.machine.name] : []
      }),
    )
    if (agents.size > 1 && machine.agent.limits?.handovers !== undefined) continue
    if (agents.size > 1) {
      report(
        'HANDOVER_LOOP',
        `.states.${first}`,
        `${[...agents].join(' and ')} may hand over to each other in a circle (${states}), and nobody said how often.`,
        'Set visits on one of its states, and route $visits; or limits.handovers.',
      )
      continue
    }
    report(
      'LOOP_DEFAULT',
      `.states.${first}`,
      `Nobody said how often the loop of ${states} may be gone; each may be entered ${defaults.visits} times, the default.`,
      'Set visits on one of its states, and route $visits.',
    )
  }
}

function checkFlows(machine: Machine, proof: Proof, report: Report): void {
  const about = proof.exact
    ? ''
    : ` (There are more than ${placesMax} cases to look at, so they were joined: this may be a flow that no task has.)`
  const say = (code: 'FLOW_UNGATED' | 'SINKS_MISSING', flow: Flow, problem: string, cure: string): void => {
    const tools = machine.states.get(flow.state)?.kind === 'tool' ? 'tool' : 'tools'
    report(code, `.states.${flow.state}.${tools}.${flow.tool}`, `${problem} The path: ${flow.path}.${about}`, cure)
  }
  for (const flow of proof.ungated) {
    const { state, tool, untrusted, private: personal } = flow
    say(
      'FLOW_UNGATED',
      flow,
      `${tool} acts outside, and nobody is asked, where untrusted words (${untrusted}) and private data (${personal}) have met.`,
      `Give the tool approval: 'always', let a human state read it before, let ${state} read less, or declassify it in a quarantine.`,
    )
  }
  for (const flow of proof.unsunk) {
    say(
      'SINKS_MISSING',
      flow,
      `${flow.tool} acts outside after untrusted words (${flow.untrusted}), and says of none of its arguments that it matters whose words they are.`,
      "Name the arguments that decide who gets what in sinks, or give it approval: 'always'.",
    )
  }
}

function checkPaths(machine: Machine, report: Report): void {
  const next = targetsOf(machine)
  const reachable = reach([machine.initial], next)
  const before = new Map<string, Set<string>>([...next.keys()].map((name) => [name, new Set()]))
  for (const [source, targets] of next) for (const target of targets) before.get(target)?.add(source)
  // A rollback leads only to where the task has been: it opens no state, but it is a way out of one.
  const checkpoints = [...machine.states.values()].filter(({ checkpoint }) => checkpoint !== undefined)
  for (const node of machine.states.values()) {
    if (failureTarget(node) === 'rollback') for (const { name } of checkpoints) before.get(name)?.add(node.name)
  }
  const finals = [...machine.states.values()].filter((node) => node.kind === 'final').map((node) => node.name)
  const ending = reach(finals, before)
  for (const name of machine.states.keys()) {
    const place = `.states.${name}`
    if (!reachable.has(name))
      report('STATE_UNREACHABLE', place, 'No way leads into this state.', 'Route an exit to it, or remove it.')
    else if (!ending.has(name))
      report('STATE_DEAD_END', place, 'No way leads from this state to a final one.', 'Add an exit that ends the task.')
  }
}

function isEngineExit(name: string): boolean {
  return (engineExits as readonly string[]).includes(name)
}
