// Tells a task again: everything that its log says was decided is decided anew, with the machine as it is today, from what
// came from outside as the log has it. Nothing is called for that: what models, tools and functions answered, what people
// said, what time it was, what the family and the gates had to tell are in the log. The first event that is not decided as
// it was is named. What the author wrote to be asked on the way (prompts, mappers, guards, rules) is asked again; what is
// performed, the bodies of tools and functions and what a model says, is not, so a change of those is not seen.

import { cancel } from './command.ts'
import { proceed, resume, settle, late, type Ending, type Outcome } from './decide.ts'
import { diverging, isSame, type Divergence } from './divergence.ts'
import { draft, noTerms, type Draft, type Keeper, type Terms } from './draft.ts'
import { isErased } from './erasure.ts'
import type { Event, EventData, EventType } from './event.ts'
import { isFault, messageOf } from './fault.ts'
import { evolve } from './fold.ts'
import { gateOf, type Gate } from './breaker.ts'
import { clear } from './label.ts'
import { defaults, type Limits, type TaskLimits } from './limits.ts'
import type { Machine } from './machine.ts'
import { migrate } from './migration.ts'
import type { Answer, Failure } from './model.ts'
import { park } from './park.ts'
import { checkpointOf, pastAt } from './past.ts'
import { runAgain } from './permission.ts'
import type { Usd } from './price.ts'
import { rollbackTo } from './rollback.ts'
import { startIn } from './start.ts'
import { surroundings } from './surroundings.ts'
import { emptyTask, type Kept, type PerformedStep, type Task } from './task.ts'
import type { Leave } from './transition.ts'

/** What came of telling a task again. */
export interface Replay {
  /**
   * `same`: everything is decided as it was. `diverged`: something is not. `untold`: something is not, and what it hangs on may
   * have been erased.
   */
  readonly verdict: 'same' | 'diverged' | 'untold'
  /** Events of the log; of those, how many were decided anew, and came out the same. */
  readonly events: number
  readonly decided: number
  /** The first event that was decided by this definition: what is before it was decided by another, and is taken as it is. */
  readonly from: number
  readonly divergence: Divergence | undefined
  /** Events whose payloads are gone, as far as was looked: what they held is not known. */
  readonly erased: readonly number[]
}

/** What goes on at the gates is not for a definition to say, and held against nothing. */
const traffic: ReadonlySet<EventType> = new Set<EventType>(['breaker.changed', 'slot.taken', 'slot.freed'])

/** What others said or did, and the log only holds. */
const outside: ReadonlySet<EventType> = new Set<EventType>([
  'context.synced',
  'child.ended',
  'human.answered',
  'answer.refused',
  'signal.received',
  'notice.sent',
  'notice.failed',
  'payload.erased',
])

/** Tells a task again. `log` is whole, from its first event on. */
export function replay(machine: Machine, log: readonly Event[], terms: Terms = noTerms): Replay {
  return new Telling(machine, log, terms).tell()
}

/** Thrown where the two part; whoever catches it finds that it is thrown again. */
class Parted extends Error {}

class Telling {
  readonly #machine: Machine
  readonly #log: readonly Event[]
  readonly #terms: Terms
  readonly #task: Task
  readonly #gates = new Map<string, Gate>()
  readonly #erased: number[] = []
  /** The place of the next event. */
  #next = 0
  #decided = 0
  #children = 0
  #divergence: Divergence | undefined

  constructor(machine: Machine, log: readonly Event[], terms: Terms) {
    this.#machine = machine
    this.#log = log
    this.#terms = terms
    this.#task = emptyTask(log[0]?.taskId ?? '')
  }

