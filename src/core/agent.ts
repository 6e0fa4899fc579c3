// An agent is a finite state machine, and a machine is data: this file holds the words a machine is written in and
// the types that make a wrong one not compile. It decides nothing; `check` says whether a machine is sound, `compile`
// makes it ready to be run.

import type { Escalation } from './approval.ts'
import type { ContextDefinition, ContextOf, ContextShape } from './context.ts'
import type { Duration } from './duration.ts'
import type { DeclaredLabel } from './label.ts'
import type { Limits } from './limits.ts'
import type { Rule } from './policy.ts'
import type { Schema } from './schema.ts'
import type { Time } from './time.ts'
import type { Tool } from './tool.ts'

/** The engine's own exits: no model and no function may take them; a machine routes them, or the task goes to the inbox. */
export const engineExits = [
  '$error',
  '$timeout',
  '$visits',
  '$turns',
  '$refused',
  '$limit',
  '$doubt',
  '$stuck',
] as const

/** One of the engine's own exits. */
export type EngineExit = (typeof engineExits)[number]

/** What a prompt, an argument mapper, a question or a function is given: the keys its state may read. */
export interface Reading<Context> {
  readonly context: Readonly<Context>
}

/** One way an exit may lead. */
export interface ExitDefinition<Context = any, Target = string> {
  readonly target: Target
  /** Told to a model that may choose this exit. */
  readonly description?: string
  /** What must be handed over to leave this way: an object whose keys are written to the context. */
  readonly output?: Schema
  /** Pure and synchronous; sees the context before the output is written. Of several candidates the first that holds is taken. */
  readonly guard?: (given: Reading<Context> & { readonly output: any }) => boolean
}

/** An exit: a target, a target with conditions, or several candidates tried in order. */
export type Exit<Context = any, Target = string> =
  | Target
  | ExitDefinition<Context, Target>
  | readonly ExitDefinition<Context, Target>[]

interface Common<Context, Target> {
  /** The declared ways out, by name. Names that start with `$` are the engine's. */
  readonly on?: Readonly<Record<string, Exit<Context, Target>>>
  /** Context keys this state may read. Default: all. */
  readonly reads?: readonly (keyof Context & string)[]
  /** Context keys this state may write. Default: the keys that its exits' outputs declare. */
  readonly writes?: readonly (keyof Context & string)[]
  /** How often the state may be entered in one task. Default 10; past it, `$visits`. */
  readonly visits?: number
  /** How long one turn (model), one call (tool, run) or the whole wait (human, wait) may take; past it, `$timeout`. */
  readonly timeout?: Duration
  /** How long a visit may last, with all of its turns, tools, tries and waits; past it, `$timeout`. */
  readonly visitTimeout?: Duration
  /**
   * No progress: how often one call in a visit may get one and the same answer, and how often a cycle of states may come
   * back here with nothing changed. Default 3; at it, `$stuck`.
   */
  readonly repeats?: number
  /** Entering the state is a point that a rollback may name. */
  readonly checkpoint?: string
  /**
   * What happens where the state would leave by `$error`, `$timeout` or `$doubt` and nothing routes it: `escalate` (default)
   * asks a human, `rollback` goes back to the last checkpoint, or the state that the task goes to.
   */
  readonly onFailure?: 'rollback' | 'escalate' | Target
}

/** A quarantine: what leaves it is no longer what came in, so it gets a weaker label, and the log says so. */
export interface Declassification extends DeclaredLabel {
  readonly reason: string
}

/** A model chooses among tools and exits. */
export interface ModelState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'tool' | 'run' | 'human' | 'wait' | 'type'> {
  /** The name of a model, or of several: the next is asked when one has failed as often as `retry` allows. */
  readonly model: string | readonly string[]
  /** Who the model is here; the system message. */
  readonly instructions?: string
  /** What is to be done, from the context; rendered once, when the state is entered. */
  readonly prompt: string | ((given: Reading<Context>) => string)
  readonly tools?: readonly Tool[]
  /** Model calls in one visit. Default 20; past it, `$turns`. */
  readonly turns?: number
  /** Answers with something refused in one visit. Default 5; at it, `$refused`. */
  readonly refusals?: number
  /** How often a failed call is tried, with each model of the chain, the first included. Default 4. */
  readonly retry?: { readonly attempts: number }
  /** The bound on one answer's tokens. Default 4096. */
  readonly outputTokens?: number
  /** The most that one call may hold, in and out; the window of the model where that is less. */
  readonly windowTokens?: number
  /** How far that bound may shrink when a budget runs low. Default 256. */
  readonly outputTokensMin?: number
  /** 0 to 2; left to the provider when absent. */
  readonly temperature?: number
  /** For a state without tools whose outputs are closed: choices, numbers, booleans; no text of the model's own. */
  readonly declassify?: Declassification
}

/** One tool is called, with arguments computed from the context. Leaves by `DONE` unless `exit` says otherwise. */
export interface ToolState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'model' | 'run' | 'human' | 'wait' | 'type'> {
  readonly tool: Tool
  /** Pure: the arguments of the call. */
  readonly args: (given: Reading<Context>) => unknown
  /** Pure: the exit that a result leads to. Default: `DONE`. */
  readonly exit?: (given: Reading<Context> & { readonly result: any }) => Leaving<Context>
}

/** Your own deterministic function says where to go. */
export interface RunState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'model' | 'tool' | 'human' | 'wait' | 'type'> {
  readonly run: (
    given: Reading<Context> & { readonly signal: AbortSignal },
  ) => Leaving<Context> | Promise<Leaving<Context>>
  /** As of a model state: its outputs must be closed. */
  readonly declassify?: Declassification
}

