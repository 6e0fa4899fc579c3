// Decides once for a run where PostgreSQL is: the server that SIGNALBOX_TEST_POSTGRES names, or one of its own. Its own is
// made only when the first test asks, at a door that the tests are told of; a run that does not ask pays nothing for it.
// Whatever way the run ends, a guard ends all servers that were started in the folder of the run, and removes it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer as createDoor } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { admin } from './admin.ts'
import { createServer, initialise, makeFolder } from './server.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where a test asks for a server or for the template of one, the folder for its own, and how its databases begin. */
    postgres: { door: string; folder: string; prefix: string }
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env.SIGNALBOX_TEST_POSTGRES || undefined
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-postgres-'))
  const prefix = `test_${basename(folder).slice(-6).toLowerCase()}_`
  const guard = spawn('sh', [join(import.meta.dirname, 'guard.sh'), folder], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  guard.unref()
  ;(guard.stdin as Socket).unref()

  let template: Promise<string> | undefined
  let server: Promise<string> | undefined
  const askTemplate = (): Promise<string> => (template ??= prepare(folder))
  const askServer = (): Promise<string> =>
    (server ??= given === undefined ? askTemplate().then((path) => begin(folder, path)) : Promise.resolve(given))
  const door = createDoor((request, response) => {
    const answer = request.url === '/template' ? askTemplate() : askServer()
    answer.then(
      (text) => response.end(text),
      (error: Error) => response.writeHead(500).end(error.message),
    )
  })
  door.listen(0, '127.0.0.1').unref()
  await once(door, 'listening')
  const { port } = door.address() as AddressInfo
  project.provide('postgres', { door: `http://127.0.0.1:${port}`, folder, prefix })

  return async () => {
    door.close()
    try {
      if (given !== undefined) await dropAll(given, prefix)
    } finally {
      guard.ref()
      const gone = once(guard, 'exit')
      guard.stdin.end()
      await gone
    }
  }
}

async function prepare(folder: string): Promise<string> {
  makeFolder(folder)
  await initialise(join(folder, 'template'))
  return join(folder, 'template')
}

async function begin(folder: string, template: string): Promise<string> {
  return (await createServer(join(folder, 'shared'), template)).url
}

/** What is left on a server that goes on without us. */
async function dropAll(url: string, prefix: string): Promise<void> {
  const rows = await admin(url, `select datname from pg_database where starts_with(datname, '${prefix}')`)
  for (const { datname } of rows) await admin(url, `drop database if exists "${String(datname)}" with (force)`)
}
