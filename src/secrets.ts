// The secrets of this process, and the only place that knows their values. Everything else holds handles: a value is read
// when a tool that lists its name is called, given to it, and kept nowhere. Whatever a secret has been since the process
// began is known to the redactor, so a value that was changed does not slip into the log afterwards.

import { Fault } from './core/fault.ts'
import { isObject, type Json } from './core/json.ts'
import { handle, secretProblem } from './core/known-secrets.ts'
import { redactor, type Redactor } from './core/redact.ts'

/** A secret's value, or where to read it each time that it is needed. */
export type SecretSource = string | undefined | (() => string | undefined)

/** Secrets by name. */
export type SecretTable = Readonly<Record<string, SecretSource>>

/** What is kept out of the log, besides secrets. */
export interface Redaction {
  /** See docs/DATA.md: a pattern must take time in proportion to the text. */
  readonly patterns?: readonly RegExp[]
}

const valuesMax = 8

/** The values of secrets as far as they can be known now; what is wrong with them is left to be said by `Secrets`. */
export function knownValues(sources: SecretTable): Record<string, string> {
  const values = Object.keys(sources).map((name) => [name, readSource(sources[name])] as const)
  return Object.fromEntries(values.filter(([name, value]) => secretProblem(name, value) === undefined)) as Record<
    string,
    string
  >
}

function readSource(source: SecretSource): string | undefined {
  if (typeof source !== 'function') return source
  try {
    const value: unknown = source()
    // It cannot be waited for, and is no value; what becomes of it is nobody's.
    if (value instanceof Promise) value.catch(() => undefined)
    return value as string | undefined
  } catch {
    // What it threw may hold what must not be told.
    return undefined
  }
}

/** The secrets that tools may be given, and the redactor that takes them out of everything else. */
export class Secrets {
  readonly #sources: SecretTable
  readonly #patterns: readonly RegExp[]
  readonly #seen = new Map<string, readonly string[]>()
  #redactor: Redactor

  /** Takes out what is known, whatever the secrets have become since. */
  readonly redact: Redactor = {
    value: (given) => this.#redactor.value(given),
    text: (given) => this.#redactor.text(given),
  }

  /** `hidden` is taken out, and given to nobody. Throws CONFIG_INVALID, naming the secret and never its value. */
  constructor(sources: SecretTable = {}, redaction: Redaction = {}, hidden: Readonly<Record<string, string>> = {}) {
    for (const [name, given] of Object.entries({ secrets: sources, redact: redaction })) {
      if (!isObject(given)) throw new Fault('CONFIG_INVALID', `${name} is not an object.`, `Write ${name}: { … }.`)
    }
    this.#sources = sources
    this.#patterns = redaction.patterns ?? []
    for (const name of Object.keys(sources)) {
      const value = readSource(this.#sources[name])
      const problem = secretProblem(name, value)
      if (problem !== undefined) {
        throw new Fault('CONFIG_INVALID', `The secret ${name}: ${problem}.`, `Change it in secrets, or leave it out.`)
      }
      this.#seen.set(name, [value!])
    }
    for (const [name, value] of Object.entries(hidden)) {
      if (!this.#seen.has(name) && secretProblem(name, value) === undefined) this.#seen.set(name, [value])
    }
    this.#redactor = this.#make()
  }

  /** Is there a secret of this name? */
  has(name: string): boolean {
    return Object.hasOwn(this.#sources, name)
  }

  /** The value of a secret, for a tool. Throws SECRET_REFUSED unless the tool lists it. */
  give(name: string, tool: { readonly name: string; readonly secrets?: readonly string[] | undefined }): string {
    if (!tool.secrets?.includes(name)) {
      throw new Fault(
        'SECRET_REFUSED',
        `The tool ${tool.name} may not have the secret ${name}.`,
        'A tool is given the secrets that it lists, and no others.',
      )
    }
    const value = this.has(name) ? readSource(this.#sources[name]) : undefined
    if (value === undefined || secretProblem(name, value) !== undefined) {
      throw new Fault('SECRET_REFUSED', `The secret ${name} has no value here.`, 'Give it one in secrets.')
    }
    this.#learn(name, value)
    return value
  }

  /** The same JSON with secrets in the place of handles. Throws SECRET_REFUSED for one that the tool may not have. */
  resolve(value: Json, tool: { readonly name: string; readonly secrets?: readonly string[] | undefined }): Json {
    if (typeof value === 'string') {
      if (!value.includes('secret://')) return value
      return value.replaceAll(handle, (_, name: string) => this.give(name, tool))
    }
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map((inner: Json) => this.resolve(inner, tool))
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.resolve(inner, tool)]))
  }

  #learn(name: string, value: string): void {
    const values = this.#seen.get(name) ?? []
    if (values.includes(value)) return
    this.#seen.set(name, [value, ...values].slice(0, valuesMax))
    this.#redactor = this.#make()
  }

  #make(): Redactor {
    return redactor({ secrets: Object.fromEntries(this.#seen), patterns: this.#patterns })
  }
}

/**
 * Takes secrets out of something that was thrown, and answers with it: of its message and stack, of its causes, and of
 * what a Fault carries besides.
 */
export function cleanError(thrown: unknown, redact: Redactor): unknown {
  if (typeof thrown === 'string') return redact.text(thrown)
  let error = thrown
  // A cause may have a cause; one that is its own is looked at a few times.
  for (let depth = 0; depth < 8 && error instanceof Error; depth += 1) {
    for (const field of ['message', 'stack'] as const) {
      const text = error[field]
      const kept = text === undefined ? text : redact.text(text)
      if (kept !== text) Object.defineProperty(error, field, { value: kept, configurable: true, writable: true })
    }
    if (typeof error.cause === 'string') error.cause = redact.text(error.cause)
    error = error.cause
  }
  return thrown
}
