// The register: what makes a log hold against somebody who can write to its database. A chain alone cannot: who can
// change an event can hash all that follows anew. So now and then the heads of all tasks are signed with a key that is
// kept elsewhere, and one line about it, an anchor, goes to a file that is kept elsewhere too. Each checkpoint holds the
// heads that are new since the one before and that one's root, so a single anchor stands for all that came before it.
// This file is the pure part: what is signed, how an anchor is written, and what a store says beside its anchors.

import { canonical, sha256 } from './log.ts'
import type { Finding } from './store.ts'

/** The end of one task's log, at the time of a checkpoint. */
export interface TaskHead {
  readonly taskId: string
  readonly seq: number
  readonly hash: string
}

/** A head that was signed, beside the log of now: the hash of event `seq`, if there is one, and the last event's number. */
export interface HeldHead extends TaskHead {
  readonly found: string | null
  readonly last: number
}

/** What is signed at one time. An anchor is the same as a line of text. */
export interface Checkpoint {
  /** Counts from 1 without gaps. */
  readonly number: number
  /** Milliseconds since 1970. */
  readonly at: number
  /** How many tasks and events there were. */
  readonly tasks: number
  readonly events: number
  /** The root of the checkpoint before; 64 zeros for the first. */
  readonly prevRoot: string
  readonly root: string
  /** The fingerprint of the key that signed it. */
  readonly keyId: string
  /** Ed25519, in base64. */
  readonly signature: string
}

/** Who signs, with a key that the database does not know. */
export interface Signer {
  readonly keyId: string
  sign(text: string): string
}

/** Proves signatures, by the fingerprint of the key. */
export type Keys = ReadonlyMap<string, (text: string, signature: string) => boolean>

/** The root before the first checkpoint. */
const noRoot = '0'.repeat(64)

/** What a checkpoint is made of. */
interface Told {
  readonly at: number
  readonly tasks: number
  readonly events: number
  readonly heads: readonly TaskHead[]
}

/** The checkpoint that follows `last`, signed. */
export function nextCheckpoint(last: Checkpoint | undefined, told: Told, { keyId, sign }: Signer): Checkpoint {
  const number = (last?.number ?? 0) + 1
  const prevRoot = last?.root ?? noRoot
  const { at, tasks, events } = told
  const root = rootOf({ number, prevRoot, ...told })
  return { number, at, tasks, events, prevRoot, root, keyId, signature: sign(signedText(root)) }
}

/** The SHA-256 of a checkpoint as canonical JSON, its heads as [task, seq, hash], in the order of their tasks. */
function rootOf({ number, prevRoot, at, tasks, events, heads }: Told & { number: number; prevRoot: string }): string {
  const ordered = [...heads].sort((a, b) => (a.taskId < b.taskId ? -1 : 1))
  const list = ordered.map(({ taskId, seq, hash }) => [taskId, seq, hash])
  return sha256(canonical({ at, events, heads: list, number, prevRoot, tasks }))
}

function signedText(root: string): string {
  return `signalbox checkpoint ${root}`
}

/** A checkpoint as a line for the anchors file. The same checkpoint is always the same line. */
export function anchorLine({ at, keyId, ...checkpoint }: Checkpoint): string {
  const { number, tasks, events, prevRoot, root, signature } = checkpoint
  return JSON.stringify({
    number,
    at: new Date(at).toISOString(),
    tasks,
    events,
    prevRoot,
    root,
    key: keyId,
    signature,
  })
}

/** What an anchors file holds, or the first line that is no anchor. */
export type Anchors =
  | { readonly ok: true; readonly anchors: readonly Checkpoint[] }
  | { readonly ok: false; readonly line: number }

/**
 * Reads the text of an anchors file. A line that broke off when its writer died is passed over when nothing, or the whole
 * of it, follows.
 */
export function readAnchors(text: string): Anchors {
  const lines = text.split('\n')
  const anchors: Checkpoint[] = []
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue
    const anchor = readAnchor(line)
    const next = lines[index + 1]
    if (anchor) anchors.push(anchor)
    else if (next !== undefined && !(next.startsWith(line) && readAnchor(next))) return { ok: false, line: index + 1 }
  }
  return { ok: true, anchors }
}

