// The adapter on the wire, beyond ai-sdk.test.ts: what a server may ask us to wait, answers that are broken, calls that
// are called off, counts that are none. What a provider package refuses by itself is written down as it is today.

import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { describe, expect, onTestFinished, test } from 'vitest'
import { durationMaxMs } from '../../src/core/duration.ts'
import type { Json, JsonObject } from '../../src/core/json.ts'
import type {
  Answer,
  AnswerPart,
  CallResult,
  Failure,
  Message,
  MessagePart,
  Model,
  ModelRequest,
  Reply,
} from '../../src/core/model.ts'
import { fromAiSdk, isLanguageModel, type LanguageModelLike } from '../../src/providers/ai-sdk.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import type { ScriptAnswer } from '../../src/providers/scripted.ts'

const now = Date.parse('2026-08-01T12:00:00Z')
const canary = 'the heron ate forty-one clocks'

const request: ModelRequest = {
  messages: [
    { role: 'system', text: `Never tell anyone: ${canary}` },
    { role: 'user', text: `Look it up: ${canary}` },
  ],
  offers: [
    {
      name: 'look',
      description: 'Looks it up.',
      inputSchema: { type: 'object', properties: { at: { type: 'string' } } },
    },
  ],
  outputTokensMax: 77,
}

// ---- The servers ---------------------------------------------------------------------------------------------------

interface Served {
  readonly url: string
  readonly requests: number
  readonly log: readonly JsonObject[]
}

