// The tables in PostgreSQL, as numbered migrations that only go forward: the same tables as in SQLite, in its words. Text is
// compared byte by byte, as everywhere else. Every key begins with a task, a root or a gate, and nothing is counted by a
// sequence, so that engines that spread rows over machines stay possible. An event remembers the transaction that wrote it,
// for those who read all of them in order (see `feed`). The triggers are for whoever comes past us: none of them runs when
// a task goes on.

import { checked, type Checked, type Migration } from '../migration.ts'
import { quoted } from './dialect.ts'

const text = 'text COLLATE "C"'

const postgresMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'log, context, queue, inbox and schedules',
    sql: `
      CREATE TABLE events (
        taskId TEXT NOT NULL, seq BIGINT NOT NULL, atMs BIGINT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL,
        costMicros BIGINT, prevHash TEXT NOT NULL, hash TEXT NOT NULL, xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
        PRIMARY KEY (taskId, seq)
      );
      CREATE INDEX events_feed ON events (xid, taskId, seq);
      CREATE INDEX erasures ON events (taskId, CAST(CAST(data AS json) ->> 'seq' AS BIGINT), (CAST(data AS json) ->> 'hash'))
        WHERE type = 'payload.erased';

      CREATE TABLE payloads (
        taskId TEXT NOT NULL, seq BIGINT NOT NULL, hash TEXT NOT NULL, salt TEXT, body TEXT,
        PRIMARY KEY (taskId, seq, hash)
      );

      CREATE TABLE checkpoints (
        number BIGINT NOT NULL PRIMARY KEY, atMs BIGINT NOT NULL, tasks BIGINT NOT NULL, events BIGINT NOT NULL,
        prevRoot TEXT NOT NULL, root TEXT NOT NULL, keyId TEXT NOT NULL, signature TEXT NOT NULL
      );
      CREATE TABLE checkpointHeads (
        taskId TEXT NOT NULL, number BIGINT NOT NULL, seq BIGINT NOT NULL, hash TEXT NOT NULL,
        PRIMARY KEY (taskId, number)
      );
      CREATE INDEX checkpointHeads_by_number ON checkpointHeads (number);

      CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '% is append-only: no %', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'restrict_violation'; END $$;
      CREATE FUNCTION refuse_payload_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF NEW.taskId = OLD.taskId AND NEW.seq = OLD.seq AND NEW.hash = OLD.hash AND NEW.salt IS NULL AND NEW.body IS NULL
            AND EXISTS (
              SELECT 1 FROM events WHERE type = 'payload.erased' AND taskId = OLD.taskId
                AND CAST(CAST(data AS json) ->> 'seq' AS BIGINT) = OLD.seq AND CAST(data AS json) ->> 'hash' = OLD.hash
            )
          THEN RETURN NEW; END IF;
          RAISE EXCEPTION 'a payload is never changed' USING ERRCODE = 'restrict_violation';
        END $$;
      CREATE TRIGGER events_kept BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change();
      CREATE TRIGGER events_whole BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
      CREATE TRIGGER payloads_kept BEFORE DELETE ON payloads FOR EACH ROW EXECUTE FUNCTION refuse_change();
      CREATE TRIGGER payloads_whole BEFORE TRUNCATE ON payloads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
      CREATE TRIGGER payloads_same BEFORE UPDATE ON payloads FOR EACH ROW EXECUTE FUNCTION refuse_payload_change();
      CREATE TRIGGER checkpoints_kept BEFORE UPDATE OR DELETE ON checkpoints FOR EACH ROW EXECUTE FUNCTION refuse_change();
      CREATE TRIGGER checkpoints_whole BEFORE TRUNCATE ON checkpoints FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
      CREATE TRIGGER heads_kept BEFORE UPDATE OR DELETE ON checkpointHeads FOR EACH ROW EXECUTE FUNCTION refuse_change();
      CREATE TRIGGER heads_whole BEFORE TRUNCATE ON checkpointHeads FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

      CREATE TABLE tasks (
        taskId TEXT NOT NULL PRIMARY KEY, agent TEXT NOT NULL, version TEXT NOT NULL, definition TEXT NOT NULL,
        startedBy TEXT NOT NULL, status TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT, waitsFor TEXT,
        steps BIGINT NOT NULL, turns BIGINT NOT NULL, inputTokens BIGINT NOT NULL, outputTokens BIGINT NOT NULL,
        costMicros BIGINT NOT NULL, unpriced BIGINT NOT NULL, erased BIGINT NOT NULL, startedAtMs BIGINT NOT NULL,
        updatedAtMs BIGINT NOT NULL, parentId TEXT, rootId TEXT, contextOf TEXT, seq BIGINT NOT NULL, hash TEXT NOT NULL
      ) WITH (fillfactor = 70);
      CREATE INDEX tasks_by_start ON tasks (startedAtMs);
      CREATE INDEX tasks_by_root ON tasks (rootId) WHERE rootId IS NOT NULL;
      CREATE INDEX tasks_by_parent ON tasks (parentId) WHERE parentId IS NOT NULL;

      CREATE TABLE children (
        childId TEXT NOT NULL PRIMARY KEY, parentId TEXT NOT NULL, step BIGINT NOT NULL, status TEXT NOT NULL,
        calledOffBy TEXT, reason TEXT
      );
      CREATE INDEX children_by_parent ON children (parentId, step);

      CREATE TABLE members (
        taskId TEXT NOT NULL PRIMARY KEY, rootId TEXT NOT NULL, tokens BIGINT NOT NULL, costMicros BIGINT NOT NULL,
        reservedTokens BIGINT NOT NULL, reservedMicros BIGINT NOT NULL, awaits TEXT
      ) WITH (fillfactor = 70);
      CREATE INDEX members_that_await ON members (rootId) WHERE awaits IS NOT NULL;

      CREATE TABLE trees (
        rootId TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, tasks BIGINT NOT NULL, tokens BIGINT NOT NULL,
        costMicros BIGINT NOT NULL, reservedTokens BIGINT NOT NULL, reservedMicros BIGINT NOT NULL,
        tokensMax BIGINT NOT NULL, costMax BIGINT, tasksMax BIGINT NOT NULL, soft DOUBLE PRECISION NOT NULL,
        tokensNeared BIGINT NOT NULL, costNeared BIGINT NOT NULL, asks BIGINT NOT NULL
      ) WITH (fillfactor = 50);

      CREATE TABLE context (
        taskId TEXT NOT NULL, key TEXT NOT NULL, version BIGINT NOT NULL, writer TEXT NOT NULL,
        payloadSeq BIGINT, payloadHash TEXT, trust TEXT NOT NULL, privacy TEXT NOT NULL,
        PRIMARY KEY (taskId, key)
      ) WITH (fillfactor = 70);
      CREATE INDEX context_by_writer ON context (writer);

      CREATE TABLE jobs (
        taskId TEXT NOT NULL PRIMARY KEY, definition TEXT NOT NULL, availableAtMs BIGINT NOT NULL,
        worker TEXT, lease TEXT, news BIGINT NOT NULL DEFAULT 0, deliveries BIGINT NOT NULL DEFAULT 0
      ) WITH (fillfactor = 50);
      CREATE INDEX jobs_by_time ON jobs (definition, availableAtMs);

      CREATE TABLE breakers (
        key TEXT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, status TEXT NOT NULL, failures BIGINT NOT NULL,
        untilMs BIGINT NOT NULL, probe TEXT, pausedUntilMs BIGINT NOT NULL, taskId TEXT NOT NULL, seq BIGINT NOT NULL
      );
      CREATE INDEX breakers_by_task ON breakers (taskId);

      CREATE TABLE slots (
        key TEXT NOT NULL, taskId TEXT NOT NULL, step BIGINT NOT NULL, status TEXT NOT NULL, atMs BIGINT NOT NULL,
        untilMs BIGINT NOT NULL, concurrency BIGINT, periodMs BIGINT,
        PRIMARY KEY (key, taskId, step)
      );
      CREATE TABLE begun (
        key TEXT NOT NULL, atMs BIGINT NOT NULL, taskId TEXT NOT NULL, seq BIGINT NOT NULL,
        PRIMARY KEY (key, atMs, taskId, seq)
      );
      CREATE TABLE gateHolds (key TEXT NOT NULL PRIMARY KEY) WITH (fillfactor = 50);

      CREATE TABLE workers (
        worker TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, pid BIGINT NOT NULL, agents TEXT NOT NULL, queues TEXT NOT NULL,
        concurrency BIGINT NOT NULL, held BIGINT NOT NULL, status TEXT NOT NULL, startedAtMs BIGINT NOT NULL, beatAtMs BIGINT NOT NULL
      ) WITH (fillfactor = 50);

      CREATE TABLE inbox (
        item TEXT NOT NULL PRIMARY KEY, taskId TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
        questionSeq BIGINT NOT NULL, questionHash TEXT NOT NULL, showSeq BIGINT, showHash TEXT, options TEXT NOT NULL,
        assignee TEXT, openedAtMs BIGINT NOT NULL, expiresAtMs BIGINT, status TEXT NOT NULL,
        decision TEXT, decidedBy TEXT, reason TEXT, hash TEXT, agreed TEXT NOT NULL,
        noticeAtMs BIGINT, noticeAttempts BIGINT NOT NULL, noticeDelayMs BIGINT NOT NULL, noticeId TEXT NOT NULL
      );
      CREATE INDEX inbox_by_task ON inbox (taskId);
      CREATE INDEX inbox_by_status ON inbox (status, openedAtMs);
      CREATE INDEX inbox_by_notice ON inbox (noticeAtMs) WHERE status = 'open';

      CREATE TABLE schedules (
        id BIGINT NOT NULL PRIMARY KEY, version BIGINT NOT NULL, name TEXT NOT NULL, agent TEXT NOT NULL, cron TEXT NOT NULL,
        timezone TEXT NOT NULL, overlap TEXT NOT NULL, input TEXT, createdBy TEXT NOT NULL, createdAtMs BIGINT NOT NULL,
        reason TEXT NOT NULL, nextAtMs BIGINT, waiting TEXT NOT NULL, lastAtMs BIGINT, lastTaskId TEXT,
        started BIGINT NOT NULL, skipped BIGINT NOT NULL, missed BIGINT NOT NULL, failed BIGINT NOT NULL, problem TEXT,
        removedBy TEXT, removedAtMs BIGINT, removedReason TEXT
      );
      CREATE UNIQUE INDEX schedules_by_name ON schedules (name) WHERE removedAtMs IS NULL;
    `,
  },
  {
    version: 2,
    name: 'snapshots',
    sql: `
      CREATE TABLE snapshots (
        taskId TEXT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, hash TEXT NOT NULL, form TEXT NOT NULL, body TEXT NOT NULL
      );
    `,
  },
]

