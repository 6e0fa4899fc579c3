// Plays one world and judges it: every invariant over all that was seen, and what was wrong in the store after any commit. A
// world in which something does not hold is made smaller, as long as the same does not hold.

import { messageOf } from '../../src/core/fault.ts'
import type { Evidence, Violation } from '../../src/redteam/evidence.ts'
import { invariants, type Invariant } from '../../src/redteam/invariants.ts'
import { retold } from '../../src/redteam/retold.ts'
import type { Scene } from '../../src/redteam/scene.ts'
import { play } from '../../src/redteam/world.ts'
import { watchOver } from './watch.ts'

/** What one world came to. */
export interface Outcome {
  /** What did not hold. I0: the engine threw. */
  readonly violations: readonly Violation[]
  /** What happened, where it was not thrown out of. */
  readonly evidence: Evidence | undefined
}

/** That each machine comes out the same when it is told again, made ready once. */
const again = new Map<string, Promise<Invariant>>()

async function judge(scene: Scene, evidence: Evidence): Promise<readonly Violation[]> {
  const { agent, config } = scene
  const key = JSON.stringify([agent.name, config?.windows, config?.quotas])
  again.set(key, again.get(key) ?? retold(agent, config))
  const all = [...invariants, await again.get(key)!]
  return all.flatMap(({ id, breaks }) => breaks(evidence).map((problem) => ({ invariant: id, problem })))
}

/** Plays a world, and judges it. */
export async function simulate(scene: Scene): Promise<Outcome> {
  try {
    const evidence = await play({ ...scene, watch: watchOver() })
    return { violations: [...evidence.watched, ...(await judge(scene, evidence))], evidence }
  } catch (thrown) {
    return { violations: [{ invariant: 'I0', problem: messageOf(thrown) }], evidence: undefined }
  }
}

/** Ways to make a scene smaller, the most telling first. */
function smaller(scene: Scene): readonly Scene[] {
  const { faults = [], limits: _, whims: __, ...bare } = scene
  const without = faults.map((_fault, index) => ({ ...scene, faults: faults.filter((_other, at) => at !== index) }))
  return [
    ...without,
    ...((scene.tasks ?? 1) > 1 ? [{ ...scene, tasks: scene.tasks! - 1 }] : []),
    ...((scene.workers ?? 1) > 1 ? [{ ...scene, workers: scene.workers! - 1 }] : []),
    ...(scene.whims ? [{ ...bare, faults, ...(scene.limits ? { limits: scene.limits } : {}) }] : []),
    ...(scene.limits ? [{ ...bare, faults, ...(scene.whims ? { whims: scene.whims } : {}) }] : []),
    ...((scene.lagMs ?? 0) > 0 ? [{ ...scene, lagMs: 0 }] : []),
    ...((scene.wander ?? 0) > 0 ? [{ ...scene, wander: 0 }] : []),
  ]
}

/** The smallest scene that is found in which an invariant still does not hold. */
export async function shrink(scene: Scene, invariant: string): Promise<Scene> {
  for (const next of smaller(scene)) {
    const { violations } = await simulate(next)
    if (violations.some((one) => one.invariant === invariant)) return shrink(next, invariant)
  }
  return scene
}
