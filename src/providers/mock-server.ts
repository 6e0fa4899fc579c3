// The scripted model behind HTTP, in the form that most providers share (chat completions), so that examples and tests
// cross a real socket. It can also do what networks do: answer late, never, with nonsense, or cut the connection.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { Fault } from '../core/fault.ts'
import { isObject, type Json, type JsonObject } from '../core/json.ts'
import type { CallResult, Finish, Message, MessagePart, Offer } from '../core/model.ts'
import { finishOf, player, type Script, type ScriptAnswer } from './scripted.ts'

/** A running mock server. */
export interface MockServer {
  /** What to point a client at: `http://127.0.0.1:PORT/v1`. */
  readonly url: string
  /** How many completions were asked for. */
  readonly requests: number
  /** The bodies of the last thousand requests. */
  readonly log: readonly JsonObject[]
  close(): Promise<void>
}

const bodyBytesMax = 32 * 1024 * 1024
const logMax = 1_000

/** How to serve a script. */
export interface MockServerOptions {
  /** Default: any that is free. */
  readonly port?: number
  /** Told what the script threw, or that its answer is none, for a request; the request is answered with status 500. */
  readonly onScriptFailed?: (problem: string, request: number) => void
}

/** Serves a script on 127.0.0.1. Throws PORT_TAKEN. */
export async function startMockServer(script: Script, options: MockServerOptions = {}): Promise<MockServer> {
  const { port = 0, onScriptFailed } = options
  const play = player(script)
  const log: JsonObject[] = []
  let requests = 0
  // Only now: it brings a client along, and would take a tenth of the start of every program that serves nothing.
  const { createServer } = await import('node:http')
  const server = createServer((request, response) => {
    route(request, response).catch((thrown: unknown) => {
      if (!response.headersSent)
        refuse(response, 500, 'script_failed', thrown instanceof Error ? thrown.message : String(thrown))
      else response.destroy()
    })
  })

  async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path] = (request.url ?? '/').split('?')
    if (request.method === 'GET' && path === '/v1/models')
      return send(response, 200, { object: 'list', data: [{ id: 'mock', object: 'model' }] })
    if (request.method !== 'POST' || path !== '/v1/chat/completions')
      return refuse(response, 404, 'not_found', `There is no ${request.method} ${path} here.`)
    const text = await readBody(request)
    if (text === undefined) return refuse(response, 413, 'too_large', 'The request is larger than 32 MiB.')
    const body = parse(text)
    if (!body) return refuse(response, 400, 'invalid_json', 'The request is not a JSON object.')
    const heard = read(body)
    if (!heard)
      return refuse(response, 400, 'invalid_request', 'The messages or the tools are not in the form of chat.')
    requests += 1
    log.push(body)
    if (log.length > logMax) log.shift()
    const model = String(body['model'] ?? 'mock')
    const number = requests
    let answer: ScriptAnswer
    try {
      answer = proveAnswer(await play({ model, ...heard }))
    } catch (thrown) {
      const problem = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)
      onScriptFailed?.(problem, number)
      return refuse(response, 500, 'script_failed', problem)
    }
    await answerWith(response, answer, model, body['stream'] === true, text.length)
  }

  await listen(server, port)
  const address = server.address()
  const actual = typeof address === 'object' && address !== null ? address.port : port
  return {
    url: `http://127.0.0.1:${actual}/v1`,
    get requests() {
      return requests
    },
    log,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A function of the user's may answer with anything. */
function proveAnswer(answer: ScriptAnswer): ScriptAnswer {
  if (isObject(answer)) return answer
  throw new TypeError(
    `its answer is ${answer === undefined ? 'undefined' : JSON.stringify(answer)}, which is no object`,
  )
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE' || error.code === 'EACCES'
          ? new Fault(
              'PORT_TAKEN',
              `Port ${port} of 127.0.0.1 cannot be had (${error.code}).`,
              'Choose another with --port, or none for any that is free.',
            )
          : error,
      )
    })
    server.listen(port, '127.0.0.1', () => resolve())
  })
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= bodyBytesMax) chunks.push(chunk)
  }
  return bytes > bodyBytesMax ? undefined : Buffer.concat(chunks).toString('utf8')
}

