// A task that is worked on for real, by a virtual clock and in memory, while its worker is killed at a write: what it had not
// written is lost, another worker comes, and the task goes on to where it rests. Bodies of tools are called: give them a ledger.
// A body that is under way when its worker dies goes on, as a request does that has left the machine.

import { Fault } from '../core/fault.ts'
import type { HumanAnswer } from '../core/command.ts'
import { isEnded } from '../core/task.ts'
import { createOrchestrator, type Orchestrator, type OrchestratorOptions, type TaskHandle } from '../orchestrator.ts'
import type { WritePoint } from '../runtime.ts'
import type { Commit, InboxRow, LoggedEvent, Store } from '../store/store.ts'
import type { TaskView } from '../view.ts'
import { VirtualClock, type Life } from '../virtual-clock.ts'

/** A death at a write: the n-th at this point, before anything of it is written or right after. */
export interface Crash {
  readonly at: WritePoint
  /** From 1, which is the default. */
  readonly attempt?: number
  /** Default `after`: it is written, and nobody has heard. */
  readonly when?: 'before' | 'after'
}

/** What is worked with: options of the orchestrator, and what people say. */
export interface Working extends Omit<OrchestratorOptions, 'store' | 'runtime' | 'work'> {
  /** Default 1. */
  readonly seed?: number
  /** What a person answers to an item; undefined: nobody does, and the task rests there. */
  readonly people?: (item: InboxRow) => HumanAnswer | undefined
}

/** How it came out. */
export interface Outlived {
  readonly task: TaskView
  readonly events: readonly LoggedEvent[]
  /** Whether the worker was killed. */
  readonly crashed: boolean
  /** Every crash that there could have been, at each write of this run. */
  readonly crashes: readonly Crash[]
}

/**
 * Works on a task until it has ended or rests. `begin` starts it, under an id of its own: it is asked again after each death, as
 * a caller would, and must say the same. Throws whatever the orchestrator does, and GIVEN_INVALID where nothing comes to rest.
 */
export async function outlive(
  working: Working,
  begin: (box: Orchestrator) => Promise<TaskHandle>,
  crash?: Crash,
): Promise<Outlived> {
  const { seed = 1, people = () => undefined, ...options } = working
  const clock = new VirtualClock(seed)
  const store = await clock.open('sqlite::memory:')
  const deaths = new Deaths(crash)
  try {
    for (let lives = 0; lives < 3; lives += 1) {
      const life = clock.life()
      const seen = mortal(store, life, deaths)
      const box = await createOrchestrator({
        env: {},
        onFault: () => undefined,
        ...options,
        store: seen,
        runtime: life,
      })
      const rested = await passing(clock, store, Promise.race([toRest(box, begin, people), life.end$]))
      if (!rested) continue
      const events = await store.read(rested.taskId)
      await clock.until(Promise.race([box.stop(0), life.end$]))
      return { task: rested, events, crashed: deaths.struck, crashes: deaths.possible }
    }
    throw new Fault('GIVEN_INVALID', 'The task came to no rest in three lives.', 'This is a defect; please report it.')
  } finally {
    await store.close()
  }
}

/** Waits for something while time passes as fast as it can; over hours in which nothing is due it goes at once. */
async function passing<T>(clock: VirtualClock, store: Store, awaited: Promise<T>): Promise<T> {
  let over = false
  const finish = (): void => void (over = true)
  awaited.then(finish, finish)
  for (let lookedAtMs = clock.now(); !over;) {
    await clock.step(() => over)
    if (over || clock.now() - lookedAtMs < 5_000) continue
    lookedAtMs = clock.now()
    if ((await store.held(clock.now())).length > 0) continue
    const definitions = (await store.definitions()).map(({ definition }) => definition)
    const dueMs = await store.nextDueMs(definitions)
    if (dueMs !== null) clock.advance(Math.max(0, dueMs - clock.now() - 1_000))
  }
  return awaited
}

async function toRest(
  box: Orchestrator,
  begin: (box: Orchestrator) => Promise<TaskHandle>,
  people: NonNullable<Working['people']>,
): Promise<TaskView> {
  const task = await begin(box)
  for (;;) {
    const view = await task.rest()
    if (isEnded(view)) return view
    const [item, said] = view.inbox.flatMap((one) => {
      const answer = people(one)
      return answer ? [[one, answer] as const] : []
    })[0] ?? [undefined]
    if (!item) return view
    await box.answer(item.item, said)
  }
}

/** The writes of a run, and the one at which its worker dies. */
class Deaths {
  readonly #crash: Crash | undefined
  readonly #seen = new Map<WritePoint, number>()
  readonly possible: Crash[] = []
  struck = false

  constructor(crash: Crash | undefined) {
    this.#crash = crash
  }

  /** Another write at this point: does the worker die of it? */
  strikes(at: WritePoint): { readonly attempt: number; readonly when: Crash['when'] } {
    const attempt = (this.#seen.get(at) ?? 0) + 1
    this.#seen.set(at, attempt)
    const { at: its, attempt: nth = 1, when = 'after' } = this.#crash ?? {}
    if (this.struck || its !== at || nth !== attempt) return { attempt, when: undefined }
    this.struck = true
    return { attempt, when }
  }

  /** Something was written. Workers look for work all the time: where they find none, there is nothing to lose. */
  wrote(at: WritePoint, attempt: number, answer: unknown): void {
    if (Array.isArray(answer) && answer.length === 0) return
    this.possible.push({ at, attempt, when: 'before' }, { at, attempt, when: 'after' })
  }
}

/** The store as one worker sees it, which may die of a write. Nothing is heard of a dead one, and it hears nothing. */
function mortal(store: Store, life: Life, deaths: Deaths): Store {
  const never = new Promise<never>(() => undefined)
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      if (name === 'watch') return value.bind(target)
      return async (...given: readonly unknown[]): Promise<unknown> => {
        if (life.ended) return never
        const at = pointOf(String(name), given)
        const { attempt, when } = at ? deaths.strikes(at) : { attempt: 0, when: undefined }
        if (when === 'before') life.end()
        if (life.ended) return never
        const answer: unknown = await value.apply(target, given)
        if (at) deaths.wrote(at, attempt, answer)
        if (when === 'after') life.end()
        return life.ended ? never : answer
      }
    },
  })
}

function pointOf(method: string, [first]: readonly unknown[]): WritePoint | undefined {
  if (method === 'commit') return (first as Commit).point
  return method === 'claim' || method === 'renew' || method === 'release' ? method : undefined
}
