/**
 * The schema, as numbered steps. A step that has been released is never edited; changes come as new steps, and
 * each must be one that servers of the version before live with, since they run on while one is updated.
 *
 * A job's own row in `jobs` holds what changes while it lives, has no index but its key, and is so updated in its
 * place ("heap-only"), without a write to any index; the page's free space is what `fillfactor` leaves. Where the job
 * stands is told by one row in one small table: `pending` (waiting or blocked), `ready`, `leases` (held) or `ended`.
 * Claims look at `ready` alone, whose size is that of the backlog, however many jobs are kept. What never changes
 * stands in `job_details`, and every list's index with it.
 */
export interface Migration {
  readonly version: number;
  readonly sql: string;
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE SEQUENCE job_ids AS bigint;

      CREATE TABLE shapes (
        id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        shape_key    text NOT NULL UNIQUE,
        queue        text NOT NULL,
        kind         smallint NOT NULL,
        cpu          bigint NOT NULL,
        accelerators bigint NOT NULL,
        memory_mb    bigint NOT NULL,
        requires     text NOT NULL
      );
      CREATE INDEX shapes_queue ON shapes (queue);

      -- A claim's commit and a result's each change whole pages of rows at once, and old versions are cleared only after
      -- it: a page is filled to a third, so that the new ones have room in it. Measured with commits of 500 jobs: 98 % of
      -- the changes are made in place instead of 72 % at 50, with a sixth less log, and the table ends no larger. Pages are
      -- cleared as they are changed, so vacuuming has little to do here; it comes after a fixed number of changes, since a
      -- share of millions of kept rows would be too late.
      CREATE TABLE jobs (
        id          bigint PRIMARY KEY,
        priority    bigint NOT NULL,
        run_at      bigint,
        lease_ms    bigint,
        leased_at   bigint,
        started_at  bigint,
        finished_at bigint,
        ready_at    bigint,
        updated_at  bigint NOT NULL,
        exit_code   bigint,
        progress    double precision,
        shape_id    integer NOT NULL,
        attempt     integer NOT NULL DEFAULT 0,
        spent       integer NOT NULL DEFAULT 0,
        recoveries  integer NOT NULL DEFAULT 0,
        unmet       integer NOT NULL,
        doomed      integer NOT NULL,
        state       smallint NOT NULL,
        worker_id   text,
        error       text,
        history     text NOT NULL
      ) WITH (
        fillfactor = 30,
        autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 50000,
        autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_insert_threshold = 200000,
        autovacuum_analyze_scale_factor = 0.1, autovacuum_analyze_threshold = 50000,
        autovacuum_vacuum_cost_delay = 0
      );

      CREATE TABLE job_details (
        id             bigint PRIMARY KEY,
        project_id     bigint,
        task_id        bigint,
        timeout_ms     bigint,
        backoff_ms     bigint,
        max_attempts   bigint NOT NULL,
        max_recoveries bigint NOT NULL,
        created_at     bigint NOT NULL,
        dependencies   integer NOT NULL,
        dialect        smallint NOT NULL,
        key            text,
        name           text NOT NULL,
        labels         text,
        spec           text NOT NULL
      );
      CREATE UNIQUE INDEX job_details_key ON job_details (key, dialect) WHERE key IS NOT NULL;
      CREATE INDEX job_details_project ON job_details (project_id, id) WHERE project_id IS NOT NULL;
      CREATE INDEX job_details_task ON job_details (task_id, id) WHERE task_id IS NOT NULL;
      CREATE INDEX job_details_dialect ON job_details (dialect, id) WHERE dialect > 0;
      -- Lists of APIs that know neither projects nor tasks.
      CREATE INDEX job_details_name ON job_details (name, dialect, id) WHERE dialect >= 2;

      CREATE TABLE job_results (
        id     bigint PRIMARY KEY,
        result text NOT NULL
      );

