// The proof that no way through a machine joins untrusted input, private data and an outward effect without a person in
// between. A machine is finite, and so is what may be known of its context: for every key whether it is untrusted, and
// whether it is private. So all of it is searched, in order of length, with the flow rules that the engine keeps at
// run time; what is found is told with the shortest path that leads there. It judges labels, never values: what a
// guard forbids is not seen, so a path may be told that no task takes, and none that one takes is left out.
//
// A human state shows a person what it may read. When the person lets the task go on, the untrusted mark of those keys is
// lifted *for the proof alone*: the labels of the engine stay as they are, and its policy still judges each call.
//
// A child is searched under what its parent may pass down, and hands back whatever it may have come to know.

import type { Label } from './label.ts'
import { childrenIn, toolsOf, writtenBelow, type Child, type Machine, type MachineTool, type Node } from './machine.ts'
import { strips } from './quarantine.ts'
import { waysOf } from './way.ts'

/** An outward effect that what is untrusted can reach, and how. */
export interface Flow {
  readonly state: string
  /** Its name; that of an agent below as `AGENT.TOOL`, by whatever way the agent is come to. */
  readonly tool: string
  readonly isBelow: boolean
  /** From the initial state on: `search -FOUND-> send`. */
  readonly path: string
  /** Where what is untrusted came in. */
  readonly untrusted: string
  /** Where what is private came in; null where nothing is. */
  readonly private: string | null
  /** The tool names its sinks: a person is asked where they are filled with words that nobody of ours has said. */
  readonly hasSinks: boolean
}

/** What the search came to. */
export interface Proof {
  /** Untrusted and private meet an outward effect that nobody is asked about. One for each state and tool. */
  readonly ungated: readonly Flow[]
  /** What is untrusted meets an outward effect that names no sinks and needs no approval. One for each tool. */
  readonly unsunk: readonly Flow[]
  /** How many states, with what is known in them, were looked at. */
  readonly looked: number
  /**
   * False: there were more than the bound, so what is known was joined over all ways into a state. Nothing is left out then,
   * but a flow may be told that is none.
   */
  readonly exact: boolean
}

/** States with what is known in them, at most; past it, what is known is joined over the ways into a state. */
export const placesMax = 20_000

// What is known of a value is two bits, so to join is `|`, and to be at most as bad is to have no other bits. Secret counts
// as private: every rule here treats them alike. The context is one number, with two bits for each key that is read.
type Mark = 0 | 1 | 2 | 3
const marks = { untrusted: 1, private: 2 } as const
type Word = keyof typeof marks

function markOf({ trust, privacy }: Label): Mark {
  return ((trust === 'untrusted' ? marks.untrusted : 0) | (privacy === 'public' ? 0 : marks.private)) as Mark
}

/** A state, what is known there, and how the search came to it. */
interface Place {
  readonly node: Node
  readonly known: bigint
  readonly from: Place | undefined
  readonly exit: string
}

/** Searches every path of a machine. */
export function prove(machine: Machine, bound: number = placesMax): Proof {
  return proveUnder(machine, 0, bound)
}

/** The same, where its input may be marked. */
function proveUnder(machine: Machine, given: Mark, bound: number): Proof {
  const keys = keysOf(machine)
  return search(machine, keys, bound, true, given) ?? search(machine, keys, Infinity, false, given)!
}

// One machine may be below others many times over.
const marksWithin = new WeakMap<Machine, Mark>()
const proofsBelow = new WeakMap<Machine, Map<Mark, Proof>>()

/** What a child may do with input that is marked. */
function proveBelow(machine: Machine, given: Mark): Proof {
  const known = proofsBelow.get(machine) ?? new Map<Mark, Proof>()
  proofsBelow.set(machine, known)
  const proof = known.get(given) ?? proveUnder(machine, given, placesMax)
  known.set(given, proof)
  return proof
}

/** All that a machine, and those below it, may come to know by itself. */
function markWithin(machine: Machine): Mark {
  let mark = marksWithin.get(machine)
  if (mark !== undefined) return mark
  mark = 0
  for (const { label } of machine.context.values()) mark |= markOf(label)
  for (const { label } of machine.tools.values()) mark |= markOf(label)
  for (const { machine: child } of childrenIn(machine.states.values())) mark |= markWithin(child)
  marksWithin.set(machine, mark as Mark)
  return mark as Mark
}