function parse(text: string): JsonObject | undefined {
  try {
    const value = JSON.parse(text) as Json
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function send(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response
    .writeHead(status, { 'content-type': 'application/json', ...headers })
    .end(typeof body === 'string' ? body : JSON.stringify(body))
}

function refuse(response: ServerResponse, status: number, type: string, message: string): void {
  send(response, status, { error: { message, type, code: type } })
}

// ---- The request ---------------------------------------------------------------------------------------------------

/** What was asked, in our form; undefined where a message, a call or a tool is not an object. */
function read(body: JsonObject): { messages: Message[]; offers: Offer[] } | undefined {
  try {
    return { messages: readMessages(body['messages']), offers: readOffers(body['tools']) }
  } catch {
    return undefined
  }
}

function readOffers(tools: unknown): Offer[] {
  if (!Array.isArray(tools)) return []
  return tools.flatMap((tool: { function?: { name?: unknown; description?: unknown; parameters?: unknown } }) => {
    const { name, description, parameters } = tool.function ?? {}
    return typeof name === 'string'
      ? [{ name, description: String(description ?? ''), inputSchema: (parameters ?? {}) as JsonObject }]
      : []
  })
}

interface WireMessage {
  readonly role?: unknown
  readonly content?: unknown
  readonly reasoning_content?: unknown
  readonly tool_call_id?: unknown
  readonly tool_calls?: readonly { id?: unknown; function?: { name?: unknown; arguments?: unknown } }[]
}

function readMessages(value: unknown): Message[] {
  if (!Array.isArray(value)) return []
  const names = new Map<string, string>()
  const messages: Message[] = []
  for (const message of value as WireMessage[]) {
    if (message.role === 'tool') {
      const result = readResult(message, names)
      const last = messages.at(-1)
      if (last?.role === 'tool') messages[messages.length - 1] = { role: 'tool', results: [...last.results, result] }
      else messages.push({ role: 'tool', results: [result] })
    } else if (message.role === 'assistant')
      messages.push({ role: 'assistant', content: readAssistant(message, names) })
    else if (message.role === 'user') messages.push({ role: 'user', text: readText(message.content) })
    else messages.push({ role: 'system', text: readText(message.content) })
  }
  return messages
}

function readAssistant(
  { content, reasoning_content, tool_calls }: WireMessage,
  names: Map<string, string>,
): MessagePart[] {
  const text = readText(content)
  const reasoning = readText(reasoning_content)
  const parts: MessagePart[] = reasoning === '' ? [] : [{ type: 'reasoning', text: reasoning }]
  if (text !== '') parts.push({ type: 'text', text })
  for (const call of tool_calls ?? []) {
    const [id, name] = [String(call.id ?? ''), String(call.function?.name ?? '')]
    names.set(id, name)
    parts.push({ type: 'call', id, name, arguments: parseValue(String(call.function?.arguments || '{}')) })
  }
  return parts
}

function readResult({ content, tool_call_id }: WireMessage, names: ReadonlyMap<string, string>): CallResult {
  const id = String(tool_call_id ?? '')
  const text = readText(content)
  return { id, name: names.get(id) ?? '', value: parseValue(text), failed: false }
}

function parseValue(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}

function readText(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part: { text?: unknown }) => (typeof part.text === 'string' ? part.text : '')).join('')
}

// ---- The answer ----------------------------------------------------------------------------------------------------

async function answerWith(
  response: ServerResponse,
  answer: ScriptAnswer,
  model: string,
  stream: boolean,
  requestLength: number,
): Promise<void> {
  if (answer.hang) return
  if (answer.delayMs) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, answer.delayMs)
      response.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    if (response.destroyed) return
  }
  if (answer.drop === 'before') return void response.destroy()
  const completion = toCompletion(answer, model, requestLength)
  const body = answer.body ?? JSON.stringify(completion)
  if (answer.drop === 'middle') {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    response.write(body.slice(0, Math.ceil(body.length / 2)), () => response.destroy())
    return
  }
  if (stream && answer.status === undefined && answer.body === undefined) return streamOut(response, completion)
  send(response, answer.status ?? 200, body, answer.headers)
}

const finishNames: Readonly<Record<Finish, string>> = {
  stop: 'stop',
  length: 'length',
  'content-filter': 'content_filter',
  'tool-calls': 'tool_calls',
  error: 'error',
  other: 'other',
}

function toCompletion(answer: ScriptAnswer, model: string, requestLength: number) {
  const calls = (answer.calls ?? []).map(({ id, name, arguments: input = {}, raw }, index) => ({
    id: id ?? `call_${index}`,
    type: 'function' as const,
    function: { name, arguments: raw ?? JSON.stringify(input) },
  }))
  const message = {
    role: 'assistant' as const,
    content: answer.text ?? null,
    ...(answer.reasoning === undefined ? {} : { reasoning_content: answer.reasoning }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  }
  const completionTokens = Math.ceil(JSON.stringify(message).length / 4)
  const promptTokens = Math.ceil(requestLength / 4)
  const usage = answer.usage
    ? toUsage(answer.usage)
    : {
        prompt_tokens: promptTokens,
        completion_tokens: completionTokens,
        total_tokens: promptTokens + completionTokens,
      }
  return {
    id: 'chatcmpl-mock',
    object: 'chat.completion',
    created: 0,
    model,
    choices: [{ index: 0, message, finish_reason: finishNames[finishOf(answer)] }],
    usage,
  }
}

/** What the script says was used, in the provider's words; nonsense goes out as it is. */
function toUsage(told: Readonly<Record<string, unknown>>): object {
  const { inputTokens, outputTokens, totalTokens, cachedInputTokens, reasoningTokens } = told
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: totalTokens,
    ...(cachedInputTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cachedInputTokens } }),
    ...(reasoningTokens === undefined ? {} : { completion_tokens_details: { reasoning_tokens: reasoningTokens } }),
  }
}

/** The same answer as a stream of events: what is said, why it ends, what it used. */
function streamOut(response: ServerResponse, completion: ReturnType<typeof toCompletion>): void {
  const { choices, usage, ...common } = completion
  const { message, finish_reason } = choices[0]!
  const { tool_calls: calls, ...said } = message as typeof message & { tool_calls?: readonly object[] }
  const delta = calls === undefined ? said : { ...said, tool_calls: calls.map((call, index) => ({ index, ...call })) }
  const chunk = (extra: object): string =>
    `data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', ...extra })}\n\n`
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.write(chunk({ choices: [{ index: 0, delta, finish_reason: null }] }))
  response.write(chunk({ choices: [{ index: 0, delta: {}, finish_reason }] }))
  response.write(chunk({ choices: [], usage }))
  response.end('data: [DONE]\n\n')
}
