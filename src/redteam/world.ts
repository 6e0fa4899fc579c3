// One seed, one world: a store, a clock that jumps, models, tools and people that are played, those who work, and a plan of
// what goes wrong. A machine is put into it, and what comes out is evidence: the log, what the outside saw, what models were
// asked. Nothing of the user's is called but pure functions of the machine, unless the scene says so.

import { compile } from '../core/machine.ts'
import type { Agent } from '../core/agent.ts'
import { Fault, isFault } from '../core/fault.ts'
import { isEnded } from '../core/task.ts'
import { createOrchestrator, type Orchestrator } from '../orchestrator.ts'
import { sha256 } from '../store/log.ts'
import { openSqlite } from '../store/sqlite/engine.ts'
import type { Store } from '../store/store.ts'
import { VirtualClock, type Life } from '../virtual-clock.ts'
import { heardBy } from './caller.ts'
import type { ProcessFault } from './fault-kinds.ts'
import type { Evidence } from './evidence.ts'
import { FaultyStore } from './faulty-store.ts'
import { Guide } from './guide.ts'
import { Models } from './models.ts'
import { People } from './people.ts'
import { Plan } from './plan.ts'
import type { Scene } from './scene.ts'
import { Setting } from './setting.ts'
import { stage } from './stage.ts'
import { Tools } from './tools.ts'
import { Witness } from './witness.ts'

const leaseMs = 10_000
const roundsMax = 60
// Within one second: then time does not pass any more.
const stepsMax = 10_000
const twinsMax = 2
// One a second: a store may be away for a minute several times.
const triesMax = 1_000
const patienceMs = 3 * 3_600_000
const jumpsMs = 120_000
const whimsMax = 3

/** Plays a scene to where nothing but an outage or a person could move it. */
export async function play(scene: Scene): Promise<Evidence> {
  const world = new World(scene)
  await world.run()
  return world.evidence()
}

interface Worker {
  readonly box: Orchestrator
  readonly life: Life
}

class World {
  readonly #scene: Scene
  readonly #setting: Setting
  readonly #agent: Agent
  readonly #models: Models
  readonly #guide: Guide
  #store!: Store
  #faulty!: FaultyStore
  #people!: People
  /** Those who work: as many as the scene has, and twins besides. */
  #workers: Worker[] = []
  /** Those who were told to stop. */
  readonly #stopping = new Set<Life>()
  /** What people did unasked so far, and what of it is still being said. */
  #whims = 0
  #whimsOpen = 0
  #stalled = false
  #failed: unknown

  constructor(scene: Scene) {
    this.#scene = scene
    const clock = new VirtualClock(scene.seed)
    const plan = new Plan(scene.faults ?? [], scene.seed)
    // From where it is decided to where the next one who is told has written, and again if somebody else was first.
    const slackMs = 2 * leaseMs + 2_000 + 6 * (scene.lagMs ?? 0)
    // The machine is the same with its outside played, but for what is called.
    this.#setting = new Setting(scene, clock, plan, new Witness(), compile(scene.agent), slackMs)
    this.#guide = new Guide(this.#setting)
    this.#models = new Models(this.#setting, this.#guide)
    this.#agent = stage(scene.agent, new Tools(this.#setting, this.#guide))
  }

  // ---- Those who work ------------------------------------------------------------------------------------------------

  async #bear(): Promise<Worker> {
    const { clock } = this.#setting
    const life = clock.life()
    const box = await createOrchestrator({
      ...this.#scene.config,
      store: this.#faulty.seenBy(life),
      agents: [this.#agent],
      models: this.#models.all(),
      env: {},
      runtime: life,
      leaseMs,
      onFault: () => undefined,
    })
    return { box: heardBy(box, this.#setting.witness), life }
  }

  /** Whoever has ended is replaced. */
  async #staff(): Promise<void> {
    const wanted = this.#scene.workers ?? 1
    this.#workers = this.#workers.filter(({ life }) => !life.ended)
    while (this.#workers.length < wanted) this.#workers.push(await this.#bear())
  }

  #endAll(): void {
    for (const { life } of this.#workers) life.end()
  }

  /** Lets time pass in which nobody works. */
  async #sleep(ms: number): Promise<void> {
    this.#endAll()
    this.#setting.clock.advance(ms)
    await this.#staff()
  }

  async #befall(life: Life, happens: ProcessFault): Promise<void> {
    const { clock } = this.#setting
    this.#setting.slackMs += 6 * leaseMs
    switch (happens) {
      case 'crash-before':
      case 'crash-after':
        return life.end()
      case 'stop':
        // Who is told to stop gives back what it holds; the step that was to be written is for another.
        void this.#boxOf(life)
          ?.drain(0)
          .catch(() => undefined)
        await Promise.resolve()
        this.#stopping.add(life)
        return
      case 'stall':
        return clock.advance(3 * leaseMs)
      case 'freeze':
        await this.#addTwin()
        clock.advance(2 * leaseMs)
        return this.#setting.pause(3 * leaseMs)
      case 'twin':
        return this.#addTwin()
    }
  }

