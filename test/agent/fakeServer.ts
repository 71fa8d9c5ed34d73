/**
 * The six calls that an agent makes, answered from memory. It keeps the rules that matter to an agent: leases
 * by attempt, capacity of claims, results that are taken once, log chunks by number.
 */
import type {
  ClaimedJob,
  ClaimRequest,
  JobKind,
  JobResult,
  Json,
  NewLogChunk,
  RenewAnswer,
  RenewRequest,
  WorkerRegistration,
} from "@yardmaster/client";
import { until } from "./until.ts";

export interface FakeJob {
  id: number;
  kind: JobKind;
  dialect: ClaimedJob["dialect"];
  state: "ready" | "leased" | "running" | "succeeded" | "failed" | "cancelled";
  attempt: number;
  workerId: string | null;
  spec: { [key: string]: Json };
  cpu: number;
  accelerators: number;
  memoryMb: number;
  timeoutMs: number | null;
  /** Every result that was accepted. */
  results: JobResult[];
  /** How often a result for it came, accepted or not. */
  resultsSeen: number;
  chunks: Map<number, NewLogChunk>;
  /** Answered to the next renewal. */
  verdict: "renewed" | "lost" | "cancelled";
  /** Milliseconds of `performance.now` at its first output. */
  firstOutputMs: number | null;
}

export interface FakeServerOptions {
  leaseMs?: number;
  /** What a claim gives at most; Infinity honours the claim's own maximum. */
  port?: number;
}

export class FakeServer implements AsyncDisposable {
  readonly jobs: FakeJob[] = [];
  readonly workers = new Map<string, WorkerRegistration>();
  readonly claims: ClaimRequest[] = [];
  readonly renewals: RenewRequest[] = [];
  /** Answers these calls with 503. */
  readonly refusing = new Set<string>();
  readonly #ready: FakeJob[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #leaseMs: number;
  #server: ReturnType<typeof Bun.serve>;
  readonly port: number;

