// Whatever reads what comes from outside, fed with what was right once and is spoiled: it answers with a value, or refuses
// with a fault of its own, within 100 ms. `npm run campaigns` feeds each with 50,000 inputs, here it is a slice of them. A
// failure prints its seed and the smallest input; what has failed once is among the examples for ever.

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { readConfig } from '../../src/cli/module.ts'
import {
  parseAddress,
  parseChoice,
  parseCount,
  parseDollars,
  parseDuration,
  parseJson,
  parseNames,
} from '../../src/cli/terminal.ts'
import { defineAgent } from '../../src/core/agent.ts'
import { check, compileChecked } from '../../src/core/check.ts'
import { answer, signal } from '../../src/core/command.ts'
import { defineContext } from '../../src/core/context.ts'
import { toMs, type Duration } from '../../src/core/duration.ts'
import { hostProblem, judgeAddress } from '../../src/core/egress.ts'
import { isFault } from '../../src/core/fault.ts'
import { head, toJson } from '../../src/core/json.ts'
import { handlesIn } from '../../src/core/known-secrets.ts'
import { cleanLinks, isAddress, linksIn } from '../../src/core/link.ts'
import { compile } from '../../src/core/machine.ts'
import type { AnswerPart, Finish } from '../../src/core/model.ts'
import { redactor } from '../../src/core/redact.ts'
import { read } from '../../src/core/refusal.ts'
import { validate } from '../../src/core/schema.ts'
import { start } from '../../src/core/start.ts'
import { estimateTokens } from '../../src/core/tokens.ts'
import { occurrencesAfter, occurrencesUntil } from '../../src/cron.ts'
import { createOrchestrator } from '../../src/orchestrator.ts'
import { readOutfit } from '../../src/outfit.ts'
import { fromAiSdk } from '../../src/providers/ai-sdk.ts'
import { classify } from '../../src/providers/failure.ts'
import { resolveModel } from '../../src/providers/registry.ts'
import { loadScript } from '../../src/providers/script-file.ts'
import { scriptedModel } from '../../src/providers/scripted.ts'
import { Secrets } from '../../src/secrets.ts'
import { readExport } from '../../src/store/import.ts'
import { createKeys, fingerprint, keysOf, signerOf } from '../../src/store/key.ts'
import { canonical, genesis, hashOf } from '../../src/store/log.ts'
import { openStore, shownAddress } from '../../src/store/open.ts'
import { readAddress } from '../../src/store/postgres/connection.ts'
import { readNews } from '../../src/store/postgres/herald.ts'
import { readAnchors } from '../../src/store/register.ts'
import type { SealedEvent, Store, WholeTask } from '../../src/store/store.ts'
import { whole } from '../campaign.ts'
import { VirtualClock } from '../clock.ts'
import { share, spoiledText, spoiledValue, wildJson, wildText, wildValue } from './outside.ts'

const runs = Number(process.env['SIGNALBOX_FUZZ'] ?? (whole ? 50_000 : 500))
const slowMs = 100

/** What was made of the inputs of a parser. */
interface Told {
  read: number
  refused: number
  slowestMs: number
}
const told = new Map<string, Told>()

afterAll(() => {
  const rows = [...told].map(
    ([name, { read, refused, slowestMs }]) =>
      `  ${name}: ${read} read, ${refused} refused, slowest ${slowestMs.toFixed(1)} ms`,
  )
  console.log([`${told.size} parsers:`, ...rows].join('\n'))
})

/** The time of this thread that something takes, in ms: what else the machine does meanwhile is not counted. */
async function timed(asked: () => unknown): Promise<number> {
  const before = process.threadCpuUsage()
  await asked()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1_000
}

