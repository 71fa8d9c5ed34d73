/** The `Transaction` of the SQLite store: everything answers at once, from the same thread. */
import type { Database, Statement } from "bun:sqlite";
import type { Attempt, Job, JobRecord, JobState, JsonObject, LogChunk } from "../../domain/job.ts";
import type { Project, Task } from "../../domain/project.ts";
import type { Shape } from "../../domain/shape.ts";
import type { WorkerRegistration } from "../../domain/worker.ts";
import { dialectCode, kindCode, stateCode, streamCode } from "../codes.ts";
import type {
  Head,
  IdempotencyEntry,
  JobControl,
  JobInsert,
  JobRef,
  JobUpdate,
  Lease,
  StoredShape,
  StoredWorker,
  TallyChange,
  Transaction,
} from "../store.ts";
import { JobTable, readIds } from "./jobTable.ts";
import { StoreMemory } from "./memory.ts";
import { ProjectTable } from "./projectTable.ts";
import { ShapeTable } from "./shapeTable.ts";
import { WorkerTable } from "./workerTable.ts";

export class SqliteTransaction implements Transaction {
  readonly #memory = new StoreMemory();
  readonly #shapes: ShapeTable;
  readonly #jobs: JobTable;
  readonly #workers: WorkerTable;
  readonly #projects: ProjectTable;
  readonly #addTally: Statement<unknown, [number, string, number, number, number, number]>;
  readonly #insertChunk: Statement<unknown, [number, number, number, number, number, string]>;
  readonly #lastChunk: Statement<{ seq: number | null }, [number, number]>;
  readonly #insertRecord: Statement<unknown, [number, number, number, string, string]>;
  readonly #putDocument: Statement<unknown, [string, string, string, number | null]>;
  readonly #pruneDocuments: Statement<unknown, [number, number]>;
  readonly #deleteDocument: Statement<unknown, [string, string]>;
  readonly #findIdempotency: Statement<{ fingerprint: string; job_ids: string }, [string]>;
  readonly #insertIdempotency: Statement<unknown, [string, string, string, number]>;
  readonly #pruneIdempotency: Statement<unknown, [number, number]>;

  #upkeepAt: number | null = null;

