// Every SQL statement of a store, told once for all engines: parameters are `?1`, `?2`, names are as they are in the rows.
// Where engines say the same thing differently they bring their own words (see `Dialect`); a statement that only one of
// them needs is empty for the other.

import { changingColumns, taskColumns } from './rows.ts'

/** Where a statement is to find all: more than there can be. */
export const noLimit = Number.MAX_SAFE_INTEGER

/** What engines say differently. */
export interface Dialect {
  /** A query for the texts in a JSON list. */
  texts(list: string): string
  /** Whether a number is one of a JSON list, so that rows are found by each and not looked through. */
  isIn(column: string, list: string): string
  /** Holds the rows that a query finds until the transaction ends. Empty where there is one writer anyway. */
  hold(table: string): string
  /** The same, and passes over those that others hold. */
  holdFree(table: string): string
  /** A statement that is needed only where others write at the same time. */
  many(text: string): string
  /** The columns of an event's place among all events, in the order in which they may be read. */
  readonly feed: { readonly columns: string; readonly order: string; readonly behind: string; readonly settled: string }
}

const columns = taskColumns.join(', ')
const ended = `('done', 'failed', 'cancelled')`
const eventColumns = 'taskId, seq, atMs AS at, type, data, costMicros, prevHash, hash'
const inboxColumns =
  'item, inbox.taskId, kind, state, asked.body AS question, showSeq, shown.body AS show, options, assignee, openedAtMs, expiresAtMs, status, decision, decidedBy, reason, inbox.hash, agreed'
const inboxTables =
  'inbox LEFT JOIN payloads AS asked ON asked.taskId = inbox.taskId AND asked.seq = questionSeq AND asked.hash = questionHash LEFT JOIN payloads AS shown ON shown.taskId = inbox.taskId AND shown.seq = showSeq AND shown.hash = showHash'
const checkpointColumns = 'number, atMs AS at, tasks, events, prevRoot, root, keyId, signature'
// A task that nobody gave back was with a worker that is gone: it counts how often, this time included.
const delivered = 'CASE WHEN lease IS NULL THEN 1 ELSE deliveries + 1 END'

/** Every column of a schedule. */
export const scheduleColumns = [
  'id',
  'version',
  'name',
  'agent',
  'cron',
  'timezone',
  'overlap',
  'input',
  'createdBy',
  'createdAtMs',
  'reason',
  'nextAtMs',
  'waiting',
  'lastAtMs',
  'lastTaskId',
  'started',
  'skipped',
  'missed',
  'failed',
  'problem',
  'removedBy',
  'removedAtMs',
  'removedReason',
] as const

function places(count: number, after = 0): string[] {
  return Array.from({ length: count }, (_, index) => `?${after + index + 1}`)
}

/** The parameters of a list of tasks, behind those that are its own. */
function filter(after: number): string {
  const [status, agent, roots, limit] = places(4, after)
  return `(CAST(${status} AS TEXT) IS NULL OR status = ${status}) AND (CAST(${agent} AS TEXT) IS NULL OR agent = ${agent}) AND (CAST(${roots} AS BIGINT) = 0 OR parentId IS NULL) ORDER BY startedAtMs DESC, taskId DESC LIMIT ${limit}`
}

