// What is played: a machine, what is known of its outside, what goes wrong, and how many work on how many tasks of it at once.

import type { Agent } from '../core/agent.ts'
import type { Json } from '../core/json.ts'
import type { Limits } from '../core/limits.ts'
import type { OrchestratorOptions } from '../orchestrator.ts'
import type { Script } from '../providers/scripted.ts'
import type { Commit, Store } from '../store/store.ts'
import type { VirtualClock } from '../virtual-clock.ts'
import type { Injection, Violation } from './evidence.ts'
import type { Aim } from './plan.ts'
import type { Target } from './route.ts'

/** What is known of the outside of an agent; what is not given is made up by schema. */
export interface Outside {
  /** What tasks are started with. */
  readonly input?: Readonly<Record<string, unknown>>
  /** What tools answer, by name; a function of their input. */
  readonly tools?: Readonly<
    Record<
      string,
      (input: any, call: { readonly taskId: string; readonly step: number; readonly attempt: number }) => unknown
    >
  >
  /** What is handed over with an exit, by its name: by models, people and functions. */
  readonly outputs?: Readonly<Record<string, Json>>
  /** What signals hold, by name. */
  readonly signals?: Readonly<Record<string, Json>>
  /** Plays the models, where they are not to find their own way; functions of the machine are then called for real. */
  readonly script?: Script
}

/** What people do whom nobody has asked. */
export type Whim = 'cancel' | 'rollback' | 'signal'

/** What is played. */
export interface Scene {
  readonly agent: Agent<any, any>
  readonly outside?: Outside
  readonly config?: Pick<OrchestratorOptions, 'prices' | 'quotas' | 'windows' | 'policy' | 'redact'>
  readonly seed: number
  /** Where the models lead the task before they lead it to its end. */
  readonly target?: Target
  readonly faults?: readonly Aim[]
  readonly limits?: Limits
  readonly injection?: Injection
  /** Two states that models lead back and forth between, for ever. */
  readonly loop?: readonly [string, string]
  /** A tool that the target's model asks for, again and again while it answers. */
  readonly insists?: boolean
  /** How many tasks are started, 1 to 4. Default 1. */
  readonly tasks?: number
  /** How many work on them, each with as many of them at a time. Default 1. */
  readonly workers?: number
  /** How often, from 0 to 1, models, people and functions take any exit in place of the best one. Default 0. */
  readonly wander?: number
  /** Whether people answer whatever is asked, doubts and budgets too. Default: questions and approvals. */
  readonly peopleAnswerAll?: boolean
  /** What people do unasked, and how often: the chance of it at each write. */
  readonly whims?: { readonly share: number; readonly of: readonly Whim[] }
  /** Every other write takes up to so long. Default: no time. */
  readonly lagMs?: number
  /** Opens the store, by the clock of the world. Default: one in memory. */
  readonly openStore?: (clock: VirtualClock) => Promise<Store>
  /** Looks at the store after every commit, and says what does not hold there. */
  readonly watch?: (given: Commit, store: Store) => Promise<readonly Violation[]>
}

const words = ['sample', 'bravo', 'charlie', 'delta'] as const

/** The identifiers of the tasks that a scene starts, and the word that texts of each are made of. */
export const roots: ReadonlyMap<string, string> = new Map(
  words.map((word, index) => [index === 0 ? 't' : `t${index + 1}`, word]),
)
