/**
 * The engine: the one place that changes jobs. Dialects call it with their words already turned into
 * ours; what it promises holds for every API alike.
 *
 * Every method that changes something resolves after the change is durable, and rejects with one of the
 * errors of `domain/errors.ts` when nothing was changed.
 *
 * ```ts
 * const { jobs } = await engine.submit({ jobs: [newJob], idempotency: null });
 * const claimed = await engine.claim({ workerId: "w1", queues: ["default"], ... });
 * await engine.finish({ workerId: "w1", results: [{ id, attempt: 1, outcome: "succeeded", ... }] });
 * ```
 */
import type { BeyondRecoveries } from "../domain/attempts.ts";
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
  LogStream,
} from "../domain/job.ts";
import type { Project, ProjectStatus, Task } from "../domain/project.ts";
import type { Resources } from "../domain/resources.ts";
import type { Worker, WorkerRegistration, WorkerState } from "../domain/worker.ts";
import type { MentionPage, MentionPart, MentionPlace } from "../store/store.ts";

/** Names a job: its integer id, or its key. */
export type JobRef = number | string;

/** A job to be depended on: one that exists, or an earlier item of the same submission. */
export type DependencyRef = { readonly job: JobRef } | { readonly item: number };

/** A job as submitted: everything the caller may say, defaults filled in by the dialect. */
export interface NewJob {
  readonly dialect: DialectName;
  /** Public id; null lets the engine make one (a UUIDv7). Taken ids are refused. */
  readonly key: string | null;
  readonly kind: JobKind;
  readonly queue: string;
  /** Null takes the task's name, or the program's. */
  readonly name: string | null;
  readonly projectId: number | null;
  readonly spec: JsonObject;
  /** A job of a task: the engine fills `spec` with the task's template and takes its resources. */
  readonly task: {
    readonly id: number;
    readonly parameters: JsonObject;
    /**
     * True: parameters that do not fit the template are no error of the submission, and a task without one makes
     * the job `external`: one for programs that know by themselves what to run.
     */
    readonly isLenient?: boolean;
  } | null;
  readonly priority: number;
  /** What is absent comes from the task, else from the defaults. */
  readonly resources: Partial<Resources>;
  readonly labels: Readonly<Record<string, string>>;
  readonly requires: Readonly<Record<string, string>>;
  readonly dependsOn: readonly DependencyRef[];
  readonly maxAttempts: number;
  readonly maxRecoveries: number;
  /** First pause before a failed attempt is repeated, doubled each time; absent or null takes the engine's default. */
  readonly backoffMs?: number | null;
  readonly timeoutMs: number | null;
  readonly runAt: number | null;
}

export interface SubmitRequest {
  /** All are created, in this order, or none. */
  readonly jobs: readonly NewJob[];
  /** `fingerprint` tells a repeat from another request that uses the same key by mistake. */
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | null;
}

export interface SubmitReceipt {
  readonly jobs: readonly Job[];
  /** Those that the jobs were made from; absent where none was. */
  readonly tasks?: readonly Task[];
  /** True when the idempotency key had been used: the jobs are those of the first time, as they are now. */
  readonly repeated: boolean;
}

export interface ClaimRequest {
  readonly workerId: string;
  /** `["*"]` is every queue. */
  readonly queues: readonly string[];
  readonly kinds: readonly JobKind[];
  /** What is free now; the jobs given fit in it together. */
  readonly capacity: Resources;
  readonly max: number;
  /** How long to wait when nothing fits; 0 answers at once. */
  readonly waitMs: number;
  /** Length of the lease; null takes the engine's default. */
  readonly leaseMs: number | null;
  /** The worker starts what it is given at once and says so by claiming: the jobs are `running`. Absent is no. */
  readonly starts?: boolean;
  /** What a worker that never registers is entered as; absent is the native API's, with no address. */
  readonly registerAs?: { readonly dialect: DialectName; readonly address: string | null };
}

export interface ClaimedJob extends Job {
  readonly leaseExpiresAt: number;
}

export interface RenewRequest {
  readonly workerId: string;
  readonly leases: readonly {
    readonly id: number;
    readonly attempt: number;
    readonly progress: number | null;
    /** The job's process has been started. */
    readonly started: boolean;
  }[];
}

/** Every lease named in the request is in exactly one of the lists. */
export interface RenewAnswer {
  readonly renewed: readonly number[];
  /** Held by nobody or by another worker or attempt: stop, and report nothing. */
  readonly lost: readonly number[];
  /** Cancelled by a user: stop. */
  readonly cancelled: readonly number[];
  /** Earliest end of the renewed leases; null when none was renewed. */
  readonly leaseExpiresAt: number | null;
}

