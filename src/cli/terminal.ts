// How the command line speaks: values for machines go to stdout, everything for people to stderr, and the exit code
// says how it ended.

import { styleText } from 'node:util'
import { userInfo } from 'node:os'
import { Fault, isFault, type FaultCode } from '../core/fault.ts'
import { durationProblem, toMs, type Duration } from '../core/duration.ts'
import type { Json } from '../core/json.ts'
import { plainRedactor, type Redactor } from '../core/redact.ts'
import type { Address } from '../health.ts'
import { cleanError } from '../secrets.ts'

/** 0 done well; 1 did not end well; 2 wrong usage; 3 waits for a human; 130 stopped by Ctrl-C. */
export const exitCodes = { well: 0, badly: 1, usage: 2, waits: 3, interrupted: 130 } as const

const usageFaults: ReadonlySet<FaultCode> = new Set<FaultCode>([
  'AGENT_UNKNOWN',
  'ANCHORS_INVALID',
  'BREAKER_UNKNOWN',
  'CONFIG_INVALID',
  'DECISION_UNKNOWN',
  'DURATION_INVALID',
  'EXPORT_INVALID',
  'FAULT_UNKNOWN',
  'FLAG_INVALID',
  'FORK_INVALID',
  'HASH_MISMATCH',
  'INPUT_INVALID',
  'ITEM_UNKNOWN',
  'KEY_EXISTS',
  'KEY_INVALID',
  'MODEL_UNKNOWN',
  'MODULE_MISSING',
  'NODE_TOO_OLD',
  'PAYLOAD_UNKNOWN',
  'PRICE_UNKNOWN',
  'ROLLBACK_INVALID',
  'SCHEDULE_EXISTS',
  'SCHEDULE_INVALID',
  'SCHEDULE_UNKNOWN',
  'SCRIPT_INVALID',
  'STORE_MISSING',
  'STORE_NOT_OURS',
  'STORE_UNSUPPORTED',
  'TASK_UNKNOWN',
  'TESTIMONY_INVALID',
])

let redact = plainRedactor

/** From now on nothing that was thrown is told with what this takes out. */
export function redactWith(given: Redactor): void {
  redact = given
}

/** A value for machines, on one line of stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}

/** A line of stdout. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** A line for people, on stderr. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** What is wrong with a command line, which may be quoted in it. */
export function tellUsage(text: string): void {
  process.stderr.write(redact.text(text))
}

/** Colours a text, where the terminal wants colours. */
export function paint(
  format: Parameters<typeof styleText>[0],
  text: string,
  stream: NodeJS.WriteStream = process.stderr,
): string {
  return styleText(format, text, { stream })
}

/** Says what went wrong, and how the process should exit. Defects of ours keep their stack. */
export function report(thrown: unknown, json: boolean): number {
  cleanError(thrown, redact)
  if (!isFault(thrown)) {
    const message = redact.text(String(thrown))
    tell(thrown instanceof Error ? (thrown.stack ?? message) : message)
    if (json) printJson({ error: { code: 'DEFECT', message } })
    return exitCodes.badly
  }
  tell(paint('red', thrown.message))
  if (json) printJson({ error: { code: thrown.code, message: thrown.message } })
  return usageFaults.has(thrown.code) ? exitCodes.usage : exitCodes.badly
}

/** Reads JSON from a flag. Throws INPUT_INVALID, naming the flag and the place. */
export function parseJson(flag: string, text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new Fault(
      'INPUT_INVALID',
      `${flag} is not JSON: ${why}.`,
      `Quote it for the shell: ${flag} '{"key":"value"}'.`,
    )
  }
}

/** Reads a whole number from a flag, of at least `min`. */
export function parseCount(flag: string, min = 0): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= min) return value
    throw new Fault(
      'FLAG_INVALID',
      `${flag} is ${JSON.stringify(text)}.`,
      `Give a whole number${min === 0 ? '' : `, at least ${min}`}.`,
    )
  }
}

