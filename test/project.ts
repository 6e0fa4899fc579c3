// A folder in which a user's module finds this package, as it was built, and zod.

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { folder } from './folder.ts'

const root = resolve(import.meta.dirname, '..')

/** Writes a module that may import `signalbox` and `zod`; answers with its path. */
export function moduleOf(text: string, name = 'agent.ts'): string {
  const path = folder()
  mkdirSync(join(path, 'node_modules'))
  symlinkSync(root, join(path, 'node_modules/signalbox'))
  symlinkSync(join(root, 'node_modules/zod'), join(path, 'node_modules/zod'))
  writeFileSync(join(path, name), text)
  return join(path, name)
}

/** A copy of a module of ours with something changed, which finds what the module imports. */
export function changed(file: string, ...changes: readonly (readonly [before: string, after: string])[]): string {
  const text = changes.reduce(
    (before, [from, to]) => {
      if (!before.includes(from)) throw new Error(`${file} does not say ${from}`)
      return before.replaceAll(from, to)
    },
    readFileSync(file, 'utf8'),
  )
  return moduleOf(text.replaceAll("from './", `from '${dirname(file)}/`))
}
