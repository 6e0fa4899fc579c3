// Plays the model of the incident example, for `signalbox mock-model`: it looks into the log with the agent's own tools
// and concludes from what they answer. The first finding is thin on purpose, so that the reviewer sends it back.

import type { ScriptAnswer, ScriptRequest } from 'signalbox'

interface Summary {
  lines: number
  frequent: { count: number; example: string }[]
}

interface Found {
  total: number
  found: { line: number; text: string }[]
}

interface Count {
  pattern: string
  count: number
}

const trouble = [
  'fail',
  'error',
  'invalid',
  'denied',
  'refused',
  'timeout',
  'timed out',
  'fatal',
  'panic',
  'break-in',
  'exceeded',
  'unable',
  'warn',
]

/** One answer; depends on the request alone, so a request that is made again is answered again in the same way. */
export default function play(request: ScriptRequest): ScriptAnswer {
  const answer = request.offers.some(({ name }) => name === 'FOUND') ? investigate(request) : review(request)
  return { delayMs: 120, ...answer }
}

function investigate({ turn, results, prompt }: ScriptRequest): ScriptAnswer {
  const summary = results.find(({ name }) => name === 'summarise_log')?.value as unknown as Summary | undefined
  if (turn === 1 || !summary)
    return { text: 'I look at the log as a whole first.', calls: [{ name: 'summarise_log', arguments: { most: 40 } }] }
  const word = worst(summary)
  if (word === undefined) return { text: 'Nothing here is wrong.', calls: [{ name: 'NOTHING_FOUND', arguments: {} }] }
  const again = prompt.includes('sent back')
  const found = results.find(({ name }) => name === 'search_log')?.value as unknown as Found | undefined
  const count = results.find(({ name }) => name === 'count_matches')?.value as unknown as Count | undefined
  if (!found || !count) {
    const pattern = { pattern: word }
    return {
      text: `Lines with "${word}" stand out.`,
      calls: [
        { name: 'search_log', arguments: { ...pattern, limit: 5 } },
        { name: 'count_matches', arguments: pattern },
      ],
    }
  }
  const evidence = found.found.slice(0, again ? 5 : 1).map(({ text }) => text)
  const service = /\b([a-z][\w-]+)\[\d+\]:/.exec(evidence[0] ?? '')?.[1] ?? 'the service'
  const diagnosis = {
    service,
    summary: `${count.count} of ${summary.lines} lines hold "${word}".`,
    severity: count.count * 5 > summary.lines ? 'high' : 'medium',
  }
  const findings = [{ pattern: word, count: count.count, evidence }]
  return { calls: [{ name: 'FOUND', arguments: { findings, diagnosis } }] }
}

function review({ turn, results, prompt }: ScriptRequest): ScriptAnswer {
  const findings = JSON.parse(/^Findings: (.*)$/m.exec(prompt)?.[1] ?? '[]') as {
    pattern: string
    count: number
    evidence: string[]
  }[]
  const last = findings.at(-1)
  if (!last) return { calls: [{ name: 'SENT_BACK', arguments: { feedback: 'There is no finding.' } }] }
  if (turn === 1)
    return { text: 'I count for myself.', calls: [{ name: 'count_matches', arguments: { pattern: last.pattern } }] }
  const { count } = results.at(-1)!.value as unknown as Count
  if (count !== last.count)
    return { calls: [{ name: 'SENT_BACK', arguments: { feedback: `I count ${count}, not ${last.count}.` } }] }
  if (last.evidence.length < Math.min(2, count)) {
    return { calls: [{ name: 'SENT_BACK', arguments: { feedback: 'One quoted line is thin evidence; quote more.' } }] }
  }
  return { text: 'The numbers are right.', calls: [{ name: 'CONFIRMED', arguments: {} }] }
}

/** The word of trouble that most lines of the frequent shapes hold. */
function worst(summary: Summary): string | undefined {
  const counts = trouble.map((word) => {
    const hit = summary.frequent.filter(({ example }) => example.toLowerCase().includes(word))
    return { word, count: hit.reduce((sum, { count }) => sum + count, 0) }
  })
  const [first] = counts.filter(({ count }) => count > 0).sort((a, b) => b.count - a.count)
  return first?.word
}
