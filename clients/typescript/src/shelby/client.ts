/**
 * The client of the ShelbyCompute API: its front ends' calls, its agents' calls and its live streams. Objects are those
 * of its document, field by field; every method takes a `signal` last and may throw `ShelbyError` (the server said no)
 * or `ConnectionError` (no answer came).
 *
 * ```ts
 * const client = new ShelbyClient({ baseUrl: "http://127.0.0.1:8000" });
 * const { jobId } = await client.run({ datasetName: "Iris", datasetUrl }, { script, requirements: "scikit-learn" });
 * for await (const { line } of client.followLog(jobId)) console.log(line);
 * const { status, modelHash } = await client.wait(jobId);
 * ```
 */
import { pause } from "../backoff.ts";
import { type QueryValue, Transport, type TransportRequest } from "../transport.ts";
import { ShelbyError, shelbyErrorFrom, WaitTimeoutError } from "./errors.ts";
import { liveMessages, type OpenSocket } from "./live.ts";
import { LogFollower } from "./logFollower.ts";
import { acknowledgementSignature } from "./signature.ts";
import type {
  Dashboard,
  DebugJob,
  Finish,
  Job,
  JobDetail,
  JobLogLine,
  JobMetrics,
  JobStatus,
  LiveMessage,
  LogLine,
  NewJob,
  NewNode,
  Node,
  NodeStats,
  OfferedJob,
  Script,
  SystemHealth,
  SystemStats,
  UsageReport,
} from "./wire.ts";

export interface ShelbyClientOptions {
  /** Address of the server, without `/api`; default `http://127.0.0.1:8000`. */
  baseUrl?: string | undefined;
  /** Sent as `X-API-Key`. Live streams carry a short-lived token made from it, never the key itself. */
  apiKey?: string | undefined;
  /** A token instead of a key, sent as `Authorization: Bearer`. */
  token?: string | undefined;
  /** Used instead of the global `fetch`. */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Opens live streams; default the global `WebSocket`, which Node has from version 22 on. */
  openSocket?: OpenSocket | undefined;
  /** Tries after the first, where repeating is safe; default 4. */
  maxRetries?: number | undefined;
  /** Longest pause between two tries; default 5,000. */
  maxRetryPauseMs?: number | undefined;
  /** A `Retry-After` longer than this is thrown, not waited for; default 60,000. */
  maxRetryAfterMs?: number | undefined;
  /** Time limit of one try; default 30,000. */
  requestTimeoutMs?: number | undefined;
}

/** Last argument of every method. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface WaitOptions extends CallOptions {
  /** Throws `WaitTimeoutError` when the job has not ended after this long; absent waits for ever. */
  timeoutMs?: number | undefined;
  /** Longest pause between two looks; default 1,000. The first are a few milliseconds apart. */
  maxPollMs?: number | undefined;
}

export interface FollowOptions extends CallOptions {
  /** Go on after the message of this `seq`. */
  after?: number | undefined;
}

const FIRST_POLL_MS = 10;
const POLL_GROWTH = 1.6;
/** Lifetime of the tokens that live streams carry: they are used at once. */
const STREAM_TOKEN_SECONDS = 60;

export class ShelbyClient {
  readonly #transport: Transport;
  readonly #apiKey: string | undefined;
  readonly #token: string | undefined;
  readonly #openSocket: OpenSocket;