interface Key {
  readonly name: string
  readonly shift: bigint
  readonly floor: Mark
  readonly appends: boolean
}

/** The keys that some state may read; what is written elsewhere is seen by nobody. */
function keysOf(machine: Machine): ReadonlyMap<string, Key> {
  const nodes = [...machine.states.values()].filter(({ kind }) => kind !== 'final')
  // A child on the same context reads by its own rights.
  const isShared = childrenIn(nodes).some(({ shares }) => shares)
  const read = [...machine.context.values()].filter(({ name }) => {
    return isShared || nodes.some((node) => mayRead(node, name))
  })
  return new Map(
    read.map(({ name, label, merge }, index) => [
      name,
      { name, shift: BigInt(2 * index), floor: markOf(label), appends: merge === 'append' },
    ]),
  )
}

function mayRead({ reads }: Node, key: string): boolean {
  return !reads || reads.has(key)
}

type Keys = ReadonlyMap<string, Key>

/**
 * Goes all ways, the shortest first. A place is passed over where at least as much was known of the same state before: that
 * led to all that this would, on a path that is no longer. Undefined past the bound. Not `exact`: one place for each
 * state, that grows.
 */
function search(machine: Machine, keys: Keys, bound: number, exact: boolean, given: Mark): Proof | undefined {
  const found = new Findings(machine, keys)
  const seen = new Map<string, bigint[]>([...machine.states.keys()].map((name) => [name, []]))
  const places: Place[] = []
  const visit = ({ node, known, from, exit }: Place): boolean => {
    const before = seen.get(node.name)!
    if (before.some((other) => (other | known) === other)) return true
    const grown = exact || before.length === 0 ? known : known | before.pop()!
    before.push(grown)
    return places.push({ node, known: grown, from, exit }) <= bound
  }
  let known = 0n
  // Any key may come as input, and one that has a value is never better known than one that has none.
  for (const { shift, floor } of keys.values()) known |= BigInt(floor | given) << shift
  visit({ node: machine.states.get(machine.initial)!, known, from: undefined, exit: '' })
  // The list grows while it is gone through.
  for (const place of places) {
    found.look(place)
    for (const { exit, target } of waysOf(machine, place.node)) {
      const node = machine.states.get(target)!
      const left = leave(machine, keys, place, exit, exact)
      if (left.length > bound || !left.every((known) => visit({ node, known, from: place, exit }))) return undefined
    }
  }
  return { ungated: [...found.ungated.values()], unsunk: found.unsunkAlone, looked: places.length, exact }
}

// ---- The flow rules ------------------------------------------------------------------------------------------------

function get(known: bigint, { shift }: Key): Mark {
  return Number((known >> shift) & 3n) as Mark
}

function set(known: bigint, { shift }: Key, mark: Mark): bigint {
  return (known & ~(3n << shift)) | (BigInt(mark) << shift)
}

/** What whoever acts in a state has seen: the keys that it may read and, a model, what any of its tools answers. */
function seenIn(keys: Keys, { node, known }: Place): Mark {
  let seen = 0
  for (const key of keys.values()) if (mayRead(node, key.name)) seen |= get(known, key)
  if (node.kind === 'model') for (const { label } of node.tools.values()) seen |= markOf(label)
  for (const { machine } of childrenIn([node])) seen |= markWithin(machine)
  return seen as Mark
}

/** What is written by one of a state's own exits: a person's own words and signals are clear. */
function writtenBy(keys: Keys, place: Place): Mark {
  const { node } = place
  if (node.kind === 'human' || node.kind === 'wait' || node.kind === 'final') return 0
  const seen = seenIn(keys, place) | (node.kind === 'tool' ? markOf(node.tool.label) : 0)
  const { trust, privacy } = node.declassify ?? {}
  const lifted = (trust === 'trusted' ? marks.untrusted : 0) | (privacy === 'public' ? marks.private : 0)
  return (seen & ~lifted) as Mark
}

