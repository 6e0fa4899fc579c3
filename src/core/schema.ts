// A schema is anyone's: zod, valibot, arktype, whatever speaks Standard Schema. From it we need two things only: a
// verdict on a value, given at once, and its JSON Schema, to show to a model.

import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'
import { Fault, messageOf } from './fault.ts'
import { isTooDeep, toJson, tooDeep, type Json, type JsonObject } from './json.ts'

/** A Standard Schema whose values are `Output`. */
export type Schema<Output = unknown> = StandardSchemaV1<any, Output>

/** The type of the values a schema lets through. */
export type Infer<S> = S extends StandardSchemaV1<any, infer Output> ? Output : never

/** What a schema says of a value. `problem` names the place and what was expected there. */
export type Judgement = { ok: true; value: Json } | { ok: false; problem: string }

/** Is this a Standard Schema at all? */
export function isSchema(value: unknown): value is Schema {
  return (
    value !== null &&
    (typeof value === 'object' || typeof value === 'function') &&
    '~standard' in value &&
    typeof (value as { '~standard': { validate?: unknown } | undefined })['~standard']?.validate === 'function'
  )
}

/** What any schema can read by recursion. */
const recursionMax = 100

/** Validates at once. Throws SCHEMA_ASYNC when the schema answers with a promise: a decision cannot wait. */
export function validate(schema: Schema, value: unknown): Judgement {
  if (isTooDeep(value)) return { ok: false, problem: tooDeep }
  const verdict = schema['~standard'].validate(value)
  if (verdict instanceof Promise) {
    verdict.catch(() => undefined)
    // A schema that describes itself reads by recursion, and may say that it takes its time where it can go no deeper.
    if (isTooDeep(value, recursionMax))
      return { ok: false, problem: 'lists and objects stand too deep within each other' }
    throw new Fault(
      'SCHEMA_ASYNC',
      `A schema of ${schema['~standard'].vendor} validates asynchronously.`,
      'Remove async refinements: Signalbox decides in one step and never waits inside it.',
    )
  }
  if (verdict.issues === undefined) {
    const json = toJson(verdict.value)
    return json.ok ? json : { ok: false, problem: json.problem }
  }
  return { ok: false, problem: verdict.issues.slice(0, 5).map(sayIssue).join('; ') }
}

function sayIssue(issue: StandardSchemaV1.Issue): string {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}

/**
 * The JSON Schema (draft 2020-12) of what may be put in. Throws SCHEMA_UNSUPPORTED when the library cannot say it;
 * called at start-up, so that a schema no model could be shown fails there.
 */
export function toJsonSchema(schema: Schema): JsonObject {
  const converter = (schema as unknown as Partial<StandardJSONSchemaV1>)['~standard'] as
    | Partial<StandardJSONSchemaV1.Props>
    | undefined
  if (typeof converter?.jsonSchema?.input !== 'function') {
    throw new Fault(
      'SCHEMA_UNSUPPORTED',
      `A schema of ${schema['~standard'].vendor} cannot be turned into JSON Schema.`,
      'Use zod or arktype, or wrap it (valibot: toStandardJsonSchema of @valibot/to-json-schema).',
    )
  }
  try {
    const json = toJson(converter.jsonSchema.input({ target: 'draft-2020-12' }))
    if (!json.ok) throw new Error(json.problem)
    const { $schema: _dialect, ...rest } = json.value as JsonObject
    return rest
  } catch (thrown) {
    throw new Fault(
      'SCHEMA_UNSUPPORTED',
      `A schema of ${schema['~standard'].vendor} has no JSON Schema: ${messageOf(thrown)}.`,
      'Use only what JSON can carry: no dates, transforms, bigints or maps.',
      { cause: thrown },
    )
  }
}