/** A server of the test's own, closed with it. */
async function serve(answer: (response: ServerResponse, body: JsonObject, path: string) => void): Promise<string> {
  const server = createServer((incoming, response) => {
    let text = ''
    incoming.setEncoding('utf8')
    incoming.on('data', (chunk: string) => (text += chunk))
    incoming.on('end', () => answer(response, JSON.parse(text) as JsonObject, incoming.url ?? ''))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function serveChat(script: readonly ScriptAnswer[]): Promise<Served> {
  const server = await startMockServer(script)
  onTestFinished(() => server.close())
  return server
}

/** As much of Anthropic's form as these tests need. */
async function serveMessages(script: readonly ScriptAnswer[]): Promise<Served> {
  const log: JsonObject[] = []
  const url = await serve((response, body, path) => {
    if (path !== '/messages') return void response.writeHead(404).end()
    log.push(body)
    const answer = script[log.length - 1] ?? { status: 500, body: 'the script is over' }
    if (answer.drop === 'before') return void response.destroy()
    const content = [
      ...(answer.reasoning === undefined ? [] : [{ type: 'thinking', thinking: answer.reasoning, signature: 'sig-1' }]),
      ...(answer.text === undefined ? [] : [{ type: 'text', text: answer.text }]),
      ...(answer.calls ?? []).map(({ id, name, arguments: input = {}, raw }) => ({
        type: 'tool_use',
        id,
        name,
        input: raw ?? input,
      })),
    ]
    const text = answer.body ?? anthropicBody({ input_tokens: 7, output_tokens: 9 }, content)
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...answer.headers }
    response.writeHead(answer.status ?? 200, headers)
    if (answer.drop === 'middle') response.write(text.slice(0, text.length / 2), () => response.destroy())
    else response.end(text)
  })
  return {
    url,
    log,
    get requests() {
      return log.length
    },
  }
}

function anthropicBody(usage: Json | undefined, content: readonly object[] = [{ type: 'text', text: 'hi' }]): string {
  const calls = content.some((part) => 'input' in part)
  return JSON.stringify({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-x',
    content,
    stop_reason: calls ? 'tool_use' : 'end_turn',
    stop_sequence: null,
    usage,
  })
}

function chatBody(usage: Json | undefined): string {
  return JSON.stringify({
    id: 'chat_1',
    object: 'chat.completion',
    created: 0,
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
    usage,
  })
}

// ---- The providers -------------------------------------------------------------------------------------------------

interface Kind {
  readonly name: string
  readonly model: (baseURL: string) => LanguageModelLike
  readonly serve: (script: readonly ScriptAnswer[]) => Promise<Served>
  /** A good body whose token counts are this JSON text; none at all without. */
  readonly body: (count?: string) => string
  /** What the provider sends as an error, here with status 200. */
  readonly error: string
  /** The wire's form of calls and their results. */
  readonly said: (calls: readonly Called[], results: readonly CallResult[]) => Json
  readonly usageMissing: 'answered' | 'malformed'
  /** Does the package pass on a temperature for a model it does not know? */
  readonly temperature: boolean
}

interface Called {
  readonly id: string
  readonly name: string
  readonly arguments: Json
}

const chat = {
  serve: serveChat,
  body: (count?: string) =>
    count === undefined
      ? chatBody(undefined)
      : chatBody({ prompt_tokens: '?', completion_tokens: '?', total_tokens: 1 }).replaceAll('"?"', count),
  error: JSON.stringify({ error: { message: canary, type: 'server_error', code: 'server_error' } }),
  said: (calls: readonly Called[], results: readonly CallResult[]): Json => [
    {
      role: 'assistant',
      tool_calls: calls.map(({ id, name, arguments: input }) => ({
        id,
        type: 'function',
        function: { name, arguments: JSON.stringify(input) },
      })),
    },
    ...results.map(({ id, value }) => ({ role: 'tool', tool_call_id: id, content: JSON.stringify(value) })),
  ],
  usageMissing: 'answered',
  temperature: true,
} as const

const kinds: readonly Kind[] = [
  {
    ...chat,
    name: 'openai-compatible',
    model: (baseURL) => createOpenAICompatible({ name: 'endpoint', apiKey: 'k', baseURL })('m'),
  },
  { ...chat, name: 'openai', model: (baseURL) => createOpenAI({ apiKey: 'k', baseURL }).chat('m') },
  {
    name: 'anthropic',
    model: (baseURL) => createAnthropic({ apiKey: 'k', baseURL })('claude-x'),
    serve: serveMessages,
    body: (count) =>
      count === undefined
        ? anthropicBody(undefined)
        : anthropicBody({ input_tokens: '?', output_tokens: '?' }).replaceAll('"?"', count),
    error: JSON.stringify({ type: 'error', error: { type: 'overloaded_error', message: canary } }),
    said: (calls, results) => [
      {
        role: 'assistant',
        content: calls.map(({ id, name, arguments: input }) => ({ type: 'tool_use', id, name, input })),
      },
      {
        role: 'user',
        content: results.map(({ id, value }) => ({
          type: 'tool_result',
          tool_use_id: id,
          content: JSON.stringify(value),
        })),
      },
    ],
    usageMissing: 'malformed',
    temperature: false,
  },
]

// ---- Small words ---------------------------------------------------------------------------------------------------

function ask(model: Model, messages: readonly Message[] = [], signal = new AbortController().signal): Promise<Reply> {
  return model.call({ ...request, messages: [...request.messages, ...messages] }, signal)
}

function answered(reply: Reply): Answer {
  if (!reply.ok) throw new Error(`An answer was expected, not ${JSON.stringify(reply.failure)}`)
  return reply.answer
}

function failed(reply: Reply): Failure {
  if (reply.ok) throw new Error(`A failure was expected, not ${JSON.stringify(reply.answer)}`)
  return reply.failure
}

function callsOf({ content }: Answer): Extract<AnswerPart, { type: 'call' }>[] {
  return content.filter((part) => part.type === 'call')
}

/** The assistant message that an answer becomes. */
function replayed({ content }: Answer): Message {
  return { role: 'assistant', content: content.map((part) => ({ arguments: null, ...part }) as MessagePart) }
}

/** The messages on the wire that came after the user's first, without fields that hold nothing. */
function wireTail(body: JsonObject | undefined): Json {
  const messages = body?.['messages'] as readonly JsonObject[]
  const first = messages.findIndex(({ role }) => role === 'user')
  return messages
    .slice(first + 1)
    .map((message) => Object.fromEntries(Object.entries(message).filter(([, value]) => value !== null && value !== '')))
}

// ---- Every provider alike ------------------------------------------------------------------------------------------

describe.each(kinds)('$name', (kind) => {
  /** Asks once, of a server that gives this one answer. */
  async function once(answer: ScriptAnswer): Promise<Reply> {
    const server = await kind.serve([answer])
    const reply = await ask(fromAiSdk(kind.model(server.url), () => now))
    expect(server.requests, 'there is exactly one request on the wire').toBe(1)
    return reply
  }

  test('the next request carries each call and its result under the same id and in order', async () => {
    const server = await kind.serve([
      {
        calls: [
          { id: 'second', name: 'look', arguments: { at: 'b' } },
          { id: 'first', name: 'look', arguments: { at: 'a' } },
        ],
      },
      { text: 'Done.' },
    ])
    const model = fromAiSdk(kind.model(server.url))
    const answer = answered(await ask(model))
    expect(callsOf(answer).map(({ id, arguments: input }) => [id, input])).toEqual([
      ['second', { at: 'b' }],
      ['first', { at: 'a' }],
    ])
    const results = [
      { id: 'second', name: 'look', value: { found: 2 }, failed: false },
      { id: 'first', name: 'look', value: { found: 1 }, failed: false },
    ]
    const reply = await ask(model, [replayed(answer), { role: 'tool', results }])
    expect(answered(reply)).toMatchObject({ content: [{ type: 'text', text: 'Done.' }], finish: 'stop' })
    const calls = [
      { id: 'second', name: 'look', arguments: { at: 'b' } },
      { id: 'first', name: 'look', arguments: { at: 'a' } },
    ]
    expect(wireTail(server.log[1])).toEqual(kind.said(calls, results))
  })

  test('the bound on output, the system text, the task and the offers are on the wire', async () => {
    const server = await kind.serve([{ text: 'a' }, { text: 'b' }])
    const model = fromAiSdk(kind.model(server.url))
    await ask(model)
    await model.call({ ...request, offers: [], outputTokensMax: 1, temperature: 0 }, new AbortController().signal)
    expect(server.log[0]).toMatchObject({ max_tokens: 77 })
    expect(server.log[0]).not.toHaveProperty('temperature')
    expect(JSON.stringify(server.log[0])).toContain(`Never tell anyone: ${canary}`)
    expect(JSON.stringify(server.log[0])).toContain(`Look it up: ${canary}`)
    expect(JSON.stringify(server.log[0]?.['tools'])).toContain(JSON.stringify(request.offers[0]?.inputSchema))
    expect(server.log[1]).toMatchObject({ max_tokens: 1 })
    expect(server.log[1]?.['temperature']).toBe(kind.temperature ? 0 : undefined)
    expect(server.log[1]).not.toHaveProperty('tools')
    expect(server.log[1]).not.toHaveProperty('tool_choice')
  })

  test.each([
    ['400 for content', 400, '{"error":{"message":"no","code":"content_filter"}}', 'content-filter'],
    ['408', 408, '', 'overload'],
    ['409', 409, '', 'overload'],
    ['404', 404, 'nothing here', 'invalid-request'],
    ['403 for want of money', 403, '{"error":{"message":"your credit balance is too low"}}', 'spend-limit'],
  ])('%s is one request and a failure of its class', async (_name, status, body, expected) => {
    expect(failed(await once({ status, body }))).toMatchObject({ class: expected, status })
  })

  test.each<[string, Record<string, string>, number | undefined]>([
    ['seconds', { 'retry-after': '7' }, 7_000],
    ['a part of a second', { 'retry-after': '1.5' }, 1_500],
    ['a date', { 'retry-after': new Date(now + 90_000).toUTCString() }, 90_000],
    ['a date that is past', { 'retry-after': new Date(now - 90_000).toUTCString() }, 0],
    ['milliseconds, which win', { 'retry-after': '7', 'retry-after-ms': '250' }, 250],
    ['milliseconds that are garbage', { 'retry-after': '7', 'retry-after-ms': 'soon' }, 7_000],
    ['garbage', { 'retry-after': 'soon' }, undefined],
    ['garbage that a lax reader takes for a date', { 'retry-after': 'soon 5' }, undefined],
    ['a negative number', { 'retry-after': '-7' }, undefined],
    ['negative milliseconds', { 'retry-after-ms': '-7' }, undefined],
    ['more seconds than there are numbers, which is a year', { 'retry-after': '9'.repeat(400) }, durationMaxMs],
    ['more milliseconds than there are numbers, which is a year', { 'retry-after-ms': '9'.repeat(400) }, durationMaxMs],
    ['nothing', {}, undefined],
  ])('429 that asks to wait by %s', async (_name, headers, expected) => {
    const failure = failed(await once({ status: 429, body: '{"error":{"message":"slow down"}}', headers }))
    expect(failure.class).toBe('rate-limit')
    expect(failure.retryAfterMs).toBe(expected)
  })

  test.each<[string, string]>([
    ['an empty body', ''],
    ['a page', '<html><h1>Welcome</h1></html>'],
    ['an object of another shape', '{"hello":"world"}'],
    ['a list', '[]'],
    ['an answer cut short', kind.body('7').slice(0, 60)],
    ['an error', kind.error],
  ])('status 200 with %s is malformed and no answer', async (_name, body) => {
    expect(failed(await once({ status: 200, body }))).toEqual({
      class: 'malformed',
      message: 'The provider answered with something that cannot be read.',
      status: 200,
    })
  })

  test('a connection cut before the first byte is a failure of transport', async () => {
    const failure = failed(await once({ text: 'never said', drop: 'before' }))
    expect(failure).toEqual({
      class: 'transport',
      message: expect.stringMatching(
        /^The connection to the provider failed\. (UND_ERR_SOCKET|ECONNRESET) 127\.0\.0\.1:\d+$/,
      ),
    })
  })

  test('a body cut in the middle is a failure of transport', async () => {
    expect(failed(await once({ text: 'half said', drop: 'middle' }))).toMatchObject({ class: 'transport', status: 200 })
  })

  test('a port where nobody listens is a failure of transport that says where, and costs nothing', async () => {
    const gone = await startMockServer([{}])
    await gone.close()
    const { host } = new URL(gone.url)
    expect(failed(await ask(fromAiSdk(kind.model(gone.url))))).toEqual({
      class: 'transport',
      message: `The connection to the provider failed. ECONNREFUSED ${host}`,
      unbilled: true,
    })
  })

  describe('when the call is called off', () => {
    /** A server that answers with no more than `begun`, and says when it was asked and when it was hung up on. */
    async function silent(begun?: string) {
      const asked = Promise.withResolvers<void>()
      const closed = Promise.withResolvers<void>()
      let requests = 0
      const url = await serve((response) => {
        requests += 1
        response.on('close', () => closed.resolve())
        if (begun === undefined) return asked.resolve()
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 10_000 })
        response.write(begun, () => asked.resolve())
      })
      return { url, asked: asked.promise, closed: closed.promise, requests: () => requests }
    }

    test.each<[string, string | undefined, unknown, string]>([
      ['before the answer', undefined, undefined, 'abort'],
      ['in the middle of the answer', '{"id":', undefined, 'abort'],
      ['by a deadline', undefined, new DOMException('too late', 'TimeoutError'), 'timeout'],
      ['by a deadline in the middle of the answer', '{"id":', new DOMException('too late', 'TimeoutError'), 'timeout'],
      ['for a reason that is a text', undefined, 'lost interest', 'abort'],
    ])('%s, it settles soon and the server sees it', async (_name, begun, reason, expected) => {
      const server = await silent(begun)
      const controller = new AbortController()
      const reply = ask(fromAiSdk(kind.model(server.url)), [], controller.signal)
      await server.asked
      const start = performance.now()
      controller.abort(reason)
      expect(failed(await reply).class).toBe(expected)
      await server.closed
      expect(performance.now() - start).toBeLessThan(500)
      expect(server.requests()).toBe(1)
    })

    test('by a signal that times out, the class is timeout', async () => {
      const server = await silent()
      const start = performance.now()
      const failure = failed(await ask(fromAiSdk(kind.model(server.url)), [], AbortSignal.timeout(50)))
      expect(failure).toEqual({ class: 'timeout', message: 'The deadline passed.' })
      expect(performance.now() - start).toBeLessThan(550)
    })

    test('before it began, nothing is sent', async () => {
      const server = await silent()
      const reply = await ask(fromAiSdk(kind.model(server.url)), [], AbortSignal.abort())
      expect(failed(reply).class).toBe('abort')
      expect(server.requests()).toBe(0)
    })
  })

  test('counts of tokens that are counts are taken over', async () => {
    const { usage } = answered(await once({ body: kind.body('7') }))
    expect(usage).toMatchObject({ inputTokens: 7, outputTokens: 7 })
  })

  test.each(['-5', '1.5', '1e300'])('a count of %s is no count, and the answer stands', async (count) => {
    const answer = answered(await once({ body: kind.body(count) }))
    expect(answer.content).toEqual([{ type: 'text', text: 'hi' }])
    expect(answer.usage).toMatchObject({ inputTokens: null, outputTokens: null })
  })

  test.each(['"12"', '1e400', '{}', 'true'])('the package itself refuses a count of %s', async (count) => {
    expect(failed(await once({ body: kind.body(count) }))).toMatchObject({ class: 'malformed', status: 200 })
  })

  test(`without usage, it is ${kind.usageMissing}`, async () => {
    const reply = await once({ body: kind.body() })
    expect(reply).toMatchObject(
      kind.usageMissing === 'malformed'
        ? { ok: false, failure: { class: 'malformed', status: 200 } }
        : {
            ok: true,
            answer: {
              content: [{ type: 'text', text: 'hi' }],
              usage: {
                inputTokens: null,
                outputTokens: null,
                cachedInputTokens: null,
                cacheWriteTokens: null,
                reasoningTokens: null,
              },
            },
          },
    )
  })

  test.each([400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529])(
    'a failure with status %i holds nothing of the prompt, even where the provider quotes it',
    async (status) => {
      const quotes = [
        JSON.stringify({ type: canary, error: { message: canary, type: canary, code: canary, param: canary } }),
        JSON.stringify({ message: canary, detail: [canary] }),
        `<html>${canary}</html>`,
      ]
      const server = await kind.serve(quotes.map((body) => ({ status, body, headers: { 'x-echo': canary } })))
      const model = fromAiSdk(kind.model(server.url))
      for (const body of quotes) {
        const failure = failed(await ask(model))
        expect(failure.status).toBe(status)
        expect(JSON.stringify(failure), body).not.toContain('heron')
      }
      expect(JSON.stringify(server.log)).toContain(canary)
    },
  )

  test("the provider's own short code is in the message", async () => {
    const failure = failed(await once({ status: 400, body: '{"error":{"message":"m","type":"tool_unknown"}}' }))
    expect(failure.message).toBe('The provider does not accept the request. HTTP 400 tool_unknown')
  })
})

