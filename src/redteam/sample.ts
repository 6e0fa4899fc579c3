// A value that a JSON Schema lets through, the smallest that has something in it: what a model or a person hands over when
// nobody has written down what they would say. It knows the keywords that people use in outputs; where it fails, the answer
// is refused like any other, and the report says so.

import { isObject, type Json, type JsonObject } from '../core/json.ts'

/** A value by its schema. `word` is what texts are made of. */
export function sample(schema: Json | undefined, word = 'sample', root: Json | undefined = schema, depth = 0): Json {
  if (!isObject(schema) || depth > 12) return depth > 12 ? null : word
  const it: JsonObject = schema
  const inner = (next: Json | undefined): Json => sample(next, word, root, depth + 1)
  if ('const' in it) return it['const']!
  if (Array.isArray(it['enum'])) return (it['enum'] as readonly Json[])[0] ?? null
  if (typeof it['$ref'] === 'string') return inner(lookUp(root, it['$ref']))
  for (const key of ['anyOf', 'oneOf'] as const) {
    const [first] = (it[key] ?? []) as readonly Json[]
    if (first !== undefined) return inner(first)
  }
  if (Array.isArray(it['allOf'])) {
    const parts = (it['allOf'] as readonly Json[]).map(inner).filter((part) => isObject(part))
    return Object.assign({}, ...parts) as Json
  }
  const type = Array.isArray(it['type']) ? (it['type'] as readonly Json[])[0] : it['type']
  if (type === 'object' || it['properties'] !== undefined) {
    const properties = Object.entries((it['properties'] ?? {}) as JsonObject)
    return Object.fromEntries(properties.map(([name, value]) => [name, inner(value)]))
  }
  if (type === 'array') {
    const length = Math.max(1, Number(it['minItems'] ?? 1))
    const item = inner(it['items'])
    return Array.from({ length }, (_, index) => (typeof item === 'string' && index > 0 ? `${item}${index}` : item))
  }
  if (type === 'number' || type === 'integer') return numberOf(it)
  if (type === 'boolean') return true
  if (type === 'null') return null
  return textOf(it, word)
}

function numberOf(it: JsonObject): number {
  const above = it['exclusiveMinimum']
  const low = typeof above === 'number' ? above + 1 : Number(it['minimum'] ?? 1)
  return Math.min(Number(it['maximum'] ?? Infinity), Math.max(1, Number.isFinite(low) && low > -1e9 ? low : 1))
}

const formats: Readonly<Record<string, string>> = {
  email: 'kim@example.com',
  uri: 'https://example.com/',
  url: 'https://example.com/',
  uuid: '019abcde-0000-7000-8000-000000000000',
  date: '2026-01-02',
  'date-time': '2026-01-02T03:04:05Z',
  time: '03:04:05Z',
  ipv4: '192.0.2.1',
}

function textOf(it: JsonObject, word: string): string {
  const known = formats[String(it['format'])]
  if (known !== undefined) return known
  const padded = word.padEnd(Number(it['minLength'] ?? 0), '-')
  return padded.slice(0, Number(it['maxLength'] ?? padded.length))
}

function lookUp(root: Json | undefined, ref: string): Json | undefined {
  let at: unknown = root
  for (const part of ref.replace(/^#\/?/, '').split('/').filter(Boolean)) {
    at = isObject(at) ? at[part] : undefined
  }
  return at as Json | undefined
}