/** Feeds a parser. What it throws besides a Fault is a failure, and so is an input that is slow each time that it is read. */
function feed<T>(
  name: string,
  inputs: fc.Arbitrary<T>,
  parse: (input: T) => unknown,
  examples: readonly T[] = [],
): void {
  test(`${name}`, { timeout: 1_800_000 }, async () => {
    const counts: Told = { read: 0, refused: 0, slowestMs: 0 }
    told.set(name, counts)
    const once = async (input: T): Promise<void> => {
      try {
        await parse(input)
        counts.read += 1
      } catch (thrown) {
        if (!isFault(thrown)) throw thrown
        counts.refused += 1
      }
    }
    const property = fc.asyncProperty(inputs, async (input) => {
      let ms = await timed(() => once(input))
      // The first time may have been somebody else's rubbish to collect.
      for (let tries = 1; ms > slowMs && tries < 5; tries += 1) ms = Math.min(ms, await timed(() => once(input)))
      counts.slowestMs = Math.max(counts.slowestMs, ms)
      if (ms > slowMs) throw new Error(`it takes ${ms.toFixed(0)} ms to read`)
    })
    const check = await fc.check(property, { numRuns: runs, examples: examples.map((example): [T] => [example]) })
    if (check.failed) {
      const where = `seed ${check.seed}, path ${check.counterexamplePath}`
      throw new Error(`${where}: ${shown(check.counterexample)}`, { cause: check.errorInstance })
    }
    // Nothing of it has become part of every object.
    expect(Object.keys(Object.prototype)).toEqual([])
    // What is right is read.
    if (!readsNothing.has(name)) expect(counts.read).toBeGreaterThan(0)
    expect(Object.getOwnPropertyNames(Object.prototype).length).toBe(builtIn)
  })
}

/** An input, as far as it can be shown. */
function shown(input: unknown): string {
  try {
    return head(fc.stringify(input), 2_000)
  } catch {
    return 'an input too deep to be shown'
  }
}

const readsNothing = new Set(['an address of a store that is neither SQLite nor PostgreSQL'])
const builtIn = Object.getOwnPropertyNames(Object.prototype).length

const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)

// ---- What people write ---------------------------------------------------------------------------------------------

describe('what people write', () => {
  const duration = spoiledText('500ms', '20s', '5m', '2h', '1d', '1.5h', '366d')
  feed('a duration', fc.oneof(duration, wildValue), (text) => toMs(text as Duration))
  feed('a duration of a flag', duration, parseDuration('--lease'))

  const crons = [
    '0 8 * * 1-5',
    '*/5 * * * *',
    '@daily',
    '0 0 29 2 *',
    '0 0 31 2 *',
    '30 1 L * *',
    '0 0 * * 5#2',
    '59 59 23 31 12 7',
    '0 0 1,15 * MON',
  ]
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Pacific/Apia']
  feed(
    'a cron expression, and the times that follow from it',
    fc.record({
      cron: fc.oneof(spoiledText(...crons), wildText),
      timezone: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...zones) }, spoiledText(...zones)),
    }),
    (recurrence) => {
      occurrencesAfter(recurrence, 1_790_000_000_000, 3)
      occurrencesUntil(recurrence, { fromMs: 1_790_000_000_000, untilMs: 1_790_100_000_000, max: 20 })
    },
  )

  const addresses = [
    'postgres://u:p@host:5432/db?schema=s&timeout=3s',
    'postgresql:///db',
    'postgres://[::1]:5432/x?options=-c%20a=b',
    'sqlite:./x.db',
  ]
  feed('an address of a store', spoiledText(...addresses), (address) => {
    readAddress(address)
  })
  feed('an address of a store, as it is shown', spoiledText(...addresses), (address) => shownAddress(address))
  feed(
    'an address of a store that is neither SQLite nor PostgreSQL',
    spoiledText('mysql://h/d', 'file.db', 'sqlite', 'postgres').filter(
      (text) => !/^(sqlite:.|postgres(ql)?:)/.test(text),
    ),
    (address) => openStore(address, { runtime: new VirtualClock() }),
  )

  feed(
    'JSON of a flag',
    spoiledText('{"a":[1,2,{"b":null}],"c":"x"}', '[]', '"x"', '12'),
    (text) => parseJson('--input', text),
    [nested(100_000)],
  )
  const flags = spoiledText('12', '0', 'a,b', '0.50', '$3', '8080', '0.0.0.0:80', '[::1]:8080', 'skip')
  feed('a number of a flag', flags, parseCount('--steps', 1))
  feed('names of a flag', flags, parseNames('--queues'))
  feed('an address of a flag', flags, parseAddress('--health'))
  feed('a choice of a flag', flags, parseChoice('--overlap', ['skip', 'queue']))
  feed('dollars of a flag', flags, parseDollars('--cost'))

  const keys = createKeys()
  feed('a private key', spoiledText(keys.privateKey, keys.publicKey), (text) => signerOf(text).sign('x'))
  feed('a public key', spoiledText(keys.publicKey, keys.privateKey), (text) => {
    fingerprint(text)
    for (const prove of keysOf([text]).values()) prove('x', text)
  })
})

