/**
 * The client of Yardmaster's own API. Every method takes a `signal` last; every method may throw
 * `YardmasterError` (the server said no) or `ConnectionError` (no answer came).
 *
 * ```ts
 * const client = new YardmasterClient({ baseUrl: "http://127.0.0.1:8000" });
 * const job = await client.submit({ spec: { argv: ["echo", "hello"] } });
 * for await (const chunk of client.followLog(job.id)) process.stdout.write(chunk.text);
 * const done = await client.wait(job.id); // done.exitCode === 0
 * ```
 */
import { pause } from "./backoff.ts";
import { WaitTimeoutError, YardmasterError } from "./errors.ts";
import { type FollowLogOptions, followLog } from "./followLog.ts";
import { idempotencyKey } from "./idempotencyKey.ts";
import { Submissions } from "./submissions.ts";
import { type QueryValue, Transport, type TransportRequest } from "./transport.ts";
import type {
  Attempt,
  ClaimedJob,
  ClaimRequest,
  Dialect,
  Job,
  JobDependencies,
  JobEvent,
  JobKind,
  JobPage,
  JobRecord,
  JobResult,
  JobState,
  LogChunk,
  LogPage,
  MachineLoad,
  NewJob,
  NewJobRecord,
  NewLogChunk,
  Project,
  RenewAnswer,
  RenewRequest,
  ResultAnswer,
  Stats,
  Task,
  Worker,
  WorkerRegistration,
} from "./types.ts";

export interface ClientOptions {
  /** Address of the server, without `/v1`; default `http://127.0.0.1:8000`. */
  baseUrl?: string | undefined;
  /** Sent as `X-API-Key`. */
  apiKey?: string | undefined;
  /** Used instead of the global `fetch`. */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Tries after the first, where repeating is safe; default 4. */
  maxRetries?: number | undefined;
  /** Longest pause between two tries; default 5,000. */
  maxRetryPauseMs?: number | undefined;
  /** A `Retry-After` longer than this is thrown, not waited for; default 60,000. */
  maxRetryAfterMs?: number | undefined;
  /** Time limit of one try; default 30,000. */
  requestTimeoutMs?: number | undefined;
  /** Time limit of one upload or of the start of one download of an artifact; default 600,000. */
  transferTimeoutMs?: number | undefined;
  /** A followed log that is silent for this long, heartbeats included, is opened again; default 90,000. */
  streamIdleTimeoutMs?: number | undefined;
}

/** Last argument of every method. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** Names a job: its integer id, or its key. */
export type JobRef = number | string;

export interface JobFilter {
  state?: JobState | readonly JobState[] | undefined;
  kind?: JobKind | undefined;
  dialect?: Dialect | undefined;
  queue?: string | undefined;
  projectId?: number | undefined;
  /** `key:value`. */
  label?: string | undefined;
  /** Text in the name, the key or the queue. */
  q?: string | undefined;
  order?: "newest" | "oldest" | undefined;
  /** Jobs in one page, 1 to 1,000; default 100. */
  limit?: number | undefined;
  cursor?: string | undefined;
}

export interface LogOptions {
  attempt?: number | undefined;
  stream?: "stdout" | "stderr" | undefined;
  /** Only the last lines, this many. */
  tail?: number | undefined;
  /** Only chunks after this `seq`. */
  after?: number | undefined;
}

export interface WaitOptions extends CallOptions {
  /** Throws `WaitTimeoutError` when the job is not final after this long; absent waits for ever. */
  timeoutMs?: number | undefined;
  /** Also returns a job that is `blocked`: it ends only if somebody retries what it depends on. */
  returnsBlocked?: boolean | undefined;
  /** Longest pause between two looks; default 1,000. The first are a few milliseconds apart. */
  maxPollMs?: number | undefined;
}

export interface ListOptions {
  name?: string | undefined;
  limit?: number | undefined;
  offset?: number | undefined;
}

