// Where and when a fault strikes: `fault('M05').at(state('search')).attempt(2)`. A plan is a list of these. It decides, at
// every occasion that the world offers, whether one of them is due; what it then does is the kind's.

import { draw } from '../core/resilience.ts'
import { Fault } from '../core/fault.ts'
import type { WritePoint } from '../runtime.ts'
import { faultKinds, type FaultKind, type Layer } from './fault-kinds.ts'

/** A place in the machine or in the engine. What is not named is anywhere. */
export interface Place {
  readonly agent?: string
  readonly state?: string
  readonly tool?: string
  /** An exit: the answer that asks for it, or the commit that takes it. */
  readonly exit?: string
  readonly point?: WritePoint
}

/** A state, of one agent or of any. */
export const state = (name: string, agent?: string): Place => ({
  state: name,
  ...(agent === undefined ? {} : { agent }),
})
/** A tool, wherever it is called. */
export const tool = (name: string): Place => ({ tool: name })
/** An exit, by name. */
export const transition = (exit: string): Place => ({ exit })
/** One of the places where the engine writes. */
export const writePoint = (point: WritePoint): Place => ({ point })

type When =
  | { readonly kind: 'nth'; readonly number: number }
  | { readonly kind: 'always' }
  | { readonly kind: 'chance'; readonly share: number }

/** A fault with its aim. Each method answers with another one; none is changed. */
export class Aim {
  readonly kind: FaultKind
  readonly place: Place
  readonly when: When

  constructor(kind: FaultKind, place: Place = {}, when: When = { kind: 'nth', number: 1 }) {
    this.kind = kind
    this.place = place
    this.when = when
  }

  /** Only there. Several places are all meant at once: a tool in a state. */
  at(place: Place): Aim {
    return new Aim(this.kind, { ...this.place, ...place }, this.when)
  }

  /** The n-th time that it could strike there, from 1. */
  attempt(number: number): Aim {
    return new Aim(this.kind, this.place, { kind: 'nth', number })
  }

  /** Every time. */
  always(): Aim {
    return new Aim(this.kind, this.place, { kind: 'always' })
  }

  /** Each time with this probability, from 0 to 1, by the seed; six times at most. */
  chance(share: number): Aim {
    return new Aim(this.kind, this.place, { kind: 'chance', share })
  }

  /** As it is written down: `M05@agent.state:tool#2`. */
  toString(): string {
    const { agent, state: name, tool: its, exit, point } = this.place
    const where = [agent, name].filter((part) => part !== undefined).join('.')
    const more = [its && `:${its}`, exit && `>${exit}`, point && `!${point}`].filter(Boolean).join('')
    const { when } = this
    const often = when.kind === 'nth' ? `#${when.number}` : when.kind === 'always' ? '#always' : `#${when.share}`
    return `${this.kind.id}@${where}${more}${often}`
  }
}

/** A fault of a kind, by its identifier or as you declared it. It strikes once, at the first occasion, unless told otherwise. */
export function fault(kind: string | FaultKind): Aim {
  const found = typeof kind === 'string' ? faultKinds.find(({ id }) => id === kind) : kind
  if (found) return new Aim(found)
  throw new Fault(
    'FAULT_UNKNOWN',
    `There is no kind of fault ${JSON.stringify(kind)}.`,
    'See them: signalbox redteam --kinds.',
  )
}

/** A moment at which a fault of a layer could strike. */
export interface Occasion {
  readonly layer: Layer
  readonly agent?: string | undefined
  readonly state?: string | undefined
  readonly tool?: string | undefined
  readonly exits?: readonly string[]
  readonly point?: WritePoint
}

/** Does an occasion lie at a place? */
export function isAt({ agent, state: name, tool: its, exit, point }: Place, occasion: Occasion): boolean {
  if (agent !== undefined && agent !== occasion.agent) return false
  if (name !== undefined && name !== occasion.state) return false
  if (its !== undefined && its !== occasion.tool) return false
  if (point !== undefined && point !== occasion.point) return false
  return exit === undefined || (occasion.exits ?? []).includes(exit)
}

const chancesMax = 6

/** Faults that wait for their occasions, and how often each has struck. */
export class Plan {
  readonly #armed: { readonly aim: Aim; seen: number; struck: number }[]
  readonly #seed: number
  #over = false

  constructor(aims: readonly Aim[], seed: number) {
    this.#armed = aims.map((aim) => ({ aim, seen: 0, struck: 0 }))
    this.#seed = seed
  }

  /** The kind that strikes now, if one does. */
  strikes<L extends Layer>(occasion: Occasion & { readonly layer: L }): Extract<FaultKind, { layer: L }> | undefined {
    if (this.#over) return undefined
    for (const [index, armed] of this.#armed.entries()) {
      const { kind, place, when } = armed.aim
      if (kind.layer !== occasion.layer || 'elsewhere' in kind || !isAt(place, occasion)) continue
      armed.seen += 1
      // What happens again and again stops some day: what then holds is what counts.
      if (when.kind === 'chance' && armed.struck >= chancesMax) continue
      const is =
        when.kind === 'always' ||
        (when.kind === 'nth' ? armed.seen === when.number : draw(this.#seed, armed.seen, index + 1) < when.share)
      if (!is) continue
      armed.struck += 1
      return kind as Extract<FaultKind, { layer: L }>
    }
    return undefined
  }

  /** From here on nothing strikes any more. */
  end(): void {
    this.#over = true
  }

  /** How often its faults have struck, by their kinds. */
  get struck(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { aim, struck } of this.#armed) {
      if (struck > 0) counts.set(aim.kind.id, (counts.get(aim.kind.id) ?? 0) + struck)
    }
    return counts
  }
}
