// Incident triage for people on call: looks into a log, has the finding reviewed, and acts only when a human has agreed to
// exactly what it would do. A log is anyone's words: whoever can write into it must not be able to restart anything.

import { defineAgent, defineContext } from 'signalbox'
import { z } from 'zod'
import { countMatches, restartService, searchLog, summariseLog } from './tools.ts'

const Finding = z.object({
  pattern: z.string().describe('the words that find these lines'),
  count: z.int().describe('how many lines of the log they find'),
  evidence: z.array(z.string()).describe('lines of the log, quoted'),
})

const Diagnosis = z.object({
  service: z.string().describe('the service that should be restarted'),
  summary: z.string().describe('what happened, in a sentence or two'),
  severity: z.enum(['low', 'medium', 'high']),
})

const context = defineContext({
  log: z.string().describe('the path of the log'),
  alert: { schema: z.string(), initial: 'Something is wrong. Find out what.' },
  reportPath: { schema: z.string(), initial: 'incident-report.md' },
  ledgerPath: { schema: z.string(), initial: 'incident-ledger.jsonl' },
  findings: { schema: z.array(Finding), initial: [], merge: 'append' },
  diagnosis: Diagnosis.optional(),
  feedback: z.string().optional(),
})

export const incident = defineAgent({
  name: 'incident',
  version: '1',
  context,
  limits: { steps: 60 },
  initial: 'investigate',
  on: {
    $error: 'unresolved',
    $timeout: 'unresolved',
    $turns: 'unresolved',
    $refused: 'unresolved',
    $limit: 'unresolved',
    $doubt: 'unresolved',
  },
  states: {
    investigate: {
      model: 'main',
      instructions: 'You investigate incidents from a log. You claim only what the log shows, and quote it.',
      prompt: ({ context }) =>
        [
          `Alert: ${context.alert}`,
          `The log: ${context.log}`,
          context.feedback === undefined ? '' : `Your last finding was sent back: ${context.feedback}`,
          'Find what went wrong, how often, and which service it concerns.',
        ].join('\n'),
      tools: [summariseLog, searchLog, countMatches],
      reads: ['log', 'alert', 'feedback'],
      writes: ['findings', 'diagnosis'],
      timeout: '60s',
      turns: 10,
      visits: 3,
      on: {
        FOUND: {
          target: 'review',
          description: 'You know what happened.',
          output: z.object({ findings: z.array(Finding).min(1), diagnosis: Diagnosis }),
        },
        NOTHING_FOUND: { target: 'unresolved', description: 'The log shows nothing that is wrong.' },
        $visits: 'unresolved',
      },
    },
    review: {
      model: 'main',
      instructions: 'You review the finding of a colleague. Check its numbers against the log before you agree.',
      prompt: ({ context }) =>
        `Diagnosis: ${JSON.stringify(context.diagnosis)}\nFindings: ${JSON.stringify(context.findings)}\nIs it so?`,
      tools: [searchLog, countMatches],
      reads: ['log', 'findings', 'diagnosis'],
      writes: ['feedback'],
      timeout: '60s',
      turns: 6,
      on: {
        CONFIRMED: { target: 'act', description: 'The log shows what the finding says.' },
        SENT_BACK: {
          target: 'investigate',
          description: 'Something is missing or wrong.',
          output: z.object({ feedback: z.string().min(1) }),
        },
      },
    },
    // The restart reaches outside, and what was found is somebody else's words: a human sees exactly what would be done.
    act: {
      tool: restartService,
      args: ({ context }) => ({
        service: context.diagnosis?.service ?? 'unknown',
        report: report(context),
        reportPath: context.reportPath,
        ledgerPath: context.ledgerPath,
      }),
      reads: ['log', 'findings', 'diagnosis', 'reportPath', 'ledgerPath'],
      on: { DONE: 'resolved' },
    },
    resolved: { type: 'final' },
    unresolved: { type: 'final', failure: true },
  },
})

export default { agents: [incident] }

function report({
  log,
  diagnosis,
  findings,
}: {
  log: string
  diagnosis?: z.infer<typeof Diagnosis>
  findings: z.infer<typeof Finding>[]
}): string {
  const told = findings.map(
    ({ pattern, count, evidence }) =>
      `## ${pattern}: ${count} lines\n\n${evidence.map((line) => `    ${line}`).join('\n')}\n`,
  )
  return `# ${diagnosis?.service}: ${diagnosis?.severity}\n\n${diagnosis?.summary}\n\nFrom ${log}.\n\n${told.join('\n')}`
}
