// A tool from outside is what it was when somebody agreed to it: its name, its description and its schema, pinned by their
// hash. A text that has changed since may say anything to a model, so such a tool is neither shown nor called.

import { keyOf, type JsonObject } from './json.ts'
import type { MachineTool } from './machine.ts'

type Declared = Pick<MachineTool, 'name' | 'tool' | 'inputJson'>

/** The text of a tool that a model is shown, as it was declared. */
export function textOf({ name, tool, inputJson }: Declared): string {
  return say(name, tool.description, inputJson)
}

/** The same as its provider has it now. */
function currentTextOf({ name, tool, inputJson }: Declared): string {
  const { description, inputSchema } = tool.current?.() ?? { description: tool.description, inputSchema: inputJson }
  return say(name, description, inputSchema)
}

function say(name: string, description: string, inputSchema: JsonObject): string {
  return keyOf([name, description, withoutDialect(inputSchema)])
}

/** Which dialect of JSON Schema it is written in says nothing to a model. */
function withoutDialect({ $schema: _dialect, ...schema }: JsonObject): JsonObject {
  return schema
}

/** Is this another text than the one that was pinned, or declared? What cannot be read is. */
export function isChanged(tool: MachineTool, hash: (text: string) => string): boolean {
  const { pin, current } = tool.tool
  if (pin === undefined && current === undefined) return false
  try {
    const text = currentTextOf(tool)
    return pin === undefined ? text !== textOf(tool) : hash(text) !== pin
  } catch {
    return true
  }
}
