// A54: canaries go in at every place where a secret may get in (configuration, environment, headers, results, errors,
// answers, input, people, signals), and are looked for in every byte that comes out: the files of a real store, the log,
// what is shown, what is thrown, and what a model's server was sent over a real socket.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished } from 'vitest'
import { z } from 'zod'
import { defineAgent, type Agent, type State } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import type { Json } from '../src/core/json.ts'
import { draw } from '../src/core/resilience.ts'
import { defineTool } from '../src/core/tool.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions } from '../src/orchestrator.ts'
import { startMockServer } from '../src/providers/mock-server.ts'
import { scriptedModel, type Script } from '../src/providers/scripted.ts'
import type { Store } from '../src/store/store.ts'
import { root, signalbox, storeOf, workplace } from './cli/signalbox.ts'
import { address, engine, opened, test } from './engines.ts'
import { keysOf } from './keys.ts'
import { asOwner } from './owner.ts'

const made = (number: number): string =>
  Array.from(
    { length: 24 },
    (_, at) => 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789+/'[Math.floor(draw(number, at, 7) * 56)],
  ).join('')

/** Ways in which a secret is written. */
const writings: readonly ((secret: string) => Json)[] = [
  (secret) => secret,
  (secret) => Buffer.from(secret).toString('base64'),
  (secret) => Buffer.from(`user:${secret}`).toString('base64'),
  (secret) => Buffer.from(secret).toString('base64url'),
  (secret) => Buffer.from(secret).toString('hex'),
  (secret) => encodeURIComponent(secret),
  (secret) => [secret.slice(0, 12), secret.slice(12)],
  (secret) => [
    { type: 'text', text: `first ${secret.slice(0, 12)}` },
    { type: 'text', text: secret.slice(12) },
  ],
  (secret) => ({ [secret]: 1, [`x ${secret.slice(0, 14)}`]: 2 }),
  (secret) => ({ nested: [{ deep: `say "${secret}" now` }] }),
]

/** Everything of a secret that must not be found: twelve characters in a row of it, as it is or encoded. */
const needlesOf = (secret: string): string[] => {
  const bytes = Buffer.from(secret)
  const texts = [secret, encodeURIComponent(secret), bytes.toString('hex'), bytes.toString('base64').slice(0, 30)]
  return texts.flatMap((text) => Array.from({ length: text.length - 11 }, (_, at) => text.slice(at, at + 12)))
}

const names = ['API', 'DB', 'MAIL', 'PAY', 'HOOK', 'CRM', 'OPS', 'LATE', 'FROM_ENV', 'SPARE'] as const
const secrets = Object.fromEntries(names.map((name, index) => [name, made(index + 1)])) as Record<string, string>
const apiKey = made(99)
const { keys, needles: keyNeedles } = keysOf(54)
const needles = [...[...Object.values(secrets), apiKey].flatMap(needlesOf), ...keyNeedles]

/** All canaries, written in all ways: known ones, and keys that nobody told about. */
const known = (): Json =>
  Object.values(secrets).map((secret, index) => writings.map((write) => write(secret + (index % 2 ? '' : '.'))))
const unknown = (): Json => Object.values(keys).map((key) => `found ${key}`)
const everything = (): Json => [known(), unknown(), apiKey]
const aloud = (): string => JSON.stringify(everything())

function expectClean(what: string, text: string): void {
  expect(text.length, what).toBeGreaterThan(0)
  expect(
    needles.filter((needle) => text.includes(needle)),
    what,
  ).toEqual([])
}

/** All that a store holds: every byte of its files, or every row of every table. The files of a server are not ours alone. */
async function contentOf(at: string): Promise<[string, string][]> {
  if (at.startsWith('sqlite:')) {
    const path = dirname(at.slice('sqlite:'.length))
    return readdirSync(path)
      .filter((name) => name.includes('.db'))
      .map((name) => [name, readFileSync(join(path, name), 'latin1')])
  }
  return asOwner(at, async (sql) => {
    const tables = await sql('SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()')
    const content: [string, string][] = []
    for (const { name } of tables)
      content.push([String(name), JSON.stringify(await sql(`SELECT * FROM "${String(name)}"`))])
    return content
  })
}