/** `released` gives a job back that was not run; `lost` one whose run was cut short by the worker's own end. */
export type ResultOutcome = "succeeded" | "failed" | "released" | "lost";

export interface FinishRequest {
  readonly workerId: string;
  readonly results: readonly {
    readonly id: number;
    readonly attempt: number;
    readonly outcome: ResultOutcome;
    readonly exitCode: number | null;
    readonly error: string | null;
    readonly result: Json;
    /** When the process was started, where the worker did not say so before. */
    readonly startedAt: number | null;
    /** The attempt's whole output, from a worker that sends none while the job runs; kept if the result counts. */
    readonly output?: readonly { readonly stream: LogStream; readonly text: string }[];
    /** Kept with the job if the result counts. */
    readonly records?: readonly NewRecord[];
  }[];
}

export interface ResultAnswer {
  readonly id: number;
  readonly accepted: boolean;
  /** Accepted, because it was counted before: its sender did not hear the answer. */
  readonly isRepeated?: boolean;
  readonly reason: string | null;
}

export interface AppendLogRequest {
  readonly workerId: string;
  readonly chunks: readonly (LogChunk & { readonly id: number; readonly attempt: number })[];
}

/** Something to be kept with a job. */
export interface NewRecord {
  /** At most 100 characters. */
  readonly kind: string;
  readonly data: JsonObject;
}

export interface AddRecordsRequest {
  /** With a worker, records of jobs that it does not hold under that attempt are skipped. */
  readonly workerId: string | null;
  readonly records: readonly (NewRecord & { readonly job: JobRef; readonly attempt: number | null })[];
}

/** A line of output from a worker that does not number what it sends. */
export interface NewLine {
  readonly job: JobRef;
  readonly time: number;
  readonly stream: LogStream;
  readonly text: string;
}

/** A small value under a name, for what an API must remember beside its jobs. */
export interface DocumentChange {
  readonly collection: string;
  readonly key: string;
  /** Null forgets it. */
  readonly value: JsonObject | null;
  /** When it is forgotten by itself, soon after; absent or null is never. */
  readonly expiresAt?: number | null;
}

export interface ProjectChange {
  readonly name?: string;
  readonly description?: string | null;
  readonly status?: ProjectStatus;
}

export interface TaskChange {
  readonly name?: string;
  readonly commandTemplate?: string | null;
  readonly resources?: Partial<Resources>;
}

/**
 * A change of a job from outside, by a user or by a worker that speaks of states and not of results. Absent
 * fields stay as they are.
 */
export interface JobEdit {
  readonly name?: string;
  readonly priority?: number;
  /** Replaces `spec`; an attempt that is under way goes on with the old one. */
  readonly spec?: JsonObject;
  /** Moves the job to another task: `kind`, `resources` and `queue` come with it. */
  readonly task?: { readonly id: number; readonly kind: JobKind; readonly resources: Resources } | null;
  /** All dependencies. Those that are new must exist and make no cycle; those the job has already are kept unseen. */
  readonly dependsOn?: readonly JobRef[];
  /**
   * The state to be in. Every state may be set but `leased`, which only a claim gives; `succeeded` is left only
   * for `waiting`. Setting `waiting` judges the job afresh: it is `ready`, `waiting` or `blocked` at once.
   */
  readonly state?: Exclude<JobState, "leased" | "ready" | "cancelled">;
  /** Not to be started before; null is any time. */
  readonly runAt?: number | null;
  /** Refuses the edit unless the job is in one of these states at the moment it is made. */
  readonly onlyFrom?: readonly JobState[];
  /** Refuses the edit unless this is the job's `spec` at the moment it is made. */
  readonly onlySpec?: JsonObject;
  /** Lease granted with `running`; null takes the engine's default. */
  readonly leaseMs?: number | null;
  /** Who holds it when `running` is set on a job that nobody held. */
  readonly workerId?: string;
}

export interface RegisteredWorker {
  readonly worker: Worker;
  /** False when the worker was known already. */
  readonly isNew: boolean;
  /** The public key that it had until now, where it registered without it; else null. */
  readonly replacedKey: string | null;
}

