// Rules for policies, ready to use. Each names itself after what it says, so that the log can be read without the code,
// and so that another number in it is another policy. A rule has an opinion about what breaks it and none about the rest.

import { hostAllowed } from './egress.ts'
import { head, keyOf, type Json } from './json.ts'
import type { DeclaredLabel } from './label.ts'
import { join } from './label.ts'
import type { Judged, Rule, Verdict } from './policy.ts'
import { linksIn } from './link.ts'
import { leaves, valuesAt } from './provenance.ts'
import type { Effect } from './tool.ts'

type Broken = 'ask' | 'deny'

/** What an argument must be. A value that is missing breaks nothing. */
export interface Bound {
  readonly enum?: readonly Json[]
  readonly min?: number
  readonly max?: number
  /** Must match as a whole. */
  readonly pattern?: RegExp
  /** A context key that holds the allowed values; it allows nothing while it is untrusted or not there. */
  readonly in?: string
}

/** Only these tools may be called, whatever states offer. */
function only(tools: readonly string[], broken: Broken = 'deny'): Rule {
  const name = `only ${tools.join(', ')}`
  return ofTools(name, (step) =>
    tools.includes(step.name) ? undefined : { verdict: broken, reason: `${step.name} is not among them` },
  )
}

/** An argument of a tool must be within bounds. */
function argument(tool: string, path: string, bound: Bound, broken: Broken = 'deny'): Rule {
  const { pattern } = bound
  const said = JSON.stringify({ ...bound, ...(pattern ? { pattern: String(pattern) } : {}) })
  return ofTools(`${tool}.${path} ${said}`, (step) => {
    if (step.name !== tool) return undefined
    const values = valuesAt(step.arguments, path.split('.'))
    const wrong = values.find((value) => !holds(bound, value, step))
    return wrong === undefined
      ? undefined
      : { verdict: broken, reason: `${path} is ${head(JSON.stringify(wrong), 80)}` }
  })
}

function holds({ enum: values, min, max, pattern, in: key }: Bound, value: Json, { context, labels }: Judged): boolean {
  if (values && !values.some((allowed) => keyOf(allowed) === keyOf(value))) return false
  if (min !== undefined && !(typeof value === 'number' && value >= min)) return false
  if (max !== undefined && !(typeof value === 'number' && value <= max)) return false
  if (pattern && !(typeof value === 'string' && matches(pattern, value))) return false
  if (key === undefined) return true
  return labels[key]?.trust === 'trusted' && leaves(context[key] as Json).includes(String(value))
}

function matches({ source, flags }: RegExp, value: string): boolean {
  return new RegExp(`^(?:${source})$`, flags.replaceAll(/[gy]/g, '')).test(value)
}

/** What happens before an effect of a kind. */
function effects(said: Readonly<Partial<Record<Effect, Verdict>>>): Rule {
  return ofTools(`effects ${JSON.stringify(said)}`, ({ effect }) => {
    const verdict = said[effect]
    return verdict === undefined ? undefined : { verdict, reason: `its effect is ${effect}` }
  })
}

/** Links in arguments may lead to these hosts only. Redirects are held to a tool's own `egress`, at its door. */
function egress(hosts: readonly string[], broken: Broken = 'deny'): Rule {
  return ofTools(`egress ${hosts.join(', ')}`, ({ arguments: input }) => {
    const elsewhere = leaves(input)
      .flatMap(linksIn)
      .find((link) => !hostAllowed(link, hosts))
    return elsewhere === undefined ? undefined : { verdict: broken, reason: `${head(elsewhere, 80)} leads elsewhere` }
  })
}

/** What happens when a step has seen something with at least this label: before effects of these kinds, or before a model. */
function labels(
  seen: DeclaredLabel,
  before: { readonly effects?: readonly Effect[]; readonly models?: readonly string[] },
  verdict: Broken = 'ask',
): Rule {
  return {
    name: `labels ${JSON.stringify(seen)} before ${JSON.stringify(before)}`,
    judge({ kind, name, effect, label }) {
      const concerns = kind === 'model' ? before.models?.includes(name) : before.effects?.includes(effect)
      // What would change nothing when joined is there already.
      if (concerns !== true || join(label, seen) !== label) return undefined
      return { verdict, reason: `${label.trust} and ${label.privacy} data was seen` }
    },
  }
}

const days = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const

/** Outside these hours these tools are asked about, or refused. Times are like `08:00`, in a time zone of the IANA list. */
function hours(
  given: {
    readonly from: string
    readonly to: string
    readonly zone: string
    readonly days?: readonly (typeof days)[number][]
    readonly tools: readonly string[]
  },
  broken: Broken = 'ask',
): Rule {
  const { from, to, zone, tools } = given
  const clock = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  })
  return ofTools(`hours ${JSON.stringify(given)}`, ({ name, nowMs }) => {
    if (!tools.includes(name)) return undefined
    const parts = Object.fromEntries(clock.formatToParts(nowMs).map(({ type, value }) => [type, value]))
    const time = `${parts['hour']}:${parts['minute']}`
    const day = parts['weekday']!.toLowerCase() as (typeof days)[number]
    const within = from <= to ? time >= from && time < to : time >= from || time < to
    if (within && (given.days?.includes(day) ?? true)) return undefined
    return { verdict: broken, reason: `it is ${day} ${time} in ${zone}` }
  })
}

/** Only tasks that these started may call these tools (or any). */
function startedBy(people: readonly string[], tools?: readonly string[], broken: Broken = 'deny'): Rule {
  return ofTools(`started by ${people.join(', ')}${tools ? ` for ${tools.join(', ')}` : ''}`, ({ name, task }) => {
    if (people.includes(task.by) || (tools && !tools.includes(name))) return undefined
    return { verdict: broken, reason: `the task was started by ${task.by}` }
  })
}

/** These tools are allowed: what a tool from outside needs in order not to be asked about. */
function allow(tools: readonly string[]): Rule {
  return ofTools(`allow ${tools.join(', ')}`, ({ name }) => (tools.includes(name) ? 'allow' : undefined))
}

function ofTools(name: string, judge: Rule['judge']): Rule {
  return { name, judge: (step) => (step.kind === 'tool' ? judge(step) : undefined) }
}

/** Rules for a policy. */
export const rules = { allow, only, argument, effects, egress, labels, hours, startedBy } as const