// ---- Where they differ ---------------------------------------------------------------------------------------------

describe.each(kinds.slice(0, 2))('arguments as $name sends them, as a text', (kind) => {
  test.each<[string, { arguments: Json } | { raw: string }]>([
    ['{"at": "a', { raw: '{"at": "a' }],
    ['look at a', { raw: 'look at a' }],
    ['{"at":1e400}', { raw: '{"at":1e400}' }],
    ['{"at":"\\ud800"}', { raw: '{"at":"\\ud800"}' }],
    ['', { arguments: {} }],
    [' \n', { arguments: {} }],
    ['"a"', { arguments: 'a' }],
    ['[1]', { arguments: [1] }],
    ['{"__proto__":1}', { arguments: JSON.parse('{"__proto__":1}') as Json }],
  ])('%j', async (raw, expected) => {
    const server = await kind.serve([{ calls: [{ id: 'c1', name: 'look', raw }] }])
    const answer = answered(await ask(fromAiSdk(kind.model(server.url))))
    expect(answer.content).toEqual([{ type: 'call', id: 'c1', name: 'look', ...expected }])
    expect(JSON.stringify(answer.content)).toBe(JSON.stringify([{ type: 'call', id: 'c1', name: 'look', ...expected }]))
  })

  test('a call that cannot be read does not spoil the one beside it', async () => {
    const server = await kind.serve([
      {
        calls: [
          { id: 'c1', name: 'look', raw: '{' },
          { id: 'c2', name: 'look', arguments: { at: 'b' } },
        ],
      },
    ])
    expect(callsOf(answered(await ask(fromAiSdk(kind.model(server.url)))))).toEqual([
      { type: 'call', id: 'c1', name: 'look', raw: '{' },
      { type: 'call', id: 'c2', name: 'look', arguments: { at: 'b' } },
    ])
  })

  test('status 200 without any choice is malformed', async () => {
    const server = await kind.serve([{ body: '{"choices":[]}' }])
    const failure = failed(await ask(fromAiSdk(kind.model(server.url))))
    expect(failure.class).toBe('malformed')
    expect(failure.message).toContain('AI_InvalidResponseDataError')
  })
})