/** Everything that changes something. */
export interface Engine {
  submit(request: SubmitRequest): Promise<SubmitReceipt>;
  /** Waits up to `waitMs`; `signal` ends the wait early with no jobs, and none is lost by it. */
  claim(request: ClaimRequest, signal?: AbortSignal): Promise<readonly ClaimedJob[]>;
  renew(request: RenewRequest): Promise<RenewAnswer>;
  finish(request: FinishRequest): Promise<readonly ResultAnswer[]>;
  /** Number of chunks that were new. */
  appendLog(request: AppendLogRequest): Promise<number>;
  /**
   * Adds to the output of the jobs' current attempts, in this order; a line break is added where there is none.
   * @throws NotFoundError for an unknown job; nothing is kept then
   */
  appendLines(lines: readonly NewLine[]): Promise<void>;
  /**
   * Keeps records with their jobs, as long as those; resolves to how many were kept.
   * @throws NotFoundError for an unknown job, where no worker is given
   */
  addRecords(request: AddRecordsRequest): Promise<number>;
  putDocuments(documents: readonly DocumentChange[]): Promise<void>;
  /**
   * @param options `onlyPending` refuses jobs that a worker holds.
   * @throws ConflictError when the job is final
   */
  cancel(job: JobRef, reason: string | null, options?: { readonly onlyPending: boolean }): Promise<Job>;
  /**
   * Runs a job again that is final.
   *
   * @param options `runAt` is a time before which it is not to be started.
   * @throws ConflictError when the job is not final
   */
  retry(job: JobRef, options?: { readonly runAt: number }): Promise<Job>;
  /** @throws InvalidInputError, ConflictError, NotFoundError */
  edit(job: JobRef, change: JobEdit): Promise<Job>;
  /** Deletes the job with its log and history. Refused while a worker holds it, unless `force` is given. */
  remove(job: JobRef, options?: { readonly force: boolean }): Promise<void>;
  /** Deletes the jobs of a project that no worker took yet (`waiting` and `ready`); resolves to their number. */
  removePending(projectId: number): Promise<number>;

  /** Enters a worker, or replaces what was known of it; keys that it had before stay in its details. */
  registerWorker(registration: WorkerRegistration): Promise<RegisteredWorker>;
  /** Adds to the details of a worker, or replaces some of them; it is alive. */
  describeWorker(id: string, details: JsonObject): Promise<Worker>;
  drainWorker(id: string): Promise<Worker>;
  /** The worker is alive: all its leases are renewed. */
  heartbeatWorker(id: string): Promise<Worker>;
  /** The worker leaves: it is drained, and what it holds is given back. */
  releaseWorker(id: string): Promise<Worker>;
  /** Gives back what it holds and forgets it. */
  deleteWorker(id: string): Promise<void>;

  createProject(project: { readonly name: string; readonly description: string | null }): Promise<Project>;
  updateProject(id: number, change: ProjectChange): Promise<Project>;
  /** Deletes its tasks and jobs too. */
  deleteProject(id: number): Promise<void>;
  createTask(task: {
    readonly name: string;
    readonly projectId: number | null;
    readonly commandTemplate: string | null;
    readonly resources: Partial<Resources>;
  }): Promise<Task>;
  updateTask(id: number, change: TaskChange): Promise<Task>;
  /** Deletes its jobs too. */
  deleteTask(id: number): Promise<void>;

  readonly read: Reads;
  /** Calls `listener` after each commit with what it changed; returns the way to stop. */
  subscribe(listener: (events: readonly EngineEvent[]) => void): () => void;
  /** Figures of the engine itself, for `/metrics`. */
  figures(): Promise<EngineFigures>;
  /** Finishes what is queued, then closes the store. */
  close(): Promise<void>;
}

export interface JobFilter {
  readonly states?: readonly JobState[];
  readonly kind?: JobKind;
  readonly dialect?: DialectName;
  readonly queue?: string;
  readonly projectId?: number;
  /** Exact. */
  readonly name?: string;
  readonly label?: { readonly key: string; readonly value: string };
  /** Text to be found in the name, the key or the queue, in any case. */
  readonly text?: string;
}

export interface JobPage {
  readonly items: readonly Job[];
  /** Id to go on from; null at the end. */
  readonly nextCursor: number | null;
  /** Null when the caller did not want it. */
  readonly total: number | null;
}

export interface JobDependency {
  readonly id: number;
  readonly key: string;
  readonly name: string;
  readonly state: JobState;
}

export interface LogPage {
  readonly items: readonly LogChunk[];
  /** How many lines of the first item `tailLines` left out; absent is none. */
  readonly skippedLines?: number;
  /** `seq` to pass as `after` for what follows; equal to the request's own when nothing followed. */
  readonly next: number;
  /** False when more was there than one page holds. */
  readonly isEnd: boolean;
  /** The job's state when the page was read. */
  readonly state: JobState;
}

