// A result that is larger than what a model can be shown is shown by its head, with a handle by which the model may read
// on. The whole of it is in the log; this is the only tool that is the engine's own, and it calls nothing.

import type { Json, JsonObject } from './json.ts'
import type { Offer } from './model.ts'
import type { Schema } from './schema.ts'
import type { Visit } from './task.ts'

const name = 'read_result'

const inputSchema: JsonObject = {
  type: 'object',
  properties: {
    handle: { type: 'string', description: 'the handle of the result' },
    start: { type: 'integer', minimum: 0, description: 'the character to begin at' },
  },
  required: ['handle', 'start'],
  additionalProperties: false,
}

const offer: Offer = {
  name,
  description: 'Reads on in a result that was too large to be shown whole.',
  inputSchema,
}

/** The text of a result: itself, or as JSON. */
function textOf(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Cuts without taking a character apart. */
function slice(text: string, start: number, chars: number): string {
  const begins = isLow(text.charCodeAt(start)) ? start + 1 : start
  const ends = Math.min(text.length, start + chars)
  return text.slice(begins, isLow(text.charCodeAt(ends)) ? ends + 1 : ends)
}

function isLow(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}

/** What is shown in place of a large result. */
function head(text: string, handle: string, chars: number): Json {
  const shown = slice(text, 0, chars)
  const note = `Only the first ${shown.length} of ${text.length} characters. Read on with ${name}.`
  return { head: shown, handle, totalChars: text.length, note }
}

/** A stretch of a result of this visit; what is wrong with the question where there is none. */
function read(visit: Visit, handle: string, start: number, chars: number): Json {
  const [turn, index] = handle.split('.').map(Number)
  const result = visit.turns.find((given) => given.turn === turn)?.results.get(index ?? -1)
  if (!result) return { problem: `There is no result ${handle} in this visit.` }
  const text = textOf(result.value)
  const read = slice(text, start, chars)
  const begins = isLow(text.charCodeAt(start)) ? start + 1 : start
  const next = begins + read.length
  return { handle, start, text: read, nextStart: next < text.length ? next : null, totalChars: text.length }
}

const schema: Schema<{ handle: string; start: number }> = {
  '~standard': {
    version: 1,
    vendor: 'signalbox',
    validate(value) {
      const { handle, start } = (value ?? {}) as { handle?: unknown; start?: unknown }
      if (typeof handle !== 'string') return { issues: [{ message: 'expected a text', path: ['handle'] }] }
      if (!Number.isSafeInteger(start) || (start as number) < 0) {
        return { issues: [{ message: 'expected a whole number from 0 on', path: ['start'] }] }
      }
      return { value: { handle, start: start as number } }
    },
  },
}

/** How a model reads on in a large result. */
export const readOn = { name, offer, schema, textOf, head, read } as const
