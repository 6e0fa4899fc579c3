// A loop is states that lead to each other. None is endless: every state has a ceiling on its visits, also where nobody
// set one. What bounds each loop is told, and one that nobody thought about is a warning.

import type { Machine, Node } from './machine.ts'
import { reach, targetsOf } from './way.ts'

/** States of which each leads to every other, or one that leads to itself. */
export interface Loop {
  readonly states: readonly string[]
  /** How often each may be entered in one task, and whether that was said or is the default. */
  readonly visits: readonly { readonly state: string; readonly max: number; readonly isDefault: boolean }[]
}

/** The loops of a machine; no state is in two. */
export function loopsOf(machine: Machine): readonly Loop[] {
  const next = targetsOf(machine)
  const after = new Map([...next].map(([name, targets]) => [name, reach(targets, next)]))
  const told = new Set<string>()
  const loops: Loop[] = []
  for (const name of machine.states.keys()) {
    if (told.has(name) || !after.get(name)!.has(name)) continue
    const states = [...after.get(name)!].filter((other) => after.get(other)!.has(name))
    for (const state of states) told.add(state)
    states.sort((a, b) => [...next.keys()].indexOf(a) - [...next.keys()].indexOf(b))
    loops.push({ states, visits: states.map((state) => visitsOf(machine.states.get(state)!)) })
  }
  return loops
}

function visitsOf(node: Node): Loop['visits'][number] {
  return { state: node.name, max: node.visitsMax, isDefault: node.kind === 'final' || node.state.visits === undefined }
}

/** Does a loop end only because every count has a default? */
export function isUnbounded({ visits }: Loop): boolean {
  return visits.every(({ isDefault }) => isDefault)
}
