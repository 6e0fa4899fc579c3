// Why there was no connection: the system's own code for it, and with whom it was tried. Host and port are what somebody
// needs who looks for the mistake; credentials, paths and the prompt are left out.

/** What a connection came to that failed. */
export interface Broken {
  /** The code and where to, such as `ECONNREFUSED 127.0.0.1:8080`; as much of it as is known. */
  readonly detail: string
  /** There was never a connection, so nothing was asked. */
  readonly neverMade: boolean
}

/** Codes of attempts at which nothing was sent. */
const neverMade: ReadonlySet<string> = new Set([
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'UND_ERR_CONNECT_TIMEOUT',
  'bad port',
])

const causesMax = 4

/** Reads what was thrown, and its causes, for how a connection failed. `url` is where it was to go, where that is known. */
export function brokenConnection(thrown: unknown, url?: string): Broken {
  const known = causesOf(thrown).filter((cause) => codeOf(cause) !== '')
  const told = known.find((cause) => neverMade.has(codeOf(cause))) ?? known[0]
  if (!told) return { detail: whereOf(url), neverMade: false }
  const code = codeOf(told)
  const where = whereOf(url) || placeOf(told)
  return { detail: where === '' ? code : `${code} ${where}`, neverMade: neverMade.has(code) }
}

interface Fields {
  readonly code: unknown
  readonly message: unknown
  readonly address: unknown
  readonly hostname: unknown
  readonly port: unknown
  readonly cause: unknown
}

function causesOf(thrown: unknown): readonly Fields[] {
  const causes: Fields[] = []
  for (let at = thrown; typeof at === 'object' && at !== null && causes.length < causesMax; at = causes.at(-1)!.cause) {
    const { code, message, address, hostname, port, cause } = at as Partial<Fields>
    causes.push({ code, message, address, hostname, port, cause })
  }
  return causes
}

/** The system's code; `fetch` gives none to a port that it never speaks to. */
function codeOf({ code, message }: Pick<Fields, 'code' | 'message'>): string {
  if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{2,39}$/.test(code)) return code
  return message === 'bad port' ? message : ''
}

function whereOf(url: string | undefined): string {
  if (typeof url !== 'string' || !URL.canParse(url)) return ''
  const { hostname, port, protocol } = new URL(url)
  return `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}`
}

function placeOf({ address, hostname, port }: Pick<Fields, 'address' | 'hostname' | 'port'>): string {
  const host = [address, hostname].find((part) => typeof part === 'string' && /^[\w.:-]{1,253}$/.test(part)) as string
  if (host === undefined) return ''
  return Number.isInteger(port) ? `${host.includes(':') ? `[${host}]` : host}:${String(port)}` : host
}
