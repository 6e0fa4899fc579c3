// How many tokens a text will be, before anybody counts: an estimate, in time that grows with the text and not faster. Exact
// tokenizers are no use here: each model has its own, and they take seconds over a text that is made to hurt them.

import { estimateTokenCount } from 'tokenx'
import type { Message, Offer } from './model.ts'

/** Every message, call and result comes with some tokens of its own. */
const frame = 8

/**
 * An estimate of a text's tokens: of prose and code close, of what is written to be unreadable, or in a script that
 * tokenizers know badly, rather too high than too low. Runs of white space, which `tokenx` passes over, count a little.
 */
export function estimateTokens(text: string): number {
  return Math.ceil(Math.max(asciiTokens(text) ?? estimateTokenCount(text), text.length / 16, denseTokens(text)))
}

/**
 * What `tokenx` counts, of a text that is ASCII only: most are, and one walk over the characters takes a tenth of the time
 * of its regular expressions. Undefined for any other text.
 */
export function asciiTokens(text: string): number | undefined {
  let tokens = 0
  for (let [start, end] = [0, 0]; start < text.length; start = end) {
    const part = parts[text.charCodeAt(start)]
    if (part === undefined) return undefined
    end = start + 1
    while (end < text.length && parts[text.charCodeAt(end)] === part) end += 1
    if (part === gap) tokens += breakTokens(text, start, end)
    else if (end - start <= 3) tokens += 1
    else if (part === punctuation) tokens += Math.ceil((end - start) / 6)
    else if (isOnly(digit, text, start, end)) tokens += Math.ceil((end - start) / 3)
    else tokens += end - start <= 8 && isOnly(lower, text, start, end) ? 1 : Math.ceil((end - start) / 7)
  }
  return tokens
}

/** White space counts where it ends a line, unless a mark is before it, and always where it also indents the next. */
function breakTokens(text: string, start: number, end: number): number {
  let at = start
  while (at < end && text.charCodeAt(at) !== newline) at += 1
  if (at === end) return 0
  return at === end - 1 && parts[text.charCodeAt(start - 1)] === punctuation ? 0 : 1
}

function isOnly(kind: number, text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if (kinds[text.charCodeAt(at)] !== kind) return false
  return true
}

/** A run of ASCII letters and digits. */
interface Word {
  length: number
  digits: number
  uppers: number
  /** Changes between letters and digits, and from a small letter to a capital. */
  turns: number
  humps: number
}

/** The longest word that may still be one of a language, or of a name that is made of words. */
const wordLettersMax = 16

/**
 * Tokens by what the characters are, because `tokenx` takes every word for one of a language: a tokenizer cuts hex, base64
 * and random names into pieces of less than two characters, and a script that it was not made for into bytes. The rates are
 * measured on cl100k and o200k (test/core/tokens.test.ts).
 */
function denseTokens(text: string): number {
  let tokens = 0
  let [marks, previous, same] = [0, 0, 0]
  // One for all words: they are as many as the text is long.
  const word: Word = { length: 0, digits: 0, uppers: 0, turns: 0, humps: 0 }
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    same = code === previous && code < 128 ? same + 1 : 0
    // A long run of one character is a few tokens, and `tokenx` counts enough for it.
    if (same > 4) continue
    const kind = code < 128 ? kinds[code]! : other
    if (kind >= digit) {
      if (word.length > 0) {
        const before = kinds[previous]!
        if ((kind === digit) !== (before === digit)) word.turns += 1
        else if (kind === upper && before === lower) word.humps += 1
      }
      word.length += 1
      if (kind === digit) word.digits += 1
      else if (kind === upper) word.uppers += 1
      marks = 0
    } else {
      if (word.length > 0) {
        tokens += wordTokens(word)
        word.length = word.digits = word.uppers = word.turns = word.humps = 0
      }
      if (kind === mark) {
        // A run of the same mark is one token or two; different ones are, from the fourth on, nearly one each.
        if (code !== previous || marks === 0) marks += 1
        tokens += marks === 1 ? 1 : marks > 3 && code !== previous ? 0.66 : 0
      } else {
        marks = 0
        if (kind === other) tokens += rates[code >> 7]!
      }
    }
    previous = code
  }
  return tokens + (word.length > 0 ? wordTokens(word) : 0)
}

