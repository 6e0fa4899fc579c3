// The same agents with an outside that is played: their tools and functions do nothing of their own. Everything that is pure
// stays as it is.

import { isAgent, type Agent, type State } from '../core/agent.ts'
import type { Json } from '../core/json.ts'
import type { Tool, ToolCall } from '../core/tool.ts'

/** A function of a state, as an agent has it. */
export type Run = (given: any) => unknown

/** Who plays the outside. */
export interface Players {
  useTool(tool: Tool, input: Json, call: ToolCall): Promise<unknown>
  undo(tool: Tool, input: Json, call: ToolCall): Promise<unknown>
  /** Whether a call under a key has acted. */
  hasActed(key: string): boolean
  run(agent: string, state: string, run: Run): Run
}

/** An agent, and all below it, with their outside played. */
export function stage(agent: Agent, players: Players): Agent {
  const agents = new Map<Agent, Agent>()
  const tools = new Map<Tool, Tool>()

  function dress(plain: Agent): Agent {
    const done = agents.get(plain)
    if (done) return done
    const states = Object.entries(plain.states).map(([name, state]) => [name, dressState(plain.name, name, state)])
    const dressed = Object.freeze({ ...plain, states: Object.fromEntries(states) }) as Agent
    agents.set(plain, dressed)
    return dressed
  }

  function dressState(agentName: string, name: string, state: State): State {
    const it = state as unknown as Record<string, unknown>
    return {
      ...it,
      ...(Array.isArray(it['tools']) ? { tools: (it['tools'] as Tool[]).map(dressTool) } : {}),
      ...(it['tool'] === undefined ? {} : { tool: dressTool(it['tool'] as Tool) }),
      ...(isAgent(it['agent']) ? { agent: dress(it['agent']) } : {}),
      ...(typeof it['run'] === 'function' ? { run: players.run(agentName, name, it['run'] as Run) } : {}),
    } as unknown as State
  }

  function dressTool(tool: Tool): Tool {
    const done = tools.get(tool)
    if (done) return done
    const dressed: Tool = {
      ...tool,
      execute: (input, call) => players.useTool(tool, input as Json, call),
      ...(tool.undo
        ? { undo: (input: unknown, _: unknown, call: ToolCall) => players.undo(tool, input as Json, call) }
        : {}),
      ...(tool.reconcile
        ? {
            reconcile: (_: unknown, call: ToolCall) =>
              players.hasActed(call.idempotencyKey)
                ? { done: true as const, result: { ok: true } }
                : { done: false as const },
          }
        : {}),
      ...(tool.agent ? { agent: dress(tool.agent) } : {}),
    }
    tools.set(tool, dressed)
    return dressed
  }

  return dress(agent)
}
