// A quarantine is a state whose outputs are closed: choices, numbers, yes and no, and no text of anybody's making. What
// passes through it carries no orders, so a declared, logged declassification may give it a weaker label.

import type { Json, JsonObject } from './json.ts'
import type { Declassification } from './agent.ts'
import type { MachineExit, Node } from './machine.ts'
import type { Schema } from './schema.ts'

/** What is wrong with a state's declassification, each with its cure. */
export function quarantineProblems(node: Node): readonly { readonly problem: string; readonly cure: string }[] {
  const { declassify } = node
  if (!declassify) return []
  const found: { problem: string; cure: string }[] = []
  if (typeof declassify.reason !== 'string' || declassify.reason.trim() === '') {
    found.push({ problem: 'The reason is missing.', cure: 'Say why what leaves is harmless; the log keeps it.' })
  }
  if (!isWeaker(declassify)) {
    const problem = 'It makes no label weaker.'
    found.push({ problem, cure: "Declare trust: 'trusted', or privacy: 'public' or 'private'." })
  }
  if (node.kind === 'model' && node.tools.size > 0) {
    const problem = 'A quarantine has no tools: whatever they answer could make it act.'
    found.push({ problem, cure: 'Let another state call them, and hand over what they answered.' })
  }
  for (const exit of node.exits.values()) {
    const problem = openness(node, exit)
    if (problem !== undefined) {
      const cure =
        'Hand over enums, literals, booleans, numbers with bounds, and short lists of them; see docs/CHECK.md.'
      found.push({ problem: `What leaves by ${exit.name} is not closed: ${problem}.`, cure })
    }
  }
  return found
}

function isWeaker({ trust, privacy }: Declassification): boolean {
  return trust === 'trusted' || privacy === 'public' || privacy === 'private'
}

function openness(node: Node, { name, output, outputJson }: MachineExit): string | undefined {
  if (name.startsWith('$')) return undefined
  // What a function hands over is not looked at where no schema says what it may be.
  if (!output) return node.kind === 'run' && node.writes.size > 0 ? 'it has no output schema' : undefined
  const open = opening(outputJson, strippingVendors.has(output['~standard'].vendor), 'the output')
  if (open !== undefined) return open
  const bits = bitsOf(outputJson)
  if (bits <= bitsMax) return undefined
  const much = Number.isFinite(bits) ? `it may carry ${Math.ceil(bits)} bits` : 'it holds a number without bounds'
  return `${much}, and more than ${bitsMax} are as good as a text`
}

/** How much may leave a quarantine: sixteen letters would fit, and no order in words of any length. */
const bitsMax = 128

/** How much a closed value can tell, in bits (C. E. Shannon, 1948): the logarithm of how many there are. */
function bitsOf(json: Json | undefined): number {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return 0
  const schema = json as JsonObject
  if ('const' in schema) return 0
  if (Array.isArray(schema['enum'])) return Math.log2(Math.max(1, schema['enum'].length))
  const choices = schema['anyOf'] ?? schema['oneOf']
  if (Array.isArray(choices)) return Math.log2(sum(choices.map((choice) => 2 ** bitsOf(choice))))
  const { type } = schema
  if (type === 'boolean') return 1
  if (type === 'integer' || type === 'number') return bitsOfNumber(schema)
  if (type === 'array') return bitsOfList(schema)
  if (type !== 'object') return 0
  // Each property may also be left out.
  const properties = Object.values((schema['properties'] ?? {}) as JsonObject)
  return sum(properties.map((inner) => Math.log2(2 ** bitsOf(inner) + 1)))
}

function bitsOfList({ prefixItems = [], items, maxItems = 0 }: JsonObject): number {
  const fixed = Array.isArray(prefixItems) ? prefixItems : []
  const more = Math.max(0, (maxItems as number) - fixed.length)
  return sum(fixed.map(bitsOf)) + (more === 0 ? 0 : more * bitsOf(items) + Math.log2(more + 1))
}

/** A number with bounds has so many values; a fraction has as many as a double holds. */
function bitsOfNumber({ type, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf }: JsonObject): number {
  const [low, high] = [minimum ?? exclusiveMinimum, maximum ?? exclusiveMaximum]
  if (typeof low !== 'number' || typeof high !== 'number') return Infinity
  // What libraries write where nobody said: the bounds of a safe integer.
  if (high - low >= Number.MAX_SAFE_INTEGER) return Infinity
  const step = typeof multipleOf === 'number' ? multipleOf : type === 'integer' ? 1 : undefined
  return step === undefined ? 62 : Math.log2(Math.max(1, (high - low) / step + 1))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

// These drop the properties that an object schema does not name, and their JSON Schema leaves `additionalProperties` out.
// Others keep such properties, with the same JSON Schema.
const strippingVendors: ReadonlySet<string> = new Set(['zod', 'valibot'])

/** Does nothing get through that the schema of an object does not name? */
export function strips(schema: Schema, json: JsonObject): boolean {
  return namesAll(json, strippingVendors.has(schema['~standard'].vendor))
}

function namesAll(json: JsonObject, drops: boolean): boolean {
  return json['additionalProperties'] === false || (drops && json['additionalProperties'] === undefined)
}

/** Where a JSON Schema lets something through that is not closed; undefined when it does not. */
function opening(json: Json | undefined, drops: boolean, place: string): string | undefined {
  if (json === false) return undefined
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return `${place} may be anything`
  const schema = json as JsonObject
  if ('const' in schema || Array.isArray(schema['enum'])) return undefined
  const choices = schema['anyOf'] ?? schema['oneOf']
  if (Array.isArray(choices)) return first(choices, (choice) => opening(choice, drops, place))
  const types = Array.isArray(schema['type']) ? schema['type'] : [schema['type']]
  return first(types, (type) => openingOf(type, schema, drops, place))
}

const closed: ReadonlySet<Json | undefined> = new Set(['boolean', 'integer', 'number', 'null'])

function openingOf(type: Json | undefined, schema: JsonObject, drops: boolean, place: string): string | undefined {
  if (closed.has(type)) return undefined
  if (type === 'string') return `${place} may be any text`
  if (type === 'array') return openingOfList(schema, drops, place)
  if (type !== 'object') return `${place} may be anything`
  if (!namesAll(schema, drops)) return `${place} may have properties that nobody named`
  const properties = Object.entries((schema['properties'] ?? {}) as JsonObject)
  return first(properties, ([name, inner]) => opening(inner, drops, name))
}

function openingOfList(schema: JsonObject, drops: boolean, place: string): string | undefined {
  const { prefixItems = [], items, maxItems } = schema
  if (maxItems === undefined && items !== false) return `${place} may be a list of any length`
  const prefix = Array.isArray(prefixItems) ? prefixItems : []
  const inner = first(prefix, (item) => opening(item, drops, place))
  if (inner !== undefined || (typeof maxItems === 'number' && maxItems <= prefix.length)) return inner
  return opening(items, drops, place)
}

function first<T>(of: readonly T[], look: (one: T) => string | undefined): string | undefined {
  for (const one of of) {
    const found = look(one)
    if (found !== undefined) return found
  }
  return undefined
}
