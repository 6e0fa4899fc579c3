// The door to a log: what is written through it is there, and what is not there was not written, whatever the store says.

import { expect } from 'vitest'
import { draft, emit, noTerms, type Draft } from '../src/core/draft.ts'
import { Fault } from '../src/core/fault.ts'
import { start } from '../src/core/start.ts'
import { commitSurely, decideOn } from '../src/door.ts'
import { genesis } from '../src/store/log.ts'
import type { Store } from '../src/store/store.ts'
import { VirtualClock } from './clock.ts'
import { opened, test } from './engines.ts'
import { machine } from './store/history.ts'
import { changedStore } from './changed-store.ts'

const says = (work: Draft, name: string): void => emit(work, 'signal.received', { name, data: {}, by: 'test' })

/** A store with one task, and the same where somebody else is first with whatever is written, once; it may then fail. */
async function begun(fault?: Fault): Promise<{ store: Store; late: Store }> {
  const store = await opened()
  const given = { taskId: 't', definition: 'd', input: { goal: 'x' }, by: 'test', seed: 1 }
  const { events, task } = start(machine, given, 0)
  await store.commit({ point: 'start', head: genesis, events, task })
  let isLate = true
  const commit: Store['commit'] = async (asked) => {
    if (!isLate) return store.commit(asked)
    isLate = false
    const { task: its, head } = await store.load('t')
    const other = draft(its, 1)
    says(other, 'theirs')
    await store.commit({ point: 'signal', head, events: other.events, task: its })
    if (fault) throw fault
    return store.commit(asked)
  }
  const late = changedStore(store, { commit })
  return { store, late }
}

const signals = async (store: Store): Promise<string[]> =>
  (await store.read('t')).flatMap((event) => (event.type === 'signal.received' ? [event.data.name] : []))

test('D01: what somebody else has written in the place of a commit that failed is not taken for it', async () => {
  const { store, late } = await begun(new Fault('STORE_FAILED', 'The line was cut.', 'Look before you write again.'))
  const { task, head } = await store.load('t')
  const mine = draft(task, 1)
  says(mine, 'mine')
  const said = commitSurely(late, { point: 'signal', head, events: mine.events, task })
  await expect(said).rejects.toThrow('The line was cut.')
  expect(await signals(store)).toEqual(['theirs'])
})

test('who decides on what somebody else has moved on is told so, and may decide again on what holds now', async () => {
  const { store, late } = await begun()
  const desk = { store: late, runtime: new VirtualClock(), terms: noTerms }
  const speak = (): Promise<boolean> => decideOn(desk, 't', 'signal', (work) => says(work, 'mine'))
  expect(await speak()).toBe(false)
  expect(await signals(store)).toEqual(['theirs'])
  expect(await speak()).toBe(true)
  expect(await signals(store)).toEqual(['theirs', 'mine'])
})
