// The adapter for AI SDK models, over a real socket: three providers of two wire formats, answers good and bad.

import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Model, ModelRequest, Reply } from '../../src/core/model.ts'
import { fromAiSdk, type LanguageModelLike } from '../../src/providers/ai-sdk.ts'
import { retryAfter } from '../../src/providers/failure.ts'

/** What a server answers: a status, headers and a body, or what it does to the connection instead. */
type Wire = { status?: number; headers?: Record<string, string>; body?: unknown } | 'reset' | 'cut' | 'hang'

interface Served {
  readonly url: string
  readonly bodies: any[]
  readonly closed: () => number
}

async function serve(answers: readonly Wire[]): Promise<Served> {
  const bodies: unknown[] = []
  let closed = 0
  const server: Server = createServer((request, response) => {
    let text = ''
    response.once('close', () => {
      if (!response.writableFinished) closed += 1
    })
    request.on('data', (chunk: Buffer) => (text += String(chunk)))
    request.on('end', () => {
      bodies.push(JSON.parse(text))
      const answer = answers[Math.min(bodies.length, answers.length) - 1]!
      if (answer === 'hang') return
      if (answer === 'reset') return void request.socket.destroy()
      if (answer === 'cut') {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': 5_000 })
        response.write('{"id":"x","choices":[', () => request.socket.destroy())
        return
      }
      const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers }).end(body)
    })
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, bodies, closed: () => closed }
}

const now = Date.parse('2026-11-24T12:00:00Z')
const canary = 'CANARY-the-secret-plan-of-the-prompt-0123456789'
const request = (extra: readonly ModelRequest['messages'][number][] = []): ModelRequest => ({
  messages: [{ role: 'system', text: 'You are terse.' }, { role: 'user', text: canary }, ...extra],
  offers: [
    {
      name: 'look',
      description: 'Looks.',
      inputSchema: { type: 'object', properties: { at: { type: 'string' } }, required: ['at'] },
    },
  ],
  outputTokensMax: 77,
  temperature: 0.2,
})

const openAiBody = (calls: readonly { id: string; name: string; arguments: string }[], usage: unknown) => ({
  id: 'x',
  object: 'chat.completion',
  created: 1,
  model: 'm-2026',
  choices: [
    {
      index: 0,
      finish_reason: calls.length > 0 ? 'tool_calls' : 'stop',
      message: {
        role: 'assistant',
        content: 'thinking',
        ...(calls.length > 0
          ? {
              tool_calls: calls.map(({ id, name, arguments: input }) => ({
                id,
                type: 'function',
                function: { name, arguments: input },
              })),
            }
          : {}),
      },
    },
  ],
  ...(usage === undefined ? {} : { usage }),
})
const anthropicBody = (calls: readonly { id: string; name: string; arguments: string }[], usage: unknown) => ({
  id: 'x',
  type: 'message',
  role: 'assistant',
  model: 'm-2026',
  stop_reason: calls.length > 0 ? 'tool_use' : 'end_turn',
  stop_sequence: null,
  content: [
    { type: 'text', text: 'thinking' },
    ...calls.map(({ id, name, arguments: input }) => ({
      type: 'tool_use',
      id,
      name,
      input: JSON.parse(input) as unknown,
    })),
  ],
  usage: usage ?? { input_tokens: 0, output_tokens: 0 },
})

interface Provider {
  readonly name: string
  readonly model: (url: string) => Model
  readonly answer: (calls: Parameters<typeof openAiBody>[0], usage: unknown) => object
  readonly usage: unknown
  readonly maxTokens: (body: any) => unknown
  /** The calls and results of a request on the wire, in order. */
  readonly pairs: (body: any) => unknown[]
}

const openAiPairs = (body: any): unknown[] => [
  ...body.messages.flatMap((message: any) =>
    (message.tool_calls ?? []).map((call: any) => [call.id, call.function.name, JSON.parse(call.function.arguments)]),
  ),
  ...body.messages
    .filter((message: any) => message.role === 'tool')
    .map((message: any) => [message.tool_call_id, message.content]),
]

