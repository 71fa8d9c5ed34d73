/** The engine in the thread that holds the store. */
import { NotFoundError, StoreUnavailableError } from "../domain/errors.ts";
import { JOB_STATES, type JobState } from "../domain/job.ts";
import { isFinal } from "../domain/stateMachine.ts";
import { WORKER_STATES, type Worker, type WorkerState } from "../domain/worker.ts";
import type { Store, StoreNews, StoreReads } from "../store/store.ts";
import type { Answer, CommandName, Request } from "./commands.ts";
import { CommitLanes } from "./commitLanes.ts";
import type { Commit } from "./committer.ts";
import type {
  ClaimedJob,
  ClaimRequest,
  DocumentChange,
  Engine,
  EngineEvent,
  EngineFigures,
  EngineSettings,
  JobEdit,
  NewLine,
  Reads,
  Stats,
} from "./engine.ts";
import { EngineReads } from "./engineReads.ts";
import { HistogramCounter, SECONDS_BOUNDS, SIZE_BOUNDS, WAIT_BOUNDS } from "./histogram.ts";
import { NameCounts } from "./nameCounts.ts";
import { decodeNotice, MISSED_NOTICE } from "./notice.ts";
import { RateCounter } from "./rates.ts";
import { Upkeep } from "./upkeep.ts";
import { WaitingClaims } from "./waitingClaims.ts";

export interface LocalEngineOptions {
  readonly store: Store;
  readonly reads: StoreReads;
  readonly settings: EngineSettings;
  /** Milliseconds since 1970; tests bring their own. */
  readonly clock?: () => number;
  /** Called once with the reason when the store begins to refuse writes, and once with null when it takes them again. */
  readonly onWriteFault?: (reason: string | null) => void;
}

/** About what a request takes in memory when its caller does not say. */
const SMALL_REQUEST_BYTES = 512;
/** Pause between two writes of when workers were last heard from. */
const SEEN_EVERY_MS = 5_000;
/** A claim that missed jobs twice in a row, since others were faster, waits so long before it tries again. */
const MISSED_PAUSE_MS = 20;
/** Written to find out whether there is room again: about what a few requests take, so that they will pass too. */
const PROBE = { collection: "upkeep", key: "probe", value: { padding: "x".repeat(65_536) } };

export class LocalEngine implements Engine {
  readonly read: Reads;
  readonly #store: Store;
  readonly #reads: StoreReads;
  readonly #settings: EngineSettings;
  readonly #clock: () => number;
  readonly #commits: CommitLanes;
  readonly #upkeep: Upkeep;
  readonly #waiting = new WaitingClaims();
  readonly #serverId = Bun.randomUUIDv7();
  readonly #stopListening: () => void;
  readonly #listeners = new Set<(events: readonly EngineEvent[]) => void>();
  /** When each worker was last heard from; stored now and then. */
  readonly #seen = new Map<string, number>();
  #seenStoredAt = 0;
  readonly #commitSize = new HistogramCounter(SIZE_BOUNDS);
  readonly #commitSeconds = new HistogramCounter(SECONDS_BOUNDS);
  readonly #claimSeconds = new HistogramCounter(SECONDS_BOUNDS);
  readonly #waitSeconds = new HistogramCounter(WAIT_BOUNDS);
  readonly #names: NameCounts;
  readonly #onWriteFault: (reason: string | null) => void;
  readonly #rates: Readonly<Record<keyof Stats["rates"], RateCounter>>;
  #leasesLost = 0;
  /** Most jobs that ended in one commit since the last round of upkeep. */
  #mostEnded = 0;
  /** Why the store refuses writes; null while it takes them. */
  #writeFault: string | null = null;
  #isClosed = false;

