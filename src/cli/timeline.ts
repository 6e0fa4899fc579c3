// A task's events, told to a person: one line an event, the ones that matter.

import { sayMs } from '../core/duration.ts'
import { isErased } from '../core/erasure.ts'
import type { PlannedRetry } from '../core/event.ts'
import { head, type Json } from '../core/json.ts'
import { sayLabel } from '../core/label.ts'
import type { Charge } from '../core/ledger.ts'
import { sayAmount } from '../core/limits.ts'
import type { LoggedEvent } from '../store/store.ts'
import type { Usage } from '../core/task.ts'
import { sayCharge, sayCost } from './charge.ts'
import { paint } from './terminal.ts'

/**
 * One event as a line, or undefined when it says nothing to a person that another line does not say. Of a task that is below
 * `top` the line says which; how it began its parent says.
 */
export function say(event: LoggedEvent, top = event.taskId): string | undefined {
  const { taskId, type, at, seq } = event
  const isBelow = taskId !== top
  const what = isBelow && type === 'task.started' ? undefined : describe(event)
  if (what === undefined) return undefined
  const time = new Date(at).toISOString().slice(11, 23)
  const whose = isBelow ? paint('dim', `${taskId} | `) : ''
  return `${paint('dim', `${time} ${String(seq).padStart(4)}`)}  ${whose}${what}`
}