const providers: readonly Provider[] = [
  {
    name: 'openai-compatible',
    model: (url) => fromAiSdk(createOpenAICompatible({ name: 'p', baseURL: url, apiKey: 'k' })('m'), () => now),
    answer: openAiBody,
    usage: {
      prompt_tokens: 12,
      completion_tokens: 7,
      total_tokens: 19,
      prompt_tokens_details: { cached_tokens: 4 },
      completion_tokens_details: { reasoning_tokens: 2 },
    },
    maxTokens: (body) => body.max_tokens,
    pairs: openAiPairs,
  },
  {
    name: 'openai',
    model: (url) => fromAiSdk(createOpenAI({ baseURL: url, apiKey: 'k' }).chat('gpt-4o'), () => now),
    answer: openAiBody,
    usage: {
      prompt_tokens: 12,
      completion_tokens: 7,
      total_tokens: 19,
      prompt_tokens_details: { cached_tokens: 4 },
      completion_tokens_details: { reasoning_tokens: 2 },
    },
    maxTokens: (body) => body.max_tokens ?? body.max_completion_tokens,
    pairs: openAiPairs,
  },
  {
    name: 'anthropic',
    model: (url) => fromAiSdk(createAnthropic({ baseURL: url, apiKey: 'k' })('claude-sonnet-4-5'), () => now),
    answer: anthropicBody,
    usage: { input_tokens: 8, cache_read_input_tokens: 4, cache_creation_input_tokens: 0, output_tokens: 7 },
    maxTokens: (body) => body.max_tokens,
    pairs: (body) =>
      body.messages.flatMap((message: any) =>
        message.content.flatMap((part: any) =>
          part.type === 'tool_use'
            ? [[part.id, part.name, part.input]]
            : part.type === 'tool_result'
              ? [[part.tool_use_id, typeof part.content === 'string' ? part.content : part.content[0].text]]
              : [],
        ),
      ),
  },
]

describe.each(providers)('$name', ({ model, answer, usage, maxTokens, pairs }) => {
  const ask = async (
    answers: readonly Wire[],
    asked = request(),
    signal = new AbortController().signal,
  ): Promise<{ reply: Reply; served: Served }> => {
    const served = await serve(answers)
    return { reply: await model(served.url).call(asked, signal), served }
  }
  const calls = [
    { id: 'id1', name: 'look', arguments: '{"at":"a"}' },
    { id: 'id2', name: 'look', arguments: '{"at":"b"}' },
  ]

  test('calls come back in order with parsed arguments, the reason to stop and the tokens', async () => {
    const { reply, served } = await ask([{ body: answer(calls, usage) }])
    expect(reply).toMatchObject({
      ok: true,
      answer: {
        modelId: 'm-2026',
        finish: 'tool-calls',
        content: [
          { type: 'text', text: 'thinking' },
          { type: 'call', id: 'id1', name: 'look', arguments: { at: 'a' } },
          { type: 'call', id: 'id2', name: 'look', arguments: { at: 'b' } },
        ],
        usage: { inputTokens: 12, outputTokens: 7, cachedInputTokens: 4 },
      },
    })
    expect(maxTokens(served.bodies[0])).toBe(77)
  })

  test('the next request carries each call and its result, in order, under one id', async () => {
    const { served } = await ask(
      [{ body: answer([], usage) }],
      request([
        {
          role: 'assistant',
          content: [
            { type: 'text', text: 't' },
            { type: 'call', id: 'id1', name: 'look', arguments: { at: 'a' } },
            { type: 'call', id: 'id2', name: 'look', arguments: { at: 'b' } },
          ],
        },
        {
          role: 'tool',
          results: [
            { id: 'id1', name: 'look', value: { seen: true }, failed: false },
            { id: 'id2', name: 'look', value: 'no such place', failed: true },
          ],
        },
      ]),
    )
    expect(pairs(served.bodies[0])).toEqual([
      ['id1', 'look', { at: 'a' }],
      ['id2', 'look', { at: 'b' }],
      ['id1', '{"seen":true}'],
      ['id2', expect.stringContaining('no such place')],
    ])
  })

  test.each<[string, Wire, string]>([
    ['503', { status: 503, body: { error: { message: `busy ${canary}`, type: 'overloaded' } } }, 'overload'],
    ['529', { status: 529, body: { error: { message: canary } } }, 'overload'],
    [
      '500 in HTML',
      { status: 500, headers: { 'content-type': 'text/html' }, body: `<html>${canary}</html>` },
      'overload',
    ],
    ['429', { status: 429, body: { error: { message: canary, type: 'rate_limit_exceeded' } } }, 'rate-limit'],
    [
      '429 for want of money',
      { status: 429, body: { error: { message: canary, type: 'insufficient_quota', code: 'insufficient_quota' } } },
      'spend-limit',
    ],
    ['401', { status: 401, body: { error: { message: canary } } }, 'auth'],
    ['403', { status: 403, body: { error: { message: canary } } }, 'auth'],
    ['400', { status: 400, body: { error: { message: canary } } }, 'invalid-request'],
    [
      '400 for too long a context',
      { status: 400, body: { error: { message: `prompt is too long: ${canary}`, code: 'context_length_exceeded' } } },
      'context-overflow',
    ],
    ['an empty body with 200', { body: '' }, 'malformed'],
    ['a body of another shape with 200', { body: { hello: canary } }, 'malformed'],
    ['no JSON with 200', { body: `{"choices": [${canary}` }, 'malformed'],
    ['an error with 200', { body: { error: { message: canary, type: 'server_error' } } }, 'malformed'],
    ['a connection that is reset', 'reset', 'transport'],
  ])('%s is one request and one failure, of its class, without the prompt', async (_, wire, kind) => {
    const { reply, served } = await ask([wire])
    expect(reply).toMatchObject({ ok: false, failure: { class: kind } })
    expect(served.bodies.length).toBe(1)
    expect(JSON.stringify(reply)).not.toContain('CANARY')
  })

  test('a body that is cut off is a failure, and nothing of it is an answer', async () => {
    const { reply } = await ask(['cut'])
    expect(reply.ok).toBe(false)
    expect(!reply.ok && ['transport', 'malformed', 'error']).toContain(!reply.ok && reply.failure.class)
  })

  test.each([
    ['AbortError', 'abort'],
    ['TimeoutError', 'timeout'],
  ])('a call that is called off with a %s ends at once, and the server sees it', async (reason, kind) => {
    const controller = new AbortController()
    const served = await serve(['hang'])
    const asked = model(served.url).call(request(), controller.signal)
    while (served.bodies.length === 0) await new Promise((wake) => setTimeout(wake, 5))
    controller.abort(new DOMException('x', reason))
    expect(await asked).toMatchObject({ ok: false, failure: { class: kind } })
    while (served.closed() === 0) await new Promise((wake) => setTimeout(wake, 5))
    expect(served.closed()).toBe(1)
  })

  test('Retry-After is read', async () => {
    const { reply } = await ask([{ status: 429, headers: { 'retry-after': '7' }, body: { error: { message: 'x' } } }])
    expect(reply).toMatchObject({ failure: { retryAfterMs: 7_000, status: 429 } })
  })
})