/** Reads from a flag who acts, or why: the log keeps it. */
export function parseSaid(flag: string): (text: string) => string {
  return (text) => {
    if (text.trim() !== '') return text
    throw new Fault('FLAG_INVALID', `${flag} is empty.`, 'Say it: the log keeps who did it, and why.')
  }
}

/** Reads names with commas in between from a flag. */
export function parseNames(flag: string): (text: string) => readonly string[] {
  return (text) => {
    const names = text.split(',').map((name) => name.trim())
    if (!names.includes('')) return names
    throw new Fault('FLAG_INVALID', `${flag} is ${JSON.stringify(text)}.`, 'Give names with commas in between.')
  }
}

/** Reads from a flag where to listen: a port of this machine alone, or HOST:PORT. */
export function parseAddress(flag: string): (text: string) => Address {
  return (text) => {
    const [, host = '127.0.0.1', digits] = /^(?:([\w.-]+|\[[\da-fA-F:.]+\]):)?(\d{1,5})$/.exec(text) ?? []
    const port = Number(digits)
    if (port <= 65_535) return { host: host.replace(/^\[|\]$/g, ''), port }
    throw new Fault(
      'FLAG_INVALID',
      `${flag} is ${JSON.stringify(text)}.`,
      'Give a port, such as 8080, or HOST:PORT, such as 0.0.0.0:8080 or [::1]:8080.',
    )
  }
}

/** Reads a port of this machine from a flag; 0: any that is free. */
export function parsePort(flag: string): (text: string) => number {
  return (text) => {
    if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
    throw new Fault(
      'FLAG_INVALID',
      `${flag} is ${JSON.stringify(text)}.`,
      'Give a port, from 0 (any that is free) to 65535.',
    )
  }
}

/** Reads one of several words from a flag. */
export function parseChoice<Choice extends string>(flag: string, choices: readonly Choice[]): (text: string) => Choice {
  return (text) => {
    const found = choices.find((choice) => choice === text)
    if (found !== undefined) return found
    throw new Fault('FLAG_INVALID', `${flag} is ${JSON.stringify(text)}.`, `Give one of: ${choices.join(', ')}.`)
  }
}

/** Reads a sum of money from a flag, in dollars. */
export function parseDollars(flag: string): (text: string) => number {
  return (text) => {
    const value = Number(text.replace(/^\$/, ''))
    if (text.trim() !== '' && Number.isFinite(value) && value > 0) return value
    throw new Fault('FLAG_INVALID', `${flag} is ${JSON.stringify(text)}.`, 'Give dollars, such as 0.50.')
  }
}

/** Reads a duration from a flag, as milliseconds. */
export function parseDuration(flag: string): (text: string) => number {
  return (text) => {
    if (durationProblem(text as Duration) === undefined) return toMs(text as Duration)
    const cure = /^\d+$/.test(text)
      ? `Say of what: ${text}s, ${text}m or ${text}h`
      : 'Write it like 500ms, 20s, 5m or 2h'
    throw new Fault(
      'DURATION_INVALID',
      `${flag} is ${JSON.stringify(text)}, which is no duration.`,
      `${cure} (at most 366d).`,
    )
  }
}

/** Who is at the keyboard, where nobody said. */
export function whoami(): string {
  try {
    return userInfo().username
  } catch {
    return 'unknown'
  }
}

/** Fulfilled by the first Ctrl-C or SIGTERM, which it answers with `says`; the second ends the process at once. */
export function interruption(says: string): Promise<void> {
  return new Promise((resolve) => {
    let stopping = false
    const stop = (): void => {
      if (stopping) process.exit(exitCodes.interrupted)
      stopping = true
      tell(`${says}: the steps that are being performed may end. Once more to stop at once.`)
      resolve()
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
  })
}

/** Rows as columns, each as wide as its widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((widest, row) => Math.max(widest, row[column]!.length), 0),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return rows.map(line).join('\n')
}
