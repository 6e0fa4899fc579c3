// A point in time as an author writes one: a `Date`, a text as ISO 8601 has it, or milliseconds since 1970. It is read once,
// where it was given, and is a whole number from there on.

/** A point in time. A text has a zone (`2026-10-01T09:00:00Z`, `…+02:00`), or is a day, which begins in UTC. */
export type Time = Date | string | number

const iso = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/

/** Milliseconds since 1970, rounded up; undefined for what is no time, or a text that is another time in another place. */
export function timeMs(given: unknown): number | undefined {
  const ms = given instanceof Date ? given.getTime() : typeof given === 'string' ? parse(given) : given
  // No further than a Date can go, in either direction.
  return typeof ms === 'number' && Math.abs(ms) <= 8.64e15 ? Math.ceil(ms) : undefined
}

function parse(text: string): number {
  const day = text.slice(0, 10)
  const dayMs = iso.test(text) ? Date.parse(day) : Number.NaN
  // A 30th of February would be taken for the 2nd of March.
  const isDay = !Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(day)
  return isDay ? Date.parse(text) : Number.NaN
}
