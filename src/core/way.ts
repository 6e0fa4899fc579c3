// A way leads from one state of a machine to the next: by a declared exit, by one of the engine's that is routed, past the
// soft line of a budget, or after a failure that nothing routes. Whoever searches a machine walks these, and no others.
//
// A rollback is no way here: it leads back to a point where the task has been, with what was known there.

import { failureExits, type Machine, type Node } from './machine.ts'

/** One way out of a state. */
export interface Way {
  readonly exit: string
  readonly target: string
}

/** Every way that leads out of a state. */
export function waysOf(machine: Machine, node: Node): readonly Way[] {
  if (node.kind === 'final') return []
  const ways = [...node.exits.values()].flatMap(({ name, candidates }) =>
    candidates.map(({ target }) => ({ exit: name, target })),
  )
  const { onSoft } = machine.limits
  if (machine.states.has(onSoft) && onSoft !== node.name) ways.push({ exit: '$limit', target: onSoft })
  if (machine.states.has(node.onFailure)) {
    for (const exit of failureExits) if (!isRouted(node, exit)) ways.push({ exit, target: node.onFailure })
  }
  return ways.filter((way, index) => index === ways.findIndex((other) => isSame(way, other)))
}

/** Does an exit always lead somewhere? One whose guards may all fail does not. */
function isRouted(node: Node, exit: string): boolean {
  return node.exits.get(exit)?.candidates.some(({ guard }) => !guard) ?? false
}

function isSame(a: Way, b: Way): boolean {
  return a.exit === b.exit && a.target === b.target
}

/** Where each state leads. */
export function targetsOf(machine: Machine): ReadonlyMap<string, ReadonlySet<string>> {
  const nodes = [...machine.states.values()]
  return new Map(nodes.map((node) => [node.name, new Set(waysOf(machine, node).map(({ target }) => target))]))
}

/** Everything that can be reached, the beginnings included. */
export function reach(from: Iterable<string>, next: ReadonlyMap<string, ReadonlySet<string>>): ReadonlySet<string> {
  const seen = new Set(from)
  for (const name of seen) for (const other of next.get(name) ?? []) seen.add(other)
  return seen
}
