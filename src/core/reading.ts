// What a function of the machine's author may see: the context keys that its state may read, frozen to the ground. Asking
// for another key is refused as a fact, and throws, so that nobody decides on what he may not know.

import { clear, join, type Label } from './label.ts'
import type { Machine, Node } from './machine.ts'
import type { Json, JsonObject } from './json.ts'
import type { Task } from './task.ts'

/** The context as a state may see it. `denied` is told of every key that was asked for in vain. */
export function readable(machine: Machine, task: Task, node: Node, denied?: (key: string) => void): JsonObject {
  const context: Record<string, Json> = Object.create(null) as Record<string, Json>
  for (const [key, { value }] of task.context) {
    if (value !== undefined && (!node.reads || node.reads.has(key))) context[key] = value
  }
  if (node.reads) for (const key of machine.context.keys()) if (!node.reads.has(key)) forbid(context, key, node, denied)
  return Object.freeze(context)
}

function forbid(context: object, key: string, { name }: Node, denied: ((key: string) => void) | undefined): void {
  Object.defineProperty(context, key, {
    get() {
      denied?.(key)
      throw new Error(`the state ${name} may not read ${key}; name it in reads`)
    },
  })
}

/** The label of everything that a state may read. */
export function seenBy(task: Task, node: Node): Label {
  let label = clear
  for (const [key, kept] of task.context) if (!node.reads || node.reads.has(key)) label = join(label, kept.label)
  return label
}
