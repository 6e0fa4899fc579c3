// What a campaign came to, in lines for people and in a matrix: one row an attack, one column a state. What broke in many plays
// in the same way is one finding, with the shortest way to see it again.

import { writePoints } from '../runtime.ts'
import type { Campaign, Cell } from './campaign.ts'
import type { LoggedEvent } from '../store/store.ts'

/** Something that was found, however many plays show it. */
export interface Finding {
  readonly severity: 'breach' | 'weak'
  /** The invariant that broke. */
  readonly invariant?: string
  readonly problem: string
  /** The first play that shows it, and how many do. */
  readonly play: string
  readonly plays: number
  readonly log: readonly LoggedEvent[]
}

/** Breaches first, each problem once. */
export function findingsOf({ cells }: Campaign): readonly Finding[] {
  const breaches = cells.flatMap((cell) => cell.breaches.map((one) => ({ severity: 'breach' as const, ...one })))
  const weak = cells.flatMap((cell) => cell.weaknesses.map((one) => ({ severity: 'weak' as const, ...one, log: [] })))
  // Numbers of events and tasks differ from play to play; what broke does not.
  const same = ({ problem, ...one }: { problem: string; severity: string; invariant?: string }): string =>
    `${one.severity} ${one.invariant ?? ''} ${problem.replaceAll(/\bt(:\d+)*( #\d+)?: |\d+/g, '')}`
  const groups = Map.groupBy<string, Omit<Finding, 'plays'>>([...breaches, ...weak], same)
  return [...groups.values()].map((its) => ({ ...its[0]!, plays: new Set(its.map(({ play }) => play)).size }))
}

/** One line of a finding. */
export function sayFinding({ severity, invariant, problem, plays }: Finding): string {
  const often = plays === 1 ? '' : ` (${plays} plays)`
  return severity === 'breach' ? `breach ${invariant}: ${problem}${often}` : `weak: ${problem}${often}`
}

const signs: Readonly<Record<Cell['verdict'], string>> = {
  held: 'held',
  weak: 'weak',
  breach: 'BREACH',
  'not met': '-',
}

/** The matrix as rows of text, its head first. Rows that no state could meet are left out. */
export function matrixOf({ rows, states, cells }: Campaign): readonly (readonly string[])[] {
  const several = new Set(states.map(({ agent }) => agent)).size > 1
  const head = ['', ...states.map(({ agent, state }) => (several ? `${agent}.${state}` : state)), '']
  const at = new Map(cells.map((cell) => [`${cell.row} ${cell.agent}.${cell.state}`, cell]))
  const lines = rows.flatMap(({ id, what }) => {
    const its = states.map(({ agent, state }) => at.get(`${id} ${agent}.${state}`))
    if (its.every((cell) => !cell || cell.verdict === 'not met')) return []
    return [[id, ...its.map((cell) => (cell ? signs[cell.verdict] : '')), what]]
  })
  return [head, ...lines]
}

/** Why cells were not met, and workers not killed at some writes: each reason once, with what it holds for. */
export function reasonsOf(campaign: Campaign): readonly string[] {
  const { cells, killedAt } = campaign
  const skipped = cells.filter(({ reason }) => reason !== undefined)
  const unmet = [...Map.groupBy(skipped, ({ reason }) => reason!)].map(([reason, its]) => {
    const rows = [...new Set(its.map(({ row }) => row))]
    const some = rows.length > 8 ? `${rows.slice(0, 8).join(' ')} …` : rows.join(' ')
    return `${its.length === 1 ? '1 cell' : `${its.length} cells`}: ${reason} (${some})`
  })
  return [...unmet, ...(killedAt.length > 0 ? sparedOf(campaign) : [])]
}

/** Where no worker was killed, each reason once. */
function sparedOf({ spared }: Campaign): readonly string[] {
  return [...Map.groupBy(spared, ({ reason }) => reason)].map(([reason, its]) => {
    return `not killed at ${its.map(({ point }) => point).join(', ')}: ${reason}`
  })
}

/** The sum of it, in a line. */
export function sumOf(campaign: Campaign): string {
  const { agent, cells, plays, left, seed, killedAt } = campaign
  const count = (verdict: Cell['verdict']): number => cells.filter((cell) => cell.verdict === verdict).length
  const kinds = new Set(cells.filter(({ plays: played }) => played > 0).map(({ row }) => row)).size
  const parts = [
    `${agent}: ${plays} plays of seed ${seed}, ${kinds === 1 ? '1 kind' : `${kinds} kinds`} of attack`,
    `${count('held')} cells held, ${count('weak')} weak, ${count('breach')} breached, ${count('not met')} not met`,
    ...(killedAt.length > 0
      ? [`killed at ${killedAt.length} of ${writePoints.length} write points (${killedAt.join(', ')})`]
      : []),
    ...(left > 0 ? [`${left} plays were not begun: the budget was used up`] : []),
  ]
  return `${parts.join('; ')}.`
}
