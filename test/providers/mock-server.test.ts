// The mock server as a client sees it: its streams word by word, its delays, its refusals, its cut connections, and that
// a script says the same behind HTTP as in the process.

import { connect } from 'node:net'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { ModelRequest, Reply } from '../../src/core/model.ts'
import { fromAiSdk } from '../../src/providers/ai-sdk.ts'
import { startMockServer } from '../../src/providers/mock-server.ts'
import { loadScript } from '../../src/providers/script-file.ts'
import { scriptedModel, type Script, type ScriptAnswer } from '../../src/providers/scripted.ts'

const never = new AbortController().signal
const request: ModelRequest = {
  messages: [
    { role: 'system', text: 'Be brief.' },
    { role: 'user', text: 'Look.' },
  ],
  offers: [{ name: 'look', description: 'Looks.', inputSchema: { type: 'object' } }],
  outputTokensMax: 9,
}

async function serve(script: Script) {
  const server = await startMockServer(script)
  onTestFinished(() => server.close())
  const sdk = createOpenAICompatible({ name: 'p', baseURL: server.url, includeUsage: true })('m')
  return { server, sdk, model: fromAiSdk(sdk) }
}

function post(url: string, body: string): Promise<Response> {
  return fetch(`${url}/chat/completions`, { method: 'POST', body })
}