  constructor(options: ShelbyClientOptions = {}) {
    this.#apiKey = options.apiKey;
    this.#token = options.token;
    this.#openSocket = options.openSocket ?? openGlobalSocket;
    this.#transport = new Transport({
      baseUrl: options.baseUrl ?? "http://127.0.0.1:8000",
      apiKey: options.apiKey,
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      maxRetries: options.maxRetries ?? 4,
      maxRetryPauseMs: options.maxRetryPauseMs ?? 5_000,
      maxRetryAfterMs: options.maxRetryAfterMs ?? 60_000,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
      errorFrom: shelbyErrorFrom,
    });
  }

  /** Address of the server, without a slash at its end. */
  get baseUrl(): string {
    return this.#transport.options.baseUrl;
  }

  // Jobs

  /** Creates a job; one without a script is offered to nodes after a short time. */
  createJob(job: NewJob, { signal }: CallOptions = {}): Promise<{ status: "ok"; jobId: string }> {
    return this.#post("/api/jobs/create", job, "unsent", signal);
  }

  /** Uploads a job's script, or replaces it while the job is pending. May come before the job is created. */
  uploadScript(
    upload: Script & { jobId: string },
    { signal }: CallOptions = {},
  ): Promise<{ status: "ok"; message: string; jobId: string }> {
    return this.#post("/api/jobs/upload-script", upload, "safe", signal);
  }

  /** Uploads a script and creates its job, in this order, so that no node takes the job without its script. */
  async run(job: NewJob, script: Script, options: CallOptions = {}): Promise<{ jobId: string }> {
    const jobId = job.jobId ?? crypto.randomUUID();
    await this.uploadScript({ ...script, jobId }, options);
    await this.createJob({ ...job, jobId }, options);
    return { jobId };
  }

  /** Jobs, newest first. */
  jobs(
    filter: { status?: JobStatus | undefined; limit?: number | undefined } = {},
    { signal }: CallOptions = {},
  ): Promise<{ jobs: Job[]; count: number }> {
    return this.#get("/api/frontend/jobs", { ...filter }, signal);
  }

  /** One job with its last log lines and its provenance. */
  job(jobId: string, { signal }: CallOptions = {}): Promise<JobDetail> {
    return this.#get(`/api/frontend/jobs/${segment(jobId)}`, {}, signal);
  }

  /** Runs a finished or failed job again; its earlier history stays. */
  restartJob(
    jobId: string,
    { signal }: CallOptions = {},
  ): Promise<{ status: "ok"; message: string; jobId: string }> {
    return this.#post(`/api/frontend/jobs/${segment(jobId)}/restart`, undefined, "unsent", signal);
  }

  /** Deletes a job with its log and provenance. */
  deleteJob(
    jobId: string,
    { signal }: CallOptions = {},
  ): Promise<{ status: "ok"; message: string; jobId: string }> {
    return this.#delete(`/api/frontend/jobs/${segment(jobId)}`, signal);
  }

  /** Waits until the job is finished, failed or cancelled, and returns it. */
  async wait(jobId: string, options: WaitOptions = {}): Promise<JobDetail> {
    const { timeoutMs = Number.POSITIVE_INFINITY, maxPollMs = 1_000, signal } = options;
    const deadline = Date.now() + timeoutMs;
    let pollMs = Math.min(FIRST_POLL_MS, maxPollMs);
    for (;;) {
      const job = await this.job(jobId, { signal });
      if (isFinal(job.status)) return job;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new WaitTimeoutError(`job ${jobId} is ${job.status} after ${timeoutMs} ms`);
      await pause(Math.min(pollMs, leftMs), signal);
      pollMs = Math.min(maxPollMs, pollMs * POLL_GROWTH);
    }
  }

  // Logs

  /** The job's last lines, oldest first. */
  async logs(jobId: string, options: CallOptions & { limit?: number | undefined } = {}): Promise<LogLine[]> {
    const { limit, signal } = options;
    const path = `/api/frontend/logs/${segment(jobId)}`;
    return (await this.#get<{ logs: LogLine[] }>(path, { limit }, signal)).logs;
  }

  /** The last lines of one job or of all, newest first. */
  recentLogs(
    filter: { jobId?: string | undefined; limit?: number | undefined } = {},
    { signal }: CallOptions = {},
  ): Promise<JobLogLine[]> {
    return this.#get("/api/frontend/logs", { ...filter }, signal);
  }

  /**
   * The job's last 1,000 lines and then each new one, until its log has ended; returns the job's status. Goes on after
   * lost connections.
   */
  async *followLog(jobId: string, options: CallOptions = {}): AsyncGenerator<LogLine, string, undefined> {
    const follower = new LogFollower();
    for await (const message of this.#live(`/ws/jobs/${segment(jobId)}/logs`, options)) {
      yield* follower.take(message);
      if (follower.status !== null) return follower.status;
    }
    return (await this.job(jobId, options)).status;
  }

  // The whole

  /** The dashboard's figures. */
  dashboard({ signal }: CallOptions = {}): Promise<Dashboard> {
    return this.#get("/api/frontend/dashboard", {}, signal);
  }

  /** The dashboard and every job that changes: messages `snapshot`, `dashboard` and `job`. */
  followDashboard(options: FollowOptions = {}): AsyncGenerator<LiveMessage, void, undefined> {
    return this.#live("/ws/dashboard", options);
  }

  /** Whether the server and its store are well; needs no key. */
  health({ signal }: CallOptions = {}): Promise<SystemHealth> {
    return this.#get("/api/frontend/system/health", {}, signal);
  }

  systemStats({ signal }: CallOptions = {}): Promise<SystemStats> {
    return this.#get("/api/frontend/system-stats", {}, signal);
  }

  /** What a job used while it ran. */
  jobMetrics(jobId: string, { signal }: CallOptions = {}): Promise<JobMetrics> {
    return this.#get(`/api/frontend/job-metrics/${segment(jobId)}`, {}, signal);
  }

  debugJobs({ signal }: CallOptions = {}): Promise<DebugJob[]> {
    return this.#get("/api/debug/jobs", {}, signal);
  }

  // Nodes

  nodes({ signal }: CallOptions = {}): Promise<{ nodes: Node[]; count: number }> {
    return this.#get("/api/frontend/nodes", {}, signal);
  }

  /** The nodes and every one that changes: messages `snapshot` and `node`. */
  followNodes(options: FollowOptions = {}): AsyncGenerator<LiveMessage, void, undefined> {
    return this.#live("/ws/nodes", options);
  }

  nodeStats({ signal }: CallOptions = {}): Promise<NodeStats> {
    return this.#get("/api/frontend/node-stats", {}, signal);
  }

  /** Forgets a node; 400 while it holds a job. */
  deleteNode(
    nodeId: string,
    { signal }: CallOptions = {},
  ): Promise<{ status: "ok"; message: string; nodeId: string }> {
    return this.#delete(`/api/frontend/nodes/${segment(nodeId)}`, signal);
  }

  // What agents do

  register(node: NewNode, { signal }: CallOptions = {}): Promise<{ status: "ok"; nodeId: string }> {
    return this.#post("/api/nodes/register", node, "safe", signal);
  }

  /** Says that the node lives, about every 10 seconds. */
  heartbeat(nodeId: string, { signal }: CallOptions = {}): Promise<{ status: "ok"; nodeId: string }> {
    return this.#post("/api/nodes/heartbeat", { nodeId }, "safe", signal);
  }

  /** A job that may be had, or null; it is the node's once it was acknowledged. */
  async poll(nodeId: string, { signal }: CallOptions = {}): Promise<OfferedJob | null> {
    return (await this.#get<{ job: OfferedJob | null }>("/api/jobs/poll", { nodeId }, signal)).job;
  }

  /**
   * Takes a job; false when another node has it.
   *
   * @param options.handshakeKey the node's secret, by which the acknowledgement is signed
   */
  async acknowledge(
    nodeId: string,
    jobId: string,
    options: CallOptions & { handshakeKey?: string | undefined } = {},
  ): Promise<boolean> {
    const { handshakeKey, signal } = options;
    const signature =
      handshakeKey === undefined ? {} : { signature: await acknowledgementSignature(jobId, handshakeKey) };
    try {
      await this.#post("/api/jobs/ack", { nodeId, jobId, ...signature }, "unsent", signal);
      return true;
    } catch (error) {
      const isTaken =
        error instanceof ShelbyError && error.status === 400 && /not available/i.test(error.detail ?? "");
      if (isTaken) return false;
      throw error;
    }
  }

  /** The job's script; empty where none was uploaded. */
  fetchScript(
    jobId: string,
    { signal }: CallOptions = {},
  ): Promise<{ script: string; requirements: string; entrypoint: string }> {
    return this.#get("/api/jobs/fetch-script", { jobId }, signal);
  }

  /** Adds one line to the job's log. Not repeated where it may have arrived: a line would stand there twice. */
  async streamLog(jobId: string, line: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#post("/api/jobs/stream-log", { job_id: jobId, line }, "unsent", signal);
  }

  /** Says what a job uses now. */
  async reportUsage(report: UsageReport, { signal }: CallOptions = {}): Promise<void> {
    await this.#post("/api/usage-report", report, "unsent", signal);
  }

  /** Says how a job ended. */
  finish(
    finish: Finish,
    { signal }: CallOptions = {},
  ): Promise<{ status: "ok"; jobId: string; provenanceId: string | number }> {
    return this.#post("/api/jobs/finish", finish, "unsent", signal);
  }

  #live(path: string, { after, signal }: FollowOptions): AsyncGenerator<LiveMessage, void, undefined> {
    const { maxRetries, maxRetryPauseMs } = this.#transport.options;
    return liveMessages({
      url: this.#transport.url({ path }).replace(/^http/, "ws"),
      token: () => this.#streamToken(signal),
      open: this.#openSocket,
      ...{ after, signal, maxRetries, maxRetryPauseMs },
    });
  }

  /** Browsers cannot send headers with a WebSocket, and addresses end up in logs: a key has no place there. */
  async #streamToken(signal: AbortSignal | undefined): Promise<string | null> {
    if (this.#token !== undefined) return this.#token;
    if (this.#apiKey === undefined) return null;
    const request = { role: "read", expiresInSeconds: STREAM_TOKEN_SECONDS };
    return (await this.#post<{ token: string }>("/v1/tokens", request, "safe", signal)).token;
  }

  #get<T>(path: string, query: Record<string, QueryValue>, signal: AbortSignal | undefined): Promise<T> {
    return this.#transport.json({ method: "GET", path, query, ...this.#headers(), retry: "safe", signal });
  }

  #post<T>(
    path: string,
    json: unknown,
    retry: TransportRequest["retry"],
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return this.#transport.json({ method: "POST", path, json, ...this.#headers(), retry, signal });
  }

  #delete<T>(path: string, signal: AbortSignal | undefined): Promise<T> {
    return this.#transport.json({ method: "DELETE", path, ...this.#headers(), retry: "unsent", signal });
  }

  #headers(): Pick<TransportRequest, "headers"> {
    return this.#token === undefined ? {} : { headers: { Authorization: `Bearer ${this.#token}` } };
  }
}

/** Whether a status is the last one of a job, unless somebody restarts it. */
export function isFinal(status: JobStatus): boolean {
  return status === "finished" || status === "failed" || status === "cancelled";
}

/** Ids are the caller's own; one of dots would name another path. */
function segment(id: string): string {
  if (id === "" || id === "." || id === "..") throw new TypeError(`${JSON.stringify(id)} is no id`);
  return encodeURIComponent(id);
}

const openGlobalSocket: OpenSocket = (url, { onMessage, onClose, onError }) => {
  if (typeof WebSocket === "undefined") {
    throw new TypeError("this platform has no WebSocket (Node has one from version 22 on): give openSocket");
  }
  const socket = new WebSocket(url);
  socket.addEventListener("message", ({ data }) => onMessage(data));
  socket.addEventListener("close", ({ code, reason }) => onClose(code, reason));
  socket.addEventListener("error", onError);
  return socket;
};
