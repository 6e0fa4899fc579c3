// A real PostgreSQL server for tests: a database of its own for whoever needs one, and a server of its own for whoever
// wants to stop or kill it. The server of the run is started when the first test asks (test/postgres/setup.ts).

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { inject } from 'vitest'
import { atEnd } from './end.ts'
import { admin } from './postgres/admin.ts'
import { createServer, type Server } from './postgres/server.ts'

export { admin }

let asked: Promise<string> | undefined

/** The address of the server of this run, as its superuser. Nobody may stop it: others are on it. */
export function serverUrl(): Promise<string> {
  asked ??= ask('server')
  return asked
}

async function ask(what: 'server' | 'template'): Promise<string> {
  const answer = await fetch(`${inject('postgres').door}/${what}`, { headers: { connection: 'close' } })
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text
}

/** A fresh and empty database; gives its address. It is gone when the test ends, or the run where no test has begun or it is `lasting`. */
export async function testDatabase({ lasting = false }: { readonly lasting?: boolean } = {}): Promise<string> {
  const name = inject('postgres').prefix + randomBytes(6).toString('hex')
  if (!lasting) atEnd(async () => admin(await serverUrl(), `drop database if exists "${name}" with (force)`))
  const url = new URL(await serverUrl())
  await admin(url.href, `create database "${name}" template template0`)
  url.pathname = name
  return url.href
}

/** A server nobody else is on, running; it is gone when the test ends, or the run where no test has begun. */
export async function ownServer(): Promise<Server> {
  const { folder } = inject('postgres')
  let server: Server | undefined
  atEnd(() => server?.remove())
  server = await createServer(join(folder, randomBytes(6).toString('hex')), await ask('template'))
  return server
}
