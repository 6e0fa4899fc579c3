// `check --against OLD`: whether running tasks can go on in the file as it is now, before it is deployed.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test as once } from 'vitest'
import { test } from '../engines.ts'
import { root, signalbox, storeOf, workplace } from './signalbox.ts'

const old = `
  import { defineAgent, defineContext } from '${join(root, 'dist/index.js')}'
  import { z } from '${join(root, 'node_modules/zod/index.js')}'
  export const clerk = defineAgent({ name: 'clerk', version: '1', context: defineContext({ goal: z.string() }), initial: 'ask',
    states: { ask: { human: { question: 'One?' }, on: { yes: 'done' } }, done: { type: 'final' } } })
`
const next = old.replace("version: '1'", "version: '2'").replace('One?', 'Two?')
const taking = next.replace(
  "initial: 'ask',",
  "initial: 'ask', migrate: ({ context }) => ({ context: { goal: context.goal } }),",
)
const strict = taking.replace('goal: z.string()', 'goal: z.string().max(3)')

async function files(): Promise<{ cwd: string }> {
  const cwd = await workplace()
  for (const [name, text] of Object.entries({ old, next, taking, strict })) writeFileSync(join(cwd, `${name}.ts`), text)
  return { cwd }
}

// Looks at files only.
once('the same definition has nothing to do, one without migrate keeps no tasks, one with it takes them', async () => {
  const at = await files()
  const check = (file: string) => signalbox(['check', file, '--against', 'old.ts', '--json'], at)
  const [same, without, takes] = [await check('old.ts'), await check('next.ts'), await check('taking.ts')]
  expect([same.code, same.json[0].against]).toMatchObject([0, [{ name: 'clerk', changed: false, problems: [] }]])
  expect([without.code, without.json[0].ok]).toEqual([1, false])
  expect(without.json[0].against[0].problems).toMatchObject([{ code: 'MIGRATION_MISSING', severity: 'error' }])
  expect([takes.code, takes.json[0].against]).toMatchObject([
    0,
    [{ from: '1', to: '2', changed: true, passages: [{ state: 'ask', target: 'ask' }] }],
  ])
  expect(takes.stderr).toMatch(
    /tasks of v1 in {2}go on in v2\nask +ask\nIt is not proved:\n {2}that what migrate sets fits: goal/,
  )
  expect((await signalbox(['check', 'old.ts', '--json'], at)).json[0]).not.toHaveProperty('against')
  const wrong = await signalbox(['check', 'old.ts', '--store', 'sqlite:x.db'], at)
  expect([wrong.code, wrong.stderr.split(' ')[0]]).toEqual([2, 'FLAG_INVALID'])
})

test('with a store it is tried on the tasks that are running, and nothing is written', async () => {
  const at = await files()
  for (const [id, goal] of [
    ['a', 'x'],
    ['b', 'much too long'],
  ]) {
    const ran = await signalbox(['run', 'old.ts', '--id', id!, '--input', JSON.stringify({ goal })], at)
    expect(ran.code).toBe(3)
  }
  const check = (file: string) =>
    signalbox(['check', file, '--against', 'old.ts', '--store', storeOf(at.cwd), '--json'], at)
  const takes = await check('taking.ts')
  expect([takes.code, takes.json[0].against[0].tasks]).toEqual([0, [{ state: 'ask', moved: 2, later: 0, stay: 0 }]])
  const some = await check('strict.ts')
  expect([some.code, some.json[0].against[0].tasks]).toMatchObject([
    1,
    [{ state: 'ask', moved: 1, stay: 1, why: expect.stringMatching('goal does not fit') }],
  ])
  const events = (await signalbox(['log', 'a', '--json'], at)).json
  expect(events.some(({ type }) => type === 'task.migrated')).toBe(false)

  // Then it is done: with the new file the task is taken up where it may be, and not where it may not.
  expect((await signalbox(['run', 'strict.ts', '--id', 'b'], at)).stderr).toMatch(
    /DEFINITION_CHANGED .*goal does not fit/,
  )
  const moved = await signalbox(['run', 'strict.ts', '--id', 'a'], at)
  expect([moved.code, moved.stderr]).toEqual([3, expect.stringContaining('moves from version 1 to version 2 (ask)')])
  expect((await signalbox(['verify'], at)).code).toBe(0)
})
