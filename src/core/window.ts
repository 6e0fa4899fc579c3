// The window is what a model gets to see: who it is, what is to be done, and what was said in this visit. It is put
// together from the task alone, within a bound, and every request is well formed: each call has one result, in order,
// under an id of its own, whatever the provider called it. What has to go goes by one declared rule (see `fit`).

import { isObject, type Json } from './json.ts'
import type { AnswerPart, CallResult, Message, MessagePart, ModelRequest } from './model.ts'
import type { Node } from './machine.ts'
import { isChanged } from './pin.ts'
import { readOn } from './read-on.ts'
import type { Cut, Turn, Visit } from './task.ts'
import { messageTokens, offerTokens } from './tokens.ts'

type ModelNode = Extract<Node, { kind: 'model' }>

/** A visit's messages under a cut, and an estimate of their tokens. */
interface Thread {
  readonly cut: Cut
  readonly messages: Message[]
  readonly ids: Set<string>
  tokens: number
  turns: number
  /** Whether a result is shown by its head. */
  heads: boolean
}

// A turn that has its results never changes, so it is rendered once under a cut: the cost of a turn does not grow with
// the visit.
const threads = new WeakMap<Visit, Thread>()

/** The request for the next turn of a visit. */
export function assemble(
  visit: Visit,
  node: ModelNode,
  outputTokensMax: number,
  hash: (text: string) => string = (text) => text,
): ModelRequest {
  const thread = threadOf(visit, visit.cut)
  const hidden = [...node.tools.values()].filter((tool) => isChanged(tool, hash)).map(({ name }) => name)
  const known = hidden.length === 0 ? node.offers : node.offers.filter(({ name }) => !hidden.includes(name))
  const offers = thread.heads ? [...known, readOn.offer] : known
  const request = { messages: thread.messages.slice(), offers, outputTokensMax }
  return node.state.temperature === undefined ? request : { ...request, temperature: node.state.temperature }
}

/** An estimate of that request's tokens under a cut. */
export function sizeOf(visit: Visit, node: ModelNode, cut: Cut = visit.cut): number {
  return threadOf(visit, cut).tokens + offersOf(node)
}

const offered = new WeakMap<ModelNode, number>()

function offersOf(node: ModelNode): number {
  const known = offered.get(node) ?? offerTokens([...node.offers, readOn.offer])
  offered.set(node, known)
  return known
}

/** A cut, and what is left under it. */
export interface Fitted {
  readonly cut: Cut
  readonly tokens: number
}

/** What has to be cut is cut down to this share of the window, so that it is not cut again at every turn. */
const room = 0.7
const headCharsMin = 200

/**
 * The least cut that keeps the request within `inputTokensMax`, and is at least as deep as the visit's own. The rule: a
 * single result that is larger than about a quarter of the window (as many characters as the window has tokens) is shown
 * by its head; the oldest tool results go first, then the oldest turns, whole; the last turn stays; when that does not
 * do, heads get shorter, by halves. Undefined: not even what is pinned (system message and prompt) and the last turn fit.
 */
export function fit(visit: Visit, node: ModelNode, inputTokensMax: number): Fitted | undefined {
  let cut = headed(visit, inputTokensMax)
  for (;;) {
    const tokens = sizeOf(visit, node, cut)
    if (tokens <= inputTokensMax) return { cut, tokens }
    const fitted = dropOldest(visit, node, cut, inputTokensMax)
    if (fitted) return fitted
    const headChars = Math.floor(Math.min(cut.headChars ?? Infinity, longest(visit.turns.at(-1))) / 2)
    if (headChars < headCharsMin) return undefined
    cut = { ...cut, headChars }
  }
}

/** The visit's cut, with large results by their heads. */
function headed({ cut, turns }: Visit, inputTokensMax: number): Cut {
  const headChars = Math.max(headCharsMin, inputTokensMax)
  if (cut.headChars !== null && cut.headChars <= headChars) return cut
  // Every turn was the last one once, and looked at then.
  return longest(turns.at(-1)) > headChars ? { ...cut, headChars } : cut
}

const lengths = new WeakMap<Turn, number>()

/** The length of a turn's longest result, in characters. */
function longest(turn: Turn | undefined): number {
  if (!turn) return 0
  const known =
    lengths.get(turn) ?? Math.max(0, ...[...turn.results.values()].map(({ value }) => readOn.textOf(value).length))
  lengths.set(turn, known)
  return known
}

/** Leaves out results, then turns, oldest first, until it fits: with room to spare where that can be. */
function dropOldest(visit: Visit, node: ModelNode, cut: Cut, inputTokensMax: number): Fitted | undefined {
  const last = visit.turns.length
  if (last === 0) return undefined
  const deepest = { ...cut, resultsBefore: last, turnsBefore: last }
  for (const bound of [inputTokensMax * room, inputTokensMax]) {
    if (sizeOf(visit, node, deepest) > bound) continue
    // Deeper is smaller, so the least depth that does can be found by halving.
    let [low, high] = [cut.resultsBefore + cut.turnsBefore, 2 * last]
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      if (sizeOf(visit, node, cutAt(cut, middle, last)) <= bound) high = middle
      else low = middle + 1
    }
    const found = cutAt(cut, low, last)
    return { cut: found, tokens: sizeOf(visit, node, found) }
  }
  return undefined
}

