// `signalbox testify`: the test that it writes fails on the agent that an incident happened to, and passes on the mended one.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import { test } from '../engines.ts'
import { moduleOf } from '../project.ts'
import { incident } from './incident.ts'
import { mockModel, root, signalbox, storeOf, workplace } from './signalbox.ts'

/** Counts errors by a tool, asks a model how bad it is, a person whether to go on, and raises the alarm, or does not. */
const broken = `
  import { appendFileSync } from 'node:fs'
  import { defineAgent, defineContext, defineTool } from 'signalbox'
  import { z } from 'zod'
  const count = defineTool({ name: 'count', description: 'Counts.', inputSchema: z.object({ what: z.string() }), secrets: ['KEY'],
    execute: () => { appendFileSync('called', 'count\\n'); return { errors: 12 } } })
  export const watch = defineAgent({
    name: 'watch', version: '1', initial: 'look',
    context: defineContext({ what: z.string(), errors: z.number().optional(), grade: z.string().optional() }),
    limits: { steps: 20 }, on: { $error: 'failed', $timeout: 'failed', $limit: 'failed' },
    states: {
      look: { tool: count, args: ({ context }) => ({ what: context.what }), exit: ({ result }) => ({ exit: 'DONE', output: result }),
        on: { DONE: { target: 'think', output: z.object({ errors: z.number() }) } } },
      think: { model: 'main', prompt: ({ context }) => 'How bad are ' + context.errors + '?', on: { GRADED: { target: 'nap', output: z.object({ grade: z.string() }) } } },
      nap: { wait: { delay: '1h' }, on: { DONE: 'hear' } },
      hear: { wait: { signal: 'go' }, on: { DONE: 'ask' } },
      ask: { human: { question: 'Go on?' }, on: { yes: 'judge', no: 'failed' } },
      judge: { run: ({ context }) => (context.errors > 100 ? 'ALARM' : 'QUIET'), on: { ALARM: 'alarmed', QUIET: 'missed' } },
      alarmed: { type: 'final' }, missed: { type: 'final' }, failed: { type: 'final', failure: true },
    } })
  export default { agents: [watch], secrets: { KEY: () => process.env.WATCH_KEY } }
`

test(
  'an incident becomes a test that fails before the fix and passes after it, and calls nothing',
  { timeout: 60_000 },
  async () => {
    const agent = moduleOf(broken.replace("delay: '1h'", "delay: '10ms'"))
    const cwd = dirname(agent)
    const where = ['--store', await workplace().then(storeOf)]
    writeFileSync(
      join(cwd, 'script.json'),
      JSON.stringify([{ status: 503 }, { calls: [{ name: 'GRADED', arguments: { grade: 'bad' } }] }]),
    )
    const env = { ...(await mockModel(join(cwd, 'script.json'))), WATCH_KEY: 'a secret of the night' }
    await signalbox(['run', agent, '--id', 't', '--input', '{"what":"payd"}', ...where], { cwd, env })
    await signalbox(['signal', 't', 'go', '--data', '{}', ...where], { cwd })
    await signalbox(['run', agent, '--id', 't', ...where], { cwd, env })
    const [{ item }] = (await signalbox(['inbox', '--json', ...where], { cwd })).json
    await signalbox(['answer', item, '--decision', 'yes', '--by', 'ana', '--reason', 'r', ...where], { cwd })
    const ended = await signalbox(['run', agent, '--id', 't', '--json', ...where], { cwd, env })
    expect(ended.json.at(-1)).toMatchObject({ outcome: 'missed' })
    expect(readFileSync(join(cwd, 'called'), 'utf8')).toBe('count\n')

    // By now it waits an hour, and nobody has the secret: a test needs neither.
    writeFileSync(agent, broken)
    const testify = (...more: string[]) => signalbox(['testify', 't', agent, ...where, ...more], { cwd })
    const written = await testify('--out', join(cwd, 'missed.test.ts'))
    expect([written.code, written.stderr]).toEqual([0, expect.stringContaining('node --test')])
    await testify('--out', join(cwd, 'alarmed.test.ts'), '--expect', 'alarmed')
    const run = (name: string) => spawnSync(process.execPath, ['--test', `${name}.test.ts`], { cwd, encoding: 'utf8' })
    for (const name of ['missed', 'alarmed']) {
      const { status, stdout } = run(name)
      expect([name, status]).toEqual([name, 1])
      expect(stdout).toContain('it came to missed; unheard: nothing')
    }
    writeFileSync(agent, broken.replace('context.errors > 100', 'context.errors > 10'))
    for (const name of ['missed', 'alarmed']) {
      const { status, stdout } = run(name)
      expect([name, status, stdout]).toEqual([name, 0, expect.stringContaining('pass 1')])
    }
    // A call that nothing is known of fails, and is told.
    writeFileSync(agent, broken.replace('what: context.what }', "what: 'all' }"))
    expect(run('alarmed').stdout).toContain('it came to failed; unheard: count {"what":"all"}')
    expect(readFileSync(join(cwd, 'called'), 'utf8')).toBe('count\n')
    expect(readFileSync(join(cwd, 'missed.test.ts'), 'utf8')).not.toContain('a secret of the night')
    const again = await testify('--out', join(cwd, 'missed.test.ts'), '--json')
    expect([again.code, again.json[0].error.code]).toEqual([2, 'FLAG_INVALID'])
  },
)

test(
  'the incident example, with its approval, comes to the same when it is run from its test',
  { timeout: 60_000 },
  async () => {
    const { cwd } = await incident()
    const agent = join(root, 'examples/incident/agent.ts')
    const { json } = await signalbox(['testify', 't', agent, '--json'], { cwd })
    expect(json[0].testimony).toMatchObject({
      agent: 'incident',
      came: 'resolved',
      people: [{ kind: 'approval', state: 'act' }],
    })
    const place = dirname(moduleOf(''))
    const out = join(place, 'incident.test.ts')
    await signalbox(['testify', 't', agent, '--out', out, '--expect', 'resolved'], { cwd })
    const { status, stdout } = spawnSync(process.execPath, ['--test', out], { cwd: place, encoding: 'utf8' })
    expect([status, stdout]).toEqual([0, expect.stringContaining('pass 1')])
    expect(existsSync(join(place, 'incident-ledger.jsonl'))).toBe(false)
  },
)

test('what cannot be told of says why', async () => {
  const { cwd } = await incident()
  const agent = join(root, 'examples/incident/agent.ts')
  const said = async (...args: string[]): Promise<unknown> => {
    const { code, json } = await signalbox(['testify', ...args, '--json'], { cwd })
    return [code, json[0].error.code]
  }
  expect(await said('nobody', agent)).toEqual([2, 'TASK_UNKNOWN'])
  expect(await said('t', 'nowhere.ts')).toEqual([2, 'MODULE_MISSING'])
  await signalbox(['fork', 't', '--at', '9', '--id', 'f'], { cwd })
  expect(await said('f', agent)).toEqual([2, 'TESTIMONY_INVALID'])
  await signalbox(['erase', 't', '--reason', 'asked for'], { cwd })
  expect(await said('t', agent)).toEqual([2, 'TESTIMONY_INVALID'])
})