// ---- What models and tools say -------------------------------------------------------------------------------------

const aTool = (name: string, inputSchema: z.ZodType): object => ({
  name,
  description: 'd',
  inputSchema,
  execute: () => null,
})
const tree: z.ZodType = z.object({ name: z.string(), below: z.lazy(() => z.array(tree)) })
const asked = compile(
  defineAgent<any, any>({
    name: 'asked',
    version: '1',
    context: defineContext({
      note: z.string().optional(),
      any: z.json().optional(),
      list: z.array(z.json()).optional(),
    }),
    initial: 'ask',
    on: { $error: 'failed' },
    signals: { go: z.object({ any: z.json() }), tick: z.number() },
    states: {
      ask: {
        model: 'main',
        prompt: 'p',
        tools: [
          aTool('json', z.object({ any: z.json() })),
          aTool('tree', tree),
          aTool(
            'strict',
            z.strictObject({ n: z.int().min(0), when: z.iso.datetime(), mail: z.email(), pick: z.enum(['a', 'b']) }),
          ),
          aTool('map', z.record(z.string(), z.union([z.number(), z.string().regex(/^[a-z ]+$/)]).optional())),
          aTool('anything', z.unknown()),
        ] as never,
        on: {
          OK: { target: 'done', output: z.object({ note: z.string(), any: z.json() }).partial() },
          NONE: 'done',
        },
      },
      wait: { wait: { signal: 'go' }, on: { DONE: 'done' } },
      done: { type: 'final' },
      failed: { type: 'final', failure: true },
    },
  } as never),
)
const asking = asked.states.get('ask') as Extract<ReturnType<typeof asked.states.get>, { kind: 'model' }>
const request = { messages: [{ role: 'user', text: 'do it' }], offers: asking.offers, outputTokensMax: 100 } as never

/** What a worker does with an answer: it is read against its state, and written down. */
function use(content: readonly AnswerPart[], finish: Finish): void {
  const { calls, exit, refusals } = read(asked, asking, content, finish)
  keep([content, calls.map(({ input }) => input), exit?.output ?? null, refusals])
}

/** What came in can be written down, or whoever was to write it would try for ever. */
function keep(value: unknown): void {
  try {
    canonical(redacts.value(value as never))
  } catch (thrown) {
    throw new Error('it cannot be written down', { cause: thrown })
  }
}
const redacts = redactor({ secrets: { KEY: 'a-very-secret-value-1' }, patterns: [/\bid-\d{4}\b/] })

async function ask(doGenerate: () => unknown): Promise<void> {
  const model = fromAiSdk(
    { specificationVersion: 'v3', provider: 'p', modelId: 'm', doGenerate: async () => doGenerate() },
    () => 0,
  )
  const reply = await model.call(request, new AbortController().signal)
  if (reply.ok) use(reply.answer.content, reply.answer.finish)
  keep(reply)
}

const argumentTexts = [
  '{"any":{"a":[1,"x",null]}}',
  '{"name":"r","below":[{"name":"c","below":[]}]}',
  '{"n":3,"when":"2026-01-01T00:00:00Z","mail":"a@b.ch","pick":"a"}',
  '{"a":1,"b":"two words"}',
  '{"note":"n","any":[[]]}',
  '{}',
]
const names = fc.constantFrom('json', 'tree', 'strict', 'map', 'anything', 'OK', 'NONE', 'nope', '$error', '')

const completion = JSON.stringify({
  id: 'c',
  created: 1,
  model: 'm',
  choices: [
    {
      index: 0,
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: 'text',
        reasoning_content: 'why',
        tool_calls: [{ id: '1', type: 'function', function: { name: 'json', arguments: '{"any":[1]}' } }],
      },
    },
  ],
  usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, prompt_tokens_details: { cached_tokens: 3 } },
})
const refusal = JSON.stringify({
  error: { code: 'context_length_exceeded', type: 'invalid_request_error', message: 'm' },
})

