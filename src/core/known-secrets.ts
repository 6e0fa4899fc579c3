// Finds secrets whose values are known in a text: whole, in the forms in which they travel (base64, hexadecimal, escaped
// for an address or for JSON), and in pieces. The text is sampled: every few characters a short run of it is looked up
// among all runs of all forms, so the time is that of reading the text, however many secrets there are.

/** A part of a text that has to go, and what stands in its place. */
export interface Found {
  readonly start: number
  readonly end: number
  readonly label: string
}

/** A secret split into pieces is found by those of at least so many characters. */
const pieceLength = 12
const lengthMin = 6
const lengthMax = 65_536

/** What is wrong with the name of a secret; undefined when nothing is. */
export function nameProblem(name: string): string | undefined {
  if (isHandle(handleOf(name))) return undefined
  return 'a name has 1 to 64 letters, digits or "_", and begins with no digit'
}

/** What is wrong with a secret; undefined when nothing is. The value is never quoted. */
export function secretProblem(name: string, value: unknown): string | undefined {
  const problem = nameProblem(name)
  if (problem !== undefined) return problem
  if (typeof value !== 'string' || value === '') return 'it has no value'
  if (!value.isWellFormed()) return 'its value holds half of a surrogate pair'
  if (value.length < lengthMin)
    return `its value has fewer than ${lengthMin} characters, so it cannot be told from other text`
  return value.length > lengthMax ? `its value has more than ${lengthMax} characters` : undefined
}

/** The handle that stands for a secret wherever it is kept. */
export function handleOf(name: string): string {
  return `secret://${name}`
}

/** Is this a handle, and nothing else? It stands for a value, and leads nowhere. */
export function isHandle(text: string): boolean {
  return /^secret:\/\/[A-Za-z_]\w{0,63}$/.test(text)
}

/** The handles in a text: wherever they stand, a tool that may have the secret is given its value in their place. */
export function handlesIn(text: string): readonly string[] {
  return text.match(handle) ?? []
}

/** A handle within a text. Its name is the first group. */
export const handle = /(?<!\w)secret:\/\/([A-Za-z_]\w{0,63})(?!\w)/g

/** Values of secrets by name; several where a secret was changed. */
export type KnownValues = Readonly<Record<string, string | readonly string[]>>

/** A text by which a secret may be known, and how many characters of it in a row give it away. */
interface Form {
  readonly label: string
  readonly text: string
  readonly need: number
}

/** A place in a form. */
interface Spot {
  readonly form: Form
  readonly at: number
}

/** Answers, for a text, where secrets are in it: in order, apart from each other. Undefined: there are no secrets. */
export function knownSecrets(secrets: KnownValues): ((text: string) => Found[]) | undefined {
  const forms = Object.entries(secrets).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => formsOf(handleOf(name), one)),
  )
  if (forms.length === 0) return undefined
  const need = Math.min(...forms.map((form) => form.need))
  // Wherever `need` characters of a form stand, a run of `length` of them begins at a place that is looked at.
  const length = Math.max(4, Math.ceil((need * 2) / 3))
  const stride = need - length + 1
  const runs = new Map<string, Spot[]>()
  for (const form of forms) {
    for (let at = 0; at + length <= form.text.length; at += 1) {
      const run = form.text.slice(at, at + length)
      const spots = runs.get(run)
      if (!spots) runs.set(run, [{ form, at }])
      // A form that repeats itself is recognised by any of its places.
      else if (spots.length < 32) spots.push({ form, at })
    }
  }
  // One bit for each run, in a table small enough to stay near: most of a text is told apart by it alone.
  const bits = 2 ** Math.max(5, Math.ceil(Math.log2(16 * runs.size)))
  const seen = new Uint32Array(bits / 32)
  for (const run of runs.keys()) {
    const sum = hash(run, 0, length) & (bits - 1)
    seen[sum >>> 5]! |= 1 << (sum & 31)
  }
  const spotsAt = (text: string, at: number): readonly Spot[] | undefined => {
    const sum = hash(text, at, length) & (bits - 1)
    return ((seen[sum >>> 5]! >>> (sum & 31)) & 1) === 0 ? undefined : runs.get(text.slice(at, at + length))
  }

  return (text) => {
    const found: Found[] = []
    let floor = 0
    for (let at = 0; at + length <= text.length;) {
      const spots = spotsAt(text, at)
      const longest = spots && longestAt(text, at, length, spots, floor)
      if (longest) {
        const last = found.at(-1)
        if (last?.end === longest.start && last.label === longest.label) found.pop()
        const start = last && last.end === longest.start && last.label === longest.label ? last.start : longest.start
        found.push({ ...longest, start })
        at = floor = longest.end
      } else at += stride
    }
    return found
  }
}