/** What an event says, without when. */
export function describe(event: LoggedEvent): string | undefined {
  switch (event.type) {
    case 'task.started':
      return `${paint('bold', `task ${event.taskId}`)}: ${event.data.agent} v${event.data.version}, started by ${event.data.by}`
    case 'task.forked': {
      const { from, seq, state, deeds } = event.data
      const known = isErased(deeds) || deeds.length === 0 ? '' : `; ${deeds.length} things were done outside before`
      return paint('magenta', `begins where ${from} was at event ${seq} (${state})${known}`)
    }
    case 'task.migrated': {
      const { from, version, state } = event.data
      const where = from.state === state ? state : `${from.state} → ${state}`
      return paint('magenta', `moves from version ${from.version} to version ${version} (${where})`)
    }
    case 'state.entered':
      if (event.data.kind === 'final') return undefined
      return `${paint(['bold', 'cyan'], event.data.state)} (${event.data.kind}${event.data.visit > 1 ? `, visit ${event.data.visit}` : ''})`
    case 'context.written':
      if (event.data.source === 'input' || event.data.source === 'initial') return undefined
      return `  ${event.data.source === 'rollback' ? 'restored' : 'wrote'} ${event.data.key} (version ${event.data.version}) ${short(event.data.value)}`
    case 'context.synced': {
      const { key, version, writer, value } = event.data
      return `  ${writer} ${value === undefined ? 'removed' : 'wrote'} ${key} (version ${version})`
    }
    case 'children.planned': {
      const { length } = isErased(event.data.inputs) ? [] : event.data.inputs
      return length === 1 ? undefined : `  ${length} children are planned`
    }
    case 'child.started': {
      const { agent, child, shares } = event.data
      return `  ${paint('yellow', agent)} begins as ${child}${shares ? ', on the same context' : ''}`
    }
    case 'child.ended': {
      const { child, status, outcome, output } = event.data
      return `  ${child} → ${paint(status === 'done' ? 'green' : 'red', outcome)} ${short(output)}`
    }
    case 'child.calledOff':
      return paint('red', `  ${event.data.child} is called off by ${event.data.by}: ${event.data.reason}`)
    case 'budget.awaited':
      return paint('yellow', `  waits for ${event.data.limit} of the tree: ${sayShort[event.data.why]}`)
    case 'context.removed':
      return `  removed ${event.data.key} (version ${event.data.version})`
    case 'model.called':
      return event.data.attempt > 1
        ? `  turn ${event.data.turn}: asks ${event.data.model} again (attempt ${event.data.attempt})`
        : undefined
    case 'model.answered': {
      const { turn, attempt, provider, modelId, usage, charge, latencyMs } = event.data
      const attempts = attempt > 1 ? `, ${attempt} attempts` : ''
      const cost = sayCharge(charge, event.costMicros, usage)
      return `  turn ${turn}: ${provider}/${modelId}, ${cost}, ${sayMs(latencyMs)}${attempts}`
    }
    case 'model.failed':
      return paint(
        'red',
        `  turn ${event.data.turn} failed (${event.data.class}): ${event.data.message}${again(event.data.retry)}${charged(event)}`,
      )
    case 'tool.called':
      if (event.data.undoes !== undefined) {
        return paint('yellow', `  takes back ${event.data.tool} (step ${event.data.undoes})${sayAttempt(event.data)}`)
      }
      return `  ${paint('yellow', event.data.tool)} ${short(event.data.arguments)}${sayAttempt(event.data)}`
    case 'tool.answered':
      return `  ${event.data.tool} → ${short(event.data.result)}, ${sayMs(event.data.latencyMs)}`
    case 'tool.failed':
      return paint(
        'red',
        `  ${event.data.tool} failed (${event.data.class}): ${event.data.message}${again(event.data.retry)}`,
      )
    case 'tool.doubted':
      return paint('red', `  ${event.data.tool}: its answer was lost; nobody knows whether it was done`)
    case 'function.returned':
      return `  function → ${event.data.exit}, ${sayMs(event.data.latencyMs)}`
    case 'function.failed':
      return paint('red', `  function failed (${event.data.what}): ${event.data.message}${again(event.data.retry)}`)
    case 'step.lost':
      return paint('red', `  step ${event.data.step}: its worker went away; another takes over${charged(event)}`)
    case 'window.cut': {
      const { tokensBefore, tokens, turnsBefore, resultsBefore, headChars, reason } = event.data
      const what = [
        turnsBefore > 1 ? `turns before ${turnsBefore} are left out` : '',
        resultsBefore > Math.max(1, turnsBefore) ? `results before turn ${resultsBefore} are left out` : '',
        headChars === null ? '' : `results beyond ${headChars} characters are shown by their head`,
      ]
      const why = reason === 'overflow' ? 'the provider says it is too large' : 'the window is full'
      return paint('yellow', `  ${why}: ${what.filter(Boolean).join(', ')} (${tokensBefore} → ${tokens} tokens)`)
    }
    case 'step.queued':
      return paint('yellow', `  step ${event.data.step} waits for ${event.data.key}: ${sayReason[event.data.reason]}`)
    case 'breaker.changed': {
      const { key, status, failures, untilMs, by, reason } = event.data
      if (by !== undefined) return `  breaker ${key} closed by ${by}: ${reason}`
      if (status === 'open') {
        return paint(
          'red',
          `  breaker ${key} is open after ${failures} failures, until ${new Date(untilMs).toISOString()}`,
        )
      }
      if (status === 'half-open') return paint('yellow', `  breaker ${key} is probed by this call`)
      return failures === 0 ? paint('green', `  breaker ${key} is closed`) : undefined
    }
    case 'step.late':
      return paint(
        'yellow',
        `  step ${event.data.step}: its ${event.data.kind} answered late; kept, not applied${charged(event)}`,
      )
    case 'step.refused':
      return paint(
        'red',
        `  refused (${event.data.reason})${event.data.asked === '' ? '' : ` ${event.data.asked}`}: ${head(event.data.correction, 160)}`,
      )
    case 'transition.taken':
      return `  ${paint('green', event.data.exit)} → ${event.data.target}`
    case 'limit.reached':
      return paint('red', `  limit reached: ${event.data.limit} (${sayAmount(event.data.limit, event.data.max)})`)
    case 'limit.neared': {
      const { limit, used, max, soft } = event.data
      const amounts = `${sayAmount(limit, used)} of ${sayAmount(limit, max)}`
      return paint('yellow', `  ${limit}: ${amounts}, past the soft line at ${soft * 100} %`)
    }
    case 'limit.raised':
      return `  limit raised by ${event.data.by}: ${event.data.limit} to ${sayAmount(event.data.limit, event.data.max)} (${event.data.reason})`
    case 'deadline.passed':
      if (event.data.of === 'wait') return '  the wait is over: its time has come'
      return paint('red', `  deadline passed: the ${event.data.of}`)
    case 'wait.started':
      return `  waits ${event.data.signal === undefined ? '' : `for the signal ${event.data.signal} `}until ${new Date(event.data.untilMs).toISOString()}`
    case 'signal.received':
      return `  signal ${event.data.name} from ${event.data.by} ${short(event.data.data)}`
    case 'human.asked':
      return `  ${paint('magenta', 'asks a human')}: ${isErased(event.data.question) ? '(erased)' : event.data.question} [${event.data.options.join(', ')}]`
    case 'human.answered': {
      const { by, decision, reason, more } = event.data
      const rest = more === undefined ? '' : ` (${more} more must agree)`
      return `  ${paint('magenta', by)} decided ${decision}: ${reason}${rest}`
    }
    case 'human.escalated':
      return paint('yellow', `  nobody has answered: it is ${event.data.to}'s now`)
    case 'item.closed':
      return event.data.why === 'withdrawn' ? undefined : paint('yellow', `  ${sayClosed[event.data.why]}`)
    case 'notice.failed':
      return paint('yellow', `  the webhook did not take the news: ${event.data.message}${again(event.data.retry)}`)
    case 'answer.refused': {
      const { by, decision, problem } = event.data
      return paint('red', `  ${by}'s ${decision} does not count: ${problem}`)
    }
    case 'label.weakened': {
      const { key, from, to, state, reason } = event.data
      return paint('yellow', `  ${key} from ${state}: ${sayLabel(from)} → ${sayLabel(to)} (${reason})`)
    }
    case 'links.removed':
      return paint(
        'yellow',
        `  ${isErased(event.data.links) ? 'erased' : event.data.links.length} links were taken out of ${event.data.key}`,
      )
    case 'payload.erased':
      return paint('yellow', `  payload of event ${event.data.seq} erased by ${event.data.by}: ${event.data.reason}`)
    case 'rollback.started': {
      const { to, asked, state, undo, without, by, reason, ends } = event.data
      if (ends !== undefined) {
        return paint('magenta', `takes back what it did: ${undo.length} to take back, ${without.length} that stay`)
      }
      const what = asked === to ? '' : `, asked for ${typeof asked === 'string' ? asked : `event ${asked}`}`
      const effects = `${undo.length} to take back, ${without.length} that cannot be`
      return paint('magenta', `goes back to event ${to} (${state}${what}) by ${by}: ${reason}; ${effects}`)
    }
    case 'effect.kept':
      return `  ${event.data.tool} (step ${event.data.step}) stands: ${event.data.by}, ${event.data.reason}`
    case 'rollback.stopped':
      return paint('magenta', `stays where it was: ${event.data.by}, ${event.data.reason}`)
    case 'task.rolledBack':
      return paint('magenta', `is back at event ${event.data.to} (${event.data.state})`)
    case 'task.cancelled':
      return paint('red', `cancelled by ${event.data.by}: ${event.data.reason}`)
    case 'task.ended':
      return paint(
        ['bold', event.data.status === 'done' ? 'green' : 'red'],
        `ended: ${event.data.outcome}${event.data.outcome === event.data.status ? '' : ` (${event.data.status})`}`,
      )
    case 'notice.sent':
    case 'slot.taken':
    case 'slot.freed':
    case 'function.called':
    case 'signal.consumed':
      return undefined
    default:
      event satisfies never
      return undefined
  }
}

