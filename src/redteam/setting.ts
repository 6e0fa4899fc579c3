// What everybody in a world has in common: its scene, its clock, its dice, the machines in it, what goes wrong, and who has
// seen what.

import { draw } from '../core/resilience.ts'
import type { Machine } from '../core/machine.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import type { Plan } from './plan.ts'
import { teamOf } from './route.ts'
import { roots, type Scene } from './scene.ts'
import type { Witness } from './witness.ts'

/** What everybody in a world has in common. */
export class Setting {
  readonly scene: Scene
  readonly clock: VirtualClock
  readonly plan: Plan
  readonly witness: Witness
  readonly root: Machine
  readonly team: ReadonlyMap<string, Machine>
  /** The identifiers of the tasks that are begun. */
  readonly begun: readonly string[]
  /** Time may be held up by this much, by all that went wrong so far. */
  slackMs: number
  #drawn = 0

  constructor(scene: Scene, clock: VirtualClock, plan: Plan, witness: Witness, root: Machine, slackMs: number) {
    this.scene = scene
    this.clock = clock
    this.plan = plan
    this.witness = witness
    this.root = root
    this.team = teamOf(root)
    this.begun = [...roots.keys()].slice(0, scene.tasks ?? 1)
    this.slackMs = slackMs
  }

  /** The next throw of the dice, from 0 to 1. */
  roll(): number {
    this.#drawn += 1
    return draw(this.scene.seed, this.#drawn, 7)
  }

  /** Does somebody leave the best way now? */
  isWandering(): boolean {
    const { wander = 0 } = this.scene
    return wander > 0 && this.roll() < wander
  }

  /** One of a list. */
  pick = <T>(list: readonly T[]): T => list[Math.floor(this.roll() * list.length)]!

  /** Waits by the clock of the world, or until somebody has it stopped. */
  pause(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.clock.setTimer(ms, resolve)
      signal?.addEventListener('abort', () => {
        stop()
        resolve()
      })
    })
  }
}
