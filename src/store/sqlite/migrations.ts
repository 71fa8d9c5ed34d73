/**
 * The schema, as numbered steps. A step that has been released is never edited; changes come as new steps.
 */
export interface Migration {
  readonly version: number;
  readonly sql: string;
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE meta (
        name  TEXT PRIMARY KEY,
        value INTEGER NOT NULL
      ) WITHOUT ROWID;

      CREATE TABLE shapes (
        id           INTEGER PRIMARY KEY,
        shape_key    TEXT NOT NULL UNIQUE,
        queue        TEXT NOT NULL,
        kind         INTEGER NOT NULL,
        cpu          INTEGER NOT NULL,
        accelerators INTEGER NOT NULL,
        memory_mb    INTEGER NOT NULL,
        requires     TEXT NOT NULL
      );

      -- What changes stands first, what is large last: readers of the one do not touch the pages of the other.
      CREATE TABLE jobs (
        id             INTEGER PRIMARY KEY,
        state          INTEGER NOT NULL,
        shape_id       INTEGER NOT NULL,
        priority       INTEGER NOT NULL,
        attempt        INTEGER NOT NULL DEFAULT 0,
        spent          INTEGER NOT NULL DEFAULT 0,
        recoveries     INTEGER NOT NULL DEFAULT 0,
        unmet          INTEGER NOT NULL,
        doomed         INTEGER NOT NULL,
        run_at         INTEGER,
        worker_id      TEXT,
        lease_ms       INTEGER,
        leased_at      INTEGER,
        started_at     INTEGER,
        finished_at    INTEGER,
        ready_at       INTEGER,
        updated_at     INTEGER NOT NULL,
        progress       REAL,
        exit_code      INTEGER,
        error          TEXT,
        history        TEXT NOT NULL DEFAULT '',
        dialect        INTEGER NOT NULL,
        project_id     INTEGER,
        task_id        INTEGER,
        dependencies   INTEGER NOT NULL,
        max_attempts   INTEGER NOT NULL,
        max_recoveries INTEGER NOT NULL,
        timeout_ms     INTEGER,
        backoff_ms     INTEGER,
        created_at     INTEGER NOT NULL,
        key            TEXT,
        name           TEXT NOT NULL,
        labels         TEXT,
        spec           TEXT NOT NULL,
        result         TEXT
      );
      -- Claims: the heads of a shape's line, without touching the table.
      CREATE INDEX jobs_ready ON jobs (shape_id, priority DESC, id) WHERE state = 1;
      CREATE INDEX jobs_state ON jobs (state, id);
      CREATE UNIQUE INDEX jobs_key ON jobs (key, dialect) WHERE key IS NOT NULL;
      CREATE INDEX jobs_due ON jobs (run_at) WHERE state = 0 AND run_at IS NOT NULL AND unmet = 0;
      CREATE INDEX jobs_finished ON jobs (state, finished_at) WHERE finished_at IS NOT NULL;
      CREATE INDEX jobs_project ON jobs (project_id, id) WHERE project_id IS NOT NULL;
      CREATE INDEX jobs_task ON jobs (task_id, id) WHERE task_id IS NOT NULL;
      CREATE INDEX jobs_dialect ON jobs (dialect, id) WHERE dialect > 0;
      -- Lists of APIs that know neither projects nor tasks.
      CREATE INDEX jobs_dialect_state ON jobs (dialect, state, id) WHERE dialect >= 2;
      CREATE INDEX jobs_name ON jobs (name, dialect, state, id) WHERE dialect >= 2;

      CREATE TABLE edges (
        job_id     INTEGER NOT NULL,
        depends_on INTEGER NOT NULL,
        PRIMARY KEY (job_id, depends_on)
      ) WITHOUT ROWID;
      CREATE INDEX edges_dependents ON edges (depends_on, job_id);

