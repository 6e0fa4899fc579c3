// Where a name leads, beyond registry.test.ts: the endpoint of the environment as its server sees it, circles, and
// entries that look like models and are none.

import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { ModelRequest } from '../../src/core/model.ts'
import type { LanguageModelLike } from '../../src/providers/ai-sdk.ts'
import { resolveModel, type ModelTable } from '../../src/providers/registry.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'

const request: ModelRequest = { messages: [{ role: 'user', text: 'hi' }], offers: [], outputTokensMax: 50 }
const ours = scriptedModel([{ text: 'hello' }])

function resolve(name: string, models: ModelTable, env: Record<string, string> = {}) {
  return resolveModel(name, { models, env })
}

/** A provider that remembers which ids it was asked for. */
function provider() {
  const asked: string[] = []
  const languageModel = (modelId: string): LanguageModelLike => {
    asked.push(modelId)
    return { specificationVersion: 'v4', provider: 'hand', modelId, doGenerate: () => Promise.resolve({}) }
  }
  return { asked, languageModel }
}

describe('the endpoint of the environment', () => {
  async function endpoint() {
    const seen: { path: string; headers: IncomingHttpHeaders; body: Record<string, unknown> }[] = []
    const server = createServer((incoming, response) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => (text += chunk))
      incoming.on('end', () => {
        seen.push({ path: incoming.url ?? '', headers: incoming.headers, body: JSON.parse(text) })
        response.writeHead(503).end()
      })
    })
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    onTestFinished(async () => {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    })
    return { seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
  }

  test.each(['', '/', '///'])('is asked once and at the right path when its address ends in %j', async (end) => {
    const { seen, url } = await endpoint()
    const model = await resolve('main', {}, { SIGNALBOX_BASE_URL: url + end })
    await model.call(request, new AbortController().signal)
    expect(seen.map(({ path }) => path)).toEqual(['/v1/chat/completions'])
  })

  test('sees the key and the name of the model that the environment gives', async () => {
    const { seen, url } = await endpoint()
    const env = { SIGNALBOX_BASE_URL: url, SIGNALBOX_MODEL: 'real', SIGNALBOX_API_KEY: 'key-7' }
    const model = await resolve('main', {}, env)
    expect(model.modelId).toBe('real')
    await model.call(request, new AbortController().signal)
    expect(seen[0]?.headers.authorization).toBe('Bearer key-7')
    expect(seen[0]?.body).toMatchObject({ model: 'real', max_tokens: 50 })
  })

  test('sees no key where there is none, and the name that was asked for', async () => {
    const { seen, url } = await endpoint()
    const env = { SIGNALBOX_BASE_URL: url, SIGNALBOX_MODEL: '', SIGNALBOX_API_KEY: '' }
    await (await resolve('org/model:tag', {}, env)).call(request, new AbortController().signal)
    expect(seen[0]?.headers).not.toHaveProperty('authorization')
    expect(seen[0]?.body['model']).toBe('org/model:tag')
  })

  test('is asked for what an alias stands for', async () => {
    const { seen, url } = await endpoint()
    const model = await resolve('main', { main: 'other/thing' }, { SIGNALBOX_BASE_URL: url })
    await model.call(request, new AbortController().signal)
    expect(seen[0]?.body['model']).toBe('other/thing')
  })

  test.each(['not a url', 'ftp://127.0.0.1/x', 'file:///etc/passwd', '127.0.0.1:8080', 'http://', '/v1'])(
    'is refused with its name when its address is %s',
    async (address) => {
      await expect(resolve('main', {}, { SIGNALBOX_BASE_URL: address })).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(`SIGNALBOX_BASE_URL is ${JSON.stringify(address)}`),
      })
    },
  )

  test('is not one when its address is empty', async () => {
    await expect(resolve('main', {}, { SIGNALBOX_BASE_URL: '' })).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
  })
})

describe('a name', () => {
  test('of nothing is refused with what is known and what to set', async () => {
    await expect(resolve('nope', { a: ours, b: ours })).rejects.toThrow(
      /^MODEL_UNKNOWN .*nope \(known: a, b\).*SIGNALBOX_BASE_URL/,
    )
    await expect(resolve('nope', {})).rejects.toThrow('(known: none)')
  })

  test.each(['toString', '__proto__', 'constructor', 'toString/x', 'constructor/x', '__proto__:x', ''])(
    '%j is not taken from the prototype, not even one that was made to hold it',
    async (name) => {
      const models = Object.create({ toString: ours, '': ours, constructor: provider() }) as ModelTable
      await expect(resolve(name, models)).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
    },
  )

  test('that is __proto__ is found where someone did configure it', async () => {
    const models = Object.fromEntries([['__proto__', ours]])
    expect(await resolve('__proto__', models)).toBe(ours)
  })

  test.each([
    ['p/a', 'a'],
    ['p:a', 'a'],
    ['p/a/b:c', 'a/b:c'],
    ['p:a/b:c', 'a/b:c'],
    ['p//a', '/a'],
  ])('%s asks the provider for %s', async (name, modelId) => {
    const p = provider()
    expect((await resolve(name, { p })).modelId).toBe(modelId)
    expect(p.asked).toEqual([modelId])
  })

  test.each(['p', 'p/', 'p:', '/a', 'q/a', 'ours/a'])('%s asks no provider', async (name) => {
    const p = provider()
    await expect(resolve(name, { p, ours })).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
    expect(p.asked).toEqual([])
  })

  test('that is an entry itself wins over the provider it could name', async () => {
    const p = provider()
    expect(await resolve('p/a', { p, 'p/a': ours })).toBe(ours)
    expect(p.asked).toEqual([])
  })

  test('a provider that makes no model leaves the name unknown', async () => {
    await expect(resolve('p/a', { p: { languageModel: () => null } })).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
    await expect(resolve('p/a', { p: 'q/b' })).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
  })

  test('of something that is no model is unknown', async () => {
    for (const entry of [null, 7, {}, { call: 'yes' }, undefined]) {
      const models = { odd: entry } as unknown as ModelTable
      await expect(resolve('odd', models), JSON.stringify(entry)).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
    }
  })
})

describe('an alias', () => {
  /** `a0` stands for `a1`, and so on; the last is a model. */
  function chain(length: number): ModelTable {
    const hops = Array.from({ length }, (_, index) => [`a${index}`, `a${index + 1}`] as const)
    return { ...Object.fromEntries(hops), [`a${length}`]: ours }
  }

  test('may lead over eight others and no more', async () => {
    expect(await resolve('a0', chain(8))).toBe(ours)
    await expect(resolve('a0', chain(9))).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' })
  })

  test.each<[string, ModelTable]>([
    ['itself', { main: 'main' }],
    ['another and back', { main: 'b', b: 'main' }],
    ['two others and back to the first of them', { main: 'b', b: 'c', c: 'b' }],
  ])('that leads to %s is refused by its name, also when there is an endpoint', async (_name, models) => {
    await expect(resolve('main', models, { SIGNALBOX_BASE_URL: 'http://127.0.0.1:1/v1' })).rejects.toThrow(
      /^MODEL_UNKNOWN The model name main leads in a circle/,
    )
  })
})
