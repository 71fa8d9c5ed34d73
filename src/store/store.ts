/**
 * What Yardmaster needs of a database: bulk operations inside one transaction, and reads beside it.
 *
 * A store keeps and finds; it holds no rules. Which job may change how is decided in `engine` and
 * `domain`, which load what they need, decide, and write it back in the same transaction. Each promise
 * below is checked by the conformance suite that every store runs.
 *
 * Methods take arrays so that one round trip serves many requests. Those of a transaction may answer at
 * once (a store in the same thread) or later (a server): callers await both.
 */
import type {
  Attempt,
  DialectName,
  Job,
  JobEvent,
  JobKind,
  JobRecord,
  JobState,
  Json,
  JsonObject,
  LogChunk,
} from "../domain/job.ts";
import type { Project, ProjectStatus, Task } from "../domain/project.ts";
import type { Shape } from "../domain/shape.ts";
import type { Worker, WorkerRegistration } from "../domain/worker.ts";

export type Awaitable<T> = T | Promise<T>;

/** Names a job: integer id or key. */
export type JobRef = number | string;

/** A shape as the store has numbered it. */
export interface StoredShape extends Shape {
  readonly shapeId: number;
}

/** A job to be inserted. */
export interface JobInsert {
  readonly id: number;
  /** Null is the id itself, in decimal. */
  readonly key: string | null;
  readonly dialect: DialectName;
  readonly shapeId: number;
  readonly name: string;
  readonly projectId: number | null;
  readonly taskId: number | null;
  readonly spec: JsonObject;
  readonly priority: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly dependsOn: readonly number[];
  readonly maxAttempts: number;
  readonly maxRecoveries: number;
  readonly timeoutMs: number | null;
  readonly backoffMs: number | null;
  readonly runAt: number | null;
  readonly state: JobState;
  readonly unmet: number;
  readonly doomed: number;
  readonly createdAt: number;
  readonly readyAt: number | null;
}

/**
 * What of a job changes as it lives, together with what the rules need to know of it. The engine edits
 * these records and writes them back whole.
 */
export interface JobControl {
  readonly id: number;
  readonly key: string;
  readonly dialect: DialectName;
  /** As it was when the record was first read. */
  readonly name: string;
  shapeId: number;
  readonly projectId: number | null;
  readonly maxAttempts: number;
  readonly maxRecoveries: number;
  readonly timeoutMs: number | null;
  readonly backoffMs: number | null;
  readonly createdAt: number;
  priority: number;
  state: JobState;
  /** Dependencies that have not succeeded, and those of them that cannot. */
  unmet: number;
  doomed: number;
  attempt: number;
  spent: number;
  recoveries: number;
  runAt: number | null;
  workerId: string | null;
  leaseMs: number | null;
  leasedAt: number | null;
  startedAt: number | null;
  finishedAt: number | null;
  readyAt: number | null;
  updatedAt: number;
  progress: number | null;
  exitCode: number | null;
  error: string | null;
}

/** A control record to be written, with what happened to it since it was loaded. */
export interface JobUpdate {
  readonly control: JobControl;
  /** Absent keeps the stored result. */
  readonly result?: Json;
  readonly events: readonly Omit<JobEvent, "seq">[];
}

/** The head of a shape's line. */
export interface Head {
  readonly id: number;
  readonly priority: number;
}

/** A lease as it is held now. */
export interface Lease {
  readonly jobId: number;
  readonly workerId: string;
  readonly attempt: number;
  readonly expiresAt: number;
  /** When the attempt's time limit, with its grace, is over; null without a limit. */
  readonly deadlineAt: number | null;
}

/** How many jobs of one group are in one state; the sums answer statistics without counting jobs. */
export interface TallyChange {
  readonly dialect: DialectName;
  readonly queue: string;
  readonly kind: JobKind;
  readonly projectId: number | null;
  readonly state: JobState;
  readonly change: number;
}

/** A submission that may be repeated, and what it came to. */
export interface IdempotencyEntry {
  readonly key: string;
  readonly fingerprint: string;
  readonly jobIds: readonly number[];
}

