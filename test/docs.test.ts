// The documents say what the code says: the README's example compiles, the one of WRITING runs by its own commands, its
// tables name every field, DATA names every event, and its recipe proves a real log. What the documents tell to type is
// typed as it stands there: on the store that is used where none is named.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { expect, onTestFinished, test as once } from 'vitest'
import { commands } from '../src/cli/main.ts'
import { engineExits } from '../src/core/agent.ts'
import { severityOf, type ProblemCode } from '../src/core/problem.ts'
import { root, signalbox, start } from './cli/signalbox.ts'
import { opened, test } from './engines.ts'
import { folder } from './folder.ts'
import { playHistory } from './store/history.ts'

/** A folder inside the project, so that what is written there finds the project's packages. */
function inside(): string {
  const path = join(root, 'node_modules', '.docs')
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  mkdirSync(path, { recursive: true })
  return path
}

once('the example of the README compiles', () => {
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))!
  const path = inside()
  const helper = 'declare function searchLog(pattern: string, signal: AbortSignal): Promise<string[]>'
  writeFileSync(join(path, 'example.ts'), `${code}\n${helper}\n`)
  const compilerOptions = {
    strict: true,
    noEmit: true,
    module: 'nodenext',
    target: 'es2024',
    skipLibCheck: true,
    types: ['node'],
    paths: { signalbox: [join(root, 'dist/index.d.ts')] },
  }
  writeFileSync(join(path, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['example.ts'] }))
  const compile = (): string => execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', path], { encoding: 'utf8' })
  expect(compile).not.toThrow()
})

const writing = readFileSync(join(root, 'docs/WRITING.md'), 'utf8')

/** The first block of code of WRITING that holds this. */
function block(language: string, holds: string): string {
  const blocks = [...writing.matchAll(/```(\w+)\n([\s\S]*?)```/g)]
  return blocks.find(([, written, code]) => written === language && code!.includes(holds))![2]!
}

/** A project as WRITING tells to make one, with this package as it was built. */
function project(): string {
  const path = folder()
  const link = (target: string, ...place: readonly string[]): void => {
    const link = join(path, 'node_modules', ...place)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(target, link)
  }
  link(root, 'signalbox')
  link(join(root, 'bin/signalbox.js'), '.bin', 'signalbox')
  link(process.execPath, '.bin', 'node')
  for (const name of ['zod', '@types/node']) link(join(root, 'node_modules', name), ...name.split('/'))
  writeFileSync(join(path, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(path, 'tsconfig.json'), block('json', 'compilerOptions'))
  writeFileSync(join(path, 'desk.ts'), block('ts', 'defineAgent'))
  writeFileSync(join(path, 'script.json'), block('json', '"calls"'))
  return path
}

function freePort(): Promise<number> {
  return new Promise((found) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => found(port))
    })
  })
}

