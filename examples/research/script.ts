// Plays the models of the research example, for `signalbox mock-model`: who is asked is told by what is offered. Each answer
// depends on its request alone. The first draft leaves something out on purpose, so that the critic sends it back.

import type { ScriptAnswer, ScriptRequest } from 'signalbox'
import { citationsIn, say } from './folder.ts'

interface Finding {
  file: string
  line: number
  quote: string
  claim: string
}

/** Words that say nothing about what a question is about. */
const empty = new Set(
  'about after again could have that their there these they this those were what when where which will with would'.split(
    ' ',
  ),
)

/** One answer; a request that is made again is answered again in the same way. */
export default function play(request: ScriptRequest): ScriptAnswer {
  const offered = new Set(request.offers.map(({ name }) => name))
  if (offered.has('PLANNED')) return plan(request)
  if (offered.has('FOUND')) return search(request)
  return offered.has('WRITTEN') ? write(request) : judge(request)
}

function plan({ prompt }: ScriptRequest): ScriptAnswer {
  const words = (
    questionOf(prompt)
      .toLowerCase()
      .match(/[a-z]{3,}/g) ?? []
  ).filter((word) => !empty.has(word))
  const topics = [...new Set([...words.filter((word) => word.length > 3), 'light', 'fog', 'wreck'])].slice(0, 5)
  return { text: 'One searcher a topic.', calls: [{ name: 'PLANNED', arguments: { topics } }] }
}

function search({ prompt, results }: ScriptRequest): ScriptAnswer {
  const topic = /^Your topic: (.*)$/m.exec(prompt)?.[1] ?? ''
  const searched = results.find(({ name }) => name === 'search_notes')
  if (!searched) {
    // Without its plural, a word finds more.
    const words = topic.length > 4 ? topic.replace(/s$/, '') : topic
    return { text: `I look for ${words}.`, calls: [{ name: 'search_notes', arguments: { words, limit: 12 } }] }
  }
  const { found } = searched.value as unknown as { found: { file: string; line: number; text: string }[] }
  const told = found.filter(({ text }) => /[a-z]\.$/.test(text)).slice(0, 4)
  if (told.length === 0) return { calls: [{ name: 'NOTHING', arguments: {} }] }
  const findings = told.map(({ file, line, text }) => ({ file, line, quote: text, claim: text }))
  return { calls: [{ name: 'FOUND', arguments: { findings } }] }
}

function write({ prompt }: ScriptRequest): ScriptAnswer {
  const findings = findingsOf(prompt)
  const request = /^The editor asks: (.*)$/m.exec(prompt)?.[1]
  const told = /^The critic: /m.test(prompt) ? findings : findings.slice(0, Math.ceil(findings.length / 2))
  const draft = [
    `# ${questionOf(prompt)}`,
    ...(request === undefined ? [] : [`_${request}_`]),
    told.map((finding) => `- ${finding.claim} [${say(finding)}]`).join('\n'),
  ].join('\n\n')
  return { calls: [{ name: 'WRITTEN', arguments: { draft } }] }
}

function judge({ prompt }: ScriptRequest): ScriptAnswer {
  const cited = new Set(citationsIn(prompt.split('\nDraft:\n')[1] ?? '').map(say))
  const missing = findingsOf(prompt)
    .map(say)
    .filter((place) => !cited.has(place))
  if (missing.length === 0) return { text: 'Nothing is left out.', calls: [{ name: 'ACCEPTED', arguments: {} }] }
  const critique = `Left out: ${[...new Set(missing)].join(', ')}.`
  return { calls: [{ name: 'SENT_BACK', arguments: { critique } }] }
}

function questionOf(prompt: string): string {
  return /^Question: (.*)$/m.exec(prompt)?.[1] ?? ''
}

/** What was found, each place once. */
function findingsOf(prompt: string): Finding[] {
  const all = JSON.parse(/^Findings: (.*)$/m.exec(prompt)?.[1] ?? '[]') as Finding[]
  return [...new Map(all.map((finding) => [say(finding), finding])).values()]
}
