// Where a task is led: the exit by which each state is left if all goes well, and what is handed over with it. Whoever
// wanders takes any exit that is declared, by the dice.

import { isObject, type Json, type JsonObject } from '../core/json.ts'
import type { Machine } from '../core/machine.ts'
import { toJsonSchema, type Schema } from '../core/schema.ts'
import { canary } from './fault-kinds.ts'
import { exitToEnd, nextExit, waypoints } from './route.ts'
import { sample } from './sample.ts'
import { roots } from './scene.ts'
import type { Setting } from './setting.ts'
import type { Standing } from './witness.ts'

/** Leads tasks through a team of machines. */
export class Guide {
  readonly #setting: Setting
  readonly #points: ReadonlyMap<string, string>

  constructor(setting: Setting) {
    this.#setting = setting
    const { target } = setting.scene
    this.#points = target ? waypoints(setting.root, target) : new Map()
  }

  /** The exit by which a state is left; undefined where none is known. */
  exitFrom(agent: string, state: string, task?: Standing): string | undefined {
    const any = this.#setting.isWandering() ? this.#anyExit(agent, state) : undefined
    return any ?? this.#bestExit(agent, state, task)
  }

  #anyExit(agent: string, state: string): string | undefined {
    const exits = [...(this.#machine(agent).states.get(state)?.exits.keys() ?? [])]
    const declared = exits.filter((name) => !name.startsWith('$'))
    return declared.length > 0 ? this.#setting.pick(declared) : undefined
  }

  #bestExit(agent: string, state: string, task?: Standing): string | undefined {
    const machine = this.#machine(agent)
    const { scene, witness } = this.#setting
    const { loop } = scene
    const other = loop?.[0] === state ? loop[1] : loop?.[1] === state ? loop[0] : undefined
    if (other !== undefined && agent === scene.target?.agent) {
      return nextExit(machine, state, (name) => name === other) ?? exitToEnd(machine, state)
    }
    const point = this.#points.get(agent)
    const seen = task?.seen ?? witness.seenBy(agent)
    if (point !== undefined && point !== state && !seen.has(point)) {
      const exit = nextExit(machine, state, (name) => name === point)
      if (exit !== undefined) return exit
    }
    // A single child ends where its parent wants to go.
    const parent = task?.parent && witness.standing(task.parent.task)
    const wants = parent && task.parent && this.#bestExit(parent.agent, task.parent.state, parent)
    if (wants !== undefined && machine.states.get(wants)?.kind === 'final') {
      const exit = nextExit(machine, state, (name) => name === wants)
      if (exit !== undefined) return exit
    }
    return exitToEnd(machine, state)
  }

  #machine(agent: string): Machine {
    return this.#setting.team.get(agent)!
  }

  /** What is handed over with an exit. */
  outputOf(
    agent: string,
    state: string,
    exit: string,
    task?: Standing,
    hasRead = this.#setting.witness.isOrderRead,
  ): Json {
    const given = this.#setting.scene.outside?.outputs?.[exit]
    if (given !== undefined) return given
    const its = this.#machine(agent).states.get(state)?.exits.get(exit)
    if (!its?.output) return {}
    // Who is gullible passes on what they were told.
    return hasRead ? sample(its.outputJson, canary.host) : this.argumentsOf(its.outputJson, task)
  }

  /** A value by its schema, in words that are the task's own. */
  argumentsOf(schema: Json | undefined, task?: Standing): Json {
    return sample(schema, roots.get(task?.root ?? 't'))
  }

  /** What a task is started with. */
  inputOf(taskId: string): Readonly<Record<string, unknown>> {
    const { scene, root } = this.#setting
    const input = scene.outside?.input ?? sampleInput(root, roots.get(taskId))
    const { injection } = scene
    return injection && injection.source === undefined ? plant(root, input, injection.text) : input
  }
}

/** The smallest input that a machine takes. */
export function sampleInput(machine: Machine, word?: string): JsonObject {
  const keys = [...machine.context.values()].filter(
    ({ schema, initial }) => initial === undefined && !accepts(schema, undefined),
  )
  return Object.fromEntries(keys.map(({ name, schema }) => [name, sample(toJsonSchema(schema), word)]))
}

function accepts(schema: Schema, value: unknown): boolean {
  const verdict: unknown = schema['~standard'].validate(value)
  return isObject(verdict) && verdict['issues'] === undefined
}

/** The input with an order in every text that is a stranger's. */
function plant(machine: Machine, input: Readonly<Record<string, unknown>>, text: string): Record<string, unknown> {
  const foreign = [...machine.context.values()].filter(({ label }) => label.trust === 'untrusted')
  return { ...input, ...Object.fromEntries(foreign.map(({ name }) => [name, text])) }
}
