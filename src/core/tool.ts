// A tool is something the outside can be asked to do. Signalbox adds to the AI SDK's tool object only what it must
// know to be accountable: what the tool does to the outside, whether asking twice is harmless, and how long it may take.

import type { Agent } from './agent.ts'
import type { Approval } from './approval.ts'
import type { Duration } from './duration.ts'
import type { JsonObject } from './json.ts'
import type { DeclaredLabel } from './label.ts'
import type { Quota } from './quota.ts'
import type { Infer, Schema } from './schema.ts'

/** What a tool does to the outside: nothing (`read`), something here (`write`), something elsewhere (`external`). */
export type Effect = 'read' | 'write' | 'external'

/** What a tool's body is given besides its input. */
export interface ToolCall {
  /** The task that asks. */
  readonly taskId: string
  /** The number of the step within the task. */
  readonly step: number
  /** Which try of this step this is, from 1. */
  readonly attempt: number
  /** The same for every attempt of one step, and of no other: hand it to the outside so that it acts once. */
  readonly idempotencyKey: string
  /** The context keys that the calling state may read, frozen. */
  readonly context: Readonly<Record<string, any>>
  /** The value of a secret that the tool lists. Throws SECRET_REFUSED for any other. */
  readonly secret: (name: string) => string
  /** Speaks to the hosts that the tool lists in `egress`. Throws EGRESS_REFUSED for any other, redirects included. */
  readonly fetch: (address: string | URL, init?: RequestInit) => Promise<Response>
  /** Aborted when the deadline has passed or the task was cancelled. */
  readonly signal: AbortSignal
  /** The same signal under the AI SDK's name. */
  readonly abortSignal: AbortSignal
  /** The idempotency key under the AI SDK's name. */
  readonly toolCallId: string
}

/** What the outside says about a call whose answer was lost. */
export type Reconciled<Output = unknown> = { readonly done: true; readonly result: Output } | { readonly done: false }

/** Where a sink's value may come from besides trusted words: the trusted context key that holds the allowed ones. */
export interface Sink {
  readonly in: string
}

/**
 * A tool, as it is declared. An AI SDK tool object has `description`, `inputSchema` and `execute` already. `trust` and
 * `privacy` label what it answers with, its errors included.
 */
export interface Tool<Input = any, Output = unknown> extends Quota, DeclaredLabel {
  /** 1 to 64 letters, digits, `_` or `-`; unique within a state, exits included. */
  readonly name: string
  /** What a model reads to decide whether to call it. */
  readonly description: string
  readonly inputSchema: Schema<Input>
  /** Default `read`. */
  readonly effect?: Effect
  /**
   * The arguments that decide who gets what: recipient, url, path, account, amount. By name, or by a path such as
   * `message.to`. From an untrusted window their values must be trusted words, or members of a trusted set.
   */
  readonly sinks?: readonly string[] | Readonly<Record<string, Sink | true>>
  /** Hosts that it may speak to: `api.example.com`, or `*.example.com` for all below it. Makes a `read` an outward effect. */
  readonly egress?: readonly string[]
  /** A human must agree before it is called: `'always'`, or who, how many, how soon. Default: when the policy asks. */
  readonly approval?: 'always' | Approval
  /** A tool that somebody else provides (a server's, say) is asked about unless a rule allows it. Default `own`. */
  readonly origin?: 'own' | 'outside'
  /** The hash of the text that was agreed to (`pinOf`). With another text the tool is neither shown nor called. */
  readonly pin?: string
  /** The text as whoever provides the tool has it now; looked at before it is shown or called. Synchronous. */
  readonly current?: () => { readonly description: string; readonly inputSchema: JsonObject }
  /** Names of the secrets that it may be given: handles `secret://NAME` in its arguments, and `call.secret(NAME)`. */
  readonly secrets?: readonly string[]
  /** It is done by a child task of this agent, and `execute` is never called: what `agentTool` makes. */
  readonly agent?: Agent<any, any>
  /** May the same call be made twice without doing more than once? Default: true for `read`, false otherwise. */
  readonly idempotent?: boolean
  /** How long one attempt may take. Default 30 s. */
  readonly timeout?: Duration
  /** How often a failed call is tried, the first included. Default 3 for a tool that may be called twice, else 1. */
  readonly retry?: { readonly attempts: number }
  /**
   * Asks the outside whether a call whose answer was lost was done: for a tool that may not be called twice. Answers
   * with what the call would have answered, or that it was not done; then it is made (again). Throws where that cannot be
   * known; then, as without it, the call is a doubt.
   */
  readonly reconcile?: (input: Input, call: ToolCall) => Reconciled<Output> | Promise<Reconciled<Output>>
  /**
   * Takes back what a call did, for a rollback. *Contract*: does so once for an idempotency key, however often it is called.
   */
  undo?(input: Input, result: Output, call: ToolCall): unknown
  /**
   * Does it. *Contract*: answers with something JSON can carry; throws to fail; stops when `signal` aborts (an answer
   * that comes later is not applied).
   */
  readonly execute: (input: Input, call: ToolCall) => Output | Promise<Output>
}

/** Declares a tool. The input's type flows from the schema into `execute`. */
export function defineTool<const S extends Schema, Output>(
  tool: Omit<Tool<Infer<S>, Output>, 'inputSchema'> & { readonly inputSchema: S },
): Tool<Infer<S>, Output> {
  return Object.freeze({ ...tool }) as Tool<Infer<S>, Output>
}