describe('what models and tools say', () => {
  feed(
    'the arguments of a call, as a text',
    fc.tuple(names, fc.oneof({ weight: 5, arbitrary: spoiledText(...argumentTexts) }, wildText)),
    ([toolName, input]) =>
      ask(() => ({
        content: [{ type: 'tool-call', toolCallId: '1', toolName, input }],
        finishReason: 'tool-calls',
        usage: {},
      })),
    [
      ...[1_000, 1_500, 3_000, 8_000, 100_000].map((levels): [string, string] => ['json', `{"any":${nested(levels)}}`]),
      // A text that is cut in the middle of a character.
      ['json', `${'x'.repeat(119)}😀`],
      ['x'.repeat(78) + '😀'.repeat(9), '{}'],
    ],
  )

  const generated = (): object => ({
    content: [
      { type: 'text', text: 't', providerMetadata: { p: { a: 1 } } },
      { type: 'reasoning', text: 'r' },
      { type: 'tool-call', toolCallId: '1', toolName: 'json', input: { any: [1] } },
      { type: 'tool-call', toolCallId: '2', toolName: 'OK', input: '{"note":"x"}' },
      { type: 'source', url: 'u' },
    ],
    finishReason: { unified: 'tool-calls', raw: 'x' },
    usage: { inputTokens: { total: 1, cacheRead: 1, cacheWrite: 0 }, outputTokens: { total: 2, reasoning: 1 } },
    response: { modelId: 'm2' },
  })
  feed('an answer of an SDK', spoiledValue(generated), (result) => ask(() => result))

  const thrown = (): object => ({
    [Symbol.for('vercel.ai.error.AI_APICallError')]: true,
    name: 'AI_APICallError',
    statusCode: 429,
    responseHeaders: { 'retry-after': '3', 'retry-after-ms': '1' },
    responseBody: refusal,
    isRetryable: true,
    url: 'https://h/v1',
    cause: { code: 'ECONNREFUSED', cause: {} },
  })
  feed(
    'a failure of an SDK',
    spoiledValue(thrown),
    (error) =>
      ask(() => {
        throw error
      }),
    [
      { ...thrown(), responseHeaders: { 'retry-after-ms': [] } },
      { ...thrown(), responseBody: 5 },
    ],
  )

  feed(
    'an answer as a provider sends it',
    fc.record({
      body: fc.oneof({ weight: 6, arbitrary: spoiledText(completion, refusal, '<html>sorry</html>') }, wildText),
      status: fc.constantFrom(200, 200, 200, 400, 401, 429, 500),
      type: fc.constantFrom('application/json', 'text/html', 'text/event-stream'),
    }),
    async ({ body, status, type }) => {
      const fetch = async (): Promise<Response> => new Response(body, { status, headers: { 'content-type': type } })
      const provider = createOpenAICompatible({ name: 'p', baseURL: 'http://h/v1', fetch: fetch })
      const reply = await fromAiSdk(provider('m')).call(request, new AbortController().signal)
      if (reply.ok) use(reply.answer.content, reply.answer.finish)
      keep(reply)
    },
  )

  feed(
    'what a provider refuses with',
    fc.record({
      status: fc.oneof(fc.constantFrom(400, 401, 402, 403, 404, 408, 413, 429, 500, 503), fc.nat(999)),
      body: fc.oneof(spoiledText(refusal, '{"type":"overloaded_error"}', 'null', '[]'), wildText),
      headers: fc.record({
        'retry-after': spoiledText('3', '0.5', 'Wed, 21 Oct 2026 07:28:00 GMT'),
        'retry-after-ms': spoiledText('250', '1e3'),
      }),
      asked: fc.array(
        wildText.map((text) => ({ role: 'user' as const, text })),
        { maxLength: 2 },
      ),
    }),
    (exchange) => classify(exchange, 0),
  )

  feed(
    'a value against a schema',
    fc.tuple(fc.constantFrom(...asking.tools.values()), wildValue),
    ([{ tool }, value]) => validate(tool.inputSchema, value),
  )
  feed('what a tool answers with', wildValue, (value) => {
    const json = toJson(value)
    if (json.ok) keep(json.value)
  })

  const prose = [
    'See https://a.example/x?q=1 and [here](javascript:alert(1)) or www.b.example.',
    'key sk-ant-abcdefghijklmnopqrstuvwxyz and AKIAABCDEFGHIJKLMNOP, a-very-secret-value-1',
    '&#104;ttps://x.example &sol;&sol;y.example data:text/html;base64,AAAA',
    '-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----',
    'Authorization: Bearer abcdefgh12345678.abc secret://KEY postgres://u:password@h/d',
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc',
  ]
  const long = fc
    .tuple(spoiledText(...prose), fc.constantFrom(1, 1, 1, 40, 300))
    .map(([text, times]) => text.repeat(times).slice(0, 100_000))
  feed('a text, for secrets in it', long, (text) => redacts.text(text))
  feed(
    'a text, for links in it',
    long,
    (text) => {
      linksIn(text)
      isAddress(text)
      cleanLinks(text, (link) => judgeAddress(link, ['a.example']).ok)
      handlesIn(text)
    },
    [`http://${']'.repeat(90_000)}x`, `${'&amp;'.repeat(15_000)}http://${'.'.repeat(15_000)}x`],
  )
  feed('a text, for its tokens', long, estimateTokens)
  const hosts = ['api.example.com', '*.example.com', 'h:8443', '[::1]', '127.0.0.1:80']
  feed(
    'an address that a tool may speak to',
    fc.tuple(
      spoiledText('https://api.example.com/x?y#z', 'http://[::1]:80/', 'https://a.example.com:443'),
      spoiledText(...hosts),
    ),
    ([address, host]) => {
      judgeAddress(address, [host, ...hosts])
      hostProblem(host)
    },
  )
})