/** Every statement, in an engine's words. */
export function statements({ texts, isIn, hold, holdFree, many, feed }: Dialect) {
  const head = `SELECT tasks.seq, tasks.hash, jobs.lease, coalesce(jobs.news, 0) AS news FROM tasks LEFT JOIN jobs ON jobs.taskId = tasks.taskId WHERE tasks.taskId = ?1`
  const ofTree = `(taskId = ?3 OR taskId IN (SELECT taskId FROM tasks WHERE rootId = ?3))`
  return {
    insertEvent: `INSERT INTO events (taskId, seq, atMs, type, data, costMicros, prevHash, hash) VALUES (${places(8).join(', ')})`,
    insertPayload: `INSERT INTO payloads (taskId, seq, hash, salt, body) VALUES (${places(5).join(', ')})`,
    events: `SELECT ${eventColumns} FROM events WHERE taskId = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3`,
    eventsSince: `SELECT ${eventColumns} FROM events WHERE taskId = ?1 AND seq > coalesce((SELECT seq FROM snapshots WHERE taskId = ?1 AND form = ?2), 0) ORDER BY seq`,
    feed: `SELECT ${eventColumns}, ${feed.columns} FROM events WHERE ${feed.behind} AND ${feed.settled} ORDER BY ${feed.order} LIMIT ?1`,
    payloads: `SELECT seq, hash, salt, body FROM payloads WHERE taskId = ?1 ORDER BY seq, hash`,
    payloadsAt: `SELECT seq, hash, salt, body FROM payloads WHERE taskId = ?1 AND ${isIn('seq', '?2')}`,
    erasePayload: `UPDATE payloads SET salt = NULL, body = NULL WHERE taskId = ?1 AND seq = ?2 AND hash = ?3`,

    head,
    holdJob: many(`SELECT 1 FROM jobs WHERE taskId = ?1 ${hold('jobs')}`),
    holdHead: `${head} ${hold('tasks')}`,
    holdTree: many(`SELECT 1 FROM trees WHERE rootId = ?1 ${hold('trees')}`),
    // Who asks for room at a gate, or gives it back, does so one after the other, also before the gate has any row.
    holdGate: many(`INSERT INTO gateHolds (key) VALUES (?1) ON CONFLICT (key) DO UPDATE SET key = excluded.key`),
    // What a commit takes for granted: its lease, and that a gate lets everyone through. Checked by the engine.
    assume: many(`SELECT CAST(?1 AS TEXT), CAST(?2 AS TEXT)`),
    admit: many(`SELECT CAST(?1 AS TEXT), CAST(?2 AS BIGINT)`),
    insertTask: `INSERT INTO tasks (${columns}) VALUES (${places(taskColumns.length).join(', ')})`,
    updateTask: `UPDATE tasks SET ${changingColumns.map((column, index) => `${column} = ?${index + 4}`).join(', ')} WHERE taskId = ?1 AND seq = ?2 AND hash = ?3`,
    setRoot: `UPDATE tasks SET rootId = ?1 WHERE taskId = ?1`,
    task: `SELECT ${columns} FROM tasks WHERE taskId = ?1`,
    tasksAt: `SELECT ${columns} FROM tasks WHERE taskId IN (${texts('?1')})`,
    tasks: `SELECT ${columns} FROM tasks WHERE ${filter(0)}`,
    tasksOfTree: `SELECT ${columns} FROM tasks WHERE (rootId = ?1 OR taskId = ?1) AND (CAST(?2 AS TEXT) IS NULL OR parentId = ?2) AND ${filter(2)}`,
    tasksOfParent: `SELECT ${columns} FROM tasks WHERE parentId = ?1 AND ${filter(1)}`,
    taskIds: `SELECT taskId FROM tasks UNION SELECT taskId FROM events UNION SELECT taskId FROM context UNION SELECT writer FROM context UNION SELECT parentId FROM children UNION SELECT taskId FROM inbox UNION SELECT taskId FROM jobs UNION SELECT taskId FROM breakers UNION SELECT taskId FROM snapshots`,
    loggedTaskIds: `SELECT DISTINCT taskId FROM events`,
    known: `SELECT logged.taskId, coalesce(tasks.rootId, logged.taskId) AS rootId, tasks.seq, tasks.hash FROM (SELECT taskId FROM events UNION SELECT taskId FROM tasks) AS logged LEFT JOIN tasks ON tasks.taskId = logged.taskId ORDER BY 2, 1`,

    snapshot: `SELECT seq, hash, body FROM snapshots WHERE taskId = ?1 AND form = ?2`,
    writeSnapshot: `INSERT INTO snapshots (taskId, seq, hash, form, body) VALUES (${places(5).join(', ')}) ON CONFLICT (taskId) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, form = excluded.form, body = excluded.body`,
    dropSnapshot: `DELETE FROM snapshots WHERE taskId = ?1`,

    // A key that was removed keeps its row and its version, without a payload. What is older than what is there changes nothing.
    writeContext: `INSERT INTO context (taskId, key, version, writer, payloadSeq, payloadHash, trust, privacy) VALUES (${places(8).join(', ')}) ON CONFLICT (taskId, key) DO UPDATE SET version = excluded.version, writer = excluded.writer, payloadSeq = excluded.payloadSeq, payloadHash = excluded.payloadHash, trust = excluded.trust, privacy = excluded.privacy WHERE excluded.version > context.version`,
    contextVersion: `SELECT version FROM context WHERE taskId = ?1 AND key = ?2`,
    contextVersions: `SELECT key, version FROM context WHERE taskId = ?1`,
    contextEntries: `SELECT key, version, writer, trust, privacy, payloadHash, body FROM context LEFT JOIN payloads ON payloads.taskId = writer AND payloads.seq = payloadSeq AND payloads.hash = payloadHash WHERE context.taskId = ?1 AND key IN (${texts('?2')})`,
    context: `SELECT key, version, trust, privacy, body FROM context JOIN payloads ON payloads.taskId = writer AND payloads.seq = payloadSeq AND payloads.hash = payloadHash WHERE context.taskId = ?1 ORDER BY key`,

    due: `SELECT taskId, ${delivered} AS deliveries FROM jobs WHERE definition = ?1 AND availableAtMs <= ?2 AND taskId NOT IN (${texts('?3')}) AND ${delivered} BETWEEN ?5 AND ?6 ORDER BY availableAtMs LIMIT ?4 ${holdFree('jobs')}`,
    dueOfTask: `SELECT taskId, ${delivered} AS deliveries FROM jobs WHERE definition = ?1 AND availableAtMs <= ?2 AND ${ofTree} AND taskId NOT IN (${texts('?4')}) ORDER BY availableAtMs LIMIT ?5 ${holdFree('jobs')}`,
    nextDue: `SELECT availableAtMs AS due FROM jobs WHERE definition = ?1 AND taskId NOT IN (${texts('?2')}) AND ${delivered} BETWEEN ?3 AND ?4 ORDER BY availableAtMs LIMIT 1`,
    nextDueOfTask: `SELECT min(availableAtMs) AS due FROM jobs WHERE definition = ?1 AND taskId NOT IN (${texts('?2')}) AND ${ofTree}`,
    // From one definition to the next, so that what it takes grows with their number and not with that of the jobs.
    definitions: `WITH RECURSIVE pinned (definition) AS (SELECT min(definition) FROM jobs UNION ALL SELECT (SELECT min(definition) FROM jobs WHERE definition > pinned.definition) FROM pinned WHERE definition IS NOT NULL) SELECT definition, (SELECT agent FROM jobs JOIN tasks ON tasks.taskId = jobs.taskId WHERE jobs.definition = pinned.definition LIMIT 1) AS agent FROM pinned WHERE definition IS NOT NULL`,
    queued: `SELECT jobs.taskId, tasks.seq, availableAtMs FROM jobs JOIN tasks ON tasks.taskId = jobs.taskId WHERE jobs.definition = ?1 AND (availableAtMs, jobs.taskId) > (?2, ?3) AND (lease IS NULL OR availableAtMs <= ?4) ORDER BY availableAtMs, jobs.taskId LIMIT ?5`,
    lease: `UPDATE jobs SET availableAtMs = ?1, worker = ?2, lease = ?3, deliveries = ${delivered} WHERE taskId IN (${texts('?4')})`,
    progress: `UPDATE jobs SET deliveries = 0 WHERE taskId = ?1`,
    // Of a task that is just being written to, the lease goes on the next time.
    renew: `UPDATE jobs SET availableAtMs = ?1 WHERE taskId IN (SELECT taskId FROM jobs WHERE taskId IN (${texts('?2')}) AND lease IN (${texts('?3')}) ${holdFree('jobs')})`,
    held: `SELECT tasks.taskId, tasks.seq, jobs.lease, coalesce(jobs.availableAtMs, 0) AS untilMs, coalesce(jobs.news, 0) AS news FROM tasks LEFT JOIN jobs ON jobs.taskId = tasks.taskId WHERE tasks.taskId IN (${texts('?1')})`,
    heldNow: `SELECT taskId, worker, availableAtMs AS untilMs FROM jobs WHERE lease IS NOT NULL AND availableAtMs > ?1 ORDER BY taskId`,
    release: `UPDATE jobs SET availableAtMs = ?1, worker = NULL, lease = NULL, deliveries = 0 WHERE taskId = ?2 AND lease = ?3`,
    endJob: `DELETE FROM jobs WHERE taskId = ?1`,
    // A task that waits for a human only has no job, unless the family has told more than was heard.
    restJob: `DELETE FROM jobs WHERE taskId = ?1 AND news <= ?2`,
    // What came from the family since it was looked at is to be looked at, too.
    freeJob: `UPDATE jobs SET availableAtMs = CASE WHEN news > ?2 AND CAST(?3 AS BIGINT) < CAST(?4 AS BIGINT) THEN CAST(?3 AS BIGINT) ELSE CAST(?4 AS BIGINT) END, worker = NULL, lease = NULL, deliveries = 0 WHERE taskId = ?1 AND (CAST(?5 AS BIGINT) = 0 OR news > ?2)`,
    // From outside: a task that a worker holds stays with it; the worker finds that the log has moved on.
    wakeJob: `INSERT INTO jobs (taskId, definition, availableAtMs) VALUES (?1, ?2, ?3) ON CONFLICT (taskId) DO UPDATE SET definition = excluded.definition, availableAtMs = CASE WHEN jobs.lease IS NOT NULL OR (jobs.news > 0 AND jobs.availableAtMs < excluded.availableAtMs) THEN jobs.availableAtMs ELSE excluded.availableAtMs END`,
    // Also a task that waited for a human only is to hear what its family has to tell.
    wakeKin: `INSERT INTO jobs (taskId, definition, availableAtMs, news) SELECT taskId, definition, CAST(?2 AS BIGINT), 1 FROM tasks WHERE taskId = ?1 AND status NOT IN ${ended} ON CONFLICT (taskId) DO UPDATE SET news = jobs.news + 1, availableAtMs = CASE WHEN jobs.lease IS NULL AND excluded.availableAtMs < jobs.availableAtMs THEN excluded.availableAtMs ELSE jobs.availableAtMs END`,

    openChild: `INSERT INTO children (childId, parentId, step, status) VALUES (?1, ?2, ?3, 'open')`,
    endChild: `UPDATE children SET status = 'ended' WHERE childId = ?1`,
    callOffChild: `UPDATE children SET status = 'calledOff', calledOffBy = ?2, reason = ?3 WHERE childId = ?1`,
    child: `SELECT status, calledOffBy, reason FROM children WHERE childId = ?1`,
    childRows: `SELECT * FROM children WHERE parentId = ?1 ORDER BY childId`,
    // How each child ended that nobody has acted on yet.
    endings: `SELECT children.step, events.taskId, events.seq, events.atMs AS at, events.type, events.data, events.costMicros, events.prevHash, events.hash FROM children JOIN tasks ON tasks.taskId = children.childId JOIN events ON events.taskId = children.childId WHERE children.parentId = ?1 AND children.status = 'open' AND tasks.status IN ${ended} AND events.type = 'task.ended' AND NOT EXISTS (SELECT 1 FROM events AS later WHERE later.taskId = events.taskId AND later.seq > events.seq AND later.type = 'task.ended') ORDER BY children.step`,

    // A child that has ended, or is called off, and that nobody has acted on yet, is work too.
    restless: `SELECT 1 FROM tasks LEFT JOIN children ON childId = taskId WHERE rootId = ?1 AND ((tasks.status NOT IN ${ended} AND (tasks.status = 'running' OR waitsFor IN ('time', 'budget') OR children.status = 'calledOff')) OR (tasks.status IN ${ended} AND children.status = 'open')) LIMIT 1`,

    member: `SELECT tokens, costMicros, reservedTokens, reservedMicros, awaits FROM members WHERE taskId = ?1`,
    writeMember: `INSERT INTO members (taskId, rootId, tokens, costMicros, reservedTokens, reservedMicros, awaits) VALUES (${places(7).join(', ')}) ON CONFLICT (taskId) DO UPDATE SET tokens = excluded.tokens, costMicros = excluded.costMicros, reservedTokens = excluded.reservedTokens, reservedMicros = excluded.reservedMicros, awaits = excluded.awaits`,
    memberRows: `SELECT * FROM members WHERE taskId = ?1`,
    awaiting: `SELECT taskId, awaits FROM members WHERE rootId = ?1 AND awaits IS NOT NULL`,
    tree: `SELECT * FROM trees WHERE rootId = ?1`,
    openTree: `INSERT INTO trees (rootId, version, tasks, tokens, costMicros, reservedTokens, reservedMicros, tokensMax, costMax, tasksMax, soft, tokensNeared, costNeared, asks) VALUES (?1, 1, 0, 0, 0, 0, 0, 0, NULL, 0, 1, 0, 0, 0) ON CONFLICT (rootId) DO NOTHING`,
    spendTree: `UPDATE trees SET tasks = tasks + ?2, tokens = tokens + ?3, costMicros = costMicros + ?4, reservedTokens = reservedTokens + ?5, reservedMicros = reservedMicros + ?6, version = version + ?7 WHERE rootId = ?1`,
    ruleTree: `UPDATE trees SET tokensMax = ?2, costMax = ?3, tasksMax = ?4, soft = ?5, tokensNeared = ?6, costNeared = ?7, asks = ?8, version = version + 1 WHERE rootId = ?1 AND (tokensMax, coalesce(costMax, -1), tasksMax, soft, tokensNeared, costNeared, asks) <> (?2, coalesce(?3, -1), ?4, ?5, ?6, ?7, ?8)`,

    openItem: `INSERT INTO inbox (item, taskId, kind, state, questionSeq, questionHash, showSeq, showHash, options, assignee, openedAtMs, expiresAtMs, hash, noticeAtMs, noticeId, status, agreed, noticeAttempts, noticeDelayMs) VALUES (${places(15).join(', ')}, 'open', '[]', 0, 0)`,
    answerItem: `UPDATE inbox SET status = 'answered', decision = ?2, decidedBy = ?3, reason = ?4 WHERE item = ?1`,
    // Behind the others in a list that is JSON.
    agreeItem: `UPDATE inbox SET agreed = CASE WHEN agreed = '[]' THEN '[' || CAST(?2 AS TEXT) || ']' ELSE substr(agreed, 1, length(agreed) - 1) || ',' || CAST(?2 AS TEXT) || ']' END WHERE item = ?1`,
    // Whom it goes to now is told anew.
    assignItem: `UPDATE inbox SET assignee = ?2, noticeAtMs = ?3, noticeAttempts = 0, noticeDelayMs = 0, noticeId = ?4 WHERE item = ?1`,
    hasNotice: `SELECT 1 FROM inbox WHERE status = 'open' AND noticeAtMs <= ?1 LIMIT 1`,
    dueNotices: `SELECT ${inboxColumns}, noticeId, noticeAttempts + 1 AS attempt, noticeDelayMs AS delayMs FROM ${inboxTables} WHERE status = 'open' AND noticeAtMs <= ?1 ORDER BY noticeAtMs LIMIT ?2 ${holdFree('inbox')}`,
    leaseNotice: `UPDATE inbox SET noticeAtMs = ?2 WHERE item = ?1`,
    // What came of telling one person says nothing about telling the next.
    planNotice: `UPDATE inbox SET noticeAtMs = ?3, noticeAttempts = ?4, noticeDelayMs = ?5 WHERE item = ?1 AND noticeId = ?2`,
    reopenItem: `UPDATE inbox SET status = 'open', expiresAtMs = ?2 WHERE item = ?1`,
    closeItem: `UPDATE inbox SET status = ?2 WHERE item = ?1 AND status = 'open'`,
    // Approvals are closed one by one, each by an event of its own.
    closeItems: `UPDATE inbox SET status = ?2 WHERE taskId = ?1 AND status = 'open' AND kind <> 'approval'`,

    breaker: `SELECT version, status, pausedUntilMs FROM breakers WHERE key = ?1`,
    writeBreaker: `INSERT INTO breakers (key, version, status, failures, untilMs, probe, pausedUntilMs, taskId, seq) VALUES (${places(9).join(', ')}) ON CONFLICT (key) DO UPDATE SET version = excluded.version, status = excluded.status, failures = excluded.failures, untilMs = excluded.untilMs, probe = excluded.probe, pausedUntilMs = excluded.pausedUntilMs, taskId = excluded.taskId, seq = excluded.seq WHERE excluded.version > breakers.version`,
    gates: `SELECT keys.key, coalesce(version, 0) AS version, coalesce(status, 'closed') AS status, coalesce(failures, 0) AS failures, coalesce(breakers.untilMs, 0) AS untilMs, probe, coalesce(pausedUntilMs, 0) AS pausedUntilMs, breakers.taskId, seq, (SELECT count(*) FROM slots WHERE slots.key = keys.key AND slots.status = 'active') AS active, (SELECT count(*) FROM slots WHERE slots.key = keys.key AND slots.status = 'waiting') AS waiting FROM (SELECT key FROM breakers UNION SELECT key FROM slots) AS keys LEFT JOIN breakers ON breakers.key = keys.key ORDER BY keys.key`,

    slot: `SELECT status, atMs FROM slots WHERE key = ?1 AND taskId = ?2 AND step = ?3`,
    // The first place in the queue is kept, however often it is looked at.
    queueSlot: `INSERT INTO slots (key, taskId, step, status, atMs, untilMs) VALUES (?1, ?2, ?3, 'waiting', ?4, ?5) ON CONFLICT (key, taskId, step) DO UPDATE SET untilMs = excluded.untilMs`,
    takeSlot: `INSERT INTO slots (key, taskId, step, status, atMs, untilMs, concurrency, periodMs) VALUES (?1, ?2, ?3, 'active', ?4, ?5, ?6, ?7) ON CONFLICT (key, taskId, step) DO UPDATE SET status = 'active', atMs = excluded.atMs, untilMs = excluded.untilMs, concurrency = excluded.concurrency, periodMs = excluded.periodMs`,
    dropSlot: `DELETE FROM slots WHERE key = ?1 AND taskId = ?2 AND step = ?3`,
    // A call counts for its stretch of time, whatever becomes of it, and each try is a call.
    begin: `INSERT INTO begun (key, atMs, taskId, seq) VALUES (?1, ?2, ?3, ?4)`,
    forgetBegun: `DELETE FROM begun WHERE key = ?1 AND atMs <= ?2`,
    // A place whose holder's deadline has passed is free, and who has not come when it was looked for has lost its turn.
    activeSlots: `SELECT count(*) AS n, min(untilMs) AS untilMs FROM slots WHERE key = ?1 AND status = 'active' AND untilMs > ?2`,
    concurrency: `SELECT max(concurrency) AS concurrency, max(periodMs) AS periodMs FROM slots WHERE key = ?1`,
    recentlyBegun: `SELECT atMs FROM begun WHERE key = ?1 AND atMs > ?2 ORDER BY atMs DESC LIMIT ?3`,
    ahead: `SELECT count(*) AS n FROM slots WHERE key = ?1 AND status = 'waiting' AND untilMs > ?2 AND (atMs, taskId, step) < (?3, ?4, ?5)`,
    wakeWaiting: `UPDATE jobs SET availableAtMs = ?2 WHERE lease IS NULL AND availableAtMs > ?2 AND taskId IN (SELECT taskId FROM slots WHERE key = ?1 AND status = 'waiting' ORDER BY atMs, taskId, step LIMIT ?3)`,

    inbox: `SELECT ${inboxColumns} FROM ${inboxTables} WHERE (CAST(?1 AS TEXT) IS NULL OR status = ?1) AND (CAST(?2 AS TEXT) IS NULL OR inbox.taskId = ?2) ORDER BY openedAtMs, item`,

    // A task's rows in the tables that follow from its log, as they are.
    contextRows: `SELECT taskId || ' ' || key AS name, taskId, key, version, writer, payloadSeq, payloadHash, trust, privacy FROM context WHERE writer = ?1 ORDER BY taskId, key`,
    inboxRows: `SELECT * FROM inbox WHERE taskId = ?1 ORDER BY item`,
    breakerRows: `SELECT * FROM breakers WHERE taskId = ?1 ORDER BY key`,
    jobRow: `SELECT definition FROM jobs WHERE taskId = ?1`,

    schedule: `SELECT id FROM schedules WHERE name = ?1 AND removedAtMs IS NULL`,
    schedules: `SELECT * FROM schedules WHERE (CAST(?1 AS BIGINT) = 1 OR removedAtMs IS NULL) AND (CAST(?2 AS BIGINT) IS NULL OR nextAtMs <= ?2 OR waiting <> '[]') ORDER BY name, id`,
    insertSchedule: `INSERT INTO schedules (id, name, agent, cron, timezone, overlap, input, createdBy, createdAtMs, reason, nextAtMs, version, waiting, started, skipped, missed, failed) VALUES ((SELECT coalesce(max(id), 0) + 1 FROM schedules), ${places(10).join(', ')}, 1, '[]', 0, 0, 0, 0)`,
    takeInSchedule: `INSERT INTO schedules (${scheduleColumns.join(', ')}) VALUES (${places(scheduleColumns.length).join(', ')})`,
    scheduleOf: `SELECT id FROM schedules WHERE id = ?1 OR (name = ?2 AND removedAtMs IS NULL)`,
    removeSchedule: `UPDATE schedules SET version = version + 1, input = NULL, nextAtMs = NULL, waiting = '[]', removedBy = ?2, removedAtMs = ?3, removedReason = ?4 WHERE name = ?1 AND removedAtMs IS NULL`,
    changeSchedule: `UPDATE schedules SET version = version + 1, nextAtMs = ?3, waiting = ?4, lastAtMs = ?5, lastTaskId = ?6, started = ?7, skipped = ?8, missed = ?9, failed = ?10, problem = ?11 WHERE id = ?1 AND version = ?2 AND removedAtMs IS NULL`,

    beat: `INSERT INTO workers (worker, host, pid, agents, queues, concurrency, held, status, startedAtMs, beatAtMs) VALUES (${places(10).join(', ')}) ON CONFLICT (worker) DO UPDATE SET held = excluded.held, status = excluded.status, beatAtMs = excluded.beatAtMs`,
    leave: `DELETE FROM workers WHERE worker = ?1`,
    forgetWorkers: `DELETE FROM workers WHERE beatAtMs < ?1`,
    workers: `SELECT * FROM workers ORDER BY startedAtMs, worker`,

    lastCheckpoint: `SELECT ${checkpointColumns} FROM checkpoints ORDER BY number DESC LIMIT 1`,
    checkpoints: `SELECT ${checkpointColumns} FROM checkpoints WHERE number > ?1 ORDER BY number LIMIT ?2`,
    insertCheckpoint: `INSERT INTO checkpoints (number, atMs, tasks, events, prevRoot, root, keyId, signature) VALUES (${places(8).join(', ')})`,
    insertHead: `INSERT INTO checkpointHeads (taskId, number, seq, hash) VALUES (?1, ?2, ?3, ?4)`,
    logSize: `SELECT count(*) AS tasks, CAST(coalesce(sum(seq), 0) AS BIGINT) AS events FROM tasks`,
    newHeads: `SELECT taskId, seq, hash FROM tasks WHERE seq > coalesce((SELECT seq FROM checkpointHeads WHERE checkpointHeads.taskId = tasks.taskId ORDER BY number DESC LIMIT 1), 0)`,
    heads: `SELECT checkpointHeads.taskId, checkpointHeads.seq, checkpointHeads.hash, events.hash AS found, (SELECT coalesce(max(seq), 0) FROM events WHERE events.taskId = checkpointHeads.taskId) AS last FROM checkpointHeads LEFT JOIN events ON events.taskId = checkpointHeads.taskId AND events.seq = checkpointHeads.seq WHERE number = ?1`,

    holdAll: many(`LOCK TABLE events, ${derivedTables.join(', ')} IN EXCLUSIVE MODE`),
    ...emptied(),
  } as const
}

/** The tables that follow from the log. */
export const derivedTables = [
  'tasks',
  'children',
  'members',
  'trees',
  'context',
  'jobs',
  'inbox',
  'breakers',
  'slots',
  'begun',
  'snapshots',
] as const

function emptied(): { readonly [Table in (typeof derivedTables)[number] as `empty_${Table}`]: string } {
  return Object.fromEntries(derivedTables.map((table) => [`empty_${table}`, `DELETE FROM ${table}`])) as never
}

/** The name of a statement. */
export type StatementName = keyof ReturnType<typeof statements>
