// What goes wrong beside the plain failure: a provider that echoes the prompt as its code, words that mean something
// only with the right status, errors that are no HTTP exchange at all, and requests that the mock cannot read.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { FailureClass, Message, ModelRequest, Reply } from '../../src/core/model.ts'
import { fromAiSdk } from '../../src/providers/ai-sdk.ts'
import { classify, withoutQuotes } from '../../src/providers/failure.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { resolveModel } from '../../src/providers/registry.ts'
import { scriptedModel, type Script, type ScriptRequest } from '../../src/providers/scripted.ts'

const canary = 'CANARY-the-secret-plan-of-the-prompt-0123456789'
const request: ModelRequest = { messages: [{ role: 'user', text: canary }], offers: [], outputTokensMax: 50 }
const never = new AbortController().signal

/** Asks a model of specification v4 that only throws. */
function thrownBy(doGenerate: () => PromiseLike<unknown>): Promise<Reply> {
  return fromAiSdk({ specificationVersion: 'v4', provider: 'p', modelId: 'm', doGenerate }).call(request, never)
}

async function serve(script: Script): Promise<string> {
  const server = await startMockServer(script)
  onTestFinished(() => server.close())
  return server.url
}

test.each([
  ['all of it', canary],
  ['a part of it, among other words', `bad_input.${canary.slice(5, 30)}`],
])('a code that is the prompt, %s, is left out', async (_, code) => {
  const body = JSON.stringify({ type: code, error: { message: 'x', type: code, code } })
  const url = await serve([{ status: 400, body }])
  const model = createOpenAICompatible({ name: 'p', baseURL: url })('m')
  expect(await fromAiSdk(model).call(request, never)).toEqual({
    ok: false,
    failure: {
      class: 'invalid-request',
      message: 'The provider does not accept the request. HTTP 400',
      status: 400,
      unbilled: true,
    },
  })
})

test.each<[string, string]>([
  ['tool_unknown', 'tool_unknown'],
  ['eleven char"\neleven char', ''],
  ['twenty-three characters', 'twenty-three characters'],
  ['twenty-four characters !', ''],
])('beside a prompt that says them all, %j leaves %j', (text, left) => {
  const asked: Message[] = [
    { role: 'user', text: 'tool_unknown, eleven char"\neleven char' },
    { role: 'tool', results: [{ id: '', name: '', value: ['twenty-three characters'], failed: false }] },
    { role: 'system', text: 'twenty-four characters !' },
  ]
  expect(withoutQuotes(text, asked)).toBe(left)
})

test.each<[number, string, FailureClass]>([
  [402, '', 'spend-limit'],
  [403, 'billing_not_active', 'spend-limit'],
  [400, 'You have reached your specified API usage limits.', 'spend-limit'],
  [401, 'no key for: what is a spending limit', 'auth'],
  [503, 'upstream failed at: what is a spending limit', 'overload'],
  [500, 'upstream failed at: explain the context window', 'overload'],
  [502, 'upstream failed at: what does content_filter do', 'overload'],
  [429, 'too many tokens per minute', 'rate-limit'],
  [400, 'input length and `max_tokens` exceed context limit: 1 + 2 > 3', 'context-overflow'],
  [400, 'the request exceeds the available context size', 'context-overflow'],
  [400, "This model's maximum prompt length is 131072", 'context-overflow'],
  [413, 'Too many input tokens', 'context-overflow'],
])('status %i with "%s" is of class %s', (status, body, kind) => {
  expect(classify({ status, body }, 0).class).toBe(kind)
})

test('an error whose name is the prompt, or no text at all, is a failure without it', async () => {
  const named = Object.assign(new Error('x'), { name: canary })
  for (const thrown of [named, { name: Object.create(null) as unknown }, { name: Symbol('s') }]) {
    expect(await thrownBy(() => Promise.reject(thrown))).toEqual({
      ok: false,
      failure: { class: 'error', message: 'The call failed.' },
    })
  }
})

test('a model that fetches by itself fails in transport where nobody listens and where the body is cut off', async () => {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': 500 })
    response.write('{', () => response.destroy())
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await thrownBy(async () => (await fetch(url)).json())).toMatchObject({ failure: { class: 'transport' } })
  await new Promise((gone) => server.close(gone))
  expect(await thrownBy(() => fetch(url))).toMatchObject({ failure: { class: 'transport' } })
})

