// The simulator in the tests: seeds that nobody has played before, and every scene that ever failed.

import { expect, test } from 'vitest'
import { fault } from '../../src/redteam/plan.ts'
import { machines, prices } from './machines.ts'
import { readKept } from './kept.ts'
import { playable, sceneOf } from './scene-of.ts'
import { playSeeds } from './seeds.ts'
import { shrink, simulate } from './simulate.ts'
import { sayScene } from './trace.ts'

const dayMs = 24 * 3_600_000

test(
  'A63: every invariant holds in 2,000 worlds that nobody has seen before, whatever goes wrong in them',
  { timeout: 600_000 },
  async () => {
    // Others every day, and the same for everybody who runs them on one.
    const from = Math.floor(Date.now() / dayMs) * 2_000
    const tally = await playSeeds({ from, seeds: 2_000, threads: 2 })
    const failed = tally.failed.map(
      ({ seed, violations: [first] }) =>
        `npm run simulate -- --seed ${seed} --keep: ${first!.invariant} ${first!.problem}`,
    )
    expect(failed).toEqual([])
    expect(tally.seeds).toBe(2_000)
    // All kinds that a world can play have struck; otherwise this shows less than it says.
    expect([...tally.struck.keys()].sort()).toEqual(playable.map(({ id }) => id).sort())
  },
)

test('every scene that ever failed holds', async () => {
  for (const { what, scene } of readKept()) {
    const { violations } = await simulate(scene)
    expect(violations, `${what}: ${sayScene(scene)}`).toEqual([])
  }
})

test('the same seed is the same world, to the last hash', async () => {
  const heads = async (): Promise<unknown> => {
    const { evidence } = await simulate(sceneOf(7))
    return evidence!.tasks.map(({ taskId, row }) => [taskId, row.seq, row.hash])
  }
  expect(await heads()).toEqual(await heads())
})

test('a world in which something does not hold is made smaller, until it holds', async () => {
  // A tool that acts and loses its answer, in a machine that does it again unasked.
  const { booking } = machines
  const careless = {
    ...booking!,
    states: {
      ...booking!.states,
      car: { ...booking!.states['car'], on: { DONE: 'check', $error: 'car', $doubt: 'look' } },
    },
  } as never
  const faults = [fault('M05').chance(0.2), fault('T04').at({ tool: 'car' }), fault('D13').attempt(3)]
  const scene = { agent: careless, seed: 1, faults, tasks: 2, workers: 2, wander: 0.2, config: { prices } }
  const { violations } = await simulate(scene)
  expect(violations.map(({ invariant }) => invariant)).toContain('I4')
  const small = await shrink(scene, 'I4')
  expect(sayScene(small)).toBe('seed 1: booking, 1 tasks, 1 workers, faults T04@:car#1')
})
