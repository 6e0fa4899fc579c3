// Runs the command line as a user would: the built program, in a process of its own.

import { spawn, type ChildProcess } from 'node:child_process'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import { address, engine } from '../engines.ts'
import { folder } from '../folder.ts'

export const root = resolve(import.meta.dirname, '../..')
const bin = resolve(root, 'bin/signalbox.js')

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  /** The lines of stdout as JSON. */
  readonly json: any[]
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ran>
  /** Fulfilled when a line of stdout or stderr holds the text. */
  said(text: string): Promise<string>
}

const stores = new Map<string, string>()
/** What has no `--store`, or only together with something else. */
const storeless = new Set(['check', 'graph', 'keygen', 'mock-model', 'redteam'])

/** A folder to work in. Where a command names no store it is the one of the folder, in the engine whose turn it is. */
export async function workplace(): Promise<string> {
  const cwd = folder()
  if (engine() !== 'SQLite') stores.set(cwd, await address())
  return cwd
}

/** The address of the store of a folder. */
export function storeOf(cwd: string): string {
  return stores.get(cwd) ?? `sqlite:${join(cwd, 'signalbox.db')}`
}

function storeFor(args: readonly string[], cwd: string | undefined): readonly string[] {
  const store = cwd === undefined ? undefined : stores.get(cwd)
  const [name = ''] = args
  const isPlain = name === '' || name.startsWith('-') || storeless.has(name) || args.includes('--store')
  return store === undefined || isPlain ? [] : ['--store', store]
}

export function start(
  args: readonly string[],
  { cwd, env = {} }: { cwd?: string; env?: Record<string, string> } = {},
): Running {
  const { SIGNALBOX_BASE_URL: _url, SIGNALBOX_MODEL: _model, ...own } = process.env
  const child = spawn(process.execPath, [bin, ...args, ...storeFor(args, cwd)], {
    cwd,
    env: { ...own, NO_COLOR: '1', ...env },
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), 50_000)
  onTestFinished(() => void child.kill('SIGKILL'))
  let [stdout, stderr] = ['', '']
  const listeners = new Set<() => void>()
  const hear = (): void => listeners.forEach((listener) => listener())
  child.stdout.on('data', (chunk: Buffer) => ((stdout += String(chunk)), hear()))
  child.stderr.on('data', (chunk: Buffer) => ((stderr += String(chunk)), hear()))
  const ended = new Promise<Ran>((done) =>
    child.once('close', (code) => {
      clearTimeout(timer)
      hear()
      const json = stdout.split('\n').flatMap((line) => {
        try {
          return [JSON.parse(line) as unknown]
        } catch {
          return []
        }
      })
      done({ code, stdout, stderr, json })
    }),
  )
  const said = (text: string): Promise<string> =>
    new Promise((found, lost) => {
      const look = (): void => {
        const line = `${stdout}\n${stderr}`.split('\n').find((candidate) => candidate.includes(text))
        if (line !== undefined) found(line)
        else if (child.exitCode !== null) lost(new Error(`It ended without saying ${text}:\n${stderr}`))
        else return
        listeners.delete(look)
      }
      listeners.add(look)
      look()
    })
  return { child, ended, said }
}

export function signalbox(args: readonly string[], options?: Parameters<typeof start>[1]): Promise<Ran> {
  return start(args, options).ended
}

/** Starts the mock model behind HTTP; answers with the environment that points at it. */
export async function mockModel(script: string): Promise<Record<string, string>> {
  const { said } = start(['mock-model', script, '--json', '--for', '2m'])
  const { url } = JSON.parse(await said('{"url"')) as { url: string }
  return { SIGNALBOX_BASE_URL: url, SIGNALBOX_MODEL: 'mock' }
}
