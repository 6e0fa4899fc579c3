// Any AI SDK language model (specification v3 or v4) as a model of ours. One `doGenerate`, one request on the wire: no
// hidden retries, the bound on output always sent, the abort signal passed on, and errors stripped of the prompt.

import { toJson, type Json, type JsonObject } from '../core/json.ts'
import type {
  Answer,
  AnswerPart,
  Failure,
  FailureClass,
  Finish,
  Message,
  MessagePart,
  Model,
  ModelRequest,
  TokenUsage,
} from '../core/model.ts'
import { brokenConnection, type Broken } from './connection.ts'
import { classify, failureOf, withoutQuotes } from './failure.ts'

/** As much of `LanguageModelV3` and `LanguageModelV4` as is used here; their own types stay out of our declarations. */
export interface LanguageModelLike {
  readonly specificationVersion: string
  readonly provider: string
  readonly modelId: string
  doGenerate(options: any): PromiseLike<any>
}

/** Is this an AI SDK language model? */
export function isLanguageModel(value: unknown): value is LanguageModelLike {
  return (
    typeof value === 'object' &&
    value !== null &&
    'specificationVersion' in value &&
    'doGenerate' in value &&
    typeof value.doGenerate === 'function'
  )
}

/** Makes an AI SDK language model a model of ours. `now` is asked when a provider names a date to wait for. */
export function fromAiSdk(model: LanguageModelLike, now: () => number = Date.now): Model {
  const { provider, modelId } = model
  return {
    provider,
    modelId,
    async call(request, signal) {
      try {
        const result = (await model.doGenerate(toOptions(request, signal))) as Generated
        return { ok: true, answer: toAnswer(result, provider, modelId) }
      } catch (thrown) {
        return { ok: false, failure: toFailure(thrown, request.messages, signal, now()) }
      }
    },
  }
}

interface Generated {
  readonly content?: readonly { type: string; [field: string]: unknown }[]
  readonly finishReason?: string | { unified?: string }
  readonly usage?: { inputTokens?: unknown; outputTokens?: unknown }
  readonly response?: { modelId?: unknown }
}

function toOptions(request: ModelRequest, signal: AbortSignal): unknown {
  const tools = request.offers.map(({ name, description, inputSchema }) => ({
    type: 'function',
    name,
    description,
    inputSchema,
  }))
  return {
    prompt: request.messages.map(toPrompt),
    maxOutputTokens: request.outputTokensMax,
    ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
    ...(tools.length === 0 ? {} : { tools, toolChoice: { type: 'auto' } }),
    abortSignal: signal,
  }
}

function toPrompt(message: Message): unknown {
  switch (message.role) {
    case 'system':
      return { role: 'system', content: message.text }
    case 'user':
      return { role: 'user', content: [{ type: 'text', text: message.text }] }
    case 'assistant':
      return { role: 'assistant', content: message.content.map(toPart) }
    case 'tool':
      return {
        role: 'tool',
        content: message.results.map(({ id, name, value, failed }) => {
          const text = typeof value === 'string'
          const type = failed ? (text ? 'error-text' : 'error-json') : text ? 'text' : 'json'
          return { type: 'tool-result', toolCallId: id, toolName: name, output: { type, value } }
        }),
      }
  }
}

function toPart(part: MessagePart): unknown {
  const options = part.metadata === undefined ? {} : { providerOptions: part.metadata }
  if (part.type === 'call')
    return { type: 'tool-call', toolCallId: part.id, toolName: part.name, input: part.arguments, ...options }
  return { type: part.type, text: part.text, ...options }
}

function toAnswer(result: Generated, provider: string, modelId: string): Answer {
  const reason = typeof result.finishReason === 'object' ? result.finishReason?.unified : result.finishReason
  const answered = result.response?.modelId
  return {
    provider,
    modelId: typeof answered === 'string' && answered !== '' ? answered.toWellFormed() : modelId,
    content: (result.content ?? []).flatMap(toAnswerPart),
    finish: finishes.has(reason as Finish) ? (reason as Finish) : 'other',
    usage: toUsage(result.usage),
  }
}

const finishes: ReadonlySet<Finish> = new Set<Finish>(['stop', 'length', 'content-filter', 'tool-calls', 'error'])

function toAnswerPart(part: { type: string; [field: string]: unknown }): AnswerPart[] {
  const kept = toJson(part['providerMetadata'])
  const metadata = kept.ok && kept.value !== null ? { metadata: kept.value } : {}
  if (part.type === 'text' || part.type === 'reasoning') {
    return [{ type: part.type, text: String(part['text'] ?? '').toWellFormed(), ...metadata }]
  }
  if (part.type !== 'tool-call') return []
  const id = String(part['toolCallId'] ?? '').toWellFormed()
  const name = String(part['toolName'] ?? '').toWellFormed()
  return [{ type: 'call', id, name, ...readArguments(part['input']), ...metadata }]
}