once(
  'the agent of WRITING compiles, and its own commands bring it to its end over HTTP, a person agreeing',
  async () => {
    const cwd = project()
    const tsc = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', cwd], { encoding: 'utf8' })
    expect(tsc.status, tsc.stdout).toBe(0)

    const port = String(await freePort())
    const [, play] = /`npx signalbox (mock-model [^`]*--port 4010)`/.exec(writing)!
    await start(play!.replace('4010', port).split(' '), { cwd }).said('Answers at')

    const commands = block('sh', 'signalbox run').replaceAll('4010', port).trim().split('\n')
    // What npx would find, without the time that it takes.
    const script = ['npx() { "$@"; }', ...commands.flatMap((line) => [line, 'echo "exit $?"'])].join('\n')
    const PATH = [join(cwd, 'node_modules/.bin'), process.env['PATH']].join(delimiter)
    const ran = spawnSync('sh', ['-c', `exec 2>&1\n${script}`], { cwd, encoding: 'utf8', env: { PATH, NO_COLOR: '1' } })
    const parts = ran.stdout.split(/^exit (\d+)\n/m)
    const said = (command: string): string => parts[2 * commands.findIndex((line) => line.includes(command))]!
    const codes = commands.map((_, index) => Number(parts[2 * index + 1]))
    expect(codes, ran.stdout).toEqual(commands.map((line) => Number(/# exits with (\d)/.exec(line)?.[1] ?? 0)))
    expect(said('check')).toMatch(/desk v1 is sound/)
    expect(said('check')).not.toMatch(/^(error|warning)/m)
    expect(said('inbox')).toContain('send_mail {"text":"Parcel 88 arrives on Monday.","to":"kim@example.com"}')
    expect(said('show')).toMatch(/done: sent[^]*reply = .*\(untrusted, public\)/)
    expect(said('log')).toContain('ana')
    const letters = readFileSync(join(cwd, 'outbox.jsonl'), 'utf8').trim().split('\n')
    expect(letters.map((line) => JSON.parse(line) as object)).toMatchObject([{ to: 'kim@example.com' }])
  },
)

/** The fields that a declaration in the source has, those of its inner objects too. */
function fieldsOf(file: string, type: string): string[] {
  const source = readFileSync(join(root, file), 'utf8')
  const [, text] = new RegExp(`^(?:export )?(?:interface|type) ${type}\\b([^]*?)(?:^}|\\n\\n)`, 'm').exec(source)!
  return [...text!.matchAll(/readonly (\w+)\??:|^ {2}(\w+)\?\(/gm)].map((match) => match[1] ?? match[2]!)
}

/** What stands as code between this heading of WRITING and the next. */
function codeUnder(heading: string): { readonly section: string; readonly words: ReadonlySet<string> } {
  const section = writing.split(`\n## ${heading}\n`)[1]!.split('\n## ')[0]!
  const words = [...section.matchAll(/`([^`]+)`/g)].flatMap(([, code]) => code!.match(/\$?\w+/g) ?? [])
  return { section, words: new Set(words) }
}

once.each([
  ['An agent', { agent: ['AgentDefinition'], limits: ['Limits'] }],
  ['The context', { context: ['KeyDefinition'], label: ['Label'] }],
  [
    'States',
    {
      agent: [
        'Common',
        'ExitDefinition',
        'Declassification',
        'ModelState',
        'ToolState',
        'RunState',
        'HumanState',
        'WaitState',
        'AgentState',
        'FinalState',
      ],
      approval: ['Escalation'],
      label: ['Label'],
    },
  ],
  [
    'Tools',
    {
      tool: ['Tool', 'ToolCall', 'Sink', 'Reconciled'],
      quota: ['Quota'],
      label: ['Label'],
      approval: ['Approval', 'Escalation'],
    },
  ],
] as const)('WRITING names every field under "%s", and its tables no other', (heading, types) => {
  const { section, words } = codeUnder(heading)
  const fields = Object.entries(types).flatMap(([file, names]: [string, readonly string[]]) =>
    names.flatMap((name) => {
      const found = fieldsOf(`src/core/${file}.ts`, name)
      expect([name, found.length > 0]).toEqual([name, true])
      return found
    }),
  )
  expect(fields.filter((field) => !words.has(field))).toEqual([])
  const rows = [...section.matchAll(/^\| (`[^|]*?) \|/gm)].flatMap(([, cell]) => cell!.match(/(?<=`)\w+/g) ?? [])
  expect(rows.filter((word) => !fields.includes(word))).toEqual([])
})

once('WRITING names every exit of the engine, and everything that a file may configure', () => {
  const { words } = codeUnder('States')
  expect(engineExits.filter((exit) => !words.has(exit))).toEqual([])
  const module = readFileSync(join(root, 'src/cli/module.ts'), 'utf8')
  const shapes = [...module.matchAll(/^ {2}(\w+): \['/gm)].map((match) => match[1]!)
  expect(shapes.length).toBeGreaterThan(5)
  const rows = [...codeUnder('What FILE exports').section.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1]!)
  expect(rows.sort()).toEqual(['agents', ...shapes, 'store'].sort())
})

once('the README names every command, and every document', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  expect(Object.keys(commands).length).toBeGreaterThan(15)
  const shell = readme.split('From the shell: ')[1]!.split('--help')[0]!
  expect(Object.keys(commands).filter((name) => !new RegExp(`[\`| ]${name}[\`| ]`).test(shell))).toEqual([])
  const documents = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  expect(documents.filter((name) => !readme.includes(`docs/${name}`))).toEqual([])
})

once('every command goes by the name that it is loaded by', async () => {
  for (const [name, load] of Object.entries(commands)) expect((await load())(() => undefined).name()).toBe(name)
})

