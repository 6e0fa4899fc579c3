// Where an argument came from decides whether an injected order can do harm. A model that has read untrusted words may
// still call a tool, but what decides who gets what (a sink) must then be words of ours: they stand as they are, whole,
// in something trusted that the state may read, or in the set that the tool names. Links in what leaves are sinks too.

import { hostAllowed } from './egress.ts'
import type { Json } from './json.ts'
import { handlesIn } from './known-secrets.ts'
import { cleanLinks, linksIn } from './link.ts'
import type { MachineTool, Node } from './machine.ts'
import type { Task } from './task.ts'

/** A value that nobody of ours has said. */
export interface Foreign {
  readonly path: string
  readonly value: string
}

/** The words that a state may take as ours. */
export interface Origin {
  readonly texts: readonly string[]
  /** The texts of one trusted context key, as a set; undefined when it is not trusted, or not there. */
  readonly set: (key: string) => ReadonlySet<string> | undefined
}

/** What is ours in a state: what its author wrote, and the trusted context keys that it may read. */
export function originOf(task: Task, node: Node): Origin {
  const texts: string[] = []
  if (node.kind === 'model') {
    const { instructions, prompt } = node.state
    if (instructions !== undefined) texts.push(instructions)
    if (typeof prompt === 'string') texts.push(prompt)
  }
  for (const [key, { value, label }] of task.context) {
    if (label.trust === 'trusted' && value !== undefined && (!node.reads || node.reads.has(key)))
      for (const text of leaves(value)) texts.push(text)
  }
  return {
    texts,
    set: (key) => {
      const kept = task.context.get(key)
      return kept?.label.trust === 'trusted' && kept.value !== undefined ? new Set(leaves(kept.value)) : undefined
    },
  }
}

/**
 * The values of a call's sinks that are not ours. `asked` is what was asked for, before the tool's schema made `input` of
 * it: a sink that is not there any more is judged as it was.
 */
export function foreignSinks(tool: MachineTool, input: Json, origin: Origin, asked = input): readonly Foreign[] {
  const foreign: Foreign[] = []
  for (const [path, key] of tool.sinks) {
    const allowed = key === null ? undefined : (origin.set(key) ?? new Set<string>())
    const made = valuesAt(input, path.split('.'))
    for (const value of leaves(made.length > 0 ? made : valuesAt(asked, path.split('.')))) {
      if (allowed ? allowed.has(value) : origin.texts.some((text) => quotes(text, value))) continue
      foreign.push({ path, value })
    }
  }
  return foreign
}

/** Handles of secrets in a call whose tool would be given their values, and which nobody of ours has written. */
export function foreignHandles(tool: MachineTool, input: Json, origin: Origin): readonly Foreign[] {
  if (!tool.tool.secrets?.length) return []
  return leaves(input)
    .flatMap(handlesIn)
    .filter((value) => !origin.texts.some((text) => quotes(text, value)))
    .map((value) => ({ path: 'secret', value }))
}

/** Links in what leaves by a call that are neither ours nor to a host that the tool may speak to. */
export function foreignLinks(tool: MachineTool, input: Json, origin: Origin): readonly Foreign[] {
  return leaves(input)
    .flatMap(linksIn)
    .filter((value) => !origin.texts.some((text) => quotes(text, value)))
    .filter((value) => tool.egress === undefined || !hostAllowed(value, tool.egress))
    .map((value) => ({ path: 'link', value }))
}

/** The values at a path; a list on the way stands for each of its items, and what has no parts for what would be its parts. */
export function valuesAt(value: Json, path: readonly string[]): readonly Json[] {
  if (Array.isArray(value)) return value.flatMap((item: Json) => valuesAt(item, path))
  const [name, ...rest] = path
  if (name === undefined) return [value]
  if (typeof value !== 'object' || value === null) return [value]
  if (!Object.hasOwn(value, name)) return []
  return valuesAt((value as Record<string, Json>)[name]!, rest)
}

/** Every text and number in a value, and the keys of objects, as texts. A yes, a no and a nothing send nothing anywhere. */
export function leaves(given: Json): string[] {
  const found: string[] = []
  const visit = (value: Json): void => {
    if (typeof value === 'string') found.push(value)
    else if (typeof value === 'number') found.push(String(value))
    else if (Array.isArray(value)) for (const item of value as readonly Json[]) visit(item)
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) {
        found.push(key)
        visit(inner)
      }
    }
  }
  visit(given)
  return found
}

// What beside a word makes it a part of a longer one. A dot or a colon may end a sentence, but not begin more; a quote or a
// bar may stand around a word, unless it stands within one; a comma is a part of a number.
const part = /[\p{L}\p{M}\p{N}_@./:\\%?#&=+~$*-]/u
const within = /[\p{L}\p{N}]['!`{|}^’]$/u
const ends = /^[.:?!,;)\]}'"]*(\s|$)/

/** Does a text hold this value as a whole word, to the letter? */
export function quotes(text: string, value: string): boolean {
  if (value.trim() === '') return false
  if (text === value) return true
  for (let start = text.indexOf(value); start >= 0; start = text.indexOf(value, start + 1)) {
    const before = text.slice(Math.max(0, start - 4), start)
    const after = text.slice(start + value.length, start + value.length + 8)
    if (!goesOnBefore(before, value) && !goesOnAfter(after, value)) return true
  }
  return false
}

function goesOnBefore(before: string, value: string): boolean {
  return part.test(Array.from(before).at(-1) ?? '') || within.test(before) || (/\d,$/.test(before) && /^\d/.test(value))
}

function goesOnAfter(after: string, value: string): boolean {
  if (/\d$/.test(value) && /^,\d/.test(after)) return true
  if (after === '' || ends.test(after)) return false
  return part.test(String.fromCodePoint(after.codePointAt(0)!)) || /^['!`{|}^’][\p{L}\p{N}]/u.test(after)
}

/** A value without the links that are not ours, and what they were. */
export function withoutLinks(value: Json, origin: Origin): { readonly value: Json; readonly links: readonly string[] } {
  const links: string[] = []
  const keeps = (link: string): boolean => origin.texts.some((text) => quotes(text, link))
  const cleanText = (text: string): string => {
    const cleaned = cleanLinks(text, keeps)
    for (const link of cleaned.links) links.push(link)
    return cleaned.text
  }
  const clean = (inner: Json): Json => {
    if (typeof inner === 'string') return cleanText(inner)
    if (Array.isArray(inner)) return (inner as readonly Json[]).map(clean)
    if (typeof inner !== 'object' || inner === null) return inner
    return Object.fromEntries(Object.entries(inner).map(([key, item]) => [cleanText(key), clean(item)]))
  }
  return { value: clean(value), links }
}