/** What may be known after a state was left by an exit. The engine's own exits write nothing. */
function leave(machine: Machine, keys: Keys, place: Place, exit: string, exact: boolean): readonly bigint[] {
  const below = writtenBelow(place.node)
  if (exit.startsWith('$') && below.size === 0) return [place.known]
  const known = place.node.kind === 'human' ? shown(keys, place) : place.known
  const { surely, maybe: own } = writesOf(machine, place.node, exit)
  const maybe = new Set([...own, ...below])
  const written = writtenBy(keys, place)
  let all = [known]
  for (const key of keys.values()) {
    const kept = get(known, key)
    const mark = (written | key.floor | (key.appends ? kept : 0)) as Mark
    const isSure = surely.has(key.name)
    if (!isSure && !maybe.has(key.name)) continue
    // Of two that may be the worse covers the other. Where one is untrusted and the other private, neither does.
    if (isSure || (mark | kept) === mark) all = all.map((one) => set(one, key, mark))
    else if ((mark | kept) === kept) continue
    else if (!exact) all = all.map((one) => set(one, key, 3))
    else if (all.length <= placesMax) all = all.flatMap((one) => [one, set(one, key, mark)])
  }
  return all
}

/** A person who was shown keys and lets the task go on has agreed to what is in them. */
function shown(keys: Keys, { node, known }: Place): bigint {
  let lifted = known
  for (const key of keys.values()) {
    if (mayRead(node, key.name)) lifted = set(lifted, key, (get(lifted, key) & marks.private) as Mark)
  }
  return lifted
}

/** The keys that leaving by an exit writes for certain, and those that it may write. */
function writesOf(
  { context }: Machine,
  node: Node,
  exit: string,
): { readonly surely: ReadonlySet<string>; readonly maybe: ReadonlySet<string> } {
  const surely = new Set<string>()
  const maybe = new Set<string>()
  const found = node.exits.get(exit)
  // Of the engine's own exits only what children wrote before is known.
  if (!found || exit.startsWith('$')) return { surely: new Set(), maybe: new Set() }
  const { output, outputJson } = found
  const own = new Set(Object.keys((outputJson['properties'] ?? {}) as object))
  const required = new Set((outputJson['required'] ?? []) as readonly string[])
  const open = output ? !strips(output, outputJson) : handsAnything(node)
  for (const key of node.writes) {
    if (!context.has(key)) continue
    if (own.has(key) && required.has(key)) surely.add(key)
    else if (own.has(key) || open) maybe.add(key)
  }
  return { surely, maybe }
}

/** Without a schema a model and the engine hand nothing over; a function, a person and a signal may. */
function handsAnything(node: Node): boolean {
  if (node.kind === 'tool') return node.state.exit !== undefined
  if (node.kind === 'agent') return node.state.output !== undefined
  if (node.kind === 'wait') return node.signal !== undefined
  return node.kind === 'run' || node.kind === 'human'
}

// ---- What is found -------------------------------------------------------------------------------------------------

/** The flows that were found, each by the first path that led to it, which is a shortest one. */
class Findings {
  readonly ungated = new Map<string, Flow>()
  readonly #unsunk = new Map<string, Flow>()
  readonly #machine: Machine
  readonly #keys: Keys

  constructor(machine: Machine, keys: Keys) {
    this.#machine = machine
    this.#keys = keys
  }