      -- Lines that are filled at one end and emptied at the other. What a claim leaves behind at the head must go soon,
      -- or the next ones step over it: they are vacuumed after few changes and without pauses, and are small.
      CREATE TABLE ready (
        shape_id integer NOT NULL,
        -- The priority, negated: the line goes upwards.
        rank     bigint NOT NULL,
        id       bigint NOT NULL,
        PRIMARY KEY (shape_id, rank, id)
      ) WITH (
        autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0
      );

      CREATE TABLE pending (
        state  smallint NOT NULL,
        id     bigint NOT NULL,
        -- When nothing but its time is left to come.
        due_at bigint,
        PRIMARY KEY (state, id)
      ) WITH (
        autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0
      );
      CREATE INDEX pending_due ON pending (due_at, id) WHERE due_at IS NOT NULL;

      CREATE TABLE ended (
        state       smallint NOT NULL,
        id          bigint NOT NULL,
        finished_at bigint,
        PRIMARY KEY (state, id)
      ) WITH (
        autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 50000,
        autovacuum_vacuum_cost_delay = 0
      );
      CREATE INDEX ended_finished ON ended (state, finished_at, id);

      -- Without a log of its own: a heartbeat of thousands of leases writes nothing that must be kept. A crash and a
      -- failover empty both tables, and that is how the next server knows to give every lease its grace.
      CREATE UNLOGGED TABLE leases (
        job_id      bigint PRIMARY KEY,
        expires_at  bigint NOT NULL,
        deadline_at bigint,
        attempt     integer NOT NULL,
        worker_id   text NOT NULL
      ) WITH (
        fillfactor = 50,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0
      );
      CREATE INDEX leases_worker ON leases (worker_id, job_id);
      -- A row here says that every held job has its lease above: what empties that table empties this one too.
      CREATE UNLOGGED TABLE leases_known (one smallint PRIMARY KEY CHECK (one = 1));
      -- One row: when the upkeep was done last, by any server.
      CREATE UNLOGGED TABLE upkeep (
        one     smallint PRIMARY KEY CHECK (one = 1),
        done_at bigint NOT NULL
      ) WITH (fillfactor = 50);

      CREATE TABLE edges (
        job_id     bigint NOT NULL,
        depends_on bigint NOT NULL,
        PRIMARY KEY (job_id, depends_on)
      );
      CREATE INDEX edges_dependents ON edges (depends_on, job_id);

      -- Attempts that ended while the job went on; the current or last one is in the job's row.
      CREATE TABLE attempts (
        job_id         bigint NOT NULL,
        number         integer NOT NULL,
        worker_id      text,
        worker_address text,
        started_at     bigint,
        ended_at       bigint,
        outcome        text NOT NULL,
        exit_code      bigint,
        error          text,
        PRIMARY KEY (job_id, number)
      );

      CREATE TABLE log_chunks (
        job_id  bigint NOT NULL,
        time    bigint NOT NULL,
        attempt integer NOT NULL,
        seq     integer NOT NULL,
        stream  smallint NOT NULL,
        text    text NOT NULL,
        -- Order of writing, over all jobs.
        place   bigint GENERATED ALWAYS AS IDENTITY,
        PRIMARY KEY (job_id, attempt, seq)
      ) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
      CREATE INDEX log_chunks_newest ON log_chunks (place);

      CREATE TABLE records (
        seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        job_id  bigint NOT NULL,
        time    bigint NOT NULL,
        attempt integer NOT NULL,
        kind    text NOT NULL,
        data    text NOT NULL
      );
      CREATE INDEX records_job ON records (job_id, kind, seq);

      CREATE TABLE documents (
        collection text NOT NULL,
        key        text NOT NULL,
        value      text NOT NULL,
        PRIMARY KEY (collection, key)
      );

      CREATE TABLE tallies (
        project_id bigint NOT NULL,
        count      bigint NOT NULL,
        dialect    smallint NOT NULL,
        kind       smallint NOT NULL,
        state      smallint NOT NULL,
        queue      text NOT NULL,
        PRIMARY KEY (dialect, queue, kind, project_id, state)
      ) WITH (fillfactor = 50);
      -- What commits add: a row that all of them changed would let only one at a time end. Folded every second.
      CREATE TABLE tally_changes (
        project_id bigint NOT NULL,
        change     bigint NOT NULL,
        dialect    smallint NOT NULL,
        kind       smallint NOT NULL,
        state      smallint NOT NULL,
        queue      text NOT NULL
      ) WITH (
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0
      );