/** Everything that happens inside one commit. */
export interface Transaction {
  /** Reserves ids, ascending, larger than any given before, also before a restart and of deleted jobs. */
  nextJobIds(count: number): Awaitable<number>;
  /** Numbers of shapes, in order; new ones are made. */
  internShapes(shapes: readonly Shape[]): Awaitable<readonly number[]>;
  shapes(ids: readonly number[]): Awaitable<readonly StoredShape[]>;
  insertJobs(jobs: readonly JobInsert[]): Awaitable<void>;
  /** Ids of the jobs that exist, in the order of the references; null for the others. */
  findJobs(
    refs: readonly { readonly dialect: DialectName | null; readonly ref: JobRef }[],
  ): Awaitable<readonly (number | null)[]>;
  /** Control records of those that exist, held against other transactions until this one ends. */
  loadControls(ids: readonly number[]): Awaitable<readonly JobControl[]>;
  /** Whole jobs, in the order of the ids; missing ones are left out. */
  loadJobs(ids: readonly number[]): Awaitable<readonly Job[]>;
  /** Jobs whole and their control records, read in one go, held like those of `loadControls`. */
  loadBoth(ids: readonly number[]): Awaitable<readonly { readonly job: Job; readonly control: JobControl }[]>;
  updateJobs(updates: readonly JobUpdate[]): Awaitable<void>;
  /** Changes what else an edit may change; absent fields stay. */
  editJob(
    id: number,
    edit: {
      readonly name?: string;
      readonly spec?: JsonObject;
      readonly taskId?: number | null;
      readonly shapeId?: number;
    },
  ): Awaitable<void>;
  /** Deletes jobs with their logs, records, attempts and their own edges; edges that point to them stay. */
  deleteJobs(ids: readonly number[]): Awaitable<void>;
  addTallies(changes: readonly TallyChange[]): Awaitable<void>;

  /** Shapes that have ready jobs. */
  readyShapes(): Awaitable<readonly StoredShape[]>;
  /** Ready jobs of a shape in order, those after `after` only; at a cost that does not grow with the backlog. */
  readyHeads(shapeId: number, after: Head | null, limit: number): Awaitable<readonly Head[]>;

  /** Jobs that these depend on directly, also such as are not there any more. */
  dependencies(
    ids: readonly number[],
  ): Awaitable<readonly { readonly jobId: number; readonly dependsOn: number }[]>;
  /** Replaces all dependencies of a job; counts are the caller's matter. */
  setDependencies(jobId: number, dependsOn: readonly number[]): Awaitable<void>;
  /** Jobs that depend directly on these. */
  dependents(
    ids: readonly number[],
  ): Awaitable<readonly { readonly jobId: number; readonly dependsOn: number }[]>;
  /** Ended attempts that were kept apart from their jobs. */
  attemptsOf(jobIds: readonly number[]): Awaitable<readonly (Attempt & { readonly jobId: number })[]>;
  insertAttempts(attempts: readonly (Attempt & { readonly jobId: number })[]): Awaitable<void>;

  /** Grants or renews. A store may keep leases in memory where it is the only server's. */
  putLeases(leases: readonly Lease[]): Awaitable<void>;
  dropLeases(jobIds: readonly number[]): Awaitable<void>;
  leases(jobIds: readonly number[]): Awaitable<readonly Lease[]>;
  /** Leases that ran out, or whose deadline passed, at `now`. */
  overdueLeases(now: number, limit: number): Awaitable<readonly Lease[]>;
  /** Held jobs for which no lease is recorded: after a restart of a store that keeps leases in memory. */
  unleasedJobs(limit: number): Awaitable<readonly number[]>;
  /** How many jobs each worker holds, and the ids of some of them, at most `limit` each, ascending. */
  heldJobs(
    workerIds: readonly string[],
    limit: number,
  ): Awaitable<
    readonly { readonly workerId: string; readonly count: number; readonly jobIds: readonly number[] }[]
  >;

  /** No lease runs out, and no deadline passes, before `until`. */
  graceLeases(until: number): Awaitable<void>;
  /**
   * Asks to do the upkeep in this transaction: of several servers on one store one at a time may. Says when any
   * of them did it last; null when that is not known, because the store was just opened.
   */
  beginUpkeep(now: number): Awaitable<{ readonly isMine: boolean; readonly lastAt: number | null }>;
  /**
   * Tells the other servers of this store, once the transaction is committed; without others it does nothing.
   * @param text at most `MAX_ANNOUNCEMENT_BYTES` as UTF-8
   */
  announce(text: string): Awaitable<void>;

  /** Waiting jobs with all dependencies met whose time has come, soonest first. */
  dueJobs(now: number, limit: number): Awaitable<readonly number[]>;
  /** Time of the next job that waits for its time; null when none does. */
  nextDueAt(): Awaitable<number | null>;
  /** Jobs that came to this final state before `before`, oldest first. */
  finishedBefore(state: JobState, before: number, limit: number): Awaitable<readonly number[]>;
  /** Of all states, or of these; the newest first, so that those who delete them meet dependents before what they need. */
  jobsOfProject(projectId: number, limit: number, states?: readonly JobState[]): Awaitable<readonly number[]>;
  jobsOfTask(taskId: number, limit: number): Awaitable<readonly number[]>;

  /** Number of chunks that were new; those whose `(job, attempt, seq)` is there are skipped. */
  insertLogChunks(
    chunks: readonly (LogChunk & { readonly jobId: number; readonly attempt: number })[],
  ): Awaitable<number>;

