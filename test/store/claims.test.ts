// SCENARIOS A43: two processes claim from one store at the same time, each task to one of them only.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { expect } from 'vitest'
import { start } from '../../src/core/start.ts'
import { genesis } from '../../src/store/log.ts'
import { whole } from '../campaign.ts'
import { address, engine, opened, test } from '../engines.ts'
import { machine } from './history.ts'

// A claim takes a server ten times as long as a file.
const claimsOn = { SQLite: 10_000, PostgreSQL: whole ? 10_000 : 2_000 }

test(
  'A43: of thousands of simultaneous claims of two processes each has one winner',
  { timeout: 120_000 },
  async () => {
    const at = await address()
    const store = await opened(at)
    const ids = Array.from({ length: claimsOn[engine()] }, (_, number) => `t${number}`)
    await Promise.all(
      ids.map((taskId) => {
        const { events, task } = start(
          machine,
          { taskId, definition: 'd', input: { goal: 1 }, by: 'test', seed: 1 },
          1_000,
        )
        return store.commit({ point: 'start', head: genesis, events, task })
      }),
    )
    const claimants = ['one', 'two'].map((name) =>
      spawn(process.execPath, [join(import.meta.dirname, 'claimant.ts'), at, name]),
    )
    await Promise.all(claimants.map((child) => new Promise((ready) => child.stdout.once('data', ready))))
    const told = claimants.map(async (child) => {
      let text = ''
      child.stdout.on('data', (chunk: Buffer) => (text += String(chunk)))
      child.stdin.write('go\n')
      await new Promise((ended) => child.once('close', ended))
      return JSON.parse(text) as string[]
    })
    const [one, two] = await Promise.all(told)
    expect(one!.length).toBeGreaterThan(ids.length / 20)
    expect(two!.length).toBeGreaterThan(ids.length / 20)
    expect([...one!, ...two!].sort()).toEqual(ids.sort())
    console.log(`A43: ${one!.length} and ${two!.length} claims`)
    await store.close()
  },
)
