/**
 * The client of the Executr API. Objects are those of its document, field by field; every method takes a `signal`
 * last and may throw `ExecutrError` (the server said no) or `ConnectionError` (no answer came).
 *
 * ```ts
 * const client = new ExecutrClient({ baseUrl: "http://127.0.0.1:8080" });
 * const { id } = await client.submit({ type: "resize", binary_url, binary_sha256, priority: "background" });
 * const job = await client.wait(id); // job.status, job.exit_code, job.stdout
 * ```
 *
 * Reads, heartbeats and results are repeated after lost connections, 429, 502, 503 and 504. Submissions, claims and
 * cancellations are repeated only when they surely did not reach the server, or it said that it did nothing (429, 503):
 * Executr has no keys to tell a repeated submission from a second one.
 */
import { pause } from "../backoff.ts";
import { type QueryValue, Transport, type TransportRequest } from "../transport.ts";
import { ExecutrError, executrErrorFrom, WaitTimeoutError } from "./errors.ts";
import { readServerAddress } from "./serverAddress.ts";
import type {
  BulkCancellation,
  CancelSelection,
  Executor,
  ExecutorInfo,
  Health,
  Job,
  JobFailure,
  JobPriority,
  JobResult,
  JobRow,
  JobStatus,
  NewJob,
  PartialSubmission,
  Statistics,
  SubmittedJob,
} from "./wire.ts";

export interface ExecutrClientOptions {
  /** Address of the server, with or without `/api/v1`; default `http://127.0.0.1:8000`. A password in it is the key. */
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
  /** Time limit of one try; default 40,000, since a server may hold a claim for 30 s while its store is away. */
  requestTimeoutMs?: number | undefined;
}

/** Last argument of every method. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface JobFilter {
  status?: JobStatus | undefined;
  type?: string | undefined;
  priority?: JobPriority | undefined;
}

export interface ListOptions extends JobFilter, CallOptions {
  /** Most jobs to answer, 1 to 1,000; default 100. */
  limit?: number | undefined;
  /** How many to leave out at the front. */
  offset?: number | undefined;
}

export interface AllOptions extends JobFilter, CallOptions {
  /** Jobs read by one request, 1 to 1,000; default 1,000. */
  pageSize?: number | undefined;
}

export interface WaitOptions extends CallOptions {
  /** Throws `WaitTimeoutError` when the job is not final after this long; absent waits for ever. */
  timeoutMs?: number | undefined;
  /** Longest pause between two looks; default 1,000. The first are a few milliseconds apart. */
  maxPollMs?: number | undefined;
}

const API = "/api/v1";
const MAX_PAGE_SIZE = 1_000;
/** Ids remembered while pages are read, so that jobs pushed on to the next page by new ones are not given twice. */
const MAX_REMEMBERED_IDS = 10_000;
const FIRST_POLL_MS = 10;
const POLL_GROWTH = 1.6;

export class ExecutrClient {
  readonly #transport: Transport;

