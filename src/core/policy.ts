// Policy is rules over a step that is about to be permitted. Each answers allow, deny or ask, or has no opinion; the
// strictest answer holds, and it always names its rule. A rule that throws denies: what cannot be judged is not done.

import { messageOf } from './fault.ts'
import { quoted } from './json.ts'
import type { Json } from './json.ts'
import type { Label } from './label.ts'
import type { Effect } from './tool.ts'

/** What a rule may say. */
export type Verdict = 'allow' | 'ask' | 'deny'

/** A step, as a rule is told of it. */
export interface Judged {
  readonly kind: 'tool' | 'model'
  /** The tool's or the model's name. */
  readonly name: string
  readonly agent: string
  readonly state: string
  readonly task: { readonly id: string; readonly by: string; readonly startedAtMs: number }
  /** Of a tool: what it is called with. An empty object for a model. */
  readonly arguments: Json
  /** Of a tool: what it does to the outside. `read` for a model. */
  readonly effect: Effect
  readonly origin: 'own' | 'outside'
  /** What the caller has seen; what a model would be shown. */
  readonly label: Label
  /** The context keys that the state may read, frozen, and their labels. */
  readonly context: Readonly<Record<string, any>>
  readonly labels: Readonly<Record<string, Label>>
  readonly nowMs: number
}

/** A rule. */
export interface Rule {
  readonly name: string
  /** Pure and synchronous. Undefined: no opinion. */
  readonly judge: (step: Judged) => Verdict | { readonly verdict: Verdict; readonly reason: string } | undefined
}

/** What the rules came to, and which of them said so. */
export interface Ruling {
  readonly verdict: Verdict
  readonly rule: string
  readonly reason: string
}

const strictness: readonly Verdict[] = ['allow', 'ask', 'deny']

/** Asks every rule. A rule that throws, or answers with something that is no verdict, denies. */
export function askRules(rules: readonly Rule[], step: Judged): readonly Ruling[] {
  return rules.flatMap(({ name: rule, judge }) => {
    try {
      const said = judge(step)
      if (said === undefined) return []
      const { verdict, reason } =
        typeof said === 'string' ? { verdict: said, reason: `the rule ${rule} says so` } : said
      if (strictness.includes(verdict)) return [{ verdict, rule, reason: String(reason).toWellFormed() }]
      return [{ verdict: 'deny', rule, reason: `the rule answered with ${quoted(verdict)}, which is no verdict` }]
    } catch (thrown) {
      return [{ verdict: 'deny', rule, reason: `the rule threw: ${messageOf(thrown).toWellFormed()}` }]
    }
  })
}

/** The strictest ruling; of several the first. Undefined when there is none. */
export function strictest(rulings: readonly Ruling[]): Ruling | undefined {
  const [first, ...rest] = rulings
  if (!first) return undefined
  return rest.reduce(
    (held, next) => (strictness.indexOf(next.verdict) > strictness.indexOf(held.verdict) ? next : held),
    first,
  )
}
