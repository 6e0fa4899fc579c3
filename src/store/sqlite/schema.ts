// The tables, as numbered migrations that only go forward. `events` and `payloads` are the truth, `checkpoints` says
// what was signed of it, `schedules` what people want started; every other table follows and can be written again (`rebuild`). The first two keep SQLite's rowid and so grow at their end: when
// many tasks share a commit, that touches half as many pages as rows that lie where their task lies. No table but
// `payloads` holds a payload of a task that has ended, so that one that is erased is gone.

import { checked, type Migration } from '../migration.ts'

/** 'SGBX' as a number, in the header of every SQLite file of ours. */
export const applicationId = 0x53474258

const sqliteMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'log, context, queue and inbox',
    sql: `
      CREATE TABLE events (
        taskId TEXT NOT NULL, seq INTEGER NOT NULL, atMs INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL,
        costMicros INTEGER, prevHash TEXT NOT NULL, hash TEXT NOT NULL,
        PRIMARY KEY (taskId, seq)
      ) STRICT;

      CREATE TABLE payloads (
        taskId TEXT NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL, salt TEXT, body TEXT,
        PRIMARY KEY (taskId, seq, hash)
      ) STRICT;

      CREATE TRIGGER events_no_update BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only: no update'); END;
      CREATE TRIGGER events_no_delete BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only: no delete'); END;
      CREATE TRIGGER events_dense BEFORE INSERT ON events
        WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE taskId = NEW.taskId)
        BEGIN SELECT RAISE(ABORT, 'the event log is append-only: the next sequence number only'); END;
      CREATE INDEX erasures ON events (taskId, json_extract(data, '$.seq'), json_extract(data, '$.hash'))
        WHERE type = 'payload.erased';
      CREATE TRIGGER payloads_no_update BEFORE UPDATE ON payloads
        WHEN NOT (
          NEW.taskId = OLD.taskId AND NEW.seq = OLD.seq AND NEW.hash = OLD.hash AND NEW.salt IS NULL AND NEW.body IS NULL
          AND EXISTS (
            SELECT 1 FROM events WHERE type = 'payload.erased' AND taskId = OLD.taskId
              AND json_extract(data, '$.seq') = OLD.seq AND json_extract(data, '$.hash') = OLD.hash
          )
        )
        BEGIN SELECT RAISE(ABORT, 'a payload is never changed'); END;
      CREATE TRIGGER payloads_once BEFORE INSERT ON payloads
        WHEN EXISTS (SELECT 1 FROM payloads WHERE taskId = NEW.taskId AND seq = NEW.seq AND hash = NEW.hash)
        BEGIN SELECT RAISE(ABORT, 'a payload is never changed'); END;
      CREATE TRIGGER payloads_no_delete BEFORE DELETE ON payloads
        BEGIN SELECT RAISE(ABORT, 'a payload is never removed'); END;

      CREATE TABLE checkpoints (
        number INTEGER NOT NULL PRIMARY KEY, atMs INTEGER NOT NULL, tasks INTEGER NOT NULL, events INTEGER NOT NULL,
        prevRoot TEXT NOT NULL, root TEXT NOT NULL, keyId TEXT NOT NULL, signature TEXT NOT NULL
      ) STRICT;
      CREATE TABLE checkpointHeads (
        taskId TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL, hash TEXT NOT NULL,
        PRIMARY KEY (taskId, number)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX checkpointHeads_by_number ON checkpointHeads (number);
      CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
        BEGIN SELECT RAISE(ABORT, 'a checkpoint is never changed'); END;
      CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
        BEGIN SELECT RAISE(ABORT, 'a checkpoint is never removed'); END;
      CREATE TRIGGER checkpointHeads_no_update BEFORE UPDATE ON checkpointHeads
        BEGIN SELECT RAISE(ABORT, 'a checkpoint is never changed'); END;
      CREATE TRIGGER checkpointHeads_no_delete BEFORE DELETE ON checkpointHeads
        BEGIN SELECT RAISE(ABORT, 'a checkpoint is never removed'); END;

      CREATE TABLE tasks (
        taskId TEXT NOT NULL PRIMARY KEY, agent TEXT NOT NULL, version TEXT NOT NULL, definition TEXT NOT NULL,
        startedBy TEXT NOT NULL, status TEXT NOT NULL, state TEXT NOT NULL, outcome TEXT, waitsFor TEXT,
        steps INTEGER NOT NULL, turns INTEGER NOT NULL, inputTokens INTEGER NOT NULL, outputTokens INTEGER NOT NULL,
        costMicros INTEGER NOT NULL, unpriced INTEGER NOT NULL, erased INTEGER NOT NULL, startedAtMs INTEGER NOT NULL, updatedAtMs INTEGER NOT NULL,
        parentId TEXT, rootId TEXT, contextOf TEXT,
        seq INTEGER NOT NULL, hash TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX tasks_by_start ON tasks (startedAtMs);
      CREATE INDEX tasks_by_root ON tasks (rootId) WHERE rootId IS NOT NULL;
      CREATE INDEX tasks_by_parent ON tasks (parentId) WHERE parentId IS NOT NULL;

      CREATE TABLE children (
        childId TEXT NOT NULL PRIMARY KEY, parentId TEXT NOT NULL, step INTEGER NOT NULL, status TEXT NOT NULL,
        calledOffBy TEXT, reason TEXT
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX children_open ON children (parentId) WHERE status = 'open';
      CREATE INDEX children_by_parent ON children (parentId, step);

      CREATE TABLE members (
        taskId TEXT NOT NULL PRIMARY KEY, rootId TEXT NOT NULL, tokens INTEGER NOT NULL, costMicros INTEGER NOT NULL,
        reservedTokens INTEGER NOT NULL, reservedMicros INTEGER NOT NULL, awaits TEXT
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX members_that_await ON members (rootId) WHERE awaits IS NOT NULL;

      CREATE TABLE trees (
        rootId TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, tasks INTEGER NOT NULL, tokens INTEGER NOT NULL,
        costMicros INTEGER NOT NULL, reservedTokens INTEGER NOT NULL, reservedMicros INTEGER NOT NULL,
        tokensMax INTEGER NOT NULL, costMax INTEGER, tasksMax INTEGER NOT NULL, soft REAL NOT NULL,
        tokensNeared INTEGER NOT NULL, costNeared INTEGER NOT NULL, asks INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE context (
        taskId TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, writer TEXT NOT NULL,
        payloadSeq INTEGER, payloadHash TEXT, trust TEXT NOT NULL, privacy TEXT NOT NULL,
        PRIMARY KEY (taskId, key)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX context_by_writer ON context (writer);

      CREATE TABLE jobs (
        taskId TEXT NOT NULL PRIMARY KEY, definition TEXT NOT NULL, availableAtMs INTEGER NOT NULL,
        worker TEXT, lease TEXT, news INTEGER NOT NULL DEFAULT 0
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX jobs_by_time ON jobs (definition, availableAtMs);

      CREATE TABLE breakers (
        key TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, status TEXT NOT NULL, failures INTEGER NOT NULL,
        untilMs INTEGER NOT NULL, probe TEXT, pausedUntilMs INTEGER NOT NULL, taskId TEXT NOT NULL, seq INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE slots (
        key TEXT NOT NULL, taskId TEXT NOT NULL, step INTEGER NOT NULL, status TEXT NOT NULL, atMs INTEGER NOT NULL,
        untilMs INTEGER NOT NULL, concurrency INTEGER, periodMs INTEGER,
        PRIMARY KEY (key, taskId, step)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE begun (
        key TEXT NOT NULL, atMs INTEGER NOT NULL, taskId TEXT NOT NULL, seq INTEGER NOT NULL,
        PRIMARY KEY (key, atMs, taskId, seq)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE inbox (
        item TEXT NOT NULL PRIMARY KEY, taskId TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
        questionSeq INTEGER NOT NULL, questionHash TEXT NOT NULL, showSeq INTEGER, showHash TEXT, options TEXT NOT NULL, assignee TEXT,
        openedAtMs INTEGER NOT NULL, expiresAtMs INTEGER, status TEXT NOT NULL,
        decision TEXT, decidedBy TEXT, reason TEXT, hash TEXT, agreed TEXT NOT NULL,
        noticeAtMs INTEGER, noticeAttempts INTEGER NOT NULL, noticeDelayMs INTEGER NOT NULL, noticeId TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX inbox_by_task ON inbox (taskId);
      CREATE INDEX inbox_by_status ON inbox (status, openedAtMs);
      CREATE INDEX inbox_by_notice ON inbox (noticeAtMs) WHERE status = 'open';
    `,
  },
  {
    version: 2,
    name: 'schedules',
    sql: `
      CREATE TABLE schedules (
        id INTEGER NOT NULL PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL, agent TEXT NOT NULL, cron TEXT NOT NULL,
        timezone TEXT NOT NULL, overlap TEXT NOT NULL, input TEXT, createdBy TEXT NOT NULL, createdAtMs INTEGER NOT NULL,
        reason TEXT NOT NULL, nextAtMs INTEGER, waiting TEXT NOT NULL, lastAtMs INTEGER, lastTaskId TEXT,
        started INTEGER NOT NULL, skipped INTEGER NOT NULL, missed INTEGER NOT NULL, failed INTEGER NOT NULL, problem TEXT,
        removedBy TEXT, removedAtMs INTEGER, removedReason TEXT
      ) STRICT;
      CREATE UNIQUE INDEX schedules_by_name ON schedules (name) WHERE removedAtMs IS NULL;
    `,
  },
  {
    version: 3,
    name: 'deliveries and workers',
    sql: `
      ALTER TABLE jobs ADD COLUMN deliveries INTEGER NOT NULL DEFAULT 0;
      CREATE TABLE workers (
        worker TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, agents TEXT NOT NULL, queues TEXT NOT NULL,
        concurrency INTEGER NOT NULL, held INTEGER NOT NULL, status TEXT NOT NULL, startedAtMs INTEGER NOT NULL, beatAtMs INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 4,
    name: 'snapshots',
    sql: `
      CREATE TABLE snapshots (
        taskId TEXT NOT NULL PRIMARY KEY, seq INTEGER NOT NULL, hash TEXT NOT NULL, form TEXT NOT NULL, body TEXT NOT NULL
      ) STRICT;
    `,
  },
]

/** The migrations of SQLite, with their checksums. */
export const migrations = checked(sqliteMigrations)