/** The migrations of PostgreSQL, with their checksums, which are of the texts as they stand above. */
export const migrations: readonly Checked[] = checked(postgresMigrations).map((migration) => ({
  ...migration,
  sql: quoted(migration.sql).replaceAll('TEXT', text),
}))

/** What a worker may do with a table beyond reading it. */
type Rights = 'INSERT' | 'INSERT, UPDATE' | 'INSERT, UPDATE, DELETE'

/** What a worker may do with each table, as the migrations make them: what a trigger keeps is added to and no more. */
function rightsOf(): ReadonlyMap<string, Rights> {
  const sql = postgresMigrations.map((migration) => migration.sql).join('\n')
  const named = (pattern: RegExp): string[] => [...sql.matchAll(pattern)].map((match) => match[1]!)
  const kept = new Set(named(/BEFORE (?:UPDATE OR )?DELETE ON (\w+)/g))
  const rightsTo = (table: string): Rights => {
    if (kept.has(table)) return 'INSERT'
    // A schedule that was removed keeps its row, with who did it and why.
    return table === 'schedules' ? 'INSERT, UPDATE' : 'INSERT, UPDATE, DELETE'
  }
  return new Map(named(/CREATE TABLE (\w+)/g).map((table) => [table, rightsTo(table)]))
}

