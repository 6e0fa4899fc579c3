// A connection that failed is told by the system's code and by host and port, and never by what else an address holds.

import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { expect, onTestFinished, test } from 'vitest'
import type { Reply } from '../../src/core/model.ts'
import { fromAiSdk } from '../../src/providers/ai-sdk.ts'
import { brokenConnection } from '../../src/providers/connection.ts'

function ask(baseURL: string): Promise<Reply> {
  const model = fromAiSdk(createOpenAICompatible({ name: 'p', baseURL })('m'))
  return model.call({ messages: [{ role: 'user', text: 'hi' }], offers: [], outputTokensMax: 5 }, never)
}

const never = new AbortController().signal

test.each([
  ['a name that nobody has', 'http://nowhere.invalid/secret-path', /^(ENOTFOUND|EAI_AGAIN) nowhere\.invalid:80$/],
  ['a port that fetch does not speak to', 'http://127.0.0.1:9/secret-path', /^bad port 127\.0\.0\.1:9$/],
])('%s was never connected to: nothing is paid for', async (_, url, says) => {
  const said = 'The connection to the provider failed. '
  expect(await ask(url)).toEqual({
    ok: false,
    failure: { class: 'transport', unbilled: true, message: expect.stringContaining(said) },
  })
  const { failure } = (await ask(url)) as Extract<Reply, { ok: false }>
  expect(failure.message.slice(said.length)).toMatch(says)
})

test('a connection that was reset had been made: it says so, and may have cost something', async () => {
  const server = createServer((socket) => void socket.once('data', () => socket.resetAndDestroy()))
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  expect(await ask(`http://127.0.0.1:${port}/v1`)).toEqual({
    ok: false,
    failure: { class: 'transport', message: `The connection to the provider failed. ECONNRESET 127.0.0.1:${port}` },
  })
})

test.each<[string, unknown, string | undefined, string, boolean]>([
  [
    'credentials and paths',
    { code: 'ECONNREFUSED' },
    'https://ana:pw@host.example/a?key=k',
    'ECONNREFUSED host.example:443',
    true,
  ],
  [
    'an address of its own',
    { code: 'ECONNREFUSED', address: '::1', port: 8080 },
    undefined,
    'ECONNREFUSED [::1]:8080',
    true,
  ],
  ['a name without a port', { code: 'ENOTFOUND', hostname: 'x.invalid' }, undefined, 'ENOTFOUND x.invalid', true],
  [
    'a cause further down',
    { code: 'ERR_OTHER', cause: { cause: { code: 'EHOSTUNREACH' } } },
    undefined,
    'EHOSTUNREACH',
    true,
  ],
  ['a code that is a sentence', { code: 'the whole prompt' }, undefined, '', false],
  ['a host that is a sentence', { code: 'EPIPE', address: 'the whole prompt' }, undefined, 'EPIPE', false],
  ['nothing that is known', 'gone', undefined, '', false],
])('of %s it takes what is needed', (_, thrown, url, detail, neverMade) => {
  expect(brokenConnection(thrown, url)).toEqual({ detail, neverMade })
})

test('causes that go round end', () => {
  const round: { cause?: unknown } = {}
  round.cause = round
  expect(brokenConnection(round)).toEqual({ detail: '', neverMade: false })
})