  constructor(options: LocalEngineOptions) {
    this.#store = options.store;
    this.#reads = options.reads;
    this.#settings = options.settings;
    this.#clock = options.clock ?? (() => options.store.clock());
    this.#stopListening = options.store.listen((news) => this.#onNews(news));
    this.#names = new NameCounts(options.settings.countedByName);
    this.#onWriteFault = options.onWriteFault ?? (() => {});
    const now = this.#clock();
    this.#rates = {
      submitted: new RateCounter(now),
      started: new RateCounter(now),
      finished: new RateCounter(now),
    };
    this.#commits = new CommitLanes({
      store: options.store,
      serverId: this.#serverId,
      settings: options.settings,
      clock: this.#clock,
      takeClaims: (readied) => this.#waiting.take(readied),
      onCommit: (commit) => this.#onCommit(commit),
      onRefusal: (reason) => this.#setWriteFault(reason),
    });
    this.read = this.#makeReads();
    this.#upkeep = new Upkeep({
      everyMs: options.settings.maintenanceMs,
      clock: this.#clock,
      round: async () => {
        const answer = await this.#maintain();
        await this.#tryToWrite();
        return answer;
      },
    });
  }

  /**
   * Grants every held job its grace and begins with the upkeep. To be awaited before anything else. What is past its
   * keep waits: after a long pause there may be millions of jobs to delete.
   */
  async start(): Promise<void> {
    while ((await this.#run("maintain", { seen: [], mostEnded: null })).hasMore);
    this.#upkeep.start();
  }

  /** Does the upkeep now, all of it, instead of at its own pace. */
  async maintainNow(): Promise<void> {
    while ((await this.#maintain()).hasMore);
  }

  submit(request: Request<"submit">, bytes = SMALL_REQUEST_BYTES) {
    return this.#run("submit", request, bytes);
  }

  async claim(request: ClaimRequest, signal?: AbortSignal): Promise<readonly ClaimedJob[]> {
    const startedAt = this.#clock();
    const deadline = startedAt + request.waitMs;
    const isGone = () => signal?.aborted === true;
    const end = (jobs: readonly ClaimedJob[]) => {
      this.#claimSeconds.add((this.#clock() - startedAt) / 1_000);
      return jobs;
    };
    for (let missed = 0; ; ) {
      this.#see(request.workerId);
      const mark = this.#waiting.mark();
      const answer = await this.#run("claim", request);
      let { jobs } = answer;
      const leftMs = deadline - this.#clock();
      const canWait =
        jobs.length === 0 &&
        leftMs > 0 &&
        !isGone() &&
        !this.#isClosed &&
        this.#waiting.size < this.#settings.maxWaitingClaims;
      if (canWait) {
        const claim = { request, claimant: answer.claimant };
        missed = this.#waiting.hasMissed(mark, claim) ? missed + 1 : 0;
        if (missed === 1) continue;
        // While it waits the next commit that makes jobs ready serves it. Without the pause a thousand idle claims
        // could all be tried for each job that comes, and be under way whenever one does.
        const isPause = missed > 1 && leftMs > MISSED_PAUSE_MS;
        const ended = await this.#waiting.wait(claim, isPause ? MISSED_PAUSE_MS : leftMs, signal);
        const isWorthTrying = ended === "try" || (isPause && !this.#isClosed);
        if (ended !== "try" && ended !== "over") jobs = ended;
        else if (isWorthTrying && !isGone()) continue;
      }
      if (jobs.length === 0 || !isGone()) return end(jobs);
      await this.#giveBack(request.workerId, jobs);
      return [];
    }
  }

  /** The caller went away while its claim was being committed. */
  async #giveBack(workerId: string, jobs: readonly ClaimedJob[]): Promise<void> {
    await this.finish({
      workerId,
      results: jobs.map((job) => ({
        id: job.id,
        attempt: job.attempt,
        outcome: "released",
        exitCode: null,
        error: "the worker left before it was given the job",
        result: null,
        startedAt: null,
      })),
    });
  }

  renew(request: Request<"renew">) {
    this.#see(request.workerId);
    return this.#run("renew", request);
  }

  finish(request: Request<"finish">, bytes = SMALL_REQUEST_BYTES) {
    this.#see(request.workerId);
    return this.#run("finish", request, bytes);
  }

  appendLog(request: Request<"appendLog">, bytes = SMALL_REQUEST_BYTES) {
    return this.#run("appendLog", request, bytes);
  }

  async appendLines(lines: readonly NewLine[], bytes = SMALL_REQUEST_BYTES): Promise<void> {
    await this.#run("appendLines", { lines }, bytes);
  }

  addRecords(request: Request<"addRecords">, bytes = SMALL_REQUEST_BYTES) {
    return this.#run("addRecords", request, bytes);
  }

  async putDocuments(documents: readonly DocumentChange[], bytes = SMALL_REQUEST_BYTES): Promise<void> {
    await this.#run("putDocuments", { documents }, bytes);
  }

  cancel(job: number | string, reason: string | null, options?: { readonly onlyPending: boolean }) {
    return this.#run("cancel", { job, reason, onlyPending: options?.onlyPending ?? false });
  }

  retry(job: number | string) {
    return this.#run("retry", { job });
  }

  edit(job: number | string, change: JobEdit) {
    if (change.workerId !== undefined) this.#see(change.workerId);
    return this.#run("edit", { job, change });
  }

  async remove(job: number | string, options?: { readonly force: boolean }): Promise<void> {
    await this.#run("remove", { job, force: options?.force ?? false });
  }

  async removePending(projectId: number): Promise<number> {
    let removed = 0;
    for (;;) {
      const some = await this.#run("removePending", { projectId });
      if (some === 0) return removed;
      removed += some;
    }
  }

  async registerWorker(registration: Request<"registerWorker">) {
    this.#see(registration.id);
    const answer = await this.#run("registerWorker", registration);
    this.#waiting.tryWorker(registration.id);
    return answer;
  }

  describeWorker(id: string, details: Request<"describeWorker">["details"]) {
    this.#see(id);
    return this.#run("describeWorker", { id, details });
  }

  async drainWorker(id: string) {
    const worker = await this.#run("drainWorker", { id });
    this.#waiting.tryWorker(id);
    return worker;
  }

  heartbeatWorker(id: string) {
    this.#see(id);
    return this.#run("heartbeatWorker", { id });
  }

  async releaseWorker(id: string) {
    const worker = await this.#run("releaseWorker", { id });
    this.#waiting.tryWorker(id);
    return worker;
  }

  async deleteWorker(id: string): Promise<void> {
    await this.#run("deleteWorker", { id });
    this.#seen.delete(id);
  }

  createProject(project: Request<"createProject">) {
    return this.#run("createProject", project);
  }

  updateProject(id: number, change: Request<"updateProject">["change"]) {
    return this.#run("updateProject", { id, change });
  }

  async deleteProject(id: number): Promise<void> {
    while (!(await this.#run("deleteProject", { id })));
  }

  createTask(task: Request<"createTask">) {
    return this.#run("createTask", task);
  }

  updateTask(id: number, change: Request<"updateTask">["change"]) {
    return this.#run("updateTask", { id, change });
  }

  async deleteTask(id: number): Promise<void> {
    while (!(await this.#run("deleteTask", { id })));
  }

  subscribe(listener: (events: readonly EngineEvent[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async figures(): Promise<EngineFigures> {
    return {
      ...this.#names.read(),
      commitSize: this.#commitSize.read(),
      commitSeconds: this.#commitSeconds.read(),
      claimSeconds: this.#claimSeconds.read(),
      waitSeconds: this.#waitSeconds.read(),
      leasesLost: this.#leasesLost,
      queuedCommands: this.#commits.queuedCommands,
      queuedBytes: this.#commits.queuedBytes,
      storeBytes: await this.#store.sizeBytes(),
    };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#stopListening();
    this.#waiting.endAll();
    await this.#upkeep.stop();
    await this.#commits.close();
    await this.#reads.close();
    await this.#store.close();
  }

  #run<Name extends CommandName>(
    name: Name,
    request: Request<Name>,
    bytes = SMALL_REQUEST_BYTES,
  ): Promise<Answer<Name>> {
    return this.#commits.run(name, request, bytes);
  }

  #see(workerId: string): void {
    this.#seen.set(workerId, this.#clock());
  }

  async #maintain(): Promise<Answer<"maintain">> {
    const now = this.#clock();
    if (now - this.#seenStoredAt < SEEN_EVERY_MS) return this.#runUpkeep([]);
    const seen = [...this.#seen]
      .filter(([, lastSeenAt]) => lastSeenAt >= this.#seenStoredAt)
      .map(([id, lastSeenAt]) => ({ id, lastSeenAt }));
    const answer = await this.#runUpkeep(seen);
    this.#seenStoredAt = now;
    for (const [id, lastSeenAt] of this.#seen) {
      // The store knows by now; what is kept here is what may be newer.
      if (lastSeenAt + this.#settings.workerOfflineMs < now) this.#seen.delete(id);
    }
    return answer;
  }

  #runUpkeep(seen: Request<"maintain">["seen"]): Promise<Answer<"maintain">> {
    const mostEnded = this.#mostEnded;
    this.#mostEnded = 0;
    return this.#run("maintain", { seen, mostEnded });
  }

  /** A round of upkeep may write nothing, and so tell nothing about a store that refused writes. */
  async #tryToWrite(): Promise<void> {
    if (this.#writeFault === null) return;
    await this.putDocuments([PROBE]);
    await this.putDocuments([{ ...PROBE, value: null }]);
    this.#setWriteFault(null);
  }

  #setWriteFault(reason: string | null): void {
    const isChange = (this.#writeFault === null) !== (reason === null);
    this.#writeFault = reason;
    if (isChange) this.#onWriteFault(reason);
  }

  #onCommit(commit: Commit): void {
    this.#commitSize.add(commit.commands);
    this.#commitSeconds.add(commit.durationMs / 1_000);
    this.#leasesLost += commit.counts.leasesLost;
    for (const waitMs of commit.counts.waitMs) this.#waitSeconds.add(waitMs / 1_000);
    for (const event of commit.nameEvents) this.#names.add(event);
    for (const { dialect, waitMs } of commit.counts.firstWaits) this.#names.waited(dialect, waitMs);
    this.#countRates(commit.events);
    if (commit.readied.size > 0) this.#waiting.wakeFor(commit.readied);
    if (commit.events.length === 0) return;
    for (const listener of this.#listeners) listener(commit.events);
  }

  /** What another server of the same store committed. */
  #onNews(news: StoreNews): void {
    if (news.type === "freed") {
      this.#waiting.tryAll();
      return;
    }
    const notice = news.type === "missed" ? MISSED_NOTICE : decodeNotice(news.text);
    if (notice.serverId === this.#serverId) return;
    if (notice.readied === null) this.#waiting.tryAll();
    else this.#waiting.wakeFor(notice.readied);
    const events = notice.events ?? [{ type: "resync" } as const];
    for (const event of events) {
      if (event.type === "worker" && event.state !== "offline") this.#waiting.tryWorker(event.id);
    }
    if (events.length === 0) return;
    for (const listener of this.#listeners) listener(events);
  }

  #countRates(events: readonly EngineEvent[]): void {
    const counts = { submitted: 0, started: 0, finished: 0 };
    let ended = 0;
    for (const event of events) {
      if (event.type !== "job") continue;
      if (event.from === null) counts.submitted++;
      else if (event.to === "leased") counts.started++;
      else if (event.to === "succeeded" || event.to === "failed") counts.finished++;
      if (event.to !== null && isFinal(event.to)) ended++;
    }
    this.#mostEnded = Math.max(this.#mostEnded, ended);
    const now = this.#clock();
    if (counts.submitted > 0) this.#rates.submitted.add(now, counts.submitted);
    if (counts.started > 0) this.#rates.started.add(now, counts.started);
    if (counts.finished > 0) this.#rates.finished.add(now, counts.finished);
  }

  #makeReads(): Reads {
    const reads = new EngineReads(this.#reads);
    return {
      job: (ref) => reads.job(ref),
      jobs: (filter, page) => reads.jobs(filter, page),
      count: (filter) => reads.count(filter),
      tallies: (filter) => reads.tallies(filter),
      attempts: (ref) => reads.attempts(ref),
      dependencies: (ref) => reads.dependencies(ref),
      events: (ref, after) => reads.events(ref, after),
      log: (ref, filter) => reads.log(ref, filter),
      records: (ref, filter) => reads.records(ref, filter),
      recentLog: (filter) => reads.recentLog(filter),
      document: (collection, key) => reads.document(collection, key),
      projects: (filter) => reads.projects(filter),
      project: (id) => reads.project(id),
      tasks: (filter) => reads.tasks(filter),
      task: (id) => reads.task(id),
      dialectOfWorker: (id) => reads.dialectOfWorker(id),
      ping: async () => {
        if (this.#writeFault !== null) throw new StoreUnavailableError(this.#writeFault);
        await reads.ping();
      },
      workers: () => this.#workers(null),
      worker: async (id) => {
        const [worker] = await this.#workers([id]);
        if (worker === undefined) throw new NotFoundError("worker", id);
        return worker;
      },
      stats: () => this.#stats(),
    };
  }

  async #workers(ids: readonly string[] | null): Promise<readonly Worker[]> {
    return (await this.#run("listWorkers", { ids })).map((worker) => {
      const lastSeenAt = Math.max(worker.lastSeenAt, this.#seen.get(worker.id) ?? 0);
      const isBack =
        worker.state === "offline" && lastSeenAt + this.#settings.workerOfflineMs > this.#clock();
      const backAs = worker.isDraining ? "draining" : "online";
      return { ...worker, lastSeenAt, state: isBack ? backAs : worker.state };
    });
  }

  async #stats(): Promise<Stats> {
    if (this.#isClosed) throw new StoreUnavailableError("the server is shutting down");
    const jobsByState = emptyStates();
    const queues = new Map<string, Record<JobState, number>>();
    for (const { queue, state, count } of await this.#reads.tallies()) {
      jobsByState[state] += count;
      const ofQueue = queues.get(queue) ?? emptyStates();
      ofQueue[state] += count;
      queues.set(queue, ofQueue);
    }
    const workersByState = zeroes<WorkerState>(WORKER_STATES);
    for (const worker of await this.#workers(null)) workersByState[worker.state]++;
    const now = this.#clock();
    return {
      jobsByState,
      queues: [...queues]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([queue, ofQueue]) => ({ queue, jobsByState: ofQueue })),
      workersByState,
      rates: {
        submitted: this.#rates.submitted.read(now),
        started: this.#rates.started.read(now),
        finished: this.#rates.finished.read(now),
      },
    };
  }
}

function emptyStates(): Record<JobState, number> {
  return zeroes<JobState>(JOB_STATES);
}

function zeroes<Key extends string>(keys: readonly Key[]): Record<Key, number> {
  const record: Partial<Record<Key, number>> = {};
  for (const key of keys) record[key] = 0;
  return record as Record<Key, number>;
}
