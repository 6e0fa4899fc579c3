// A TCP proxy that stands between a client and a server and does to their connections what networks do: cuts them, holds
// them up, leaves one side believing in a peer that is gone, refuses new ones, loses the answer to what has been done.
// It knows bytes, not protocols. An end or a reset of one side is passed to the other like the bytes before it.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { atEnd } from './end.ts'

export type Direction = 'toServer' | 'toClient'

export interface Proxy {
  readonly port: number
  /** How many connections of clients are open, silent ones too. */
  readonly connections: number
  /** A PostgreSQL address that leads through this proxy to the same database. */
  url(postgresUrl: string): string
  /** Resets every connection on both sides. New ones are taken. */
  cut(): void
  /** Nothing passes any more, not even an end or a reset. Connections stay open, new ones are taken, nothing is lost. */
  stall(): void
  /** What was held up passes now. */
  resume(): void
  /** As after a pulled cable: the server is left, the client is not told, and what it sends vanishes. New ones work. */
  halfOpen(): void
  /** Resets every new connection. Those that are open go on. */
  refuse(): void
  /** Takes new connections again. */
  accept(): void
  /**
   * Resets the first connection that has passed so many bytes in a direction from now on, and no byte more passes. With 0
   * it is the one on which a byte comes next: the answer to a commit that is done. A second call replaces the first.
   */
  cutAfter(bytes: number, direction: Direction): void
  /** Resets what is open and stops listening. */
  close(): Promise<void>
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** Bytes that passed in the direction that is counted. */
  passed: number
  /** Nothing passes here any more: what comes is thrown away. */
  silent: boolean
  /** Ends and resets that a stall holds up. Bytes wait in the sockets, before them. */
  held: (() => void)[]
}

/** Starts a proxy before a port, on a free port of its own. It is closed when the test ends. */
export async function startProxy(targetPort: number, targetHost = '127.0.0.1'): Promise<Proxy> {
  const pairs = new Set<Pair>()
  let stalled = false
  let refusing = false
  let limit: { bytes: number; direction: Direction } | undefined

  const ends = ({ client, server }: Pair, direction: Direction): [from: Socket, to: Socket] =>
    direction === 'toServer' ? [client, server] : [server, client]

  const reset = (pair: Pair): void => {
    pair.silent = true
    pair.client.resetAndDestroy()
    pair.server.resetAndDestroy()
  }

  /** Lets a direction flow or not: nobody is read from faster than the other side takes it. */
  const flow = (pair: Pair, direction: Direction): void => {
    const [from, to] = ends(pair, direction)
    if (!pair.silent && (stalled || to.writableNeedDrain)) from.pause()
    else from.resume()
  }

  const pass = (pair: Pair, direction: Direction, chunk: Buffer): void => {
    if (pair.silent) return
    const [, to] = ends(pair, direction)
    if (limit?.direction === direction) {
      const left = limit.bytes - pair.passed
      pair.passed += chunk.length
      if (left <= chunk.length) {
        limit = undefined
        pair.silent = true
        to.write(chunk.subarray(0, left), () => reset(pair))
        return
      }
    }
    to.write(chunk)
    flow(pair, direction)
  }

  /** Passes an end or a reset on. */
  const tell = (pair: Pair, news: () => void): void => {
    if (stalled) pair.held.push(news)
    else if (!pair.silent) news()
  }

  const join = (pair: Pair, direction: Direction): void => {
    const [from, to] = ends(pair, direction)
    flow(pair, direction)
    from.on('data', (chunk: Buffer) => pass(pair, direction, chunk))
    to.on('drain', () => flow(pair, direction))
    from.on('end', () => tell(pair, () => to.end()))
    from.on('error', () => tell(pair, () => reset(pair)))
    from.on('close', () => {
      if (to.destroyed) pairs.delete(pair)
    })
  }

  const all = (direct: (pair: Pair) => void): void => [...pairs].forEach(direct)
  const flowAll = (): void => {
    all((pair) => {
      flow(pair, 'toServer')
      flow(pair, 'toClient')
    })
  }

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (refusing) {
      client.on('error', () => undefined)
      client.resetAndDestroy()
      return
    }
    const server = connect({ port: targetPort, host: targetHost, allowHalfOpen: true, noDelay: true })
    const pair: Pair = { client, server, passed: 0, silent: false, held: [] }
    pairs.add(pair)
    join(pair, 'toServer')
    join(pair, 'toClient')
  })

  let closed: Promise<unknown> | undefined
  const close = async (): Promise<void> => {
    closed ??= new Promise((done) => listener.close(done))
    all(reset)
    await closed
  }
  atEnd(close)
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo

  return {
    port,
    get connections() {
      return pairs.size
    },
    url(postgresUrl) {
      const url = new URL(postgresUrl)
      url.hostname = '127.0.0.1'
      url.port = String(port)
      return url.href
    },
    cut: () => all(reset),
    stall() {
      stalled = true
      flowAll()
    },
    resume() {
      stalled = false
      flowAll()
      all((pair) => pair.held.splice(0).forEach((news) => tell(pair, news)))
    },
    halfOpen() {
      all((pair) => {
        pair.silent = true
        pair.server.destroy()
        flow(pair, 'toServer')
      })
    },
    refuse() {
      refusing = true
    },
    accept() {
      refusing = false
    },
    cutAfter(bytes, direction) {
      limit = { bytes, direction }
      all((pair) => (pair.passed = 0))
    },
    close,
  }
}
