// A team that answers a question from a folder of notes: a planner splits it into topics, one searcher for each looks for what
// the notes say, a writer and a critic agree on a draft or come to the end of their turns, every citation is looked up, and a
// human editor decides. What the notes say is anyone's words: the model that reads them can search, and nothing else.

import { defineAgent, defineContext, usd } from 'signalbox'
import { z } from 'zod'
import { citationsIn, linesOf, say } from './folder.ts'
import { publishReport, readNote, searchNotes } from './tools.ts'

const Finding = z.object({
  file: z.string().describe('the note, as the search named it'),
  line: z.int().min(1),
  quote: z.string().max(400).describe('the line, to the letter'),
  claim: z.string().max(400).describe('what it says about the topic, in a sentence'),
})

const Source = z.object({ place: z.string(), text: z.string() })

const failing = {
  $error: 'failed',
  $timeout: 'failed',
  $turns: 'failed',
  $refused: 'failed',
  $stuck: 'failed',
  $limit: 'failed',
  $doubt: 'failed',
} as const

// ---- A searcher: a context of its own, so that it knows one topic and hands back what it found, and nothing else --------

const searcher = defineAgent({
  name: 'searcher',
  version: '1',
  context: defineContext({
    question: z.string(),
    topic: z.string(),
    folder: z.string(),
    findings: { schema: z.array(Finding), initial: [] },
  }),
  limits: { steps: 20 },
  initial: 'search',
  on: failing,
  states: {
    search: {
      model: 'small',
      instructions:
        'You look for what notes say about one topic. You claim only what a line says, and name file and line.',
      prompt: ({ context }) => `Question: ${context.question}\nYour topic: ${context.topic}`,
      tools: [searchNotes, readNote],
      reads: ['question', 'topic', 'folder'],
      outputTokens: 1_500,
      turns: 8,
      on: {
        FOUND: { target: 'found', output: z.object({ findings: z.array(Finding).min(1).max(8) }) },
        NOTHING: { target: 'nothing', description: 'The notes say nothing about it.' },
      },
    },
    found: { type: 'final', output: ({ context }) => ({ findings: context.findings }) },
    nothing: { type: 'final', output: () => ({ findings: [] }) },
    failed: { type: 'final', failure: true },
  },
})

// ---- The desk: a writer and a critic, on the context of the whole team ------------------------------------------------

const context = defineContext({
  question: z.string(),
  folder: z.string().describe('the path of a folder of .txt files'),
  reportPath: { schema: z.string(), initial: 'report.md' },
  ledgerPath: { schema: z.string(), initial: 'published.jsonl' },
  topics: z.array(z.string().min(2).max(60)).min(3).max(5).optional(),
  findings: { schema: z.array(Finding), initial: [] },
  // It will be read by others: links that nobody of ours has said are taken out of it.
  draft: { schema: z.string(), initial: '', outward: true },
  sources: { schema: z.array(Source), initial: [] },
  critique: z.string().optional(),
  objection: z.string().optional(),
  request: z.string().optional(),
})

const desk = defineAgent({
  name: 'desk',
  version: '1',
  context,
  limits: { steps: 30 },
  initial: 'write',
  on: failing,
  states: {
    write: {
      model: 'main',
      instructions: 'You write reports from findings. After each statement you cite its line, as in [lights.txt:4].',
      prompt: ({ context }) =>
        [
          `Question: ${context.question}`,
          `Findings: ${JSON.stringify(context.findings)}`,
          context.critique === undefined ? '' : `The critic: ${context.critique}`,
          context.objection === undefined ? '' : `Of your last draft: ${context.objection}`,
          context.request === undefined ? '' : `The editor asks: ${context.request}`,
        ].join('\n'),
      reads: ['question', 'findings', 'critique', 'objection', 'request'],
      outputTokens: 2_000,
      turns: 4,
      // A first draft, and one for each time that it is sent back. Then it goes on as it is.
      visits: 3,
      on: {
        WRITTEN: { target: 'judge', output: z.object({ draft: z.string().min(1).max(20_000) }) },
        $visits: 'asItIs',
        $stuck: 'asItIs',
      },
    },
    judge: {
      model: 'main',
      instructions: 'You are the critic. You hold a draft against its findings, and say what is wrong or left out.',
      prompt: ({ context }) =>
        `Question: ${context.question}\nFindings: ${JSON.stringify(context.findings)}\nDraft:\n${context.draft}`,
      reads: ['question', 'findings', 'draft'],
      outputTokens: 1_000,
      turns: 4,
      on: {
        ACCEPTED: { target: 'accepted', description: 'The draft says what the findings say.' },
        SENT_BACK: { target: 'write', output: z.object({ critique: z.string().min(1).max(2_000) }) },
        // A critic who has nothing to say that counts does not stop the paper: the editor is still to come.
        $refused: 'asItIs',
        $turns: 'asItIs',
        $error: 'asItIs',
        $timeout: 'asItIs',
        $stuck: 'asItIs',
      },
    },
    accepted: { type: 'final' },
    asItIs: { type: 'final' },
    failed: { type: 'final', failure: true },
  },
})