describe('anthropic alone', () => {
  const kind = kinds[2]!

  test('arguments that are a text where an object belongs come back as that text', async () => {
    const server = await kind.serve([{ calls: [{ id: 'c1', name: 'look', raw: '{"at": "a' }] }])
    expect(callsOf(answered(await ask(fromAiSdk(kind.model(server.url)))))).toEqual([
      expect.objectContaining({ id: 'c1', arguments: '{"at": "a' }),
    ])
  })

  test('a signed thought goes back with its signature', async () => {
    const server = await kind.serve([{ reasoning: 'hm', text: 'First.' }, { text: 'Then.' }])
    const model = fromAiSdk(kind.model(server.url))
    const answer = answered(await ask(model))
    expect(answer.content[0]).toEqual({
      type: 'reasoning',
      text: 'hm',
      metadata: { anthropic: { signature: 'sig-1' } },
    })
    await ask(model, [replayed(answer), { role: 'user', text: 'Go on.' }])
    expect(wireTail(server.log[1])).toMatchObject([
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 'sig-1' },
          { type: 'text', text: 'First.' },
        ],
      },
      { role: 'user' },
    ])
  })

  test('a result that failed is marked as an error on the wire', async () => {
    const server = await kind.serve([{ text: 'Oh.' }])
    const results = [
      { id: 'c1', name: 'look', value: 'not there', failed: true },
      { id: 'c2', name: 'look', value: { why: 'gone' }, failed: true },
      { id: 'c3', name: 'look', value: 'there', failed: false },
    ]
    const content = results.map(({ id }): MessagePart => ({ type: 'call', id, name: 'look', arguments: {} }))
    await ask(fromAiSdk(kind.model(server.url)), [
      { role: 'assistant', content },
      { role: 'tool', results },
    ])
    expect(wireTail(server.log[0])).toMatchObject([
      { role: 'assistant' },
      {
        content: [
          { tool_use_id: 'c1', content: 'not there', is_error: true },
          { tool_use_id: 'c2', content: '{"why":"gone"}', is_error: true },
          { tool_use_id: 'c3', content: 'there' },
        ],
      },
    ])
    expect(JSON.stringify(server.log[0]).match(/is_error/g)).toHaveLength(2)
  })
})