/** A piece of output with the job it belongs to. */
export interface RecentChunk extends LogChunk {
  readonly jobId: number;
  readonly jobKey: string;
  readonly attempt: number;
}

export interface LogFilter {
  /** Attempt to read; absent is the latest one. */
  readonly attempt?: number;
  readonly stream?: LogStream;
  /** Only chunks after this `seq`. With no `attempt` given it goes on into later attempts. */
  readonly after?: number;
  /** Only the last lines, this many. */
  readonly tailLines?: number;
}

export interface Stats {
  readonly jobsByState: Readonly<Record<JobState, number>>;
  readonly queues: readonly {
    readonly queue: string;
    readonly jobsByState: Readonly<Record<JobState, number>>;
  }[];
  readonly workersByState: Readonly<Record<WorkerState, number>>;
  /** Events a second over the last 1, 5 and 15 minutes, as this server saw them. */
  readonly rates: Readonly<
    Record<
      "submitted" | "started" | "finished",
      { readonly m1: number; readonly m5: number; readonly m15: number }
    >
  >;
}

/** How many jobs of one group there are. */
export interface JobTally {
  readonly queue: string;
  readonly kind: JobKind;
  readonly state: JobState;
  readonly count: number;
}

/** Everything that only looks. Methods with a `JobRef` throw `NotFoundError` for an unknown one. */
export interface Reads {
  /** By dialect and key, jobs of other dialects are not there; a bare key is looked for in all of them. */
  job(job: JobRef | { readonly dialect: DialectName; readonly key: string }): Promise<Job>;
  jobs(
    filter: JobFilter,
    page: {
      readonly order: "newest" | "oldest";
      readonly limit: number;
      readonly cursor: number | null;
      /** Jobs to leave out first, for APIs that count pages; costs a step for each. Absent is none. */
      readonly skip?: number;
      /** False spares the counting, which costs where the filter has a name, a label or a text. Absent is true. */
      readonly wantsTotal?: boolean;
    },
  ): Promise<JobPage>;
  /** Number of jobs, from the tallies: costs the same however many there are. */
  count(filter: Pick<JobFilter, "states" | "kind" | "dialect" | "queue" | "projectId">): Promise<number>;
  /** Numbers of jobs by queue, kind and state, from the tallies: costs the same however many there are. */
  tallies(filter: { readonly dialect?: DialectName }): Promise<readonly JobTally[]>;
  attempts(job: JobRef): Promise<readonly Attempt[]>;
  dependencies(job: JobRef): Promise<readonly JobDependency[]>;
  events(job: JobRef, after: number): Promise<readonly JobEvent[]>;
  log(job: JobRef, filter: LogFilter): Promise<LogPage>;
  records(
    job: JobRef,
    filter: {
      readonly kind?: string;
      readonly limit: number;
      readonly order: "oldest" | "newest";
    },
  ): Promise<readonly JobRecord[]>;
  /** The newest output over all jobs of an API, newest first. */
  recentLog(filter: {
    readonly dialect: DialectName;
    readonly limit: number;
  }): Promise<readonly RecentChunk[]>;
  document(collection: string, key: string): Promise<JsonObject | null>;
  /** Which blobs are named in one part of what is stored, a page at a time: see `StoreReads.mentions`. */
  mentions(part: MentionPart, after: MentionPlace | null): Promise<MentionPage>;
  workers(): Promise<readonly Worker[]>;
  worker(id: string): Promise<Worker>;
  /** The API that a worker registered with; null when there is no such worker. Costs nearly nothing. */
  dialectOfWorker(id: string): Promise<DialectName | null>;
  projects(filter: {
    readonly status?: ProjectStatus;
    readonly name?: string;
    readonly limit: number;
    readonly offset: number;
  }): Promise<readonly Project[]>;
  project(id: number): Promise<Project>;
  tasks(filter: {
    readonly projectId?: number;
    readonly name?: string;
    readonly limit: number;
    readonly offset: number;
  }): Promise<readonly Task[]>;
  task(id: number): Promise<Task>;
  stats(): Promise<Stats>;
  /** Resolves when the store answers and takes writes, rejects with `StoreUnavailableError` when it does not. */
  ping(): Promise<void>;
}

/** What a commit changed. */
export type EngineEvent =
  | {
      readonly type: "job";
      readonly id: number;
      readonly key: string;
      readonly dialect: DialectName;
      readonly kind: JobKind;
      readonly queue: string;
      readonly projectId: number | null;
      /** Null when the job was just created. */
      readonly from: JobState | null;
      /** Null when the job was deleted. */
      readonly to: JobState | null;
      readonly attempt: number;
      readonly workerId: string | null;
      readonly time: number;
    }
  | { readonly type: "log"; readonly jobId: number; readonly attempt: number; readonly lastSeq: number }
  | { readonly type: "worker"; readonly id: string; readonly state: WorkerState }
  /** Something changed on another server, and it is not known what: look again. */
  | { readonly type: "resync" };

