// Figures of a bench, as they are told.

/** Told of what was measured: a name, and its figures. */
export type Report = (result: Record<string, unknown> & { readonly what: string }) => void

export function round(value: number, digits = 3): number {
  return Number(value.toFixed(digits))
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
