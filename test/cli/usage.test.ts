// What is wrong gets one clear error: a stable code, what was wrong, what to do next. Nothing is half-written.

import { DatabaseSync } from 'node:sqlite'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { folder } from '../folder.ts'
import { root, signalbox, start } from './signalbox.ts'

const index = join(root, 'dist/index.js')
const zod = join(root, 'node_modules/zod/index.js')
const sound = `
  import { defineAgent, defineContext, defineTool } from '${index}'
  import { z } from '${zod}'
  const context = defineContext({ goal: z.string() })
  export const waiter = defineAgent({ name: 'waiter', version: '1', context, initial: 'pause', on: { $timeout: 'gone' },
    states: { pause: { wait: { signal: 'go' }, on: { DONE: 'ended' } }, ended: { type: 'final' }, gone: { type: 'final', failure: true } } })
`
const unsound = sound.replace("initial: 'pause'", "initial: 'nowhere'")

/** A folder with these files in it. */
function folderWith(files: Record<string, string>): string {
  const cwd = folder()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text)
  return cwd
}

describe('one clear error for', () => {
  const files = {
    'ok.ts': sound,
    'two.ts': `${sound}\nexport const other = defineAgent({ ...waiter, name: 'other' })`,
    'bad.ts': unsound,
    'throws.ts': `throw new Error('at load')`,
    'syntax.ts': `export const = 3`,
    'empty.ts': `export const nothing = 1`,
    'odd.ts': `${sound}\nexport default { agents: [waiter], colour: 'red' }`,
    'model.ts': sound.replace("wait: { signal: 'go' }", `model: 'main', prompt: 'p'`),
    'script.json': `[{ "txt": "typo" }]`,
    'text.db': 'not a database at all, but a text that is longer than a header. '.repeat(40),
  }
  const input = ['--input', '{"goal":"x"}']

  test.each<[string, readonly string[], number, string]>([
    ['no command', [], 2, 'Usage'],
    ['a command that does not exist', ['rnu'], 2, 'Did you mean run'],
    ['a flag that does not exist', ['tasks', '--nope'], 2, 'unknown option'],
    ['a missing argument', ['run'], 2, 'missing required argument'],
    ['a missing flag', ['answer', 'x'], 2, '--decision'],
    ['input that is not JSON', ['run', 'ok.ts', '--input', '{goal}'], 2, 'INPUT_INVALID --input is not JSON'],
    ['input that is a list', ['run', 'ok.ts', '--input', '[]'], 2, 'INPUT_INVALID'],
    ['input with a key too many', ['run', 'ok.ts', '--input', '{"goal":"x","more":1}'], 2, 'more is not a key'],
    ['input with a key missing', ['run', 'ok.ts', '--input', '{}'], 2, 'goal is missing'],
    ['input of the wrong type', ['run', 'ok.ts', '--input', '{"goal":1}'], 2, 'INPUT_INVALID'],
    ['no input at all', ['run', 'ok.ts'], 2, 'goal is missing'],
    ['an id that could not be typed', ['run', 'ok.ts', '--id', 'a b', ...input], 2, 'INPUT_INVALID'],
    ['an id to go on with, and no store', ['run', 'ok.ts', '--id', 'nope'], 2, 'STORE_MISSING'],
    ['a file that does not exist', ['run', 'nope.ts', ...input], 2, 'MODULE_MISSING'],
    ['a module that throws', ['run', 'throws.ts', ...input], 1, 'MODULE_FAILED'],
    ['a module that does not parse', ['check', 'syntax.ts'], 1, 'MODULE_FAILED'],
    ['a module without an agent', ['run', 'empty.ts', ...input], 2, 'CONFIG_INVALID'],
    ['a configuration with an unknown key', ['run', 'odd.ts', ...input], 2, 'colour is not something to configure'],
    ['several agents and no name', ['run', 'two.ts', ...input], 2, 'AGENT_UNKNOWN'],
    ['an agent that is not in the file', ['run', 'ok.ts', '--agent', 'nobody', ...input], 2, 'AGENT_UNKNOWN'],
    ['an agent that is not sound', ['run', 'bad.ts', ...input], 1, 'AGENT_UNSOUND'],
    ['a model that nobody defines', ['run', 'model.ts', ...input], 2, 'MODEL_UNKNOWN'],
    ['a duration that is none', ['run', 'ok.ts', '--lease', 'soon', ...input], 2, 'DURATION_INVALID'],
    ['a count that is none', ['tasks', '--limit', 'many'], 2, 'FLAG_INVALID'],
    [
      'a store that cannot be opened by name',
      ['run', 'ok.ts', '--store', 'mysql://x', ...input],
      2,
      'STORE_UNSUPPORTED',
    ],
    ['a store that is not there', ['tasks'], 2, 'STORE_MISSING'],
    [
      'a store in a folder that is not there',
      ['run', 'ok.ts', '--store', 'sqlite:no/x.db', ...input],
      2,
      'STORE_MISSING',
    ],
    ['a store that is no database', ['run', 'ok.ts', '--store', 'sqlite:text.db', ...input], 2, 'STORE_NOT_OURS'],
    ['a script that is none', ['mock-model', 'script.json'], 2, 'SCRIPT_INVALID'],
    ['a graph in a format that does not exist', ['graph', 'ok.ts', '--format', 'gif'], 2, 'mermaid'],
  ])('%s', async (_, args, code, says) => {
    const cwd = folderWith(files)
    const ran = await signalbox(args, { cwd })
    expect(ran.stderr).toContain(says)
    expect(ran.code).toBe(code)
    expect(ran.stdout).toBe('')
    expect(ran.stderr).not.toMatch(/\n\s+at /)
    expect(readdirSync(cwd).sort()).toEqual(Object.keys(files).sort())
    expect(readFileSync(join(cwd, 'text.db'), 'utf8')).toBe(files['text.db'])
  })

  test('a store of another program, which is left as it was', async () => {
    const cwd = folderWith({ 'ok.ts': sound })
    const db = new DatabaseSync(join(cwd, 'other.db'))
    db.exec('CREATE TABLE users (name TEXT)')
    db.close()
    const before = readFileSync(join(cwd, 'other.db'))
    const ran = await signalbox(['run', 'ok.ts', '--store', 'sqlite:other.db', ...input, '--json'], { cwd })
    expect(ran.code).toBe(2)
    expect(ran.json).toMatchObject([{ error: { code: 'STORE_NOT_OURS' } }])
    expect(readFileSync(join(cwd, 'other.db')).equals(before)).toBe(true)
  })
})

