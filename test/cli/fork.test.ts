// `signalbox fork`, as a user types it: the new task is run, asks before it does again what was done, and is told again.

import { join } from 'node:path'
import { expect } from 'vitest'
import { test } from '../engines.ts'
import { changed } from '../project.ts'
import { incident } from './incident.ts'
import { root, signalbox } from './signalbox.ts'

const agent = join(root, 'examples/incident/agent.ts')
const why = ['--by', 'ana', '--reason', 'what if']

test('the incident is forked before its restart, asks before it restarts again, and shows where it is from', async () => {
  const { cwd, env } = await incident()
  const { json: events } = await signalbox(['log', 't', '--json'], { cwd })
  const { seq } = events.find(({ type, data }) => type === 'state.entered' && data.state === 'act')
  const forked = await signalbox(['fork', 't', '--at', `${seq}`, '--id', 'f', ...why, '--json'], { cwd })
  expect(forked.code, forked.stderr).toBe(0)
  expect(forked.json).toMatchObject([
    {
      taskId: 'f',
      from: 't',
      seq,
      state: 'act',
      deeds: [{ task: 't', tool: 'restart_service', since: true }],
      by: 'ana',
    },
  ])
  expect(forked.stderr).toContain('Before it would be done again, somebody is asked:')
  expect((await signalbox(['run', agent, '--id', 'f'], { cwd, env })).code).toBe(3)
  const [{ item, show }] = (await signalbox(['inbox', '--task', 'f', '--json'], { cwd })).json
  expect(show.reasons).toContainEqual({ rule: 'fork', reason: expect.stringContaining('was called by t in step') })
  await signalbox(['answer', item, '--decision', 'reject', ...why], { cwd })
  expect((await signalbox(['run', agent, '--id', 'f'], { cwd, env })).code).toBe(1)
  expect((await signalbox(['show', 'f', '--json'], { cwd })).json[0].forkedFrom).toEqual({ taskId: 't', seq })
  expect((await signalbox(['show', 'f'], { cwd })).stdout).toContain(
    `forked   from t, at event ${seq} (act), by ana: what if`,
  )
  const told = await signalbox(['replay', 'f', agent, '--json'], { cwd })
  expect([told.code, told.json[0].verdict]).toEqual([0, 'same'])
})

test('with a file it goes on under the agent of today, and what cannot be forked is said', async () => {
  const { cwd } = await incident()
  const today = changed(agent, ['Is it so?', 'So is it?'])
  const { json: events } = await signalbox(['log', 't', '--json'], { cwd })
  const { seq } = events.find(({ type, data }) => type === 'state.entered' && data.state === 'review')
  const fork = (...args: string[]) => signalbox(['fork', 't', ...args, ...why, '--json'], { cwd })
  expect((await fork(today, '--at', `${seq}`, '--id', 'f')).code).toBe(0)
  const [before, now] = await Promise.all(['t', 'f'].map((id) => signalbox(['log', id, '--json'], { cwd })))
  expect(now!.json[0].data.definition).not.toBe(before!.json[0].data.definition)
  const refused = await fork('--at', '9999')
  expect([refused.code, refused.json[0].error.code]).toEqual([2, 'FORK_INVALID'])
})