// ---- The team ------------------------------------------------------------------------------------------------------

export const research = defineAgent({
  name: 'research',
  version: '1',
  context,
  // For all of them together: the searchers and the desk spend from here.
  limits: { steps: 40, descendants: 15, depth: 1, cost: usd(1) },
  initial: 'plan',
  on: failing,
  states: {
    plan: {
      model: 'main',
      instructions: 'You plan research. You split a question into topics that can be searched for one by one.',
      prompt: ({ context }) => `Question: ${context.question}\nName three to five topics, a word or two each.`,
      reads: ['question'],
      outputTokens: 500,
      turns: 3,
      on: {
        PLANNED: { target: 'search', output: z.object({ topics: z.array(z.string().min(2).max(60)).min(3).max(5) }) },
      },
    },
    search: {
      agent: searcher,
      each: ({ context }) => context.topics ?? [],
      input: ({ context, item }) => ({ question: context.question, topic: item, folder: context.folder }),
      output: ({ children }) => ({ findings: children.flatMap(({ output }) => output.findings ?? []) }),
      // One that fails is left out; the others have still found something.
      failures: 'skip',
      reads: ['question', 'topics', 'folder'],
      writes: ['findings'],
      timeout: '15m',
      on: {
        DONE: [{ target: 'compose', guard: ({ output }) => output.findings.length > 0 }, { target: 'failed' }],
        FAILED: 'failed',
      },
    },
    compose: {
      agent: desk,
      timeout: '30m',
      visits: 5,
      on: { accepted: 'lookUp', asItIs: 'lookUp', failed: 'failed', $visits: 'failed' },
    },
    // No model is asked whether a citation is right: the line is there, or the draft goes back.
    lookUp: {
      run: async ({ context }) => {
        const cited = citationsIn(context.draft)
        const sources = await Promise.all(
          cited.map(async (place) => ({
            place: say(place),
            text: (await linesOf(context.folder, place.file))[place.line - 1] ?? '',
          })),
        )
        const missing = sources.filter(({ text }) => text === '').map(({ place }) => place)
        if (cited.length > 0 && missing.length === 0) return { exit: 'CITED', output: { sources } }
        const objection = cited.length === 0 ? 'It cites nothing.' : `There is no such line: ${missing.join(', ')}.`
        return { exit: 'UNCITED', output: { objection } }
      },
      reads: ['folder', 'draft'],
      on: {
        CITED: { target: 'editor', output: z.object({ sources: z.array(Source) }) },
        UNCITED: { target: 'compose', output: z.object({ objection: z.string() }) },
      },
    },
    editor: {
      human: {
        question: ({ context }) => `Publish this answer to "${context.question}"?`,
        show: ({ context }) => ({ draft: context.draft, sources: context.sources }),
      },
      reads: ['question', 'draft', 'sources'],
      on: {
        PUBLISH: 'publish',
        REWRITE: { target: 'compose', output: z.object({ request: z.string().min(1) }) },
        REJECT: 'rejected',
      },
    },
    publish: {
      tool: publishReport,
      args: ({ context }) => ({
        report: `${context.draft.trimEnd()}\n\n## Sources\n\n${context.sources.map(({ place, text }) => `- ${place}: ${text}\n`).join('')}`,
        reportPath: context.reportPath,
        ledgerPath: context.ledgerPath,
      }),
      reads: ['draft', 'sources', 'reportPath', 'ledgerPath'],
      on: { DONE: 'published' },
    },
    published: { type: 'final' },
    rejected: { type: 'final', failure: true },
    failed: { type: 'final', failure: true },
  },
})

export default {
  agents: [research],
  prices: {
    main: { inputUsdPerMillion: 2.5, outputUsdPerMillion: 10 },
    small: { inputUsdPerMillion: 0.4, outputUsdPerMillion: 1.6 },
  },
}