test('check names what is wrong and exits 1, or says that the machine is sound and exits 0', async () => {
  const cwd = folderWith({ 'ok.ts': sound, 'bad.ts': unsound })
  const good = await signalbox(['check', 'ok.ts', '--json'], { cwd })
  expect([good.code, good.json[0].ok]).toEqual([0, true])
  const bad = await signalbox(['check', 'bad.ts', '--json'], { cwd })
  expect([bad.code, bad.json[0].ok]).toEqual([1, false])
  expect(bad.stderr).toContain('INITIAL_UNKNOWN waiter.initial: There is no state nowhere.')
})

test('check prints the worst case of every state and of the task, with prices, and a path that leaks', async () => {
  const leaking = `
    import { defineAgent, defineContext, defineTool, usd } from '${index}'
    import { z } from '${zod}'
    const tool = (more) => defineTool({ description: 'd', inputSchema: z.object({ to: z.string() }), execute: () => null, ...more })
    const read = tool({ name: 'read', trust: 'untrusted', privacy: 'private' })
    const send = tool({ name: 'send', effect: 'external', sinks: ['to'] APPROVAL })
    export const desk = defineAgent({ name: 'desk', version: '1', context: defineContext({ note: z.string().optional() }), initial: 'first',
      limits: { steps: 9, tokens: 100_000 }, on: { $error: 'end', $timeout: 'end' },
      states: {
        first: { model: 'main', prompt: 'p', tools: [read], on: { OK: { target: 'reply', output: z.object({ note: z.string() }) } } },
        reply: { tool: send, args: () => ({ to: 'x' }), on: { DONE: 'end' } },
        end: { type: 'final' } } })
    export default { prices: { main: { inputUsdPerMillion: 1, outputUsdPerMillion: 5 } }, windows: { main: 8_000 } }`
  const asked = leaking.replace('APPROVAL', `, approval: 'always'`)
  const cwd = folderWith({ 'leaks.ts': leaking.replace('APPROVAL', ''), 'asks.ts': asked })
  const leaks = await signalbox(['check', 'leaks.ts'], { cwd })
  expect(leaks.code).toBe(1)
  expect(leaks.stderr).toContain('error FLOW_UNGATED desk.states.reply.tool.send')
  expect(leaks.stderr).toContain('The path: first -OK-> reply.')
  const asks = await signalbox(['check', 'asks.ts', '--json'], { cwd })
  expect(asks.code).toBe(0)
  const [{ problems, proof, worst }] = asks.json[0].agents
  expect([problems, proof.exact]).toEqual([[], true])
  expect(worst.total).toMatchObject({ steps: 9, tokens: 100_000, defaults: expect.arrayContaining(['turns']) })
  expect(worst.total.costMicros).toBeLessThanOrEqual(500_100)
  const [head, first, , task] = asks.stderr.split('\n')
  expect(head).toMatch(/^at worst +visits +turns +steps +tokens +money +time +rests on the defaults of$/)
  expect(first).toMatch(/^first +1 +9 +9 +100,000 +\$0\.\d\d +30 min 0 s +/)
  expect(task).toMatch(/^the task +9 +9 +100,000 +/)
})

