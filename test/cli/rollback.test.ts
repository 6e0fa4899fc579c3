// Rollback at the command line: the plan is told, a human says yes to what cannot be taken back, and the timeline and the
// drawing show it.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test as once } from 'vitest'
import { engine, test } from '../engines.ts'
import { root, signalbox, workplace } from './signalbox.ts'

const text = `
  import { appendFileSync } from 'node:fs'
  import { defineAgent, defineContext, defineTool } from '${join(root, 'dist/index.js')}'
  import { z } from '${join(root, 'node_modules/zod/index.js')}'
  const say = (line) => appendFileSync('ledger', line + '\\n')
  const tool = { description: 'd', inputSchema: z.object({ n: z.int() }), effect: 'external', idempotent: true }
  const book = defineTool({ ...tool, name: 'book', execute: ({ n }) => say('book ' + n), undo: ({ n }) => say('unbook ' + n) })
  const mail = defineTool({ ...tool, name: 'mail', execute: ({ n }) => say('mail ' + n) })
  export const trip = defineAgent({ name: 'trip', version: '1', context: defineContext({}), initial: 'plan',
    on: { $error: 'failed' }, onFailure: 'rollback',
    states: {
      plan: { tool: book, args: () => ({ n: 1 }), checkpoint: 'planned', on: { DONE: 'tell' } },
      tell: { tool: mail, args: () => ({ n: 2 }), onFailure: 'hold', on: { DONE: 'hold' } },
      hold: { human: { question: 'go on?' }, on: { yes: 'done' } },
      done: { type: 'final' }, failed: { type: 'final', failure: true },
    } })
`

test('A59: rollback tells its plan, asks about what cannot be taken back, and the task is back and goes on', async () => {
  const cwd = await workplace()
  writeFileSync(join(cwd, 'agent.ts'), text)
  const run = (...args: string[]): ReturnType<typeof signalbox> => signalbox(args, { cwd })
  const who = ['--by', 'ana', '--reason', 'wrong day']
  expect((await run('run', 'agent.ts', '--id', 't', '--input', '{}', '--json')).code).toBe(3)

  const wrong = await run('rollback', 't', '--to', 'nowhere', ...who)
  expect([wrong.code, wrong.stderr.trim()]).toEqual([
    2,
    'ROLLBACK_INVALID Task t has not passed a checkpoint "nowhere". Nothing was written. It has passed: planned.',
  ])
  const told = await run('rollback', 't', '--to', 'planned', ...who, '--json')
  expect(told.code, told.stderr).toBe(3)
  expect(told.json).toMatchObject([
    { taskId: 't', state: 'plan', undo: [{ step: 1, tool: 'book' }], without: [{ step: 2, tool: 'mail' }], by: 'ana' },
  ])
  expect(told.stderr).toContain('step 1: book {"n":1}')
  expect(told.stderr).toContain('step 2: mail {"n":2}')
  // Nothing asks yet: which command makes it ask, and where it is seen then, is said.
  expect((await run('inbox')).stderr).toContain('Nothing waits.')
  // The store is named as it was given, but for its password.
  const [store] = / --store '[^']*'/.exec(told.stderr) ?? ['']
  expect([store !== '', /:\/\/\w+:/.test(store)]).toEqual([engine() === 'PostgreSQL', false])
  expect(told.stderr.replaceAll(store, '')).toContain(
    'Run it (signalbox run FILE --id t, or a worker), then see what it asks: signalbox inbox --task t',
  )

  await run('run', 'agent.ts', '--id', 't', '--input', '{}')
  const [{ item, kind, question }] = (await run('inbox', '--json')).json
  expect([kind, question]).toEqual(['rollback', expect.stringContaining('mail (step 2)')])
  expect((await run('answer', item, '--decision', 'accept', ...who)).code).toBe(0)
  await run('run', 'agent.ts', '--id', 't', '--input', '{}')
  expect(readFileSync(join(cwd, 'ledger'), 'utf8')).toBe('book 1\nmail 2\nunbook 1\nbook 1\nmail 2\n')

  const { to } = told.json[0] as { to: number }
  const byNumber = await run('rollback', 't', '--to', String(to), ...who)
  expect(byNumber.code, byNumber.stderr).toBe(3)
  const log = (await run('log', 't')).stdout
  for (const line of [
    `goes back to event ${to} (plan, asked for planned) by ana: wrong day; 1 to take back, 1 that cannot be`,
    'mail (step 2) stands: ana, wrong day',
    'takes back book (step 1)',
    `is back at event ${to} (plan)`,
  ]) {
    expect(log).toContain(line)
  }
  expect((await run('verify')).code).toBe(0)
})

// Has no store.
once('graph draws checkpoints and where failures lead', async () => {
  const cwd = await workplace()
  writeFileSync(join(cwd, 'agent.ts'), text)
  const { stdout } = await signalbox(['graph', 'agent.ts'], { cwd })
  expect(stdout).toContain('state "plan (tool, checkpoint planned)" as plan')
  expect(stdout).toContain('tell --> hold : failure')
  expect(stdout).toContain('any other failure → rollback')
})

test('cancel says that what the task did is taken back first; a run does that, and the task has ended', async () => {
  const cwd = await workplace()
  writeFileSync(
    join(cwd, 'agent.ts'),
    text.replace("onFailure: 'rollback',", "onCancel: 'undo', onFailure: 'rollback',"),
  )
  const run = (...args: string[]): ReturnType<typeof signalbox> => signalbox(args, { cwd })
  const who = ['--by', 'ana', '--reason', 'not wanted']
  expect((await run('run', 'agent.ts', '--id', 't', '--input', '{}')).code).toBe(3)
  const told = await run('cancel', 't', ...who, '--json')
  expect([told.code, told.json]).toEqual([0, [{ taskId: 't', by: 'ana', reason: 'not wanted', status: 'running' }]])
  expect(told.stderr).toContain('A worker takes back what it did, or: signalbox run FILE --id t')
  const again = await run('cancel', 't', ...who)
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('TASK_ENDED Task t was cancelled and cannot')])
  expect((await run('run', 'agent.ts', '--id', 't', '--input', '{}')).code).toBe(1)
  expect(readFileSync(join(cwd, 'ledger'), 'utf8')).toBe('book 1\nmail 2\nunbook 1\n')
  const log = (await run('log', 't')).stdout
  for (const line of [
    'cancelled by ana: not wanted',
    'takes back what it did: 1 to take back, 1 that stay',
    'takes back book (step 1)',
    'ended: cancelled',
  ]) {
    expect(log).toContain(line)
  }
})