/** In a result the arguments are a JSON text; an empty one means none. */
function readArguments(input: unknown): { arguments: Json } | { raw: string } {
  if (typeof input !== 'string') {
    const json = toJson(input ?? {})
    return json.ok ? { arguments: json.value } : { raw: json.problem }
  }
  if (input.trim() === '') return { arguments: {} }
  try {
    const json = toJson(JSON.parse(input))
    if (json.ok) return { arguments: json.value }
  } catch {
    // Not JSON: the text itself is what there is to show.
  }
  return { raw: input.toWellFormed() }
}

function toUsage(usage: Generated['usage']): TokenUsage {
  const input = usage?.inputTokens as JsonObject | number | undefined
  const output = usage?.outputTokens as JsonObject | number | undefined
  return {
    inputTokens: count(typeof input === 'object' ? input?.['total'] : input),
    outputTokens: count(typeof output === 'object' ? output?.['total'] : output),
    cachedInputTokens: count(typeof input === 'object' ? input?.['cacheRead'] : undefined),
    cacheWriteTokens: count(typeof input === 'object' ? input?.['cacheWrite'] : undefined),
    reasoningTokens: count(typeof output === 'object' ? output?.['reasoning'] : undefined),
  }
}

/** A count is a whole number that is not negative; anything else is no count. */
function count(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
}

function toFailure(thrown: unknown, asked: readonly Message[], signal: AbortSignal, nowMs: number): Failure {
  if (signal.aborted) return failureOf(nameOf(signal.reason) === 'TimeoutError' ? 'timeout' : 'abort')
  if (nameOf(thrown) === 'AbortError') return failureOf('abort')
  if (!isApiCallError(thrown)) {
    const kind = classOf(thrown)
    if (kind === 'transport') return disconnected(brokenConnection(thrown), asked)
    const failure = failureOf(kind, withoutQuotes(nameOf(thrown), asked))
    return kind === 'auth' ? { ...failure, unbilled: true } : failure
  }
  const { statusCode, responseHeaders, responseBody, isRetryable, cause, url } = thrown
  if (statusCode === undefined || !Number.isInteger(statusCode))
    return disconnected(brokenConnection(cause, url), asked)
  // An answer that began well and was cut off is the connection's failure, not the answer's.
  if (statusCode < 400 && isRetryable) return { ...failureOf('transport'), status: statusCode }
  // A provider that cannot read its own answer says so in the cause; some call that a status 500.
  if (!isRetryable && (statusCode < 400 || unreadable(cause))) {
    return { ...failureOf('malformed'), status: statusCode }
  }
  // What an SDK says of its own failure is taken as far as it is what it should be.
  const body = typeof responseBody === 'string' ? { body: responseBody } : {}
  return classify({ status: statusCode, headers: responseHeaders ?? {}, ...body, asked }, nowMs)
}

/** Where no connection was made nothing was asked, and nothing is paid for. */
function disconnected({ detail, neverMade }: Broken, asked: readonly Message[]): Failure {
  const failure = failureOf('transport', withoutQuotes(detail, asked))
  return neverMade ? { ...failure, unbilled: true } : failure
}

interface ApiCallError {
  readonly statusCode?: number
  readonly responseHeaders?: Record<string, string>
  readonly responseBody?: string
  readonly isRetryable: boolean
  readonly url?: string
  readonly cause?: unknown
}

/** The AI SDK marks its errors with registered symbols, which hold across versions and copies. */
function isApiCallError(thrown: unknown): thrown is ApiCallError {
  return typeof thrown === 'object' && thrown !== null && Symbol.for('vercel.ai.error.AI_APICallError') in thrown
}

/** What is thrown before or beside an exchange: no key to send, no connection, an answer that cannot be read. */
function classOf(thrown: unknown): FailureClass {
  if (typeof thrown !== 'object' || thrown === null) return 'error'
  if (Symbol.for('vercel.ai.error.AI_LoadAPIKeyError') in thrown) return 'auth'
  if (brokenConnection(thrown).neverMade) return 'transport'
  // A failed `fetch` is a TypeError, as a misread answer is; only its words tell them apart.
  if (thrown instanceof TypeError && ['fetch failed', 'terminated'].includes(thrown.message)) return 'transport'
  return unreadable(thrown) ? 'malformed' : 'error'
}

function unreadable(thrown: unknown): boolean {
  if (typeof thrown !== 'object' || thrown === null) return false
  return (
    [
      'AI_JSONParseError',
      'AI_TypeValidationError',
      'AI_EmptyResponseBodyError',
      'AI_NoContentGeneratedError',
      'AI_InvalidResponseDataError',
    ].some((name) => Symbol.for(`vercel.ai.error.${name}`) in thrown) ||
    thrown instanceof TypeError ||
    thrown instanceof SyntaxError
  )
}

function nameOf(thrown: unknown): string {
  const named = typeof thrown === 'object' && thrown !== null && 'name' in thrown
  return named && typeof thrown.name === 'string' ? thrown.name : ''
}
