// Reads a text log line by line, however long it is, for the tools that look into it.

import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'

/** The most characters of a line that are shown. */
const lineMax = 300

/** A line of a log, with its number from 1. */
export interface Line {
  readonly line: number
  readonly text: string
}

/** The lines of a log. Stops when `signal` aborts. */
export async function* lines(path: string, signal: AbortSignal): AsyncGenerator<Line, void, void> {
  const input = createReadStream(path, { encoding: 'utf8', signal })
  let line = 0
  for await (const text of createInterface({ input, crlfDelay: Infinity })) {
    line += 1
    yield { line, text: text.slice(0, lineMax).toWellFormed() }
  }
}

/** Does a line hold one of the words? Words are separated by `|`; upper and lower case are the same. */
export function matcher(pattern: string): (text: string) => boolean {
  const words = pattern
    .toLowerCase()
    .split('|')
    .filter((word) => word !== '')
  return (text) => {
    const lower = text.toLowerCase()
    return words.some((word) => lower.includes(word))
  }
}

/** The shape of a line: what stays when numbers and addresses are taken out, so that like lines count together. */
export function shape(text: string): string {
  return text
    .replaceAll(/\b0x[\da-f]+\b/gi, '#')
    .replaceAll(/\d+/g, '#')
    .replaceAll(/#([.:/-]#)+/g, '#')
}
