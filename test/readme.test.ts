// The README's example compiles as it stands.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { root } from './cli/signalbox.ts'

test('the example of the README compiles', () => {
  const [, code] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))!
  expect(code!.length).toBeGreaterThan(500)
  const folder = join(root, 'node_modules', '.readme')
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'example.ts'),
    `${code}\ndeclare function searchLog(pattern: string, signal: AbortSignal): Promise<string[]>\n`,
  )
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        module: 'nodenext',
        target: 'es2024',
        skipLibCheck: true,
        types: ['node'],
        paths: { signalbox: [join(root, 'dist/index.d.ts')] },
      },
      include: ['example.ts'],
    }),
  )
  const compile = (): string => execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
  expect(compile).not.toThrow()
})