test('a script that throws, or answers with nothing, is told as what it is and refused with status 500; the server goes on', async () => {
  const told: [string, number][] = []
  const script: Script = ({ number }) => {
    if (number === 1) throw new RangeError('no such line')
    return number === 2 ? (undefined as never) : { text: 'better' }
  }
  const server = await startMockServer(script, { onScriptFailed: (...what) => told.push(what) })
  onTestFinished(() => server.close())
  const ask = () =>
    fetch(`${server.url}/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'm', messages: [] }) })
  const bodies = [await ask(), await ask(), await ask()]
  expect(bodies.map(({ status }) => status)).toEqual([500, 500, 200])
  expect(await bodies[0]!.json()).toMatchObject({
    error: { type: 'script_failed', message: 'RangeError: no such line' },
  })
  expect(told).toEqual([
    ['RangeError: no such line', 1],
    ['TypeError: its answer is undefined, which is no object', 2],
  ])
})

describe('the same script in the process and behind HTTP', () => {
  /** What both must agree on: everything but who answered, and where a connection broke. */
  function heard(reply: Reply): unknown {
    if (!reply.ok) return reply.failure.class === 'transport' ? { ...reply.failure, message: '' } : reply
    const { content, finish } = reply.answer
    return { content, finish }
  }

  test.each<[string, ScriptAnswer]>([
    ['a text', { text: 'Hello, wörld.' }],
    ['a thought and a text', { reasoning: 'hm', text: 'So.' }],
    ['a text cut short', { text: 'Hel', finish: 'length' }],
    ['a text that was filtered', { text: 'I c', finish: 'content-filter' }],
    [
      'calls side by side',
      {
        text: 'Both.',
        calls: [
          { id: 'b', name: 'look', arguments: { at: [1, { deep: null }] } },
          { id: 'a', name: 'look' },
        ],
      },
    ],
    ['a call that is not JSON', { calls: [{ id: 'a', name: 'look', raw: '{"at":' }] }],
    ['a refusal', { status: 400, body: '{"error":{"message":"m","code":"context_length_exceeded"}}' }],
    ['a limit', { status: 429, headers: { 'retry-after-ms': '1200' }, body: '{"error":{"type":"slow"}}' }],
    ['a status alone', { status: 503, body: '' }],
    ['a cut connection', { text: 'never', drop: 'before' }],
  ])('%s is the same', async (_name, answer) => {
    const { model } = await serve([answer])
    const [over, within] = [await model.call(request, never), await scriptedModel([answer]).call(request, never)]
    expect(heard(over)).toEqual(heard(within))
  })

  test('a script that has run out is the same failure', async () => {
    const { model } = await serve([])
    const over = await model.call(request, never)
    expect(over).toMatchObject({ ok: false, failure: { class: 'overload', status: 500 } })
    expect(over).toEqual(await scriptedModel([]).call(request, never))
  })

  test('a call without an id has one behind HTTP, other than its neighbour', async () => {
    const { model } = await serve([{ calls: [{ name: 'look' }, { name: 'look' }] }])
    expect(await model.call(request, never)).toMatchObject({
      answer: { content: [{ id: 'call_0' }, { id: 'call_1' }] },
    })
  })

  test('told counts are taken over, and nonsense is null behind HTTP too', async () => {
    const { model } = await serve([
      { text: 'a', usage: { inputTokens: 3, outputTokens: 4, totalTokens: 7 } },
      { text: 'a', usage: { inputTokens: -3, outputTokens: 1.5, totalTokens: 7 } },
    ])
    expect(await model.call(request, never)).toMatchObject({ answer: { usage: { inputTokens: 3, outputTokens: 4 } } })
    expect(await model.call(request, never)).toMatchObject({
      answer: { usage: { inputTokens: null, outputTokens: null } },
    })
  })
})

describe('a stream', () => {
  async function partsOf(answer: ScriptAnswer): Promise<{ type: string; [field: string]: unknown }[]> {
    const { sdk } = await serve([answer])
    const { stream } = await sdk.doStream({ prompt: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }] })
    const parts: { type: string }[] = []
    for await (const part of stream as unknown as AsyncIterable<{ type: string }>) parts.push(part)
    return parts
  }

  test('carries the thought, the text, every call in order and the counts', async () => {
    const parts = await partsOf({
      reasoning: 'hm',
      text: 'So.',
      calls: [
        { id: 'b', name: 'look', arguments: { at: 2 } },
        { id: 'a', name: 'peek', arguments: { at: 1 } },
      ],
      usage: { inputTokens: 11, outputTokens: 5, totalTokens: 16 },
    })
    expect(parts.filter(({ type }) => type === 'error')).toEqual([])
    expect(parts.find(({ type }) => type === 'reasoning-delta')).toMatchObject({ delta: 'hm' })
    expect(parts.find(({ type }) => type === 'text-delta')).toMatchObject({ delta: 'So.' })
    expect(parts.filter(({ type }) => type === 'tool-call')).toMatchObject([
      { toolCallId: 'b', toolName: 'look', input: '{"at":2}' },
      { toolCallId: 'a', toolName: 'peek', input: '{"at":1}' },
    ])
    expect(parts.at(-1)).toMatchObject({
      type: 'finish',
      finishReason: { unified: 'tool-calls' },
      usage: { inputTokens: { total: 11 }, outputTokens: { total: 5 } },
    })
  })

  test('numbers its calls and ends as streams of this form do', async () => {
    const { server } = await serve([{ calls: [{ name: 'look' }, { name: 'peek' }] }])
    const response = await post(server.url, '{"stream":true}')
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const events = (await response.text()).split('\n\n')
    expect(events.slice(-2)).toEqual(['data: [DONE]', ''])
    expect(JSON.parse(events[0]!.slice('data: '.length))).toMatchObject({
      object: 'chat.completion.chunk',
      choices: [{ delta: { tool_calls: [{ index: 0 }, { index: 1 }] }, finish_reason: null }],
    })
  })

  test('is a plain refusal where the script says a status', async () => {
    await expect(partsOf({ status: 503, body: '{"error":{"message":"busy"}}' })).rejects.toMatchObject({
      statusCode: 503,
    })
  })
})

describe('what a function of the request is told', () => {
  test('the number counts every request, the turn those of the conversation, and offers have their schema', async () => {
    const seen: unknown[] = []
    const { model } = await serve((asked) => {
      const { number, turn, results, prompt, system, model: name, offers } = asked
      seen.push({ number, turn, results, prompt, system, name, offers })
      return { text: 'ok' }
    })
    await model.call(request, never)
    await model.call({ ...request, messages: [], offers: [] }, never)
    await model.call(
      {
        ...request,
        messages: [
          { role: 'user', text: 'First.' },
          { role: 'assistant', content: [{ type: 'call', id: 'x', name: 'look', arguments: {} }] },
          { role: 'tool', results: [{ id: 'x', name: 'look', value: [1], failed: false }] },
          { role: 'user', text: 'Second.' },
        ],
      },
      never,
    )
    const { offers } = request
    expect(seen).toEqual([
      { number: 1, turn: 1, results: [], prompt: 'Look.', system: 'Be brief.', name: 'm', offers },
      { number: 2, turn: 1, results: [], prompt: '', system: '', name: 'm', offers: [] },
      {
        number: 3,
        turn: 2,
        results: [{ id: 'x', name: 'look', value: [1], failed: false }],
        prompt: 'First.',
        system: '',
        name: 'm',
        offers,
      },
    ])
  })

  test('it may take its time to answer', async () => {
    const { model } = await serve(async ({ number }) => {
      await new Promise((wake) => setTimeout(wake, 20))
      return { text: `answer ${number}` }
    })
    expect(await model.call(request, never)).toMatchObject({ answer: { content: [{ text: 'answer 1' }] } })
  })
})

describe('the server', () => {
  test('lists its one model', async () => {
    const { server } = await serve([{}])
    expect(await (await fetch(`${server.url}/models`)).json()).toMatchObject({ data: [{ id: 'mock' }] })
  })

  test('names the path that is not there', async () => {
    const { server } = await serve([{}])
    const response = await fetch(`${server.url}/nowhere`, { method: 'POST', body: '{}' })
    expect(response.status).toBe(404)
    expect(await response.text()).toContain('POST /v1/nowhere')
    expect((await fetch(`${server.url}/chat/completions`)).status).toBe(404)
  })

  test.each(['{', '', '[]', 'null', '"a"', '7'])(
    'refuses %j, which no request is, and uses up no answer',
    async (body) => {
      const { server, model } = await serve([{ text: 'the first' }])
      const response = await post(server.url, body)
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ error: { type: 'invalid_json' } })
      expect(server.requests).toBe(0)
      expect(await model.call(request, never)).toMatchObject({ answer: { content: [{ text: 'the first' }] } })
      expect(server.requests).toBe(1)
    },
  )

  test.each([
    '{"messages":[null]}',
    '{"messages":["hi"]}',
    '{"messages":{}}',
    '{"tools":[null]}',
    '{"messages":[{"role":"user","content":[null]}]}',
    '{"messages":[{"role":"assistant","tool_calls":[null]}]}',
    '{"messages":[{"role":"assistant","tool_calls":7}]}',
  ])('outlives the request %s', async (body) => {
    const { server } = await serve(({ number, messages, offers }) => ({
      text: `${number} ${messages.length} ${offers.length}`,
    }))
    const first = await post(server.url, body)
    expect([200, 400, 500]).toContain(first.status)
    const second = await post(server.url, '{"messages":[{"role":"user","content":"hi"}]}')
    expect(second.status).toBe(200)
    expect(await second.text()).toMatch(/"\d 1 0"/)
  })

  test('logs the last thousand bodies and counts them all', async () => {
    const { server } = await serve(() => ({ text: '' }))
    for (let next = 0; next < 1_005; next += 67) {
      const bodies = Array.from({ length: Math.min(67, 1_005 - next) }, (_, index) => next + index)
      for (const response of await Promise.all(bodies.map((mark) => post(server.url, JSON.stringify({ mark })))))
        await response.arrayBuffer()
    }
    expect(server.requests).toBe(1_005)
    expect(server.log).toHaveLength(1_000)
    expect(server.log.some((body) => body['mark'] === 1_004)).toBe(true)
  })

  test('says which port is taken and what to do', async () => {
    const { server } = await serve([{}])
    const port = Number(new URL(server.url).port)
    await expect(startMockServer([{}], { port })).rejects.toMatchObject({
      code: 'PORT_TAKEN',
      message: expect.stringMatching(new RegExp(`Port ${port} .*--port`)),
    })
  })

  test('answers after its delay, and not before', async () => {
    const { model } = await serve([{ text: 'late', delayMs: 120 }])
    const start = performance.now()
    expect(await model.call(request, never)).toMatchObject({ ok: true })
    expect(performance.now() - start).toBeGreaterThanOrEqual(115)
  })

  test('closes at once, also while it hangs, waits to answer or holds an idle connection', async () => {
    const server = await startMockServer(({ number }) => (number === 1 ? { hang: true } : { delayMs: 30_000 }))
    const idle = connect(Number(new URL(server.url).port), '127.0.0.1')
    await new Promise((ready) => idle.once('connect', ready))
    const over = new Promise((gone) => idle.once('close', gone))
    const asked = [post(server.url, '{}'), post(server.url, '{}')]
    const outcomes = Promise.allSettled(asked)
    while (server.requests < 2) await new Promise((wake) => setTimeout(wake, 2))
    const start = performance.now()
    await server.close()
    await over
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(performance.now() - start).toBeLessThan(500)
    await expect(post(server.url, '{}')).rejects.toThrow('fetch failed')
  })

  test('can be closed twice', async () => {
    const server = await startMockServer([{}])
    await server.close()
    expect(await Promise.race([server.close().then(() => 'closed'), wait(1_000)])).toBe('closed')
  })

  test('cuts the connection in the middle of the body, so that no client can take it for an answer', async () => {
    const { server } = await serve([{ text: 'whole', drop: 'middle' }])
    const response = await post(server.url, '{}')
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow('terminated')
  })
})

function wait(ms: number): Promise<string> {
  return new Promise((wake) => setTimeout(wake, ms, 'waited').unref())
}

describe('in the process', () => {
  test('a call that is called off before or while it waits is an abort at once', async () => {
    for (const answer of [{ delayMs: 30_000 }, { hang: true }] satisfies ScriptAnswer[]) {
      const start = performance.now()
      const early = await Promise.race([scriptedModel([answer]).call(request, AbortSignal.abort()), wait(400)])
      expect(early).toMatchObject({ ok: false, failure: { class: 'abort' } })
      const late = await Promise.race([scriptedModel([answer]).call(request, AbortSignal.timeout(20)), wait(400)])
      expect(late).toMatchObject({ ok: false })
      expect(performance.now() - start).toBeLessThan(400)
    }
  })

  test('a deadline that passes is the same failure as over HTTP', async () => {
    const { model } = await serve([{ hang: true }])
    const within = await scriptedModel([{ hang: true }]).call(request, AbortSignal.timeout(20))
    expect(within).toEqual({ ok: false, failure: { class: 'timeout', message: 'The deadline passed.' } })
    expect(await model.call(request, AbortSignal.timeout(20))).toEqual(within)
  })
})

describe('a script in a file', () => {
  test.each<[unknown, string]>([
    [[{ delayMs: -1 }], '0.delayMs'],
    [[{ text: 'a' }, { text: 7 }], '1.text'],
    [[{ drop: 'after' }], '0.drop'],
    [[{ calls: [{ name: 'a' }, { name: 7 }] }], '0.calls.1.name'],
    [[{ finish: 'never' }], '0.finish'],
    [[{ headers: { a: 1 } }], '0.headers.a'],
    [[{ txet: 'a' }], 'txet'],
  ])('%j is refused with the field that is wrong', (value, field) => {
    expect(() => loadScript(value)).toThrow(expect.objectContaining({ code: 'SCRIPT_INVALID' }))
    expect(() => loadScript(value)).toThrow(field)
  })

  test('is taken with every field it may have, and a function is taken as it is', () => {
    const script: ScriptAnswer[] = [
      {
        text: 'a',
        reasoning: 'b',
        calls: [{ name: 'c', arguments: [null], raw: '{', id: 'd' }],
        finish: 'other',
        usage: { inputTokens: '?' },
        delayMs: 0,
        status: 200,
        headers: { a: 'b' },
        body: '',
        drop: 'middle',
        hang: false,
      },
    ]
    expect(loadScript(script)).toEqual(script)
    const play: Script = () => ({})
    expect(loadScript(play)).toBe(play)
  })
})
