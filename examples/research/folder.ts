// Reads a folder of notes: text files, looked up by name and line. A name that is not in the folder is not read, wherever it
// points to.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A line of a note, as it is cited: `[lights.txt:4]`. */
export interface Place {
  readonly file: string
  readonly line: number
}

/** The most characters of a line that are shown. */
const lineMax = 400

/** The names of the notes, in order. */
async function notes(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.txt')).sort()
}

/** The lines of a note; none where there is no such note. */
export async function linesOf(folder: string, file: string): Promise<readonly string[]> {
  if (!(await notes(folder)).includes(file)) return []
  const text = await readFile(join(folder, file), 'utf8')
  return text.split('\n').map((line) => line.slice(0, lineMax).trim().toWellFormed())
}

/** All lines of all notes that hold one of the words. Words are separated by `|`; upper and lower case are the same. */
export async function grep(folder: string, pattern: string): Promise<readonly (Place & { text: string })[]> {
  const words = pattern
    .toLowerCase()
    .split('|')
    .filter((word) => word.trim() !== '')
  const found: (Place & { text: string })[] = []
  for (const file of await notes(folder)) {
    for (const [index, text] of (await linesOf(folder, file)).entries()) {
      const lower = text.toLowerCase()
      if (words.some((word) => lower.includes(word))) found.push({ file, line: index + 1, text })
    }
  }
  return found
}

/** The places that a text cites, each once, in order. */
export function citationsIn(text: string): readonly Place[] {
  const found = [...text.matchAll(/\[([^[\]\s:]+):(\d+)\]/g)].map(([, file, line]) => ({
    file: file!,
    line: Number(line),
  }))
  return [...new Map(found.map((place) => [say(place), place])).values()]
}

/** A place as it is cited, without the brackets. */
export function say({ file, line }: Place): string {
  return `${file}:${line}`
}
