// The demo: the incident agent works over HTTP, its worker is killed in the middle, another goes on where it was, a
// human is asked, and the log is proved whole. `--yes` lets the demo answer for the human. With SIGNALBOX_BASE_URL and
// SIGNALBOX_MODEL in the environment a real model plays; otherwise the scripted one, and no key or network is needed.
//
// node demo.ts [--yes] [--store ADDRESS] [LOG]

import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'

const here = import.meta.dirname
const bin = resolve(here, '../../bin/signalbox.js')
const folder = resolve('.demo')
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { yes: { type: 'boolean', default: false }, store: { type: 'string' } },
})
const { yes } = flags
const [log = join(here, 'shop.log')] = positionals
const store = flags.store ?? `sqlite:${join(folder, 'signalbox.db')}`
// A store that is given may know demos of before.
const task = flags.store === undefined ? 'demo' : `demo-${Date.now().toString(36)}`
const children = new Set<ChildProcess>()

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder)
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))
process.exitCode = await demo().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown)
  return 1
})
for (const child of children) child.kill('SIGTERM')

async function demo(): Promise<number> {
  const env = process.env['SIGNALBOX_BASE_URL'] === undefined ? await startMock() : {}
  const input = {
    log: resolve(log),
    alert: 'Customers report trouble.',
    reportPath: join(folder, 'report.md'),
    ledgerPath: join(folder, 'ledger.jsonl'),
  }
  const run = ['run', join(here, 'agent.ts'), '--id', task, '--lease', '2s', '--store', store]

  title('A worker starts the task, and is killed with SIGKILL in the middle of it')
  const killed = await signalbox([...run, '--input', JSON.stringify(input)], env, (line) =>
    /count_matches →/.test(line),
  )
  if (killed.signal !== 'SIGKILL') throw new Error('The task came to rest before it could be killed.')

  title('Another worker goes on where the first one was (its lease runs out within 2 s)')
  const second = await signalbox([...run], env)
  if (second.code !== 3) return second.code ?? 1

  title('A human is asked')
  const items = (await signalbox(['inbox', '--store', store, '--json'], env)).stdout.trim().split('\n')
  const { item, question, show, hash } = items
    .map((line) => JSON.parse(line) as { taskId: string; item: string; question: string; show: object; hash: string })
    .find(({ taskId }) => taskId === task)!
  console.log(`\n${question}\n${JSON.stringify(show, null, 2)}\n`)
  const decision = yes ? 'approve' : await askHuman('Do you agree?')
  if (decision === undefined) {
    console.log(
      `Nobody is here to decide (add --yes). The task waits:\n  npx signalbox answer ${item} --decision approve --by YOU --reason WHY --store ${store}`,
    )
    return 3
  }
  await signalbox(
    [
      'answer',
      item,
      '--decision',
      decision,
      '--by',
      yes ? 'demo --yes' : 'you',
      '--reason',
      'seen in the demo',
      '--hash',
      hash,
      '--store',
      store,
    ],
    env,
  )

  title('The task goes on to its end')
  const third = await signalbox(run, env)

  title('The whole timeline, from the log')
  await signalbox(['log', task, '--store', store], env, undefined, true)

  title('The log is proved whole')
  const verified = await signalbox(['verify', '--store', store], env)
  console.log(
    `\nThe ledger outside:\n${read('ledger.jsonl')}\nThe report: ${join(folder, 'report.md')}\nThe store:  ${store}`,
  )
  return third.code === 0 ? (verified.code ?? 1) : (third.code ?? 1)
}

/** Starts the scripted model behind HTTP; answers with the environment that points at it. */
async function startMock(): Promise<Record<string, string>> {
  const child = start(['mock-model', join(here, 'script.ts'), '--json', '--for', '5m'], {})
  const [line] = (
    await new Promise<string>((ready, fail) => {
      child.stdout!.once('data', (chunk: Buffer) => ready(String(chunk)))
      child.once('exit', () => fail(new Error('The mock model did not start.')))
    })
  ).split('\n')
  return { SIGNALBOX_BASE_URL: (JSON.parse(line!) as { url: string }).url, SIGNALBOX_MODEL: 'mock' }
}

function start(args: readonly string[], env: Record<string, string>): ChildProcess {
  const child = spawn(process.execPath, [bin, ...args], { env: { ...process.env, FORCE_COLOR: '0', ...env } })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
}

/** Runs a command line to its end, showing what it tells; kills it with SIGKILL at the first line that `killAt` wants. */
function signalbox(
  args: readonly string[],
  env: Record<string, string>,
  killAt?: (line: string) => boolean,
  showOutput = false,
): Promise<Ended> {
  console.log(`$ signalbox ${args.map((word) => (/^[\w./:@=-]+$/.test(word) ? word : `'${word}'`)).join(' ')}`)
  const child = start(args, env)
  let stdout = ''
  child.stdout!.on('data', (chunk: Buffer) => {
    stdout += String(chunk)
    if (showOutput) process.stdout.write(chunk)
  })
  createLines(child.stderr!, (line) => {
    console.log(line)
    if (killAt?.(line) && child.signalCode === null) {
      child.kill('SIGKILL')
      console.log(`--- SIGKILL to process ${child.pid}`)
    }
  })
  return new Promise((ended) => child.once('close', (code, signal) => ended({ code, signal, stdout })))
}

function createLines(stream: NodeJS.ReadableStream, each: (line: string) => void): void {
  let rest = ''
  stream.on('data', (chunk: Buffer) => {
    const parts = (rest + String(chunk)).split('\n')
    rest = parts.pop()!
    for (const part of parts) each(part)
  })
}

async function askHuman(question: string): Promise<string | undefined> {
  if (!process.stdin.isTTY) return undefined
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const said = await terminal.question(`${question} [y/N] `)
  terminal.close()
  return /^y(es)?$/i.test(said.trim()) ? 'approve' : 'reject'
}

function title(text: string): void {
  console.log(`\n=== ${text}`)
}

function read(name: string): string {
  try {
    return readFileSync(join(folder, name), 'utf8')
  } catch {
    return '(empty)\n'
  }
}
