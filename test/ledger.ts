// The outside, for tests: a service that writes down every effect with its key.

/** A service that acts once for every call it gets, and remembers all of them. */
export class Effects {
  readonly all: { key: string; effect: string }[] = []

  act(key: string, effect: string): void {
    this.all.push({ key, effect })
  }

  /** How often each key acted. */
  get perKey(): number[] {
    return [...Map.groupBy(this.all, ({ key }) => key).values()].map((effects) => effects.length)
  }
}