const ends = { done: { type: 'final' }, failed: { type: 'final', failure: true } } as const
const agentOf = (states: Record<string, State<any, any>>): Agent<any, any> =>
  defineAgent({
    name: 'a',
    version: '1',
    context: defineContext({
      note: z.json().optional(),
      list: { schema: z.array(z.json()), initial: [], merge: 'append' },
    }),
    initial: Object.keys(states)[0]!,
    on: { $error: 'failed', $timeout: 'failed' },
    states: { ...states, ...ends } as never,
  })

async function open(agent: Agent<any, any>, options: Partial<OrchestratorOptions> = {}): Promise<Orchestrator> {
  const box = await createOrchestrator({
    store: options.store ?? (await address()),
    agents: [agent],
    models: { main: scriptedModel([]) },
    env: {},
    onFault: () => undefined,
    ...options,
  })
  onTestFinished(() => box.stop(100))
  return box
}

test('A54: of more than fifty canaries none is in any byte of the store, the log, an error or a model request, unless declared', async () => {
  expect(Object.keys(secrets).length + Object.keys(keys).length).toBeGreaterThanOrEqual(50)
  const at = await address()
  const heard: string[] = []
  const outside = createServer((request, response) => {
    heard.push(`${request.url} ${JSON.stringify(request.headers)}`)
    response.setHeader('x-token', keys['github-token']!)
    response.setHeader('set-cookie', `session=${secrets['CRM']}`)
    response.end(aloud())
  })
  await new Promise<void>((ready) => outside.listen(0, '127.0.0.1', ready))
  onTestFinished(() => void outside.close())
  const host = `127.0.0.1:${(outside.address() as AddressInfo).port}`

  const input = z.object({ note: z.json() })
  const tool = { inputSchema: input, retry: { attempts: 1 } }
  const given: unknown[] = []
  const tools = [
    defineTool({ ...tool, name: 'leak', description: `Answers. ${aloud()}`, execute: () => everything() as never }),
    defineTool({ ...tool, name: 'fail', description: 'Throws.', execute: () => Promise.reject(new Error(aloud())) }),
    defineTool({
      ...tool,
      name: 'headers',
      description: 'Asks outside.',
      egress: [host],
      execute: async (_, { fetch }) => {
        const response = await fetch(`http://${host}/`)
        return { headers: Object.fromEntries(response.headers), text: await response.text() }
      },
    }),
    defineTool({
      ...tool,
      name: 'pay',
      description: 'Pays outside, with the secret that it lists.',
      egress: [host],
      secrets: ['PAY', 'FROM_ENV'],
      execute: async ({ note }, { fetch, secret }) => {
        given.push(note)
        const headers = { authorization: `Bearer ${secret('PAY')}` }
        return {
          paid: note,
          by: (await fetch(`http://${host}/pay?with=${String((note as { token: string }).token)}`, { headers })).status,
        }
      },
    }),
    defineTool({
      ...tool,
      name: 'peek',
      description: 'Lists no secrets.',
      execute: ({ note }) => void given.push(note) as never,
    }),
    defineTool({ ...tool, name: 'reach', description: 'Reaches for it.', execute: (_, { secret }) => secret('PAY') }),
  ]
  const agent = agentOf({
    work: {
      model: 'main',
      instructions: `Be careful with ${aloud()}`,
      prompt: ({ context }: { context: any }) => `Look at ${JSON.stringify(context.note)}`,
      tools,
      turns: 10,
      on: {
        ASK: { target: 'ask', output: z.object({ note: z.json(), list: z.array(z.json()) }), description: aloud() },
      },
    },
    ask: {
      human: {
        question: ({ context }: { context: any }) => `Is it ${JSON.stringify(context.note)}?`,
        show: () => everything(),
      },
      on: { yes: { target: 'wait', output: z.object({ note: z.json() }) } },
    },
    wait: { wait: { signal: 'go' }, on: { DONE: { target: 'run', output: z.object({ list: z.array(z.json()) }) } } },
    run: {
      run: () => ({ exit: 'OK', output: { note: everything() } }),
      on: { OK: { target: 'throws', output: z.object({ note: z.json() }) } },
    },
    throws: { run: () => Promise.reject(new Error(aloud())), on: { OK: 'done', $error: 'again' } },
    again: { model: 'main', prompt: ({ context }: { context: any }) => JSON.stringify(context), on: { OK: 'done' } },
  })
  const script: Script = [
    {
      text: aloud(),
      calls: [
        { name: 'leak', arguments: { note: unknown() } },
        { name: 'leak', arguments: { note: known() } },
        { name: 'fail', arguments: { note: 1 } },
        { name: 'headers', arguments: { note: 1 } },
        { name: 'pay', arguments: { note: { token: 'secret://FROM_ENV', text: 'for secret://PAY.' } } },
        { name: 'peek', arguments: { note: 'secret://PAY' } },
        { name: 'peek', arguments: { note: `with ${secrets['PAY']}` } },
        { name: 'reach', arguments: { note: 1 } },
        { name: aloud().slice(0, 600), arguments: {} },
        { name: 'leak', arguments: { wrong: aloud() } },
      ],
    },
    { calls: [{ name: 'ASK', arguments: { note: everything(), list: [everything()] } }] },
    { text: aloud(), calls: [{ name: 'OK', arguments: {} }] },
  ]
  const server = await startMockServer(script)
  onTestFinished(() => server.close())
  const thrown: string[] = []
  const failing = async (act: Promise<unknown>): Promise<void> => {
    const error = await act.then(
      () => new Error('it did not throw'),
      (reason: unknown) => reason as Error,
    )
    thrown.push(`${error.message} ${String(error.stack)} ${JSON.stringify(error)}`)
  }
  const environment = { TOKEN: secrets['FROM_ENV'] }
  const faults: string[] = []
  const store = await opened(at)
  let refusals = 0
  const flaky: Store = new Proxy(store, {
    get(target, name) {
      if (name === 'claim' && (refusals += 1) === 1)
        return () => Promise.reject(new Error(aloud(), { cause: new Error(aloud()) }))
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
  const { FROM_ENV: _, ...configured } = secrets
  const box = await createOrchestrator({
    store: flaky,
    agents: [agent],
    secrets: { ...configured, FROM_ENV: () => environment.TOKEN },
    env: { SIGNALBOX_BASE_URL: server.url, SIGNALBOX_MODEL: 'mock', SIGNALBOX_API_KEY: apiKey },
    onFault: (fault) => faults.push(String((fault as Error).stack), String(((fault as Error).cause as Error).message)),
  })
  const task = await box.start(agent, { note: everything() }, { id: 't', by: aloud() })
  const { inbox } = await task.rest()
  const item = inbox[0]!.item
  await failing(box.answer(item, { decision: aloud(), by: 'ana', reason: 'r' }))
  await failing(box.answer(aloud(), { decision: 'yes', by: 'ana', reason: 'r' }))
  await failing(box.start(agent, { [aloud()]: 1 }))
  await failing(box.start(agent, { note: 1 }, { id: secrets['API']! }))
  await failing(box.show(aloud()))
  await failing(createOrchestrator({ store, agents: [agent], secrets, models: { main: aloud() } }))
  await box.signal('t', { name: aloud(), data: everything(), by: 'b' })
  await box.answer(item, { decision: 'yes', by: aloud(), reason: aloud(), data: { note: everything() } })
  await box.signal('t', { name: 'go', data: { list: [everything()] }, by: aloud(), key: aloud() })
  const view = await task.result()
  expect(view.outcome).toBe('done')

  // What was declared was given: once as a handle in the arguments, once in the body, and to nobody else.
  expect(given).toEqual([{ token: secrets['FROM_ENV'], text: `for ${secrets['PAY']}.` }])
  const paid = heard.filter((line) => line.startsWith('/pay'))
  expect(paid).toHaveLength(1)
  expect(paid[0]).toContain(`/pay?with=${secrets['FROM_ENV']}`)
  expect(paid[0]).toContain(`Bearer ${secrets['PAY']}`)
  const log = await store.read('t')
  const failures = log.flatMap(({ type, data }) =>
    type === 'tool.failed' ? [`${data.tool} ${data.class} ${/^[^.]*\./.exec(data.message)?.[0]}`] : [],
  )
  expect(failures.filter((line) => line.includes('SECRET_REFUSED'))).toEqual([
    'leak invalid-request SECRET_REFUSED The tool leak may not have the secret API.',
    'peek invalid-request SECRET_REFUSED The tool peek may not have the secret PAY.',
    'peek invalid-request SECRET_REFUSED The tool peek may not have the secret PAY.',
    'reach invalid-request SECRET_REFUSED The tool reach may not have the secret PAY.',
  ])
  const called = log.find(({ type, data }) => type === 'tool.called' && data.tool === 'pay')!
  expect(called.data).toMatchObject({ arguments: { note: { token: 'secret://FROM_ENV', text: 'for secret://PAY.' } } })

  // And the rest is nowhere.
  expect(server.requests).toBe(3)
  expectClean('what the model was sent', JSON.stringify(server.log))
  expectClean('errors', thrown.join('\n'))
  expect(thrown).toHaveLength(6)
  expectClean('faults', faults.join('\n'))
  expectClean(
    'a view',
    JSON.stringify([view, await box.inbox(), await box.tasks(), await store.inbox({ taskId: 't' })]),
  )
  const content = await contentOf(at)
  for (const [name, bytes] of content) if (bytes !== '') expectClean(name, bytes)
  expect(content.map(([name]) => name)).toContain(engine() === 'SQLite' ? 'store.db-wal' : 'payloads')
  for (const command of [
    ['log', 't', '--json'],
    ['log', 't', '--json', '--raw'],
    ['show', 't', '--json'],
  ]) {
    const { code, stdout, stderr } = await signalbox([...command, '--store', at])
    expect(code).toBe(0)
    expectClean(command.join(' '), stdout + stderr)
  }
  await box.stop()
  expect((await store.verify()).findings).toEqual([])
  await store.close()
  for (const [name, bytes] of await contentOf(at)) expectClean(name, bytes)
  // The needles can be found: they are in what went in, but for a password that is only there in base64.
  const raw = Object.values(secrets).flatMap((secret) => needlesOf(secret).slice(0, secret.length - 11))
  expect([...raw, ...keyNeedles].filter((needle) => !aloud().includes(needle)).length).toBeLessThanOrEqual(1)
})

describe('at the command line', () => {
  const index = join(root, 'dist/index.js')
  const zod = join(root, 'node_modules/zod/index.js')
  const module = `
    import { defineAgent, defineContext, defineTool } from '${index}'
    import { z } from '${zod}'
    const use = defineTool({ name: 'use', description: 'd', inputSchema: z.object({ token: z.string() }), secrets: ['TOKEN'],
      execute: ({ token }, { secret }) => ({ same: token === secret('TOKEN'), length: token.length, token, lines: [token.slice(0, 12), token.slice(12)] }) })
    export const user = defineAgent({ name: 'user', version: '1', context: defineContext({ goal: z.enum(['a', 'b']), seen: z.json().optional() }),
      initial: 'use', on: { $error: 'failed', $timeout: 'failed' },
      states: {
        use: { tool: use, args: () => ({ token: 'secret://TOKEN' }), exit: ({ result }) => ({ exit: 'DONE', output: { seen: result } }),
          on: { DONE: { target: 'done', output: z.object({ seen: z.json() }) } } },
        done: { type: 'final' }, failed: { type: 'final', failure: true } } })
    export default { agents: [user], secrets: { TOKEN: process.env.MY_TOKEN }, redact: { patterns: [/hush-\\d+/] } }
  `
  const [token, { keys: cli }] = [made(7), keysOf(7)]
  const run = async (args: readonly string[], env: Record<string, string> = { MY_TOKEN: token }) => {
    const cwd = await workplace()
    writeFileSync(join(cwd, 'agent.ts'), module)
    const ran = await signalbox(['run', 'agent.ts', '--json', ...args], { cwd, env })
    return { ...ran, said: ran.stdout + ran.stderr, cwd }
  }

  test("a module's secrets come from its configuration, are used, and are not told", async () => {
    const { code, json, said, cwd } = await run(['--input', '{"goal":"a"}'])
    expect(code).toBe(0)
    expect(json.at(-1).context.seen).toMatchObject({ same: true, length: 24, token: 'secret://TOKEN' })
    const content = await contentOf(storeOf(cwd))
    expect(content.length).toBeGreaterThan(0)
    for (const text of [said, ...content.map(([, bytes]) => bytes)]) {
      expect(needlesOf(token).filter((needle) => text.includes(needle))).toEqual([])
    }
  })

  test('what is wrong with an input is told without the secrets in it', async () => {
    const key = cli['openai-key']!
    const { code, said } = await run(['--input', JSON.stringify({ goal: 'a', [`${token} ${key} hush-12`]: 1 })])
    expect(code).toBe(2)
    expect(said).toContain('secret://TOKEN [redacted: openai-key] [redacted: pattern-1]')
    expect(said).not.toContain(key)
    const broken = await run(['--input', `{"goal": ${token}`])
    expect(broken.said).toContain('INPUT_INVALID')
    expect(broken.said).not.toContain(token.slice(0, 12))
    const flag = await run([`--key=${key}`])
    expect(flag.said).not.toContain(key)
  })

  test('what a person says to a task is logged without the secrets of a module that is named', async () => {
    const cwd = await workplace()
    writeFileSync(
      join(cwd, 'agent.ts'),
      module
        .replace("initial: 'use'", "initial: 'wait'")
        .replace('states: {', "states: { wait: { wait: { signal: 'go' }, on: { DONE: 'use' } },"),
    )
    const options = { cwd, env: { MY_TOKEN: token } }
    await signalbox(['run', 'agent.ts', '--input', '{"goal":"a"}', '--id', 't'], options)
    const said = await signalbox(
      ['signal', 't', 'other', '--data', JSON.stringify({ [token]: cli['github-token'] }), '--secrets-of', 'agent.ts'],
      options,
    )
    expect(said.code).toBe(0)
    const { json } = await signalbox(['log', 't', '--json'], options)
    expect(json.find(({ type }) => type === 'signal.received').data.data).toEqual({
      'secret://TOKEN': '[redacted: github-token]',
    })
  })

  test('a secret without a value is named before anything is written', async () => {
    const { code, said, cwd } = await run(['--input', '{"goal":"a"}'], {})
    expect(code).toBe(2)
    expect(said).toContain('CONFIG_INVALID The secret TOKEN: it has no value.')
    expect(readdirSync(cwd)).toEqual(['agent.ts'])
  })
})

describe('secrets', () => {
  const call = (change: object, args: unknown): Agent<any, any> => {
    const tool = defineTool({
      name: 'use',
      description: 'd',
      inputSchema: z.object({ in: z.json() }),
      retry: { attempts: 1 },
      execute: () => null,
      ...change,
    })
    return agentOf({ act: { tool, args: () => ({ in: args }), exit: () => 'DONE', on: { DONE: 'done' } } })
  }

  test('that changed are given as they are now, and what they were and are is not logged', async () => {
    const [before, after] = [made(201), made(202)]
    let now = before
    const agent = agentOf({
      act: {
        tool: defineTool({
          name: 'use',
          description: 'd',
          inputSchema: z.object({ in: z.json() }),
          secrets: ['T'],
          execute: (_, { secret }) => {
            now = after
            return [secret('T') === after, before, after]
          },
        }),
        args: () => ({ in: 'secret://T' }),
        on: { DONE: 'done' },
      },
    })
    const box = await open(agent, { secrets: { T: () => now } })
    await (await box.start(agent, {}, { id: 't' })).result()
    const answered = (await box.store.read('t')).find(({ type }) => type === 'tool.answered')!
    expect(answered.data).toMatchObject({ result: [true, 'secret://T', 'secret://T'] })
  })

  test.each([
    ['exactly', 'secret://A', made(1)],
    ['between other words', 'Bearer secret://A, or so', `Bearer ${made(1)}, or so`],
    [
      'twice, in lists and objects',
      { x: ['secret://A', { y: '?k=secret://A&z=secret://B' }] },
      { x: [made(1), { y: `?k=${made(1)}&z=${made(2)}` }] },
    ],
    ['not as a part of a longer word', 'xsecret://A', 'xsecret://A'],
  ])('are given where their handle stands %s', async (_, args, expected) => {
    const seen: unknown[] = []
    const agent = call({ secrets: ['A', 'B'], execute: (input: unknown) => (seen.push(input), null) }, args)
    const box = await open(agent, { secrets: { A: made(1), B: made(2) } })
    await (await box.start(agent, {}, { id: 't' })).result()
    expect(seen).toEqual([{ in: expected }])
    const called = (await box.store.read('t')).find(({ type }) => type === 'tool.called')!
    expect(called.data).toMatchObject({ arguments: { in: args } })
  })

  test('that a tool does not list are not given: it is not called, and not tried again', async () => {
    let calls = 0
    const agent = call(
      { secrets: ['A'], retry: { attempts: 3 }, execute: () => (calls += 1) },
      { text: 'secret://A secret://AB' },
    )
    const box = await open(agent, { secrets: { A: made(1), AB: made(2) } })
    expect((await (await box.start(agent, {}, { id: 't' })).result()).outcome).toBe('failed')
    expect(calls).toBe(0)
    const failed = (await box.store.read('t')).flatMap(({ type, data }) => (type === 'tool.failed' ? [data] : []))
    expect(failed).toMatchObject([
      { class: 'invalid-request', message: expect.stringContaining('may not have the secret AB') },
    ])
  })

  test.each([
    [
      'a tool lists one that is not there',
      call({ secrets: ['NONE'] }, 1),
      { secrets: { A: made(1) } },
      'lists the secret NONE',
    ],
    ['one has no value', call({}, 1), { secrets: { A: undefined } }, 'The secret A: it has no value'],
    ['one is too short', call({}, 1), { secrets: { A: 'abc' } }, 'fewer than 6 characters'],
    [
      'reading one throws',
      call({}, 1),
      {
        secrets: {
          A: () => {
            throw new Error(made(1))
          },
        },
      },
      'The secret A: it has no value',
    ],
    ['one has no name', call({}, 1), { secrets: { 'a/b': made(1) } }, 'a name has'],
    [
      'one is the name of a state',
      agentOf({ production: { run: () => 'OK', on: { OK: 'done' } } }),
      { secrets: { A: 'production' } },
      'would be taken for a secret: secret://A',
    ],
    [
      'a pattern touches the hash of a definition',
      call({}, 1),
      { redact: { patterns: [/[0-9a-f]{64}/] } },
      'would be taken for a secret',
    ],
    ['a pattern is none', call({}, 1), { redact: { patterns: ['x' as never] } }, 'no regular expression'],
  ])('are refused at the start where %s', async (_, agent, options: Partial<OrchestratorOptions>, problem) => {
    const error: Error = await open(agent, options).then(
      () => new Error('it opened'),
      (thrown: unknown) => thrown as Error,
    )
    expect(error.message).toContain('CONFIG_INVALID')
    expect(error.message).toContain(problem)
    expect(error.message).not.toContain(made(1))
  })

  test('in the key of a signal do not make it count twice', async () => {
    const agent = agentOf({ wait: { wait: { signal: 'go' }, on: { DONE: 'done' } } })
    const box = await open(agent, { secrets: { A: made(1) }, work: false })
    await box.start(agent, {}, { id: 't' })
    for (let times = 0; times < 2; times += 1) await box.signal('t', { name: 'go', data: {}, by: 'b', key: made(1) })
    expect((await box.store.read('t')).filter(({ type }) => type === 'signal.received')).toHaveLength(1)
  })
})