test('a key that is missing is a matter of the key', async () => {
  vi.stubEnv('OPENAI_API_KEY', undefined)
  onTestFinished(() => void vi.unstubAllEnvs())
  const reply = await fromAiSdk(createOpenAI({ baseURL: 'http://127.0.0.1:1' }).chat('m')).call(request, never)
  expect(reply).toMatchObject({ ok: false, failure: { class: 'auth' } })
})

test('provider metadata that is null is none, and does not go back', async () => {
  const content = [{ type: 'text', text: 'a', providerMetadata: null }]
  const reply = await thrownBy(() => Promise.resolve({ content, finishReason: 'stop' }))
  expect(reply.ok && reply.answer.content).toEqual([{ type: 'text', text: 'a' }])
})

test('a provider that throws for a name makes that name unknown, and says so', async () => {
  const cause = new Error('no such model')
  const languageModel = (): never => {
    throw cause
  }
  await expect(resolveModel('p/x', { models: { p: { languageModel } }, env: {} })).rejects.toMatchObject({
    code: 'MODEL_UNKNOWN',
    message: expect.stringMatching(/provider p makes no model x: no such model/),
    cause,
  })
})

test('an endpoint without the package that speaks to it is refused with what to install', async () => {
  vi.doMock('@ai-sdk/openai-compatible', () => {
    throw new Error('not installed')
  })
  onTestFinished(() => vi.doUnmock('@ai-sdk/openai-compatible'))
  vi.resetModules()
  const { resolveModel: fresh } = await import('../../src/providers/registry.ts')
  await expect(fresh('m', { models: {}, env: { SIGNALBOX_BASE_URL: 'http://127.0.0.1:1/v1' } })).rejects.toMatchObject({
    code: 'PEER_MISSING',
    message: expect.stringContaining('npm install @ai-sdk/openai-compatible'),
  })
})

test('in the process, headers are read whatever their case, and no answer is a failure', async () => {
  const limited = scriptedModel([{ status: 429, headers: { 'Retry-After': '2' } }])
  expect(await limited.call(request, never)).toMatchObject({ failure: { class: 'rate-limit', retryAfterMs: 2_000 } })
  const silent = scriptedModel((() => undefined) as unknown as Script)
  expect(await silent.call(request, never)).toMatchObject({ ok: false, failure: { class: 'overload', status: 500 } })
})

test('a delay that has passed leaves nothing on a signal that lives on', async () => {
  const { signal } = new AbortController()
  const removed = vi.spyOn(signal, 'removeEventListener')
  const added = vi.spyOn(signal, 'addEventListener')
  const model = scriptedModel(() => ({ text: 'x', delayMs: 1 }))
  for (let call = 0; call < 3; call += 1) await model.call(request, signal)
  expect(added).toHaveBeenCalledTimes(3)
  expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(added.mock.calls.map(([, listener]) => listener))
})

test.each(['{"messages":[null]}', '{"tools":[null]}', '{"messages":[{"role":"assistant","tool_calls":7}]}'])(
  'the mock refuses %s as a bad request, and uses up no answer',
  async (body) => {
    const server = await startMockServer(({ number }) => ({ text: `answer ${number}` }))
    onTestFinished(() => server.close())
    const { url } = server
    const refused = await fetch(`${url}/chat/completions`, { method: 'POST', body })
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({ error: { type: 'invalid_request' } })
    expect(server.requests).toBe(0)
    const next = await fetch(`${url}/chat/completions`, { method: 'POST', body: '{"messages":[]}' })
    expect(await next.text()).toContain('answer 1')
  },
)

test('the mock has no page at an address that is none', async () => {
  const url = await serve([{ text: 'x' }])
  expect((await fetch(`${new URL(url).origin}//`)).status).toBe(404)
  expect((await fetch(`${url}/models?limit=1`)).status).toBe(200)
})

test('over HTTP a function sees thoughts, and arguments that are no object, as in the process', async () => {
  const seen: unknown[] = []
  const script = ({ messages }: ScriptRequest) => {
    seen.push(messages)
    return { text: 'ok' }
  }
  const asked: ModelRequest = {
    ...request,
    messages: [
      { role: 'user', text: 'go' },
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', text: 'hm' },
          { type: 'text', text: 'so' },
          { type: 'call', id: 'c', name: 'look', arguments: [1, 'two'] },
        ],
      },
      { role: 'tool', results: [{ id: 'c', name: 'look', value: 3, failed: false }] },
    ],
  }
  const url = await serve(script)
  await fromAiSdk(createOpenAICompatible({ name: 'p', baseURL: url })('m')).call(asked, never)
  expect(seen).toEqual([asked.messages])
})
