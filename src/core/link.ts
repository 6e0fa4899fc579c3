// What a text would make somebody else's program fetch or follow: addresses as they are written, and as a browser reads them,
// which takes backslashes for slashes, leaves out line ends within, and knows a letter by its number. Found in linear time.

import { isHandle } from './known-secrets.ts'

// Two slashes of either kind are the beginning of an address, whatever stands before them.
const slashes = String.raw`[/\\][\t\r\n]*[/\\]`
const scheme = String.raw`(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,30}:`
// What a browser knows needs no slash at all, and may be broken anywhere by tabs and line ends.
const breaks = String.raw`[\t\r\n]*`
const known = ['http', 'https', 'ws', 'wss', 'ftp', 'file', 'data', 'javascript', 'mailto']
  .map((name) => `${name}:`.split('').join(breaks))
  .join('|')
// It ends where neither a text nor a page can let it go on. What only may end it is taken for a part of it.
const rest = String.raw`[^\s<>"]+`
const link = new RegExp(
  [
    `(?:${scheme}(?:${slashes}|(?=[^\\s/\\\\]{1,255}\\.[^\\s]))|${slashes}|www\\.)${rest}`,
    `(?<![a-z])(?:${known})${rest}`,
  ].join('|'),
  'giu',
)

/** A link without what stands behind it in a sentence, in brackets or in quotes. */
function bareOf(found: string): string {
  // From its end: a pattern would begin anew at every sign of a long run that is not the last.
  let end = found.length
  while (end > 0 && trailing.has(found[end - 1]!)) end -= 1
  return found.slice(0, end)
}

const trailing: ReadonlySet<string> = new Set(".,;:!?'`)]}|*_")

/** The links in a text, as it is written and as a page would show it. */
export function linksIn(text: string): readonly string[] {
  const plain = find(text)
  const shown = decode(text)
  return shown === text ? plain : [...new Set([...plain, ...find(shown)])]
}

function find(text: string): string[] {
  return [...text.matchAll(link)].map(([found]) => bareOf(found)).filter((found) => !isHandle(found))
}

/** A text in which links that are not kept are replaced, and what they were. No page will show them either. */
export function cleanLinks(
  text: string,
  keeps: (link: string) => boolean,
): { readonly text: string; readonly links: readonly string[] } {
  const links: string[] = []
  const cleaned = text.replaceAll(link, (found) => {
    const bare = bareOf(found)
    if (isHandle(bare) || keeps(bare)) return found
    links.push(bare)
    return `[link removed]${found.slice(bare.length)}`
  })
  const hidden = cleaned.includes('&') ? find(decode(cleaned)).filter((bare) => !keeps(bare)) : []
  if (hidden.length === 0) return { text: cleaned, links }
  // Letters by their number stay what they look like here, and are no letters of an address any more.
  return { text: cleaned.replaceAll('&', '&amp;'), links: [...links, ...hidden] }
}

/** Is this a whole address, or does it begin as one? What follows does not matter: it will be taken for one. */
export function isAddress(text: string): boolean {
  if (isHandle(text.trim())) return false
  return /^\s*(?:(?:https?|wss?|ftp|file|data|blob|javascript):|(?:[a-z][a-z0-9+.-]*:)?[/\\][\t\r\n]*[/\\]|www\.)/i.test(
    text,
  )
}

const named: Readonly<Record<string, string>> = {
  amp: '&',
  bsol: '\\',
  colon: ':',
  comma: ',',
  commat: '@',
  dash: '-',
  equals: '=',
  excl: '!',
  hyphen: '-',
  lowbar: '_',
  lpar: '(',
  newline: '\n',
  num: '#',
  percnt: '%',
  period: '.',
  plus: '+',
  quest: '?',
  rpar: ')',
  semi: ';',
  sol: '/',
  tab: '\t',
}

/** A text with its character references resolved, as often as somebody may have wrapped them. */
function decode(text: string): string {
  let decoded = text
  for (let depth = 0; depth < 3 && decoded.includes('&'); depth += 1) {
    const next = decoded.replaceAll(
      /&(?:#0*(\d{1,7});?|#x0*([0-9a-f]{1,6});?|([a-z]{2,8});)/gi,
      (found, decimal, hex, name) => {
        if (name !== undefined) return named[String(name).toLowerCase()] ?? found
        const code = hex === undefined ? Number(decimal) : Number.parseInt(String(hex), 16)
        return code <= 0x10ffff ? String.fromCodePoint(code) : found
      },
    )
    if (next === decoded) break
    decoded = next
  }
  return decoded
}
