/**
 * Reads on a connection of their own: in WAL mode they see the last commit and never wait for the writer.
 *
 * Point reads cost some microseconds. Lists walk an index in order of id and stop at the page's end;
 * totals come from the tallies where the filter allows, and are counted where it does not.
 */
import { Database, type Statement } from "bun:sqlite";
import { join } from "node:path";
import { StoreUnavailableError } from "../../domain/errors.ts";
import type {
  Attempt,
  AttemptOutcome,
  DialectName,
  Job,
  JobEvent,
  JobRecord,
  JobState,
  JsonObject,
  LogChunk,
} from "../../domain/job.ts";
import type { Project, Task } from "../../domain/project.ts";
import { isHeld } from "../../domain/stateMachine.ts";
import { dialectCode, kindCode, stateCode, streamCode } from "../codes.ts";
import {
  type AttemptRow,
  decodeHistory,
  JOB_COLUMNS,
  type JobRow,
  LISTED_COLUMNS,
  type ProjectRow,
  readJson,
  type TaskRow,
  toAttempt,
  toJob,
  toProject,
  toTask,
} from "../rows.ts";
import {
  type JobQuery,
  type JobRef,
  MAX_RECENT_CHUNKS,
  type MentionPage,
  type MentionPart,
  type MentionPlace,
  type StoredLogPage,
  type StoreReads,
  type TallyRow,
} from "../store.ts";
import { type JobFilterSql, jobFilters } from "./jobFilter.ts";
import { mentions } from "./mentions.ts";
import { ShapeTable } from "./shapeTable.ts";
import { DATABASE_FILE } from "./sqliteStore.ts";

interface TallyTableRow {
  dialect: number;
  queue: string;
  kind: number;
  project_id: number;
  state: number;
  count: number;
}

interface RecordRow {
  seq: number;
  attempt: number;
  time: number;
  kind: string;
  data: string;
}

interface ChunkRow {
  attempt: number;
  seq: number;
  time: number;
  stream: number;
  text: string;
}

export class SqliteReads implements StoreReads {
  readonly #db: Database;
  readonly #shapes: ShapeTable;
  readonly #jobById: Statement<JobRow, [number]>;
  readonly #jobByKey: Statement<JobRow, [string]>;
  readonly #jobByKeyOfDialect: Statement<JobRow, [string, number]>;
  readonly #dialectOfWorker: Statement<{ dialect: number }, [string]>;
  readonly #edgesOf: Statement<{ depends_on: number }, [number]>;

