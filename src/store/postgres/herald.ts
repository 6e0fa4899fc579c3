// Tells other processes that tasks have changed, by NOTIFY, and hears what they tell. It is told after the commit and for
// many at once: inside a transaction it would hold up every other one. It is a hint and no more; whoever misses it finds
// out when it looks for itself.

import { randomUUID } from 'node:crypto'
import type * as Pg from 'pg'
import type { Client } from 'pg'
import type { Address } from './connection.ts'
import type { Connections } from './pool.ts'

const togetherMs = 5
/** PostgreSQL takes less than 8,000 bytes a time. */
const bytesMax = 7_500
const againMinMs = 100
const againMaxMs = 5_000

/** Tells, and listens once somebody wants to hear. */
export class Herald {
  readonly #pg: typeof Pg
  readonly #address: Address
  readonly #connections: Connections
  readonly #channel: string
  readonly #self = randomUUID()
  readonly #news = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #telling: Promise<void> = Promise.resolve()
  #heard: ((taskIds: readonly string[]) => void) | undefined
  #client: Client | undefined
  #again: NodeJS.Timeout | undefined
  #closed = false

  constructor(pg: typeof Pg, address: Address, connections: Connections) {
    this.#pg = pg
    this.#address = address
    this.#connections = connections
    this.#channel = `signalbox_${address.schema}`
  }

  /** Tells the others, in a moment. */
  announce(taskIds: readonly string[]): void {
    for (const taskId of taskIds) this.#news.add(taskId)
    if (this.#closed || this.#news.size === 0) return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#telling = this.#tell()
    }, togetherMs)
  }

  async #tell(): Promise<void> {
    const payloads = this.#payloads()
    // Who does not hear of it looks for itself.
    await this.#connections
      .use(async (client) => {
        for (const payload of payloads)
          await client.query({ name: 'notify', text: 'SELECT pg_notify($1, $2)', values: [this.#channel, payload] })
      })
      .catch(() => undefined)
  }

  #payloads(): string[] {
    const payloads: string[] = []
    let page: string[] = [this.#self]
    for (const taskId of this.#news) {
      if (JSON.stringify([...page, taskId]).length > bytesMax) {
        payloads.push(JSON.stringify(page))
        page = [this.#self]
      }
      page.push(taskId)
    }
    this.#news.clear()
    return [...payloads, JSON.stringify(page)]
  }

  /** Calls back when others tell something. */
  listen(heard: (taskIds: readonly string[]) => void): void {
    const isFirst = this.#heard === undefined
    this.#heard = heard
    if (isFirst) void this.#connect(againMinMs)
  }

  /** Listens on a connection of its own, and again when it is lost. */
  async #connect(againMs: number): Promise<void> {
    if (this.#closed) return
    const client = new this.#pg.Client({ ...this.#address.config, pipeline: false })
    this.#client = client
    let lost = false
    const again = (waitMs: number): void => {
      if (lost || this.#closed) return
      lost = true
      this.#again = setTimeout(() => void this.#connect(Math.min(againMaxMs, 2 * waitMs)), waitMs)
      client.end().catch(() => undefined)
    }
    client.on('error', () => again(againMinMs))
    client.on('end', () => again(againMinMs))
    client.on('notification', ({ payload = '[]' }) => {
      const { from, taskIds } = readNews(payload)
      if (from !== this.#self && taskIds.length > 0) this.#heard?.(taskIds)
    })
    try {
      await client.connect()
      await client.query(`LISTEN ${this.#channel}`)
    } catch {
      again(againMs)
    }
  }

  /** Tells what is to be told, and listens no longer. */
  async close(): Promise<void> {
    if (this.#timer) {
      clearTimeout(this.#timer)
      this.#telling = this.#telling.then(() => this.#tell())
    }
    this.#closed = true
    clearTimeout(this.#again)
    await this.#telling
    await this.#client?.end().catch(() => undefined)
  }
}

/** Reads what was told. Whoever may log in to the database may tell anything: what is not ours tells of no task. */
export function readNews(payload: string): { readonly from: string | undefined; readonly taskIds: readonly string[] } {
  let told: unknown
  try {
    told = JSON.parse(payload)
  } catch {
    // Not JSON: not ours.
  }
  const isText = (one: unknown): one is string => typeof one === 'string'
  const [from, ...taskIds] = Array.isArray(told) && told.every(isText) ? told : []
  return { from, taskIds }
}
