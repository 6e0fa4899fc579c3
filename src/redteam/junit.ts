// A campaign as JUnit XML, for whatever shows tests: one case a cell, a breach is a failure, what was not met is skipped.

import type { Campaign, Cell } from './campaign.ts'

/** The text of a JUnit file. `again` says the command line that plays one play again. */
export function junitOf(campaigns: readonly Campaign[], again: (campaign: Campaign, play: string) => string): string {
  const suites = campaigns.map((campaign) => {
    const { agent, cells, rows } = campaign
    const what = new Map(rows.map((row) => [row.id, row.what]))
    const failures = cells.filter(({ verdict }) => verdict === 'breach').length
    const skipped = cells.filter(({ verdict }) => verdict === 'not met').length
    const cases = cells.map((cell) => caseOf(cell, what.get(cell.row) ?? '', (play) => again(campaign, play)))
    return `  <testsuite name="${escapeXml(`redteam ${agent}`)}" tests="${cells.length}" failures="${failures}" skipped="${skipped}">\n${cases.join('')}  </testsuite>\n`
  })
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('')}</testsuites>\n`
}

function caseOf(cell: Cell, what: string, again: (play: string) => string): string {
  const { agent, state, row, breaches, weaknesses, reason } = cell
  const open = `    <testcase classname="${escapeXml(`${agent}.${state}`)}" name="${escapeXml(`${row} ${what}`)}"`
  const inner = [
    ...(reason === undefined ? [] : [`<skipped message="${escapeXml(reason)}"/>`]),
    ...breaches.map(
      ({ invariant, problem, play }) =>
        `<failure type="${escapeXml(invariant)}" message="${escapeXml(problem)}">${escapeXml(again(play))}</failure>`,
    ),
    ...(weaknesses.length === 0
      ? []
      : [`<system-out>${escapeXml(weaknesses.map(({ problem }) => problem).join('\n'))}</system-out>`]),
  ]
  return inner.length === 0 ? `${open}/>\n` : `${open}>${inner.join('')}</testcase>\n`
}

/** A text as XML and HTML carry it. What neither can carry is left out. */
export function escapeXml(text: string): string {
  const told = Array.from(text.toWellFormed()).filter((sign) => sign >= ' ' || sign === '\n' || sign === '\t')
  return told
    .join('')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
