// A model that answers by a script: the only double there is, and it ships. A script is a list of answers, given one
// after the other, or a function of the request. The same script plays in the process or behind HTTP (mock-server).

import { messageOf } from '../core/fault.ts'
import type { Json } from '../core/json.ts'
import {
  textOf,
  type Answer,
  type AnswerPart,
  type CallResult,
  type Finish,
  type Message,
  type Model,
  type Offer,
  type Reply,
  type TokenUsage,
} from '../core/model.ts'
import { classify, failureOf } from './failure.ts'

/** One scripted answer. Everything is optional; faults are what the wire does instead of answering well. */
export interface ScriptAnswer {
  readonly text?: string
  readonly reasoning?: string
  /** `raw` is sent in place of arguments, also when it is not JSON. */
  readonly calls?: readonly {
    readonly name: string
    readonly arguments?: Json
    readonly raw?: string
    readonly id?: string
  }[]
  /** Default: `tool-calls` where there are calls, else `stop`. */
  readonly finish?: Finish
  /** Counts of tokens; may be nonsense on purpose. Default: a quarter of the characters; in the process, 100 in. */
  readonly usage?: Readonly<Record<string, unknown>>
  /** Wait before answering, in ms. */
  readonly delayMs?: number
  /** Answer with this HTTP status and `body` instead. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Cut the connection before the answer, or in the middle of it. */
  readonly drop?: 'before' | 'middle'
  /** Never answer. */
  readonly hang?: boolean
}

/** What a script function is told. */
export interface ScriptRequest {
  readonly model: string
  readonly messages: readonly Message[]
  readonly offers: readonly Offer[]
  /** How many requests there were, this one included. */
  readonly number: number
  /** One more than the assistant messages of the request. */
  readonly turn: number
  /** What came of every call in the request, in order. */
  readonly results: readonly CallResult[]
  readonly system: string
  /** The first message of the user: what is to be done. */
  readonly prompt: string
  /** What the request says of its answer, where that is known. */
  readonly outputTokensMax?: number
  readonly temperature?: number
}

/** A list of answers, or a function of the request. */
export type Script = readonly ScriptAnswer[] | ((request: ScriptRequest) => ScriptAnswer | Promise<ScriptAnswer>)

/** A request before anything is derived from it. */
type Given = Omit<ScriptRequest, 'number' | 'turn' | 'results' | 'system' | 'prompt'>

/** Asks a script for its next answer. A list that has run out answers with a failure. */
export function player(script: Script): (request: Given) => ScriptAnswer | Promise<ScriptAnswer> {
  let number = 0
  return (request) => {
    number += 1
    if (typeof script === 'function') return script(new Asking(request, number))
    const answer = script[number - 1]
    return (
      answer ?? {
        status: 500,
        body: JSON.stringify({
          error: {
            type: 'script_ended',
            message: `The script has ${script.length} answers; this was request ${number}.`,
          },
        }),
      }
    )
  }
}

/** What is derived from the messages is derived only when a script asks for it: a long thread costs nothing otherwise. */
export class Asking implements ScriptRequest {
  readonly model: string
  readonly messages: readonly Message[]
  readonly offers: readonly Offer[]
  readonly number: number
  readonly outputTokensMax?: number
  readonly temperature?: number

  constructor(request: Given, number: number) {
    const { model, messages, offers, outputTokensMax, temperature } = request
    this.model = model
    this.messages = messages
    this.offers = offers
    this.number = number
    if (outputTokensMax !== undefined) this.outputTokensMax = outputTokensMax
    if (temperature !== undefined) this.temperature = temperature
  }

  get turn(): number {
    return 1 + this.messages.filter(({ role }) => role === 'assistant').length
  }

  get results(): readonly CallResult[] {
    return this.messages.flatMap((message) => (message.role === 'tool' ? message.results : []))
  }

  get system(): string {
    return textOf(this.messages, 'system')
  }

  get prompt(): string {
    return textOf(this.messages, 'user')
  }
}

/** A model in this process that answers by a script. */
export function scriptedModel(
  script: Script,
  { name = 'scripted', now = Date.now }: { name?: string; now?: () => number } = {},
): Model {
  const play = player(script)
  return {
    provider: 'scripted',
    modelId: name,
    async call(request, signal) {
      const answer = await ask(play, { model: name, messages: request.messages, offers: request.offers })
      if (answer.hang || answer.delayMs) await pause(answer.hang ? undefined : answer.delayMs, signal)
      if (signal.aborted) {
        const late = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError'
        return { ok: false, failure: failureOf(late ? 'timeout' : 'abort') }
      }
      return toReply(answer, name, now())
    },
  }
}

/** A script that throws is a provider that fails. */
async function ask(play: ReturnType<typeof player>, request: Parameters<typeof play>[0]): Promise<ScriptAnswer> {
  try {
    return (await play(request)) ?? { status: 500, body: 'The script gave no answer.' }
  } catch (thrown) {
    return { status: 500, body: messageOf(thrown) }
  }
}

/** What a scripted answer comes to, at once. `nowMs`: what a date in `retry-after` is counted from. */
export function toReply(answer: ScriptAnswer, modelId: string, nowMs = Date.now()): Reply {
  if (answer.drop) return { ok: false, failure: failureOf('transport') }
  if (answer.status !== undefined && answer.status !== 200) {
    return {
      ok: false,
      failure: classify({ status: answer.status, headers: lowerCase(answer.headers), body: answer.body }, nowMs),
    }
  }
  if (answer.body !== undefined) return { ok: false, failure: failureOf('malformed') }
  const content = contentOf(answer)
  const result: Answer = {
    provider: 'scripted',
    modelId,
    content,
    finish: finishOf(answer),
    usage: usageOf(answer, content),
  }
  return { ok: true, answer: result }
}

/** As names of headers come off the wire. */
function lowerCase(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}

function contentOf(answer: ScriptAnswer): AnswerPart[] {
  const content: AnswerPart[] = []
  if (answer.reasoning !== undefined) content.push({ type: 'reasoning', text: answer.reasoning })
  if (answer.text !== undefined) content.push({ type: 'text', text: answer.text })
  for (const { name, id = '', arguments: input = {}, raw } of answer.calls ?? []) {
    content.push({ type: 'call', id, name, ...(raw === undefined ? { arguments: input } : { raw }) })
  }
  return content
}

/** Why the answer ends, where the script does not say. */
export function finishOf(answer: ScriptAnswer): Finish {
  return answer.finish ?? (answer.calls?.length ? 'tool-calls' : 'stop')
}

function usageOf(answer: ScriptAnswer, content: readonly AnswerPart[]): TokenUsage {
  const count = (name: string, fallback: number): number | null => {
    if (answer.usage === undefined) return fallback
    const value = answer.usage[name]
    return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
  }
  let characters = 0
  for (const part of content) characters += part.type === 'call' ? part.name.length + 20 : part.text.length
  return {
    inputTokens: count('inputTokens', 100),
    outputTokens: count('outputTokens', Math.ceil(characters / 4)),
    cachedInputTokens: answer.usage === undefined ? null : count('cachedInputTokens', 0),
    cacheWriteTokens: answer.usage === undefined ? null : count('cacheWriteTokens', 0),
    reasoningTokens: answer.usage === undefined ? null : count('reasoningTokens', 0),
  }
}

/** Waits, or until the call is called off; without a time, until it is called off. */
function pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer)
      // One signal may outlive many calls.
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = ms === undefined ? undefined : setTimeout(finish, ms)
    signal.addEventListener('abort', finish)
  })
}
