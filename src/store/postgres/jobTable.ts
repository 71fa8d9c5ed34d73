/** Jobs, as one transaction reads and writes them: their rows, what never changes of them, results and edges. */
import type { Attempt, Job, JobState } from "../../domain/job.ts";
import { dialectCode, stateCode } from "../codes.ts";
import { type AttemptRow, encodeEvent, toAttempt, toControl, toJob } from "../rows.ts";
import type { JobControl, JobInsert, JobRef, JobUpdate, Transaction } from "../store.ts";
import { FACT_COLUMNS, HOT_COLUMNS, type HotRow, type JobFacts, type JobFactsCache } from "./jobFacts.ts";
import { ADVISORY_LOCKS } from "./layout.ts";
import type { Lines } from "./lines.ts";
import type { ShapeTable } from "./shapeTable.ts";
import type { Statements } from "./statements.ts";
import { numbers, readNumbers, texts } from "./text.ts";

const FIND_CONTROLS = `SELECT ${HOT_COLUMNS} FROM jobs WHERE id = ANY ($1::bigint[]) ORDER BY id FOR UPDATE`;
const FIND_FACTS = `SELECT id, ${FACT_COLUMNS} FROM job_details WHERE id = ANY ($1::bigint[])`;

/** What a job's own row does not hold of it, under the names of `JobRow`. */
type DetailsRow = JobFacts & {
  readonly id: number;
  readonly task_id: number | null;
  readonly dependencies: number;
  readonly labels: string | null;
  readonly spec: string;
  readonly result: string | null;
  readonly depends_on: string | null;
};

const FIND_DETAILS = `
  SELECT id, ${FACT_COLUMNS}, task_id, dependencies, labels, spec, results.result,
    CASE WHEN dependencies > 0 THEN
      (SELECT array_agg(depends_on ORDER BY depends_on)::text FROM edges WHERE edges.job_id = job_details.id)
    END AS depends_on
  FROM job_details
  LEFT JOIN LATERAL (SELECT result FROM job_results WHERE job_results.id = job_details.id OFFSET 0) AS results ON true
  WHERE id = ANY ($1::bigint[])`;

export class JobTable {
  readonly #statements: Statements;
  readonly #shapes: ShapeTable;
  readonly #lines: Lines;
  readonly #facts: JobFactsCache;

  constructor(statements: Statements, shapes: ShapeTable, lines: Lines, facts: JobFactsCache) {
    this.#statements = statements;
    this.#facts = facts;
    this.#shapes = shapes;
    this.#lines = lines;
  }