once('the diagram of the incident example is what graph draws', async () => {
  const [, diagram] = /```mermaid\n([\s\S]*?)```/.exec(readFileSync(join(root, 'examples/incident/README.md'), 'utf8'))!
  const { stdout } = await signalbox(['graph', join(root, 'examples/incident/agent.ts')])
  expect(diagram!.trim()).toBe(stdout.trim())
})

once('every command of a document, and of the head of an example, runs on the Node of the project', () => {
  for (const file of [
    'README.md',
    ...['README.md', '503.ts', 'loop.ts', 'slow.ts'].map((name) => `examples/nights/${name}`),
  ]) {
    expect(readFileSync(join(root, file), 'utf8')).not.toMatch(/(?<!npx )\bnode examples\//)
  }
})

once('DATA names every event, every refusal and every class of failure', () => {
  const data = readFileSync(join(root, 'docs/DATA.md'), 'utf8')
  const events = readFileSync(join(root, 'src/core/event.ts'), 'utf8')
  const types = [...events.matchAll(/^ {2}'(\w+\.\w+)': \{/gm)].map((match) => match[1]!)
  const reasons = [...events.matchAll(/^ {2}\| '([\w-]+)'$/gm)].map((match) => match[1]!)
  const model = readFileSync(join(root, 'src/core/model.ts'), 'utf8')
  const classes = [
    ...model
      .split('type FailureClass')[1]!
      .split('\n\n')[0]!
      .matchAll(/'([\w-]+)'/g),
  ].map((match) => match[1]!)
  expect([types.length, reasons.length, classes.length].every((count) => count > 10)).toBe(true)
  expect([...types, ...reasons, ...classes].filter((name) => !data.includes(`\`${name}\``))).toEqual([])
})

once('every claim of SECURITY, and every promise of TESTING, names a test that is there', () => {
  for (const document of ['docs/SECURITY.md', 'docs/TESTING.md']) {
    const text = readFileSync(join(root, document), 'utf8')
    const claims = [...text.matchAll(/`(test\/[\w/.-]+\.ts)`((?:,? \*[^*]+\*)+)/g)].flatMap(([, file, names]) =>
      [...names!.matchAll(/\*([^*]+)\*/g)].map(([, name]) => ({ file: file!, name: name! })),
    )
    expect(claims.length).toBeGreaterThan(8)
    const missing = claims.filter(({ file, name }) => !readFileSync(join(root, file), 'utf8').includes(name))
    expect([document, missing]).toEqual([document, []])
  }
})

once('CHECK tells every problem that check may report, and no other, with its severity', () => {
  const table = [...readFileSync(join(root, 'docs/CHECK.md'), 'utf8').matchAll(/^\| `([A-Z_]+)`( \(warning\))? \|/gm)]
  const source = readFileSync(join(root, 'src/core/problem.ts'), 'utf8')
  const codes = [...source.matchAll(/^ {2}\| '([A-Z_]+)'$/gm)].map((match) => match[1]!)
  expect(codes.length).toBeGreaterThan(20)
  expect(table.map((match) => match[1]!).sort()).toEqual(codes.sort())
  for (const [, code, warning] of table) {
    expect(severityOf(code as ProblemCode), code).toBe(warning === undefined ? 'error' : 'warning')
  }
})

test('the recipe of DATA proves a log, and finds an edit', async () => {
  const [, recipe] = /```js\n([\s\S]*?)```/.exec(readFileSync(join(root, 'docs/DATA.md'), 'utf8'))!
  const script = join(inside(), 'prove.mjs')
  writeFileSync(script, recipe!)
  const store = await opened()
  await playHistory(store, 't', { hello: 'wörld' }, [4, 8, 15, 16, 23, 42, 99, 7, 3, 12, 31, 5, 77], ['v', { w: 1 }])
  const lines = (await store.readSealed('t')).map(({ data, ...event }) =>
    JSON.stringify({ ...event, data: JSON.parse(data) as unknown }),
  )
  const prove = (input: string): number | null => spawnSync(process.execPath, [script], { input }).status
  expect(lines.length).toBeGreaterThan(5)
  expect(prove(lines.join('\n'))).toBe(0)
  expect(prove(lines.with(3, lines[3]!.replace('"at":17', '"at":18')).join('\n'))).toBe(1)
})
