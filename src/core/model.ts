// What we say to a model, and what it says back: plain JSON, close to the AI SDK's provider specification, so that it
// can be logged as it is and turned into any provider's form at the edge.

import type { Json, JsonObject } from './json.ts'

/** One part of an answer. `metadata` is the provider's own and goes back to it unchanged. */
export type AnswerPart =
  | { readonly type: 'text'; readonly text: string; readonly metadata?: Json }
  | { readonly type: 'reasoning'; readonly text: string; readonly metadata?: Json }
  | {
      readonly type: 'call'
      /** The provider's id; may be empty or repeated, so nothing of ours depends on it. */
      readonly id: string
      /** The tool or exit that is asked for. */
      readonly name: string
      /** Absent when what came was not JSON; then `raw` holds it. */
      readonly arguments?: Json
      readonly raw?: string
      readonly metadata?: Json
    }

/** Why the model stopped, in the AI SDK's words. */
export type Finish = 'stop' | 'length' | 'content-filter' | 'tool-calls' | 'error' | 'other'

/** Tokens of one call. Null: the provider did not say, or said something that is not a count. */
export interface TokenUsage {
  readonly inputTokens: number | null
  readonly outputTokens: number | null
  /** Of the input: read from the provider's cache. */
  readonly cachedInputTokens: number | null
  /** Of the input: written into the provider's cache. */
  readonly cacheWriteTokens: number | null
  /** Of the output: not shown. */
  readonly reasoningTokens: number | null
}

/** A model's answer, whole. */
export interface Answer {
  readonly provider: string
  readonly modelId: string
  readonly content: readonly AnswerPart[]
  readonly finish: Finish
  readonly usage: TokenUsage
}

/** Why a model call failed; decides whether another try is worth it. */
export type FailureClass =
  | 'rate-limit'
  | 'overload'
  | 'transport'
  | 'timeout'
  | 'auth'
  | 'invalid-request'
  | 'content-filter'
  | 'context-overflow'
  | 'spend-limit'
  | 'malformed'
  | 'abort'
  | 'lost'
  | 'unavailable'
  | 'conflict'
  | 'error'

/** A failed call. `message` holds nothing of the prompt. */
export interface Failure {
  readonly class: FailureClass
  readonly message: string
  /** The HTTP status, where there was one. */
  readonly status?: number
  /** What the provider asked us to wait, in ms. */
  readonly retryAfterMs?: number
  /** The provider charges nothing: it was never reached, or refused the request. */
  readonly unbilled?: true
}

/** A message to a model. Every call of an assistant message has its result in the tool message that follows. */
export type Message =
  | { readonly role: 'system'; readonly text: string }
  | { readonly role: 'user'; readonly text: string }
  | { readonly role: 'assistant'; readonly content: readonly MessagePart[] }
  | { readonly role: 'tool'; readonly results: readonly CallResult[] }

/** The first text of a role; empty where it has said nothing. */
export function textOf(messages: readonly Message[], role: 'system' | 'user'): string {
  const found = messages.find((message) => message.role === role)
  return found && 'text' in found ? found.text : ''
}

/** A part of an assistant message: like an answer's, but a call always has arguments and an id that is its own. */
export type MessagePart =
  | Extract<AnswerPart, { type: 'text' | 'reasoning' }>
  | (Required<Omit<Extract<AnswerPart, { type: 'call' }>, 'raw' | 'metadata'>> & {
      readonly metadata?: Json
    })

/** What came of a call. */
export interface CallResult {
  readonly id: string
  readonly name: string
  readonly value: Json
  readonly failed: boolean
}

/** Something the model may call: a tool, or an exit of the state it is in. */
export interface Offer {
  readonly name: string
  readonly description: string
  /** JSON Schema, draft 2020-12. */
  readonly inputSchema: JsonObject
}

/** One call of a model. */
export interface ModelRequest {
  readonly messages: readonly Message[]
  readonly offers: readonly Offer[]
  readonly outputTokensMax: number
  readonly temperature?: number
}

/**
 * A model, whoever provides it.
 *
 * *Contract*: one request on the wire per call, no retries of its own; `outputTokensMax` is sent on; a failure is
 * returned, never thrown; when `signal` aborts it settles soon. It does not log.
 */
export interface Model {
  readonly provider: string
  readonly modelId: string
  call(request: ModelRequest, signal: AbortSignal): Promise<Reply>
}

/** What a model call came to. */
export type Reply = { readonly ok: true; readonly answer: Answer } | { readonly ok: false; readonly failure: Failure }