  /**
   * Ids in a row. The lock lasts one statement, not until the commit: servers do not wait for each other's commits.
   */
  async nextIds(count: number): Promise<number> {
    const [taken] = await this.#statements.read<{ first: number }>(
      `WITH alone AS MATERIALIZED (SELECT pg_advisory_lock($2)),
       next AS MATERIALIZED (SELECT nextval('job_ids') AS first FROM alone),
       reserved AS MATERIALIZED (SELECT first, setval('job_ids', first + $1::int - 1) FROM next),
       freed AS MATERIALIZED (SELECT first, pg_advisory_unlock($2) FROM reserved)
       SELECT first FROM freed`,
      [count, ADVISORY_LOCKS.jobIds],
    );
    if (taken === undefined) throw new Error("the database gave no ids");
    return taken.first;
  }

  insert(jobs: readonly JobInsert[]): void {
    if (jobs.length === 0) return;
    const column = <T>(read: (job: JobInsert) => T): T[] => jobs.map(read);
    const ids = numbers(column(({ id }) => id));
    this.#statements.write(
      `INSERT INTO jobs (id, priority, run_at, ready_at, updated_at, shape_id, unmet, doomed, state, history)
       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::int[],
         $8::int[], $9::smallint[], $10::text[])`,
      [
        ids,
        numbers(column(({ priority }) => priority)),
        numbers(column(({ runAt }) => runAt)),
        numbers(column(({ readyAt }) => readyAt)),
        numbers(column(({ createdAt }) => createdAt)),
        numbers(column(({ shapeId }) => shapeId)),
        numbers(column(({ unmet }) => unmet)),
        numbers(column(({ doomed }) => doomed)),
        numbers(column(({ state }) => stateCode.encode(state))),
        texts(
          column(({ createdAt, state }) =>
            encodeEvent({ time: createdAt, from: null, to: state, attempt: 0, reason: "submitted" }),
          ),
        ),
      ],
    );
    this.#statements.write(
      `INSERT INTO job_details (id, project_id, task_id, timeout_ms, backoff_ms, max_attempts, max_recoveries,
         created_at, dependencies, dialect, key, name, labels, spec)
       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
         $7::bigint[], $8::bigint[], $9::int[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::text[])`,
      [
        ids,
        numbers(column(({ projectId }) => projectId)),
        numbers(column(({ taskId }) => taskId)),
        numbers(column(({ timeoutMs }) => timeoutMs)),
        numbers(column(({ backoffMs }) => backoffMs)),
        numbers(column(({ maxAttempts }) => maxAttempts)),
        numbers(column(({ maxRecoveries }) => maxRecoveries)),
        numbers(column(({ createdAt }) => createdAt)),
        numbers(column(({ dependsOn }) => dependsOn.length)),
        numbers(column(({ dialect }) => dialectCode.encode(dialect))),
        texts(column(({ key }) => key)),
        texts(column(({ name }) => name)),
        texts(column(({ labels }) => (Object.keys(labels).length === 0 ? null : JSON.stringify(labels)))),
        texts(column(({ spec }) => JSON.stringify(spec))),
      ],
    );
    this.#insertEdges(
      jobs.flatMap(({ id, dependsOn }) => dependsOn.map((one) => ({ jobId: id, dependsOn: one }))),
    );
    this.#lines.move(jobs.map((job) => ({ ...job, finishedAt: null })));
  }

  #insertEdges(edges: readonly { readonly jobId: number; readonly dependsOn: number }[]): void {
    if (edges.length === 0) return;
    this.#statements.write(
      "INSERT INTO edges (job_id, depends_on) SELECT * FROM unnest($1::bigint[], $2::bigint[]) ON CONFLICT DO NOTHING",
      [numbers(edges.map(({ jobId }) => jobId)), numbers(edges.map(({ dependsOn }) => dependsOn))],
    );
  }

  async find(
    refs: readonly { readonly dialect: Job["dialect"] | null; readonly ref: JobRef }[],
  ): Promise<(number | null)[]> {
    if (refs.length === 0) return [];
    const rows = await this.#statements.read<{ id: number | null }>(
      `SELECT CASE WHEN wanted.id IS NOT NULL
         THEN (SELECT one.id FROM job_details AS one
               WHERE one.id = wanted.id AND (wanted.dialect IS NULL OR one.dialect = wanted.dialect))
         ELSE (SELECT one.id FROM job_details AS one
               WHERE one.key = wanted.key AND one.key IS NOT NULL AND (wanted.dialect IS NULL OR one.dialect = wanted.dialect)
               ORDER BY one.key, one.dialect LIMIT 1)
         END AS id
       FROM unnest($1::bigint[], $2::text[], $3::smallint[]) WITH ORDINALITY AS wanted (id, key, dialect, place)
       ORDER BY wanted.place`,
      [
        numbers(refs.map(({ ref }) => (typeof ref === "number" ? ref : null))),
        texts(refs.map(({ ref }) => (typeof ref === "string" ? ref : null))),
        numbers(refs.map(({ dialect }) => (dialect === null ? null : dialectCode.encode(dialect)))),
      ],
    );
    return rows.map((row) => row.id);
  }

  async controls(ids: readonly number[]): Promise<JobControl[]> {
    if (ids.length === 0) return [];
    const unknown = ids.filter((id) => this.#facts.get(id) === undefined);
    const [rows, facts] = await Promise.all([
      this.#hold(ids),
      unknown.length === 0
        ? []
        : this.#statements.read<JobFacts & { id: number }>(FIND_FACTS, [numbers(unknown)]),
    ]);
    for (const row of facts) this.#facts.keep(row.id, row);
    return inOrder(
      ids,
      rows.flatMap((row) => this.#toControl(row, this.#facts.get(row.id)) ?? []),
    );
  }

  /** The jobs' own rows, held; those that were read as heads of their line are so already. */
  async #hold(ids: readonly number[]): Promise<HotRow[]> {
    const heads = ids.flatMap((id) => this.#lines.head(id) ?? []);
    const others = heads.length === 0 ? ids : ids.filter((id) => this.#lines.head(id) === undefined);
    if (others.length === 0) return heads;
    return [...heads, ...(await this.#statements.lock<HotRow>(FIND_CONTROLS, [numbers(others)]))];
  }

  #toControl(row: HotRow, facts: JobFacts | undefined): JobControl | undefined {
    return facts === undefined ? undefined : this.#know(toControl({ ...row, ...facts }));
  }

  async jobs(ids: readonly number[]): Promise<Job[]> {
    if (ids.length === 0) return [];
    const find = `SELECT ${HOT_COLUMNS} FROM jobs WHERE id = ANY ($1::bigint[])`;
    const [rows, details] = await Promise.all([
      this.#statements.read<HotRow>(find, [numbers(ids)]),
      this.#statements.read<DetailsRow>(FIND_DETAILS, [numbers(ids)]),
    ]);
    return inOrder(
      ids,
      (await this.#toJobs(rows, details)).map(({ job }) => job),
    );
  }

  async both(ids: readonly number[]): Promise<{ id: number; job: Job; control: JobControl }[]> {
    if (ids.length === 0) return [];
    const [rows, details] = await Promise.all([
      this.#hold(ids),
      this.#statements.read<DetailsRow>(FIND_DETAILS, [numbers(ids)]),
    ]);
    const both = (await this.#toJobs(rows, details)).flatMap(({ row, facts, job }) => {
      const control = this.#toControl(row, facts);
      return control === undefined ? [] : [{ id: row.id, job, control }];
    });
    return inOrder(ids, both);
  }

  async #toJobs(
    rows: readonly HotRow[],
    details: readonly DetailsRow[],
  ): Promise<{ row: HotRow; facts: JobFacts; job: Job }[]> {
    const shapes = await this.#shapes.list(rows.map((row) => row.shape_id));
    const byId = new Map(details.map((row) => [row.id, row]));
    return rows.flatMap((row, index) => {
      const shape = shapes[index];
      const rest = byId.get(row.id);
      if (shape === undefined || rest === undefined) return [];
      this.#facts.keep(row.id, rest);
      return [{ row, facts: rest, job: toJob({ ...row, ...rest }, shape, readNumbers(rest.depends_on)) }];
    });
  }

  #know(control: JobControl): JobControl {
    this.#lines.know(control);
    return control;
  }

  async update(updates: readonly JobUpdate[]): Promise<void> {
    if (updates.length === 0) return;
    const unknown = updates.map(({ control }) => control.id).filter((id) => !this.#lines.knows(id));
    if (unknown.length > 0) await this.controls(unknown);
    const column = <T>(read: (control: JobControl) => T): T[] => updates.map(({ control }) => read(control));
    this.#statements.write(
      `UPDATE jobs SET
         priority = new.priority, run_at = new.run_at, lease_ms = new.lease_ms, leased_at = new.leased_at,
         started_at = new.started_at, finished_at = new.finished_at, ready_at = new.ready_at,
         updated_at = new.updated_at, exit_code = new.exit_code, progress = new.progress, attempt = new.attempt,
         spent = new.spent, recoveries = new.recoveries, unmet = new.unmet, doomed = new.doomed, state = new.state,
         worker_id = new.worker_id, error = new.error, history = history || new.events
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
         $8::bigint[], $9::bigint[], $10::bigint[], $11::float8[], $12::int[], $13::int[], $14::int[], $15::int[],
         $16::int[], $17::smallint[], $18::text[], $19::text[], $20::text[])
         AS new (id, priority, run_at, lease_ms, leased_at, started_at, finished_at, ready_at, updated_at, exit_code,
           progress, attempt, spent, recoveries, unmet, doomed, state, worker_id, error, events)
       WHERE jobs.id = ANY (ARRAY[new.id])`,
      [
        numbers(column(({ id }) => id)),
        numbers(column(({ priority }) => priority)),
        numbers(column(({ runAt }) => runAt)),
        numbers(column(({ leaseMs }) => leaseMs)),
        numbers(column(({ leasedAt }) => leasedAt)),
        numbers(column(({ startedAt }) => startedAt)),
        numbers(column(({ finishedAt }) => finishedAt)),
        numbers(column(({ readyAt }) => readyAt)),
        numbers(column(({ updatedAt }) => updatedAt)),
        numbers(column(({ exitCode }) => exitCode)),
        numbers(column(({ progress }) => progress)),
        numbers(column(({ attempt }) => attempt)),
        numbers(column(({ spent }) => spent)),
        numbers(column(({ recoveries }) => recoveries)),
        numbers(column(({ unmet }) => unmet)),
        numbers(column(({ doomed }) => doomed)),
        numbers(column(({ state }) => stateCode.encode(state))),
        texts(column(({ workerId }) => workerId)),
        texts(column(({ error }) => error)),
        texts(updates.map(({ events }) => events.map(encodeEvent).join(""))),
      ],
    );
    this.#lines.move(updates.map(({ control }) => control));
    this.#writeResults(updates);
  }

  #writeResults(updates: readonly JobUpdate[]): void {
    const kept = updates.filter(({ result }) => result !== undefined && result !== null);
    const dropped = updates.filter(({ result }) => result === null);
    if (kept.length > 0) {
      this.#statements.write(
        `INSERT INTO job_results (id, result) SELECT * FROM unnest($1::bigint[], $2::text[])
         ON CONFLICT (id) DO UPDATE SET result = excluded.result`,
        [
          numbers(kept.map(({ control }) => control.id)),
          texts(kept.map(({ result }) => JSON.stringify(result))),
        ],
      );
    }
    if (dropped.length > 0) {
      this.#statements.write("DELETE FROM job_results WHERE id = ANY($1::bigint[])", [
        numbers(dropped.map(({ control }) => control.id)),
      ]);
    }
  }

  async edit(id: number, edit: Parameters<Transaction["editJob"]>[1]): Promise<void> {
    if (edit.name !== undefined || edit.spec !== undefined || edit.taskId !== undefined) {
      this.#statements.write(
        `UPDATE job_details SET
           name = coalesce($2::text, name), spec = coalesce($3::text, spec),
           task_id = CASE WHEN $4::boolean THEN $5::bigint ELSE task_id END
         WHERE id = $1`,
        [
          id,
          edit.name ?? null,
          edit.spec === undefined ? null : JSON.stringify(edit.spec),
          edit.taskId !== undefined,
          edit.taskId ?? null,
        ],
      );
    }
    if (edit.shapeId === undefined) return;
    const [control] = await this.controls([id]);
    if (control === undefined) return;
    this.#statements.write("UPDATE jobs SET shape_id = $2 WHERE id = $1", [id, edit.shapeId]);
    this.#lines.move([{ ...control, shapeId: edit.shapeId }]);
  }

  setDependencies(jobId: number, dependsOn: readonly number[]): void {
    this.#statements.write("DELETE FROM edges WHERE job_id = $1", [jobId]);
    this.#insertEdges(dependsOn.map((one) => ({ jobId, dependsOn: one })));
    this.#statements.write(
      "UPDATE job_details SET dependencies = (SELECT count(*) FROM edges WHERE job_id = $1) WHERE id = $1",
      [jobId],
    );
  }

  /** Edges by the job that has them, or by what they point to. */
  async edges(
    ids: readonly number[],
    by: "job_id" | "depends_on",
  ): Promise<{ jobId: number; dependsOn: number }[]> {
    if (ids.length === 0) return [];
    const rows = await this.#statements.read<{ job_id: number; depends_on: number }>(
      `SELECT job_id, depends_on FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, place)
       JOIN edges ON edges.${by} = ANY (ARRAY[wanted.id]) ORDER BY wanted.place, job_id, depends_on`,
      [numbers(ids)],
    );
    return rows.map((row) => ({ jobId: row.job_id, dependsOn: row.depends_on }));
  }

  async delete(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    await this.controls(ids.filter((id) => !this.#lines.knows(id)));
    this.#lines.drop(ids);
    const gone = [numbers(ids)];
    for (const table of DEPENDENT_TABLES) {
      this.#statements.write(`DELETE FROM ${table} WHERE job_id = ANY($1::bigint[])`, gone);
    }
    for (const table of ["job_results", "job_details", "jobs"]) {
      this.#statements.write(`DELETE FROM ${table} WHERE id = ANY($1::bigint[])`, gone);
    }
  }

  /** The newest first, of these states only where they are named. */
  async ofProject(
    projectId: number,
    limit: number,
    states: readonly JobState[] | undefined,
  ): Promise<number[]> {
    const rows =
      states === undefined
        ? await this.#statements.read<{ id: number }>(
            "SELECT id FROM job_details WHERE project_id = $1 ORDER BY id DESC LIMIT $2",
            [projectId, limit],
          )
        : await this.#statements.read<{ id: number }>(
            `SELECT id FROM job_details JOIN jobs USING (id)
             WHERE project_id = $1 AND state = ANY($3::smallint[]) ORDER BY id DESC LIMIT $2`,
            [projectId, limit, numbers(states.map(stateCode.encode))],
          );
    return rows.map((row) => row.id);
  }

  async ofTask(taskId: number, limit: number): Promise<number[]> {
    const rows = await this.#statements.read<{ id: number }>(
      "SELECT id FROM job_details WHERE task_id = $1 ORDER BY id LIMIT $2",
      [taskId, limit],
    );
    return rows.map((row) => row.id);
  }

  async attemptsOf(jobIds: readonly number[]): Promise<(Attempt & { readonly jobId: number })[]> {
    if (jobIds.length === 0) return [];
    const rows = await this.#statements.read<AttemptRow>(
      `SELECT attempts.* FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, place)
       JOIN attempts ON attempts.job_id = ANY (ARRAY[wanted.id]) ORDER BY wanted.place, attempts.number`,
      [numbers(jobIds)],
    );
    return rows.map((row) => ({ ...toAttempt(row), jobId: row.job_id }));
  }

  insertAttempts(attempts: readonly (Attempt & { readonly jobId: number })[]): void {
    if (attempts.length === 0) return;
    // The last of several under one number counts; one statement may not write a row twice.
    const last = [...new Map(attempts.map((one) => [`${one.jobId}/${one.number}`, one])).values()];
    this.#statements.write(
      `INSERT INTO attempts
         (job_id, number, worker_id, worker_address, started_at, ended_at, outcome, exit_code, error)
       SELECT * FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
         $8::bigint[], $9::text[])
       ON CONFLICT (job_id, number) DO UPDATE SET
         worker_id = excluded.worker_id, worker_address = excluded.worker_address,
         started_at = excluded.started_at, ended_at = excluded.ended_at, outcome = excluded.outcome,
         exit_code = excluded.exit_code, error = excluded.error`,
      [
        numbers(last.map(({ jobId }) => jobId)),
        numbers(last.map(({ number }) => number)),
        texts(last.map(({ workerId }) => workerId)),
        texts(last.map(({ workerAddress }) => workerAddress)),
        numbers(last.map(({ startedAt }) => startedAt)),
        numbers(last.map(({ endedAt }) => endedAt)),
        texts(last.map(({ outcome }) => outcome)),
        numbers(last.map(({ exitCode }) => exitCode)),
        texts(last.map(({ error }) => error)),
      ],
    );
  }
}

/** Tables of what is a job's own, by `job_id`. */
const DEPENDENT_TABLES = ["log_chunks", "records", "attempts", "edges", "leases"] as const;

/** Those that were found, in the order in which they were asked for. */
function inOrder<T extends { readonly id: number }>(ids: readonly number[], found: readonly T[]): T[] {
  const byId = new Map(found.map((one) => [one.id, one]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}
