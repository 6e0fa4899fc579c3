// The family of a task in a store: the tree it is in, its children, the context it shares. Whether a commit fits into the
// budget of the tree, and on top of what others wrote, is asked inside its own transaction, so two of them never both
// take the last of it.

import type { EndedChild } from '../core/child.ts'
import type { Changed, Kin } from '../core/kin.ts'
import { isRoot, type TreeBudget } from '../core/tree.ts'
import { ownerOf, ownsContext, type Task } from '../core/task.ts'
import { read } from './log.ts'
import { openAll } from './payloads.ts'
import type { Commit, Head, SealedEvent } from './store.ts'
import { all, one, together, type Tx } from './tx.ts'

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

/** What a task of a tree has spent and holds. */
export type MemberRow = Pick<TreeRow, 'tokens' | 'costMicros' | 'reservedTokens' | 'reservedMicros'>

interface ChildRow {
  readonly status: string
  readonly calledOffBy: string | null
  readonly reason: string | null
}

interface AwaitingRow {
  readonly taskId: string
  readonly awaits: string
}

const nothing: MemberRow = { tokens: 0, costMicros: 0, reservedTokens: 0, reservedMicros: 0 }

/** Is there no room for a commit in the budget of its tree, or has somebody else written what it writes? */
export function* kinRefuses({ task, events, children = [], kin }: Commit): Tx<boolean> {
  return (
    (yield* overspends(task, children.length, kin)) ||
    (yield* clashes(task, events)) ||
    (yield* writesOff(task, events))
  )
}

function* overspends(task: Task, begun: number, kin: Commit['kin']): Tx<boolean> {
  if (!task.tree) return false
  const tree = yield* one<TreeRow>('tree', task.tree.root)
  if (!tree) return false
  const { usage, reserved, limits } = task
  const before = (yield* one<MemberRow>('member', task.id)) ?? nothing
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

/** Each write of a shared key follows the version that is there; who goes back knows all that is to be as it was. */
function* clashes(task: Task, events: Commit['events']): Tx<boolean> {
  if (!task.sharing) return false
  const owner = ownerOf(task)
  for (const { type, data } of events) {
    if (type !== 'rollback.started' || data.ends !== undefined) continue
    const back = new Set([...data.restore.map(({ key }) => key), ...data.remove])
    const newer = newerThan(task, yield* all<SharedVersion>('contextVersions', owner))
    if (newer.some(({ key }) => ownsContext(task) || back.has(key))) return true
  }
  const versions = new Map<string, number>()
  for (const { type, data } of events) {
    if (type !== 'context.written' && type !== 'context.removed') continue
    if (task.locals.has(data.key)) continue
    const before = versions.get(data.key) ?? (yield* versionOf(owner, data.key))
    if (data.version !== before + 1) return true
    versions.set(data.key, data.version)
  }
  return false
}

/** Who is called off, itself or somebody above it, writes nothing more to what others share. */
function* writesOff({ id, sharing, locals, parent }: Task, events: Commit['events']): Tx<boolean> {
  if (!sharing || !parent?.shares) return false
  const writes = events.some(({ type, data }) => {
    return (type === 'context.written' || type === 'context.removed') && !locals.has(data.key)
  })
  if (!writes) return false
  for (let at: string | null = id; at !== null && at !== parent.shares;) {
    if ((yield* one<ChildRow>('child', at))?.status === 'calledOff') return true
    at = (yield* one<{ parentId: string | null }>('task', at))?.parentId ?? null
  }
  return false
}

function* versionOf(owner: string, key: string): Tx<number> {
  return (yield* one<{ version: number }>('contextVersion', owner, key))?.version ?? 0
}

/** What is known of the family, beyond what the task knows. */
export function* kinOf(task: Task): Tx<Kin> {
  const root = task.tree?.root ?? task.id
  type Asked = [
    TreeRow[],
    MemberRow[],
    ChildRow[],
    (Head & { news: number })[],
    AwaitingRow[],
    (SealedEvent & { step: number })[],
    SharedVersion[],
  ]
  const [[tree], [own = nothing], [child], [head], awaiting, endings, versions] = yield* together<Asked>(
    ['tree', root],
    ['member', task.id],
    ['child', task.id],
    ['head', task.id],
    ['awaiting', isRoot(task) ? root : ''],
    ['endings', task.id],
    ['contextVersions', task.sharing ? ownerOf(task) : ''],
  )
  const neared = new Set<TreeBudget>()
  if (tree!.tokensNeared) neared.add('tokens')
  if (tree!.costNeared) neared.add('cost')
  return {
    news: head?.news ?? 0,
    treeVersion: tree!.version,
    tree: {
      max: { tokens: tree!.tokensMax, cost: tree!.costMax },
      others: {
        tokens: { settled: tree!.tokens - own.tokens, reserved: tree!.reservedTokens - own.reservedTokens },
        cost: { settled: tree!.costMicros - own.costMicros, reserved: tree!.reservedMicros - own.reservedMicros },
      },
      soft: tree!.soft,
      neared,
      asks: tree!.asks === 1,
      descendants: tree!.tasks - 1,
      descendantsMax: tree!.tasksMax,
      short: shortOf(tree!, awaiting),
    },
    ended: yield* endedOf(endings),
    calledOff: child?.status === 'calledOff' ? { by: child.calledOffBy!, reason: child.reason! } : undefined,
    changed: yield* changedFor(task, versions),
  }
}

/** Who was short under another ceiling has not looked since. */
function shortOf({ tokensMax, costMax }: TreeRow, awaiting: readonly AwaitingRow[]): TreeBudget | undefined {
  const found = awaiting.map(({ awaits }) => awaits.split(' '))
  const isNow = ([limit, why, max]: readonly string[]): boolean =>
    why === 'short' && Number(max) === (limit === 'tokens' ? tokensMax : costMax)
  return found.find(isNow)?.[0] as TreeBudget | undefined
}

function* endedOf(endings: readonly (SealedEvent & { step: number })[]): Tx<EndedChild[]> {
  const ended: EndedChild[] = []
  for (const { step, ...sealed } of endings) {
    const [event] = yield* openAll(sealed.taskId, [sealed])
    if (event?.type === 'task.ended') ended.push({ step, seq: event.seq, ended: event.data })
  }
  return ended
}

interface SharedVersion {
  readonly key: string
  readonly version: number
}

/** What of the shared context is newer than a task knows. */
function newerThan({ versions, locals }: Task, there: readonly SharedVersion[]): readonly SharedVersion[] {
  return there.filter(({ key, version }) => version > (versions.get(key) ?? 0) && !locals.has(key))
}

function* changedFor(task: Task, versions: readonly SharedVersion[]): Tx<Changed[]> {
  const newer = newerThan(task, versions)
  if (newer.length === 0) return []
  type Entry = Changed['label'] & Pick<Changed, 'key' | 'version' | 'writer'> & EntryPayload
  const keys = JSON.stringify(newer.map(({ key }) => key))
  return (yield* all<Entry>('contextEntries', ownerOf(task), keys)).map(
    ({ key, version, writer, trust, privacy, payloadHash, body }) => ({
      key,
      version,
      value: payloadHash === null ? undefined : read({ body }),
      label: { trust, privacy },
      writer,
    }),
  )
}

interface EntryPayload {
  readonly payloadHash: string | null
  readonly body: string | null
}
