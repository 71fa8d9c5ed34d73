/** The `Transaction` of the PostgreSQL store: one of these for each. */
import type { Attempt, Job, JobRecord, JobState, JsonObject, LogChunk } from "../../domain/job.ts";
import type { Project, Task } from "../../domain/project.ts";
import type { Shape } from "../../domain/shape.ts";
import type { WorkerRegistration } from "../../domain/worker.ts";
import { dialectCode, kindCode, stateCode, streamCode } from "../codes.ts";
import { readJson } from "../rows.ts";
import type {
  Head,
  IdempotencyEntry,
  JobInsert,
  JobRef,
  JobUpdate,
  Lease,
  StoredShape,
  TallyChange,
  Transaction,
} from "../store.ts";
import type { JobFactsCache } from "./jobFacts.ts";
import { JobTable } from "./jobTable.ts";
import { type GraceSearch, LeaseTable } from "./leaseTable.ts";
import { Lines } from "./lines.ts";
import { ProjectTable } from "./projectTable.ts";
import type { ShapeTable } from "./shapeTable.ts";
import type { Statements } from "./statements.ts";
import { numbers, texts } from "./text.ts";
import { WorkerTable } from "./workerTable.ts";

export class PostgresTransaction implements Transaction {
  readonly lines: Lines;
  /** What the other servers are to be told once it is committed. */
  readonly announcements: string[] = [];
  readonly #statements: Statements;
  readonly #shapes: ShapeTable;
  readonly #jobs: JobTable;
  readonly #leases: LeaseTable;
  readonly #workers: WorkerTable;
  readonly #projects: ProjectTable;

  constructor(
    statements: Statements,
    store: { readonly shapes: ShapeTable; readonly facts: JobFactsCache; readonly graceSearch: GraceSearch },
  ) {
    this.#statements = statements;
    this.#shapes = store.shapes;
    this.lines = new Lines(statements);
    this.#jobs = new JobTable(statements, store.shapes, this.lines, store.facts);
    this.#leases = new LeaseTable(statements, store.graceSearch);
    this.#workers = new WorkerTable(statements);
    this.#projects = new ProjectTable(statements);
  }

  nextJobIds(count: number) {
    return this.#jobs.nextIds(count);
  }
  internShapes(shapes: readonly Shape[]) {
    return this.#shapes.intern(shapes);
  }
  shapes(ids: readonly number[]) {
    return this.#shapes.list(ids);
  }
  insertJobs(jobs: readonly JobInsert[]): void {
    this.#jobs.insert(jobs);
  }
  findJobs(refs: readonly { readonly dialect: Job["dialect"] | null; readonly ref: JobRef }[]) {
    return this.#jobs.find(refs);
  }
  loadControls(ids: readonly number[]) {
    return this.#jobs.controls(ids);
  }
  loadJobs(ids: readonly number[]) {
    return this.#jobs.jobs(ids);
  }
  async loadBoth(ids: readonly number[]) {
    return (await this.#jobs.both(ids)).map(({ job, control }) => ({ job, control }));
  }
  updateJobs(updates: readonly JobUpdate[]) {
    return this.#jobs.update(updates);
  }
  editJob(id: number, edit: Parameters<Transaction["editJob"]>[1]) {
    return this.#jobs.edit(id, edit);
  }
  deleteJobs(ids: readonly number[]) {
    return this.#jobs.delete(ids);
  }
  addTallies(changes: readonly TallyChange[]): void {
    if (changes.length === 0) return;
    this.#statements.write(
      `INSERT INTO tally_changes (project_id, change, dialect, kind, state, queue)
       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::smallint[], $6::text[])`,
      [
        numbers(changes.map(({ projectId }) => projectId ?? 0)),
        numbers(changes.map(({ change }) => change)),
        numbers(changes.map(({ dialect }) => dialectCode.encode(dialect))),
        numbers(changes.map(({ kind }) => kindCode.encode(kind))),
        numbers(changes.map(({ state }) => stateCode.encode(state))),
        texts(changes.map(({ queue }) => queue)),
      ],
    );
  }

  async readyShapes(): Promise<readonly StoredShape[]> {
    return this.#shapes.list(await this.lines.readyShapeIds());
  }
  readyHeads(shapeId: number, after: Head | null, limit: number) {
    return this.lines.heads(shapeId, after, limit);
  }