function hash(text: string, at: number, length: number): number {
  // Four characters tell well enough; what they let through is compared whole.
  const first = text.charCodeAt(at) + (text.charCodeAt(at + 2) << 7)
  const last = (text.charCodeAt(at + length - 2) << 14) + (text.charCodeAt(at + length - 1) << 21)
  const sum = Math.imul(first + last, 0x9e3779b1)
  return sum ^ (sum >>> 15)
}

/** The longest part of the text around a run that is part of a form. */
function longestAt(text: string, at: number, length: number, spots: readonly Spot[], floor: number): Found | undefined {
  let longest: Found | undefined
  for (const { form, at: place } of spots) {
    let before = 0
    while (at - before > floor && place > before && text[at - before - 1] === form.text[place - before - 1]) before += 1
    let end = length
    while (place + end < form.text.length && text[at + end] === form.text[place + end] && at + end < text.length)
      end += 1
    const enough = before + end >= form.need
    if (enough && before + end > (longest ? longest.end - longest.start : 0)) {
      longest = { start: at - before, end: at + end, label: form.label }
    }
  }
  return longest
}

function formsOf(label: string, value: string): Form[] {
  const core = coreOf(value)
  const whole = core === value ? [] : writings(value).map((text) => ({ label, text, need: text.length }))
  return [...whole, ...writings(core).map((text) => ({ label, text, need: Math.min(pieceLength, text.length) }))]
}

/**
 * The part of a secret whose pieces are secret, too: an address with a password in it is mostly a host that may well be
 * named, and a private key begins as all do.
 */
function coreOf(value: string): string {
  const [, password] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]*?:([^/?#@\s]+)@/i.exec(value) ?? []
  if (password !== undefined && password.length >= lengthMin) return password
  const [, body] = /^-----BEGIN [A-Z0-9 ]+-----([^]+?)-----END [A-Z0-9 ]+-----\s*$/.exec(value) ?? []
  return body?.trim() || value
}

/** A value as it is written in different places. */
function writings(value: string): string[] {
  const bytes = new TextEncoder().encode(value)
  const hexadecimal = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  const address = encodeURIComponent(value)
  const base64 = [0, 1, 2].flatMap((shift) => base64Of(bytes, shift))
  const derived = [
    JSON.stringify(value).slice(1, -1),
    address,
    address.replaceAll('%20', '+'),
    address.replaceAll(/%../g, (escaped) => escaped.toLowerCase()),
    hexadecimal,
    hexadecimal.toUpperCase(),
    ...base64,
    ...base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
  ]
  // What is shorter might be anything.
  return [...new Set([value, ...derived.filter((text) => text.length >= 8)])]
}

/** What is always the same in the base64 of a text that holds the bytes, when `shift` bytes stand before a group of three. */
function base64Of(bytes: Uint8Array, shift: number): string[] {
  const shifted = new Uint8Array(shift + bytes.length)
  shifted.set(bytes, shift)
  let binary = ''
  for (const byte of shifted) binary += String.fromCharCode(byte)
  const text = btoa(binary)
  const bare = text.replace(/=+$/, '')
  // The first characters also carry bits of what stands before, the last one bits of what follows.
  const common = bare.slice([0, 2, 3][shift], shifted.length % 3 === 0 ? undefined : -1)
  return shift === 0 ? [text, common] : [common]
}
