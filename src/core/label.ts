// A label says what is known about where data came from and whom it concerns. Labels travel with data: whatever is made
// from several values carries the join of their labels, so nothing is ever more trusted, or less private, than the worst
// that went into it. Only a declared, logged declassification makes a label weaker.

/** Whose words: ours (`trusted`), or anyone's (`untrusted`: it may hold orders that nobody of ours gave). */
export type Trust = 'trusted' | 'untrusted'

/** Whom it concerns, from nobody to those it must not leave. */
export type Privacy = 'public' | 'private' | 'secret'

/** What is known about a value. */
export interface Label {
  readonly trust: Trust
  readonly privacy: Privacy
}

/** A label as it is declared: what is not said is `trusted` and `public`. */
export type DeclaredLabel = Partial<Label>

/** The label of our own words. */
export const clear: Label = { trust: 'trusted', privacy: 'public' }

const privacies: readonly Privacy[] = ['public', 'private', 'secret']

/** The values that a label may have, for checks of what somebody wrote. */
export const labelValues = { trust: ['trusted', 'untrusted'], privacy: privacies } as const

/** The label of what is made of both: untrusted if one is, and as private as the more private. */
export function join(a: Label, b: DeclaredLabel | undefined): Label {
  if (b === undefined) return a
  const untrusted = a.trust === 'untrusted' || b.trust === 'untrusted'
  const { privacy = 'public' } = b
  const most = privacies.indexOf(privacy) > privacies.indexOf(a.privacy) ? privacy : a.privacy
  const trust = untrusted ? 'untrusted' : 'trusted'
  return trust === a.trust && most === a.privacy ? a : { trust, privacy: most }
}

/** The label as it is declared to be, its trust and its privacy each where that is weaker. */
export function weaken(label: Label, { trust, privacy }: DeclaredLabel): Label {
  const trusted = trust === 'trusted' && label.trust === 'untrusted'
  const lower = privacy !== undefined && privacies.indexOf(privacy) < privacies.indexOf(label.privacy)
  if (!trusted && !lower) return label
  return { trust: trusted ? 'trusted' : label.trust, privacy: lower ? privacy : label.privacy }
}

/** Is this the label of our own words? */
export function isClear({ trust, privacy }: Label): boolean {
  return trust === 'trusted' && privacy === 'public'
}

/** A label as an event carries it: absent where there is nothing to say. */
export function labelled(label: Label): { readonly label?: Label } {
  return isClear(label) ? {} : { label }
}

/** A label for people: `untrusted, private`. */
export function sayLabel({ trust, privacy }: Label): string {
  return `${trust}, ${privacy}`
}
