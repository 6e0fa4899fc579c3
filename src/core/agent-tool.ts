// A specialist: an agent that a model may ask as it calls a tool. The call is judged as any other and takes a human's yes
// where one is needed; what it does is a child task of its own, under the budget and the deadline of whoever asks.

import type { Agent } from './agent.ts'
import type { KeyDefinition } from './context.ts'
import { isSchema, toJsonSchema, validate, type Schema } from './schema.ts'
import type { Tool } from './tool.ts'

/** What an agent is to a model that may ask it. */
export interface AgentToolOptions
  extends
    Pick<Tool, 'description'>,
    Partial<Pick<Tool, 'name' | 'sinks' | 'approval' | 'timeout' | 'trust' | 'privacy'>> {
  /** What it may be asked with: an object of keys of the agent's context. Default: those that it cannot begin without. */
  readonly inputSchema?: Schema
}

/** Makes a tool of an agent. The model is told how the child ended, and what its final state hands over. */
export function agentTool(agent: Agent<any, any>, options: AgentToolOptions): Tool {
  const { inputSchema = inputOf(agent), ...given } = options
  return Object.freeze({
    name: agent.name,
    ...given,
    inputSchema,
    agent,
    execute: () => {
      throw new Error('an agent is not called: it begins as a child task')
    },
  })
}

/** The schema of what an agent must be started with. */
function inputOf({ context }: Agent): Schema {
  const needed = Object.entries(context.keys).filter(([, key]) => isNeeded(key))
  const schemas = new Map(needed.map(([name, key]) => [name, schemaOf(key)]))
  const names = [...schemas.keys()]
  const check = (value: unknown): ReturnType<Schema['~standard']['validate']> => {
    const given = new Map(Object.entries(typeof value === 'object' && value !== null ? value : {}))
    const issues = [...schemas].flatMap(([name, schema]) => {
      const verdict = validate(schema, given.get(name))
      return verdict.ok ? [] : [{ message: verdict.problem, path: [name] }]
    })
    return issues.length > 0 ? { issues } : { value: Object.fromEntries(names.map((name) => [name, given.get(name)])) }
  }
  const json = (): Record<string, unknown> => ({
    type: 'object',
    properties: Object.fromEntries([...schemas].map(([name, schema]) => [name, toJsonSchema(schema)])),
    required: names,
    additionalProperties: false,
  })
  const standard = { version: 1, vendor: 'signalbox', validate: check, jsonSchema: { input: json, output: json } }
  return { '~standard': standard } as Schema
}

function schemaOf(key: KeyDefinition): Schema {
  return isSchema(key) ? key : key.schema
}

function isNeeded(key: KeyDefinition): boolean {
  if (!isSchema(key) && 'initial' in key) return false
  return !validate(schemaOf(key), undefined).ok
}