  /** @throws {TypeError} for a `baseUrl` that is no http or https address */
  constructor(options: ExecutrClientOptions = {}) {
    const address = readServerAddress(options.baseUrl ?? "http://127.0.0.1:8000");
    this.#transport = new Transport({
      baseUrl: address.baseUrl,
      apiKey: options.apiKey ?? address.apiKey,
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      maxRetries: options.maxRetries ?? 4,
      maxRetryPauseMs: options.maxRetryPauseMs ?? 5_000,
      maxRetryAfterMs: options.maxRetryAfterMs ?? 60_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 40_000,
      errorFrom: executrErrorFrom,
    });
  }

  /** Address of the server, without `/api/v1` and without a key. */
  get baseUrl(): string {
    return this.#transport.options.baseUrl;
  }

  // Jobs

  submit(job: NewJob, { signal }: CallOptions = {}): Promise<Job> {
    return this.#transport.json(post("/jobs", job, signal));
  }

  /** Submits 1 to 100 jobs, all or none; a job that is refused is named by `context.index` of the error. */
  async bulkSubmit(
    jobs: readonly NewJob[],
    options?: CallOptions & { partial?: false | undefined },
  ): Promise<SubmittedJob[]>;
  /** Submits those of 1 to 100 jobs that are not refused, and says what became of each; refusing all is no error. */
  async bulkSubmit(
    jobs: readonly NewJob[],
    options: CallOptions & { partial: true },
  ): Promise<PartialSubmission>;
  async bulkSubmit(
    jobs: readonly NewJob[],
    { partial = false, signal }: CallOptions & { partial?: boolean | undefined } = {},
  ): Promise<SubmittedJob[] | PartialSubmission> {
    if (!partial) return this.#transport.json<SubmittedJob[]>(post("/jobs/bulk", jobs, signal));
    try {
      const request = { ...post("/jobs/bulk", jobs, signal), query: { partial: true } };
      return await this.#transport.json<PartialSubmission>(request);
    } catch (error) {
      if (error instanceof ExecutrError && isPartialSubmission(error.body)) return error.body;
      throw error;
    }
  }

  get(id: string, { signal }: CallOptions = {}): Promise<Job> {
    return this.#read(jobPath(id), {}, signal);
  }

  /** One page of jobs, newest first. */
  list({ signal, ...query }: ListOptions = {}): Promise<JobRow[]> {
    return this.#read("/jobs", { ...query }, signal);
  }

  /**
   * All jobs of a filter, newest first, page after page. The pages are counted from the front: jobs that come meanwhile
   * are left out, and those that leave the filter meanwhile (as a pending one that starts) can hide others.
   */
  async *all({ pageSize, ...filter }: AllOptions = {}): AsyncGenerator<JobRow, void, undefined> {
    const limit = Math.min(MAX_PAGE_SIZE, Math.max(1, Math.trunc(pageSize ?? MAX_PAGE_SIZE) || 1));
    const given = new Set<string>();
    for (let offset = 0; ; offset += limit) {
      const page = await this.list({ ...filter, limit, offset });
      for (const job of page) {
        if (given.has(job.id)) continue;
        given.add(job.id);
        yield job;
      }
      if (page.length < limit) return;
      for (const id of given) {
        if (given.size <= MAX_REMEMBERED_IDS) break;
        given.delete(id);
      }
    }
  }

  /** Cancels a pending job; 400 when it is not pending. */
  cancel(id: string, { signal }: CallOptions = {}): Promise<Job> {
    const path = `${API}${jobPath(id)}`;
    return this.#transport.json({ method: "DELETE", path, retry: "unsent", signal });
  }

  /** Cancels pending jobs, by their ids or by what they have in common. */
  bulkCancel(selection: CancelSelection, { signal }: CallOptions = {}): Promise<BulkCancellation> {
    return this.#transport.json(post("/jobs/bulk/cancel", selection, signal));
  }

  /** Waits until the job is completed, failed or cancelled, and returns it. */
  async wait(id: string, options: WaitOptions = {}): Promise<Job> {
    const { timeoutMs = Number.POSITIVE_INFINITY, maxPollMs = 1_000, signal } = options;
    const deadline = Date.now() + timeoutMs;
    let pollMs = Math.min(FIRST_POLL_MS, maxPollMs);
    for (;;) {
      const job = await this.get(id, { signal });
      if (isFinal(job.status)) return job;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new WaitTimeoutError(`job ${id} is ${job.status} after ${timeoutMs} ms`);
      await pause(Math.min(pollMs, leftMs), signal);
      pollMs = Math.min(maxPollMs, pollMs * POLL_GROWTH);
    }
  }

  // Executors

  /**
   * Takes the next job; null when there is none. When no answer comes (`ConnectionError`) a job may have been taken:
   * without heartbeats the server gives it to others after 15 seconds.
   */
  claim(executor: Executor, { signal }: CallOptions = {}): Promise<Job | null> {
    return this.#transport.jsonOrNull(post("/jobs/claim", executor, signal));
  }

  /** Says that a job still runs, at least every 15 seconds; 404 when it does not run any more: then stop it. */
  heartbeat(id: string, executorId: string, { signal }: CallOptions = {}): Promise<Job> {
    return this.#put(`${jobPath(id)}/heartbeat`, { executor_id: executorId }, signal);
  }

  /** Says that a job has completed; saying the same again changes nothing. Outputs over 1 MiB are cut by the server. */
  complete(id: string, result: JobResult, { signal }: CallOptions = {}): Promise<Job> {
    return this.#put(`${jobPath(id)}/complete`, result, signal);
  }

  /** Says that a job has failed. With retries left the answer's `status` is `pending`. */
  fail(id: string, failure: JobFailure, { signal }: CallOptions = {}): Promise<Job> {
    return this.#put(`${jobPath(id)}/fail`, failure, signal);
  }

  // The server

  /** How many jobs and executors there are. */
  statistics({ signal }: CallOptions = {}): Promise<Statistics> {
    return this.#read("/admin/stats", {}, signal);
  }

  /** The executors, idle ones too. */
  executors({ signal }: CallOptions = {}): Promise<ExecutorInfo[]> {
    return this.#read("/admin/executors", {}, signal);
  }

  /** Whether the server and its store are well; needs no key. An unhealthy server answers too. */
  health({ signal }: CallOptions = {}): Promise<Health> {
    return this.#read("/health", {}, signal);
  }

  /** The metrics in Prometheus' text format. */
  metrics({ signal }: CallOptions = {}): Promise<string> {
    const headers = { Accept: "text/plain" };
    return this.#transport.text({ method: "GET", path: `${API}/metrics`, headers, retry: "safe", signal });
  }

  #read<T>(path: string, query: Record<string, QueryValue>, signal: AbortSignal | undefined): Promise<T> {
    return this.#transport.json({ method: "GET", path: `${API}${path}`, query, retry: "safe", signal });
  }

  #put<T>(path: string, json: unknown, signal: AbortSignal | undefined): Promise<T> {
    return this.#transport.json({ method: "PUT", path: `${API}${path}`, json, retry: "safe", signal });
  }
}

/** Whether a status is the last one of a job. */
export function isFinal(status: JobStatus): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

/** Every POST of the API does its thing again when it is repeated. */
function post(path: string, json: unknown, signal: AbortSignal | undefined): TransportRequest {
  return { method: "POST", path: `${API}${path}`, json, retry: "unsent", signal };
}

/** An id that is empty or two dots would name another thing than a job. */
function jobPath(id: string): string {
  if (!/^[\w-]+$/.test(id)) throw new TypeError(`a job's id is a UUID, got ${JSON.stringify(id)}`);
  return `/jobs/${id}`;
}

function isPartialSubmission(body: unknown): body is PartialSubmission {
  return typeof body === "object" && body !== null && "results" in body && Array.isArray(body.results);
}
