// Plays one world and judges it: every invariant over all that was seen, and what was wrong in the store after any commit. A
// world in which something does not hold is made smaller, as long as the same does not hold.

import { messageOf } from '../../src/core/fault.ts'
import type { Evidence, Violation } from '../../src/redteam/evidence.ts'
import { invariants } from '../../src/redteam/invariants.ts'
import { tellers } from '../../src/redteam/retold.ts'
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
const tellerOf = tellers()

async function judge(scene: Scene, evidence: Evidence): Promise<readonly Violation[]> {
  const all = [...invariants, await tellerOf(scene.agent, scene.config)]
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

/** What a scene may do without. */
const extras = ['whims', 'limits', 'lagMs', 'wander'] as const

/** Ways to make a scene smaller, the most telling first. */
function smaller(scene: Scene): readonly Scene[] {
  const { faults = [] } = scene
  const without = (extra: (typeof extras)[number]): Scene => {
    const { [extra]: _, ...rest } = scene
    return rest
  }
  return [
    ...faults.map((_fault, index) => ({ ...scene, faults: faults.filter((_other, at) => at !== index) })),
    ...((scene.tasks ?? 1) > 1 ? [{ ...scene, tasks: scene.tasks! - 1 }] : []),
    ...((scene.workers ?? 1) > 1 ? [{ ...scene, workers: scene.workers! - 1 }] : []),
    ...extras.filter((extra) => scene[extra]).map(without),
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