export interface NewProject {
  name: string;
  description?: string | null | undefined;
}
export interface ProjectChange {
  name?: string | undefined;
  description?: string | null | undefined;
  status?: Project["status"] | undefined;
}
export interface NewTask {
  name: string;
  projectId?: number | null | undefined;
  commandTemplate?: string | null | undefined;
  requiredCpu?: number | undefined;
  requiredAccelerators?: number | undefined;
  requiredMemoryMb?: number | undefined;
}
export type TaskChange = Partial<Omit<NewTask, "projectId">>;

const FIRST_POLL_MS = 10;
const POLL_GROWTH = 1.6;

export class YardmasterClient {
  readonly #transport: Transport;
  readonly #submissions = new Submissions((json) => this.#submit(json, {}));
  readonly #transferTimeoutMs: number;
  readonly #streamIdleTimeoutMs: number;

  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport({
      baseUrl: options.baseUrl ?? "http://127.0.0.1:8000",
      apiKey: options.apiKey,
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      maxRetries: options.maxRetries ?? 4,
      maxRetryPauseMs: options.maxRetryPauseMs ?? 5_000,
      maxRetryAfterMs: options.maxRetryAfterMs ?? 60_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    });
    this.#transferTimeoutMs = options.transferTimeoutMs ?? 600_000;
    this.#streamIdleTimeoutMs = options.streamIdleTimeoutMs ?? 90_000;
  }

  /** Address of the server, without a slash at its end. */
  get baseUrl(): string {
    return this.#transport.options.baseUrl;
  }

  // Jobs

  /**
   * Submits one job. Without a key of the caller's one is made, so that a repeated request adds no second job. While
   * four submissions without options are under way, further ones wait for one of them and then go in one request. The
   * answer of such a request masks the values of environments, as lists do.
   */
  async submit(
    job: NewJob,
    options: CallOptions & { idempotencyKey?: string | undefined } = {},
  ): Promise<Job> {
    const isItsOwn = options.idempotencyKey !== undefined || options.signal !== undefined;
    return isItsOwn || !Submissions.canShare(job)
      ? this.#submit<Job>(JSON.stringify(job), options)
      : this.#submissions.add(job);
  }

  /** Submits up to 1,000 jobs, all or none. */
  async submitMany(
    jobs: readonly NewJob[],
    options: CallOptions & { idempotencyKey?: string | undefined } = {},
  ): Promise<Job[]> {
    return (await this.#submit<{ items: Job[] }>(JSON.stringify(jobs), options)).items;
  }

  /** One page of jobs. */
  jobs(filter: JobFilter = {}, options: CallOptions = {}): Promise<JobPage> {
    return this.#get("/v1/jobs", { ...filter }, options);
  }

  /** All jobs of a filter, page after page. */
  async *allJobs(filter: JobFilter = {}, options: CallOptions = {}): AsyncGenerator<Job, void, undefined> {
    let cursor = filter.cursor;
    do {
      const page = await this.jobs({ limit: 1_000, ...filter, cursor }, options);
      yield* page.items;
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
  }

  job(ref: JobRef, options: CallOptions = {}): Promise<Job> {
    return this.#get(jobPath(ref), {}, options);
  }

  /** Cancels a job that is not final; 409 when it is. */
  cancel(ref: JobRef, options: CallOptions & { reason?: string | undefined } = {}): Promise<Job> {
    const json = options.reason === undefined ? {} : { reason: options.reason };
    return this.#post(`${jobPath(ref)}/cancel`, json, "refused", options);
  }

  /** Runs a final job again; 409 when it is not final. */
  retry(ref: JobRef, options: CallOptions = {}): Promise<Job> {
    return this.#post(`${jobPath(ref)}/retry`, {}, "refused", options);
  }

  /** Deletes a job with its log and history; 409 while a worker holds it. */
  deleteJob(ref: JobRef, options: CallOptions = {}): Promise<void> {
    return this.#delete(jobPath(ref), options);
  }

  async attempts(ref: JobRef, options: CallOptions = {}): Promise<Attempt[]> {
    return (await this.#get<{ items: Attempt[] }>(`${jobPath(ref)}/attempts`, {}, options)).items;
  }

  dependencies(ref: JobRef, options: CallOptions = {}): Promise<JobDependencies> {
    return this.#get(`${jobPath(ref)}/dependencies`, {}, options);
  }

  /** Every change of the job's state, oldest first; `after` a `seq`. */
  async events(ref: JobRef, options: CallOptions & { after?: number | undefined } = {}): Promise<JobEvent[]> {
    const query = { after: options.after };
    return (await this.#get<{ items: JobEvent[] }>(`${jobPath(ref)}/events`, query, options)).items;
  }

  /** What was kept with the job besides its output and result: usage, provenance. */
  async records(
    ref: JobRef,
    filter: { kind?: string; order?: "newest" | "oldest"; limit?: number } = {},
    options: CallOptions = {},
  ): Promise<JobRecord[]> {
    return (await this.#get<{ items: JobRecord[] }>(`${jobPath(ref)}/records`, { ...filter }, options)).items;
  }

  /** Waits until the job is final, and returns it. */
  async wait(ref: JobRef, options: WaitOptions = {}): Promise<Job> {
    const deadline =
      options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeoutMs;
    const maxPollMs = options.maxPollMs ?? 1_000;
    let pollMs = Math.min(FIRST_POLL_MS, maxPollMs);
    for (;;) {
      const job = await this.job(ref, options);
      if (isFinal(job.state) || (options.returnsBlocked === true && job.state === "blocked")) return job;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new WaitTimeoutError(`job ${ref} is ${job.state} after ${options.timeoutMs} ms`);
      await pause(Math.min(pollMs, leftMs), options.signal);
      pollMs = Math.min(maxPollMs, pollMs * POLL_GROWTH);
    }
  }

  // Logs

  /** One page of a log, in chunks. Pass `next` as `after` for what follows. */
  log(ref: JobRef, options: CallOptions & LogOptions = {}): Promise<LogPage> {
    return this.#get(`${jobPath(ref)}/log`, logQuery(options), options);
  }

  /** The log as text. All of it is held in memory: for a large one take `logStream`. */
  logText(ref: JobRef, options: CallOptions & LogOptions = {}): Promise<string> {
    return this.#transport.text({ ...textLog(ref, options), signal: options.signal });
  }

  /** The log as a stream of UTF-8 text. */
  async logStream(ref: JobRef, options: CallOptions & LogOptions = {}): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#transport.response({ ...textLog(ref, options), signal: options.signal });
    return response.body ?? new Blob([]).stream();
  }

  /** The log's chunks as they appear, until the job is final. Goes on after lost connections. */
  followLog(ref: JobRef, options: FollowLogOptions = {}): AsyncGenerator<LogChunk, void, undefined> {
    return followLog(this.#transport, `${jobPath(ref)}/log`, options, this.#streamIdleTimeoutMs);
  }

  // Workers

  /** Makes a worker known, or brings what is known of it up to date. */
  registerWorker(worker: WorkerRegistration, options: CallOptions = {}): Promise<Worker> {
    return this.#post("/v1/workers", worker, "safe", options);
  }

  async workers(options: CallOptions = {}): Promise<Worker[]> {
    return (await this.#get<{ items: Worker[] }>("/v1/workers", {}, options)).items;
  }

  worker(id: string, options: CallOptions = {}): Promise<Worker> {
    return this.#get(`/v1/workers/${encodeURIComponent(id)}`, {}, options);
  }

  /** Says how busy the worker's machine is. */
  reportLoad(id: string, load: MachineLoad, options: CallOptions = {}): Promise<Worker> {
    return this.#post(`/v1/workers/${encodeURIComponent(id)}/load`, load, "safe", options);
  }

  /** The worker finishes what it holds and is given nothing more. */
  drainWorker(id: string, options: CallOptions = {}): Promise<Worker> {
    return this.#post(`/v1/workers/${encodeURIComponent(id)}/drain`, {}, "safe", options);
  }

  /**
   * Claims jobs, waiting up to `waitMs` for some. Never repeated after a lost connection: the jobs of a
   * lost answer come back when their leases run out.
   *
   * @param options.onDraining called when the worker was drained: it is given nothing more
   */
  async claim(
    request: ClaimRequest,
    options: CallOptions & { onDraining?: (() => void) | undefined } = {},
  ): Promise<ClaimedJob[]> {
    const answer = await this.#transport.json<{ jobs: ClaimedJob[]; draining?: true }>({
      method: "POST",
      path: "/v1/claims",
      json: request,
      retry: "refused",
      timeoutMs: request.waitMs + this.#transport.options.requestTimeoutMs,
      signal: options.signal,
    });
    if (answer.draining === true) options.onDraining?.();
    return answer.jobs;
  }

  /** Extends leases; the answer names those that were lost or cancelled. */
  renew(request: RenewRequest, options: CallOptions = {}): Promise<RenewAnswer> {
    return this.#post("/v1/leases/renew", request, "safe", options);
  }

  /** Reports how jobs ended. Sending a result again changes nothing. */
  async sendResults(
    request: { workerId: string; results: readonly JobResult[] },
    options: CallOptions = {},
  ): Promise<ResultAnswer[]> {
    return (await this.#post<{ results: ResultAnswer[] }>("/v1/results", request, "safe", options)).results;
  }

  /** Stores output; returns how many chunks were new. */
  async sendLogs(
    request: { workerId: string; chunks: readonly NewLogChunk[] },
    options: CallOptions = {},
  ): Promise<number> {
    return (await this.#post<{ accepted: number }>("/v1/logs", request, "safe", options)).accepted;
  }

  /**
   * Keeps records with jobs that the worker holds; returns how many were kept. What was sent twice is kept twice, so
   * it is not repeated after a lost connection.
   */
  async sendRecords(
    request: { workerId: string; records: readonly NewJobRecord[] },
    options: CallOptions = {},
  ): Promise<number> {
    return (await this.#post<{ accepted: number }>("/v1/records", request, "refused", options)).accepted;
  }

  // Artifacts: files named by the SHA-256 of what they hold, in lower-case hexadecimal

  /** Stores a file. A stream cannot be sent twice, so it is not retried; other bodies are. */
  async putArtifact(sha256: string, body: BodyInit, options: CallOptions = {}): Promise<void> {
    const isStream = body instanceof ReadableStream;
    await this.#transport.text({
      method: "PUT",
      path: artifactPath(sha256),
      headers: { "Content-Type": "application/octet-stream" },
      body,
      retry: isStream ? "never" : "safe",
      timeoutMs: this.#transferTimeoutMs,
      signal: options.signal,
    });
  }

  /** A file's answer, its body not yet read. `range` is first and last byte, both included. */
  getArtifact(
    sha256: string,
    options: CallOptions & { range?: { first: number; last?: number | undefined } | undefined } = {},
  ): Promise<Response> {
    const { range } = options;
    return this.#transport.response({
      method: "GET",
      path: artifactPath(sha256),
      headers: {
        Accept: "application/octet-stream",
        ...(range === undefined ? {} : { Range: `bytes=${range.first}-${range.last ?? ""}` }),
      },
      retry: "safe",
      timeoutMs: this.#transferTimeoutMs,
      signal: options.signal,
    });
  }

  async hasArtifact(sha256: string, options: CallOptions = {}): Promise<boolean> {
    try {
      await this.#transport.text({
        method: "HEAD",
        path: artifactPath(sha256),
        retry: "safe",
        signal: options.signal,
      });
      return true;
    } catch (error) {
      if (error instanceof YardmasterError && error.status === 404) return false;
      throw error;
    }
  }

  // Projects and tasks

  async projects(
    filter: ListOptions & { status?: Project["status"] | undefined } = {},
    options: CallOptions = {},
  ): Promise<Project[]> {
    return (await this.#get<{ items: Project[] }>("/v1/projects", { ...filter }, options)).items;
  }

  createProject(project: NewProject, options: CallOptions = {}): Promise<Project> {
    return this.#post("/v1/projects", project, "refused", options);
  }

  project(id: number, options: CallOptions = {}): Promise<Project> {
    return this.#get(`/v1/projects/${id}`, {}, options);
  }

  updateProject(id: number, change: ProjectChange, options: CallOptions = {}): Promise<Project> {
    return this.#patch(`/v1/projects/${id}`, change, options);
  }

  /** Deletes the project with its tasks and jobs. */
  deleteProject(id: number, options: CallOptions = {}): Promise<void> {
    return this.#delete(`/v1/projects/${id}`, options);
  }

  async tasks(
    filter: ListOptions & { projectId?: number | undefined } = {},
    options: CallOptions = {},
  ): Promise<Task[]> {
    return (await this.#get<{ items: Task[] }>("/v1/tasks", { ...filter }, options)).items;
  }

  createTask(task: NewTask, options: CallOptions = {}): Promise<Task> {
    return this.#post("/v1/tasks", task, "refused", options);
  }

  task(id: number, options: CallOptions = {}): Promise<Task> {
    return this.#get(`/v1/tasks/${id}`, {}, options);
  }

  updateTask(id: number, change: TaskChange, options: CallOptions = {}): Promise<Task> {
    return this.#patch(`/v1/tasks/${id}`, change, options);
  }

  /** Deletes the task with its jobs. */
  deleteTask(id: number, options: CallOptions = {}): Promise<void> {
    return this.#delete(`/v1/tasks/${id}`, options);
  }

  // The server itself

  stats(options: CallOptions = {}): Promise<Stats> {
    return this.#get("/v1/stats", {}, options);
  }

  /** True when the server answers and can work. Asks once: it never waits for a server to come. */
  async isReady(options: CallOptions = {}): Promise<boolean> {
    try {
      await this.#transport.text({ method: "GET", path: "/readyz", retry: "never", signal: options.signal });
      return true;
    } catch (error) {
      if (options.signal?.aborted) throw error;
      return false;
    }
  }

  #submit<T>(json: string, options: CallOptions & { idempotencyKey?: string | undefined }): Promise<T> {
    return this.#transport.json<T>({
      method: "POST",
      path: "/v1/jobs",
      headers: {
        "Content-Type": "application/json",
        "Idempotency-Key": options.idempotencyKey ?? idempotencyKey(),
      },
      body: json,
      retry: "safe",
      signal: options.signal,
    });
  }

  #get<T>(path: string, query: Record<string, QueryValue>, { signal }: CallOptions): Promise<T> {
    return this.#transport.json<T>({ method: "GET", path, query, retry: "safe", signal });
  }

  #post<T>(
    path: string,
    json: unknown,
    retry: TransportRequest["retry"],
    { signal }: CallOptions,
  ): Promise<T> {
    return this.#transport.json<T>({ method: "POST", path, json, retry, signal });
  }

  #patch<T>(path: string, json: unknown, { signal }: CallOptions): Promise<T> {
    return this.#transport.json<T>({ method: "PATCH", path, json, retry: "safe", signal });
  }

  async #delete(path: string, { signal }: CallOptions): Promise<void> {
    await this.#transport.text({ method: "DELETE", path, retry: "safe", signal });
  }
}

/** States that only an explicit retry leaves. */
export function isFinal(state: JobState): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

function jobPath(ref: JobRef): string {
  return `/v1/jobs/${encodeURIComponent(String(ref))}`;
}

function artifactPath(sha256: string): string {
  return `/v1/artifacts/${encodeURIComponent(sha256)}`;
}

function logQuery(options: LogOptions): Record<string, QueryValue> {
  return { attempt: options.attempt, stream: options.stream, tail: options.tail, after: options.after };
}

function textLog(ref: JobRef, options: LogOptions): TransportRequest {
  return {
    method: "GET",
    path: `${jobPath(ref)}/log`,
    query: logQuery(options),
    headers: { Accept: "text/plain" },
    retry: "safe",
  };
}