  tell(): Replay {
    const from = Math.max(this.#forked(), this.#moved())
    while (this.#next < from) this.#take()
    this.#pass()
    while (!this.#divergence && this.#ahead !== undefined) {
      const before = this.#next
      const why = this.#tellNext()
      if (this.#next === before && !this.#divergence) this.#part(undefined, why)
    }
    const hangs = this.#divergence !== undefined && this.#erased.length > 0
    return {
      verdict: this.#divergence === undefined ? 'same' : hangs ? 'untold' : 'diverged',
      events: this.#log.length,
      decided: this.#decided,
      from: from + 1,
      divergence: this.#divergence,
      erased: this.#erased,
    }
  }

  /** What another definition has decided is taken as it is, up to where this one takes the task over. */
  #moved(): number {
    const moved = this.#log.findLastIndex(({ type }) => type === 'task.migrated')
    return moved > 0 && this.#log[moved - 1]!.type === 'item.closed' ? moved - 1 : Math.max(0, moved)
  }

  /** And what a fork has from another task, up to where it goes on by itself. */
  #forked(): number {
    const [first, second] = this.#log
    const isFork = second?.type === 'task.forked' && first?.type === 'task.started' && !first.data.parent
    return isFork ? 1 + this.#log.findIndex(({ type }) => type === 'state.entered') : 0
  }

  get #ahead(): Event | undefined {
    return this.#log[this.#next]
  }

  /** Folds in the next event as the log has it. */
  #take(): Event {
    const event = this.#log[this.#next]!
    evolve(this.#task, event)
    this.#next += 1
    if (event.type === 'breaker.changed') this.#gates.set(event.data.key, gateOf(event.data))
    if (event.type === 'child.started') this.#children += 1
    if (Object.values(event.data).some(isErased)) this.#erased.push(event.seq)
    return event
  }

  /** Passes over what no definition decides. */
  #pass(): void {
    while (this.#ahead && traffic.has(this.#ahead.type)) this.#take()
  }

