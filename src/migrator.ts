// Moves tasks that are pinned to another definition of an agent of this process, where that agent declares `migrate`. It
// takes nothing from anybody: it looks at what is in the queue and held by no worker, and what it decides is written like
// anything that is said from outside, whole or not at all. A task that is not moved is as it was, for whoever has its
// definition; it is looked at again when something has happened to it.

import { Alarm } from './alarm.ts'
import { Fault } from './core/fault.ts'
import type { Machine } from './core/machine.ts'
import { migrate, type Moved } from './core/migration.ts'
import { decideOn, type Desk } from './door.ts'
import type { QueuedTask } from './store/store.ts'

/** Where tasks are moved to. */
export interface Destination {
  readonly definition: string
  readonly machine: Machine
}

/** What a migrator needs. */
export interface MigratorOptions extends Desk {
  /** By the name of the agent. */
  readonly destinations: ReadonlyMap<string, Destination>
  /** How often it looks. */
  readonly pollMs: number
  readonly onFault: (fault: unknown, taskId?: string) => void
}

const atOnce = 100

/** Moves one task, or says why it stays where it is. Throws LOG_NEWER. */
export async function moveTask(desk: Desk, taskId: string, { definition, machine }: Destination): Promise<Moved> {
  let moved: Moved = { kind: 'later', why: 'somebody else was writing to it' }
  const written = await decideOn(desk, taskId, 'migrate', (work) => {
    moved = migrate(machine, definition, work)
  })
  return written ? moved : { kind: 'later', why: 'somebody else was writing to it' }
}

/** Looks for tasks to move until it is stopped. */
export class Migrator {
  readonly #options: MigratorOptions
  readonly #alarm: Alarm
  /** The last event of tasks that were looked at and stayed. */
  #looked: ReadonlyMap<string, number> = new Map()
  #stopped = false
  #loop: Promise<void> | undefined

  constructor(options: MigratorOptions) {
    this.#options = options
    this.#alarm = new Alarm(options.runtime)
  }

  /** Begins to look. */
  start(): void {
    this.#loop ??= this.#run()
  }

  /** Stops after the task that it is at. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#alarm.ring()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { pollMs, onFault } = this.#options
    while (!this.#stopped) {
      try {
        await this.#look()
      } catch (thrown) {
        if (!this.#stopped) onFault(thrown)
      }
      if (!this.#stopped) await this.#alarm.sleep(pollMs)
    }
  }

  async #look(): Promise<void> {
    const { store, destinations } = this.#options
    const looked = new Map<string, number>()
    for (const { agent, definition } of await store.definitions()) {
      const to = destinations.get(agent)
      if (!to || to.definition === definition) continue
      for (let after: QueuedTask | undefined; !this.#stopped;) {
        const page = await this.#page(definition, after)
        for (const { taskId, seq } of page) {
          if (this.#stopped) return
          if (this.#looked.get(taskId) !== seq) await this.#move(taskId, to)
          looked.set(taskId, seq)
        }
        after = page.at(-1)
        if (page.length < atOnce) break
      }
    }
    this.#looked = looked
  }

  #page(definition: string, after: QueuedTask | undefined): Promise<readonly QueuedTask[]> {
    const { store, runtime } = this.#options
    return store.queued(definition, { nowMs: runtime.now(), limit: atOnce, ...(after ? { after } : {}) })
  }

  /** A task that cannot be moved keeps no other from it. */
  async #move(taskId: string, to: Destination): Promise<void> {
    const { onFault } = this.#options
    try {
      const moved = await moveTask(this.#options, taskId, to)
      if (moved.kind === 'unfit') onFault(unfit(taskId, moved.why, to.machine), taskId)
    } catch (thrown) {
      onFault(thrown, taskId)
    }
  }
}

function unfit(taskId: string, why: string, { name, version }: Machine): Fault {
  return new Fault(
    'MIGRATION_UNFIT',
    `Task ${taskId} is not moved to version ${version} of ${name}: ${why}. Nothing was written.`,
    'Mend migrate (signalbox check FILE --against OLD), or leave the task to workers that have its old file.',
  )
}
