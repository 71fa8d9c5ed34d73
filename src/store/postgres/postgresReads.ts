/**
 * Reads on connections of their own, which cannot write. Each statement sees what was committed before it began; a read
 * that a fault stopped is made again.
 */
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
import type { Project } from "../../domain/project.ts";
import { isHeld } from "../../domain/stateMachine.ts";
import { dialectCode, kindCode, stateCode, streamCode } from "../codes.ts";
import {
  type AttemptRow,
  decodeHistory,
  JOB_COLUMNS,
  type JobRow,
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
  MAX_LISTED_RESULT_LENGTH,
  MAX_RECENT_CHUNKS,
  type MentionPage,
  type MentionPart,
  type MentionPlace,
  type StoredLogPage,
  type StoreReads,
  type TallyRow,
} from "../store.ts";
import { parseDatabaseAddress } from "./databaseAddress.ts";
import { countIds, selectIds, Values } from "./jobFilter.ts";
import { SCHEMA } from "./layout.ts";
import { mentions } from "./mentions.ts";
import { withPatience } from "./patience.ts";
import { type Parameter, Session, SessionLostError } from "./session.ts";
import { SessionPool } from "./sessionPool.ts";
import { ShapeTable } from "./shapeTable.ts";
import { readNumbers } from "./text.ts";

export interface PostgresReadsOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** Reads at the same time. */
  readonly maxReads?: number;
  readonly connectTimeoutMs?: number;
  /** A read that takes longer is given up. */
  readonly readTimeoutMs?: number;
  /** How long a fault of the database is waited out before callers are told. */
  readonly patienceMs?: number;
}

export const DEFAULT_POSTGRES_READS_OPTIONS = {
  maxReads: 4,
  connectTimeoutMs: 5_000,
  readTimeoutMs: 30_000,
  patienceMs: 5_000,
} as const;

/** Chunks in one page at the most, however short they are. */
const MAX_PAGE_CHUNKS = 10_000;
/** Chunks of a log that are fetched at once. */
const CHUNKS_AT_ONCE = 256;

type WholeRow = JobRow & { depends_on: string | null };

const WHOLE = `
  SELECT ${JOB_COLUMNS}, CASE WHEN dependencies > 0 THEN
    (SELECT array_agg(depends_on ORDER BY depends_on)::text FROM edges WHERE edges.job_id = id) END AS depends_on
  FROM jobs JOIN job_details USING (id) LEFT JOIN job_results USING (id)`;

/** The same for lists, which leave long results out. */
const LISTED = WHOLE.replace(
  / result,/,
  ` CASE WHEN length(result) <= ${MAX_LISTED_RESULT_LENGTH} THEN result END AS result,`,
);

interface ChunkRow {
  attempt: number;
  seq: number;
  time: number;
  stream: number;
  text: string;
}

export class PostgresReads implements StoreReads {
  readonly #pool: SessionPool;
  readonly #shapes: ShapeTable;
  readonly #patienceMs: number;
  readonly #readTimeoutMs: number;
  #isClosed = false;