describe('tokens that are nonsense are no tokens, and the answer stays', () => {
  const [compatible] = providers
  test.each<[string, unknown]>([
    ['missing', undefined],
    ['negative', { prompt_tokens: -5, completion_tokens: -1 }],
    ['half', { prompt_tokens: 1.5, completion_tokens: 0.5 }],
  ])('%s', async (_, usage) => {
    const served = await serve([{ body: compatible!.answer([], usage) }])
    const reply = await compatible!.model(served.url).call(request(), new AbortController().signal)
    expect(reply).toMatchObject({
      ok: true,
      answer: { content: [{ text: 'thinking' }], usage: { inputTokens: null, outputTokens: null } },
    })
  })

  test.each<[string, string]>([
    ['a text', '"many"'],
    ['infinite', '1e400'],
  ])('%s: the provider itself refuses the body, or we refuse the count', async (_, count) => {
    const body = JSON.stringify(compatible!.answer([], 0)).replace(
      '"usage":0',
      `"usage":{"prompt_tokens":${count},"completion_tokens":${count},"total_tokens":1}`,
    )
    const served = await serve([{ body }])
    const reply = await compatible!.model(served.url).call(request(), new AbortController().signal)
    if (reply.ok) expect(reply.answer.usage).toMatchObject({ inputTokens: null, outputTokens: null })
    else expect(reply.failure.class).toBe('malformed')
  })
})

