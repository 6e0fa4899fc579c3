// The context is the shared state of a task: named, typed, versioned keys. What a key may hold is declared here, and how
// a write meets the value that is there; who may read and write it is declared state by state in the machine.

import { keyOf, type Json } from './json.ts'
import type { DeclaredLabel } from './label.ts'
import type { Infer, Schema } from './schema.ts'

/**
 * One key: a schema, or a schema with an initial value, a rule that joins a new value to the old one, and the label that
 * whatever is written to it has at least. Task input is trusted and public unless its key says otherwise.
 */
export type KeyDefinition =
  | Schema
  | (DeclaredLabel & {
      readonly schema: Schema
      /** The value before anything was written. A key without one, whose schema is not optional, must come as input. */
      readonly initial?: unknown
      /** How a write meets what is there; default `replace`. Where tasks of one tree share the key, any other never clashes. */
      readonly merge?: Merge
      /** It is shown outside, as an answer that a browser renders, say: links in it that nobody of ours gave are taken out. */
      readonly outward?: boolean
    })

/**
 * How a write meets the value that is already there. `replace`: it takes its place. `append`: a list grows at its end.
 * `union`: the same, without what is in it. `max`: the larger number. Or a function of both: pure and synchronous.
 */
export type Merge = (typeof merges)[number] | ((kept: any, given: any) => unknown)

/** The merges that have a name. */
export const merges = ['replace', 'append', 'union', 'max'] as const

/** Does what was kept go into what is written? Then it keeps its label, and two writers do not undo each other. */
export function isMerging(merge: Merge): boolean {
  return merge !== 'replace'
}

/** The value that a write comes to. What a function throws is its author's. */
export function merged(merge: Merge, kept: Json | undefined, given: Json): unknown {
  if (kept === undefined || merge === 'replace') return given
  if (typeof merge === 'function') return merge(kept, given)
  if (merge === 'max') return typeof kept === 'number' && typeof given === 'number' ? Math.max(kept, given) : given
  if (!Array.isArray(kept) || !Array.isArray(given)) return given
  if (merge === 'append') return [...kept, ...given]
  const known = new Set(kept.map(keyOf))
  return [...kept, ...(given as readonly Json[]).filter((one) => !known.has(keyOf(one)) && known.add(keyOf(one)))]
}

/** The keys of a context, by name. */
export type ContextShape = Readonly<Record<string, KeyDefinition>>

type SchemaOf<K> = K extends { readonly schema: infer S } ? S : K

/** The values of a context whose keys are declared by `Shape`. */
export type ContextOf<Shape extends ContextShape> = {
  -readonly [Key in keyof Shape]: Infer<SchemaOf<Shape[Key]>>
}

type Optional<Shape extends ContextShape> = {
  [Key in keyof Shape]: Shape[Key] extends { readonly initial: unknown }
    ? Key
    : undefined extends Infer<SchemaOf<Shape[Key]>>
      ? Key
      : never
}[keyof Shape]

/** What a task is started with: every key that has no initial value and is not optional, and any other key. */
export type InputOf<Shape extends ContextShape> = Omit<ContextOf<Shape>, Optional<Shape>> &
  Partial<Pick<ContextOf<Shape>, Optional<Shape>>>

/** A context definition. Agents that name the same object share the same keys. */
export interface ContextDefinition<Shape extends ContextShape = ContextShape> {
  readonly keys: Shape
}

/** Declares the shared state of a task. Keys are checked when the agent that uses them is. */
export function defineContext<const Shape extends ContextShape>(keys: Shape): ContextDefinition<Shape> {
  return Object.freeze({ keys: Object.freeze({ ...keys }) })
}