  constructor(options: FakeServerOptions = {}) {
    this.#leaseMs = options.leaseMs ?? 30_000;
    this.#server = this.#listen(options.port ?? 0);
    this.port = this.#server.port ?? 0;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Adds a job that runs `argv`. */
  add(argv: string[], more: Partial<FakeJob> = {}): FakeJob {
    const job: FakeJob = {
      id: this.jobs.length + 1,
      kind: "command",
      dialect: "yardmaster",
      state: "ready",
      attempt: 0,
      workerId: null,
      spec: { argv },
      cpu: 1,
      accelerators: 0,
      memoryMb: 0,
      timeoutMs: null,
      results: [],
      resultsSeen: 0,
      chunks: new Map(),
      verdict: "renewed",
      firstOutputMs: null,
      ...more,
    };
    this.jobs.push(job);
    this.#ready.push(job);
    this.#wake();
    return job;
  }

  /** Takes a job that waits out of the queue. */
  cancelReady(job: FakeJob): void {
    const at = this.#ready.indexOf(job);
    if (at >= 0) this.#ready.splice(at, 1);
  }

  /** Waits until the job has `count` results. */
  async finished(job: FakeJob, count = 1): Promise<JobResult> {
    await until(() => job.results.length >= count, `job ${job.id} has ${count} results`, 20_000);
    const result = job.results[count - 1];
    if (result === undefined) throw new Error("no result");
    return result;
  }

  /** The output in order of its numbers; throws when one is missing. */
  output(job: FakeJob, stream?: string): string {
    const chunks = [...job.chunks.values()].sort((a, b) => a.seq - b.seq);
    chunks.forEach((chunk, index) => {
      if (chunk.seq !== index + 1) throw new Error(`chunk ${index + 1} of job ${job.id} is missing`);
    });
    return chunks
      .map((chunk) => (stream === undefined || chunk.stream === stream ? chunk.text : ""))
      .join("");
  }

  /** Goes away; `start` brings it back on the same port. */
  async stop(): Promise<void> {
    await this.#server.stop(true);
    this.#wake();
  }

  start(): void {
    this.#server = this.#listen(this.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #listen(port: number): ReturnType<typeof Bun.serve> {
    return Bun.serve({
      port,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      maxRequestBodySize: 16 * 1024 * 1024,
      fetch: (request) => this.#answer(request),
    });
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (this.refusing.has(pathname)) return new Response(null, { status: 503 });
    if (request.method === "GET") return this.#read(pathname);
    switch (`${request.method} ${pathname}`) {
      case "POST /v1/workers": {
        const worker: WorkerRegistration = await request.json();
        this.workers.set(worker.id, worker);
        return Response.json(worker, { status: 201 });
      }
      case "POST /v1/claims": {
        const claim: ClaimRequest = await request.json();
        if (!this.workers.has(claim.workerId)) return new Response(null, { status: 404 });
        this.claims.push(claim);
        return Response.json({ jobs: await this.#claim(claim, request.signal) });
      }
      case "POST /v1/leases/renew": {
        const renewal: RenewRequest = await request.json();
        this.renewals.push(renewal);
        return Response.json(this.#renew(renewal));
      }
      case "POST /v1/results": {
        const { results }: { results: JobResult[] } = await request.json();
        return Response.json({ results: results.map((result) => this.#finish(result)) });
      }
      case "POST /v1/logs": {
        const { chunks }: { chunks: NewLogChunk[] } = await request.json();
        return Response.json({ accepted: chunks.filter((chunk) => this.#append(chunk)).length });
      }
    }
    return new Response(null, { status: 404 });
  }

  #read(pathname: string): Response {
    const [, kind, id = ""] = /^\/v1\/(workers|jobs)\/([^/]+)$/.exec(pathname) ?? [];
    const worker = this.workers.get(id);
    const isHeld = (job: FakeJob): boolean => job.state === "leased" || job.state === "running";
    if (kind === "workers" && worker !== undefined) {
      const held = this.jobs.filter((job) => job.workerId === id && isHeld(job));
      return Response.json({ ...worker, runningJobs: held.map((job) => job.id) });
    }
    const job = this.jobs[Number(id) - 1];
    if (kind !== "jobs" || job === undefined) return new Response(null, { status: 404 });
    return Response.json({ id: job.id, attempt: job.attempt, state: job.state, workerId: job.workerId });
  }

  async #claim(claim: ClaimRequest, signal: AbortSignal): Promise<ClaimedJob[]> {
    const deadline = performance.now() + claim.waitMs;
    for (;;) {
      if (signal.aborted) return [];
      const jobs = this.#take(claim);
      const leftMs = deadline - performance.now();
      if (jobs.length > 0 || leftMs <= 0) return jobs;
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.#waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, leftMs);
        signal.addEventListener("abort", done, { once: true });
        this.#waiting.add(done);
      });
    }
  }

  #take(claim: ClaimRequest): ClaimedJob[] {
    const taken: ClaimedJob[] = [];
    let { cpu, accelerators } = claim.capacity;
    let at = 0;
    while (at < this.#ready.length && taken.length < claim.max && cpu > 0) {
      const job = this.#ready[at];
      if (job === undefined || job.cpu > cpu || job.accelerators > accelerators) {
        at += 1;
        continue;
      }
      this.#ready.splice(at, 1);
      cpu -= job.cpu;
      accelerators -= job.accelerators;
      job.state = "leased";
      job.attempt += 1;
      job.workerId = claim.workerId;
      taken.push(claimed(job, this.#leaseMs));
    }
    return taken;
  }

  #renew({ workerId, leases }: RenewRequest): RenewAnswer {
    const answer: RenewAnswer = { renewed: [], lost: [], cancelled: [], leaseExpiresAt: null };
    for (const { id, attempt, started } of leases) {
      const job = this.jobs[id - 1];
      const isHeld =
        job !== undefined &&
        job.workerId === workerId &&
        job.attempt === attempt &&
        job.results.length < attempt;
      if (!isHeld) answer.lost.push(id);
      else if (job.verdict === "lost") {
        job.workerId = "another-worker";
        answer.lost.push(id);
      } else if (job.verdict === "cancelled") {
        job.state = "cancelled";
        answer.cancelled.push(id);
      } else {
        if (started) job.state = "running";
        answer.renewed.push(id);
      }
    }
    answer.leaseExpiresAt = new Date(Date.now() + this.#leaseMs).toISOString();
    return answer;
  }

  #finish(result: JobResult): { id: number; accepted: boolean; reason?: string } {
    const job = this.jobs[result.id - 1];
    if (job === undefined) return { id: result.id, accepted: false, reason: "unknown job" };
    job.resultsSeen += 1;
    const isRepeat = job.results.some((held) => held.attempt === result.attempt);
    if (isRepeat) return { id: job.id, accepted: true };
    if (result.attempt !== job.attempt) return { id: job.id, accepted: false, reason: "another attempt" };
    job.results.push(result);
    if (result.outcome === "released" || result.outcome === "lost") {
      job.state = "ready";
      this.#ready.push(job);
      this.#wake();
    } else job.state = result.outcome;
    return { id: job.id, accepted: true };
  }

  #append(chunk: NewLogChunk): boolean {
    const job = this.jobs[chunk.id - 1];
    if (job === undefined || job.chunks.has(chunk.seq)) return false;
    job.firstOutputMs ??= performance.now();
    job.chunks.set(chunk.seq, chunk);
    return true;
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

function claimed(job: FakeJob, leaseMs: number): ClaimedJob {
  const now = new Date().toISOString();
  return {
    id: job.id,
    key: `key-${job.id}`,
    dialect: job.dialect,
    kind: job.kind,
    queue: "default",
    name: `job ${job.id}`,
    projectId: null,
    taskId: null,
    spec: job.spec,
    priority: 0,
    resources: { cpu: job.cpu, accelerators: job.accelerators, memoryMb: job.memoryMb },
    labels: {},
    requires: {},
    dependsOn: [],
    maxAttempts: 1,
    maxRecoveries: 3,
    timeoutMs: job.timeoutMs,
    runAt: null,
    state: "leased",
    attempt: job.attempt,
    progress: null,
    result: null,
    exitCode: null,
    error: null,
    workerId: job.workerId,
    createdAt: now,
    readyAt: now,
    startedAt: null,
    finishedAt: null,
    updatedAt: now,
    leaseExpiresAt: new Date(Date.now() + leaseMs).toISOString(),
  };
}