  dependencies(ids: readonly number[]) {
    return this.#jobs.edges(ids, "job_id");
  }
  setDependencies(jobId: number, dependsOn: readonly number[]): void {
    this.#jobs.setDependencies(jobId, dependsOn);
  }
  dependents(ids: readonly number[]) {
    return this.#jobs.edges(ids, "depends_on");
  }
  attemptsOf(jobIds: readonly number[]) {
    return this.#jobs.attemptsOf(jobIds);
  }
  insertAttempts(attempts: readonly (Attempt & { readonly jobId: number })[]): void {
    this.#jobs.insertAttempts(attempts);
  }

  putLeases(leases: readonly Lease[]): void {
    this.#leases.put(leases);
  }
  dropLeases(jobIds: readonly number[]): void {
    this.#leases.drop(jobIds);
  }
  leases(jobIds: readonly number[]) {
    return this.#leases.find(jobIds);
  }
  overdueLeases(now: number, limit: number) {
    return this.#leases.overdue(now, limit);
  }
  heldJobs(workerIds: readonly string[], limit: number) {
    return this.#leases.heldBy(workerIds, limit);
  }
  unleasedJobs(limit: number) {
    return this.#leases.unleased(limit);
  }

  graceLeases(until: number): void {
    this.#leases.grace(until);
  }
  beginUpkeep(now: number) {
    return this.#leases.beginUpkeep(now);
  }
  announce(text: string): void {
    this.announcements.push(text);
  }

  dueJobs(now: number, limit: number) {
    return this.lines.due(now, limit);
  }
  nextDueAt() {
    return this.lines.nextDueAt();
  }
  finishedBefore(state: JobState, before: number, limit: number) {
    return this.lines.finishedBefore(state, before, limit);
  }
  jobsOfProject(projectId: number, limit: number, states?: readonly JobState[]) {
    return this.#jobs.ofProject(projectId, limit, states);
  }
  jobsOfTask(taskId: number, limit: number) {
    return this.#jobs.ofTask(taskId, limit);
  }

