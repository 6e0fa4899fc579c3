// Whether a task comes out the same when it is told again from its log, with nothing called. What the author wrote to be asked on
// the way (prompts, mappers, guards, rules) is asked once more: one that looks at a clock or rolls dice is found here.

import type { Agent } from '../core/agent.ts'
import { redactor } from '../core/redact.ts'
import { replay } from '../core/replay.ts'
import { definitionOf, readToTell } from '../outfit.ts'
import type { Invariant } from './invariants.ts'
import type { Scene } from './scene.ts'

/** I16 for plays that differ in their agents, windows and quotas, each made ready once. */
export function tellers(): (agent: Agent, config: Scene['config']) => Promise<Invariant> {
  const known = new Map<string, Promise<Invariant>>()
  return (agent, config) => {
    const key = JSON.stringify([agent.name, config?.windows, config?.quotas])
    const teller = known.get(key) ?? retold(agent, config)
    known.set(key, teller)
    return teller
  }
}

/** I16, for plays of an agent under a configuration. */
export async function retold(agent: Agent, config: Scene['config'] = {}): Promise<Invariant> {
  const { patterns = [] } = config.redact ?? {}
  const { terms } = await readToTell({ agents: [agent], ...config, env: {} }, redactor({ patterns }))
  // The agents of a play are others than those that were given: what they call is left out.
  const definitions = new Map<Agent, string>()
  const definition = (one: Agent): string => {
    if (!definitions.has(one)) definitions.set(one, definitionOf(one))
    return definitions.get(one)!
  }
  return {
    id: 'I16',
    what: 'a task that is told again from its log comes out the same, and nothing is called',
    breaks: ({ tasks, acts, asked }) => {
      const before = acts.length + asked.length
      const wrong = tasks.flatMap(({ taskId, machine, events }) => {
        const { divergence } = replay(machine, events, { ...terms, definition })
        if (!divergence) return []
        const { seq, logged, decided, differences, why } = divergence
        const paths = differences.length > 0 ? ` (${differences.map(({ path }) => path).join(', ')})` : ''
        const anew = `${decided?.type ?? 'nothing'}${paths}${why === undefined ? '' : `: ${why}`}`
        return [`${taskId} #${seq}: it was ${logged?.type ?? 'nothing'}, and told again it is ${anew}`]
      })
      const called = acts.length + asked.length - before
      return called === 0 ? wrong : [...wrong, `${called} calls were made while it was told again`]
    },
  }
}
