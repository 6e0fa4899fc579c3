// One seed, one world: the same scene comes to the same log, and what the plan says goes wrong goes wrong there.

import { expect, test } from 'vitest'
import { incident as example } from '../../examples/incident/agent.ts'
import type { Agent } from '../../src/core/agent.ts'
import { invariants } from '../../src/redteam/invariants.ts'
import { fault, state, tool } from '../../src/redteam/plan.ts'
import type { Evidence } from '../../src/redteam/evidence.ts'
import type { Scene } from '../../src/redteam/scene.ts'
import { play } from '../../src/redteam/world.ts'

// It knows the package by its name, and so its types of another copy.
const incident = example as unknown as Agent
const target = { agent: 'incident', state: 'review' } as const
const scene = (more: Partial<Scene> = {}): Scene => ({ agent: incident, seed: 7, target, ...more })
const types = ({ written }: Evidence): string[] => written.map(({ type }) => type)
const breaks = (evidence: Evidence): string[] => invariants.flatMap((one) => [...one.breaks(evidence)])
const exits = ({ written }: Evidence): string[] =>
  written.flatMap((event) => (event.type === 'transition.taken' ? [`${event.data.source} ${event.data.exit}`] : []))

test('without a fault the task comes to its end, and no tool is called for real', async () => {
  const evidence = await play(scene())
  expect(evidence.tasks[0]!.row.outcome).toBe('resolved')
  expect(evidence.acts.map(({ tool: name }) => name)).toEqual(['search_log', 'count_matches', 'restart_service'])
})

test('the same seed comes to the same log, crashes and all', async () => {
  const faults = [fault('P01').at(state('review')).attempt(2), fault('M05').chance(0.5)]
  const [one, two] = [await play(scene({ faults })), await play(scene({ faults }))]
  expect(one.struck).toBeGreaterThan(0)
  expect(two.written).toEqual(one.written)
  const other = await play(scene({ faults, seed: 8 }))
  expect(other.written).not.toEqual(one.written)
})

test('a model that fails in one state is tried again there, and nowhere else', async () => {
  const evidence = await play(scene({ faults: [fault('M05').at(state('review'))] }))
  const failed = evidence.written.findIndex(({ type }) => type === 'model.failed')
  const before = evidence.written.slice(0, failed).findLast(({ type }) => type === 'state.entered')
  expect(before?.data).toMatchObject({ state: 'review' })
  expect(types(evidence).filter((type) => type === 'model.failed')).toHaveLength(1)
  expect(breaks(evidence)).toEqual([])
})

test('a provider that never answers is left at the deadline of the state', async () => {
  const evidence = await play(scene({ faults: [fault('M02').at(state('review'))] }))
  expect(exits(evidence).at(-1)).toBe('review $timeout')
  expect(breaks(evidence)).toEqual([])
})

test('a worker that dies between the act and its answer makes a doubt, and nothing is done twice', async () => {
  const faults = [fault('P01').at(state('act')).attempt(3)]
  const evidence = await play(scene({ target: { agent: 'incident', state: 'act' }, faults }))
  expect(evidence.acts.filter(({ tool: name }) => name === 'restart_service')).toHaveLength(1)
  expect(breaks(evidence)).toEqual([])
})

test('a commit that was written and said to have failed is not written twice', async () => {
  const evidence = await play(scene({ faults: [fault('D02').at(state('review'))] }))
  expect(evidence.struck).toBe(1)
  expect(evidence.tasks[0]!.row.outcome).toBe('resolved')
  expect(breaks(evidence)).toEqual([])
})

test('a store that is away for a minute is waited for', async () => {
  const evidence = await play(scene({ faults: [fault('D09').at(state('review'))] }))
  const [first, last] = [evidence.written[0]!.at, evidence.written.at(-1)!.at]
  expect(last - first).toBeGreaterThanOrEqual(60_000)
  expect(evidence.tasks[0]!.row.outcome).toBe('resolved')
})

test('a tool that always says "retry" to a model that does is stopped, and by name', async () => {
  const faults = [fault('T02').at(state('review')).at(tool('search_log')).always()]
  const evidence = await play(scene({ faults, insists: true }))
  expect(types(evidence)).toContain('limit.reached')
  expect(evidence.acts.length).toBeLessThan(20)
  expect(breaks(evidence)).toEqual([])
})

test.each(['H01', 'H03', 'H04', 'H05', 'H07'])(
  'an approval that goes wrong as in %s is used once or not at all',
  async (kind) => {
    const act = { agent: 'incident', state: 'act' }
    const evidence = await play(scene({ target: act, faults: [fault(kind).at(state('act'))] }))
    expect(evidence.struck).toBe(1)
    expect(evidence.acts.filter(({ tool: name }) => name === 'restart_service').length).toBeLessThanOrEqual(1)
    expect(breaks(evidence)).toEqual([])
  },
)
