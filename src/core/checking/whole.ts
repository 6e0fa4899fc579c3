// What is found only where everything is put together: states and their ways in a machine that compiles.

import { loopsOf, isUnbounded } from '../loop.ts'
import { defaults } from '../limits.ts'
import { failureTarget, outputKeys, type Machine, type Node } from '../machine.ts'
import type { Report } from '../problem.ts'
import { placesMax, type Flow, type Proof } from '../proof.ts'
import { quarantineProblems } from '../quarantine.ts'
import { readOn } from '../read-on.ts'
import { validate } from '../schema.ts'
import { checkChildEnds } from '../team.ts'
import { estimateTokens, offerTokens } from '../tokens.ts'
import { reach, targetsOf } from '../way.ts'
import { systemText } from '../window.ts'

/** Whether a state can be left, and writes what it may. */
export function checkNode(machine: Machine, node: Node, report: Report): void {
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

/** What is said and offered on every turn must fit beside the shortest answer, or the model is never asked. */
export function checkFit(
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

/** Whether every state is reached, and leads to an end. */
export function checkPaths(machine: Machine, report: Report): void {
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

/** Whether all that may be started below it may begin. */
export function checkDepth({ levels, limits }: Machine, report: Report): void {
  if (levels <= limits.depth) return
  const most = `limits.depth allows ${limits.depth}: whoever is to start the next leaves by $limit`
  report(
    'DEPTH_EXCEEDED',
    '.limits.depth',
    `Its team is ${levels} levels deep, and ${most}.`,
    'Raise it, or nest less.',
  )
}

/** Whether somebody has said how often each circle may be gone. */
export function checkLoops(machine: Machine, report: Report): void {
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

/** Whether untrusted words and private data meet where something acts outside. */
export function checkFlows(machine: Machine, proof: Proof, report: Report): void {
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
