// Every scene that ever failed is kept, and played again whenever the tests run. A scene is kept whole: what a seed stands for
// changes with the simulator.

import { readFileSync, writeFileSync } from 'node:fs'
import { Aim, fault } from '../../src/redteam/plan.ts'
import type { Scene } from '../../src/redteam/scene.ts'
import { machines, outside, prices } from './machines.ts'

const path = new URL('kept.json', import.meta.url)

/** A scene that failed once, and what did not hold. */
export interface Kept {
  readonly what: string
  readonly scene: Scene
}

interface Written {
  readonly what: string
  readonly scene: Omit<Scene, 'agent' | 'faults' | 'outside'> & {
    readonly agent: string
    readonly faults: readonly { readonly kind: string; readonly place: Aim['place']; readonly when: Aim['when'] }[]
  }
}

/** All that were kept. */
export function readKept(): readonly Kept[] {
  const written = JSON.parse(readFileSync(path, 'utf8')) as readonly Written[]
  return written.map(({ what, scene: { agent, faults, ...scene } }) => {
    const aims = faults.map(({ kind, place, when }) => new Aim(fault(kind).kind, place, when))
    return { what, scene: { config: { prices }, ...scene, agent: machines[agent]!, faults: aims, outside } }
  })
}

/** Keeps one more. */
export function keep({ what, scene }: Kept): void {
  const { agent, faults = [], outside: _, ...rest } = scene
  const aims = faults.map(({ kind, place, when }) => ({ kind: kind.id, place, when }))
  const all = JSON.parse(readFileSync(path, 'utf8')) as unknown[]
  all.push({ what, scene: { ...rest, agent: agent.name, faults: aims } })
  writeFileSync(path, `${JSON.stringify(all, null, 2)}\n`)
}
