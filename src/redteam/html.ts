// A campaign as one page that stands alone: no script, nothing loaded. The matrix links a breach to its log and to the line
// that plays it again.

import type { Campaign, Cell } from './campaign.ts'
import { escapeXml } from './junit.ts'
import { findingsOf, reasonsOf, sayFinding, sumOf } from './report.ts'

const logMax = 400

const style = `
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .6rem; border: 1px solid #8884; text-align: left }
td.held { background: #2a84 } td.weak { background: #ec84 } td.breach { background: #d336; font-weight: bold } td.none { color: #888 }
code, pre { font: 13px/1.4 ui-monospace, monospace } pre { overflow-x: auto }
.scroll { overflow-x: auto }`

/** The text of the page. `again` says the command line that plays one play again. */
export function htmlOf(campaigns: readonly Campaign[], again: (campaign: Campaign, play: string) => string): string {
  const bodies = campaigns.map((campaign, index) => bodyOf(campaign, `c${index}`, (play) => again(campaign, play)))
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Signalbox red team</title><style>${style}</style></head><body>\n<h1>Red team</h1>\n${bodies.join('\n')}\n</body></html>\n`
}

function bodyOf(campaign: Campaign, mark: string, again: (play: string) => string): string {
  const findings = findingsOf(campaign)
  const anchors = new Map(findings.map(({ play }, index) => [play, `${mark}-f${index}`]))
  const { rows, states, cells } = campaign
  const at = new Map(cells.map((cell) => [`${cell.row} ${cell.agent}.${cell.state}`, cell]))
  const cellOf = (cell: Cell | undefined): string => {
    if (!cell) return '<td class="none"></td>'
    if (cell.verdict === 'not met') return `<td class="none" title="${escapeXml(cell.reason ?? '')}">–</td>`
    const first = [...cell.breaches, ...cell.weaknesses]
      .map(({ play }) => anchors.get(play))
      .find((one) => one !== undefined)
    const link = first ?? (cell.breaches.length > 0 ? `${mark}-findings` : undefined)
    const text = link === undefined ? cell.verdict : `<a href="#${link}">${cell.verdict}</a>`
    return `<td class="${cell.verdict}" title="${cell.plays} plays">${text}</td>`
  }
  const head = states.map(({ agent, state }) => `<th>${escapeXml(agent)}<br>${escapeXml(state)}</th>`).join('')
  const lines = rows.map(
    ({ id, what }) =>
      `<tr><th title="${escapeXml(what)}">${id}</th>${states.map(({ agent, state }) => cellOf(at.get(`${id} ${agent}.${state}`))).join('')}<td>${escapeXml(what)}</td></tr>`,
  )
  const told = findings.map((finding, index) => {
    const log = finding.log
      .slice(-logMax)
      .map(({ taskId, seq, type, data }) => `${taskId} ${seq} ${type} ${clip(JSON.stringify(data))}`)
    const logged =
      log.length === 0 ? '' : `<details><summary>its log</summary><pre>${escapeXml(log.join('\n'))}</pre></details>`
    return `<li id="${mark}-f${index}"><b>${escapeXml(sayFinding(finding))}</b><br><code>${escapeXml(again(finding.play))}</code>${logged}</li>`
  })
  const reasons = reasonsOf(campaign).map((reason) => `<li>${escapeXml(reason)}</li>`)
  return `<h2>${escapeXml(campaign.agent)}</h2>\n<p>${escapeXml(sumOf(campaign))}</p>\n<h3 id="${mark}-findings">Findings</h3>\n<ol>${told.join('\n') || '<li>None.</li>'}</ol>\n<h3>Matrix</h3>\n<div class="scroll"><table><tr><th></th>${head}<th></th></tr>\n${lines.join('\n')}</table></div>\n<h3>Not met</h3>\n<ul>${reasons.join('\n')}</ul>`
}

function clip(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`
}
