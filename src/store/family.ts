// The family of a task in SQLite: the tree it is in, its children, the context it shares. Whether a commit fits into the
// budget of the tree, and on top of what others wrote, is asked inside its own transaction, so two of them never both
// take the last of it.

import type { EndedChild } from '../core/child.ts'
import type { Changed, Kin } from '../core/kin.ts'
import { isRoot, type TreeBudget } from '../core/tree.ts'
import { ownerOf, type Task } from '../core/task.ts'
import { read } from './log.ts'
import type { Statements } from './statements.ts'
import type { Commit, LoggedEvent, SealedEvent } from './store.ts'

interface TreeRow {
  readonly version: number
  readonly tasks: number
  readonly tokens: number
  readonly costMicros: number
  readonly reservedTokens: number
  readonly reservedMicros: number
  readonly tokensMax: number
  readonly costMax: number | null
  readonly tasksMax: number
  readonly soft: number
  readonly tokensNeared: number
  readonly costNeared: number
  readonly asks: number
}

type MemberRow = Pick<TreeRow, 'tokens' | 'costMicros' | 'reservedTokens' | 'reservedMicros'>

const nothing: MemberRow = { tokens: 0, costMicros: 0, reservedTokens: 0, reservedMicros: 0 }

/** Families, on prepared statements. Every method is called inside a transaction, or in one turn of the event loop. */
export class Family {
  readonly #sql: Statements

  constructor(sql: Statements) {
    this.#sql = sql
  }

  /** Is there no room for a commit in the budget of its tree, or has somebody else written what it writes? */
  refuses({ task, events, children = [], kin }: Commit): boolean {
    return this.#overspends(task, children.length, kin) || this.#clashes(task, events) || this.#writesOff(task, events)
  }

  #overspends(task: Task, begun: number, kin: Commit['kin']): boolean {
    const tree = task.tree && (this.#sql.tree.get(task.tree.root) as TreeRow | undefined)
    if (!tree) return false
    const { usage, reserved, limits } = task
    const before = this.#member(task.id)
    const tokens = usage.inputTokens + usage.outputTokens + reserved.tokens - before.tokens - before.reservedTokens
    const cost = usage.costMicros + reserved.costMicros - before.costMicros - before.reservedMicros
    const own = isRoot(task)
    const [tokensMax, costMax] = own ? [limits.tokens, limits.costMicros] : [tree.tokensMax, tree.costMax]
    if (tokens > 0 && tree.tokens + tree.reservedTokens + tokens > tokensMax) return true
    if (cost > 0 && costMax !== null && tree.costMicros + tree.reservedMicros + cost > costMax) return true
    if (begun > 0 && tree.tasks + begun > 1 + (own ? limits.descendants : tree.tasksMax)) return true
    // Who waits for the tree waits only if nothing has come free since it was looked at.
    return task.awaits !== undefined && kin !== undefined && kin.treeVersion !== tree.version
  }

  #member(taskId: string): MemberRow {
    return (this.#sql.member.get(taskId) as MemberRow | undefined) ?? nothing
  }

  /** Each write of a shared key follows the version that is there. */
  #clashes(task: Task, events: Commit['events']): boolean {
    if (!task.sharing) return false
    const owner = ownerOf(task)
    const versions = new Map<string, number>()
    for (const { type, data } of events) {
      if (type !== 'context.written' && type !== 'context.removed') continue
      if (task.locals.has(data.key)) continue
      const before = versions.get(data.key) ?? this.#versionOf(owner, data.key)
      if (data.version !== before + 1) return true
      versions.set(data.key, data.version)
    }
    return false
  }

  /** Who is called off, itself or somebody above it, writes nothing more to what others share. */
  #writesOff({ id, sharing, locals, parent }: Task, events: Commit['events']): boolean {
    if (!sharing || !parent?.shares) return false
    const writes = events.some(({ type, data }) => {
      return (type === 'context.written' || type === 'context.removed') && !locals.has(data.key)
    })
    if (!writes) return false
    for (let at: string | null = id; at !== null && at !== parent.shares;) {
      if (this.#sql.child.get(at)?.['status'] === 'calledOff') return true
      at = (this.#sql.task.get(at)?.['parentId'] ?? null) as string | null
    }
    return false
  }

  #versionOf(owner: string, key: string): number {
    return (this.#sql.contextVersion.get(owner, key)?.['version'] ?? 0) as number
  }

  /** What is known of the family, beyond what the task knows. `open` reads an event with its payloads. */
  kin(task: Task, open: (sealed: SealedEvent) => LoggedEvent): Kin {
    const root = task.tree?.root ?? task.id
    const tree = this.#sql.tree.get(root) as unknown as TreeRow
    const own = this.#member(task.id)
    const neared = new Set<TreeBudget>()
    if (tree.tokensNeared) neared.add('tokens')
    if (tree.costNeared) neared.add('cost')
    const child = this.#sql.child.get(task.id)
    return {
      news: (this.#sql.head.get(task.id)?.['news'] ?? 0) as number,
      treeVersion: tree.version,
      tree: {
        max: { tokens: tree.tokensMax, cost: tree.costMax },
        others: {
          tokens: { settled: tree.tokens - own.tokens, reserved: tree.reservedTokens - own.reservedTokens },
          cost: { settled: tree.costMicros - own.costMicros, reserved: tree.reservedMicros - own.reservedMicros },
        },
        soft: tree.soft,
        neared,
        asks: tree.asks === 1,
        descendants: tree.tasks - 1,
        descendantsMax: tree.tasksMax,
        short: isRoot(task) ? this.#shortOf(tree, root) : undefined,
      },
      ended: this.#endedOf(task, open),
      calledOff:
        child?.['status'] === 'calledOff'
          ? { by: child['calledOffBy'] as string, reason: child['reason'] as string }
          : undefined,
      changed: task.sharing ? this.#changedFor(task) : [],
    }
  }

  /** Who was short under another ceiling has not looked since. */
  #shortOf({ tokensMax, costMax }: TreeRow, root: string): TreeBudget | undefined {
    const found = this.#sql.awaiting.all(root).map(({ awaits }) => (awaits as string).split(' '))
    const isNow = ([limit, why, max]: readonly string[]): boolean =>
      why === 'short' && Number(max) === (limit === 'tokens' ? tokensMax : costMax)
    return found.find(isNow)?.[0] as TreeBudget | undefined
  }

  #endedOf(task: Task, open: (sealed: SealedEvent) => LoggedEvent): EndedChild[] {
    return this.#sql.endedChildren.all(task.id).flatMap(({ childId, step }) => {
      const sealed = this.#sql.ending.get(childId as string) as unknown as SealedEvent
      const event = open({ ...sealed })
      return event.type === 'task.ended' ? [{ step: step as number, seq: event.seq, ended: event.data }] : []
    })
  }

  #changedFor(task: Task): Changed[] {
    const owner = ownerOf(task)
    const rows = this.#sql.contextVersions.all(owner) as { key: string; version: number }[]
    const newer = rows.filter(({ key, version }) => version > (task.versions.get(key) ?? 0) && !task.locals.has(key))
    return newer.map(({ key }) => {
      const row = this.#sql.contextEntry.get(owner, key) as Record<string, unknown>
      const { version, writer, trust, privacy, payloadHash, body } = row as {
        version: number
        writer: string
        trust: Changed['label']['trust']
        privacy: Changed['label']['privacy']
        payloadHash: string | null
        body: string | null
      }
      return {
        key,
        version,
        value: payloadHash === null ? undefined : read({ body }),
        label: { trust, privacy },
        writer,
      }
    })
  }
}
