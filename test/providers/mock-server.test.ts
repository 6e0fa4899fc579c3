// The scripted model, in the process and behind HTTP.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { ModelRequest } from '../../src/core/model.ts'
import { fromAiSdk } from '../../src/providers/ai-sdk.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { loadScript, scriptedModel, type Script, type ScriptRequest } from '../../src/providers/scripted.ts'

async function serve(script: Script) {
  const server = await startMockServer(script)
  onTestFinished(() => server.close())
  return { server, sdk: createOpenAICompatible({ name: 'p', baseURL: server.url, includeUsage: true })('m') }
}

const signal = new AbortController().signal
const request: ModelRequest = {
  messages: [
    { role: 'system', text: 'sys' },
    { role: 'user', text: 'do it' },
    {
      role: 'assistant',
      content: [
        { type: 'call', id: 'c1', name: 'look', arguments: { at: 1 } },
        { type: 'call', id: 'c2', name: 'look', arguments: { at: 2 } },
      ],
    },
    {
      role: 'tool',
      results: [
        { id: 'c1', name: 'look', value: { seen: 1 }, failed: false },
        { id: 'c2', name: 'look', value: 'text', failed: false },
      ],
    },
  ],
  offers: [{ name: 'look', description: 'd', inputSchema: { type: 'object', properties: { at: { type: 'number' } } } }],
  outputTokensMax: 10,
}

test('a function sees the same request in the process and over HTTP', async () => {
  const seen: object[] = []
  const script = (asked: ScriptRequest) => {
    const { messages, offers, turn, results, system, prompt, number } = asked
    seen.push({ messages, names: offers.map(({ name }) => name), turn, results, system, prompt, number })
    return { text: 'ok', calls: [{ name: 'look', arguments: { at: 3 } }] }
  }
  const { sdk } = await serve(script)
  const over = await fromAiSdk(sdk).call(request, signal)
  const within = await scriptedModel(script).call(request, signal)
  expect(seen[0]).toMatchObject({ turn: 2, system: 'sys', prompt: 'do it', number: 1, names: ['look'] })
  expect(seen[0]).toEqual({ ...seen[1], number: 1 })
  const said = (reply: typeof over) =>
    reply.ok && reply.answer.content.map((part) => (part.type === 'call' ? [part.name, part.arguments] : part.text))
  expect(said(over)).toEqual(['ok', ['look', { at: 3 }]])
  expect(said(over)).toEqual(said(within))
})

test('a list is answered in order, and running out is a failure that says so', async () => {
  const { server, sdk } = await serve([{ text: 'one' }, { text: 'two' }])
  const model = fromAiSdk(sdk)
  for (const text of ['one', 'two'])
    expect(await model.call(request, signal)).toMatchObject({ ok: true, answer: { content: [{ text }] } })
  expect(await model.call(request, signal)).toMatchObject({
    ok: false,
    failure: { class: 'overload', status: 500, message: expect.stringContaining('script_ended') },
  })
  expect(server.requests).toBe(3)
})

test('an answer can be streamed', async () => {
  const { sdk } = await serve([{ text: 'hello', calls: [{ name: 'look', arguments: { at: 1 } }] }])
  const { stream } = await sdk.doStream({ prompt: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }] })
  const parts: { type: string; [field: string]: unknown }[] = []
  for await (const part of stream as unknown as AsyncIterable<{ type: string }>) parts.push(part)
  expect(parts.find(({ type }) => type === 'text-delta')).toMatchObject({ delta: 'hello' })
  expect(parts.find(({ type }) => type === 'tool-call')).toMatchObject({ toolName: 'look', input: '{"at":1}' })
  expect(parts.at(-1)).toMatchObject({ type: 'finish', finishReason: { unified: 'tool-calls' } })
})

test.each([
  ['GET', '/v1/nope', undefined, 404],
  ['POST', '/v1/chat/completions', '{"model":', 400],
  ['POST', '/v1/chat/completions', '[]', 400],
  ['GET', '/v1/models', undefined, 200],
] as const)('%s %s with %s answers %i', async (method, path, body, status) => {
  const { server } = await serve([{ text: 'x' }])
  const response = await fetch(new URL(path, server.url), { method, ...(body === undefined ? {} : { body }) })
  expect(response.status).toBe(status)
  expect(server.requests).toBe(0)
})

test('a script that throws is a failed request, not a dead server', async () => {
  const { sdk, server } = await serve(({ number }) => {
    if (number === 1) throw new Error('boom')
    return { text: 'fine' }
  })
  expect(await fromAiSdk(sdk).call(request, signal)).toMatchObject({ ok: false })
  expect(await fromAiSdk(sdk).call(request, signal)).toMatchObject({ ok: true })
  expect(server.requests).toBe(2)
})

test('a port that is taken is named', async () => {
  const { server } = await serve([{ text: 'x' }])
  await expect(startMockServer([{ text: 'x' }], { port: Number(new URL(server.url).port) })).rejects.toMatchObject({
    code: 'PORT_TAKEN',
  })
})

test('closing ends requests that would never be answered', async () => {
  const server = await startMockServer([{ hang: true }])
  const asked = fetch(`${server.url}/chat/completions`, { method: 'POST', body: '{}' }).catch(
    (thrown: unknown) => thrown,
  )
  while (server.requests === 0) await new Promise((wake) => setTimeout(wake, 5))
  await server.close()
  expect(await asked).toBeInstanceOf(Error)
})

describe('a script that is none is refused, by the place', () => {
  test.each<[unknown, string]>([
    [undefined, 'array'],
    [[], 'Too small'],
    [[{ text: 'x' }, { txt: 'x' }], '1'],
    [[{ calls: [{ arguments: {} }] }], '0.calls.0.name'],
    [[{ status: 42 }], '0.status'],
    ['text', 'array'],
  ])('%j', (value, says) => {
    expect(() => loadScript(value)).toThrow(says)
    expect(() => loadScript(value)).toThrow('SCRIPT_INVALID')
  })
})

test('in the process: delays pass, calls that hang can be called off, and faults are failures', async () => {
  const started = performance.now()
  expect(await scriptedModel([{ text: 'late', delayMs: 40 }]).call(request, signal)).toMatchObject({ ok: true })
  expect(performance.now() - started).toBeGreaterThan(35)
  const controller = new AbortController()
  const hanging = scriptedModel([{ hang: true }]).call(request, controller.signal)
  controller.abort()
  expect(await hanging).toMatchObject({ ok: false, failure: { class: 'abort' } })
  expect(await scriptedModel([{ status: 429, headers: { 'retry-after': '2' } }]).call(request, signal)).toMatchObject({
    failure: { class: 'rate-limit', retryAfterMs: 2_000 },
  })
  expect(await scriptedModel([{ drop: 'before' }]).call(request, signal)).toMatchObject({
    failure: { class: 'transport' },
  })
  expect(
    await scriptedModel([{ text: 'x', usage: { inputTokens: -1, outputTokens: 'many' } }]).call(request, signal),
  ).toMatchObject({ answer: { usage: { inputTokens: null, outputTokens: null } } })
})
