// What a provider's refusal means. One pure reading of status, headers and body into our failure classes, for real
// providers and for the scripted one alike. The message is ours: nothing of the prompt comes through.

import { durationMaxMs } from '../core/duration.ts'
import { head } from '../core/json.ts'
import type { Failure, FailureClass, Message } from '../core/model.ts'

/** A failed HTTP exchange, as far as it is known. */
export interface Exchange {
  /** Absent when no answer came. */
  readonly status?: number
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly body?: string
  /** What was asked: a code that quotes it is left out. */
  readonly asked?: readonly Message[]
}

const said: Readonly<Record<FailureClass, string>> = {
  'rate-limit': 'The provider limits how often it may be asked.',
  overload: 'The provider is overloaded or failing.',
  transport: 'The connection to the provider failed.',
  timeout: 'The deadline passed.',
  auth: 'The provider does not accept the key.',
  'invalid-request': 'The provider does not accept the request.',
  'content-filter': 'The provider refuses the content.',
  'context-overflow': 'The request is larger than what the model can read.',
  'spend-limit': 'The account at the provider has no money left.',
  malformed: 'The provider answered with something that cannot be read.',
  abort: 'The call was called off.',
  lost: 'The outcome was lost.',
  unavailable: 'It could not be asked before the deadline.',
  conflict: 'Another task was first to write.',
  error: 'The call failed.',
}

/** Reads a failed exchange. `nowMs` is needed for a Retry-After that is a date. */
export function classify(exchange: Exchange, nowMs: number): Failure {
  const kind = classOf(exchange)
  const retryAfterMs = retryAfter(exchange.headers ?? {}, nowMs)
  const code = withoutQuotes(codeOf(exchange.body), exchange.asked ?? [])
  const { status } = exchange
  return {
    class: kind,
    message: [said[kind], status === undefined ? '' : `HTTP ${status}`, code].filter((part) => part !== '').join(' '),
    ...(status === undefined ? {} : { status }),
    ...(status !== undefined && status >= 400 ? { unbilled: true } : {}),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}

/** A failure of a class, in our words. */
export function failureOf(kind: FailureClass, detail = ''): Failure {
  return { class: kind, message: detail === '' ? said[kind] : `${said[kind]} ${head(detail, 200)}` }
}

const quoteLength = 24

/** The text, or nothing when 24 characters in a row of it are in what was asked: a provider may echo the prompt. */
export function withoutQuotes(text: string, asked: readonly Message[]): string {
  if (text.length < quoteLength) return text
  // Both escaped alike, so that a quotation mark or a line's end inside a quote hides nothing.
  const [needle, haystack] = [JSON.stringify(text).slice(1, -1), JSON.stringify(asked)]
  for (let from = 0; from + quoteLength <= needle.length; from += 1) {
    if (haystack.includes(needle.slice(from, from + quoteLength))) return ''
  }
  return text
}

// The words count only with a status that can mean them: a gateway that fails may quote a prompt that speaks of money.
function classOf({ status, body = '' }: Exchange): FailureClass {
  const text = body.slice(0, 20_000).toLowerCase()
  const says = (...words: readonly string[]): boolean => words.some((word) => text.includes(word))
  if (status === undefined) return 'transport'
  if (status === 402) return 'spend-limit'
  if (
    [400, 403, 429].includes(status) &&
    says(
      'insufficient_quota',
      'insufficient quota',
      'billing_hard_limit',
      'billing_not_active',
      'api usage limits',
      'insufficient credits',
      'credit balance',
      'spend limit',
      'spending limit',
      'budget exceeded',
    )
  )
    return 'spend-limit'
  if (status === 429) return 'rate-limit'
  if (status === 401 || status === 403) return 'auth'
  if (
    [400, 404, 413, 422].includes(status) &&
    says(
      'context_length_exceeded',
      'context length',
      'context window',
      'context limit',
      'context size',
      'context_size',
      'maximum prompt length',
      'too many input tokens',
      'prompt is too long',
      'too many tokens',
      'maximum context',
      'input is too long',
      'exceeds the maximum number of tokens',
    )
  )
    return 'context-overflow'
  if (status < 500 && status >= 400 && says('content_filter', 'content_policy', 'content management policy'))
    return 'content-filter'
  if (status === 408 || status === 409 || status >= 500) return 'overload'
  return status >= 400 ? 'invalid-request' : 'malformed'
}

/** The provider's own short code, such as `rate_limit_exceeded`; never a sentence, which might quote the prompt. */
function codeOf(body: string | undefined): string {
  if (body === undefined) return ''
  try {
    const parsed = JSON.parse(body) as { error?: { code?: unknown; type?: unknown }; type?: unknown }
    const candidates = [parsed.error?.code, parsed.error?.type, parsed.type]
    return candidates.find((code): code is string => typeof code === 'string' && /^[\w.-]{1,64}$/.test(code)) ?? ''
  } catch {
    return ''
  }
}

/**
 * Reads `retry-after-ms`, or `retry-after` as seconds or as an HTTP date (RFC 9110). Undefined when absent, negative or
 * nonsense; a wait beyond a year is a year.
 */
export function retryAfter(headers: Readonly<Record<string, string | undefined>>, nowMs: number): number | undefined {
  const ms =
    count(headers['retry-after-ms']) ??
    scaled(count(headers['retry-after']), 1_000) ??
    until(headers['retry-after'], nowMs)
  return ms === undefined ? undefined : Math.min(Math.ceil(ms), durationMaxMs)
}

function count(text: string | undefined): number | undefined {
  return typeof text === 'string' && /^\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : undefined
}

function scaled(value: number | undefined, unitMs: number): number | undefined {
  return value === undefined ? undefined : value * unitMs
}

function until(text: string | undefined, nowMs: number): number | undefined {
  // The form that servers must send; `Date.parse` alone would take "maybe 7" for a date.
  if (typeof text !== 'string' || !/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text.trim()))
    return undefined
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs)
}
