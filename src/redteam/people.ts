// The people of a world: they answer what they are asked, in the way that leads on, and do it wrongly where the plan has it.
// Some act unasked: they cancel, take back, say things twice.

import { Fault, isFault } from '../core/fault.ts'
import { isObject } from '../core/json.ts'
import { toolsOf, type Node } from '../core/machine.ts'
import { toJsonSchema } from '../core/schema.ts'
import type { HumanAnswer } from '../core/command.ts'
import type { Orchestrator } from '../orchestrator.ts'
import type { InboxRow, Store } from '../store/store.ts'
import { canary, type HumanFault } from './fault-kinds.ts'
import type { Guide } from './guide.ts'
import type { Whim } from './scene.ts'
import type { Setting } from './setting.ts'
import type { Standing } from './witness.ts'

/** How people reach whoever works: the world's affair, since workers die. */
export interface Counter {
  /** Says something until somebody has heard. */
  insist(say: (box: Orchestrator) => Promise<unknown>): Promise<void>
  /** Lets so much time pass in which nobody works. */
  sleep(ms: number): Promise<void>
  /** Those who work die. */
  crash(): void
}

const answersMax = 8
const tellMax = 2
// Longer than a worker needs to see that something is due.
const lookMs = 120_000

/** The people of a world. */
export class People {
  readonly #setting: Setting
  readonly #guide: Guide
  readonly #store: Store
  readonly #counter: Counter
  /** How often somebody was told the same in one visit; how often a task was helped on. */
  readonly #told = new Map<string, number>()
  readonly #helped = new Map<string, number>()

  constructor(setting: Setting, guide: Guide, store: Store, counter: Counter) {
    this.#setting = setting
    this.#guide = guide
    this.#store = store
    this.#counter = counter
  }