// ---- What is handed to a task --------------------------------------------------------------------------------------

const given = { taskId: 't', definition: 'd', by: 'b', seed: 1 }
const begun = (): ReturnType<typeof start> => start(asked, { ...given, input: {} }, 0)

describe('what is handed to a task', () => {
  feed(
    'an input',
    spoiledValue(() => ({ note: 'n', any: { a: [1] }, list: [1, 'x'] })),
    (input) => start(asked, { ...given, input }, 0),
    [{ any: JSON.parse(nested(1_500)) as unknown }, { list: JSON.parse(nested(9_000)) as unknown }],
  )
  feed(
    'limits and labels',
    spoiledValue(() => ({
      limits: { steps: 3, tokens: 5_000, cost: 10, duration: '5m', soft: 0.5, onSoft: 'pause' },
      labels: { note: { trust: 'untrusted', privacy: 'private' } },
    })),
    (said) => {
      const { limits, labels } = Object(said) as { limits?: object; labels?: object }
      // As an orchestrator hands them on: those of each key in a list.
      const lists = Object.entries(labels ?? {}).map(([key, label]) => [key, [label]])
      start(
        asked,
        { ...given, input: { note: 'n' }, limits: limits ?? {}, labels: Object.fromEntries(lists) as never },
        0,
      )
    },
  )
  feed('an id of a task', spoiledText('task-1', 'a:b.c', 't:1'), (taskId) =>
    start(asked, { ...given, taskId, input: {} }, 0),
  )
  feed(
    'the data of a signal',
    fc.tuple(
      fc.constantFrom('go', 'tick', 'other'),
      fc.oneof(
        wildValue,
        spoiledValue(() => ({ any: { a: [1] } })),
      ),
    ),
    ([name, data]) => signal(begun(), { name, data: data as never, by: 'b' }, asked),
  )
  feed(
    'an answer to an item',
    spoiledValue(() => ({ decision: 'yes', by: 'ana', reason: 'r', data: { a: 1 } }), wildJson),
    (said) => {
      const text = (value: unknown): string => (typeof value === 'string' ? value : 'x')
      const { decision, by, reason, data } = Object(said) as Record<string, unknown>
      answer(begun(), 't.1', { decision: text(decision), by: text(by), reason: text(reason), data: data as never })
    },
  )
})

// ---- What is kept elsewhere ----------------------------------------------------------------------------------------

let store: Store | undefined
const corpus = join(import.meta.dirname, '../corpus')
const exports = readdirSync(corpus)
  .filter((file) => file.endsWith('.json') && !file.endsWith('.told.json'))
  .map((file) => readFileSync(join(corpus, file), 'utf8'))
  .filter((text) => text.length < 40_000)
// Only what has ended is taken in.
const ended = exports.filter((text) => (JSON.parse(text) as WholeTask).events.at(-1)!.type === 'task.ended')

type Loose = { -readonly [Field in keyof SealedEvent]: SealedEvent[Field] }

let forgeries = 0

