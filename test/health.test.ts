// How a worker is, told over a real socket: by values, and of a worker whose store goes away and comes back.

import { request } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { Fault } from '../src/core/fault.ts'
import { startHealth } from '../src/health.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { systemRuntime } from '../src/runtime.ts'
import { openSqlite } from '../src/store/sqlite/engine.ts'
import type { ClaimRequest } from '../src/store/store.ts'
import type { Pulse } from '../src/worker.ts'
import { folder } from './folder.ts'
import { until } from './until.ts'

const well: Pulse = { alive: true, draining: false, silentMs: 100, leaseMs: 10_000, held: 0 }

async function serve(pulse: () => Pulse | undefined) {
  const health = await startHealth({ host: '127.0.0.1', port: 0 }, pulse)
  onTestFinished(() => health.close())
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`${health.url}${path}`, { method })
    const text = await response.text()
    return { code: response.status, headers: response.headers, ...(text === '' ? {} : (JSON.parse(text) as object)) }
  }
  return { ...health, ask }
}

test.each<[string, Pulse | undefined, number, string, number, string]>([
  ['that is well', well, 200, 'alive', 200, 'ready'],
  ['that is not there yet', undefined, 200, 'alive', 503, 'starting'],
  ['whose store has not answered yet', { ...well, silentMs: null }, 200, 'alive', 503, 'starting'],
  ['whose store is silent as long as may be', { ...well, silentMs: 10_000 }, 200, 'alive', 200, 'ready'],
  ['whose store is silent', { ...well, silentMs: 10_001 }, 200, 'alive', 503, 'silent'],
  ['of a short lease that waits to ask again', { ...well, leaseMs: 300, silentMs: 5_000 }, 200, 'alive', 200, 'ready'],
  ['of a short lease whose store is silent', { ...well, leaseMs: 300, silentMs: 5_001 }, 200, 'alive', 503, 'silent'],
  ['that drains', { ...well, draining: true, held: 2 }, 200, 'alive', 503, 'draining'],
  ['that has stopped by itself', { ...well, alive: false }, 503, 'dead', 503, 'dead'],
])('a worker %s', async (_, pulse, liveCode, liveStatus, readyCode, readyStatus) => {
  const { ask } = await serve(() => pulse)
  for (const [path, code, status] of [
    ['/healthz', liveCode, liveStatus],
    ['/readyz?verbose', readyCode, readyStatus],
  ] as const) {
    const answer = await ask(path)
    expect(answer).toMatchObject({ code, status })
    expect('why' in answer).toBe(code === 503)
    expect(answer.headers.get('content-type')).toBe('application/json')
  }
})

test('there is nothing else to be asked, and nothing to be told', async () => {
  const { ask, url } = await serve(() => well)
  for (const path of ['/', '/metrics', '/healthz/', '/toString', '/__proto__']) {
    expect(await ask(path)).toMatchObject({ code: 404, status: 'unknown' })
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD']) {
    const answer = await ask('/readyz', method)
    expect([answer.code, answer.headers.get('allow')]).toEqual([405, 'GET'])
  }
  const { port } = new URL(url)
  const raw = connect(Number(port), '127.0.0.1')
  raw.end('nonsense\r\n\r\n')
  const said = await new Promise<string>((heard) => raw.once('data', (chunk) => heard(String(chunk))))
  expect(said).toMatch(/^HTTP\/1\.1 400 /)
  expect(await ask('/healthz')).toMatchObject({ code: 200 })
})

test('a connection that says nothing does not keep the server from its end, and the port is free then', async () => {
  const health = await startHealth({ host: '::1', port: 0 }, () => well)
  expect(health.url).toMatch(/^http:\/\/\[::1\]:\d+$/)
  const port = Number(new URL(health.url).port)
  const idle = connect(port, '::1')
  await new Promise((open) => idle.once('connect', open))
  const closed = new Promise((gone) => idle.once('close', gone))
  idle.on('error', () => undefined)
  await health.close()
  await closed
  const failed = await new Promise<unknown>((told) => request({ host: '::1', port }).once('error', told).end())
  expect(failed).toMatchObject({ code: 'ECONNREFUSED' })
})

test('a port that is taken, and a host that is not here, are said', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void taken.close())
  await new Promise((ready) => taken.once('listening', ready))
  const { port } = taken.address() as AddressInfo
  const start = (host: string, at: number) => startHealth({ host, port: at }, () => well)
  await expect(start('127.0.0.1', port)).rejects.toMatchObject({
    code: 'PORT_TAKEN',
    message: expect.stringContaining(`Port ${port} of 127.0.0.1 cannot be had (EADDRINUSE).`),
  })
  await expect(start('192.0.2.1', 0)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
})

test('the pulse of a worker grows old while its store is away, and is young again when that is back', async () => {
  const seller = defineAgent({
    name: 'seller',
    version: '1',
    context: defineContext({}),
    initial: 'sell',
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      sell: { run: () => new Promise<string>((sold) => (sell = () => sold('SOLD'))), on: { SOLD: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
  let sell: (() => void) | undefined
  let lateMs = 0
  const runtime = { ...systemRuntime, now: () => systemRuntime.now() + lateMs }
  const store = await openSqlite(join(folder(), 'store.db'))
  let away = false
  const claim = store.claim.bind(store)
  store.claim = (asked: ClaimRequest) =>
    away ? Promise.reject(new Fault('STORE_LOCKED', 'It is away.', 'Wait.')) : claim(asked)
  const box = await createOrchestrator({ store, agents: [seller], env: {}, runtime, onFault: () => undefined })
  onTestFinished(async () => {
    await box.stop(100)
    await store.close()
  })
  const { ask } = await serve(() => box.pulse())
  const isReady = async () => (await ask('/readyz')).code === 200
  await until(isReady)
  away = true
  await new Promise((wake) => setTimeout(wake, 300))
  lateMs = 20_000
  expect(await ask('/readyz')).toMatchObject({ code: 503, status: 'silent' })
  expect(await ask('/healthz')).toMatchObject({ code: 200 })
  away = false
  await until(isReady)

  await box.start(seller, {})
  await until(() => sell !== undefined)
  expect(box.pulse()).toMatchObject({ alive: true, draining: false, held: 1, leaseMs: 10_000 })
  const drained = box.drain()
  expect(await ask('/readyz')).toMatchObject({ code: 503, status: 'draining' })
  expect(await ask('/healthz')).toMatchObject({ code: 200, status: 'alive' })
  sell!()
  await drained
  expect(box.pulse()).toMatchObject({ alive: true, draining: true, held: 0 })

  const bare = await createOrchestrator({ store, work: false })
  expect(bare.pulse()).toBe(undefined)
})

test('a worker with its hands full is heard by the leases that it renews', async () => {
  let open = (): void => undefined
  const gate = new Promise<void>((opened) => (open = opened))
  const holder = defineAgent({
    name: 'holder',
    version: '1',
    context: defineContext({}),
    initial: 'hold',
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      hold: { run: async () => (await gate, 'HELD'), on: { HELD: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
  const store = `sqlite:${join(folder(), 'store.db')}`
  const box = await createOrchestrator({ store, agents: [holder], env: {}, concurrency: 1, leaseMs: 300 })
  onTestFinished(() => box.stop(100))
  const task = await box.start(holder, {})
  await until(() => box.pulse()?.held === 1)
  await new Promise((wake) => setTimeout(wake, 1_000))
  expect(box.pulse()!.silentMs).toBeLessThan(900)
  open()
  expect((await task.result()).outcome).toBe('done')
})
