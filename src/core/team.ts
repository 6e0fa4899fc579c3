// Checks what only teams can get wrong: whom a state starts and how they are joined, ends of a child that lead nowhere,
// children that would undo each other's writes.

import { isAgent, type State } from './agent.ts'
import { isMerging } from './context.ts'
import { checkFields } from './field.ts'
import { quoted } from './json.ts'
import { isCeiling, limitProblems } from './limits.ts'
import { childrenIn, type Machine, type Node } from './machine.ts'
import type { Report } from './problem.ts'
import { validate } from './schema.ts'

/** Reports what is wrong with a state that is done by another agent, as it is written. */
export function checkAgentState(state: Extract<State, { agent: any }>, place: string, report: Report): void {
  const { agent, each, concurrency, join, failures, limits } = state
  const say = (field: string, problem: string, cure: string): void =>
    report('CHILD_INVALID', `${place}.${field}`, problem, cure)
  if (!isAgent(agent)) say('agent', 'This is not an agent.', 'Name what defineAgent returns.')
  for (const field of ['each', 'input', 'output'] as const) {
    if (state[field] === undefined || typeof state[field] === 'function') continue
    say(field, `${field} is not a function.`, 'Give a function of the context.')
  }
  if (concurrency !== undefined && !isCeiling(concurrency)) {
    const problem = `${quoted(concurrency)} is not a limit.`
    report('LIMIT_INVALID', `${place}.concurrency`, problem, 'Use a whole number from 1 to 1,000,000.')
  }
  const alone = (['concurrency', 'join', 'failures'] as const).find((field) => state[field] !== undefined)
  if (each === undefined && alone !== undefined) {
    say(alone, 'There is one child, and nothing to be joined.', 'Give each, a list; or remove it.')
  }
  const quorum: unknown = typeof join === 'object' && join !== null ? join.quorum : undefined
  if (join !== undefined && join !== 'all' && join !== 'any' && !isCeiling(quorum)) {
    say('join', `There is no join ${quoted(join)}.`, 'Use all, any, or { quorum: 2 }.')
  }
  if (failures !== undefined && !['stop', 'skip', 'wait'].includes(failures)) {
    say('failures', `There is no ${quoted(failures)}.`, 'Use stop, skip or wait.')
  }
  checkFields('limits', limits ?? {}, `${place}.limits`, report)
  const states = isAgent(agent) ? Object.keys(agent.states) : []
  for (const { field, problem, cure } of limitProblems(limits ?? {}, states)) {
    report('LIMIT_INVALID', `${place}.limits.${field}`, problem, cure)
  }
}

/** A child must be able to begin, every way that it may end must lead somewhere, and what it hands over must be written. */
export function checkChildEnds(
  parent: Machine,
  { state, child, joining, exits, writes }: Extract<Node, { kind: 'agent' }>,
  place: string,
  report: Report,
): void {
  const { machine } = child
  if (!state.input && !state.each && !child.shares) {
    const needed = [...machine.context.values()].filter(({ initial, schema }) => {
      return initial === undefined && !validate(schema, undefined).ok
    })
    const names = needed.map(({ name }) => name).join(', ')
    const cure = `Give it input: ({ context }) => ({ ${names} }).`
    if (names !== '') report('CHILD_INVALID', `${place}.input`, `${machine.name} cannot begin without ${names}.`, cure)
  }
  if (state.output && writes.size === 0) {
    const cure = `Name the keys in writes; there are: ${[...parent.context.keys()].join(', ')}.`
    report('WRITE_UNDECLARED', `${place}.output`, 'What output answers with may not be written.', cure)
  }
  const finals = [...machine.states.values()].filter(({ kind }) => kind === 'final').map(({ name }) => name)
  const ways = joining.fans ? ['DONE', 'FAILED'] : finals
  for (const way of ways) {
    if (exits.has(way)) continue
    const problem = joining.fans
      ? `A fan-out leaves by ${ways.join(' or ')}, and ${way} is not declared.`
      : `${machine.name} may end in ${way}, and nothing says where that leads.`
    report('EXIT_MISSING', `${place}.on`, problem, `Add on: { ${way}: … }.`)
  }
  for (const name of exits.keys()) {
    if (name.startsWith('$') || ways.includes(name)) continue
    const cure = `It may leave by: ${ways.join(', ')}.`
    report('EXIT_INVALID', `${place}.on.${name}`, `${machine.name} never ends in ${name}.`, cure)
  }
}

/** Children that run side by side and may write one plain key would undo each other; the engine makes one look again. */
export function checkParallel(machine: Machine, report: Report): void {
  for (const node of machine.states.values()) {
    const place = `.states.${node.name}`
    const beside =
      node.kind === 'agent'
        ? node.joining.fans && node.joining.concurrency > 1
          ? [node.child]
          : []
        : childrenIn([node]).filter(({ shares }) => shares)
    const plain = [...machine.context.values()].filter(({ merge }) => !isMerging(merge)).map(({ name }) => name)
    for (const { machine: child, shares } of beside) {
      const clash = shares ? plain.filter((key) => child.writes.has(key)) : []
      if (clash.length === 0) continue
      const many = clash.length > 1
      report(
        'PARALLEL_WRITE',
        place,
        `Several ${child.name} at a time may write the plain ${many ? 'keys' : 'key'} ${clash.join(', ')}: the second has to look again.`,
        `Give ${many ? 'them' : 'it'} a merge, let it go in and out as input and output, or set concurrency: 1.`,
      )
    }
  }
}
