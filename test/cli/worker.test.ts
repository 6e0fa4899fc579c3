// A worker as a process: which queues it works on, how it tells how it is, and how it ends when it is told to.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createOrchestrator } from 'signalbox'
import { expect, onTestFinished, test } from 'vitest'
import { folder } from '../folder.ts'
import { until } from '../until.ts'
import { root, signalbox, start } from './signalbox.ts'

const file = join(root, 'test/cli/waiting.ts')
// As the worker loads it. What is imported here has another text, and with it another definition.
const { deaf, drawing, heeding } = createRequire(import.meta.url)(file) as typeof import('./waiting.ts')

/** A folder with a store in it, and somebody who starts tasks and does no work. */
async function place() {
  const cwd = folder()
  const store = `sqlite:${join(cwd, 'signalbox.db')}`
  const box = await createOrchestrator({ store, agents: [heeding, deaf, drawing], work: false })
  onTestFinished(() => box.stop())
  const did = (): string[] =>
    readdirSync(cwd).includes('did') ? readFileSync(join(cwd, 'did'), 'utf8').trim().split('\n') : []
  /** A worker that has begun. */
  const work = async (...flags: readonly string[]) => {
    const worker = start(['worker', file, '--json', ...flags], { cwd })
    const told = JSON.parse(await worker.said('"started"')) as { agents: string[]; queues?: string[]; health?: string }
    return { ...worker, told }
  }
  const go = (): void => writeFileSync(join(cwd, 'go'), '')
  const typesOf = async (id: string) => (await box.store.read(id)).map(({ type }) => type)
  return { cwd, box, did, work, go, typesOf }
}

const ask = async (url: string): Promise<[number, string]> => {
  const response = await fetch(url)
  return [response.status, ((await response.json()) as { status: string }).status]
}

test('two workers of different queues each take only their own', async () => {
  const { box, did, work, go } = await place()
  const gpu = await work('--queues', 'gpu')
  expect([gpu.told.agents, gpu.told.queues]).toEqual([['drawing'], ['gpu']])
  const first = await box.start(heeding, {})
  const drawn = await box.start(drawing, {})
  go()
  await drawn.result()
  await new Promise((wake) => setTimeout(wake, 500))
  expect(did()).toEqual(['drawing begun', 'drawing ended'])
  const other = await work('--queues', ' default')
  expect((await first.result()).outcome).toBe('done')
  const second = await box.start(drawing, {})
  gpu.child.kill('SIGTERM')
  expect((await gpu.ended).code).toBe(0)
  // Taken by the one before it ended, or waiting for another; never by a worker of another queue.
  other.child.kill('SIGTERM')
  expect((await other.ended).code).toBe(0)
  await work('--queues', 'gpu,default')
  expect((await second.result()).outcome).toBe('done')
  expect((await box.verify()).findings).toEqual([])
})

test('SIGTERM while a step runs: not ready at once, alive until the step has ended, then an end with 0', async () => {
  const { box, did, work, go } = await place()
  const worker = await work('--health', '0', '--drain', '1m')
  const { health } = worker.told
  expect(health).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  expect(await worker.said('/readyz')).toContain(`${health}/healthz`)
  await until(async () => (await ask(`${health}/readyz`))[0] === 200)
  const task = await box.start(heeding, {})
  await until(() => did().length === 1)
  expect([await ask(`${health}/readyz`), await ask(`${health}/healthz`)]).toEqual([
    [200, 'ready'],
    [200, 'alive'],
  ])

  worker.child.kill('SIGTERM')
  await worker.said('Drains')
  expect([await ask(`${health}/readyz`), await ask(`${health}/healthz`)]).toEqual([
    [503, 'draining'],
    [200, 'alive'],
  ])
  // Somebody who connects and says nothing is not waited for.
  const idle = connect(Number(new URL(health!).port), '127.0.0.1')
  idle.on('error', () => undefined)
  await new Promise((open) => idle.once('connect', open))
  expect(did()).toEqual(['heeding begun'])
  go()
  const ended = await worker.ended
  expect([ended.code, ended.json.at(-1)]).toEqual([0, { event: 'stopped', pid: worker.child.pid }])
  expect(did()).toEqual(['heeding begun', 'heeding ended'])
  await expect(fetch(`${health}/healthz`)).rejects.toThrow('fetch failed')
  // What came of the step was kept, and nobody does it again.
  await work()
  expect((await task.result()).outcome).toBe('done')
  expect(did().length).toBe(2)
})

