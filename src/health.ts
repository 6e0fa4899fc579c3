// Tells whoever looks after processes how a worker is, over HTTP: `/healthz` whether it lives, `/readyz` whether it takes
// tasks. A process that hangs answers neither. Nothing is told of any task, and nobody is asked who they are.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Fault } from './core/fault.ts'
import type { Pulse } from './worker.ts'

/** Where to listen. Port 0 is any that is free. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** A running server. It keeps no process from its end. */
export interface Health {
  /** `http://127.0.0.1:PORT`; `/healthz` and `/readyz` are below it. */
  readonly url: string
  close(): Promise<void>
}

/** What is answered: with a reason it is 503. */
interface Finding {
  readonly status: string
  readonly why?: string
}

// With its hands full a worker speaks to its store once a second, and after a failure it may wait for 5 s: a lease that is
// shorter does not make a silence of that.
const silenceMinMs = 5_000
// A probe is one short line; who takes longer holds a connection that others may want.
const patienceMs = 5_000

/** Listens. `pulse` answers with nothing while there is no worker yet. Throws PORT_TAKEN or CONFIG_INVALID. */
export async function startHealth(address: Address, pulse: () => Pulse | undefined): Promise<Health> {
  const paths: Readonly<Record<string, (pulse: Pulse | undefined) => Finding>> = { '/healthz': live, '/readyz': ready }
  const timeouts = { headersTimeout: patienceMs, requestTimeout: patienceMs, connectionsCheckingInterval: 1_000 }
  // As the mock server does: a worker that nobody asks needs no server.
  const { createServer } = await import('node:http')
  const server = createServer(timeouts, (request, response) => {
    const judge = paths[pathOf(request)]
    if (!judge) return send(response, 404, { status: 'unknown', why: 'There are /healthz and /readyz here.' })
    if (request.method !== 'GET') {
      return send(response.setHeader('allow', 'GET'), 405, { status: 'refused', why: 'It can only be asked: GET.' })
    }
    const finding = judge(pulse())
    send(response, finding.why === undefined ? 200 : 503, finding)
  })
  await listen(server, address)
  server.unref()
  const { host } = address
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** A worker whose store is away lives: another process would not find it either. */
function live(pulse: Pulse | undefined): Finding {
  if (!pulse || pulse.alive) return { status: 'alive' }
  return { status: 'dead', why: 'The worker has stopped looking for tasks, and nobody told it to.' }
}

function ready(pulse: Pulse | undefined): Finding {
  if (pulse?.draining) {
    return { status: 'draining', why: `It was told to stop and takes nothing more; tasks in hand: ${pulse.held}.` }
  }
  if (pulse && !pulse.alive) return live(pulse)
  if (!pulse || pulse.silentMs === null) return { status: 'starting', why: 'The store has not answered yet.' }
  const { silentMs, leaseMs } = pulse
  const maxMs = Math.max(leaseMs, silenceMinMs)
  if (silentMs <= maxMs) return { status: 'ready' }
  return { status: 'silent', why: `The store last answered ${silentMs} ms ago; more than ${maxMs} is too long.` }
}

function pathOf({ url = '/' }: IncomingMessage): string {
  return url.split('?', 1)[0]!
}

function send(response: ServerResponse, code: number, finding: Finding): void {
  // Probes are minutes of nothing apart; a connection that is kept would outlive the drain.
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-store', connection: 'close' }
  response.writeHead(code, headers).end(`${JSON.stringify(finding)}\n`)
}

function listen(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    // It stays: a connection that could not be had later is nothing to end a worker for.
    server.on('error', (error: NodeJS.ErrnoException) => reject(unheard(host, port, error)))
    server.listen(port, host, () => resolve())
  })
}

function unheard(host: string, port: number, error: NodeJS.ErrnoException): Fault {
  const what = `Port ${port} of ${host} cannot be had (${error.code}).`
  return error.code === 'EADDRINUSE' || error.code === 'EACCES'
    ? new Fault('PORT_TAKEN', what, 'Choose another, or 0 for any that is free.', { cause: error })
    : new Fault('CONFIG_INVALID', what, 'Name an address of this machine, such as 127.0.0.1 or 0.0.0.0.', {
        cause: error,
      })
}
