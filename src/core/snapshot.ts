// A snapshot is a task written down whole, so that whoever opens one with a long log need not fold it from its beginning.
// It holds nothing that the log does not say, and may be thrown away at any time. What is folded onto the task that was
// read back comes to the same, byte for byte, as what is folded onto the one that was written down.

import { freeze, keysInOrder, type Json, type JsonObject } from './json.ts'
import type { Task } from './task.ts'

/**
 * Written down as JSON: maps and sets under a name that begins with `$`, and so is every object that has such a name itself.
 * Undefined where it would take more than about `charsMax` characters.
 */
export function pack(task: Task, charsMax: number): Json | undefined {
  const room = { chars: charsMax }
  const packed = packValue(task, room)
  return room.chars < 0 ? undefined : packed
}

/** The task that was written down. */
export function unpack(packed: Json): Task {
  const task = unpackValue(packed) as Task
  // What functions of authors are given they cannot change, whoever read it.
  for (const { context } of [task, ...task.checkpoints]) for (const { value } of context.values()) freeze(value)
  return task
}

function packValue(value: unknown, room: { chars: number }): Json {
  room.chars -= typeof value === 'string' ? value.length : charsOfOther
  if (room.chars < 0) return null
  if (typeof value !== 'object' || value === null) return value as Json
  const pairs = (entries: Iterable<[unknown, unknown]>): Json =>
    Array.from(entries, ([key, inner]) => [packValue(key, room), packValue(inner, room)])
  if (value instanceof Map) return { $map: pairs(value as Map<unknown, unknown>) }
  if (value instanceof Set) return { $set: Array.from(value, (inner) => packValue(inner, room)) }
  if (Array.isArray(value)) return value.map((inner) => packValue(inner, room))
  const named = value as JsonObject
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  if (entries.some(([name]) => name.startsWith('$'))) return { $object: pairs(entries) }
  // In order already, so that nobody has to put a whole task in order to write it down.
  const names = keysInOrder(named).filter((name) => named[name] !== undefined)
  return Object.fromEntries(names.map((name) => [name, packValue(named[name], room)]))
}

/** About what anything takes that is not a text. */
const charsOfOther = 8

function unpackValue(packed: Json): unknown {
  if (typeof packed !== 'object' || packed === null) return packed
  if (Array.isArray(packed)) return packed.map(unpackValue)
  const { $map, $set, $object } = packed as { readonly [name: string]: readonly Json[] }
  if ($map) return new Map($map.map(unpackValue) as [unknown, unknown][])
  if ($set) return new Set($set.map(unpackValue))
  const entries = $object ? ($object.map(unpackValue) as [string, unknown][]) : undefined
  return Object.fromEntries(entries ?? Object.entries(packed).map(([name, inner]) => [name, unpackValue(inner)]))
}