  async #addTwin(): Promise<void> {
    const living = this.#workers.filter(({ life }) => !life.ended)
    if (living.length < (this.#scene.workers ?? 1) + twinsMax) this.#workers.push(await this.#bear())
  }

  #boxOf(life: Life): Orchestrator | undefined {
    return this.#workers.find((worker) => worker.life === life)?.box
  }

  // ---- The run -------------------------------------------------------------------------------------------------------

  async run(): Promise<void> {
    this.#store = (await this.#scene.openStore?.(this.#setting.clock)) ?? (await this.#inMemory())
    this.#faulty = new FaultyStore(this.#setting, this.#store, (life, happens) => this.#befall(life, happens))
    this.#people = new People(this.#setting, this.#guide, this.#store, {
      insist: (say) => this.#insist(say),
      sleep: (ms) => this.#sleep(ms),
      crash: () => this.#endAll(),
    })
    await this.#staff()
    try {
      for (const taskId of this.#setting.begun) await this.#begin(taskId)
      for (let round = 0; round < roundsMax; round += 1) {
        await this.#rest()
        if (this.#stalled || !(await this.#people.speak())) break
      }
    } finally {
      this.#setting.plan.end()
    }
  }

  /** A store of which everything, salts too, follows from the seed. */
  async #inMemory(): Promise<Store> {
    const { clock } = this.#setting
    let salts = 0
    const salt = (): string => sha256(`${this.#scene.seed} ${(salts += 1)}`).slice(0, 32)
    return clock.holding(await openSqlite(':memory:', { now: () => clock.now(), salt }))
  }

  async #begin(taskId: string): Promise<void> {
    const { limits } = this.#scene
    const given = { id: taskId, by: 'redteam', ...(limits === undefined ? {} : { limits }) }
    const input = this.#guide.inputOf(taskId)
    await this.#insist((box) => box.start(this.#agent, input as never, given))
  }

  /** Speaks to a worker that may die meanwhile, as a caller does: again, until somebody has heard. */
  async #insist(say: (box: Orchestrator) => Promise<unknown>): Promise<void> {
    const { clock } = this.#setting
    for (let tries = 0; tries < triesMax; tries += 1) {
      await this.#staff()
      const { box, life } = this.#workers[0]!
      const said = say(box).then(
        () => 'said' as const,
        (thrown: unknown) => thrown,
      )
      const outcome = await clock.until(Promise.race([said, life.end$]))
      if (outcome === 'said' || isFault(outcome, 'ITEM_CLOSED') || isFault(outcome, 'TASK_ENDED')) return
      if (isFault(outcome) && !outcome.code.startsWith('STORE_')) throw outcome
      await clock.until(this.#setting.pause(1_000))
    }
    throw new Fault('STORE_FAILED', `Nobody heard in ${triesMax} tries.`, 'This is a defect of the campaign.')
  }

  /** Lets everything happen until the tasks have ended or wait for somebody. */
  async #rest(): Promise<void> {
    const { clock, witness } = this.#setting
    witness.writtenAtMs = clock.elapsedMs
    let second = 0
    for (let steps = 0; ; steps += 1) {
      if (clock.elapsedMs >= second + 1_000) [second, steps] = [clock.elapsedMs, 0]
      await this.#staff()
      await this.#dismiss()
      if (this.#failed !== undefined) throw this.#failed
      if (witness.dirty && this.#whimsOpen === 0 && (await this.#isAtRest())) return
      await clock.step(() => this.#isShort)
      this.#haveWhim()
      if (await this.#jumped()) continue
      if (steps < stepsMax && clock.elapsedMs - witness.writtenAtMs < patienceMs) continue
      this.#stalled = true
      return
    }
  }

  /** Somebody has ended, or was told to stop: before time passes another is there. */
  get #isShort(): boolean {
    return this.#stopping.size > 0 || this.#workers.some(({ life }) => life.ended)
  }

  /** Whoever was told to stop has some seconds to do so. */
  async #dismiss(): Promise<void> {
    const { clock } = this.#setting
    for (const life of this.#stopping) {
      this.#stopping.delete(life)
      const drained = this.#boxOf(life)
        ?.drain(0)
        .catch(() => undefined)
      await clock.until(Promise.race([drained, this.#setting.pause(5_000)]))
      life.end()
      await this.#staff()
    }
  }

  #haveWhim(): void {
    const { whims } = this.#scene
    const { witness } = this.#setting
    if (!whims || this.#whims >= whimsMax || !witness.dirty || this.#setting.roll() >= whims.share) return
    const worker = this.#workers.find(({ life }) => !life.ended)
    if (!worker) return
    this.#whims += 1
    this.#whimsOpen += 1
    Promise.race([this.#people.whim(worker.box, this.#setting.pick(whims.of)), worker.life.end$])
      .catch((thrown: unknown) => (this.#failed = thrown))
      .finally(() => (this.#whimsOpen -= 1))
  }

  async #isAtRest(): Promise<boolean> {
    this.#setting.witness.dirty = false
    for (const taskId of this.#setting.begun) {
      const row = await this.#store.task(taskId)
      if (!row) return false
      const quiet = row.rootId === null || !(await this.#store.isRestless(row.rootId))
      if (!quiet || !(isEnded(row) || (row.status === 'waiting' && row.waitsFor !== 'time'))) return false
    }
    return true
  }

  /** Where nothing is due for long, nobody waits for it: the workers are sent home, and others come in time. */
  async #jumped(): Promise<boolean> {
    const { clock, witness } = this.#setting
    if (clock.elapsedMs - witness.writtenAtMs < 5_000 || this.#faulty.isAway) return false
    const definitions = (await this.#store.definitions()).map(({ definition }) => definition)
    const dueMs = await this.#store.nextDueMs(definitions)
    if (dueMs === null || dueMs - clock.now() < jumpsMs) return false
    await this.#sleep(dueMs - clock.now() - 1_000)
    witness.writtenAtMs = clock.elapsedMs
    return true
  }

  // ---- Evidence ------------------------------------------------------------------------------------------------------

  async evidence(): Promise<Evidence> {
    this.#endAll()
    // What is on its way to the store comes to its end.
    await this.#setting.clock.quiet()
    const { witness, plan, clock, team, begun, slackMs } = this.#setting
    const rows = await this.#store.tasks({ limit: 10_000 })
    const first = (taskId: string): number => Number(!begun.includes(taskId))
    const tasks = await Promise.all(
      [...rows]
        .sort((a, b) => first(a.taskId) - first(b.taskId))
        .map(async (row) => ({
          taskId: row.taskId,
          machine: team.get(row.agent)!,
          events: await this.#store.read(row.taskId),
          sealed: await this.#store.readSealed(row.taskId),
          row,
        })),
    )
    const { injection } = this.#scene
    const evidence: Evidence = {
      tasks,
      written: witness.written,
      acts: witness.acts,
      asked: witness.asked,
      holdings: witness.holdings,
      grants: witness.grants,
      told: witness.told,
      watched: witness.watched,
      verification: await this.#store.verify(),
      inbox: await this.#store.inbox({ status: 'open' }),
      stalled: this.#stalled,
      struck: [...plan.struck.values()].reduce((sum, count) => sum + count, 0),
      struckBy: plan.struck,
      endedAtMs: clock.now(),
      elapsedMs: clock.elapsedMs,
      slackMs,
      writes: witness.writes,
      peopleAsked: witness.peopleAsked,
      ...(injection ? { injection } : {}),
    }
    await this.#store.close()
    return evidence
  }
}