/** The file with its chain computed anew, as somebody would who forges one. */
function forged(text: string, change: (events: Loose[]) => void): string {
  const whole = JSON.parse(text) as WholeTask
  // A task of its own, or the store would have it already.
  const taskId = `t${(forgeries += 1)}`
  const events = whole.events.map((event) => ({ ...event, taskId }))
  change(events)
  let { hash } = genesis
  const chained = events.map((event, index) => {
    const sealed = { ...event, seq: index + 1, prevHash: hash }
    hash = hashOf(sealed)
    return { ...sealed, hash }
  })
  return JSON.stringify({ ...whole, taskId, events: chained })
}

/** The fields of an event's data; none where it was spoiled before. */
function fieldsOf(data: string): object {
  try {
    return Object(JSON.parse(data)) as object
  } catch {
    return {}
  }
}

describe('what is kept elsewhere', () => {
  feed('a task as a file', spoiledText(...exports), readExport)

  const spoilt = fc.tuple(
    fc.constantFrom(...ended),
    fc.array(fc.tuple(share, fc.nat(5), wildJson, wildText), { minLength: 1, maxLength: 2 }),
  )
  const forgery = spoilt.map(([text, all]) =>
    forged(text, (events) => {
      for (const [at, kind, json, wild] of all) {
        const index = Math.floor(at * events.length)
        const event = events[index]
        if (!event) continue
        const fields = Object.keys(fieldsOf(event.data))
        const field = fields[Math.floor(at * 7_919 * fields.length) % fields.length] ?? 'x'
        if (kind === 0) event.data = String(JSON.stringify(json))
        else if (kind === 1) event.type = wild
        else if (kind === 2) events.splice(index, 1)
        else if (kind === 3) events.splice(index, 0, { ...event })
        else if (kind === 4) event.data = wild
        else event.data = JSON.stringify({ ...fieldsOf(event.data), [field]: json })
      }
    }),
  )
  feed(
    'a task as a file that was forged, into a store',
    forgery,
    async (text) => {
      store ??= await openStore('sqlite::memory:', { runtime: new VirtualClock() })
      const box = await createOrchestrator({ store, work: false })
      const { taskId } = await box.import(text)
      await box.show(taskId)
      await box.verify(taskId)
    },
    [
      ...[
        { data: 'null' },
        { data: '[]' },
        { type: 'constructor' },
        { type: '__proto__' },
        { data: nested(9_000) },
      ].map((spoiled) => forged(ended[0]!, (events) => void Object.assign(events[1]!, spoiled))),
      // A number that would come back from a row as none.
      forged(ended[0]!, (events) => {
        for (const event of events) event.data = event.data.replace('"version":1', '"version":9007199254740993')
      }),
    ],
  )

  const anchor = JSON.stringify({
    number: 1,
    at: '2026-01-01T00:00:00.000Z',
    tasks: 1,
    events: 3,
    prevRoot: '0'.repeat(64),
    root: 'a'.repeat(64),
    key: 'k',
    signature: 's',
  })
  feed(
    'anchors',
    spoiledText(`${anchor}\n`, `${anchor}\n${anchor.replace('1', '2')}\n`, `${anchor.slice(0, 50)}\n${anchor}\n`),
    readAnchors,
  )
  feed('what a database tells of tasks', spoiledText('["me","t1","t2"]', '[]', 'null', '{}'), readNews, [
    'x',
    'null',
    '1',
    '{"0":1}',
  ])
  feed('a place among all events', spoiledText('12 3 task-1', '', '0 0 x'), async (after) => {
    store ??= await openStore('sqlite::memory:', { runtime: new VirtualClock() })
    await store.feed(after, 5)
  })
})

// ---- What is configured --------------------------------------------------------------------------------------------

