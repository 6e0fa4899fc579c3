// The store as one worker of a world sees it: it fails as the plan has it, and at its writes the worker dies, stands still, is
// told to stop, or finds another beside it. What is really written, the witness sees.

import { Fault } from '../core/fault.ts'
import type { WritePoint } from '../runtime.ts'
import type { Claim, ClaimRequest, Commit, Committed, Renewal, Renewed, Store } from '../store/store.ts'
import type { Life } from '../virtual-clock.ts'
import type { ProcessFault, StoreFault } from './fault-kinds.ts'
import type { Setting } from './setting.ts'

/** What happens to a process, which is not the store's to do. */
export type Befall = (life: Life, happens: ProcessFault) => Promise<void>

type AwayCode = 'STORE_FAILED' | 'STORE_LOCKED' | 'STORE_FULL'

/** A store that fails as the plan of a world has it. */
export class FaultyStore {
  readonly #setting: Setting
  readonly #store: Store
  readonly #befall: Befall
  #awayUntilMs = 0
  #awayCode: AwayCode = 'STORE_FAILED'

  constructor(setting: Setting, store: Store, befall: Befall) {
    this.#setting = setting
    this.#store = store
    this.#befall = befall
  }

  get isAway(): boolean {
    return this.#setting.clock.elapsedMs < this.#awayUntilMs
  }

  /** The store for one worker: once that has ended, nothing answers it any more. */
  seenBy(life: Life): Store {
    const never = new Promise<never>(() => undefined)
    return new Proxy(this.#store, {
      get: (target, name) => {
        if (name === 'commit') return (given: Commit) => (life.ended ? never : this.#commit(life, given))
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        if (name === 'watch') return value.bind(target)
        const point = pointOf(String(name))
        return async (...args: unknown[]): Promise<unknown> => {
          if (life.ended) return never
          await this.#strike(life, point)
          if (life.ended) return never
          if (this.isAway) throw storeFault(this.#awayCode)
          // Who gives back what it holds has nothing from then on.
          if (point === 'release') this.#setting.witness.noteReleases(args[0] as readonly Renewal[])
          const answer: unknown = await value.apply(target, args)
          const { witness } = this.#setting
          if (point === 'claim') witness.noteClaims(answer as readonly Claim[], args[0] as ClaimRequest)
          if (point === 'renew') witness.noteRenewals(args[0] as readonly Renewal[], answer as readonly Renewed[])
          return life.ended ? never : answer
        }
      },
    })
  }

  async #strike(life: Life, point: WritePoint | undefined): Promise<void> {
    if (point === undefined) return
    const { witness, plan, pick, begun } = this.#setting
    const root = witness.standing(begun[0]!)
    const at = { agent: root?.agent, state: root?.state, point }
    if (root) witness.countWrite(root.agent, root.state, point)
    const store = plan.strikes({ layer: 'store', ...at })
    if (store && 'fails' in store) await this.#fail(store.fails)
    const process = plan.strikes({ layer: 'process', ...at })
    if (process && 'happens' in process) await this.#befall(life, pick(process.happens))
  }

  async #fail(fails: StoreFault, taskId?: string): Promise<void> {
    const setting = this.#setting
    if ('yieldsMs' in fails && taskId !== undefined) await this.#giveWay(taskId, fails.yieldsMs)
    if ('slowMs' in fails) {
      setting.slackMs += fails.slowMs
      return setting.pause(fails.slowMs)
    }
    if ('awayMs' in fails) {
      this.#awayUntilMs = setting.clock.elapsedMs + fails.awayMs
      this.#awayCode = fails.code
      setting.slackMs += fails.awayMs + 10_000
      return
    }
    // Who cannot go on lets go of it, and the next one has it when the lease has run out.
    setting.slackMs += 12_000
    throw storeFault(fails.code)
  }

  /** Some disks are slow, now and then. */
  async #lag(): Promise<void> {
    const setting = this.#setting
    const { lagMs = 0 } = setting.scene
    if (lagMs === 0 || setting.roll() < 0.5) return
    await setting.pause(Math.round(setting.roll() * lagMs))
  }

  /** Waits until somebody has written to a task, or for so long. */
  async #giveWay(taskId: string, yieldsMs: number): Promise<void> {
    const { clock, witness } = this.#setting
    const [seq, sinceMs] = [witness.standing(taskId)?.seq, clock.elapsedMs]
    const isFirst = (): boolean => witness.standing(taskId)?.seq === seq && clock.elapsedMs < sinceMs + yieldsMs
    while (seq !== undefined && isFirst()) await this.#setting.pause(200)
    this.#setting.slackMs += clock.elapsedMs - sinceMs
  }

  async #commit(life: Life, given: Commit): Promise<Committed> {
    const never = new Promise<never>(() => undefined)
    const setting = this.#setting
    const { witness, plan, pick, clock } = setting
    const { task, point } = given
    const before = witness.standing(task.id)
    const [agent, state] = [before?.agent ?? task.agent, before?.state ?? task.state]
    const exits = given.events.flatMap((event) => (event.type === 'transition.taken' ? [event.data.exit] : []))
    witness.countWrite(agent, state, point)
    const at = { agent, state, exits, point }
    const skew = plan.strikes({ layer: 'clock', ...at })
    if (skew && 'skewsMs' in skew) {
      const ms = pick(skew.skewsMs)
      clock.skew(ms)
      setting.slackMs += Math.abs(ms)
    }
    const fails = plan.strikes({ layer: 'store', ...at })
    const written = fails && 'fails' in fails && 'written' in fails.fails && fails.fails.written
    if (fails && 'fails' in fails && !written) await this.#fail(fails.fails, task.id)
    await this.#lag()
    const process = plan.strikes({ layer: 'process', ...at })
    const happens = process && 'happens' in process ? pick(process.happens) : undefined
    if (happens !== undefined && happens !== 'crash-after') await this.#befall(life, happens)
    if (life.ended) return never
    if (this.isAway) throw storeFault(this.#awayCode)
    const held = witness.leaseOf(task.id)
    witness.noteBegin(given)
    const committed = await this.#store.commit(given)
    if (committed.ok) {
      witness.note(given, held, clock.elapsedMs)
      witness.watched.push(...((await setting.scene.watch?.(given, this.#store)) ?? []))
    }
    if (happens === 'crash-after') await this.#befall(life, happens)
    if (life.ended) return never
    if (written && fails && 'fails' in fails && 'code' in fails.fails) throw storeFault(fails.fails.code)
    return committed
  }
}

/** What a store is asked for that writes, besides a commit. */
function pointOf(method: string): WritePoint | undefined {
  if (method === 'claim' || method === 'renew' || method === 'release') return method
  return undefined
}

function storeFault(code: AwayCode | 'STORE_READ_ONLY'): Fault {
  return new Fault(code, 'The store fails, as the campaign has it.', 'Nothing is to be done.')
}
