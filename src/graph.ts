// Draws a machine as text that mermaid (a widely read diagram language) turns into a picture. An agent that another one
// starts is drawn inside the state that starts it: once in a picture, and not too deep; elsewhere the state says where.

import { isAgent, type Agent, type AgentState, type State } from './core/agent.ts'
import { defaults } from './core/limits.ts'
import { candidatesOf, kindOf } from './core/machine.ts'

/** How many machines are drawn inside each other, the outermost not counted. */
const depthMax = 3

/** A picture on its way: ids that are taken, agents that are drawn, and where. */
interface Picture {
  readonly ids: Set<string>
  readonly drawn: Map<Agent, string>
}

/** Where a machine is drawn. */
interface Place {
  readonly depth: number
  /** Of the state that it is in; the names of its own states are told apart by it. */
  readonly path: string
  readonly prefix: string
}

/** The machine as a mermaid state diagram, with those of its children. Default routes of the engine's exits are drawn once, from a note. */
export function graph(agent: Agent): string {
  const picture: Picture = { ids: new Set(), drawn: new Map([[agent, 'the whole']]) }
  const lines = draw(picture, agent, { depth: 0, path: '', prefix: '' })
  const head = ['---', `title: ${agent.name} v${agent.version}`, '---', 'stateDiagram-v2']
  return `${[...head, ...indented(lines)].join('\n')}\n`
}

function draw(picture: Picture, agent: Agent, place: Place): string[] {
  const ids = new Map<string, string>()
  const id = (name: string): string => {
    const known = ids.get(name) ?? newId(picture, `${place.prefix}${name}`)
    ids.set(name, known)
    return known
  }
  // Its own states come before whatever is inside of them.
  for (const name of Object.keys(agent.states)) id(name)
  const lines = [`[*] --> ${id(agent.initial)}`]
  for (const [name, state] of Object.entries(agent.states)) {
    const own = id(name)
    const inner = drawInside(picture, state, {
      depth: place.depth + 1,
      path: `${place.path}${name}`,
      prefix: `${own}__`,
    })
    lines.push(...box(`${name}${sayKind(state, inner.note)}`, own, inner.lines))
    if (kindOf(state) === 'final') lines.push(`${own} --> [*]`)
    for (const [exit, definition] of Object.entries(state.on ?? {})) {
      for (const { guard, target } of candidatesOf(definition)) {
        lines.push(`${own} --> ${id(target)} : ${guard ? `${exit} [guarded]` : exit}`)
      }
    }
    const onFailure = 'onFailure' in state ? state.onFailure : undefined
    for (const target of failureTargets(agent, onFailure)) {
      lines.push(`${own} --> ${id(target)} : ${onFailure === 'rollback' ? 'rollback' : 'failure'}`)
    }
  }
  const routes: [string, unknown][] = Object.entries(agent.on ?? {})
  if (agent.onFailure !== undefined) routes.push(['any other failure', agent.onFailure])
  if (routes.length === 0) return lines
  const note = [
    'every state, unless it says otherwise:',
    ...routes.map(([exit, target]) => `${exit} → ${String(target)}`),
  ]
  return [...lines, `note right of ${id(agent.initial)}`, ...indented(note), 'end note']
}

/** The machines of those that a state starts: its child, or the agents that its model may ask. */
function drawInside(picture: Picture, state: State, place: Place): { lines: string[]; note: string } {
  if (isAgent(state.agent)) return drawChild(picture, state.agent, place)
  const lines = (state.model === undefined ? [] : (state.tools ?? [])).flatMap(({ name, agent }) => {
    if (!isAgent(agent)) return []
    const id = newId(picture, `${place.prefix}${name}`)
    const path = `${place.path}.${name}`
    const inner = drawChild(picture, agent, { ...place, path, prefix: `${id}__` })
    return box(`${name} (tool, agent ${agent.name}${inner.note})`, id, inner.lines)
  })
  return { lines, note: '' }
}

/** A machine in another one's state, or a note that says why it is not there. */
function drawChild(picture: Picture, agent: Agent, place: Place): { lines: string[]; note: string } {
  const before = picture.drawn.get(agent)
  if (before !== undefined) return { lines: [], note: `, drawn in ${before}` }
  if (place.depth > depthMax) return { lines: [], note: ', too deep to be drawn' }
  picture.drawn.set(agent, place.path)
  return { lines: draw(picture, agent, { ...place, path: `${place.path} / ` }), note: '' }
}

function box(text: string, id: string, inner: readonly string[]): string[] {
  const head = `state "${text}" as ${id}`
  return inner.length === 0 ? [head] : [`${head} {`, ...indented(inner), '}']
}

function sayKind(state: State, note: string): string {
  const kind = kindOf(state) ?? 'unknown'
  if (kind === 'final') return ''
  const said = kind === 'agent' ? `${sayAgent(state as AgentState)}${note}` : kind
  return ` (${said}${'checkpoint' in state && state.checkpoint ? `, checkpoint ${state.checkpoint}` : ''})`
}

/** Who does it, for each item of a list or once, and when that is enough. */
function sayAgent({ agent, each, join = 'all', concurrency = defaults.childConcurrency }: AgentState): string {
  const name = isAgent(agent) ? `agent ${agent.name}` : 'agent'
  if (each === undefined) return name
  const enough = typeof join === 'object' ? `quorum ${join.quorum}` : join
  return `${name} × each, ${enough}, at most ${concurrency} at a time`
}

/** A rollback goes to whichever checkpoint was passed last; a question to a human is no way of the machine's. */
function failureTargets(agent: Agent, onFailure: string | undefined): readonly string[] {
  if (onFailure === undefined || onFailure === 'escalate') return []
  if (onFailure !== 'rollback') return [onFailure]
  return Object.entries(agent.states).flatMap(([name, state]) => ('checkpoint' in state ? [name] : []))
}

/** Mermaid takes letters, digits and underscores; names that are the same but for others are told apart. */
function newId({ ids }: Picture, name: string): string {
  let id = name.replaceAll(/\W/g, '_')
  while (ids.has(id)) id += '_'
  ids.add(id)
  return id
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `  ${line}`)
}