function readAnchor(line: string): Checkpoint | undefined {
  let value: Record<string, unknown>
  try {
    value = Object(JSON.parse(line)) as Record<string, unknown>
  } catch {
    return undefined
  }
  const { number, at, tasks, events, prevRoot, root, key, signature } = value
  const counts = [number, tasks, events].every((count) => Number.isSafeInteger(count) && (count as number) >= 0)
  const texts = [at, prevRoot, root, key, signature].every((part) => typeof part === 'string')
  if (!counts || !texts || (number as number) < 1) return undefined
  const atMs = Date.parse(at as string)
  if (Number.isNaN(atMs)) return undefined
  return { number, at: atMs, tasks, events, prevRoot, root, keyId: key, signature } as Checkpoint
}

/** The latest event of a store, for telling a copy that has gone on from one that has not. */
export interface Later {
  readonly taskId: string
  readonly seq: number
  readonly at: number
}

/**
 * Holds a store's checkpoints, one after the other, against anchors. *Contract*: `checkpoint` is called for the store's
 * checkpoints in order, as long as it says true; then `end`.
 */
export class Judge {
  readonly findings: Finding[] = []
  /** The newest anchor that counts. */
  readonly newest: Checkpoint | undefined
  readonly #anchors: ReadonlyMap<number, Checkpoint>
  readonly #keys: Keys | undefined
  /** The last head of each task that an anchor has proved. */
  readonly #proved = new Map<string, number>()
  /** Heads since the last anchor that was met. */
  #pending: HeldHead[] = []
  readonly #broken = new Set<string>()
  #root = noRoot
  #last = 0
  #over = false