  /** Of a database that a `PostgresStore` has brought up to date. Connects when it is first asked. */
  constructor(options: PostgresReadsOptions) {
    const address = parseDatabaseAddress(options.url);
    const settings = { ...DEFAULT_POSTGRES_READS_OPTIONS, ...options };
    this.#patienceMs = settings.patienceMs;
    this.#readTimeoutMs = settings.readTimeoutMs;
    this.#shapes = new ShapeTable((statement, parameters) => this.#read(statement, parameters));
    this.#pool = new SessionPool({
      maxSessions: settings.maxReads,
      open: () => {
        if (this.#isClosed) return Promise.reject(new SessionLostError("the store was closed"));
        return Session.open({
          address,
          applicationName: "yardmaster reads",
          connectTimeoutMs: settings.connectTimeoutMs,
          settings: {
            search_path: SCHEMA,
            default_transaction_read_only: "on",
            statement_timeout: String(settings.readTimeoutMs),
            jit: "off",
            max_parallel_workers_per_gather: "0",
            // Jobs of one state and those of one API lie in different ranges of ids: merging walks the one to the other.
            enable_mergejoin: "off",
          },
        });
      },
    });
  }

  #read<Row extends object>(
    statement: string,
    parameters: readonly Parameter[] = [],
  ): Promise<readonly Row[]> {
    return this.#ask((session) => session.query<Row>(statement, parameters));
  }

  /** For statements that come in very many forms. */
  #readOnce<Row extends object>(
    statement: string,
    parameters: readonly Parameter[],
  ): Promise<readonly Row[]> {
    return this.#ask((session) => session.queryOnce<Row>(statement, parameters));
  }

  #ask<T>(question: (session: Session) => Promise<T>): Promise<T> {
    const once = async () => {
      const session = await this.#pool.take();
      // The database ends what takes too long; one that does not answer at all is left.
      const timer = setTimeout(() => session.close(), this.#readTimeoutMs + 1_000);
      try {
        return await question(session);
      } finally {
        clearTimeout(timer);
        this.#pool.give(session);
      }
    };
    return withPatience(once, { patienceMs: this.#patienceMs, isOver: () => this.#isClosed });
  }

  async findJob(ref: JobRef, dialect?: DialectName): Promise<Job | null> {
    const [job] = await this.#toJobs(await this.#findRows(ref, dialect));
    return job === undefined || (dialect !== undefined && job.dialect !== dialect) ? null : job;
  }

  #findRows(ref: JobRef, dialect: DialectName | undefined) {
    if (typeof ref === "number") return this.#read<WholeRow>(`${WHOLE} WHERE id = $1`, [ref]);
    return dialect === undefined
      ? this.#read<WholeRow>(
          `${WHOLE} WHERE id = (SELECT one.id FROM job_details AS one WHERE one.key = $1 ORDER BY one.dialect LIMIT 1)`,
          [ref],
        )
      : this.#read<WholeRow>(
          `${WHOLE} WHERE id = (SELECT one.id FROM job_details AS one WHERE one.key = $1 AND one.dialect = $2)`,
          [ref, dialectCode.encode(dialect)],
        );
  }

  async #toJobs(rows: readonly WholeRow[]): Promise<Job[]> {
    const shapes = await this.#shapes.list(rows.map((row) => row.shape_id));
    return rows.flatMap((row, index) => {
      const shape = shapes[index];
      return shape === undefined ? [] : [toJob(row, shape, readNumbers(row.depends_on))];
    });
  }

  async listJobs(query: JobQuery, page: Parameters<StoreReads["listJobs"]>[1]) {
    const skip = page.skip ?? 0;
    const direction = page.order === "newest" ? "DESC" : "ASC";
    const values = new Values();
    // The ids first: what is left out costs no more than a step along an index.
    const ids = selectIds(query, values, { ...page, limit: skip + page.limit + 1 });
    const limit = values.add(page.limit + 1);
    const offset = values.add(skip);
    const rows = await this.#readOnce<WholeRow>(
      `${LISTED} WHERE id = ANY (ARRAY(SELECT id FROM (${ids}) AS found ORDER BY id ${direction} LIMIT ${limit} OFFSET ${offset}))
       ORDER BY id ${direction}`,
      values.list,
    );
    const items = await this.#toJobs(rows.slice(0, page.limit));
    const last = items.at(-1);
    return {
      items,
      nextCursor: rows.length > page.limit && last !== undefined ? last.id : null,
      total: page.wantsTotal === false ? null : await this.#total(query),
    };
  }

  async #total(query: JobQuery): Promise<number> {
    if (query.name === undefined && query.label === undefined && query.text === undefined) {
      return this.count(query);
    }
    const values = new Values();
    const statement = countIds(query, values);
    const rows = await this.#readOnce<{ n: number }>(statement, values.list);
    return rows[0]?.n ?? 0;
  }

  async count(query: Parameters<StoreReads["count"]>[0]): Promise<number> {
    let total = 0;
    for (const row of await this.tallies()) {
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
    const rows = await this.#read<AttemptRow>("SELECT * FROM attempts WHERE job_id = $1 ORDER BY number", [
      jobId,
    ]);
    const ended = rows.map(toAttempt);
    const job = await this.findJob(jobId);
    if (job === null || job.attempt === 0 || ended.at(-1)?.number === job.attempt) return ended;
    return [...ended, await this.#currentAttempt(job)];
  }

  /** The attempt that the job's own row tells of: the one under way, or the one that decided its fate. */
  async #currentAttempt(job: Job): Promise<Attempt> {
    const [worker] = await this.#read<{ address: string | null }>(
      "SELECT address FROM workers WHERE id = $1",
      [job.workerId],
    );
    return {
      number: job.attempt,
      workerId: job.workerId,
      workerAddress: worker?.address ?? null,
      startedAt: job.startedAt,
      endedAt: isHeld(job.state) ? null : job.finishedAt,
      outcome: outcomeOf(job.state),
      exitCode: job.exitCode,
      error: job.error,
    };
  }

  async dependencies(jobId: number) {
    const rows = await this.#read<{ id: number; key: string | null; name: string; state: number }>(
      `SELECT id, key, name, state FROM edges JOIN jobs ON jobs.id = edges.depends_on JOIN job_details USING (id)
       WHERE edges.job_id = $1 ORDER BY id`,
      [jobId],
    );
    return rows.map((row) => ({
      id: row.id,
      key: row.key ?? String(row.id),
      name: row.name,
      state: stateCode.decode(row.state),
    }));
  }

  async events(jobId: number): Promise<readonly JobEvent[]> {
    const [row] = await this.#read<{ history: string }>("SELECT history FROM jobs WHERE id = $1", [jobId]);
    return row === undefined ? [] : decodeHistory(row.history);
  }

  async logChunks(jobId: number, query: Parameters<StoreReads["logChunks"]>[1]): Promise<StoredLogPage> {
    const items: (LogChunk & { attempt: number })[] = [];
    let bytes = 0;
    let after = query.after;
    for (;;) {
      const rows = await this.#chunks(jobId, { ...query, after });
      for (const row of rows) {
        if (
          items.length > 0 &&
          (bytes + row.text.length > query.maxBytes || items.length >= MAX_PAGE_CHUNKS)
        ) {
          return { items, isEnd: false };
        }
        bytes += row.text.length;
        items.push({ ...row, stream: streamCode.decode(row.stream) });
        after = row;
      }
      if (rows.length < CHUNKS_AT_ONCE) return { items, isEnd: true };
    }
  }

  #chunks(jobId: number, query: Parameters<StoreReads["logChunks"]>[1]): Promise<readonly ChunkRow[]> {
    return this.#read<ChunkRow>(
      `SELECT attempt, seq, time, stream, text FROM log_chunks
       WHERE job_id = $1 AND (attempt, seq) > ($2::int, $3::int) AND attempt BETWEEN $4::int AND $5::int
         AND ($6::smallint IS NULL OR stream = $6)
       ORDER BY attempt, seq LIMIT ${CHUNKS_AT_ONCE}`,
      [
        jobId,
        query.after.attempt,
        Math.min(query.after.seq, MAX_INT),
        query.fromAttempt,
        Math.min(query.toAttempt, MAX_INT),
        query.stream === null ? null : streamCode.encode(query.stream),
      ],
    );
  }

  async logTail(jobId: number, attempt: number, stream: LogChunk["stream"] | null, lines: number) {
    // The last character ends the last line; each newline before it ends one more.
    let newlines = 0;
    let isLast = true;
    let before = MAX_INT;
    for (;;) {
      const rows = await this.#read<{ seq: number; text: string }>(
        `SELECT seq, text FROM log_chunks
         WHERE job_id = $1 AND attempt = $2 AND seq < $3 AND ($4::smallint IS NULL OR stream = $4)
         ORDER BY attempt DESC, seq DESC LIMIT ${CHUNKS_AT_ONCE}`,
        [jobId, attempt, before, stream === null ? null : streamCode.encode(stream)],
      );
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
        before = seq;
      }
      if (rows.length < CHUNKS_AT_ONCE) return null;
    }
  }

  async records(
    jobId: number,
    { kind, limit, order }: Parameters<StoreReads["records"]>[1],
  ): Promise<readonly JobRecord[]> {
    const rows = await this.#read<Omit<JobRecord, "data"> & { data: string }>(
      `SELECT seq, attempt, time, kind, data FROM records WHERE job_id = $1 AND ($2::text IS NULL OR kind = $2)
       ORDER BY seq ${order === "newest" ? "DESC" : "ASC"} LIMIT $3`,
      [jobId, kind, limit],
    );
    return rows.map((row) => ({ ...row, data: readJson<JsonObject>(row.data) }));
  }

  async recentLogChunks(dialect: DialectName, limit: number) {
    const rows = await this.#read<ChunkRow & { job_id: number; key: string | null }>(
      `SELECT job_id, attempt, seq, time, stream, text, key
       FROM log_chunks JOIN job_details ON job_details.id = log_chunks.job_id
       WHERE job_details.dialect = $1
         AND log_chunks.place > (SELECT max(place) FROM log_chunks) - ${MAX_RECENT_CHUNKS}
       ORDER BY log_chunks.place DESC LIMIT $2`,
      [dialectCode.encode(dialect), limit],
    );
    return rows.map(({ job_id, key, stream, ...row }) => ({
      ...row,
      jobId: job_id,
      jobKey: key ?? String(job_id),
      stream: streamCode.decode(stream),
    }));
  }

  async findDocument(collection: string, key: string): Promise<JsonObject | null> {
    const [row] = await this.#read<{ value: string }>(
      "SELECT value FROM documents WHERE collection = $1 AND key = $2",
      [collection, key],
    );
    return row === undefined ? null : readJson<JsonObject>(row.value);
  }

  async mentions(part: MentionPart, after: MentionPlace | null): Promise<MentionPage> {
    return mentions((statement, parameters) => this.#read(statement, parameters), part, after);
  }

  async tallies(): Promise<readonly TallyRow[]> {
    const rows = await this.#read<{
      dialect: number;
      queue: string;
      kind: number;
      project_id: number;
      state: number;
      count: number;
    }>(
      `SELECT dialect, queue, kind, project_id, state, sum(count)::bigint AS count FROM (
         SELECT dialect, queue, kind, project_id, state, count FROM tallies
         UNION ALL SELECT dialect, queue, kind, project_id, state, change FROM tally_changes
       ) AS parts
       GROUP BY dialect, queue, kind, project_id, state HAVING sum(count) <> 0`,
    );
    return rows.map((row) => ({
      dialect: dialectCode.decode(row.dialect),
      queue: row.queue,
      kind: kindCode.decode(row.kind),
      projectId: row.project_id === 0 ? null : row.project_id,
      state: stateCode.decode(row.state),
      count: row.count,
    }));
  }

  async listProjects(filter: { status?: Project["status"]; name?: string; limit: number; offset: number }) {
    const rows = await this.#read<ProjectRow>(
      `SELECT * FROM projects WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR name = $2)
       ORDER BY id LIMIT $3 OFFSET $4`,
      [filter.status ?? null, filter.name ?? null, filter.limit, filter.offset],
    );
    return rows.map(toProject);
  }

  async findProject(id: number) {
    const [row] = await this.#read<ProjectRow>("SELECT * FROM projects WHERE id = $1", [id]);
    return row === undefined ? null : toProject(row);
  }

  async listTasks(filter: { projectId?: number; name?: string; limit: number; offset: number }) {
    const rows = await this.#read<TaskRow>(
      `SELECT * FROM tasks WHERE ($1::bigint IS NULL OR project_id = $1) AND ($2::text IS NULL OR name = $2)
       ORDER BY id LIMIT $3 OFFSET $4`,
      [filter.projectId ?? null, filter.name ?? null, filter.limit, filter.offset],
    );
    return rows.map(toTask);
  }

  async findTask(id: number) {
    const [row] = await this.#read<TaskRow>("SELECT * FROM tasks WHERE id = $1", [id]);
    return row === undefined ? null : toTask(row);
  }

  async dialectOfWorker(id: string): Promise<DialectName | null> {
    const [row] = await this.#read<{ dialect: number }>("SELECT dialect FROM workers WHERE id = $1", [id]);
    return row === undefined ? null : dialectCode.decode(row.dialect);
  }

  async ping(): Promise<void> {
    try {
      await this.#read("SELECT 1 AS one");
    } catch (error) {
      if (error instanceof StoreUnavailableError) throw error;
      throw new StoreUnavailableError(`the database does not answer: ${String(error)}`);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#pool.close();
  }
}

const MAX_INT = 2_147_483_647;

function outcomeOf(state: JobState): AttemptOutcome | null {
  return state === "succeeded" || state === "failed" || state === "cancelled" ? state : null;
}