/** A person is asked; the state's exits are the decisions that may be made. */
export interface HumanState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'model' | 'tool' | 'run' | 'wait' | 'type'> {
  readonly human: {
    readonly question: string | ((given: Reading<Context>) => string)
    /** What the person is shown besides the question: anything JSON. */
    readonly show?: (given: Reading<Context>) => unknown
    readonly assignee?: string
    /** To whom it goes when nobody has answered for so long. */
    readonly escalate?: readonly Escalation[]
  }
}

/**
 * Nothing is done until a time has passed or come, or a signal has. Leaves by `DONE`; a signal's data is that exit's output. Pure: the
 * time until which is waited, asked for once, when the state is entered; one that is past is waited for no longer.
 */
export interface WaitState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'model' | 'tool' | 'run' | 'human' | 'type'> {
  readonly wait:
    | { readonly delay: Duration; readonly signal?: never; readonly until?: never }
    | { readonly signal: string; readonly delay?: never; readonly until?: never }
    | { readonly until: (given: Reading<Context>) => Time; readonly delay?: never; readonly signal?: never }
}

/** The end. Its name is the task's outcome. */
export interface FinalState extends Not<'model' | 'tool' | 'run' | 'human' | 'wait' | 'on'> {
  readonly type: 'final'
  /** True for an end that is not a good one: the task's status is then `failed`. Default false. */
  readonly failure?: boolean
}

type Not<Keys extends string> = { readonly [Key in Keys]?: never }

/** Any state. */
export type State<Context = any, Target = string> =
  | ModelState<Context, Target>
  | ToolState<Context, Target>
  | RunState<Context, Target>
  | HumanState<Context, Target>
  | WaitState<Context, Target>
  | FinalState

/** What a function or a mapper answers with: an exit, or an exit and what it hands over. */
export type Leaving<Context = any> = string | { readonly exit: string; readonly output?: Partial<Context> }

/** An agent's definition, as written. */
export interface AgentDefinition<Shape extends ContextShape = ContextShape, States = Readonly<Record<string, State>>> {
  readonly name: string
  readonly version: string
  readonly context: ContextDefinition<Shape>
  readonly initial: keyof States & string
  readonly limits?: Limits<keyof States & string>
  /** Rules that every step is judged by, besides the orchestrator's. */
  readonly policy?: readonly Rule[]
  /** After untrusted input a human is asked about every effect. Default false. */
  readonly strict?: boolean
  /** What a state without an `onFailure` of its own does. */
  readonly onFailure?: 'rollback' | 'escalate' | (keyof States & string)
  /** `undo`: a task that is cancelled takes back what it did, the latest first, before it ends. Default `leave`. */
  readonly onCancel?: 'leave' | 'undo'
  /** What may be told to its tasks, by name, and what it must hold. Default: any signal, and anything in it. */
  readonly signals?: Readonly<Record<string, Schema>>
  /** Default routes of the engine's exits, for every state that does not route them itself. */
  readonly on?: Readonly<Partial<Record<EngineExit, keyof States & string>>>
  readonly states: States
}

const brand = Symbol.for('signalbox.agent')

/** A named, versioned state machine definition. */
export interface Agent<
  Shape extends ContextShape = ContextShape,
  States = Readonly<Record<string, State>>,
> extends AgentDefinition<Shape, States> {
  readonly [brand]: true
}

// The checks below run in the type system: they find what `check` would find, at the place where it was written.

type Written<Context, Output> = keyof Output extends keyof Context
  ? Output extends { [Key in keyof Output]: Key extends keyof Context ? Context[Key] : never }
    ? unknown
    : { output: 'this output does not have the type of its context key' }
  : { output: `the context has no key ${Exclude<keyof Output, keyof Context> & string}` }

type CheckedExit<Context, Target, E> = E extends string
  ? Target
  : E extends readonly unknown[]
    ? { readonly [Index in keyof E]: E[Index] & CheckedExit<Context, Target, E[Index]> }
    : { readonly target: Target } & (E extends { readonly output: Schema<infer Output> }
        ? Written<Context, Output>
        : unknown)

type CheckedExits<Context, Target, S> = S extends { readonly on: infer On }
  ? { readonly on: { readonly [Name in keyof On]: CheckedExit<Context, Target, On[Name]> } }
  : unknown

type CheckedArgs<S> = S extends {
  readonly tool: Tool<infer Input>
  readonly args: (...given: any) => infer Given
}
  ? Given extends Input
    ? unknown
    : { args: 'these arguments are not what the tool takes' }
  : unknown

type Checked<Context, States> = {
  readonly [Name in keyof States]: CheckedExits<Context, keyof States & string, States[Name]> &
    CheckedArgs<States[Name]>
}

/**
 * Declares an agent. Nothing is thrown here: a target that does not exist, a key that the context does not have and
 * an output of the wrong type do not compile, and `check` names everything that types cannot see.
 */
export function defineAgent<
  Shape extends ContextShape,
  const States extends Readonly<Record<string, State<ContextOf<Shape>>>>,
>(
  definition: Omit<AgentDefinition<Shape, NoInfer<States>>, 'states'> & {
    readonly states: States & Checked<ContextOf<Shape>, NoInfer<States>>
  },
): Agent<Shape, States> {
  return Object.freeze({ ...definition, [brand]: true as const })
}

/** Is this something `defineAgent` made, by this copy of the package or another? */
export function isAgent(value: unknown): value is Agent {
  return typeof value === 'object' && value !== null && brand in value
}
