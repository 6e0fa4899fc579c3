// The door to the network that a tool is given. It speaks to the hosts that the tool lists and to no others, follows
// redirects by hand and judges each of them, and says clearly what it refuses. It judges names; what a listed name
// resolves to is not looked at.

import { judgeAddress } from './core/egress.ts'
import { Fault } from './core/fault.ts'
import type { ToolCall } from './core/tool.ts'

const redirectsMax = 5
const redirecting: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** Headers that tell another host nothing about whom they were meant for. */
const harmless = /^(accept(-.*)?|content-type|content-language|user-agent)$/

/**
 * A `fetch` for one call of a tool.
 *
 * *Contract*: refuses with EGRESS_REFUSED before anything is sent; its message names the host and nothing behind it.
 * Stops when `signal` aborts.
 */
export function egressDoor(tool: string, hosts: readonly string[] | undefined, signal: AbortSignal): ToolCall['fetch'] {
  const refused = (problem: string): Fault => {
    const listed = hosts?.length ? `It may speak to ${hosts.join(', ')}.` : 'It lists no hosts in egress.'
    return new Fault('EGRESS_REFUSED', `The tool ${tool} may not speak to that address: ${problem}.`, listed)
  }
  const judged = (address: string): URL => {
    const judgement = judgeAddress(address, hosts ?? [])
    if (!judgement.ok) throw refused(judgement.problem)
    return judgement.url
  }
  return async (address, init = {}) => {
    if (typeof address !== 'string' && !(address instanceof URL)) throw refused('it is neither a text nor a URL')
    let url = judged(String(address))
    const signals = init.signal ? [signal, init.signal] : [signal]
    let request: RequestInit = { ...init, headers: new Headers(init.headers), signal: AbortSignal.any(signals) }
    if ((request.headers as Headers).has('host')) throw refused('it is asked in the name of another host')
    for (let redirects = 0; ; redirects += 1) {
      const response = await fetch(url.href, { ...request, redirect: 'manual' })
      const location = redirecting.has(response.status) ? response.headers.get('location') : null
      if (location === null || init.redirect === 'manual') return response
      await response.body?.cancel()
      if (init.redirect === 'error') throw refused('it redirects, and that was not wanted')
      if (redirects >= redirectsMax) throw refused(`it redirects more than ${redirectsMax} times`)
      if (!URL.canParse(location, url.href)) throw refused('it redirects to what is no address')
      const next = judged(new URL(location, url).href)
      if (url.protocol === 'https:' && next.protocol === 'http:') throw refused('it redirects from https to http')
      request = redirected(request, response.status, url.origin !== next.origin, refused)
      url = next
    }
  }
}

/** What is asked of the place that a redirect leads to. Another host is not told what was meant for the first. */
function redirected(
  request: RequestInit,
  status: number,
  elsewhere: boolean,
  refused: (problem: string) => Fault,
): RequestInit {
  const { body, ...rest } = request
  const method = (request.method ?? 'GET').toUpperCase()
  const given = Array.from(new Headers(request.headers))
  const headers = new Headers(elsewhere ? given.filter(([name]) => harmless.test(name)) : given)
  const asksAgain = status === 307 || status === 308 || method === 'GET' || method === 'HEAD'
  if (asksAgain && (body === undefined || body === null)) return { ...rest, headers }
  if (!asksAgain) {
    for (const name of ['content-type', 'content-length', 'content-language', 'content-encoding']) headers.delete(name)
    return { ...rest, headers, method: 'GET' }
  }
  if (elsewhere) throw refused('it redirects what was sent to another host')
  if (typeof body === 'object' && body !== null && (body instanceof ReadableStream || Symbol.asyncIterator in body)) {
    throw refused('it redirects, and what was sent cannot be sent again')
  }
  return { ...request, headers }
}