      -- Attempts that ended while the job went on; the current or last one is in the job's row.
      CREATE TABLE attempts (
        job_id         INTEGER NOT NULL,
        number         INTEGER NOT NULL,
        worker_id      TEXT,
        worker_address TEXT,
        started_at     INTEGER,
        ended_at       INTEGER,
        outcome        TEXT NOT NULL,
        exit_code      INTEGER,
        error          TEXT,
        PRIMARY KEY (job_id, number)
      ) WITHOUT ROWID;

      CREATE TABLE log_chunks (
        job_id  INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        seq     INTEGER NOT NULL,
        time    INTEGER NOT NULL,
        stream  INTEGER NOT NULL,
        text    TEXT NOT NULL
      );
      CREATE UNIQUE INDEX log_chunks_place ON log_chunks (job_id, attempt, seq);

      CREATE TABLE records (
        seq     INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id  INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        time    INTEGER NOT NULL,
        kind    TEXT NOT NULL,
        data    TEXT NOT NULL
      );
      CREATE INDEX records_job ON records (job_id, kind, seq);

      CREATE TABLE documents (
        collection TEXT NOT NULL,
        key        TEXT NOT NULL,
        value      TEXT NOT NULL,
        PRIMARY KEY (collection, key)
      ) WITHOUT ROWID;

      CREATE TABLE tallies (
        dialect    INTEGER NOT NULL,
        queue      TEXT NOT NULL,
        kind       INTEGER NOT NULL,
        project_id INTEGER NOT NULL,
        state      INTEGER NOT NULL,
        count      INTEGER NOT NULL,
        PRIMARY KEY (dialect, queue, kind, project_id, state)
      ) WITHOUT ROWID;

      CREATE TABLE workers (
        id            TEXT PRIMARY KEY,
        name          TEXT NOT NULL,
        address       TEXT,
        capacity      TEXT NOT NULL,
        labels        TEXT NOT NULL,
        queues        TEXT NOT NULL,
        kinds         TEXT NOT NULL,
        dialect       INTEGER NOT NULL,
        details       TEXT NOT NULL,
        -- Never registered: known by its claims alone.
        is_implicit   INTEGER NOT NULL,
        is_draining   INTEGER NOT NULL DEFAULT 0,
        registered_at INTEGER NOT NULL,
        last_seen_at  INTEGER NOT NULL,
        succeeded     INTEGER NOT NULL DEFAULT 0,
        failed        INTEGER NOT NULL DEFAULT 0
      ) WITHOUT ROWID;

      CREATE TABLE projects (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        name        TEXT NOT NULL UNIQUE,
        description TEXT,
        status      TEXT NOT NULL,
        created_at  INTEGER NOT NULL,
        updated_at  INTEGER NOT NULL
      );

      CREATE TABLE tasks (
        id               INTEGER PRIMARY KEY AUTOINCREMENT,
        project_id       INTEGER,
        name             TEXT NOT NULL,
        command_template TEXT,
        cpu              INTEGER NOT NULL,
        accelerators     INTEGER NOT NULL,
        memory_mb        INTEGER NOT NULL,
        created_at       INTEGER NOT NULL,
        updated_at       INTEGER NOT NULL
      );
      CREATE UNIQUE INDEX tasks_name ON tasks (ifnull(project_id, 0), name);

      CREATE TABLE idempotency (
        key         TEXT PRIMARY KEY,
        fingerprint TEXT NOT NULL,
        job_ids     TEXT NOT NULL,
        created_at  INTEGER NOT NULL
      ) WITHOUT ROWID;
      CREATE INDEX idempotency_age ON idempotency (created_at);
    `,
  },
  {
    version: 2,
    sql: `
      ALTER TABLE documents ADD COLUMN expires_at INTEGER;
      CREATE INDEX documents_expiring ON documents (expires_at) WHERE expires_at IS NOT NULL;
      -- Scripts that wait for their jobs: those of before get a week too.
      UPDATE documents SET expires_at = unixepoch() * 1000 + 604800000 WHERE collection = 'shelby.script';
    `,
  },
];
