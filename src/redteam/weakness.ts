// What held, but not because the machine saw to it: an exit that nothing routes, so that a person has to be woken, and a loop
// that only a default of the engine ended. Neither is a breach; whoever wrote the machine wants to know of both.

import type { LimitName, Limits } from '../core/limits.ts'
import type { Machine } from '../core/machine.ts'
import type { Evidence } from './evidence.ts'

/** What is weak about how a machine came through, each in one line. `given`: ceilings that are the campaign's. */
export function weaknesses({ tasks }: Evidence, given: Limits = {}): readonly string[] {
  return tasks.flatMap(({ machine, events }) =>
    events.flatMap((event) => {
      if (event.type === 'human.asked' && event.data.kind === 'escalation') {
        const { state, exit } = event.data
        return [`${machine.name}.${state} routes no ${exit}: the task stops, and a person is asked`]
      }
      if (
        event.type === 'limit.reached' &&
        !(event.data.limit in given) &&
        isDefault(machine, event.data.limit, event.data.state)
      ) {
        const { limit, max, state } = event.data
        return [
          `${machine.name}.${state} declares no limit of ${limit}: what ended it rests on the engine's default of ${max}`,
        ]
      }
      return []
    }),
  )
}

/** Does a limit rest on the engine's default? Only those are told that keep a loop from going on. */
function isDefault({ agent }: Machine, limit: LimitName, state: string): boolean {
  const its = agent.states[state] as { readonly turns?: number; readonly visits?: number; readonly repeats?: number }
  if (limit === 'turns' || limit === 'visits' || limit === 'repeats') return its?.[limit] === undefined
  if (limit === 'steps' || limit === 'toolCalls' || limit === 'handovers' || limit === 'tokens')
    return agent.limits?.[limit] === undefined
  return false
}