  /** Opens the file that a `SqliteStore` of the same directory has made. */
  constructor(dataDir: string) {
    this.#db = new Database(join(dataDir, DATABASE_FILE), { readonly: true, strict: true });
    this.#db.run("PRAGMA busy_timeout = 5000");
    this.#db.run("PRAGMA cache_size = -8192");
    this.#shapes = new ShapeTable(this.#db, { canWrite: false });
    this.#jobById = this.#db.prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE id = ?`);
    this.#jobByKey = this.#db.prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE key = ? LIMIT 1`);
    this.#jobByKeyOfDialect = this.#db.prepare(
      `SELECT ${JOB_COLUMNS} FROM jobs WHERE key = ? AND dialect = ?`,
    );
    this.#dialectOfWorker = this.#db.prepare("SELECT dialect FROM workers WHERE id = ?");
    this.#edgesOf = this.#db.prepare("SELECT depends_on FROM edges WHERE job_id = ? ORDER BY depends_on");
  }

  async findJob(ref: JobRef, dialect?: DialectName): Promise<Job | null> {
    const row = this.#findRow(ref, dialect);
    if (row === null || (dialect !== undefined && row.dialect !== dialectCode.encode(dialect))) return null;
    return this.#toJob(row);
  }

  #findRow(ref: JobRef, dialect: DialectName | undefined): JobRow | null {
    if (typeof ref === "number") return this.#jobById.get(ref);
    return dialect === undefined
      ? this.#jobByKey.get(ref)
      : this.#jobByKeyOfDialect.get(ref, dialectCode.encode(dialect));
  }

  async listJobs(query: JobQuery, page: Parameters<StoreReads["listJobs"]>[1]) {
    const filters = jobFilters(query);
    const isNewest = page.order === "newest";
    const place = page.cursor === null ? "" : isNewest ? "AND jobs.id < ?" : "AND jobs.id > ?";
    const order = `ORDER BY id ${isNewest ? "DESC" : "ASC"}`;
    const skip = page.skip ?? 0;
    const most = skip + page.limit + 1;
    // The ids first: what is left out costs no more than a step along an index.
    const ids = filters
      .map(
        ({ from, where }) =>
          `SELECT * FROM (SELECT id FROM ${from} WHERE ${where} ${place} ${order} LIMIT ?)`,
      )
      .join(" UNION ALL ");
    const values = filters.flatMap((filter) => [
      ...filter.values,
      ...(page.cursor === null ? [] : [page.cursor]),
      most,
    ]);
    const rows = this.#db
      .query<JobRow, (string | number)[]>(`
        SELECT ${LISTED_COLUMNS} FROM jobs
        WHERE id IN (SELECT id FROM (${ids}) ${order} LIMIT ? OFFSET ?) ${order}`)
      .all(...values, page.limit + 1, skip);
    const items = rows.slice(0, page.limit).map((row) => this.#toJob(row));
    const last = items.at(-1);
    return {
      items,
      nextCursor: rows.length > page.limit && last !== undefined ? last.id : null,
      total: page.wantsTotal === false ? null : this.#total(query, filters),
    };
  }

  #total(query: JobQuery, filters: readonly JobFilterSql[]): number {
    if (query.name === undefined && query.label === undefined && query.text === undefined) {
      return this.#count(query);
    }
    let total = 0;
    for (const { from, where, values } of filters) {
      total +=
        this.#db
          .query<{ n: number }, (string | number)[]>(`SELECT count(*) AS n FROM ${from} WHERE ${where}`)
          .get(...values)?.n ?? 0;
    }
    return total;
  }

  async count(query: Parameters<StoreReads["count"]>[0]): Promise<number> {
    return this.#count(query);
  }

  #count(query: Parameters<StoreReads["count"]>[0]): number {
    let total = 0;
    for (const row of this.#tallyRows()) {
      if (
        (query.states === undefined || query.states.includes(row.state)) &&
        (query.kind === undefined || query.kind === row.kind) &&
        (query.dialect === undefined || query.dialect === row.dialect) &&
        (query.queue === undefined || query.queue === row.queue) &&
        (query.projectId === undefined || query.projectId === row.projectId)
      ) {
        total += row.count;
      }
    }
    return total;
  }

  async attempts(jobId: number): Promise<readonly Attempt[]> {
    const ended = this.#db
      .query<AttemptRow, [number]>("SELECT * FROM attempts WHERE job_id = ? ORDER BY number")
      .all(jobId)
      .map(toAttempt);
    const job = await this.findJob(jobId);
    if (job === null || job.attempt === 0 || ended.at(-1)?.number === job.attempt) return ended;
    return [...ended, this.#currentAttempt(job)];
  }

  /** The attempt that the job's own row tells of: the one under way, or the one that decided its fate. */
  #currentAttempt(job: Job): Attempt {
    const address = this.#db
      .query<{ address: string | null }, [string | null]>("SELECT address FROM workers WHERE id = ?")
      .get(job.workerId)?.address;
    return {
      number: job.attempt,
      workerId: job.workerId,
      workerAddress: address ?? null,
      startedAt: job.startedAt,
      endedAt: isHeld(job.state) ? null : job.finishedAt,
      outcome: outcomeOf(job.state),
      exitCode: job.exitCode,
      error: job.error,
    };
  }

  async dependencies(jobId: number) {
    return this.#db
      .query<{ id: number; key: string | null; name: string; state: number }, [number]>(`
        SELECT jobs.id, jobs.key, jobs.name, jobs.state
        FROM edges JOIN jobs ON jobs.id = edges.depends_on
        WHERE edges.job_id = ? ORDER BY jobs.id`)
      .all(jobId)
      .map((row) => ({
        id: row.id,
        key: row.key ?? String(row.id),
        name: row.name,
        state: stateCode.decode(row.state),
      }));
  }

  async events(jobId: number): Promise<readonly JobEvent[]> {
    const row = this.#db
      .query<{ history: string }, [number]>("SELECT history FROM jobs WHERE id = ?")
      .get(jobId);
    return row === null ? [] : decodeHistory(row.history);
  }

  async logChunks(
    jobId: number,
    query: {
      fromAttempt: number;
      toAttempt: number;
      stream: LogChunk["stream"] | null;
      after: { attempt: number; seq: number };
      maxBytes: number;
    },
  ): Promise<StoredLogPage> {
    const rows = this.#db
      .query<ChunkRow, (number | string)[]>(`
        SELECT attempt, seq, time, stream, text FROM log_chunks INDEXED BY log_chunks_place
        WHERE job_id = ? AND (attempt, seq) > (?, ?) AND attempt BETWEEN ? AND ?
          ${query.stream === null ? "" : "AND stream = ?"}
        ORDER BY attempt, seq`)
      .iterate(
        jobId,
        query.after.attempt,
        query.after.seq,
        query.fromAttempt,
        query.toAttempt,
        ...(query.stream === null ? [] : [streamCode.encode(query.stream)]),
      );
    const items: (LogChunk & { attempt: number })[] = [];
    let bytes = 0;
    for (const row of rows) {
      if (items.length > 0 && (bytes + row.text.length > query.maxBytes || items.length >= MAX_PAGE_CHUNKS)) {
        return { items, isEnd: false };
      }
      bytes += row.text.length;
      items.push({
        attempt: row.attempt,
        seq: row.seq,
        time: row.time,
        stream: streamCode.decode(row.stream),
        text: row.text,
      });
    }
    return { items, isEnd: true };
  }

  async logTail(jobId: number, attempt: number, stream: LogChunk["stream"] | null, lines: number) {
    const rows = this.#db
      .query<{ seq: number; text: string }, (number | string)[]>(`
        SELECT seq, text FROM log_chunks INDEXED BY log_chunks_place
        WHERE job_id = ? AND attempt = ? ${stream === null ? "" : "AND stream = ?"}
        ORDER BY seq DESC`)
      .iterate(jobId, attempt, ...(stream === null ? [] : [streamCode.encode(stream)]));
    // The last character ends the last line; each newline before it ends one more.
    let newlines = 0;
    let isLast = true;
    for (const { seq, text } of rows) {
      let end = text.length;
      if (isLast && text.endsWith("\n")) end--;
      isLast = false;
      for (
        let at = text.lastIndexOf("\n", end - 1);
        at >= 0 && end > 0;
        at = text.lastIndexOf("\n", end - 1)
      ) {
        newlines++;
        if (newlines === lines) return { seq, skipCharacters: at + 1 };
        end = at;
      }
    }
    return null;
  }

  async records(
    jobId: number,
    { kind, limit, order }: Parameters<StoreReads["records"]>[1],
  ): Promise<readonly JobRecord[]> {
    return this.#db
      .query<RecordRow, (string | number)[]>(`
        SELECT seq, attempt, time, kind, data FROM records INDEXED BY records_job
        WHERE job_id = ? ${kind === null ? "" : "AND kind = ?"}
        ORDER BY seq ${order === "newest" ? "DESC" : "ASC"} LIMIT ?`)
      .all(jobId, ...(kind === null ? [] : [kind]), limit)
      .map(({ data, ...record }) => ({ ...record, data: readJson<JsonObject>(data) }));
  }

  async recentLogChunks(dialect: DialectName, limit: number) {
    return this.#db
      .query<ChunkRow & { job_id: number; key: string | null }, [number, number]>(`
        SELECT log_chunks.*, jobs.key FROM log_chunks JOIN jobs ON jobs.id = log_chunks.job_id
        WHERE jobs.dialect = ?
          AND log_chunks.rowid > (SELECT max(rowid) FROM log_chunks) - ${MAX_RECENT_CHUNKS}
        ORDER BY log_chunks.rowid DESC LIMIT ?`)
      .all(dialectCode.encode(dialect), limit)
      .map((row) => ({
        jobId: row.job_id,
        jobKey: row.key ?? String(row.job_id),
        attempt: row.attempt,
        seq: row.seq,
        time: row.time,
        stream: streamCode.decode(row.stream),
        text: row.text,
      }));
  }

  async findDocument(collection: string, key: string): Promise<JsonObject | null> {
    const row = this.#db
      .query<{ value: string }, [string, string]>(
        "SELECT value FROM documents WHERE collection = ? AND key = ?",
      )
      .get(collection, key);
    return row === null ? null : readJson<JsonObject>(row.value);
  }

  async mentions(part: MentionPart, after: MentionPlace | null): Promise<MentionPage> {
    return mentions(this.#db, part, after);
  }

  async tallies(): Promise<readonly TallyRow[]> {
    return this.#tallyRows();
  }

  #tallyRows(): TallyRow[] {
    return this.#db
      .query<TallyTableRow, []>("SELECT * FROM tallies WHERE count <> 0")
      .all()
      .map((row) => ({
        dialect: dialectCode.decode(row.dialect),
        queue: row.queue,
        kind: kindCode.decode(row.kind),
        projectId: row.project_id === 0 ? null : row.project_id,
        state: stateCode.decode(row.state),
        count: row.count,
      }));
  }

  async listProjects(filter: { status?: Project["status"]; name?: string; limit: number; offset: number }) {
    return this.#db
      .query<ProjectRow, (string | number | null)[]>(`
        SELECT * FROM projects WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR name = ?2)
        ORDER BY id LIMIT ?3 OFFSET ?4`)
      .all(filter.status ?? null, filter.name ?? null, filter.limit, filter.offset)
      .map(toProject);
  }

  async findProject(id: number): Promise<Project | null> {
    const row = this.#db.query<ProjectRow, [number]>("SELECT * FROM projects WHERE id = ?").get(id);
    return row === null ? null : toProject(row);
  }

  async listTasks(filter: { projectId?: number; name?: string; limit: number; offset: number }) {
    return this.#db
      .query<TaskRow, (string | number | null)[]>(`
        SELECT * FROM tasks WHERE (?1 IS NULL OR project_id = ?1) AND (?2 IS NULL OR name = ?2)
        ORDER BY id LIMIT ?3 OFFSET ?4`)
      .all(filter.projectId ?? null, filter.name ?? null, filter.limit, filter.offset)
      .map(toTask);
  }

  async findTask(id: number): Promise<Task | null> {
    const row = this.#db.query<TaskRow, [number]>("SELECT * FROM tasks WHERE id = ?").get(id);
    return row === null ? null : toTask(row);
  }

  async dialectOfWorker(id: string): Promise<DialectName | null> {
    const row = this.#dialectOfWorker.get(id);
    return row === null ? null : dialectCode.decode(row.dialect);
  }

  async ping(): Promise<void> {
    try {
      this.#db.query("SELECT value FROM meta LIMIT 1").get();
    } catch (error) {
      throw new StoreUnavailableError(`the store does not answer: ${String(error)}`);
    }
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  #toJob(row: JobRow): Job {
    const dependsOn = row.dependencies === 0 ? [] : this.#edgesOf.all(row.id).map((edge) => edge.depends_on);
    return toJob(row, this.#shapes.get(row.shape_id), dependsOn);
  }
}

/** Chunks in one page at the most, however short they are. */
const MAX_PAGE_CHUNKS = 10_000;

function outcomeOf(state: JobState): AttemptOutcome | null {
  return state === "succeeded" || state === "failed" || state === "cancelled" ? state : null;
}