const tool = (name: string): object => ({
  name,
  description: 'd',
  inputSchema: z.object({ to: z.string() }),
  effect: 'external',
  idempotent: true,
  timeout: '5s',
  retry: { attempts: 2 },
  sinks: { to: { in: 'allowed' } },
  egress: ['api.example.com'],
  approval: { by: ['ana'], quorum: 1, expires: '1h', escalate: [{ after: '5m', to: 'bo' }] },
  secrets: ['KEY'],
  concurrency: 2,
  rate: { calls: 3, per: '1m' },
  breaker: { failures: 3, coolDown: '5s' },
  trust: 'untrusted',
  execute: () => null,
})
const child = defineAgent({
  name: 'child',
  version: '1',
  context: defineContext({ q: z.string() }),
  initial: 'end',
  states: { end: { type: 'final' } },
})
const agent = (): object => ({
  name: 'a',
  version: '1',
  queue: 'q',
  context: {
    keys: {
      note: z.string(),
      list: { schema: z.array(z.json()), initial: [], merge: 'append', trust: 'untrusted' },
      allowed: { schema: z.array(z.string()), initial: ['x'] },
    },
  },
  initial: 'think',
  limits: { steps: 20, tokens: 60_000, cost: 500, duration: '5m', soft: 0.8, onSoft: 'pause', depth: 2 },
  policy: [{ name: 'r', judge: () => undefined }],
  strict: true,
  onFailure: 'escalate',
  onCancel: 'undo',
  signals: { go: z.object({ note: z.string() }) },
  on: { $error: 'failed', $timeout: 'failed' },
  states: {
    think: {
      checkpoint: 'c',
      model: ['main', 'backup'],
      instructions: 'i',
      prompt: 'p',
      tools: [{ ...tool('look'), undo: () => null }],
      reads: ['note'],
      writes: ['note'],
      timeout: '20s',
      turns: 8,
      visits: 3,
      retry: { attempts: 2 },
      outputTokens: 300,
      temperature: 0.5,
      on: {
        OK: { target: 'act', output: z.object({ note: z.string() }), description: 'd' },
        NO: [{ target: 'ask', guard: () => true }, { target: 'failed' }],
      },
    },
    act: { tool: tool('other'), args: () => ({ to: 'x' }), on: { DONE: 'each' }, onFailure: 'failed' },
    each: {
      agent: child,
      each: () => [1],
      input: () => ({ q: 'x' }),
      concurrency: 2,
      join: { quorum: 1 },
      failures: 'skip',
      on: { DONE: 'pause', FAILED: 'failed' },
    },
    pause: { wait: { delay: '5m' }, on: { DONE: 'run' } },
    run: { run: () => 'OK', declassify: { trust: 'trusted', reason: 'r' }, on: { OK: 'ask' } },
    ask: {
      human: { question: '?', assignee: 'ana', escalate: [{ after: '1h', to: 'bo' }] },
      on: { yes: 'done', no: 'hear' },
    },
    hear: { wait: { signal: 'go' }, timeout: '1d', on: { DONE: 'done' } },
    done: { type: 'final', output: () => ({}), reads: ['note'] },
    failed: { type: 'final', failure: true },
  },
})
const config = (): Record<string, unknown> => ({
  models: { main: scriptedModel([]), backup: 'main', other: { languageModel: () => scriptedModel([]) } },
  prices: { main: { inputUsdPerMillion: 1, outputUsdPerMillion: 2 } },
  quotas: { main: { concurrency: 2, rate: { calls: 3, per: '1m' }, breaker: { failures: 2, coolDown: '1s' } } },
  windows: { main: 8_000 },
  policy: [{ name: 'r', judge: () => undefined }],
  webhook: { url: 'https://h.example/x', secret: 'x'.repeat(30), headers: { a: 'b' } },
  secrets: { KEY: 'a-secret-value', FROM: () => 'another-secret' },
  redact: { patterns: [/x{9}/] },
})

describe('what is configured', () => {
  feed('an agent', spoiledValue(agent), (definition) => {
    const made = defineAgent<any, any>(definition as never)
    check(made)
    compileChecked(made)
  })
  feed('a configuration', spoiledValue(config), async (value) => {
    const { config: read } = readConfig('file.ts', value)
    const secrets = new Secrets(read.secrets, read.redact)
    await readOutfit({ ...read, agents: [child], work: true, env: {} }, secrets)
  })
  feed('options of an orchestrator', spoiledValue(config), async (value) => {
    store ??= await openStore('sqlite::memory:', { runtime: new VirtualClock() })
    const box = await createOrchestrator({ ...(Object(value) as object), store, agents: [child], work: false, env: {} })
    await box.stop()
  })
  feed('a name of a model', spoiledText('main', 'other/m', 'other:m:1', 'backup', 'nobody'), (name) =>
    resolveModel(name, { models: config()['models'] as never, env: {} }),
  )
  feed(
    'a script of answers',
    spoiledValue(() => [
      {
        text: 't',
        calls: [{ name: 'n', arguments: { a: 1 }, raw: 'r', id: 'i' }],
        finish: 'stop',
        usage: { inputTokens: 1 },
        status: 500,
        headers: { a: 'b' },
        body: 'b',
        drop: 'before',
        hang: false,
        delayMs: 0,
      },
    ]),
    loadScript,
  )
})
