// The README's first command does what the README says, in the store that it makes and in one that it is given.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'vitest'
import { address, engine, test } from './engines.ts'
import { folder } from './folder.ts'
import { root } from './cli/signalbox.ts'

test(
  'npm run demo -- --yes: killed, resumed, approved, verified, in under a minute and without a network',
  { timeout: 60_000 },
  async () => {
    const { SIGNALBOX_BASE_URL: _url, ...env } = process.env
    const store = engine() === 'SQLite' ? [] : ['--store', await address()]
    const child = spawn(process.execPath, [join(root, 'examples/incident/demo.ts'), '--yes', ...store], {
      cwd: folder(),
      env,
    })
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += String(chunk)))
    const code = await new Promise((ended) => child.once('close', ended))
    expect(code, out).toBe(0)
    for (const line of [
      '--- SIGKILL to process',
      'A worker holds it, or died while it did: its lease ends in',
      'its worker went away; another takes over',
      // Whatever was under way is tried again: the model's turn, or a tool that had not answered yet.
      '(attempt 2)',
      'decided approve',
      'ended: resolved',
      'verified: 1 task,',
    ]) {
      expect(out).toContain(line)
    }
  },
)