const sayClosed = {
  expired: 'nobody has answered in time: the call is refused',
  outdated: 'what was approved is not what would be called now: it is asked again',
  unseen: 'the tool makes something else of what was given: it is asked about that',
  unfit: 'the arguments that were given do not fit: it is asked again',
} as const

const sayShort = {
  reserved: 'others hold what is left',
  paused: 'its root has to decide at the soft line',
  short: 'there is too little left',
} as const

const sayReason = {
  open: 'its breaker is open',
  probing: 'its breaker is being probed',
  paused: 'it asked for quiet',
  busy: 'all places are taken',
} as const

function charged({ data, costMicros }: Extract<LoggedEvent, { data: { charge?: Charge } }>): string {
  return data.charge === undefined
    ? ''
    : `; ${sayCharge(data.charge, costMicros, 'usage' in data ? data.usage : undefined)}`
}

function sayAttempt({ attempt }: { readonly attempt: number }): string {
  return attempt > 1 ? ` (attempt ${attempt})` : ''
}

function again(retry: PlannedRetry | undefined): string {
  return retry === undefined ? '' : `; again in ${sayMs(retry.delayMs)} (${retry.reason})`
}

/** What a task used, in a line. */
export function sayUsage(usage: Usage): string {
  const { steps, turns, inputTokens, outputTokens } = usage
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`
  const tokens = `${inputTokens} tokens in, ${outputTokens} out`
  return `${count(steps, 'step')}, ${count(turns, 'turn')}, ${tokens}, ${sayCosts(usage)}`
}

/** What a task cost, as far as it is known. */
export function sayCosts({ costMicros, unpriced }: Pick<Usage, 'costMicros' | 'unpriced'>): string {
  const known = unpriced === 0 ? sayCost(costMicros) : `${sayCost(costMicros)} and ${unpriced} calls without a price`
  return unpriced > 0 && costMicros === 0 ? 'cost unknown' : known
}

function short(value: Json): string {
  return paint('dim', isErased(value) ? '(erased)' : head(JSON.stringify(value), 140))
}