  constructor(db: Database) {
    this.#shapes = new ShapeTable(db, { canWrite: true });
    this.#jobs = new JobTable(db, this.#shapes, this.#memory);
    this.#workers = new WorkerTable(db);
    this.#projects = new ProjectTable(db);
    this.#addTally = db.prepare(`
      INSERT INTO tallies (dialect, queue, kind, project_id, state, count) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET count = count + excluded.count`);
    this.#insertChunk = db.prepare(`
      INSERT OR IGNORE INTO log_chunks (job_id, attempt, seq, time, stream, text) VALUES (?, ?, ?, ?, ?, ?)`);
    this.#lastChunk = db.prepare(
      "SELECT max(seq) AS seq FROM log_chunks INDEXED BY log_chunks_place WHERE job_id = ? AND attempt = ?",
    );
    this.#insertRecord = db.prepare(
      "INSERT INTO records (job_id, attempt, time, kind, data) VALUES (?, ?, ?, ?, ?)",
    );
    this.#putDocument = db.prepare(
      "INSERT OR REPLACE INTO documents (collection, key, value, expires_at) VALUES (?, ?, ?, ?)",
    );
    this.#pruneDocuments = db.prepare(`
      DELETE FROM documents WHERE (collection, key) IN (
        SELECT collection, key FROM documents INDEXED BY documents_expiring
        WHERE expires_at < ? ORDER BY expires_at LIMIT ?
      )`);
    this.#deleteDocument = db.prepare("DELETE FROM documents WHERE collection = ? AND key = ?");
    this.#findIdempotency = db.prepare("SELECT fingerprint, job_ids FROM idempotency WHERE key = ?");
    this.#insertIdempotency = db.prepare(
      "INSERT INTO idempotency (key, fingerprint, job_ids, created_at) VALUES (?, ?, ?, ?)",
    );
    this.#pruneIdempotency = db.prepare(`
      DELETE FROM idempotency WHERE key IN (
        SELECT key FROM idempotency WHERE created_at < ? ORDER BY created_at LIMIT ?
      )`);
  }

  /** The database committed: what was noted in memory stands. */
  committed(): void {
    this.#memory.commit();
  }

  /** The database rolled back: memory follows. */
  rolledBack(): void {
    this.#memory.rollback();
    this.#shapes.forget();
    this.#workers.forget();
    this.#jobs.forget();
  }

  nextJobIds(count: number): number {
    return this.#jobs.nextIds(count);
  }
  internShapes(shapes: readonly Shape[]): readonly number[] {
    return shapes.map((shape) => this.#shapes.intern(shape));
  }
  shapes(ids: readonly number[]): readonly StoredShape[] {
    return ids.map((id) => this.#shapes.get(id));
  }
  insertJobs(jobs: readonly JobInsert[]): void {
    this.#jobs.insert(jobs);
  }
  findJobs(refs: readonly { readonly dialect: Job["dialect"] | null; readonly ref: JobRef }[]) {
    return this.#jobs.find(refs);
  }
  loadControls(ids: readonly number[]): readonly JobControl[] {
    return this.#jobs.controls(ids);
  }
  loadJobs(ids: readonly number[]): readonly Job[] {
    return this.#jobs.jobs(ids);
  }
  loadBoth(ids: readonly number[]) {
    return this.#jobs.both(ids);
  }
  updateJobs(updates: readonly JobUpdate[]): void {
    this.#jobs.update(updates);
  }
  editJob(id: number, edit: Parameters<Transaction["editJob"]>[1]): void {
    this.#jobs.edit(id, edit);
  }
  deleteJobs(ids: readonly number[]): void {
    this.#jobs.delete(ids);
  }
  addTallies(changes: readonly TallyChange[]): void {
    for (const { dialect, queue, kind, projectId, state, change } of changes) {
      this.#addTally.run(
        dialectCode.encode(dialect),
        queue,
        kindCode.encode(kind),
        projectId ?? 0,
        stateCode.encode(state),
        change,
      );
    }
  }

  readyShapes(): readonly StoredShape[] {
    return [...this.#memory.readyShapeIds()].map((id) => this.#shapes.get(id));
  }
  readyHeads(shapeId: number, after: Head | null, limit: number): readonly Head[] {
    return this.#jobs.heads(shapeId, after, limit);
  }

  dependencies(ids: readonly number[]) {
    return this.#jobs.dependencies(ids);
  }
  setDependencies(jobId: number, dependsOn: readonly number[]): void {
    this.#jobs.setDependencies(jobId, dependsOn);
  }
  dependents(ids: readonly number[]) {
    return this.#jobs.dependents(ids);
  }
  attemptsOf(jobIds: readonly number[]): readonly (Attempt & { readonly jobId: number })[] {
    return this.#jobs.attemptsOf(jobIds);
  }
  insertAttempts(attempts: readonly (Attempt & { readonly jobId: number })[]): void {
    this.#jobs.insertAttempts(attempts);
  }

  putLeases(leases: readonly Lease[]): void {
    for (const lease of leases) this.#memory.putLease(lease);
  }
  dropLeases(jobIds: readonly number[]): void {
    for (const id of jobIds) this.#memory.dropLease(id);
  }
  leases(jobIds: readonly number[]): readonly Lease[] {
    return jobIds.flatMap((id) => this.#memory.lease(id) ?? []);
  }
  overdueLeases(now: number, limit: number): readonly Lease[] {
    const overdue: Lease[] = [];
    for (const lease of this.#memory.leases()) {
      if (lease.expiresAt <= now || (lease.deadlineAt !== null && lease.deadlineAt <= now)) {
        overdue.push(lease);
        if (overdue.length >= limit) break;
      }
    }
    return overdue;
  }
  heldJobs(workerIds: readonly string[], limit: number) {
    return workerIds.map((workerId) => ({ workerId, ...this.#memory.heldBy(workerId, limit) }));
  }
  unleasedJobs(limit: number): readonly number[] {
    return this.#jobs
      .held(limit + this.#memory.leaseCount)
      .filter((id) => this.#memory.lease(id) === undefined)
      .slice(0, limit);
  }

  graceLeases(until: number): void {
    this.#memory.grace(until);
  }
  beginUpkeep(now: number) {
    const lastAt = this.#upkeepAt;
    this.#upkeepAt = now;
    return { isMine: true, lastAt };
  }
  announce(): void {}

  dueJobs(now: number, limit: number): readonly number[] {
    return this.#jobs.due(now, limit);
  }
  nextDueAt(): number | null {
    return this.#jobs.nextDueAt();
  }
  finishedBefore(state: JobState, before: number, limit: number): readonly number[] {
    return this.#jobs.finishedBefore(state, before, limit);
  }
  jobsOfProject(projectId: number, limit: number, states?: readonly JobState[]): readonly number[] {
    return this.#jobs.ofProject(projectId, limit, states);
  }
  jobsOfTask(taskId: number, limit: number): readonly number[] {
    return this.#jobs.ofTask(taskId, limit);
  }

  insertLogChunks(
    chunks: readonly (LogChunk & { readonly jobId: number; readonly attempt: number })[],
  ): number {
    let inserted = 0;
    for (const chunk of chunks) {
      inserted += this.#insertChunk.run(
        chunk.jobId,
        chunk.attempt,
        chunk.seq,
        chunk.time,
        streamCode.encode(chunk.stream),
        chunk.text,
      ).changes;
    }
    return inserted;
  }

  lastLogSeqs(attempts: readonly { readonly jobId: number; readonly attempt: number }[]): readonly number[] {
    return attempts.map(({ jobId, attempt }) => this.#lastChunk.get(jobId, attempt)?.seq ?? 0);
  }
  insertRecords(records: readonly (Omit<JobRecord, "seq"> & { readonly jobId: number })[]): void {
    for (const { jobId, attempt, time, kind, data } of records) {
      this.#insertRecord.run(jobId, attempt, time, kind, JSON.stringify(data));
    }
  }
  putDocuments(documents: Parameters<Transaction["putDocuments"]>[0]): void {
    for (const { collection, key, value, expiresAt = null } of documents) {
      if (value === null) this.#deleteDocument.run(collection, key);
      else this.#putDocument.run(collection, key, JSON.stringify(value), expiresAt);
    }
  }
  pruneDocuments(before: number, limit: number): void {
    this.#pruneDocuments.run(before, limit);
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
  ) {
    this.#workers.countResults(counts);
  }
  describeWorker(id: string, details: JsonObject): void {
    this.#workers.describe(id, details);
  }
  setDraining(id: string, isDraining: boolean): void {
    this.#workers.setDraining(id, isDraining);
  }
  workers(ids: readonly string[] | null): readonly StoredWorker[] {
    return this.#workers.list(ids);
  }
  forgottenWorkers(before: number, limit: number): readonly string[] {
    const seen = this.#workers.unseen(before, limit);
    return seen.filter((id) => this.#memory.heldBy(id, 0).count === 0);
  }
  deleteWorkers(ids: readonly string[]): void {
    this.#workers.delete(ids);
  }

  insertProject(project: Omit<Project, "id">): Project {
    return this.#projects.insert(project);
  }
  updateProject(project: Project): void {
    this.#projects.update(project);
  }
  deleteProject(id: number): void {
    this.#projects.delete(id);
  }
  findProject(by: { readonly id: number } | { readonly name: string }): Project | null {
    return this.#projects.find(by);
  }
  insertTask(task: Omit<Task, "id">): Task {
    return this.#projects.insertTask(task);
  }
  updateTask(task: Task): void {
    this.#projects.updateTask(task);
  }
  deleteTask(id: number): void {
    this.#projects.deleteTask(id);
  }
  findTasks(ids: readonly number[]): readonly Task[] {
    return this.#projects.findTasks(ids);
  }
  tasksOfProject(projectId: number): readonly Task[] {
    return this.#projects.tasksOfProject(projectId);
  }

  findIdempotencies(keys: readonly string[]): IdempotencyEntry[] {
    return keys.flatMap((key) => {
      const row = this.#findIdempotency.get(key);
      return row === null ? [] : [{ key, fingerprint: row.fingerprint, jobIds: readIds(row.job_ids) }];
    });
  }
  insertIdempotencies(entries: readonly (IdempotencyEntry & { readonly createdAt: number })[]): void {
    for (const { key, fingerprint, jobIds, createdAt } of entries) {
      this.#insertIdempotency.run(key, fingerprint, JSON.stringify(jobIds), createdAt);
    }
  }
  pruneIdempotency(before: number, limit: number): void {
    this.#pruneIdempotency.run(before, limit);
  }
}