      CREATE TABLE workers (
        id            text PRIMARY KEY,
        name          text NOT NULL,
        address       text,
        capacity      text NOT NULL,
        labels        text NOT NULL,
        queues        text NOT NULL,
        kinds         text NOT NULL,
        dialect       smallint NOT NULL,
        details       text NOT NULL,
        -- Never registered: known by its claims alone.
        is_implicit   smallint NOT NULL,
        is_draining   smallint NOT NULL DEFAULT 0,
        registered_at bigint NOT NULL,
        last_seen_at  bigint NOT NULL,
        succeeded     bigint NOT NULL DEFAULT 0,
        failed        bigint NOT NULL DEFAULT 0
      ) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
      -- Like \`tally_changes\`: one worker's results come through several servers.
      CREATE TABLE worker_results (
        worker_id text NOT NULL,
        succeeded bigint NOT NULL,
        failed    bigint NOT NULL
      ) WITH (
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0
      );
      CREATE INDEX worker_results_worker ON worker_results (worker_id);

      CREATE TABLE projects (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name        text NOT NULL UNIQUE,
        description text,
        status      text NOT NULL,
        created_at  bigint NOT NULL,
        updated_at  bigint NOT NULL
      );

      CREATE TABLE tasks (
        id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        project_id       bigint,
        name             text NOT NULL,
        command_template text,
        cpu              bigint NOT NULL,
        accelerators     bigint NOT NULL,
        memory_mb        bigint NOT NULL,
        created_at       bigint NOT NULL,
        updated_at       bigint NOT NULL
      );
      CREATE UNIQUE INDEX tasks_name ON tasks (coalesce(project_id, 0), name);

      CREATE TABLE idempotency (
        key         text PRIMARY KEY,
        fingerprint text NOT NULL,
        job_ids     text NOT NULL,
        created_at  bigint NOT NULL
      );
      CREATE INDEX idempotency_age ON idempotency (created_at);
    `,
  },
  {
    version: 2,
    sql: `
      -- The last commit of each connection that changed something: see \`commitMark.ts\`. Rows are updated in their
      -- place, once a commit.
      CREATE TABLE commit_marks (
        session text PRIMARY KEY,
        number  bigint NOT NULL,
        made_at timestamptz NOT NULL
      ) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
    `,
  },
  {
    version: 3,
    sql: `
      ALTER TABLE documents ADD COLUMN expires_at bigint;
      CREATE INDEX documents_expiring ON documents (expires_at) WHERE expires_at IS NOT NULL;
      -- Scripts that wait for their jobs: those of before get a week too.
      UPDATE documents SET expires_at = (extract(epoch FROM now()) * 1000)::bigint + 604800000
      WHERE collection = 'shelby.script';
    `,
  },
  {
    version: 4,
    sql: `
      -- An index that has a job's id as a later column can find the job too, by reading all of the index. Where a table
      -- was vacuumed while it was empty the planner takes such an index for as good as that of the key, and goes on so when
      -- the table has filled: deleting the leases of 2,000 jobs took ten seconds. So what deletes by the key can use no other
      -- index. Servers of the version before find what is past its keep by sorting all that ended, until they are updated.
      CREATE INDEX ended_succeeded ON ended (finished_at, id) WHERE state = 4;
      CREATE INDEX ended_failed ON ended (finished_at, id) WHERE state = 5;
      CREATE INDEX ended_cancelled ON ended (finished_at, id) WHERE state = 7;
      DROP INDEX ended_finished;
      DROP INDEX leases_worker;
      CREATE INDEX leases_worker ON leases (worker_id) INCLUDE (job_id);
      DROP INDEX edges_dependents;
      CREATE INDEX edges_dependents ON edges (depends_on) INCLUDE (job_id);
    `,
  },
];