  /** What is decided is held against the log, and what the log holds is what counts. */
  readonly #keep: Keeper = ({ events }, event) => {
    if (this.#divergence) throw new Parted()
    if (traffic.has(event.type)) return
    const logged = this.#ahead
    if (!logged || !isSame(logged, event)) this.#part(event)
    else {
      events.push(this.#take())
      this.#decided += 1
      this.#pass()
    }
    if (this.#divergence) throw new Parted()
  }

  #part(decided: Event | undefined, why?: string): void {
    const seq = this.#task.seq + 1
    this.#divergence = diverging(seq, this.#task.state, this.#ahead, decided, why)
  }

  /** Decides what the log holds next, or takes it as it is. Answers with why nothing was decided, where that was said. */
  #tellNext(): string | undefined {
    const { type, at } = this.#ahead!
    if (outside.has(type) && this.#task.seq > 0) {
      this.#take()
      this.#pass()
      return undefined
    }
    const around = surroundings(
      this.#task,
      this.#log.slice(this.#next, this.#next + lookMax),
      this.#gates,
      this.#children,
    )
    const work = draft(this.#task, at, { ...this.#terms, ...around }, this.#keep)
    try {
      return this.#decide(work, this.#ahead!)
    } catch (thrown) {
      if (this.#divergence) return undefined
      if (!isFault(thrown) && this.#erased.length === 0) throw thrown
      return messageOf(thrown)
    }
  }

  /** Does with the task what was done with it when this event was decided. */
  #decide(work: Draft, event: Event): string | undefined {
    const machine = this.#machine
    const ahead = this.#log.slice(this.#next, this.#next + lookMax)
    const cancelled = cancelledIn(ahead)
    if (event.type === 'task.started') this.#start(work, event.data)
    else if (cancelled) cancel(work, cancelled)
    else if (event.type === 'rollback.started' && isAsked(event.data)) this.#rollBack(work, event.data)
    else if (event.type === 'step.lost') resume(machine, work)
    else if (event.type === 'limit.reached' && event.data.limit === 'deliveries') park(machine, work, event.data.max)
    else if (event.type === 'step.late') late(work, lateOf(event.data))
    else {
      const moved = movedIn(ahead)
      if (moved) {
        const came = migrate(machine, moved.definition, work)
        return 'why' in came ? came.why : undefined
      }
      if (!this.#settle(work, ahead)) proceed(machine, work)
    }
    return undefined
  }

  #start(work: Draft, started: EventData['task.started']): void {
    const { definition, by, seed, from, parent, limits } = started
    const entered = this.#log.findIndex(({ type }) => type === 'state.entered')
    const begun = this.#log.slice(1, Math.max(1, entered))
    const written = begun.flatMap(({ type, data }) =>
      type === 'context.written' && data.source === 'input' ? data : [],
    )
    const [fork] = begun.flatMap(({ type, data }) => (type === 'task.forked' ? data : []))
    const shared = begun.flatMap(({ type, data }) => (type === 'context.synced' ? data : []))
    // Of an unchanged definition all that is not as its agent says is the task's own; an older log does not say what is.
    const isOwn = definition === this.#terms.definition(this.#machine.agent) || (parent && !started.given)
    const { depth, ...own } = isOwn ? givenOf(limits) : (started.given ?? {})
    const below = depth === undefined ? {} : parent ? { depthMax: depth } : { limits: { ...own, depth } }
    startIn(
      this.#machine,
      {
        taskId: this.#task.id,
        definition,
        by,
        seed,
        input: Object.fromEntries(written.map(({ key, value }) => [key, value])),
        labels: Object.fromEntries(written.map(({ key, label }) => [key, label ? [label] : []])),
        erased: new Set(written.filter(({ value }) => isErased(value)).map(({ key }) => key)),
        limits: own,
        ...below,
        ...(from === undefined ? {} : { from }),
        ...(parent ? { parent } : {}),
        fork,
        ...(shared.length > 0 ? { shared: new Map(shared.map(keptOf)) } : {}),
      },
      work,
    )
  }

  #rollBack(work: Draft, { asked, by, reason }: EventData['rollback.started']): void {
    const past =
      typeof asked === 'number'
        ? pastAt(work.task.id, this.#log.slice(0, asked), asked)
        : checkpointOf(work.task, asked)
    rollbackTo(work, past, { asked, by, reason })
  }

  /** Records what came of a step that was at work. False: the event is not about that. */
  #settle(work: Draft, ahead: readonly Event[]): boolean {
    // What a function asked for and may not read is told before what came of it.
    const told = ahead.findIndex((event) => !isDeniedRead(event))
    const outcome = ahead[told]
    const came = outcome && outcomeOf(work.task, outcome, ahead)
    if (!came) return false
    const denied = ahead.slice(0, told).flatMap(({ data }) => ('asked' in data ? String(data.asked) : []))
    const { step, ending, latencyMs } = came
    const clashed = ending.kind === 'failed' && ending.failure.class === 'conflict'
    if (clashed && step.kind === 'function') runAgain(work, step, ending.failure.message, latencyMs)
    else {
      const tried = { step: step.step, attempt: step.attempt, latencyMs }
      settle(this.#machine, work, { ...ending, ...tried, ...(denied.length === 0 ? {} : { denied }) })
    }
    return true
  }
}

// What belongs to one decision is not looked for further than this.
const lookMax = 256

function givenOf({ durationMs, costMicros, ...rest }: TaskLimits): Limits {
  return { ...rest, duration: durationMs, ...(costMicros === null ? {} : { cost: costMicros as Usd }) }
}

function keptOf({ key, value = null, version, label, writer }: EventData['context.synced']): [string, Kept] {
  return [key, { value, version, label: label ?? clear, writer }]
}

function isDeniedRead(event: Event): boolean {
  return event.type === 'step.refused' && event.data.reason === 'undeclared-read'
}

/** Did a human ask for this rollback, and not the machine, or a cancellation? */
function isAsked({ exit, ends }: EventData['rollback.started']): boolean {
  return exit === undefined && ends === undefined
}

/** The cancellation that these events begin with: what is called off is told before it. */
function cancelledIn(ahead: readonly Event[]): EventData['task.cancelled'] | undefined {
  for (const event of ahead) {
    if (event.at !== ahead[0]!.at) return undefined
    if (event.type === 'task.cancelled') return event.data
    const abort = 'class' in event.data && event.data.class === 'abort' && !('retry' in event.data)
    const off = event.type === 'child.calledOff' || event.type === 'tool.doubted' || abort
    if (!off && !traffic.has(event.type)) return undefined
  }
  return undefined
}

/** The move to another definition that these events begin with. */
function movedIn([first, second]: readonly Event[]): EventData['task.migrated'] | undefined {
  const moved = first?.type === 'item.closed' ? second : first
  return moved?.type === 'task.migrated' ? moved.data : undefined
}

/** A result that came late. */
function lateOf({ kind, result, usage, step, attempt, latencyMs }: EventData['step.late']): Outcome {
  const tried = { step, attempt, latencyMs }
  if (kind === 'tool') return { kind, result, ...tried }
  if (kind === 'function') return { kind, leaving: result as unknown as Leave, ...tried }
  const content = result as unknown as Answer['content']
  return { kind, answer: { provider: '', modelId: '', content, finish: 'other', usage: usage! }, ...tried }
}

/** What came of a step that is at work, if an event says that. */
function outcomeOf(
  { open }: Task,
  event: Event,
  ahead: readonly Event[],
): { readonly step: PerformedStep; readonly ending: Ending; readonly latencyMs: number } | undefined {
  const { step: number, attempt, latencyMs = 0 } = event.data as Partial<EventData['tool.failed']>
  const step = number === undefined ? undefined : open.get(number)
  if (!step || step.kind === 'child' || step.attempt !== attempt) return undefined
  const ending = endingOf(step, event, ahead)
  return ending && { step, ending, latencyMs }
}

function endingOf(step: PerformedStep, event: Event, ahead: readonly Event[]): Ending | undefined {
  const { type, data } = event
  if (type === 'model.answered') return { kind: 'model', answer: data }
  if (type === 'tool.answered') return { kind: 'tool', result: data.result }
  if (type === 'function.returned') return { kind: 'function', leaving: { exit: data.exit, output: data.output } }
  const asks = step.kind === 'tool' && step.reconciles === true
  if (type === 'tool.doubted') return failed({ class: asks ? 'lost' : 'timeout', message: '' })
  // What is only asked after fails in the log by saying that it was not done.
  if (type === 'tool.failed' && asks) return { kind: 'undone' }
  if (type !== 'model.failed' && type !== 'tool.failed' && type !== 'function.failed') return undefined
  const failure: Failure = { class: data.class, message: data.message }
  if (type === 'function.failed') return failed(failure)
  const status = 'status' in data && data.status !== undefined ? { status: data.status } : {}
  return failed({ ...failure, ...status, ...unbilledIn(step, event), ...quiet(event, ahead) })
}

type FailedCall = Extract<Event, { type: 'model.failed' | 'tool.failed' }>

/** A call that was never begun: nothing was charged for it, and nobody has to ask whether it acted. */
function unbilledIn(step: PerformedStep, { type, data }: FailedCall): Pick<Failure, 'unbilled'> {
  const cut = (data.class === 'timeout' || data.class === 'abort') && data.retry?.reason !== 'reconcile'
  const unbilled =
    type === 'model.failed'
      ? step.kind === 'model' && step.reserved !== undefined && data.charge === undefined
      : step.kind === 'tool' && !step.idempotent && cut
  return unbilled ? { unbilled } : {}
}

function failed(failure: Failure): Ending {
  return { kind: 'failed', failure }
}

/** For how long the other side asked for quiet, as far as the retry, or its breaker, says. */
function quiet(
  { at, data: { class: kind, retry } }: FailedCall,
  ahead: readonly Event[],
): Pick<Failure, 'retryAfterMs'> {
  if (retry?.reason === 'retry-after') return { retryAfterMs: retry.delayMs }
  if (kind !== 'rate-limit') return {}
  const told = ahead.find((event) => event.at === at && event.type === 'breaker.changed')
  const quietMs = told?.type === 'breaker.changed' ? told.data.pausedUntilMs - at : 0
  // Who is to try the same again before that was told nothing itself: somebody else was.
  const isTold = retry?.reason !== 'jitter' || quietMs <= retry.delayMs
  if (quietMs <= 0 || !isTold) return {}
  // No pause is longer than the longest: what was asked for may have been.
  return { retryAfterMs: quietMs < defaults.pauseMaxMs ? quietMs : Number.MAX_SAFE_INTEGER }
}
