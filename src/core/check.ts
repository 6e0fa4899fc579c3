// Proves a machine sound before it runs. Whatever types cannot see is found here, by name, with its cure: targets that
// do not exist, states nobody can reach, ways that never end, names that mean two things.

import type { Agent } from './agent.ts'
import { checkAgentBoundary } from './boundary.ts'
import { checkContext, checkHead } from './checking/head.ts'
import { checkState } from './checking/state.ts'
import { checkTools } from './checking/tools.ts'
import { checkDepth, checkFit, checkFlows, checkLoops, checkNode, checkPaths } from './checking/whole.ts'
import { Fault } from './fault.ts'
import type { Known } from './load.ts'
import { agentsOf, compile, type Machine } from './machine.ts'
import { severityOf, type Problem, type Report } from './problem.ts'
import { prove, type Proof } from './proof.ts'
import { checkShape } from './shape.ts'
import { checkParallel } from './team.ts'
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
  /** It has no error, and none of its children has, but flows. */
  readonly sound: boolean
  readonly machine?: Machine
  readonly proof?: Proof
}

/** Each of a team is looked at once, by whatever way it is come to first. */
function find(agent: Agent, windows: Windows, team = new Map<Agent, Found>()): Found {
  const problems: Problem[] = []
  const root = rootOf(agent)
  const report: Report = (code, place, problem, cure) => {
    problems.push({ severity: severityOf(code), code, place: `${root}${place}`, problem, cure })
  }
  if (!checkShape(agent, report)) return { problems, sound: false }
  checkHead(agent, report)
  checkContext(agent, report)
  for (const [name, state] of Object.entries(agent.states)) checkState(agent, name, state, report)
  checkAgentBoundary(agent, report)
  checkTools(agent, report)
  const hasErrors = (): boolean =>
    problems.some(({ severity, code }) => severity === 'error' && code !== 'FLOW_UNGATED')
  let sound = !hasErrors()
  for (const child of new Set(Object.values(agent.states).flatMap(agentsOf))) {
    const known = team.get(child)
    const found = known ?? find(child, windows, team)
    team.set(child, found)
    sound &&= found.sound
    if (known) continue
    for (const problem of found.problems) problems.push({ ...problem, place: `${root} → ${problem.place}` })
  }
  if (!sound) return { problems, sound }
  const machine = compile(agent)
  for (const node of machine.states.values()) {
    checkNode(machine, node, report)
    if (node.kind === 'model') checkFit(node, windows, report)
  }
  checkPaths(machine, report)
  checkLoops(machine, report)
  checkDepth(machine, report)
  checkParallel(machine, report)
  const proof = prove(machine)
  checkFlows(machine, proof, report)
  return { problems, sound: !hasErrors(), machine, proof }
}

// An agent never changes: what is sound once is sound.
const proven = new WeakMap<Agent, Machine>()

/**
 * Makes an agent ready to run. Throws AGENT_UNSOUND, naming every error, when it is not sound. One whose only errors are
 * flows into tools that name their sinks may run: where such a call would go to is judged again when it is made.
 */
export function compileChecked(agent: Agent): Machine {
  const machine = proven.get(agent) ?? compileProven(agent)
  proven.set(agent, machine)
  return machine
}

function compileProven(agent: Agent): Machine {
  const { problems, machine, proof } = find(agent, {})
  const errors = problems.filter((problem) => problem.severity === 'error')
  const others = errors.filter(({ code }) => code !== 'FLOW_UNGATED')
  if (machine && others.length === 0 && proof?.ungated.every(({ hasSinks }) => hasSinks)) return machine
  throw unsound(agent, errors)
}

/** Holds an agent to be written as one, sound or not: enough to be looked at. Throws AGENT_UNSOUND, naming every field that is not. */
export function holdShape(agent: Agent): void {
  const { problems } = find(agent, {})
  const errors = problems.filter(({ code }) => code === 'FIELD_INVALID')
  if (errors.length > 0) throw unsound(agent, errors)
}

function unsound(agent: Agent, errors: readonly Problem[]): Fault {
  const list = errors.map(({ code, place, problem, cure }) => `\n  ${code} ${place}: ${problem} ${cure}`).join('')
  return new Fault(
    'AGENT_UNSOUND',
    `The agent ${rootOf(agent)} has ${errors.length} error${errors.length === 1 ? '' : 's'}:${list}\n`,
    'Mend them; `signalbox check FILE` finds the same.',
    { data: { errors } },
  )
}