  /** @param keys whose signatures count; undefined: the anchors are believed as they are. */
  constructor(anchors: readonly Checkpoint[], keys?: Keys) {
    this.#keys = keys
    const sound = new Map<number, Checkpoint>()
    for (const anchor of anchors) {
      const problem = this.#signatureProblem(anchor) ?? twinProblem(anchor, sound.get(anchor.number))
      if (problem === undefined) sound.set(anchor.number, anchor)
      else this.#find('anchor', anchor, `${sayAnchor(anchor)} ${problem}`)
    }
    this.#anchors = new Map([...sound].sort(([a], [b]) => a - b))
    this.newest = [...this.#anchors.values()].at(-1)
  }

  #signatureProblem(anchor: Checkpoint): string | undefined {
    if (!this.#keys) return undefined
    const prove = this.#keys.get(anchor.keyId)
    if (!prove) return `was signed with another key, ${anchor.keyId}`
    return prove(signedText(anchor.root), anchor.signature) ? undefined : 'is not what was signed'
  }

  /** How many events, of all tasks or of one, an anchor proves. */
  provedEvents(taskId?: string): number {
    if (taskId !== undefined) return this.#proved.get(taskId) ?? 0
    return [...this.#proved.values()].reduce((sum, seq) => sum + seq, 0)
  }

  /** Judges the store's next checkpoint. False: what follows cannot say more. */
  checkpoint(stored: Checkpoint, heads: readonly HeldHead[]): boolean {
    if (this.#over || stored.number > (this.newest?.number ?? 0)) return false
    const { at, tasks, events } = stored
    this.#root = rootOf({ number: this.#last + 1, prevRoot: this.#root, at, tasks, events, heads })
    this.#last += 1
    for (const head of heads) this.#pending.push(head)
    const anchor = this.#anchors.get(this.#last)
    if (!anchor) return true
    if (anchor.root !== this.#root) this.#otherHistory(anchor, stored)
    else {
      // The root stands for the rest of the line, too.
      if (anchor.at !== at || anchor.tasks !== tasks || anchor.events !== events)
        this.#find('anchor', anchor, `${sayAnchor(anchor)} is not as it was written`)
      for (const head of this.#pending) this.#judgeHead(anchor, head)
    }
    this.#pending = []
    return !this.#over
  }

  #judgeHead(anchor: Checkpoint, { taskId, seq, hash, found, last }: HeldHead): void {
    if (this.#broken.has(taskId)) return
    const before = this.#proved.get(taskId) ?? 0
    if (found === hash) {
      this.#proved.set(taskId, seq)
      return
    }
    this.#broken.add(taskId)
    const knew = sayAnchor(anchor)
    if (last === 0) this.#find('removed', anchor, `task ${taskId} is gone: ${knew} had ${seq} events of it`, taskId, 1)
    else if (found === null) {
      this.#find('cut', anchor, `events ${last + 1} to ${seq} are missing: ${knew} had them`, taskId, last + 1)
    } else {
      const which = sayRange(before + 1, seq)
      this.#find('rewritten', anchor, `${which} of task ${taskId} not as ${knew} had them`, taskId, before + 1)
    }
  }

  /** The store's own account is not the one that was anchored. */
  #otherHistory(anchor: Checkpoint, stored: Checkpoint): void {
    this.#over = true
    const suspects = new Map<string, { taskId: string; from: number; to: number }>()
    for (const { taskId, seq } of this.#pending)
      suspects.set(taskId, { taskId, from: (this.#proved.get(taskId) ?? 0) + 1, to: seq })
    const list = [...suspects.values()]
    const only = list.length === 1 ? list[0] : undefined
    const missing = anchor.tasks - new Set([...this.#proved.keys(), ...suspects.keys()]).size
    const signed =
      stored.root === this.#root && this.#keys?.get(stored.keyId)?.(signedText(stored.root), stored.signature)
    const kind = signed ? 'forked' : missing > 0 ? 'removed' : 'rewritten'
    const how = {
      forked:
        'the store holds another checkpoint of that number, signed with the same key: it has gone on from an older copy',
      removed: `${missing} of the ${anchor.tasks} tasks that it had are gone, and what was signed was changed to fit`,
      rewritten: 'what the store holds was computed anew, or is another store',
    }[kind]
    const where = list.slice(0, 3).map(({ taskId, from, to }) => `task ${taskId}, events ${from} to ${to}`)
    const more = list.length > 3 ? ` and ${list.length - 3} more tasks` : ''
    const look = list.length === 0 || kind === 'removed' ? '' : `; it is in ${where.join(' or ')}${more}`
    this.#find(kind, anchor, `${sayAnchor(anchor)} does not fit: ${how}${look}`, only?.taskId, only?.from)
  }

  /** Says whether anchors are newer than the store. `later` finds an event of after a time, if there is one. */
  async end(later: (atMs: number) => Promise<Later | undefined>): Promise<void> {
    const first = [...this.#anchors.values()].find(({ number }) => number > this.#last)
    if (this.#over || !first) return
    const knew = `${sayAnchor(first)} had ${first.events} events of ${first.tasks} tasks, and the store ends at checkpoint ${this.#last}`
    const on = await later(first.at)
    if (!on) this.#find('restored', first, `${knew}: an older copy was put back`)
    else {
      const when = new Date(on.at).toISOString()
      const next = `it has gone on from an older copy, or its checkpoints were thrown away; event ${on.seq} of task ${on.taskId} is of ${when}`
      this.#find('forked', first, `${knew}: ${next}`, on.taskId, on.seq)
    }
  }

  #find(kind: Finding['kind'], anchor: Checkpoint, problem: string, taskId?: string, seq?: number): void {
    this.findings.push({ taskId: taskId ?? null, seq: seq ?? null, kind, problem, anchor: anchor.number })
  }
}

function twinProblem(anchor: Checkpoint, twin: Checkpoint | undefined): string | undefined {
  return twin === undefined || twin.root === anchor.root ? undefined : 'is there twice, with different roots'
}

function sayAnchor({ number, at }: Checkpoint): string {
  return `anchor ${number} (${new Date(at).toISOString()})`
}

function sayRange(from: number, to: number): string {
  return from === to ? `event ${from} is` : `one of the events ${from} to ${to} is`
}
