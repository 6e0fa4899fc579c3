// Schedules at the command line: added, looked at and removed by people, kept by whoever works.

import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test as once } from 'vitest'
import { test } from '../engines.ts'
import { root, signalbox, start, workplace } from './signalbox.ts'

const module = `
  import { defineAgent, defineContext } from '${join(root, 'dist/index.js')}'
  import { z } from '${join(root, 'node_modules/zod/index.js')}'
  export const teller = defineAgent({ name: 'teller', version: '1', context: defineContext({ goal: z.string() }), initial: 'tell',
    on: { $error: 'failed', $timeout: 'failed' },
    states: { tell: { run: () => 'TOLD', on: { TOLD: 'done' } }, done: { type: 'final' }, failed: { type: 'final', failure: true } } })
`

async function folderWith(text: string): Promise<string> {
  const cwd = await workplace()
  writeFileSync(join(cwd, 'agents.ts'), text)
  return cwd
}
const add = (name: string, ...more: readonly string[]): string[] => ['schedule', 'add', name, 'agents.ts', ...more]
const input = ['--input', '{"goal":"x"}']

test('a schedule is added with who and why, listed, asked when it comes round, and removed; a worker starts its tasks', async () => {
  const cwd = await folderWith(module)
  const run = (...args: readonly string[]) => signalbox([...args, '--json'], { cwd })
  const said = ['--by', 'ana', '--reason', 'the boss wants it']
  const flags = ['--cron', '0 8 * * 1-5', '--timezone', 'Europe/Berlin', '--overlap', 'queue']
  const added = await run(...add('report', ...flags, ...input, ...said))
  expect([added.code, added.stderr], added.stderr).toEqual([
    0,
    expect.stringMatching(/^Added report\. It comes round at /),
  ])
  expect(added.json).toMatchObject([{ name: 'report', next: { length: 5 } }])

  const listed = await run('schedule', 'list')
  expect(listed.json).toMatchObject([
    { name: 'report', agent: 'teller', cron: '0 8 * * 1-5', timezone: 'Europe/Berlin', overlap: 'queue' },
  ])
  expect(listed.json[0]).toMatchObject({ createdBy: 'ana', reason: 'the boss wants it', input: { goal: 'x' } })
  expect(new Date(listed.json[0].nextAtMs as number).toISOString()).toBe(added.json[0].next[0])
  const next = await signalbox(['schedule', 'next', 'report', '--count', '2'], { cwd })
  expect(next.stdout.trim().split('\n')).toEqual((added.json[0].next as string[]).slice(0, 2))

  const removed = await run('schedule', 'remove', 'report', '--by', 'ben', '--reason', 'enough')
  expect([removed.code, removed.json]).toEqual([0, [{ name: 'report', by: 'ben', reason: 'enough' }]])
  const none = await signalbox(['schedule', 'list'], { cwd })
  expect([none.code, none.stdout, none.stderr]).toEqual([0, '', 'No schedules.\n'])
  expect((await signalbox(['schedule', 'list', '--all'], { cwd })).stdout).toMatch(
    /^NAME .*\nreport .* removed by ben .*\n$/,
  )

  await run(...add('often', '--cron', '* * * * * *', ...input, ...said))
  const worker = start(['worker', 'agents.ts', '--json'], { cwd })
  await worker.said('"started"')
  let tasks: { taskId: string; startedBy: string; status: string }[] = []
  while (!tasks.some(({ status }) => status === 'done')) tasks = (await run('tasks')).json
  worker.child.kill('SIGTERM')
  expect((await worker.ended).code).toBe(0)
  expect(tasks.at(-1)).toMatchObject({
    taskId: expect.stringMatching(/^often\.\d{8}T\d{6}Z$/),
    startedBy: 'schedule:often',
  })
})

// What is wrong before a store is opened.
once.each<[string, readonly string[], number, string]>([
  ['no command of its own', ['schedule'], 2, 'Usage: signalbox schedule'],
  ['a command that does not exist', ['schedule', 'lst'], 2, "unknown command 'lst'"],
  ['no expression', add('x', ...input), 2, "required option '--cron"],
  ['an expression that is none', add('x', ...input, '--cron', '99 * * * *'), 2, 'SCHEDULE_INVALID "99 * * * *" is not'],
  [
    'a timezone that there is not',
    add('x', ...input, '--cron', '@daily', '--timezone', 'Berlin'),
    2,
    'SCHEDULE_INVALID',
  ],
  [
    'a rule that there is not',
    add('x', ...input, '--cron', '@daily', '--overlap', 'kill'),
    2,
    'FLAG_INVALID --overlap',
  ],
  ['a name with a blank', add('a b', ...input, '--cron', '@daily'), 2, 'SCHEDULE_INVALID "a b"'],
  ['an agent that is not in the file', add('x', '--cron', '@daily', '--agent', 'nobody'), 2, 'AGENT_UNKNOWN'],
  ['input that does not fit', add('x', '--cron', '@daily', '--input', '{"goal":1}'), 2, 'INPUT_INVALID'],
  ['no input where some is needed', add('x', '--cron', '@daily'), 2, 'goal is missing'],
  ['no store to look at', ['schedule', 'list'], 2, 'STORE_MISSING'],
])('%s gets one clear error, and no store is made', async (_, args, code, says) => {
  const cwd = await folderWith(module)
  const ran = await signalbox(args, { cwd })
  expect(ran.stderr).toContain(says)
  expect([ran.code, ran.stdout]).toEqual([code, ''])
  expect(readdirSync(cwd)).toEqual(['agents.ts'])
})

test('a name that is taken, and one that is not there, are said', async () => {
  const cwd = await folderWith(module)
  expect((await signalbox(add('x', ...input, '--cron', '@daily'), { cwd })).code).toBe(0)
  const again = await signalbox([...add('x', ...input, '--cron', '@hourly'), '--json'], { cwd })
  expect([again.code, again.json[0].error.code]).toEqual([2, 'SCHEDULE_EXISTS'])
  for (const args of [
    ['remove', 'y'],
    ['next', 'y'],
  ]) {
    const ran = await signalbox(['schedule', ...args], { cwd })
    expect([ran.code, ran.stderr.includes('SCHEDULE_UNKNOWN There is no schedule y')]).toEqual([2, true])
  }
})