/** The cut of a depth: all results come before the first turn. */
function cutAt(cut: Cut, depth: number, last: number): Cut {
  const resultsBefore = Math.min(last, Math.max(cut.resultsBefore, depth - cut.turnsBefore))
  return { ...cut, resultsBefore, turnsBefore: Math.min(last, Math.max(cut.turnsBefore, depth - last)) }
}

function threadOf(visit: Visit, cut: Cut): Thread {
  const known = threads.get(visit)
  const { headChars, resultsBefore, turnsBefore } = cut
  const same =
    known?.cut.headChars === headChars &&
    known.cut.resultsBefore === resultsBefore &&
    known.cut.turnsBefore === turnsBefore
  const thread = known && same ? known : begin(visit, cut)
  for (; thread.turns < visit.turns.length; thread.turns += 1) {
    const turn = visit.turns[thread.turns]!
    if (turn.turn >= turnsBefore) render(turn, thread)
  }
  // What is only tried is not kept: the thread of the visit's own cut would be put together anew each time.
  if (cut === visit.cut || !known) threads.set(visit, thread)
  return thread
}

function begin({ prompt }: Visit, cut: Cut): Thread {
  const thread: Thread = { cut, messages: [], ids: new Set(), tokens: 0, turns: 0, heads: false }
  if (prompt?.system) say(thread, { role: 'system', text: prompt.system })
  const left = cut.turnsBefore > 1 ? `\n\n(The first ${cut.turnsBefore - 1} turns were left out to save room.)` : ''
  say(thread, { role: 'user', text: `${prompt?.user ?? ''}${left}` })
  return thread
}

function say(thread: Thread, message: Message): void {
  thread.messages.push(message)
  thread.tokens += messageTokens(message)
}

/** A turn as it is told to a model. */
interface Told {
  readonly messages: readonly Message[]
  readonly tokens: number
  /** Whether a result is shown by its head. */
  readonly heads: boolean
}

// A thread is put together under many cuts before one is chosen, and most of its turns are the same in most of them.
const tellings = new WeakMap<Turn, Map<string, Told>>()

function render(turn: Turn, thread: Thread): void {
  const { resultsBefore, headChars } = thread.cut
  const ids = turn.content.map((part, index) => (part.type === 'call' ? ownId(part, turn.turn, index, thread.ids) : ''))
  const show: Show =
    turn.turn < resultsBefore ? 'none' : headChars !== null && longest(turn) > headChars ? headChars : 'all'
  const key = [show, ...ids].join(' ')
  const known = tellings.get(turn) ?? new Map<string, Told>()
  tellings.set(turn, known)
  const told = known.get(key) ?? tell(turn, ids, show)
  known.set(key, told)
  thread.messages.push(...told.messages)
  thread.tokens += told.tokens
  if (told.heads) thread.heads = true
}

/** How a turn's results are shown: whole, those of more characters by their heads, or not at all. */
type Show = 'all' | 'none' | number

function tell(turn: Turn, ids: readonly string[], show: Show): Told {
  const content: MessagePart[] = []
  const results: CallResult[] = []
  let heads = false
  for (const [index, part] of turn.content.entries()) {
    if (part.type !== 'call') {
      if (part.text !== '') content.push(part)
      continue
    }
    const id = ids[index]!
    const name = /^[\w-]{1,64}$/.test(part.name) ? part.name : 'unnamed'
    const metadata = part.metadata === undefined ? {} : { metadata: part.metadata }
    content.push({ type: 'call', id, name, arguments: asObject(part.arguments), ...metadata })
    const { value, failed } = turn.results.get(index) ?? { value: 'Not done.', failed: true }
    const head = headOf(value, `${turn.turn}.${index}`, show)
    if (head !== undefined) heads = true
    results.push({ id, name, value: show === 'none' ? leftOut : (head ?? value), failed })
  }
  if (content.length === 0) content.push({ type: 'text', text: '(no answer)' })
  const messages: Message[] = [{ role: 'assistant', content }]
  if (results.length > 0) messages.push({ role: 'tool', results })
  if (turn.note !== undefined) messages.push({ role: 'user', text: turn.note })
  return { messages, tokens: messages.reduce((sum, message) => sum + messageTokens(message), 0), heads }
}

/** The head of a result that is too long to be shown whole. */
function headOf(value: Json, handle: string, show: Show): Json | undefined {
  if (typeof show !== 'number') return undefined
  const text = readOn.textOf(value)
  return text.length > show ? readOn.head(text, handle, show) : undefined
}

const leftOut = '(Left out to save room. Call again if it is needed.)'

function ownId(part: Extract<AnswerPart, { type: 'call' }>, turn: number, index: number, taken: Set<string>): string {
  const id = /^[\w-]{1,64}$/.test(part.id) && !taken.has(part.id) ? part.id : `call_${turn}_${index}`
  taken.add(id)
  return id
}

/** Providers take only objects as arguments; what else a model sent was refused, and its correction says so. */
function asObject(value: Json | undefined): Json {
  return isObject(value) ? value : {}
}

/** The message that states the rules of the house, after the author's own instructions. */
export function systemText(node: ModelNode): string {
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
