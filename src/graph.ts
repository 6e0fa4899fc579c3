// Draws a machine as text that mermaid (a widely read diagram language) turns into a picture.

import type { Agent } from './core/agent.ts'
import { candidatesOf, kindOf } from './core/machine.ts'

/** The machine as a mermaid state diagram. Default routes of the engine's exits are drawn once, from a note. */
export function graph(agent: Agent): string {
  const lines = [
    '---',
    `title: ${agent.name} v${agent.version}`,
    '---',
    'stateDiagram-v2',
    `  [*] --> ${id(agent.initial)}`,
  ]
  for (const [name, state] of Object.entries(agent.states)) {
    const kind = kindOf(state) ?? 'unknown'
    const checkpoint = 'checkpoint' in state && state.checkpoint ? `, checkpoint ${state.checkpoint}` : ''
    lines.push(`  state "${name}${kind === 'final' ? '' : ` (${kind}${checkpoint})`}" as ${id(name)}`)
    if (kind === 'final') lines.push(`  ${id(name)} --> [*]`)
    for (const [exit, definition] of Object.entries(state.on ?? {})) {
      for (const candidate of candidatesOf(definition)) {
        const label = candidate.guard ? `${exit} [guarded]` : exit
        lines.push(`  ${id(name)} --> ${id(candidate.target)} : ${label}`)
      }
    }
    const onFailure = 'onFailure' in state ? state.onFailure : undefined
    for (const target of failureTargets(agent, onFailure)) {
      lines.push(`  ${id(name)} --> ${id(target)} : ${onFailure === 'rollback' ? 'rollback' : 'failure'}`)
    }
  }
  const routes: [string, unknown][] = Object.entries(agent.on ?? {})
  if (agent.onFailure !== undefined) routes.push(['any other failure', agent.onFailure])
  if (routes.length > 0) {
    lines.push(`  note right of ${id(agent.initial)}`, '    every state, unless it says otherwise:')
    for (const [exit, target] of routes) lines.push(`    ${exit} → ${String(target)}`)
    lines.push('  end note')
  }
  return `${lines.join('\n')}\n`
}

/** A rollback goes to whichever checkpoint was passed last; a question to a human is no way of the machine's. */
function failureTargets(agent: Agent, onFailure: string | undefined): readonly string[] {
  if (onFailure === undefined || onFailure === 'escalate') return []
  if (onFailure !== 'rollback') return [onFailure]
  return Object.entries(agent.states).flatMap(([name, state]) => ('checkpoint' in state ? [name] : []))
}

/** Mermaid takes letters, digits and underscores. */
function id(name: string): string {
  return name.replaceAll(/\W/g, '_')
}