  /** Largest `seq` of each attempt's chunks; 0 where there are none. */
  lastLogSeqs(
    attempts: readonly { readonly jobId: number; readonly attempt: number }[],
  ): Awaitable<readonly number[]>;
  insertRecords(records: readonly (Omit<JobRecord, "seq"> & { readonly jobId: number })[]): Awaitable<void>;
  /** Puts or, where the value is null, deletes. One without `expiresAt` stays until it is deleted. */
  putDocuments(
    documents: readonly {
      readonly collection: string;
      readonly key: string;
      readonly value: JsonObject | null;
      readonly expiresAt?: number | null;
    }[],
  ): Awaitable<void>;
  /** Deletes documents that expire before that time, at most so many, those first that expired first. */
  pruneDocuments(before: number, limit: number): Awaitable<void>;

  upsertWorkers(
    workers: readonly (WorkerRegistration & { readonly isImplicit: boolean; readonly now: number })[],
  ): Awaitable<void>;
  touchWorkers(seen: readonly { readonly id: string; readonly lastSeenAt: number }[]): Awaitable<void>;
  countWorkerResults(
    counts: readonly { readonly id: string; readonly succeeded: number; readonly failed: number }[],
  ): Awaitable<void>;
  /** Replaces what its API keeps of a worker. */
  describeWorker(id: string, details: JsonObject): Awaitable<void>;
  setDraining(id: string, isDraining: boolean): Awaitable<void>;
  workers(ids: readonly string[] | null): Awaitable<readonly StoredWorker[]>;
  deleteWorkers(ids: readonly string[]): Awaitable<void>;
  /** Workers that never registered, hold nothing and were not heard from since `before`. */
  forgottenWorkers(before: number, limit: number): Awaitable<readonly string[]>;

  insertProject(project: Omit<Project, "id">): Awaitable<Project>;
  updateProject(project: Project): Awaitable<void>;
  deleteProject(id: number): Awaitable<void>;
  findProject(by: { readonly id: number } | { readonly name: string }): Awaitable<Project | null>;
  insertTask(task: Omit<Task, "id">): Awaitable<Task>;
  updateTask(task: Task): Awaitable<void>;
  deleteTask(id: number): Awaitable<void>;
  findTasks(ids: readonly number[]): Awaitable<readonly Task[]>;
  tasksOfProject(projectId: number): Awaitable<readonly Task[]>;

  /** Those of the keys that are known. */
  findIdempotencies(keys: readonly string[]): Awaitable<readonly IdempotencyEntry[]>;
  insertIdempotencies(
    entries: readonly (IdempotencyEntry & { readonly createdAt: number })[],
  ): Awaitable<void>;
  pruneIdempotency(before: number, limit: number): Awaitable<void>;
}

/** A worker as stored; whether it is online is a matter of the clock, which the engine reads. */
export interface StoredWorker extends Omit<Worker, "state" | "running" | "runningJobs"> {
  /** It never registered: it is known by its claims, and what they offer is all that is known of its capacity. */
  readonly isImplicit: boolean;
}

export interface JobQuery {
  readonly states?: readonly JobState[];
  readonly kind?: JobKind;
  readonly dialect?: DialectName;
  readonly queue?: string;
  readonly projectId?: number;
  /** Exact. */
  readonly name?: string;
  readonly label?: { readonly key: string; readonly value: string };
  readonly text?: string;
}

export interface TallyRow {
  readonly dialect: DialectName;
  readonly queue: string;
  readonly kind: JobKind;
  readonly projectId: number | null;
  readonly state: JobState;
  readonly count: number;
}

export interface StoredLogPage {
  readonly items: readonly (LogChunk & { readonly attempt: number })[];
  readonly isEnd: boolean;
}

/** How far back the newest output of an API is looked for. */
export const MAX_RECENT_CHUNKS = 100_000;

/** Longest result, as JSON, that lists of jobs tell; a longer one is null there. */
export const MAX_LISTED_RESULT_LENGTH = 16_384;

