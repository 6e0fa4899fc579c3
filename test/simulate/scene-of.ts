// What one seed is: a machine, how many tasks and workers, how people behave, how tight the limits are, and what goes wrong.
// The same seed is the same scene, as long as nothing here changes; what once failed is kept as a scene, not as a seed.

import { draw } from '../../src/core/resilience.ts'
import type { Limits } from '../../src/core/limits.ts'
import { injectionsThrough } from '../../src/redteam/corpus.ts'
import { faultKinds, type FaultKind } from '../../src/redteam/fault-kinds.ts'
import { fault, state, writePoint, type Aim } from '../../src/redteam/plan.ts'
import { targetsOf } from '../../src/redteam/route.ts'
import type { Scene, Whim } from '../../src/redteam/scene.ts'
import { compile } from '../../src/core/machine.ts'
import { writePoints, type WritePoint } from '../../src/runtime.ts'
import { machines, outside, prices } from './machines.ts'

/** The kinds of fault that a world can play. */
export const playable: readonly FaultKind[] = faultKinds.filter((kind) => !('elsewhere' in kind))

/** Where workers and people write in a world; nobody there erases, signs, begins tasks by the clock, or has two versions of an agent. */
const beyond: ReadonlySet<WritePoint> = new Set<WritePoint>(['erase', 'checkpoint', 'schedule', 'migrate'])
const points = writePoints.filter((point) => !beyond.has(point))
const whims: readonly Whim[] = ['cancel', 'rollback', 'signal']
const faultsMax = 6
const places = new Map(Object.values(machines).map((agent) => [agent.name, targetsOf(compile(agent))]))

/** Orders of strangers, through every tool that brings in their words. */
const orders = new Map(
  Object.values(machines).map((agent) => {
    const machine = compile(agent)
    const strange = [...machine.tools.values()].filter(({ label }) => label.trust === 'untrusted')
    const all = strange.flatMap(({ name }) => injectionsThrough(machine, name))
    return [
      agent.name,
      [undefined, ...all.map(({ text, tool, arguments: input, source }) => ({ text, tool, arguments: input, source }))],
    ]
  }),
)

/** The scene of a seed. */
export function sceneOf(seed: number): Scene {
  let drawn = 0
  const roll = (): number => draw(seed, (drawn += 1), 11)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(roll() * list.length)]!
  const agent = pick(Object.values(machines))
  const aim = (): Aim => {
    const kind = pick(playable)
    const anywhere = fault(kind)
    const target = pick(places.get(agent.name)!)
    const isOfStore = ['store', 'process', 'clock'].includes(kind.layer)
    const placed = pick([
      anywhere,
      anywhere.at(state(target.state, target.agent)),
      isOfStore ? anywhere.at(writePoint(pick(points))) : anywhere,
    ])
    return roll() < 0.5 ? placed.attempt(1 + Math.floor(roll() * 8)) : placed.chance(pick([0.05, 0.2, 0.5]))
  }
  const faults = Array.from({ length: Math.floor(roll() * (faultsMax + 1)) }, aim)
  const limits = pick<Limits | undefined>([
    undefined,
    undefined,
    undefined,
    { steps: 3 + Math.floor(roll() * 15) },
    { tokens: 2_000 + Math.floor(roll() * 10_000) },
    { tokens: 2_000 + Math.floor(roll() * 4_000) },
    { cost: (5_000 + Math.floor(roll() * 50_000)) as never },
    { toolCalls: 1 + Math.floor(roll() * 3) },
    { duration: pick(['30s', '10m', '2h']) },
  ])
  const share = pick([0, 0, 0.05, 0.3])
  const injection = pick([undefined, undefined, pick(orders.get(agent.name)!)])
  const windows = pick([undefined, undefined, { main: 4_000, spare: 4_000 }])
  const lagMs = pick([0, 0, 0, 50, 2_000])
  const quotas = pick([undefined, undefined, { main: { breaker: { failures: 2, coolDown: '5s' } } } as const])
  return {
    agent,
    seed,
    faults,
    workers: pick([1, 1, 2, 3]),
    tasks: pick([1, 1, 1, 2, 3]),
    outside,
    config: { prices, ...(windows ? { windows } : {}), ...(quotas ? { quotas } : {}) },
    wander: pick([0, 0.15, 0.4]),
    peopleAnswerAll: true,
    ...(limits ? { limits } : {}),
    ...(injection ? { injection } : {}),
    ...(lagMs > 0 ? { lagMs } : {}),
    ...(share > 0 ? { whims: { share, of: whims } } : {}),
  }
}