  /** Sinks are missed only where nothing worse was found of the tool. */
  get unsunkAlone(): readonly Flow[] {
    const worse = new Set([...this.ungated.values()].map(({ tool }) => tool))
    return [...this.#unsunk.values()].filter(({ tool }) => !worse.has(tool))
  }

  look(place: Place): void {
    for (const child of childrenIn([place.node])) this.#lookBelow(place, child)
    const tools = toolsOf(place.node).filter((tool) => isUngated(this.#machine, tool))
    if (tools.length === 0) return
    const seen = seenIn(this.#keys, place)
    if ((seen & marks.untrusted) === 0) return
    const { name } = place.node
    for (const tool of tools) {
      const isPrivate = (seen & marks.private) !== 0
      if (isPrivate && !this.ungated.has(`${name}\n${tool.name}`)) {
        this.ungated.set(`${name}\n${tool.name}`, this.#tell(place, tool, true))
      }
      if (tool.sinks.size === 0 && !this.#unsunk.has(tool.name)) {
        this.#unsunk.set(tool.name, this.#tell(place, tool, false))
      }
    }
  }

  /** What a child may do with what it is given, it does in this state. */
  #lookBelow(place: Place, { machine, shares }: Child): void {
    const { node, known } = place
    let given = 0
    for (const key of this.#keys.values()) if (shares || mayRead(node, key.name)) given |= get(known, key)
    // A model asks with all that it has seen, and what runs beside it may write what this one reads.
    if (node.kind === 'model') given |= seenIn(this.#keys, place)
    if (shares) for (const beside of childrenIn([node])) if (beside.shares) given |= markWithin(beside.machine)
    if (given === 0) return
    const { ungated, unsunk } = proveBelow(machine, given as Mark)
    const here = (flow: Flow): Flow => ({
      ...flow,
      state: place.node.name,
      tool: flow.isBelow ? flow.tool : `${machine.name}.${flow.tool}`,
      isBelow: true,
      path: `${sayPath(place)} → ${flow.path}`,
    })
    for (const flow of ungated.map(here)) {
      const name = `${flow.state}\n${flow.tool}`
      // Of two agents of one name the one that says less of its sinks counts.
      if (this.ungated.get(name)?.hasSinks ?? true) this.ungated.set(name, flow)
    }
    for (const flow of unsunk.map(here)) if (!this.#unsunk.has(flow.tool)) this.#unsunk.set(flow.tool, flow)
  }

  #tell(place: Place, tool: MachineTool, isPrivate: boolean): Flow {
    return {
      state: place.node.name,
      tool: tool.name,
      isBelow: false,
      path: sayPath(place),
      untrusted: sourceOf(this.#machine, this.#keys, place, 'untrusted'),
      hasSinks: tool.sinks.size > 0,
      private: isPrivate ? sourceOf(this.#machine, this.#keys, place, 'private') : null,
    }
  }
}

/** Does it act on the outside with nobody asked? In strict mode a person is asked once what is untrusted was seen. */
function isUngated({ strict }: Machine, { outward, approval }: MachineTool): boolean {
  return outward && !approval.always && !strict
}

function sayPath({ node, from, exit }: Place): string {
  return from === undefined ? node.name : `${sayPath(from)} -${exit}-> ${node.name}`
}

/** Where a mark that is seen in a place came in, for people: a tool or a key, and the keys that carried it here. */
function sourceOf(machine: Machine, keys: Keys, place: Place, word: Word): string {
  const carriers: string[] = []
  let at = place
  for (;;) {
    const { node, known } = at
    const answers = toolsOf(node).find(
      (tool) => (node.kind === 'model' || at !== place) && (markOf(tool.label) & marks[word]) !== 0,
    )
    if (answers) return sayCarried(`what ${answers.name} answers in ${node.name}`, carriers)
    const key = [...keys.values()].find((one) => mayRead(node, one.name) && (get(known, one) & marks[word]) !== 0)
    if (!key) return sayCarried(`another way into ${node.name}`, carriers)
    if ((key.floor & marks[word]) !== 0) return sayCarried(`the key ${key.name}`, carriers)
    carriers.unshift(key.name)
    const writer = writerOf(machine, keys, key, at, word)
    if (!writer) return sayCarried(`another way into ${node.name}`, carriers)
    at = writer
  }
}

/** Whoever on the path wrote the mark into a key last. */
function writerOf(machine: Machine, keys: Keys, key: Key, place: Place, word: Word): Place | undefined {
  for (let { from, exit } = place; from; { from, exit } = from) {
    if (exit.startsWith('$')) continue
    const { surely, maybe } = writesOf(machine, from.node, exit)
    const writes = surely.has(key.name) || maybe.has(key.name)
    if (writes && (writtenBy(keys, from) & marks[word]) !== 0) return from
  }
  return undefined
}

function sayCarried(source: string, carriers: readonly string[]): string {
  return carriers.length === 0 ? source : `${source}, carried by ${carriers.join(', then ')}`
}
