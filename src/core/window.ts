// The window is what a model gets to see: who it is, what is to be done, and what was said in this visit. It is put
// together from the task alone, and every request is well formed: each call has one result, in order, under an id of
// its own, whatever the provider called it.

import type { Json } from './json.ts'
import type { AnswerPart, CallResult, Message, MessagePart, ModelRequest } from './model.ts'
import type { Node } from './machine.ts'
import type { Turn, Visit } from './task.ts'

interface Rendered {
  readonly messages: Message[]
  readonly ids: Set<string>
  turns: number
}

// A turn that has its results never changes, so it is rendered once: the cost of a turn does not grow with the visit.
const rendered = new WeakMap<Visit, Rendered>()

/** The request for the next turn of a visit. */
export function assemble(visit: Visit, node: Extract<Node, { kind: 'model' }>, outputTokensMax: number): ModelRequest {
  const memory = rendered.get(visit) ?? begin(visit)
  for (; memory.turns < visit.turns.length; memory.turns += 1) render(visit.turns[memory.turns]!, memory)
  const request = { messages: memory.messages.slice(), offers: node.offers, outputTokensMax }
  return node.state.temperature === undefined ? request : { ...request, temperature: node.state.temperature }
}

function begin(visit: Visit): Rendered {
  const messages: Message[] = []
  if (visit.prompt?.system) messages.push({ role: 'system', text: visit.prompt.system })
  messages.push({ role: 'user', text: visit.prompt?.user ?? '' })
  const memory = { messages, ids: new Set<string>(), turns: 0 }
  rendered.set(visit, memory)
  return memory
}

function render(turn: Turn, memory: Rendered): void {
  const content: MessagePart[] = []
  const results: CallResult[] = []
  for (const [index, part] of turn.content.entries()) {
    if (part.type !== 'call') {
      if (part.text !== '') content.push(part)
      continue
    }
    const id = ownId(part, turn.turn, index, memory.ids)
    const name = /^[\w-]{1,64}$/.test(part.name) ? part.name : 'unnamed'
    const metadata = part.metadata === undefined ? {} : { metadata: part.metadata }
    content.push({ type: 'call', id, name, arguments: asObject(part.arguments), ...metadata })
    const result = turn.results.get(index) ?? { value: 'Not done.', failed: true }
    results.push({ id, name, ...result })
  }
  if (content.length === 0) content.push({ type: 'text', text: '(no answer)' })
  memory.messages.push({ role: 'assistant', content })
  if (results.length > 0) memory.messages.push({ role: 'tool', results })
  if (turn.note !== undefined) memory.messages.push({ role: 'user', text: turn.note })
}

function ownId(part: Extract<AnswerPart, { type: 'call' }>, turn: number, index: number, taken: Set<string>): string {
  const id = /^[\w-]{1,64}$/.test(part.id) && !taken.has(part.id) ? part.id : `call_${turn}_${index}`
  taken.add(id)
  return id
}

/** Providers take only objects as arguments; what else a model sent was refused, and its correction says so. */
function asObject(value: Json | undefined): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}
}

/** The message that states the rules of the house, after the author's own instructions. */
export function systemText(node: Extract<Node, { kind: 'model' }>): string {
  const exits = [...node.exits.values()].filter((exit) => !exit.name.startsWith('$'))
  const rules = [
    node.tools.size > 0 ? `Use these tools as you need them: ${[...node.tools.keys()].join(', ')}.` : '',
    `When you are done, call exactly one of these exits, alone: ${exits.map((exit) => exit.name).join(', ')}.`,
    'Answer only by calling a tool or an exit; anything else is refused.',
  ]
  return [node.state.instructions ?? '', rules.filter((rule) => rule !== '').join(' ')]
    .filter((text) => text !== '')
    .join('\n\n')
}

/** TEMPORARY */
export function sizeOf(visit: Visit, node: Extract<Node, { kind: 'model' }>): number {
  return Math.ceil(JSON.stringify([assemble(visit, node, 1)]).length / 4)
}