  async insertLogChunks(
    chunks: readonly (LogChunk & { readonly jobId: number; readonly attempt: number })[],
  ): Promise<number> {
    if (chunks.length === 0) return 0;
    const rows = await this.#statements.lock<{ inserted: number }>(
      `WITH inserted AS (
         INSERT INTO log_chunks (job_id, time, attempt, seq, stream, text)
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::smallint[], $6::text[])
         ON CONFLICT DO NOTHING RETURNING 1
       ) SELECT count(*)::int AS inserted FROM inserted`,
      [
        numbers(chunks.map(({ jobId }) => jobId)),
        numbers(chunks.map(({ time }) => time)),
        numbers(chunks.map(({ attempt }) => attempt)),
        numbers(chunks.map(({ seq }) => seq)),
        numbers(chunks.map(({ stream }) => streamCode.encode(stream))),
        texts(chunks.map(({ text }) => text)),
      ],
    );
    return rows[0]?.inserted ?? 0;
  }

  async lastLogSeqs(
    attempts: readonly { readonly jobId: number; readonly attempt: number }[],
  ): Promise<readonly number[]> {
    if (attempts.length === 0) return [];
    const rows = await this.#statements.read<{ seq: number }>(
      `SELECT coalesce((
         SELECT log_chunks.seq FROM log_chunks
         WHERE log_chunks.job_id = wanted.job_id AND log_chunks.attempt = wanted.attempt
         ORDER BY log_chunks.job_id DESC, log_chunks.attempt DESC, log_chunks.seq DESC LIMIT 1), 0) AS seq
       FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY AS wanted (job_id, attempt, at) ORDER BY wanted.at`,
      [numbers(attempts.map(({ jobId }) => jobId)), numbers(attempts.map(({ attempt }) => attempt))],
    );
    return rows.map((row) => row.seq);
  }
  insertRecords(records: readonly (Omit<JobRecord, "seq"> & { readonly jobId: number })[]): void {
    if (records.length === 0) return;
    this.#statements.write(
      `INSERT INTO records (job_id, time, attempt, kind, data)
       SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[], $5::text[])`,
      [
        numbers(records.map(({ jobId }) => jobId)),
        numbers(records.map(({ time }) => time)),
        numbers(records.map(({ attempt }) => attempt)),
        texts(records.map(({ kind }) => kind)),
        texts(records.map(({ data }) => JSON.stringify(data))),
      ],
    );
  }
  putDocuments(documents: Parameters<Transaction["putDocuments"]>[0]): void {
    for (const { collection, key, value, expiresAt = null } of documents) {
      if (value === null) {
        this.#statements.write("DELETE FROM documents WHERE collection = $1 AND key = $2", [collection, key]);
      } else {
        this.#statements.write(
          `INSERT INTO documents (collection, key, value, expires_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at`,
          [collection, key, JSON.stringify(value), expiresAt],
        );
      }
    }
  }
  pruneDocuments(before: number, limit: number): void {
    // By their places, which needs no index. The sum keeps the planner from reading an index once more for the second
    // condition, which is there for rows that are put anew at this moment.
    this.#statements.write(
      `DELETE FROM documents WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM documents WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)) AND expires_at + 0 < $1`,
      [before, limit],
    );
  }

  upsertWorkers(
    workers: readonly (WorkerRegistration & { readonly isImplicit: boolean; readonly now: number })[],
  ): void {
    this.#workers.upsert(workers);
  }
  touchWorkers(seen: readonly { readonly id: string; readonly lastSeenAt: number }[]): void {
    this.#workers.touch(seen);
  }
  countWorkerResults(
    counts: readonly { readonly id: string; readonly succeeded: number; readonly failed: number }[],
  ): void {
    this.#workers.countResults(counts);
  }
  describeWorker(id: string, details: JsonObject): void {
    this.#workers.describe(id, details);
  }
  setDraining(id: string, isDraining: boolean): void {
    this.#workers.setDraining(id, isDraining);
  }
  workers(ids: readonly string[] | null) {
    return this.#workers.list(ids);
  }
  forgottenWorkers(before: number, limit: number) {
    return this.#workers.forgotten(before, limit);
  }
  deleteWorkers(ids: readonly string[]): void {
    this.#workers.delete(ids);
  }

  insertProject(project: Omit<Project, "id">) {
    return this.#projects.insert(project);
  }
  updateProject(project: Project): void {
    this.#projects.update(project);
  }
  deleteProject(id: number): void {
    this.#projects.delete(id);
  }
  findProject(by: { readonly id: number } | { readonly name: string }) {
    return this.#projects.find(by);
  }
  insertTask(task: Omit<Task, "id">) {
    return this.#projects.insertTask(task);
  }
  updateTask(task: Task): void {
    this.#projects.updateTask(task);
  }
  deleteTask(id: number): void {
    this.#projects.deleteTask(id);
  }
  findTasks(ids: readonly number[]) {
    return this.#projects.findTasks(ids);
  }
  tasksOfProject(projectId: number) {
    return this.#projects.tasksOfProject(projectId);
  }

  async findIdempotencies(keys: readonly string[]): Promise<IdempotencyEntry[]> {
    if (keys.length === 0) return [];
    const rows = await this.#statements.read<{ key: string; fingerprint: string; job_ids: string }>(
      "SELECT key, fingerprint, job_ids FROM idempotency WHERE key = ANY($1::text[])",
      [texts(keys)],
    );
    return rows.map((row) => ({
      key: row.key,
      fingerprint: row.fingerprint,
      jobIds: readJson<number[]>(row.job_ids),
    }));
  }
  insertIdempotencies(added: readonly (IdempotencyEntry & { readonly createdAt: number })[]): void {
    if (added.length === 0) return;
    // In one order by all, so that two commits with the same keys do not wait for each other in a circle: that takes the
    // database a second to notice.
    const entries = added.toSorted((a, b) => (a.key < b.key ? -1 : 1));
    this.#statements.write(
      `INSERT INTO idempotency (key, fingerprint, job_ids, created_at)
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])`,
      [
        texts(entries.map(({ key }) => key)),
        texts(entries.map(({ fingerprint }) => fingerprint)),
        texts(entries.map(({ jobIds }) => JSON.stringify(jobIds))),
        numbers(entries.map(({ createdAt }) => createdAt)),
      ],
    );
  }
  pruneIdempotency(before: number, limit: number): void {
    this.#statements.write(
      `DELETE FROM idempotency WHERE key = ANY (ARRAY(
         SELECT key FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2))`,
      [before, limit],
    );
  }
}