/** Reads outside of transactions: each sees what was committed before it began. */
export interface StoreReads {
  /** With a dialect, jobs of others are not there: keys are unique in their dialect only. */
  findJob(ref: JobRef, dialect?: DialectName): Promise<Job | null>;
  /** Results longer than `MAX_LISTED_RESULT_LENGTH` are left out: null. */
  listJobs(
    query: JobQuery,
    page: {
      readonly order: "newest" | "oldest";
      readonly limit: number;
      readonly cursor: number | null;
      /** Jobs to leave out first, for APIs that count pages; costs a step for each. Absent is none. */
      readonly skip?: number;
      /** False spares the counting: `total` is null. Absent is true. */
      readonly wantsTotal?: boolean;
    },
  ): Promise<{
    readonly items: readonly Job[];
    readonly nextCursor: number | null;
    readonly total: number | null;
  }>;
  /** Number of jobs by the tallies. */
  count(query: Pick<JobQuery, "states" | "kind" | "dialect" | "queue" | "projectId">): Promise<number>;
  /** Ended attempts and the current one, by number. */
  attempts(jobId: number): Promise<readonly Attempt[]>;
  dependencies(
    jobId: number,
  ): Promise<
    readonly { readonly id: number; readonly key: string; readonly name: string; readonly state: JobState }[]
  >;
  events(jobId: number): Promise<readonly JobEvent[]>;
  /**
   * Chunks in order of attempt and seq, after the given place, up to about `maxBytes` of text (one chunk at
   * least). `attempts` limits to one attempt, or to one and those that follow.
   */
  logChunks(
    jobId: number,
    query: {
      readonly fromAttempt: number;
      readonly toAttempt: number;
      readonly stream: LogChunk["stream"] | null;
      readonly after: { readonly attempt: number; readonly seq: number };
      readonly maxBytes: number;
    },
  ): Promise<StoredLogPage>;
  /** Where the last `lines` lines of an attempt begin: the chunk, and how many characters of it to leave out. */
  logTail(
    jobId: number,
    attempt: number,
    stream: LogChunk["stream"] | null,
    lines: number,
  ): Promise<{ readonly seq: number; readonly skipCharacters: number } | null>;
  records(
    jobId: number,
    filter: {
      /** Null is all. */
      readonly kind: string | null;
      readonly limit: number;
      readonly order: "oldest" | "newest";
    },
  ): Promise<readonly JobRecord[]>;
  /**
   * The chunks written last over all jobs of an API, newest first; looked for among the newest
   * `MAX_RECENT_CHUNKS` of all APIs.
   */
  recentLogChunks(
    dialect: DialectName,
    limit: number,
  ): Promise<
    readonly (LogChunk & { readonly jobId: number; readonly jobKey: string; readonly attempt: number })[]
  >;
  findDocument(collection: string, key: string): Promise<JsonObject | null>;
  /**
   * The names of blobs (64 small hexadecimal digits) that stand anywhere in one part of what is stored, a page at a
   * time: jobs and records in order of their numbers.
   * @param after a place that was told before; null is the beginning
   */
  mentions(part: MentionPart, after: MentionPlace | null): Promise<MentionPage>;
  tallies(): Promise<readonly TallyRow[]>;
  listProjects(filter: {
    readonly status?: ProjectStatus;
    readonly name?: string;
    readonly limit: number;
    readonly offset: number;
  }): Promise<readonly Project[]>;
  findProject(id: number): Promise<Project | null>;
  listTasks(filter: {
    readonly projectId?: number;
    readonly name?: string;
    readonly limit: number;
    readonly offset: number;
  }): Promise<readonly Task[]>;
  findTask(id: number): Promise<Task | null>;
  /** The API of a worker; null when there is no such worker. */
  dialectOfWorker(id: string): Promise<DialectName | null>;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** What may name blobs: documents, templates of tasks, records of jobs, and jobs with their results. */
export type MentionPart = "documents" | "tasks" | "records" | "jobs";

/** Where a page ended: the number of a job, a record or a task, or which document it was. */
export type MentionPlace = number | string;

export interface MentionPage {
  /** Some perhaps more than once. */
  readonly sha256s: readonly string[];
  /** What to ask for the next page with; null when there was nothing any more. */
  readonly place: MentionPlace | null;
}

/** Longest text of one announcement: what a PostgreSQL notification holds. */
export const MAX_ANNOUNCEMENT_BYTES = 7_900;

/**
 * What a store tells of its other servers: what one announced, soon after its commit; that some of that may have
 * been missed; that jobs which one of them held back while it looked at them may be there again.
 */
export type StoreNews =
  | { readonly type: "announced"; readonly text: string }
  | { readonly type: "missed" }
  | { readonly type: "freed" };

export interface Store {
  /** Whether several servers may work on this store at one time. */
  readonly isShared: boolean;
  /** Milliseconds since 1970 on the clock that all servers of this store go by. */
  clock(): number;
  /** Calls `listener` with news of the other servers; returns the way to stop. */
  listen(listener: (news: StoreNews) => void): () => void;
  /**
   * Runs `work` in one transaction, and makes it durable before resolving. It may be run more than once, where a
   * transaction of another server was in its way: what it changes outside of `tx` must bear that. When `work`
   * throws, nothing of it stays and the error passes through; when the store itself cannot write, `StoreUnavailableError`.
   */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** Bytes that the store takes on disk. */
  sizeBytes(): Promise<number>;
  close(): Promise<void>;
}