/**
 * What a database's owner runs so that workers can log in with no right to change or remove what was logged: the log can only be
 * added to, whatever a worker does. `role` and `schema` are names that need no quotes.
 */
export function rolesSql(schema: string, role: string): string {
  const rights = rightsOf()
  const grant = (what: Rights): string => {
    const tables = [...rights].flatMap(([table, its]) => (its === what ? [`${schema}.${quoted(table)}`] : []))
    return `GRANT ${what} ON ${tables.join(', ')} TO ${role};`
  }
  return [
    `-- Run as the owner of the tables, who is the one to run \`signalbox migrate\`; again after each run of it that made tables.`,
    `CREATE ROLE ${role} LOGIN PASSWORD 'choose one';`,
    `GRANT USAGE ON SCHEMA ${schema} TO ${role};`,
    `GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ${role};`,
    `-- The log: added to, never changed, never removed.`,
    grant('INSERT'),
    `-- A payload can be erased where an event says so (a trigger sees to it), and in no other way.`,
    `GRANT UPDATE (salt, body) ON ${schema}.payloads TO ${role};`,
    `-- So that what was erased can be taken off the disk at once (VACUUM); before PostgreSQL 17 autovacuum does it, later.`,
    `DO $$ BEGIN IF current_setting('server_version_num')::int >= 170000 THEN`,
    `  EXECUTE 'GRANT MAINTAIN ON ${schema}.payloads, ${schema}.snapshots TO ${role}';`,
    `END IF; END $$;`,
    `-- What follows from the log, and the queue.`,
    grant('INSERT, UPDATE, DELETE'),
    `-- What people want started.`,
    grant('INSERT, UPDATE'),
    '',
  ].join('\n')
}