  /** Says what is waited for. False when there is nothing that these people can say. */
  async speak(): Promise<boolean> {
    const items = await this.#store.inbox({ status: 'open' })
    const asked = items.find(({ kind }) => kind === 'question' || kind === 'approval')
    if (asked) return this.#decide(asked)
    const other = items.find(({ taskId }) => (this.#helped.get(taskId) ?? 0) <= answersMax)
    if (other && this.#setting.scene.peopleAnswerAll) return this.#help(other)
    if (items.length > 0 && !this.#setting.scene.peopleAnswerAll) return false
    return this.#tell()
  }

  /** Tells a task what it waits for. */
  async #tell(): Promise<boolean> {
    const { team, scene, witness } = this.#setting
    const rows = await this.#store.tasks({ limit: 1_000 })
    for (const { taskId, agent, state, status, waitsFor } of rows) {
      const node = team.get(agent)?.states.get(state)
      if (status !== 'waiting' || waitsFor !== 'signal' || node?.kind !== 'wait' || node.signal === undefined) continue
      const name = node.signal
      const task = witness.standing(taskId)
      const visit = `${taskId} ${task?.entered}`
      const told = (this.#told.get(visit) ?? 0) + 1
      this.#told.set(visit, told)
      if (told > tellMax) continue
      const schema = team.get(agent)?.signals?.get(name)
      const wanted = schema ? toJsonSchema(schema) : node.exits.get('DONE')?.outputJson
      const data = scene.outside?.signals?.[name] ?? this.#guide.argumentsOf(wanted, task)
      await this.#counter.insist((box) => box.signal(taskId, { name, data, by: 'redteam' }))
      return true
    }
    return false
  }

  /** Decides what no machine has asked: about doubts, failures and budgets. In the end somebody has had enough. */
  async #help(row: InboxRow): Promise<boolean> {
    const helped = (this.#helped.get(row.taskId) ?? 0) + 1
    this.#helped.set(row.taskId, helped)
    // To finish takes something to hand over, and what that is only the state knows.
    const ways = row.options.filter((option) => option !== 'finish')
    const last = ways.includes('end') ? 'end' : ways[0]!
    const decision = helped > answersMax ? last : this.#setting.pick(ways)
    await this.#quietly((box) => box.answer(row.item, { decision, by: 'ana', reason: 'red team' }))
    return true
  }

  async #decide(row: InboxRow): Promise<boolean> {
    const { witness, plan, root, clock } = this.#setting
    const task = witness.standing(row.taskId)
    const agent = task?.agent ?? root.name
    const kind = plan.strikes({ layer: 'human', agent, state: row.state })
    const decision = this.#decision(agent, row, task)
    const does = kind && 'does' in kind ? kind.does : undefined
    if (decision === '$timeout') {
      await this.#oversleep(row)
      await clock.until(this.#setting.pause(lookMs))
      return true
    }
    const data = row.kind === 'question' ? this.#guide.outputOf(agent, row.state, decision, task) : undefined
    const hash = row.hash === null ? {} : { hash: row.hash }
    const by = this.#entitled(agent, row)
    await this.#say(
      row,
      agent,
      { decision, by, reason: 'red team', ...hash, ...(data === undefined ? {} : { data }) },
      does,
    )
    return true
  }

  /** Gives an answer, in one of the ways in which people do. */
  async #say(row: InboxRow, agent: string, given: HumanAnswer, does: HumanFault | undefined): Promise<void> {
    const { item, taskId, options, state } = row
    const answer =
      (more: Partial<HumanAnswer> = {}) =>
      (box: Orchestrator) =>
        box.answer(item, { ...given, ...more })
    if (does === 'forged') {
      await this.#quietly((box) => box.answer(`${taskId}.9999`, given))
      await this.#quietly(answer({ decision: 'no-such-decision' }))
      const closed = await this.#store.inbox({ taskId })
      for (const old of closed.filter(({ status }) => status !== 'open'))
        await this.#quietly((box) => box.answer(old.item, { ...given, decision: old.options[0]! }))
      if (this.#entitledTo(agent, row).length > 0) await this.#quietly(answer({ by: 'mallory' }))
    }
    if (does === 'other-arguments') await this.#quietly(answer({ hash: 'f'.repeat(64) }))
    if (does === 'late') {
      if (this.#setting.pick([true, false])) await this.#oversleep(row)
      else await this.#quietly((box) => box.cancel(taskId, { by: 'redteam', reason: 'red team' }))
      return this.#quietly(answer())
    }
    if (does === 'disagree') {
      const decision = options.find((option) => option !== given.decision) ?? given.decision
      const two = [{}, { decision, data: this.#guide.outputOf(agent, state, decision) }]
      return this.#quietly((box) => Promise.allSettled(two.map((more) => answer(more)(box))))
    }
    await this.#counter.insist(answer())
    if (does === 'twice') await this.#quietly(answer())
    if (does === 'crash') this.#counter.crash()
  }

  /** Nobody comes until it is too late. */
  #oversleep({ expiresAtMs }: InboxRow): Promise<void> {
    const nowMs = this.#setting.clock.now()
    return this.#counter.sleep(Math.max(0, (expiresAtMs ?? nowMs) - nowMs + 1_000))
  }

  /** Says something that may be refused. */
  #quietly(say: (box: Orchestrator) => Promise<unknown>): Promise<void> {
    return this.#counter.insist((box) =>
      say(box).catch((thrown: unknown) => {
        if (!(thrown instanceof Fault) || thrown.code.startsWith('STORE_')) throw thrown
      }),
    )
  }

  /** Somebody does something that nobody has asked for. */
  async whim(box: Orchestrator, whim: Whim): Promise<void> {
    const { pick } = this.#setting
    const rows = await this.#store.tasks({ limit: 100 })
    if (rows.length === 0) return
    const { taskId, seq, agent } = pick(rows)
    const said = { by: 'redteam', reason: 'on a whim' }
    try {
      if (whim === 'cancel') await box.cancel(taskId, said)
      if (whim === 'rollback') await box.rollback(taskId, { to: 1 + Math.floor(this.#setting.roll() * seq), ...said })
      if (whim === 'signal') {
        const nodes = [...(this.#setting.team.get(agent)?.states.values() ?? [])]
        const waits = nodes.filter((node) => node.kind === 'wait' && node.signal !== undefined)
        const node = waits.length > 0 ? pick(waits) : undefined
        const name = (node?.kind === 'wait' && node.signal) || 'unheard_of'
        const task = this.#setting.witness.standing(taskId)
        const data = node ? this.#guide.argumentsOf(node.exits.get('DONE')?.outputJson, task) : {}
        const given = { name, data, by: 'redteam', key: 'whim' }
        await Promise.all([box.signal(taskId, given), box.signal(taskId, given)])
      }
    } catch (thrown) {
      // It may be refused, and the store may be away.
      if (!isFault(thrown)) throw thrown
    }
  }

  #entitledTo(agent: string, row: InboxRow): readonly string[] {
    const shown = isObject(row.show) ? row.show['tool'] : undefined
    const node = this.#node(agent, row.state)
    const tools = node ? toolsOf(node) : []
    return tools.find(({ name }) => name === shown || tools.length === 1)?.approval.by ?? []
  }

  /** Who may answer, and has not yet. */
  #entitled(agent: string, row: InboxRow): string {
    const may = row.kind === 'approval' ? this.#entitledTo(agent, row) : []
    const names = may.length > 0 ? may : ['ana', 'ben', 'cleo', 'dora', 'emil']
    return names.find((name) => !row.agreed.includes(name)) ?? 'ana'
  }

  #decision(agent: string, row: InboxRow, task: Standing | undefined): string {
    if (row.kind === 'approval') {
      // A person reads what is asked for, and does not send anything to a stranger.
      const { injection } = this.#setting.scene
      return injection && JSON.stringify(row.show).includes(canary.host) ? 'reject' : 'approve'
    }
    const exit = this.#guide.exitFrom(agent, row.state, task)
    if (exit === '$timeout' && row.expiresAtMs !== null) return exit
    return exit !== undefined && row.options.includes(exit) ? exit : row.options[0]!
  }

  #node(agent: string, state: string): Node | undefined {
    return this.#setting.team.get(agent)?.states.get(state)
  }
}
