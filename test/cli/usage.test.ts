// What is wrong gets one clear error: a stable code, what was wrong, what to do next. Nothing is half-written.

import { DatabaseSync } from 'node:sqlite'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test as once } from 'vitest'
import { test } from '../engines.ts'
import { folder } from '../folder.ts'
import { withoutTriggers } from '../owner.ts'
import { root, signalbox, start, storeOf, workplace } from './signalbox.ts'

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
function folderWith(files: Record<string, string>, cwd = folder()): string {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text)
  return cwd
}

/** The same, with a store in the engine whose turn it is. */
const engineFolderWith = async (files: Record<string, string>): Promise<string> => folderWith(files, await workplace())

// What goes wrong before a store is there, or with the file of one, goes wrong once.
describe('one clear error for', () => {
  const files = {
    'ok.ts': sound,
    'two.ts': `${sound}\nexport const other = defineAgent({ ...waiter, name: 'other' })`,
    'bad.ts': unsound,
    'throws.ts': `throw new Error('at load')`,
    'syntax.ts': `export const = 3`,
    'empty.ts': `export const nothing = 1`,
    'bare.mjs': `import { defineAgent } from '${index}'\nexport const bare = defineAgent({ name: 'bare' })`,
    'hollow.mjs': `import { defineAgent, defineContext } from '${index}'
export const hollow = defineAgent({ name: 'hollow', version: '1', context: defineContext({}), initial: 'a', states: { a: { model: 'm', prompt: 'p', tools: [null], on: { D: 'b' } }, b: null } })`,
    'quota.ts': `${sound}\nexport default { agents: [waiter], quotas: { main: { concurency: 1 } } }`,
    'rate.ts': `${sound}\nexport default { agents: [waiter], quotas: { main: { rate: { calls: 1, per: '1s', every: 1 } } } }`,
    'odd.ts': `${sound}\nexport default { agents: [waiter], colour: 'red' }`,
    'model.ts': sound.replace("wait: { signal: 'go' }", `model: 'main', prompt: 'p'`),
    'script.json': `[{ "txt": "typo" }]`,
    'text.db': 'not a database at all, but a text that is longer than a header. '.repeat(40),
  }
  const input = ['--input', '{"goal":"x"}']

  once.each<[string, readonly string[], number, string]>([
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
    ['nothing of an agent, checked', ['check', 'bare.mjs'], 1, 'FIELD_INVALID bare.states'],
    ['nothing of an agent, drawn', ['graph', 'bare.mjs'], 1, 'AGENT_UNSOUND The agent bare has 3 errors'],
    ['a state and a tool that are nothing, checked', ['check', 'hollow.mjs'], 1, 'FIELD_INVALID hollow.states.b: null'],
    ['a state and a tool that are nothing, drawn', ['graph', 'hollow.mjs'], 1, 'FIELD_INVALID hollow.states.a.tools'],
    ['a state and a tool that are nothing, at work', ['worker', 'hollow.mjs'], 1, 'AGENT_UNSOUND'],
    [
      'a quota with a field too many',
      ['run', 'quota.ts', ...input],
      2,
      'The quota of main: there is no field concurency',
    ],
    ['a rate with a field too many', ['run', 'rate.ts', ...input], 2, 'rate has no field every, only calls and per'],
    ['nobody who acts', ['cancel', 'x', '--by', ' '], 2, 'FLAG_INVALID --by is empty'],
    ['an act for no reason', ['answer', 'x', '--decision', 'd', '--by', 'a', '--reason', ''], 2, '--reason is empty'],
    ['a port that there is not', ['mock-model', 'script.json', '--port', '65536'], 2, 'FLAG_INVALID --port is "65536"'],
    ['a model that nobody defines', ['run', 'model.ts', ...input], 2, 'MODEL_UNKNOWN'],
    [
      'a duration that is none',
      ['run', 'ok.ts', '--lease', 'soon', ...input],
      2,
      'DURATION_INVALID --lease is "soon", which is no duration. Write it like 500ms, 20s, 5m or 2h',
    ],
    [
      'a duration without its unit',
      ['run', 'ok.ts', '--duration', '5', ...input],
      2,
      'DURATION_INVALID --duration is "5", which is no duration. Say of what: 5s, 5m or 5h',
    ],
    ['a count that is none', ['tasks', '--limit', 'many'], 2, 'FLAG_INVALID'],
    [
      'a list of at most none',
      ['tasks', '--limit', '0'],
      2,
      'FLAG_INVALID --limit is "0". Give a whole number, at least 1.',
    ],
    [
      'a status that there is not',
      ['tasks', '--status', 'foo'],
      2,
      'FLAG_INVALID --status is "foo". Give one of: running, waiting, done, failed, cancelled.',
    ],
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
      'Make the folder ',
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

  once('a store of another program, which is left as it was', async () => {
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

once('check names what is wrong and exits 1, or says that the machine is sound and exits 0', async () => {
  const cwd = folderWith({ 'ok.ts': sound, 'bad.ts': unsound })
  const good = await signalbox(['check', 'ok.ts', '--json'], { cwd })
  expect([good.code, good.json[0].ok]).toEqual([0, true])
  const bad = await signalbox(['check', 'bad.ts', '--json'], { cwd })
  expect([bad.code, bad.json[0].ok]).toEqual([1, false])
  expect(bad.stderr).toContain('INITIAL_UNKNOWN waiter.initial: There is no state nowhere.')
})

once('check prints the worst case of every state and of the task, with prices, and a path that leaks', async () => {
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

once('graph draws the machine for mermaid', async () => {
  const ran = await signalbox(['graph', join(root, 'examples/incident/agent.ts')])
  expect(ran.code).toBe(0)
  expect(ran.stdout).toContain('stateDiagram-v2')
  expect(ran.stdout).toContain('review --> investigate : SENT_BACK')
})

test('a task that waits for a signal is signalled and goes on; one that is cancelled is over', async () => {
  const cwd = await engineFolderWith({ 'ok.ts': sound })
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
  const cwd = await engineFolderWith({ 'ok.ts': sound })
  await signalbox(['run', 'ok.ts', '--id', 'a', '--input', '{"goal":"x"}'], { cwd })
  writeFileSync(join(cwd, 'ok.ts'), sound.replace("signal: 'go'", "signal: 'other'"))
  const ran = await signalbox(['run', 'ok.ts', '--id', 'a'], { cwd })
  expect([ran.code, ran.stderr.includes('DEFINITION_CHANGED')]).toEqual([1, true])
})

test('verify exits 1 and names the event when somebody edited the log', async () => {
  const cwd = await engineFolderWith({ 'ok.ts': sound })
  await signalbox(['run', 'ok.ts', '--id', 'a', '--input', '{"goal":"x"}'], { cwd })
  await withoutTriggers(storeOf(cwd), (sql) => sql(`UPDATE events SET atMs = 0 WHERE seq = 2`))
  const ran = await signalbox(['verify', '--json'], { cwd })
  expect(ran.code).toBe(1)
  expect(ran.json[0]).toMatchObject({ ok: false, findings: [{ taskId: 'a', seq: 2, kind: 'edited' }] })
  expect((await signalbox(['verify', 'nope'], { cwd })).code).toBe(2)
})

once('a reader that goes away early is not a failure', async () => {
  const { child, ended } = start(['log', '--help'])
  child.stdout!.destroy()
  expect((await ended).stderr).toBe('')
})

once('an older Node is told what to do, before anything is loaded', async () => {
  const { spawnSync } = await import('node:child_process')
  const code = `Object.defineProperty(process.versions, 'node', { value: '20.1.0' }); await import(${JSON.stringify(join(root, 'bin/signalbox.js'))})`
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  expect(ran.status).toBe(2)
  expect(ran.stderr).toContain('NODE_TOO_OLD')
})

test('a task that exists goes on with the input that it was started with, or none; with another nothing is done', async () => {
  const cwd = await engineFolderWith({
    'ok.ts': sound,
    'two.ts': `${sound}\nexport const other = defineAgent({ ...waiter, name: 'other' })`,
  })
  const run = (file: string, ...more: string[]) => signalbox(['run', file, '--id', 't', '--json', ...more], { cwd })
  expect((await run('ok.ts', '--input', '{"goal":"x"}')).code).toBe(3)
  const events = async () => (await signalbox(['log', 't', '--json'], { cwd })).json.length
  const before = await events()
  const other = await run('ok.ts', '--input', '{"goal":"y"}')
  expect([other.code, other.json[0].error.code, other.stderr.includes('Goes on')]).toEqual([1, 'TASK_EXISTS', false])
  const agent = await run('two.ts', '--agent', 'other', '--input', '{"goal":"x"}')
  expect([agent.code, agent.json[0].error.code]).toEqual([1, 'TASK_EXISTS'])
  const unasked = await run('two.ts', '--agent', 'other')
  expect([unasked.code, unasked.json[0].error.code, unasked.stderr.includes('Goes on')]).toEqual([
    1,
    'TASK_EXISTS',
    false,
  ])
  expect(await events()).toBe(before)
  // Which of a file's agents it is of is known.
  expect((await run('two.ts')).stderr).toContain('Goes on with task t')
  for (const more of [[], ['--input', '{"goal":"x"}']]) {
    const same = await run('ok.ts', ...more)
    expect([same.code, same.stderr.includes('Goes on with task t')]).toEqual([3, true])
  }
})

test('tasks are listed by their status, and show says why one did not end well', async () => {
  const model = sound.replace("wait: { signal: 'go' }, on: { DONE: 'ended' }", `MODEL`)
  const asked = `model: 'main', prompt: 'p', retry: { attempts: 2 }, on: { OK: 'ended', NO: 'gone', $error: 'gone' }`
  const people = `human: { question: 'go on?' }, on: { yes: 'ended', no: 'gone' }`
  const prices = `\nexport default { prices: { main: { inputUsdPerMillion: 100, outputUsdPerMillion: 100 } } }`
  const cwd = await engineFolderWith({
    'model.ts': model.replace('MODEL', asked) + prices,
    'human.ts': model.replace('MODEL', people),
    'throws.mjs': `export default ({ number }) => { if (number < 3) throw new RangeError('no such line'); return { calls: [{ name: 'NO' }] } }`,
  })
  const run = (file: string, id: string, env: Record<string, string> = {}) =>
    signalbox(['run', file, '--id', id, '--json', '--input', '{"goal":"x"}'], { cwd, env })
  const why = async (id: string) =>
    (await signalbox(['show', id], { cwd })).stdout.split('\n').find((line) => line.startsWith('why'))

  // Nobody listens there: it is said where, and costs nothing.
  const dead = await run('model.ts', 'dead', { SIGNALBOX_BASE_URL: 'http://127.0.0.1:9/secret', SIGNALBOX_MODEL: 'm' })
  expect(dead.code, dead.stderr).toBe(1)
  expect(dead.json.at(-1).usage).toMatchObject({ costMicros: 0, unpriced: 0, inputTokens: 0, outputTokens: 0 })
  expect(dead.stderr).not.toContain('secret')
  expect(await why('dead')).toMatch(
    /^why {6}turn 1 failed \(transport\): The connection to the provider failed\. bad port 127\.0\.0\.1:9 \(event \d+\)$/,
  )

  // A script of one's own that throws is told by the server, once.
  const server = start(['mock-model', 'throws.mjs', '--json', '--for', '2m'], { cwd })
  const { url } = JSON.parse(await server.said('{"url"')) as { url: string }
  const env = { SIGNALBOX_BASE_URL: url, SIGNALBOX_MODEL: 'mock' }
  expect((await run('model.ts', 'thrown', env)).code).toBe(1)
  expect(await why('thrown')).toContain('HTTP 500 script_failed')
  expect((await run('model.ts', 'chosen', env)).code).toBe(1)
  expect(await why('chosen')).toMatch(/^why {6}pause was left by NO \(event \d+\)$/)
  server.child.kill('SIGTERM')
  const said = (await server.ended).stderr.split('\n').filter((line) => line.includes('no such line'))
  expect(said).toEqual([
    expect.stringContaining('The script throws.mjs failed at request 1: RangeError: no such line.'),
  ])

  expect((await run('human.ts', 'asked')).code).toBe(3)
  const [{ item }] = (await signalbox(['inbox', '--json'], { cwd })).json
  await signalbox(['answer', item, '--decision', 'no', '--by', 'ana', '--reason', 'too late'], { cwd })
  expect((await run('human.ts', 'asked')).code).toBe(1)
  expect(await why('asked')).toContain('pause was left by no: ana decided no: too late')
  const listed = await signalbox(['tasks', '--status', 'failed', '--json'], { cwd })
  expect(new Set(listed.json.map(({ taskId }) => taskId))).toEqual(new Set(['asked', 'chosen', 'dead', 'thrown']))
})

once('help marks what is required', async () => {
  const { stdout } = await signalbox(['answer', '--help'])
  for (const flag of ['decision', 'by', 'reason']) expect(stdout).toMatch(new RegExp(`--${flag} .*\\(required\\)`))
  expect(stdout).not.toMatch(/--(data|hash|store|json) .*\(required\)/)
})

once('every command explains itself', async () => {
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
    'redteam',
    'mock-model',
  ]) {
    expect(help.stdout).toContain(`  ${name} `)
  }
})
