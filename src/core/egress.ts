// Where a tool may speak to. An address is judged as it is written and as it will be dialled, and both must be the same:
// whatever a parser would have to repair (a name in other letters, a number for an address, a password before the host)
// is refused, because two parsers repair it in two ways. Nothing is looked up: a name is judged as a name.

/** An address that may be spoken to, or what is wrong with it. */
export type Address = { readonly ok: true; readonly url: URL } | { readonly ok: false; readonly problem: string }

// The scheme, whatever stands before the host, the host, the port, and how it goes on.
const written = /^(https?):\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?(?=[/?#]|$)/i

/**
 * Judges an address against the hosts that may be spoken to. An entry is `api.example.com`, or `*.example.com` for every
 * name below it and not for itself; with `:8443` for a port other than the scheme's own. A number (`127.0.0.1:8080`,
 * `[::1]`) is a host like another: it must be listed as it is.
 */
export function judgeAddress(address: string, hosts: readonly string[]): Address {
  const wrong = (problem: string): Address => ({ ok: false, problem })
  // A parser would leave these out, and find another host than a reader does.
  if (hasBlanks(address)) return wrong('it holds blanks, control characters or a backslash')
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(address)?.[1]?.toLowerCase()
  if (scheme === undefined) return wrong('it is not a whole address with http or https')
  if (scheme !== 'http' && scheme !== 'https') return wrong(`${scheme}: is neither http nor https`)
  if (/^https?:\/\/[^/?#]*@/i.test(address)) return wrong('it holds a name or a password before the host')
  const [, , name] = written.exec(address) ?? []
  if (name === undefined || !URL.canParse(address)) {
    return wrong('its host is not written in plain letters, digits, "-" and "."')
  }
  const url = new URL(address)
  if (url.hostname !== name.toLowerCase()) return wrong(`its host ${name} stands for another, ${url.hostname}`)
  return hosts.some((host) => isMeant(host, url)) ? { ok: true, url } : wrong(`${url.host} is not among its hosts`)
}

/** May this address be spoken to? */
export function hostAllowed(address: string, hosts: readonly string[]): boolean {
  return judgeAddress(address, hosts).ok
}

function hasBlanks(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code <= 32 || code === 92 || (code >= 127 && code <= 160) || code === 0x3000 || code === 0xfeff) return true
  }
  return false
}

function isMeant(entry: string, { hostname, port }: URL): boolean {
  const [, star, host, own = ''] = /^(\*\.)?([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/i.exec(entry) ?? []
  if (host === undefined || own !== port) return false
  const listed = host.toLowerCase()
  if (star === undefined) return hostname === listed
  // `*.com` would be a list of everybody, and a number has no names below it.
  return /^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(listed) && !/\.\d+$/.test(listed) && hostname.endsWith(`.${listed}`)
}

/** What is wrong with an entry of a list of hosts; undefined when nothing is. */
export function hostProblem(entry: string): string | undefined {
  const bare = entry.replace(/^\*\./, '')
  const address = `https://${bare}/`
  if (!judgeAddress(address, [bare]).ok) return 'it is not a host, such as api.example.com or *.example.com'
  if (bare === entry) return undefined
  const below = address.replace('://', '://a.')
  return judgeAddress(below, [entry]).ok ? undefined : 'what stands behind "*." is not a name with a dot in it'
}