describe('by values, with a model made by hand', () => {
  const hand = (specificationVersion: string, result: object): { model: Model; asked: any[] } => {
    const asked: unknown[] = []
    const like: LanguageModelLike = {
      specificationVersion,
      provider: 'hand',
      modelId: 'made',
      doGenerate: (options) => (asked.push(options), Promise.resolve(result)),
    }
    return { model: fromAiSdk(like), asked }
  }
  const signal = new AbortController().signal

  test.each([
    ['v3', 'tool-calls'],
    ['v4', { unified: 'tool-calls', raw: 'x' }],
  ])(
    'specification %s: reasoning and what the provider adds go back to it unchanged',
    async (version, finishReason) => {
      const metadata = { hand: { signature: 'abc' } }
      const { model, asked } = hand(version, {
        content: [
          { type: 'reasoning', text: 'hm', providerMetadata: metadata },
          { type: 'source', url: 'x' },
          { type: 'tool-call', toolCallId: 'c', toolName: 'look', input: '{"at":"x"}', providerMetadata: metadata },
        ],
        finishReason,
        usage: { inputTokens: { total: 3, cacheRead: 1 }, outputTokens: { total: 2, reasoning: 1 } },
      })
      const reply = await model.call(request(), signal)
      if (!reply.ok) throw new Error(reply.failure.message)
      expect(reply.answer).toMatchObject({
        modelId: 'made',
        finish: 'tool-calls',
        usage: { inputTokens: 3, outputTokens: 2, cachedInputTokens: 1, reasoningTokens: 1 },
      })
      expect(reply.answer.content).toEqual([
        { type: 'reasoning', text: 'hm', metadata },
        { type: 'call', id: 'c', name: 'look', arguments: { at: 'x' }, metadata },
      ])
      await model.call(request([{ role: 'assistant', content: reply.answer.content as never }]), signal)
      expect(asked[1].prompt.at(-1).content).toEqual([
        { type: 'reasoning', text: 'hm', providerOptions: metadata },
        { type: 'tool-call', toolCallId: 'c', toolName: 'look', input: { at: 'x' }, providerOptions: metadata },
      ])
    },
  )

  test.each<[string, object]>([
    ['{"at": ', { raw: '{"at": ' }],
    ['', { arguments: {} }],
    ['[1]', { arguments: [1] }],
    ['"\\ud800"', { raw: '"\\ud800"' }],
    ['{"__proto__":{"x":1}}', { arguments: JSON.parse('{"__proto__":{"x":1}}') }],
  ])('the arguments %j are kept as %j', async (input, kept) => {
    const { model } = hand('v4', {
      content: [{ type: 'tool-call', toolCallId: 'c', toolName: 'look', input }],
      finishReason: { unified: 'tool-calls' },
    })
    const reply = await model.call(request(), signal)
    expect(reply.ok && reply.answer.content[0]).toEqual({ type: 'call', id: 'c', name: 'look', ...kept })
  })

  test.each([
    [undefined, 'other'],
    ['interrupted', 'other'],
    ['length', 'length'],
    ['content-filter', 'content-filter'],
  ] as const)('the reason %s is %s', async (unified, finish) => {
    const { model } = hand('v4', { content: [], finishReason: { unified } })
    expect(await model.call(request(), signal)).toMatchObject({ ok: true, answer: { finish, content: [] } })
  })

  test('what throws anything at all is a failure', async () => {
    for (const thrown of [new Error('boom'), 'boom', undefined, null, 3]) {
      const model = fromAiSdk({
        specificationVersion: 'v4',
        provider: 'p',
        modelId: 'm',
        doGenerate: () => Promise.reject(thrown),
      })
      expect(await model.call(request(), signal)).toMatchObject({ ok: false, failure: { class: 'error' } })
    }
  })
})

test.each<[Record<string, string>, number | undefined]>([
  [{ 'retry-after': '3' }, 3_000],
  [{ 'retry-after': '0' }, 0],
  [{ 'retry-after': '1.5' }, 1_500],
  [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
  [{ 'retry-after': 'Tue, 24 Nov 2026 12:00:30 GMT' }, 30_000],
  [{ 'retry-after': 'Tue, 24 Nov 2026 11:00:00 GMT' }, 0],
  [{ 'retry-after': '-5' }, undefined],
  [{ 'retry-after': 'soon' }, undefined],
  [{ 'retry-after': 'maybe 7' }, undefined],
  [{ 'retry-after': `1${'0'.repeat(400)}` }, 366 * 86_400_000],
  [{ 'retry-after': 'Fri, 24 Nov 2996 12:00:00 GMT' }, 366 * 86_400_000],
  [{ 'retry-after': '' }, undefined],
  [{}, undefined],
])('M06: Retry-After %j is %s ms', (headers, ms) => {
  expect(retryAfter(headers, now)).toBe(ms)
})
