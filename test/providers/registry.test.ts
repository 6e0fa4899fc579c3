// From a name to a model: what is configured, then the provider it names, then the environment; never anything else.

import { describe, expect, onTestFinished, test } from 'vitest'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import type { ModelRequest } from '../../src/core/model.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { resolveModel } from '../../src/providers/registry.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'

const scripted = scriptedModel([{ text: 'hello' }])
const request: ModelRequest = { messages: [{ role: 'user', text: 'hi' }], offers: [], outputTokensMax: 50 }
const provider = createOpenAICompatible({ name: 'p', baseURL: 'http://127.0.0.1:1/v1' })

test('a model of ours is itself', async () => {
  expect(await resolveModel('main', { models: { main: scripted }, env: {} })).toBe(scripted)
})

test('an AI SDK model is adapted, and so is one that a provider makes by id', async () => {
  const models = { main: provider('gpt-x'), openai: provider }
  expect((await resolveModel('main', { models, env: {} })).modelId).toBe('gpt-x')
  expect((await resolveModel('openai/gpt-5.2', { models, env: {} })).modelId).toBe('gpt-5.2')
  expect((await resolveModel('openai:org/model:latest', { models, env: {} })).modelId).toBe('org/model:latest')
  expect((await resolveModel('openai/org/model', { models, env: {} })).modelId).toBe('org/model')
})

test('an alias leads to what it stands for, also over another', async () => {
  const models = { main: 'cheap', cheap: 'openai/mini', openai: provider }
  expect((await resolveModel('main', { models, env: {} })).modelId).toBe('mini')
})

test('aliases in a circle are named', async () => {
  await expect(resolveModel('a', { models: { a: 'b', b: 'a' }, env: {} })).rejects.toMatchObject({
    code: 'MODEL_UNKNOWN',
  })
})

test.each(['nope', 'toString', '__proto__', 'constructor', 'openai/gpt', 'hasOwnProperty:x'])(
  '%s, which nobody configured, is unknown, and the message says what may be done',
  async (name) => {
    const unknown = resolveModel(name, { models: { main: scripted }, env: {} })
    await expect(unknown).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
    await expect(unknown).rejects.toThrow('SIGNALBOX_BASE_URL')
  },
)

describe('the endpoint of the environment', () => {
  test('answers for every name that is not configured, with its own model name and key on the wire', async () => {
    const server = await startMockServer([{ text: 'one' }, { text: 'two' }])
    onTestFinished(() => server.close())
    const env = { SIGNALBOX_BASE_URL: `${server.url}//`, SIGNALBOX_MODEL: 'real-name', SIGNALBOX_API_KEY: 'secret' }
    const model = await resolveModel('main', { models: {}, env })
    expect(await model.call(request, new AbortController().signal)).toMatchObject({
      ok: true,
      answer: { content: [{ type: 'text', text: 'one' }] },
    })
    expect(server.log[0]).toMatchObject({ model: 'real-name', max_tokens: 50 })
    const { SIGNALBOX_MODEL: _model, ...without } = env
    await (await resolveModel('main', { models: {}, env: without })).call(request, new AbortController().signal)
    expect(server.log[1]).toMatchObject({ model: 'main' })
  })

  test('does not stand before what is configured', async () => {
    expect(
      await resolveModel('main', { models: { main: scripted }, env: { SIGNALBOX_BASE_URL: 'http://127.0.0.1:1' } }),
    ).toBe(scripted)
  })

  test.each(['not a url', 'ftp://127.0.0.1/x'])('is refused when its address is %s', async (address) => {
    await expect(resolveModel('main', { models: {}, env: { SIGNALBOX_BASE_URL: address } })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
  })
})
