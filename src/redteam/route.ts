// The way through a team of machines: which exit to take next so that a task comes to the state that is to be attacked, and
// from there to a good end. A machine is finite, so the way is searched for; no model is asked where to go.

import { engineExits } from '../core/agent.ts'
import { childrenIn, type Machine } from '../core/machine.ts'
import { waysOf, type Way } from '../core/way.ts'

/** A state of one of the machines of a team. */
export interface Target {
  readonly agent: string
  readonly state: string
}

/** The engine's exits that the world can bring about by itself, where nothing else leads on. */
const provoked: ReadonlySet<string> = new Set(['$error', '$timeout', '$refused'])
const provokedCost = 50
const unwanted = 1_000

/** The machines of a root and of all that it may start, by name. */
export function teamOf(root: Machine): ReadonlyMap<string, Machine> {
  const team = new Map([[root.name, root]])
  for (const machine of team.values())
    for (const { machine: child } of childrenIn(machine.states.values())) team.set(child.name, child)
  return team
}

/** The states of a team in which something is done, in order. */
export function targetsOf(root: Machine): readonly Target[] {
  return [...teamOf(root).values()].flatMap((machine) =>
    [...machine.states.values()]
      .filter(({ kind }) => kind !== 'final')
      .map(({ name }) => ({ agent: machine.name, state: name })),
  )
}

/** Where the machine of each agent has to go first, so that a task comes to a target: to the target, or to who leads there. */
export function waypoints(root: Machine, target: Target): ReadonlyMap<string, string> {
  const team = teamOf(root)
  const points = new Map([[target.agent, target.state]])
  for (const agent of points.keys()) {
    if (agent === root.name) break
    for (const machine of team.values()) {
      const starter = [...machine.states.values()].find((node) =>
        childrenIn([node]).some(({ machine: child }) => child.name === agent),
      )
      if (!starter || points.has(machine.name)) continue
      points.set(machine.name, starter.name)
      break
    }
  }
  return points
}

/** What a step of the way costs: an exit of the engine's has to be brought about, and not every one can be. */
function costOf(machine: Machine, source: string, { exit, target }: Way): number {
  const isEngines = (engineExits as readonly string[]).includes(exit)
  const node = machine.states.get(target)
  const ends = node?.kind === 'final' && node.failure ? 5 : 0
  // A person who may send something back does so only where nothing else leads on.
  const back = target === source ? unwanted : 0
  return 1 + ends + back + (isEngines ? (provoked.has(exit) ? provokedCost : Infinity) : 0)
}

/** The first exit of the cheapest way from a state to one that will do; undefined where none leads there. */
export function nextExit(machine: Machine, from: string, isGoal: (state: string) => boolean): string | undefined {
  const cost = new Map([[from, 0]])
  const first = new Map<string, string>()
  const open = new Set([from])
  while (open.size > 0) {
    const here = [...open].reduce((a, b) => (cost.get(b)! < cost.get(a)! ? b : a))
    open.delete(here)
    if (here !== from && isGoal(here)) return first.get(here)
    for (const way of waysOf(machine, machine.states.get(here)!)) {
      const total = cost.get(here)! + costOf(machine, here, way)
      if (!Number.isFinite(total) || total >= (cost.get(way.target) ?? Infinity)) continue
      cost.set(way.target, total)
      first.set(way.target, here === from ? way.exit : first.get(here)!)
      open.add(way.target)
    }
  }
  return undefined
}

/** The exit that leads on to an end: a good one, or any where there is no good one. */
export function exitToEnd(machine: Machine, from: string): string | undefined {
  const isFinal = (good: boolean) => (name: string) => {
    const node = machine.states.get(name)
    return node?.kind === 'final' && !(good && node.failure)
  }
  return nextExit(machine, from, isFinal(true)) ?? nextExit(machine, from, isFinal(false))
}

/** Loops of a machine that two models could keep up: from a state into another and back, by exits that they may take. */
export function loopsOf(machine: Machine): readonly (readonly [string, string])[] {
  const models = [...machine.states.values()].filter(({ kind }) => kind === 'model').map(({ name }) => name)
  const leads = (from: string, to: string): boolean =>
    waysOf(machine, machine.states.get(from)!).some(({ exit, target }) => target === to && !exit.startsWith('$'))
  return models.flatMap((a, index) =>
    models.slice(index).flatMap((b) => (leads(a, b) && leads(b, a) ? [[a, b] as const] : [])),
  )
}