test.each([heeding, deaf])(
  'a step that is still at work when the drain is over is called off ($name), and another worker takes over at once',
  async (agent) => {
    const { box, did, work, go, typesOf } = await place()
    const worker = await work('--drain', '300ms', '--lease', '10m')
    const task = await box.start(agent, {}, { id: 't' })
    await until(() => did().length === 1)
    worker.child.kill('SIGTERM')
    const ended = await worker.ended
    expect([ended.code, ended.json.at(-1).event]).toEqual([0, 'stopped'])
    expect(ended.stderr.includes('It is not waited for.')).toBe(agent === deaf)
    expect(await typesOf('t')).not.toContain('step.lost')
    go()
    await work()
    expect((await task.result()).outcome).toBe('done')
    expect(did()).toEqual([`${agent.name} begun`, `${agent.name} begun`, `${agent.name} ended`])
    expect(await typesOf('t')).toContain('step.lost')
    expect((await box.verify()).findings).toEqual([])
  },
)

test('a second signal ends a worker on the spot with 130, and what it held is taken over when its lease runs out', async () => {
  const { box, did, work, go } = await place()
  const worker = await work('--drain', '1m', '--lease', '500ms')
  const task = await box.start(heeding, {}, { id: 't' })
  await until(() => did().length === 1)
  worker.child.kill('SIGTERM')
  await worker.said('Drains')
  worker.child.kill('SIGINT')
  const ended = await worker.ended
  expect([ended.code, ended.stdout.includes('stopped')]).toEqual([130, false])
  go()
  await work()
  expect((await task.result()).outcome).toBe('done')
  expect((await box.verify()).findings).toEqual([])
})

test.each<[string, readonly string[], number, string]>([
  ['a queue that no agent has', ['--queues', 'gpu,cpu'], 2, 'CONFIG_INVALID No agent\'s tasks wait in the queue "cpu"'],
  ['a queue without a name', ['--queues', 'gpu,'], 2, 'FLAG_INVALID --queues is "gpu,"'],
  ['a port that is none', ['--health', '65536'], 2, 'FLAG_INVALID --health'],
  ['a host without a port', ['--health', 'localhost'], 2, 'FLAG_INVALID --health'],
  ['an address in bare colons', ['--health', '::1:80'], 2, 'FLAG_INVALID --health'],
  ['a host that is not here', ['--health', '192.0.2.1:0'], 2, 'CONFIG_INVALID Port 0 of 192.0.2.1 cannot be had'],
])('%s gets one clear error, and no store is made', async (_, flags, code, says) => {
  const cwd = folder()
  const ran = await signalbox(['worker', file, ...flags], { cwd })
  expect(ran.stderr).toContain(says)
  expect([ran.code, ran.stdout, readdirSync(cwd)]).toEqual([code, '', []])
})

test('a port that is taken ends a worker before it takes anything', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void taken.close())
  await new Promise((ready) => taken.once('listening', ready))
  const { port } = taken.address() as AddressInfo
  const cwd = folder()
  const ran = await signalbox(['worker', file, '--json', '--health', `127.0.0.1:${port}`], { cwd })
  expect([ran.code, ran.json[0].error.code, readdirSync(cwd)]).toEqual([1, 'PORT_TAKEN', []])
})

test('check and graph take an agent with a queue', async () => {
  const checked = await signalbox(['check', file, '--json'])
  expect([checked.code, checked.json[0].ok]).toEqual([0, true])
  expect((await signalbox(['graph', file, '--agent', 'drawing'])).stdout).toContain('title: drawing v1')
})