test('graph draws the machine for mermaid', async () => {
  const ran = await signalbox(['graph', join(root, 'examples/incident/agent.ts')])
  expect(ran.code).toBe(0)
  expect(ran.stdout).toContain('stateDiagram-v2')
  expect(ran.stdout).toContain('review --> investigate : SENT_BACK')
})

test('a task that waits for a signal is signalled and goes on; one that is cancelled is over', async () => {
  const cwd = folderWith({ 'ok.ts': sound })
  const run = (id: string, ...more: string[]) => signalbox(['run', 'ok.ts', '--id', id, '--json', ...more], { cwd })
  expect((await run('a', '--input', '{"goal":"x"}')).code).toBe(3)
  expect((await signalbox(['signal', 'a', 'go', '--data', '{}', '--key', 'k'], { cwd })).code).toBe(0)
  const ended = await run('a')
  expect([ended.code, ended.json.at(-1).outcome]).toEqual([0, 'ended'])
  expect((await signalbox(['signal', 'a', 'go'], { cwd })).stderr).toContain('TASK_ENDED')
  const unknown = await run('nope')
  expect([unknown.code, unknown.stderr.includes('TASK_UNKNOWN')]).toEqual([2, true])

  await run('b', '--input', '{"goal":"x"}')
  expect((await signalbox(['cancel', 'b', '--by', 'ana', '--reason', 'r'], { cwd })).code).toBe(0)
  const cancelled = await run('b')
  expect([cancelled.code, cancelled.json.at(-1).status]).toEqual([1, 'cancelled'])
})

test('a task of another definition is left alone, by name', async () => {
  const cwd = folderWith({ 'ok.ts': sound })
  await signalbox(['run', 'ok.ts', '--id', 'a', '--input', '{"goal":"x"}'], { cwd })
  writeFileSync(join(cwd, 'ok.ts'), sound.replace("signal: 'go'", "signal: 'other'"))
  const ran = await signalbox(['run', 'ok.ts', '--id', 'a'], { cwd })
  expect([ran.code, ran.stderr.includes('DEFINITION_CHANGED')]).toEqual([1, true])
})

test('verify exits 1 and names the event when somebody edited the log', async () => {
  const cwd = folderWith({ 'ok.ts': sound })
  await signalbox(['run', 'ok.ts', '--id', 'a', '--input', '{"goal":"x"}'], { cwd })
  const db = new DatabaseSync(join(cwd, 'signalbox.db'))
  db.exec(`DROP TRIGGER events_no_update; UPDATE events SET atMs = 0 WHERE seq = 2`)
  db.close()
  const ran = await signalbox(['verify', '--json'], { cwd })
  expect(ran.code).toBe(1)
  expect(ran.json[0]).toMatchObject({ ok: false, findings: [{ taskId: 'a', seq: 2, kind: 'edited' }] })
  expect((await signalbox(['verify', 'nope'], { cwd })).code).toBe(2)
})

test('a reader that goes away early is not a failure', async () => {
  const { child, ended } = start(['log', '--help'])
  child.stdout!.destroy()
  expect((await ended).stderr).toBe('')
})

test('an older Node is told what to do, before anything is loaded', async () => {
  const { spawnSync } = await import('node:child_process')
  const code = `Object.defineProperty(process.versions, 'node', { value: '20.1.0' }); await import(${JSON.stringify(join(root, 'bin/signalbox.js'))})`
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  expect(ran.status).toBe(2)
  expect(ran.stderr).toContain('NODE_TOO_OLD')
})

test('every command explains itself', async () => {
  const help = await signalbox(['--help'])
  expect(help.code).toBe(0)
  for (const name of [
    'run',
    'worker',
    'tasks',
    'show',
    'log',
    'inbox',
    'answer',
    'signal',
    'cancel',
    'check',
    'graph',
    'verify',
    'mock-model',
  ]) {
    expect(help.stdout).toContain(`  ${name} `)
  }
})
