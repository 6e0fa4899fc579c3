// Every SQL statement of the SQLite store, each prepared once.

import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { changingColumns, taskColumns } from './rows.ts'

const columns = taskColumns.join(', ')
const ended = `('done', 'failed', 'cancelled')`
const filter = `($status IS NULL OR status = $status) AND ($agent IS NULL OR agent = $agent) AND ($roots = 0 OR parentId IS NULL) ORDER BY startedAtMs DESC, taskId DESC LIMIT $limit`
const inboxColumns =
  'item, inbox.taskId, kind, state, asked.body AS question, showSeq, shown.body AS show, options, assignee, openedAtMs, expiresAtMs, status, decision, decidedBy, reason, inbox.hash, agreed'
const inboxTables =
  'inbox LEFT JOIN payloads AS asked ON asked.taskId = inbox.taskId AND asked.seq = questionSeq AND asked.hash = questionHash LEFT JOIN payloads AS shown ON shown.taskId = inbox.taskId AND shown.seq = showSeq AND shown.hash = showHash'
const checkpointColumns = 'number, atMs AS at, tasks, events, prevRoot, root, keyId, signature'

const texts = {
  insertEvent: `INSERT INTO events (taskId, seq, atMs, type, data, costMicros, prevHash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  insertPayload: `INSERT INTO payloads (taskId, seq, hash, salt, body) VALUES (?, ?, ?, ?, ?)`,
  events: `SELECT taskId, seq, atMs AS at, type, data, costMicros, prevHash, hash FROM events WHERE taskId = ? AND seq > ? ORDER BY seq LIMIT ?`,
  payload: `SELECT salt, body FROM payloads WHERE taskId = ? AND seq = ? AND hash = ?`,
  payloads: `SELECT seq, hash, salt, body FROM payloads WHERE taskId = ? ORDER BY seq, hash`,
  erasePayload: `UPDATE payloads SET salt = NULL, body = NULL WHERE taskId = ? AND seq = ? AND hash = ?`,

  head: `SELECT tasks.seq, tasks.hash, jobs.lease, coalesce(jobs.news, 0) AS news FROM tasks LEFT JOIN jobs USING (taskId) WHERE tasks.taskId = ?`,
  insertTask: `INSERT INTO tasks (${columns}) VALUES (${taskColumns.map(() => '?').join(', ')})`,
  updateTask: `UPDATE tasks SET ${changingColumns.map((column) => `${column} = ?`).join(', ')} WHERE taskId = ?`,
  task: `SELECT ${columns} FROM tasks WHERE taskId = ?`,
  tasks: `SELECT ${columns} FROM tasks WHERE ${filter}`,
  tasksOfTree: `SELECT ${columns} FROM tasks WHERE (rootId = $rootId OR taskId = $rootId) AND ($parentId IS NULL OR parentId = $parentId) AND ${filter}`,
  tasksOfParent: `SELECT ${columns} FROM tasks WHERE parentId = $parentId AND ${filter}`,
  taskIds: `SELECT taskId FROM tasks UNION SELECT taskId FROM events UNION SELECT taskId FROM context UNION SELECT writer FROM context UNION SELECT parentId FROM children UNION SELECT taskId FROM inbox UNION SELECT taskId FROM jobs UNION SELECT taskId FROM breakers`,
  loggedTaskIds: `SELECT DISTINCT taskId FROM events`,

  // A key that was removed keeps its row and its version, without a payload. What is older than what is there changes nothing.
  writeContext: `INSERT INTO context (taskId, key, version, writer, payloadSeq, payloadHash, trust, privacy) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version, writer = excluded.writer, payloadSeq = excluded.payloadSeq, payloadHash = excluded.payloadHash, trust = excluded.trust, privacy = excluded.privacy WHERE excluded.version > version`,
  contextVersion: `SELECT version FROM context WHERE taskId = ? AND key = ?`,
  contextVersions: `SELECT key, version FROM context WHERE taskId = ?`,
  contextEntry: `SELECT key, version, writer, trust, privacy, payloadHash, body FROM context LEFT JOIN payloads ON payloads.taskId = writer AND payloads.seq = payloadSeq AND payloads.hash = payloadHash WHERE context.taskId = ? AND key = ?`,
  context: `SELECT key, version, trust, privacy, body FROM context JOIN payloads ON payloads.taskId = writer AND payloads.seq = payloadSeq AND payloads.hash = payloadHash WHERE context.taskId = ? ORDER BY key`,

  due: `SELECT taskId FROM jobs WHERE definition = ? AND availableAtMs <= ? AND taskId NOT IN (SELECT value FROM json_each(?)) ORDER BY availableAtMs LIMIT ?`,
  dueTask: `SELECT taskId FROM jobs WHERE definition = ? AND availableAtMs <= ? AND (taskId = ? OR taskId IN (SELECT taskId FROM tasks WHERE rootId = ?)) AND taskId NOT IN (SELECT value FROM json_each(?)) ORDER BY availableAtMs LIMIT ?`,
  nextDue: `SELECT availableAtMs AS due FROM jobs WHERE definition = ? AND taskId NOT IN (SELECT value FROM json_each(?)) ORDER BY availableAtMs LIMIT 1`,
  nextDueTask: `SELECT min(availableAtMs) AS due FROM jobs WHERE definition = ? AND (taskId = ? OR taskId IN (SELECT taskId FROM tasks WHERE rootId = ?)) AND taskId NOT IN (SELECT value FROM json_each(?))`,
  // From one definition to the next, so that what it takes grows with their number and not with that of the jobs.
  definitions: `WITH RECURSIVE pinned (definition) AS (SELECT min(definition) FROM jobs UNION ALL SELECT (SELECT min(definition) FROM jobs WHERE definition > pinned.definition) FROM pinned WHERE definition IS NOT NULL) SELECT definition, (SELECT agent FROM jobs JOIN tasks USING (taskId) WHERE jobs.definition = pinned.definition LIMIT 1) AS agent FROM pinned WHERE definition IS NOT NULL`,
  queued: `SELECT taskId, tasks.seq, availableAtMs FROM jobs JOIN tasks USING (taskId) WHERE jobs.definition = ? AND (availableAtMs, taskId) > (?, ?) AND (lease IS NULL OR availableAtMs <= ?) ORDER BY availableAtMs, taskId LIMIT ?`,
  lease: `UPDATE jobs SET availableAtMs = ?, worker = ?, lease = ? WHERE taskId = ?`,
  renew: `UPDATE jobs SET availableAtMs = ? WHERE taskId = ? AND lease = ?`,
  release: `UPDATE jobs SET availableAtMs = ?, worker = NULL, lease = NULL WHERE taskId = ? AND lease = ?`,
  // What came from the family since it was looked at is to be looked at, too.
  freeJob: `UPDATE jobs SET availableAtMs = iif(news > ?, min(?, ?), ?), worker = NULL, lease = NULL WHERE taskId = ?`,
  // From outside: a task that a worker holds stays with it; the worker finds that the log has moved on.
  wakeJob: `INSERT INTO jobs (taskId, definition, availableAtMs) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET definition = excluded.definition, availableAtMs = iif(lease IS NULL, iif(news > 0, min(availableAtMs, excluded.availableAtMs), excluded.availableAtMs), availableAtMs)`,
  // Also a task that waited for a human only is to hear what its family has to tell.
  wakeKin: `INSERT INTO jobs (taskId, definition, availableAtMs, news) SELECT taskId, definition, $nowMs, 1 FROM tasks WHERE taskId = $taskId AND status NOT IN ${ended} ON CONFLICT DO UPDATE SET news = news + 1, availableAtMs = iif(lease IS NULL, min(availableAtMs, excluded.availableAtMs), availableAtMs)`,
  setRoot: `UPDATE tasks SET rootId = ? WHERE taskId = ?`,

  openChild: `INSERT INTO children (childId, parentId, step, status) VALUES (?, ?, ?, 'open')`,
  endChild: `UPDATE children SET status = 'ended' WHERE childId = ?`,
  callOffChild: `UPDATE children SET status = 'calledOff', calledOffBy = ?, reason = ? WHERE childId = ?`,
  child: `SELECT status, calledOffBy, reason FROM children WHERE childId = ?`,
  childRows: `SELECT * FROM children WHERE parentId = ? ORDER BY childId`,
  endedChildren: `SELECT children.childId, children.step FROM children JOIN tasks ON tasks.taskId = children.childId WHERE children.parentId = ? AND children.status = 'open' AND tasks.status IN ${ended} ORDER BY children.step`,
  ending: `SELECT taskId, seq, atMs AS at, type, data, costMicros, prevHash, hash FROM events WHERE taskId = ? AND type = 'task.ended' ORDER BY seq DESC LIMIT 1`,

  // A child that has ended, or is called off, and that nobody has acted on yet, is work too.
  restless: `SELECT 1 FROM tasks LEFT JOIN children ON childId = taskId WHERE rootId = $rootId AND ((tasks.status NOT IN ${ended} AND (tasks.status = 'running' OR waitsFor IN ('time', 'budget') OR children.status = 'calledOff')) OR (tasks.status IN ${ended} AND children.status = 'open')) LIMIT 1`,

  member: `SELECT tokens, costMicros, reservedTokens, reservedMicros, awaits FROM members WHERE taskId = ?`,
  writeMember: `INSERT INTO members (taskId, rootId, tokens, costMicros, reservedTokens, reservedMicros, awaits) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET tokens = excluded.tokens, costMicros = excluded.costMicros, reservedTokens = excluded.reservedTokens, reservedMicros = excluded.reservedMicros, awaits = excluded.awaits`,
  memberRows: `SELECT * FROM members WHERE taskId = ?`,
  awaiting: `SELECT taskId, awaits FROM members WHERE rootId = ? AND awaits IS NOT NULL`,
  tree: `SELECT * FROM trees WHERE rootId = ?`,
  openTree: `INSERT INTO trees (rootId, version, tasks, tokens, costMicros, reservedTokens, reservedMicros, tokensMax, costMax, tasksMax, soft, tokensNeared, costNeared, asks) VALUES (?, 1, 0, 0, 0, 0, 0, 0, NULL, 0, 1, 0, 0, 0) ON CONFLICT DO NOTHING`,
  spendTree: `UPDATE trees SET tasks = tasks + ?, tokens = tokens + ?, costMicros = costMicros + ?, reservedTokens = reservedTokens + ?, reservedMicros = reservedMicros + ?, version = version + ? WHERE rootId = ?`,
  ruleTree: `UPDATE trees SET tokensMax = $tokensMax, costMax = $costMax, tasksMax = $tasksMax, soft = $soft, tokensNeared = $tokensNeared, costNeared = $costNeared, asks = $asks, version = version + 1 WHERE rootId = $rootId AND (tokensMax, coalesce(costMax, -1), tasksMax, soft, tokensNeared, costNeared, asks) <> ($tokensMax, coalesce($costMax, -1), $tasksMax, $soft, $tokensNeared, $costNeared, $asks)`,
  deleteJob: `DELETE FROM jobs WHERE taskId = ? AND news <= ?`,
  endJob: `DELETE FROM jobs WHERE taskId = ?`,

  openItem: `INSERT INTO inbox (item, taskId, kind, state, questionSeq, questionHash, showSeq, showHash, options, assignee, openedAtMs, expiresAtMs, hash, status, agreed, noticeAtMs, noticeAttempts, noticeDelayMs, noticeId) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', '[]', ?, 0, 0, ?)`,
  answerItem: `UPDATE inbox SET status = 'answered', decision = ?, decidedBy = ?, reason = ? WHERE item = ?`,
  agreeItem: `UPDATE inbox SET agreed = json_insert(agreed, '$[#]', ?) WHERE item = ?`,
  // Whom it goes to now is told anew.
  assignItem: `UPDATE inbox SET assignee = ?, noticeAtMs = ?, noticeAttempts = 0, noticeDelayMs = 0, noticeId = ? WHERE item = ?`,
  dueNotices: `SELECT ${inboxColumns}, noticeId, noticeAttempts + 1 AS attempt, noticeDelayMs AS delayMs FROM ${inboxTables} WHERE status = 'open' AND noticeAtMs <= ? ORDER BY noticeAtMs LIMIT ?`,
  leaseNotice: `UPDATE inbox SET noticeAtMs = ? WHERE item = ?`,
  // What came of telling one person says nothing about telling the next.
  planNotice: `UPDATE inbox SET noticeAtMs = ?, noticeAttempts = ?, noticeDelayMs = ? WHERE item = ? AND noticeId = ?`,
  reopenItem: `UPDATE inbox SET status = 'open', expiresAtMs = ? WHERE item = ?`,
  closeItem: `UPDATE inbox SET status = ? WHERE item = ? AND status = 'open'`,
  // Approvals are closed one by one, each by an event of its own.
  closeItems: `UPDATE inbox SET status = ? WHERE taskId = ? AND status = 'open' AND kind <> 'approval'`,
  breaker: `SELECT version, status, pausedUntilMs FROM breakers WHERE key = ?`,
  writeBreaker: `INSERT INTO breakers (key, version, status, failures, untilMs, probe, pausedUntilMs, taskId, seq) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version, status = excluded.status, failures = excluded.failures, untilMs = excluded.untilMs, probe = excluded.probe, pausedUntilMs = excluded.pausedUntilMs, taskId = excluded.taskId, seq = excluded.seq WHERE excluded.version > version`,
  gates: `SELECT key, coalesce(version, 0) AS version, coalesce(status, 'closed') AS status, coalesce(failures, 0) AS failures, coalesce(breakers.untilMs, 0) AS untilMs, probe, coalesce(pausedUntilMs, 0) AS pausedUntilMs, breakers.taskId, seq, (SELECT count(*) FROM slots WHERE slots.key = keys.key AND slots.status = 'active') AS active, (SELECT count(*) FROM slots WHERE slots.key = keys.key AND slots.status = 'waiting') AS waiting FROM (SELECT key FROM breakers UNION SELECT key FROM slots) AS keys LEFT JOIN breakers USING (key) ORDER BY key`,

  slot: `SELECT status, atMs, concurrency, periodMs FROM slots WHERE key = ? AND taskId = ? AND step = ?`,
  // The first place in the queue is kept, however often it is looked at.
  queueSlot: `INSERT INTO slots (key, taskId, step, status, atMs, untilMs) VALUES (?, ?, ?, 'waiting', ?, ?) ON CONFLICT DO UPDATE SET untilMs = excluded.untilMs`,
  takeSlot: `INSERT INTO slots (key, taskId, step, status, atMs, untilMs, concurrency, periodMs) VALUES (?, ?, ?, 'active', ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = 'active', atMs = excluded.atMs, untilMs = excluded.untilMs, concurrency = excluded.concurrency, periodMs = excluded.periodMs`,
  dropSlot: `DELETE FROM slots WHERE key = ? AND taskId = ? AND step = ?`,
  // A call counts for its stretch of time, whatever becomes of it, and each try is a call.
  begin: `INSERT INTO begun (key, atMs, taskId, seq) VALUES (?, ?, ?, ?)`,
  forgetBegun: `DELETE FROM begun WHERE key = ? AND atMs <= ?`,
  // A place whose holder's deadline has passed is free, and who has not come when it was looked for has lost its turn.
  activeSlots: `SELECT count(*) AS n, min(untilMs) AS untilMs FROM slots WHERE key = ? AND status = 'active' AND untilMs > ?`,
  concurrency: `SELECT max(concurrency) AS concurrency, max(periodMs) AS periodMs FROM slots WHERE key = ?`,
  recentlyBegun: `SELECT atMs FROM begun WHERE key = ? AND atMs > ? ORDER BY atMs DESC LIMIT ?`,
  ahead: `SELECT count(*) AS n FROM slots WHERE key = $key AND status = 'waiting' AND untilMs > $staleMs AND (atMs, taskId, step) < ($atMs, $taskId, $step)`,
  wakeWaiting: `UPDATE jobs SET availableAtMs = min(availableAtMs, $nowMs) WHERE lease IS NULL AND taskId IN (SELECT taskId FROM slots WHERE key = $key AND status = 'waiting' ORDER BY atMs, taskId, step LIMIT $room)`,

  inbox: `SELECT ${inboxColumns} FROM ${inboxTables} WHERE ($status IS NULL OR status = $status) AND ($taskId IS NULL OR inbox.taskId = $taskId) ORDER BY openedAtMs, item`,

  // A task's rows in the tables that follow from its log, as they are.
  contextRows: `SELECT *, taskId || ' ' || key AS name FROM context WHERE writer = ? ORDER BY taskId, key`,
  inboxRows: `SELECT * FROM inbox WHERE taskId = ? ORDER BY item`,
  breakerRows: `SELECT * FROM breakers WHERE taskId = ? ORDER BY key`,
  jobRow: `SELECT definition FROM jobs WHERE taskId = ?`,

  schedule: `SELECT id FROM schedules WHERE name = ? AND removedAtMs IS NULL`,
  schedules: `SELECT * FROM schedules WHERE ($removed OR removedAtMs IS NULL) AND ($dueMs IS NULL OR nextAtMs <= $dueMs OR waiting <> '[]') ORDER BY name, id`,
  insertSchedule: `INSERT INTO schedules (name, agent, cron, timezone, overlap, input, createdBy, createdAtMs, reason, nextAtMs, version, waiting, started, skipped, missed, failed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, '[]', 0, 0, 0, 0)`,
  removeSchedule: `UPDATE schedules SET version = version + 1, input = NULL, nextAtMs = NULL, waiting = '[]', removedBy = ?, removedAtMs = ?, removedReason = ? WHERE name = ? AND removedAtMs IS NULL`,
  changeSchedule: `UPDATE schedules SET version = version + 1, nextAtMs = ?, waiting = ?, lastAtMs = ?, lastTaskId = ?, started = ?, skipped = ?, missed = ?, failed = ?, problem = ? WHERE id = ? AND version = ? AND removedAtMs IS NULL`,

  lastCheckpoint: `SELECT ${checkpointColumns} FROM checkpoints ORDER BY number DESC LIMIT 1`,
  checkpoints: `SELECT ${checkpointColumns} FROM checkpoints WHERE number > ? ORDER BY number LIMIT ?`,
  insertCheckpoint: `INSERT INTO checkpoints (number, atMs, tasks, events, prevRoot, root, keyId, signature) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  insertHead: `INSERT INTO checkpointHeads (taskId, number, seq, hash) VALUES (?, ?, ?, ?)`,
  logSize: `SELECT count(*) AS tasks, coalesce(sum(seq), 0) AS events FROM tasks`,
  newHeads: `SELECT taskId, seq, hash FROM tasks WHERE seq > coalesce((SELECT seq FROM checkpointHeads WHERE checkpointHeads.taskId = tasks.taskId ORDER BY number DESC LIMIT 1), 0)`,
  heads: `SELECT checkpointHeads.taskId, checkpointHeads.seq, checkpointHeads.hash, events.hash AS found, (SELECT coalesce(max(seq), 0) FROM events WHERE events.taskId = checkpointHeads.taskId) AS last FROM checkpointHeads LEFT JOIN events ON events.taskId = checkpointHeads.taskId AND events.seq = checkpointHeads.seq WHERE number = ?`,
} as const

/** The statements, ready to run. */
export type Statements = { readonly [Name in keyof typeof texts]: StatementSync }

/** Prepares every statement. */
export function prepare(db: DatabaseSync): Statements {
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, db.prepare(text)])) as Statements
}
