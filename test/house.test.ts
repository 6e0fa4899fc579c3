// The plan of the house, held against the code: which room may know which, what the core must not do, and that every
// public name says what it is.

import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const sources = files('src').map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))

function files(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort()
}

/** What a file imports: files of ours as paths, packages by name. */
function imports({ path, text }: { path: string; text: string }): string[] {
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!)
  return found.map((name) => (name.startsWith('.') ? posix.join(posix.dirname(path), name) : name))
}

/** The room a file is in: a folder of src, or the file itself where it stands alone. */
function room(path: string): string {
  const [, first, second] = path.split('/')
  return second === undefined ? first!.replace('.ts', '') : first!
}

// Arrows point down only: each room may import itself and the rooms named here.
const below: Readonly<Record<string, readonly string[]>> = {
  core: [],
  graph: ['core'],
  runtime: [],
  store: ['core', 'runtime'],
  providers: ['core'],
  egress: ['core'],
  secrets: ['core'],
  perform: ['egress', 'secrets', 'providers', 'core', 'runtime'],
  gates: ['store', 'core'],
  anchors: ['store', 'core'],
  copy: ['store', 'core'],
  alarm: ['runtime'],
  door: ['store', 'runtime', 'core'],
  clock: ['store', 'runtime'],
  cron: ['core'],
  follow: ['alarm', 'store', 'runtime', 'core'],
  scheduler: ['cron', 'door', 'alarm', 'store', 'core'],
  patience: ['runtime', 'core'],
  session: ['patience', 'perform', 'gates', 'door', 'store', 'runtime', 'core'],
  worker: ['session', 'patience', 'perform', 'gates', 'alarm', 'store', 'core'],
  health: ['worker', 'core'],
  presence: ['worker', 'store', 'runtime'],
  migrator: ['door', 'alarm', 'store', 'core'],
  notifier: ['door', 'alarm', 'providers', 'store', 'core'],
  outfit: ['secrets', 'providers', 'store', 'core'],
  view: ['store', 'core'],
  requests: ['outfit', 'view', 'cron', 'door', 'anchors', 'store', 'core'],
  orchestrator: [
    'requests',
    'outfit',
    'view',
    'follow',
    'migrator',
    'notifier',
    'scheduler',
    'clock',
    'presence',
    'worker',
    'door',
    'anchors',
    'perform',
    'secrets',
    'store',
    'runtime',
    'core',
  ],
  'virtual-clock': ['store', 'runtime', 'core'],
  rehearse: ['orchestrator', 'view', 'virtual-clock', 'core'],
  redteam: ['orchestrator', 'outfit', 'virtual-clock', 'providers', 'store', 'runtime', 'core'],
  testing: ['redteam', 'orchestrator', 'outfit', 'view', 'virtual-clock', 'providers', 'store', 'runtime', 'core'],
  index: [
    'rehearse',
    'orchestrator',
    'requests',
    'outfit',
    'view',
    'follow',
    'notifier',
    'worker',
    'secrets',
    'graph',
    'providers',
    'store',
    'runtime',
    'core',
  ],
  cli: [
    'redteam',
    'orchestrator',
    'requests',
    'presence',
    'copy',
    'outfit',
    'view',
    'health',
    'secrets',
    'graph',
    'providers',
    'store',
    'runtime',
    'core',
  ],
}

test('every room has its place in the plan', () => {
  expect([...new Set(sources.map(({ path }) => room(path)))].sort()).toEqual(Object.keys(below).sort())
})

test('imports point down only', () => {
  const wrong = sources.flatMap((source) =>
    imports(source)
      .filter((name) => name.startsWith('src/'))
      .filter((name) => room(name) !== room(source.path) && !below[room(source.path)]!.includes(room(name)))
      .map((name) => `${source.path} → ${name}`),
  )
  expect(wrong).toEqual([])
})

test('no file imports in a circle', () => {
  const next = new Map(
    sources.map((source) => [
      source.path,
      imports({ ...source, text: source.text.replaceAll(/import type [^;]*?from '[^']+'/gs, '') }).filter((name) =>
        name.startsWith('src/'),
      ),
    ]),
  )
  const circles: string[] = []
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) circles.push([...trail.slice(trail.indexOf(path)), path].join(' → '))
    else if (trail.length < 20) for (const name of next.get(path) ?? []) visit(name, [...trail, path])
  }
  for (const path of next.keys()) visit(path, [])
  expect([...new Set(circles)]).toEqual([])
})

test('the core is pure: no clock, no dice, no I/O, no waiting, and no package but types', () => {
  const forbidden =
    /\b(Date\.now|new Date\(\)|performance\.|Math\.random|crypto\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|console\.|fetch\(|async |await )|\bnew Promise\b/
  const core = sources.filter(({ path }) => path.startsWith('src/core/'))
  const wrong = core.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        forbidden.test(line.replaceAll(/'[^']*'|`[^`]*`|\/\/.*|^\s*\*.*|\/\*\*.*/g, ''))
          ? [`${path}:${index + 1} ${line.trim()}`]
          : [],
      ),
  )
  expect(wrong).toEqual([])
  const packages = core.flatMap((source) => imports(source).filter((name) => !name.startsWith('src/core/')))
  // `tokenx` is arithmetic over a text.
  expect([...new Set(packages)].sort()).toEqual(['@standard-schema/spec', 'tokenx'])
  expect(core.find(({ path }) => path.endsWith('schema.ts'))!.text).toContain(
    "import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'",
  )
})

test('only the runtime reads a clock or rolls dice in the shell', () => {
  const shell = sources.filter(({ path }) => /^src\/(worker|orchestrator|scheduler|cron|perform|store\/)/.test(path))
  const wrong = shell.flatMap(({ path, text }) => (/\b(new Date\(\)|Math\.random)/.test(text) ? [path] : []))
  expect(wrong).toEqual([])
})

test('every file opens with a paragraph for a stranger', () => {
  expect(sources.filter(({ text }) => !/^\/\/ [\w`]/.test(text)).map(({ path }) => path)).toEqual([])
})

test('every exported name says what it is', () => {
  const bare = sources
    .filter(({ path }) => path !== 'src/index.ts' && !path.startsWith('src/cli/'))
    .flatMap(({ path, text }) => {
      const lines = text.split('\n')
      return lines.flatMap((line, index) => {
        const name = /^export (?:async )?(?:function\*?|const|class|interface|type) (\w+)/.exec(line)?.[1]
        return name !== undefined && !/\*\/\s*$/.test(lines[index - 1] ?? '') ? [`${path}: ${name}`] : []
      })
    })
  expect(bare).toEqual([])
})

test('no room is called utils, common, base, helpers or manager', () => {
  expect(
    sources.filter(({ path }) => /(utils?|common|base|helpers?|manager)\.ts$/.test(path)).map(({ path }) => path),
  ).toEqual([])
})