// ---- A model made by hand ------------------------------------------------------------------------------------------

describe.each(['v3', 'v4'])('a model of specification %s made by hand', (specificationVersion) => {
  /** A model that gives these results, and remembers what it was asked. */
  function byHand(...results: readonly unknown[]) {
    const asked: Record<string, unknown>[] = []
    const model = {
      specificationVersion,
      provider: 'hand',
      modelId: 'made',
      supportedUrls: {},
      doGenerate(options: Record<string, unknown>): Promise<unknown> {
        asked.push(options)
        const result = results[asked.length - 1]
        return typeof result === 'function' ? Promise.resolve(result()) : Promise.resolve(result)
      },
    }
    return { asked, model: fromAiSdk(model) }
  }

  function throwing(thrown: unknown) {
    return byHand(() => {
      throw thrown
    })
  }

  const usage = {
    inputTokens: { total: 10, noCache: 4, cacheRead: 6, cacheWrite: 0 },
    outputTokens: { total: 5, text: 2, reasoning: 3 },
  }

  test('the provider metadata of every part goes back unchanged', async () => {
    const signed = { hand: { signature: 'ü==', nested: [1, null, { deep: true }] }, other: { a: 'b' } }
    const content = [
      { type: 'reasoning', text: 'hm', providerMetadata: signed },
      { type: 'text', text: 'So.', providerMetadata: { hand: { id: 't' } } },
      {
        type: 'tool-call',
        toolCallId: 'c1',
        toolName: 'look',
        input: '{"at":"a"}',
        providerMetadata: { hand: { id: 'c' } },
      },
      { type: 'text', text: 'Bare.' },
    ]
    const { model, asked } = byHand(
      { content, finishReason: { unified: 'tool-calls', raw: 'x' }, usage },
      { content: [] },
    )
    const answer = answered(await ask(model))
    expect(answer).toEqual({
      provider: 'hand',
      modelId: 'made',
      content: [
        { type: 'reasoning', text: 'hm', metadata: signed },
        { type: 'text', text: 'So.', metadata: { hand: { id: 't' } } },
        { type: 'call', id: 'c1', name: 'look', arguments: { at: 'a' }, metadata: { hand: { id: 'c' } } },
        { type: 'text', text: 'Bare.' },
      ],
      finish: 'tool-calls',
      usage: { inputTokens: 10, outputTokens: 5, cachedInputTokens: 6, cacheWriteTokens: 0, reasoningTokens: 3 },
    })
    const stored = JSON.parse(JSON.stringify(replayed(answer))) as Message
    await ask(model, [stored, { role: 'tool', results: [{ id: 'c1', name: 'look', value: 1, failed: false }] }])
    const prompt = asked[1]?.['prompt'] as { role: string; content: unknown }[]
    expect(prompt.slice(2)).toEqual([
      {
        role: 'assistant',
        content: [
          expect.objectContaining({ type: 'reasoning', text: 'hm', providerOptions: signed }),
          expect.objectContaining({ type: 'text', text: 'So.', providerOptions: { hand: { id: 't' } } }),
          {
            type: 'tool-call',
            toolCallId: 'c1',
            toolName: 'look',
            input: { at: 'a' },
            providerOptions: { hand: { id: 'c' } },
          },
          { type: 'text', text: 'Bare.' },
        ],
      },
      {
        role: 'tool',
        content: [{ type: 'tool-result', toolCallId: 'c1', toolName: 'look', output: { type: 'json', value: 1 } }],
      },
    ])
  })

  test('is asked with the bound, the offers and the very signal', async () => {
    const { model, asked } = byHand({ content: [] })
    const { signal } = new AbortController()
    await ask(model, [], signal)
    expect(asked).toHaveLength(1)
    expect(asked[0]).toEqual({
      prompt: [
        { role: 'system', content: `Never tell anyone: ${canary}` },
        { role: 'user', content: [{ type: 'text', text: `Look it up: ${canary}` }] },
      ],
      maxOutputTokens: 77,
      tools: [{ type: 'function', ...request.offers[0] }],
      toolChoice: { type: 'auto' },
      abortSignal: signal,
    })
    expect(asked[0]?.['abortSignal']).toBe(signal)
  })

  test('counts that are plain numbers are taken, and those that are no counts are null', async () => {
    const { model } = byHand(
      { content: [], usage: { inputTokens: 3, outputTokens: 0 } },
      { content: [], usage: { inputTokens: Number.POSITIVE_INFINITY, outputTokens: '12' } },
      { content: [], usage: { inputTokens: { total: Number.NaN, cacheRead: -1 }, outputTokens: { total: 2 ** 53 } } },
      { content: [], usage: { inputTokens: null, outputTokens: undefined } },
    )
    const none = {
      inputTokens: null,
      outputTokens: null,
      cachedInputTokens: null,
      cacheWriteTokens: null,
      reasoningTokens: null,
    }
    expect(answered(await ask(model)).usage).toEqual({ ...none, inputTokens: 3, outputTokens: 0 })
    expect(answered(await ask(model)).usage).toEqual(none)
    expect(answered(await ask(model)).usage).toEqual(none)
    expect(answered(await ask(model)).usage).toEqual(none)
  })

  test('the finish is one of ours, whether it comes as a text or as an object', async () => {
    const reasons = ['length', { unified: 'content-filter' }, 'fancy', null, undefined, { unified: 'toString' }]
    const { model } = byHand(...reasons.map((finishReason) => ({ content: [], finishReason })))
    const found: string[] = []
    for (const _ of reasons) found.push(answered(await ask(model)).finish)
    expect(found).toEqual(['length', 'content-filter', 'other', 'other', 'other', 'other'])
  })

  test('the name of the model that answered is kept where the provider tells it', async () => {
    const { model } = byHand(
      { content: [], response: { modelId: 'made-2026' } },
      { content: [], response: { modelId: '' } },
    )
    expect(answered(await ask(model)).modelId).toBe('made-2026')
    expect(answered(await ask(model)).modelId).toBe('made')
  })

  test('text with half of a surrogate pair is mended, so that the log can hold it', async () => {
    const { model } = byHand({
      content: [
        { type: 'text', text: 'a\ud800' },
        { type: 'tool-call', toolCallId: '\ud800', toolName: 'l\udc00', input: '{"\ud800' },
      ],
    })
    expect(answered(await ask(model)).content).toEqual([
      { type: 'text', text: 'a\ufffd' },
      { type: 'call', id: '\ufffd', name: 'l\ufffd', raw: '{"\ufffd' },
    ])
  })

  test.each([
    ['nothing', undefined],
    ['a content that is no list', { content: 'hi' }],
    ['a list that holds nothing', { content: [null] }],
  ])('%s for a result is malformed', async (_name, result) => {
    expect(failed(await ask(byHand(result).model)).class).toBe('malformed')
  })

  test('whatever it throws comes back as a failure without the prompt', async () => {
    const named = Object.assign(new Error(canary), { name: 'HandError' })
    const aborted = new DOMException(canary, 'AbortError')
    expect(failed(await ask(throwing(named).model))).toEqual({ class: 'error', message: 'The call failed. HandError' })
    expect(failed(await ask(throwing(canary).model))).toEqual({ class: 'error', message: 'The call failed.' })
    expect(failed(await ask(throwing(null).model))).toEqual({ class: 'error', message: 'The call failed.' })
    expect(failed(await ask(throwing(aborted).model))).toEqual({
      class: 'abort',
      message: 'The call was called off.',
    })
  })

  test('is told apart from a provider and from nothing', () => {
    expect(isLanguageModel({ specificationVersion, doGenerate: () => null })).toBe(true)
    expect(isLanguageModel({ specificationVersion })).toBe(false)
    expect(isLanguageModel({ specificationVersion, doGenerate: 'yes' })).toBe(false)
    expect(isLanguageModel(null)).toBe(false)
    expect(isLanguageModel('v3')).toBe(false)
  })
})
