// An agent is a finite state machine, and a machine is data: this file holds the words a machine is written in and
// the types that make a wrong one not compile. It decides nothing; `check` says whether a machine is sound, `compile`
// makes it ready to be run.

import type { Escalation } from './approval.ts'
import type { ContextDefinition, ContextOf, ContextShape, InputOf } from './context.ts'
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
  extends Common<Context, Target>, Not<'tool' | 'run' | 'human' | 'wait' | 'agent' | 'type'> {
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
  extends Common<Context, Target>, Not<'model' | 'run' | 'human' | 'wait' | 'agent' | 'type'> {
  readonly tool: Tool
  /** Pure: the arguments of the call. */
  readonly args: (given: Reading<Context>) => unknown
  /** Pure: the exit that a result leads to. Default: `DONE`. */
  readonly exit?: (given: Reading<Context> & { readonly result: any }) => Leaving<Context>
}

/** Your own deterministic function says where to go. */
export interface RunState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'model' | 'tool' | 'human' | 'wait' | 'agent' | 'type'> {
  readonly run: (
    given: Reading<Context> & { readonly signal: AbortSignal },
  ) => Leaving<Context> | Promise<Leaving<Context>>
  /** As of a model state: its outputs must be closed. */
  readonly declassify?: Declassification
}

/** A person is asked; the state's exits are the decisions that may be made. */
export interface HumanState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'model' | 'tool' | 'run' | 'wait' | 'agent' | 'type'> {
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
  extends Common<Context, Target>, Not<'model' | 'tool' | 'run' | 'human' | 'agent' | 'type'> {
  readonly wait:
    | { readonly delay: Duration; readonly signal?: never; readonly until?: never }
    | { readonly signal: string; readonly delay?: never; readonly until?: never }
    | { readonly until: (given: Reading<Context>) => Time; readonly delay?: never; readonly signal?: never }
}

/** What a child task came to, as its parent is told. */
export interface ChildResult<Output = any> {
  readonly taskId: string
  /** The child's place in the list that `each` gave; 0 where there is one child. */
  readonly index: number
  /** `cancelled` also where it was called off: because of a deadline, or because the others were enough. */
  readonly status: 'done' | 'failed' | 'cancelled'
  /** The final state it ended in; an engine's exit, or `cancelled`, where it did not come to one. */
  readonly outcome: string
  /** What that final state handed over; `{}` where it hands nothing over. */
  readonly output: Output
}

/** When a fan-out has what it needs: all of its children, one of them, or so many. */
export type Join = 'all' | 'any' | { readonly quorum: number }

/**
 * What a child that does not end well means for the others. `stop`: they are cancelled, the fan-out has failed. `skip`: it
 * is left out, as long as the join can be reached without it. `wait`: all come to their end before it is judged.
 */
export type ChildFailures = 'stop' | 'skip' | 'wait'

/** A child task, or one for each item of a list, as an input and an output of it are given. */
interface Branch {
  /** The item of `each` that the child is for, and its place; of one child: nothing, and 0. */
  readonly item: any
  readonly index: number
}

/**
 * A child task; its final states are the exits of this state. With `each`, one for every item of a list: then the state
 * leaves by `DONE` when the join is reached, by `FAILED` when it cannot be.
 */
export interface AgentState<Context = any, Target = string>
  extends Common<Context, Target>, Not<'model' | 'tool' | 'run' | 'human' | 'wait' | 'type'> {
  /**
   * Who does it. An agent with the same context (the same `defineContext` object) works on the shared context of the tree,
   * under its own rights; any other has a context of its own.
   */
  readonly agent: Agent<any, any>
  /** Ceilings of a child, in place of its agent's. */
  readonly limits?: Limits
  /** Pure: the list; looked at once, when the state is entered. */
  readonly each?: (given: Reading<Context>) => readonly unknown[]
  /** Pure: a child's input; of a shared context, keys that it has for itself. Default: the item, or `{}`. */
  readonly input?: (given: Reading<Context> & Branch) => unknown
  /**
   * Pure: what is written to the context when the child has ended in one of its final states, or the join is reached.
   * `children` are those that have ended, in the order of the list; `child` is the first. Default: nothing.
   */
  readonly output?: (
    given: Reading<Context> & { readonly child: ChildResult; readonly children: readonly ChildResult[] },
  ) => Partial<Context>
  /** Children at a time. Default 8. */
  readonly concurrency?: number
  /** Default `all`. */
  readonly join?: Join
  /** Default `stop` where all are needed, else `skip`. */
  readonly failures?: ChildFailures
}

/** The end. Its name is the task's outcome. */
export interface FinalState<Context = any> extends Not<'model' | 'tool' | 'run' | 'human' | 'wait' | 'agent' | 'on'> {
  readonly type: 'final'
  /** Context keys that the output may be made of; it is as untrusted and as private as these. Default: all. */
  readonly reads?: readonly (keyof Context & string)[]
  /** Pure: what is handed over to whoever started the task as a child. Default `{}`. */
  readonly output?: (given: Reading<Context>) => unknown
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
  | AgentState<Context, Target>
  | FinalState<Context>

/** What a function or a mapper answers with: an exit, or an exit and what it hands over. */
export type Leaving<Context = any> = string | { readonly exit: string; readonly output?: Partial<Context> }

/** A task that is pinned to another definition of the agent, where it stands. */
export interface MigrationFrom {
  readonly version: string
  /** The hash of the definition. */
  readonly definition: string
  readonly state: string
  readonly context: Readonly<Record<string, any>>
}

/** Where a task goes on in this definition. */
export interface Migration<Context = any, Target = string> {
  /** Default: the state of the same name. */
  readonly state?: Target | undefined
  /** Keys to set. The others keep their values, or get their initial ones; keys that this context does not have are removed. */
  readonly context?: Partial<Context>
}

/** An agent's definition, as written. */
export interface AgentDefinition<Shape extends ContextShape = ContextShape, States = Readonly<Record<string, State>>> {
  readonly name: string
  readonly version: string
  /** Where its tasks wait for a worker that works on this queue. Default `default`. No part of the definition that tasks are pinned to. */
  readonly queue?: string
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
  /**
   * Takes over tasks of other definitions of this agent, at a safe state. Pure and synchronous; undefined leaves a task to
   * workers that have its definition. Without it all are left.
   */
  readonly migrate?: (from: MigrationFrom) => Migration<ContextOf<Shape>, keyof States & string> | undefined
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

/** The names of an agent's final states. */
type FinalsOf<States> = {
  [Name in keyof States]: States[Name] extends { readonly type: 'final' } ? Name : never
}[keyof States] &
  string

type CheckedFinals<S> = S extends { readonly each: unknown }
  ? unknown
  : S extends { readonly agent: Agent<any, infer States> }
    ? { readonly on: { readonly [Final in FinalsOf<States>]: unknown } }
    : unknown

/** Of a context that looks like the parent's any keys may be given: it may be the same. */
type GivenTo<Context, Shape extends ContextShape> = [Context, ContextOf<Shape>] extends [ContextOf<Shape>, Context]
  ? Partial<ContextOf<Shape>>
  : InputOf<Shape>

type CheckedInput<Context, S> = S extends {
  readonly agent: Agent<infer Shape, any>
  readonly input: (...given: any) => infer Given
}
  ? Given extends GivenTo<Context, Shape>
    ? unknown
    : { input: 'this input is not what the child takes' }
  : S extends { readonly agent: Agent<infer Shape, any> } & ({ readonly input?: never } & { readonly each?: never })
    ? object extends GivenTo<Context, Shape>
      ? unknown
      : { input: 'the child cannot begin without an input' }
    : unknown

type Checked<Context, States> = {
  readonly [Name in keyof States]: CheckedExits<Context, keyof States & string, States[Name]> &
    CheckedArgs<States[Name]> &
    CheckedFinals<States[Name]> &
    CheckedInput<Context, States[Name]>
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
