/** The engine in the thread that holds the store. */
import { NotFoundError, StoreUnavailableError } from "../domain/errors.ts";
import type { Worker } from "../domain/worker.ts";
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
import { EngineCounters } from "./engineCounters.ts";
import { EngineReads } from "./engineReads.ts";
import { decodeNotice, MISSED_NOTICE } from "./notice.ts";
import { SeenWorkers } from "./seenWorkers.ts";
import { statsOf } from "./stats.ts";
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
  readonly #seen = new SeenWorkers();
  readonly #counters: EngineCounters;
  readonly #onWriteFault: (reason: string | null) => void;
  /** Why the store refuses writes; null while it takes them. */
  #writeFault: string | null = null;
  #isClosed = false;

  constructor(options: LocalEngineOptions) {
    this.#store = options.store;
    this.#reads = options.reads;
    this.#settings = options.settings;
    this.#clock = options.clock ?? (() => options.store.clock());
    this.#stopListening = options.store.listen((news) => this.#onNews(news));
    this.#counters = new EngineCounters(options.settings, this.#clock());
    this.#onWriteFault = options.onWriteFault ?? (() => {});
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
      this.#counters.claimed((this.#clock() - startedAt) / 1_000);
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

  retry(job: number | string, options?: { readonly runAt: number }) {
    return this.#run("retry", { job, runAt: options?.runAt ?? null });
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
    this.#seen.forget(id);
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
      ...this.#counters.figures(),
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
    this.#seen.see(workerId, this.#clock());
  }

  async #maintain(): Promise<Answer<"maintain">> {
    const now = this.#clock();
    const seen = this.#seen.due(now);
    const mostEnded = this.#counters.takeMostEnded();
    const answer = await this.#run("maintain", { seen: seen ?? [], mostEnded });
    if (seen !== null) this.#seen.stored(now, this.#settings.workerOfflineMs);
    return answer;
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
    this.#counters.committed(commit, this.#clock());
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
      mentions: (part, after) => reads.mentions(part, after),
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
      const lastSeenAt = Math.max(worker.lastSeenAt, this.#seen.lastSeenAt(worker.id));
      const isBack =
        worker.state === "offline" && lastSeenAt + this.#settings.workerOfflineMs > this.#clock();
      const backAs = worker.isDraining ? "draining" : "online";
      return { ...worker, lastSeenAt, state: isBack ? backAs : worker.state };
    });
  }

  async #stats(): Promise<Stats> {
    if (this.#isClosed) throw new StoreUnavailableError("the server is shutting down");
    const tallies = await this.#reads.tallies();
    return statsOf(tallies, await this.#workers(null), this.#counters.rates(this.#clock()));
  }
}
