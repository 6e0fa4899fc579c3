// The documents say what the code says: the README's example compiles, DATA names every event, and its recipe proves a
// real log.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { severityOf, type ProblemCode } from '../src/core/problem.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { root } from './cli/signalbox.ts'
import { folder } from './folder.ts'
import { playHistory } from './store/history.ts'

/** A folder inside the project, so that what is written there finds the project's packages. */
function inside(): string {
  const path = join(root, 'node_modules', '.docs')
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  mkdirSync(path, { recursive: true })
  return path
}

test('the example of the README compiles', () => {
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

test('DATA names every event, every refusal and every class of failure', () => {
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

test('every claim of SECURITY, and every promise of ARCHITECTURE, names a test that is there', () => {
  for (const document of ['docs/SECURITY.md', 'docs/ARCHITECTURE.md']) {
    const text = readFileSync(join(root, document), 'utf8')
    const claims = [...text.matchAll(/`(test\/[\w/.-]+\.ts)`((?:,? \*[^*]+\*)+)/g)].flatMap(([, file, names]) =>
      [...names!.matchAll(/\*([^*]+)\*/g)].map(([, name]) => ({ file: file!, name: name! })),
    )
    expect(claims.length).toBeGreaterThan(8)
    const missing = claims.filter(({ file, name }) => !readFileSync(join(root, file), 'utf8').includes(name))
    expect([document, missing]).toEqual([document, []])
  }
})

test('CHECK tells every problem that check may report, and no other, with its severity', () => {
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
  const store = await openSqlite(join(folder(), 'store.db'))
  onTestFinished(() => store.close())
  await playHistory(store, 't', { hello: 'wörld' }, [4, 8, 15, 16, 23, 42, 99, 7, 3, 12, 31, 5, 77], ['v', { w: 1 }])
  const lines = (await store.readSealed('t')).map(({ data, ...event }) =>
    JSON.stringify({ ...event, data: JSON.parse(data) as unknown }),
  )
  const prove = (input: string): number | null => spawnSync(process.execPath, [script], { input }).status
  expect(lines.length).toBeGreaterThan(5)
  expect(prove(lines.join('\n'))).toBe(0)
  expect(prove(lines.with(3, lines[3]!.replace('"at":17', '"at":18')).join('\n'))).toBe(1)
})