function wordTokens({ length, digits, uppers, turns, humps }: Word): number {
  const letters = length - digits
  const lowers = letters - uppers
  const mixed = uppers * 3 > length && lowers * 3 > length && length > wordLettersMax
  if (turns > 1 || mixed) return length * (uppers > 0 && lowers > 0 ? 0.72 : 0.62)
  const beyond = Math.max(0, letters - wordLettersMax * (humps + 1))
  return Math.ceil(digits / 3) + (letters > 0 ? 1 + humps + beyond * 0.6 : 0)
}

const [blank, mark, digit, lower, upper, other] = [0, 1, 2, 3, 4, -1]

/** What each ASCII character is. */
const kinds = Uint8Array.from({ length: 128 }, (_, code) => {
  const text = String.fromCharCode(code)
  if (/\d/.test(text)) return digit
  if (/[a-z]/.test(text)) return lower
  return /[A-Z]/.test(text) ? upper : /\s/.test(text) ? blank : mark
})

const newline = 10
const [gap, punctuation, rest] = [0, 1, 2]

/** What each ASCII character is to `tokenx`. */
const parts = Uint8Array.from({ length: 128 }, (_, code) => {
  const text = String.fromCharCode(code)
  if (/\s/.test(text)) return gap
  return '.,!?;(){}[]<>:/\\|@#$%^&*+=`~_"-'.includes(text) ? punctuation : rest
})

/** Tokens of one UTF-16 unit up to a code. Units of a pair count each. */
const scripts: readonly (readonly [untilCode: number, tokens: number])[] = [
  [0x00ff, 1.3], // Latin with marks
  [0x024f, 1.1],
  [0x036f, 1],
  [0x03ff, 0.82], // Greek
  [0x04ff, 0.47], // Cyrillic
  [0x057f, 2.1], // Armenian
  [0x08ff, 0.97], // Hebrew, Arabic
  [0x0dff, 1.35], // the scripts of India
  [0x0eff, 0.87], // Thai, Lao
  [0x11ff, 1.85], // Burmese, Georgian
  [0x13ff, 2.4], // Ethiopic
  [0x1dff, 1.8], // Khmer and others
  [0x1fff, 1.2], // Vietnamese
  [0x2bff, 0.8], // punctuation, arrows, lines
  [0x2dff, 1.8],
  [0x33ff, 0.95], // Kana
  [0x4dff, 2.1], // Han that is rare
  [0x9fff, 1], // Han
  [0xabff, 1.8],
  [0xd7ff, 1], // Hangul
  [0xffff, 1.35], // pairs: emoji, Han that is rarer; and what is left
]

/** The same by blocks of 128 codes. */
const rates = Array.from({ length: 512 }, (_, block) => scripts.find(([untilCode]) => block << 7 <= untilCode)![1])

/** An estimate of a message's tokens. */
export function messageTokens(message: Message): number {
  switch (message.role) {
    case 'system':
    case 'user':
      return frame + estimateTokens(message.text)
    case 'assistant':
      return message.content.reduce((sum, part) => {
        const text = part.type === 'call' ? `${part.id} ${part.name} ${JSON.stringify(part.arguments)}` : part.text
        return sum + frame + estimateTokens(text)
      }, frame)
    case 'tool':
      return message.results.reduce((sum, { id, value }) => {
        return (
          sum + frame + estimateTokens(id) + estimateTokens(typeof value === 'string' ? value : JSON.stringify(value))
        )
      }, frame)
  }
}

/** An estimate of the tokens of what a model is offered to call. */
export function offerTokens(offers: readonly Offer[]): number {
  return offers.reduce((sum, offer) => sum + frame + estimateTokens(JSON.stringify(offer)), 0)
}