/** A histogram in the form that Prometheus wants: counts per bucket, not cumulative. */
export interface Histogram {
  /** Upper bounds, ascending; values over the last are only in `count`. */
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly count: number;
  readonly sum: number;
}

/** Something that happened to jobs, counted since the engine started. */
export interface NameCount {
  readonly dialect: DialectName;
  /** The jobs' name; `other` where more names came than are kept apart. */
  readonly name: string;
  readonly queue: string;
  /** Who did it: results only; `other` where more workers came than are kept apart. */
  readonly workerId: string | null;
  /** `recovered` is an attempt that was lost with its worker and is repeated. */
  readonly event: "submitted" | "succeeded" | "failed" | "cancelled" | "recovered";
  readonly count: number;
}

export interface EngineFigures {
  /** By the names of jobs, of the APIs that ask for it. */
  readonly byName: readonly NameCount[];
  /** Of the same APIs: from submission to claim, and from start to end of what ended by a result. */
  readonly times: readonly {
    readonly dialect: DialectName;
    readonly waitSeconds: Histogram;
    readonly runSeconds: Histogram;
  }[];
  /** Commands in one commit. */
  readonly commitSize: Histogram;
  readonly commitSeconds: Histogram;
  /** From the arrival of a claim to its answer, waiting included. */
  readonly claimSeconds: Histogram;
  /** From ready to claimed. */
  readonly waitSeconds: Histogram;
  readonly leasesLost: number;
  readonly queuedCommands: number;
  readonly queuedBytes: number;
  readonly storeBytes: number;
}

/** Settings of the engine; each has its unit in its name. */
export interface EngineSettings {
  readonly leaseMs: number;
  /** The same for jobs of APIs that promise another time, whoever claims them. */
  readonly leaseMsByDialect: Readonly<Partial<Record<DialectName, number>>>;
  /** Pause between two rounds of maintenance: leases, schedules. */
  readonly maintenanceMs: number;
  /** A worker not heard from for this long is shown as offline. */
  readonly workerOfflineMs: number;
  /** Bounds of what waits in memory to be committed; over them requests are refused. */
  readonly maxQueuedCommands: number;
  readonly maxQueuedBytes: number;
  /** Claims that wait at one time; over it a claim is answered at once. */
  readonly maxWaitingClaims: number;
  /** How long finished jobs are kept; null is for ever. */
  readonly retainSucceededMs: number | null;
  readonly retainFailedMs: number | null;
  readonly retainCancelledMs: number | null;
  /** How long workers that never registered are remembered after they were last heard from. */
  readonly retainWorkersMs: number;
  /** First pause before a failed attempt is repeated; doubled each time. */
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  /** The same for jobs of APIs that promise another limit. */
  readonly retryBackoffMaxMsByDialect: Readonly<Partial<Record<DialectName, number>>>;
  /** How long past a job's time limit its worker may take to end it before the engine does. */
  readonly timeLimitGraceMs: number;
  /** APIs whose jobs are counted by name in the figures. */
  readonly countedByName: readonly DialectName[];
  /** What a lease lost beyond a job's `maxRecoveries` means, where an API promises something else than one attempt less. */
  readonly beyondRecoveriesByDialect: Readonly<Partial<Record<DialectName, BeyondRecoveries>>>;
}

export const DEFAULT_ENGINE_SETTINGS: EngineSettings = {
  leaseMs: 30_000,
  leaseMsByDialect: { executr: 15_000 },
  maintenanceMs: 500,
  workerOfflineMs: 30_000,
  maxQueuedCommands: 20_000,
  maxQueuedBytes: 128 * 1024 * 1024,
  maxWaitingClaims: 10_000,
  retainSucceededMs: 7 * 86_400_000,
  retainFailedMs: 30 * 86_400_000,
  retainCancelledMs: 7 * 86_400_000,
  retainWorkersMs: 7 * 86_400_000,
  retryBackoffMs: 1_000,
  retryBackoffMaxMs: 3_600_000,
  // It doubles the pause each time, without an end.
  retryBackoffMaxMsByDialect: { executr: Number.MAX_SAFE_INTEGER },
  timeLimitGraceMs: 10_000,
  countedByName: ["executr"],
  beyondRecoveriesByDialect: { executr: "fails the job" },
};
