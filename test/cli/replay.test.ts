// `signalbox replay`, as a user types it: on a store, and on a file that a store has given out.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test as once } from 'vitest'
import { eventsOf, writeExport } from '../../src/store/export.ts'
import { readExport } from '../../src/store/import.ts'
import { genesis, seal } from '../../src/store/log.ts'
import { randomSalts } from '../../src/store/salt.ts'
import type { LoggedEvent, WholeTask } from '../../src/store/store.ts'
import { test } from '../engines.ts'
import { changed, moduleOf } from '../project.ts'
import { incident } from './incident.ts'
import { mockModel, root, signalbox, workplace } from './signalbox.ts'

const example = (path: string): string => join(root, 'examples', path)

test(
  'A58: the incident example is told the same with no model and no network, from its store and from a file; changed, it is not',
  { timeout: 60_000 },
  async () => {
    const { cwd } = await incident()
    const agent = example('incident/agent.ts')
    const same = await signalbox(['replay', 't', agent, '--json'], { cwd })
    expect(same.code, same.stderr).toBe(0)
    const { events, decided } = same.json[0]
    expect(same.json).toEqual([
      {
        taskId: 't',
        agent: 'incident',
        version: '1',
        changed: false,
        verdict: 'same',
        events: expect.any(Number),
        decided: expect.any(Number),
        from: 1,
        divergence: null,
        erased: [],
      },
    ])
    expect(decided).toBeGreaterThan(events / 2)
    expect(same.stderr).toContain(
      `the same: t, by incident v1 (the definition it is pinned to): ${decided} of ${events}`,
    )

    expect(same.stderr).not.toContain('Calls that were tried')

    // The file is proved up to its head, and that is the head of the store, which nothing was added to.
    await signalbox(['export', 't', '--out', 't.json'], { cwd })
    const file = readExport(readFileSync(join(cwd, 't.json'), 'utf8'))
    const [{ seq, hash }] = (await signalbox(['tasks', '--json'], { cwd })).json
    expect(file.events.at(-1)).toMatchObject({ seq, hash })
    expect(seq).toBe(events)
    expect((await signalbox(['replay', 't.json', agent], { cwd })).code).toBe(0)

    const prompt = changed(agent, ['Is it so?', 'So is it?'])
    const parts = await signalbox(['replay', 't.json', prompt, '--json'], { cwd })
    expect(parts.code).toBe(1)
    expect(parts.json).toMatchObject([
      {
        changed: true,
        verdict: 'diverged',
        divergence: {
          state: 'review',
          attempt: 1,
          logged: { type: 'model.called' },
          decided: { type: 'model.called' },
          differences: [{ path: 'prompt.user' }],
        },
      },
    ])
    expect(parts.stderr).toMatch(
      /not the same: t, by incident v1 \(another definition.* from event \d+ on \(state review, step \d+, attempt 1\)/,
    )

    const target = changed(agent, ["target: 'investigate'", "target: 'act'"])
    expect((await signalbox(['replay', 't', target, '--json'], { cwd })).json).toMatchObject([
      { divergence: { state: 'review', differences: [{ path: 'target', logged: 'investigate', decided: 'act' }] } },
    ])
  },
)

/** A task as a file, with one of its events changed and every hash behind that computed anew. */
function forged(file: WholeTask, changed: LoggedEvent): WholeTask {
  const events = eventsOf(file).map((event) => (event.seq === changed.seq ? changed : event))
  const sealed = seal(genesis, events, () => undefined, randomSalts())
  const payloads = sealed.payloads.map(({ seq, hash, salt, body }) => ({ seq, hash, salt, body }))
  return { taskId: file.taskId, events: sealed.events, payloads }
}

// A file is the same from whatever store.
once(
  'A58: the incident with one event changed, its chain computed anew, has another head, and that event is shown as the first difference',
  { timeout: 60_000 },
  async () => {
    const { cwd } = await incident()
    await signalbox(['export', 't', '--out', 't.json'], { cwd })
    const file = readExport(readFileSync(join(cwd, 't.json'), 'utf8'))
    const lies: Record<string, object> = {
      'model.called': { model: 'another' },
      'transition.taken': { target: 'act' },
      'context.written': { value: 'never said' },
      'task.ended': { outcome: 'failed' },
    }
    for (const [type, lie] of Object.entries(lies)) {
      const told = eventsOf(file).find((event) => event.type === type && event.seq > 3)!
      const forgery = forged(file, { ...told, data: { ...told.data, ...lie } } as LoggedEvent)
      expect(forgery.events.at(-1)!.hash).not.toBe(file.events.at(-1)!.hash)
      writeFileSync(join(cwd, 'forged.json'), writeExport(forgery))
      const { code, json } = await signalbox(['replay', 'forged.json', example('incident/agent.ts'), '--json'], { cwd })
      expect([type, code]).toEqual([type, 1])
      expect(json).toMatchObject([{ verdict: 'diverged', divergence: { seq: told.seq, logged: { type, data: lie } } }])
    }
  },
)

test('A58: each task of the research team is told the same from its own log', { timeout: 60_000 }, async () => {
  const cwd = await workplace()
  const env = await mockModel(example('research/script.ts'))
  const team = example('research/team.ts')
  await signalbox(
    [
      'run',
      team,
      '--id',
      't',
      '--input',
      JSON.stringify({ question: 'Why did ships go aground?', folder: example('research/notes') }),
    ],
    { cwd, env },
  )
  const { json: tasks } = await signalbox(['tasks', '--json'], { cwd })
  expect(tasks.length).toBeGreaterThan(3)
  for (const { taskId } of tasks) {
    const told = await signalbox(['replay', taskId, team, '--json'], { cwd })
    expect([taskId, told.code, told.stderr]).toEqual([taskId, 0, expect.stringContaining('the same')])
  }
})

test('an agent that would call something while it decides is refused that, and what was tried is told', async () => {
  const cwd = await workplace()
  const file = (body: string): string =>
    moduleOf(
      `import { defineAgent, defineContext } from 'signalbox'
       export const a = defineAgent({
         name: 'a', version: '1', context: defineContext({}), initial: 'ask',
         states: { ask: { human: { question: () => { ${body}; return '?' } }, on: { yes: 'done' } }, done: { type: 'final' } },
       })`,
    )
  await signalbox(['run', file(''), '--id', 't', '--input', '{}'], { cwd })
  const told = await signalbox(['replay', 't', file("fetch('http://127.0.0.1:9/')"), '--json'], { cwd })
  expect(told.code).toBe(1)
  expect(told.json[0].divergence).toMatchObject({
    logged: { type: 'human.asked' },
    decided: {
      type: 'function.failed',
      data: { what: 'question', message: expect.stringMatching(/^CALL_REFUSED fetch /) },
    },
  })
  expect(told.stderr).toContain('Calls that were tried and refused: 1')
})

test('what cannot be told again says why: no such task, a file that was changed, a file without its agent', async () => {
  const { cwd } = await incident()
  const said = async (...args: string[]): Promise<unknown> => {
    const { code, json } = await signalbox([...args, '--json'], { cwd })
    return [code, json[0].error.code]
  }
  expect(await said('replay', 'nobody', example('incident/agent.ts'))).toEqual([2, 'TASK_UNKNOWN'])
  expect(await said('replay', 't', example('research/team.ts'))).toEqual([2, 'AGENT_UNKNOWN'])
  await signalbox(['export', 't', '--out', 't.json'], { cwd })
  writeFileSync(join(cwd, 'u.json'), readFileSync(join(cwd, 't.json'), 'utf8').replace('investigate', 'investigote'))
  expect(await said('replay', 'u.json', example('incident/agent.ts'))).toEqual([2, 'EXPORT_INVALID'])
})
