/**
 * The dashboard, and each job that changes.
 *
 * When it is not known which jobs changed, because news of another server was missed, those that can be found are told,
 * and then a new snapshot: who keeps a list of jobs reads it anew. So it is when jobs were deleted.
 */
import { NotFoundError } from "../../../domain/errors.ts";
import type { Job } from "../../../domain/job.ts";
import type { Engine, EngineEvent, JobTally } from "../../../engine/engine.ts";
import { listedJobs } from "../listedJobs.ts";
import type { Change, ChangeSource } from "./changeHub.ts";
import { HeardCounts } from "./heardCounts.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";
import { LookPace } from "./lookPace.ts";
import { ToldJobs } from "./toldJobs.ts";

/** Changed jobs that are remembered by name until they are read; over it, the latest are read. */
const MAX_CHANGED = 10_000;
/** Jobs that are looked at when it is not known which changed. */
const MAX_LOOKED_AT = 200;
const READS_AT_ONCE = 32;
/** Least time between two rounds of reading changed jobs. */
const PAUSE_MS = 20;

export interface DashboardSourceOptions {
  readonly read: Pick<Engine["read"], "job" | "jobs" | "tallies">;
  readonly views: Pick<LiveViews, "dashboard" | "job">;
  readonly limits: Pick<LiveLimits, "dashboardPauseMs" | "lookEveryMs" | "hearingMs">;
}

export class DashboardSource implements ChangeSource {
  readonly pauseMs = PAUSE_MS;
  readonly #options: DashboardSourceOptions;
  readonly #changed = new Set<number>();
  readonly #told: ToldJobs;
  readonly #counts = new HeardCounts();
  /** The counters as they were read, until all that is in them must have been heard. */
  #counted: { readonly tallies: readonly JobTally[]; readonly atMs: number } | null = null;
  /** Something changed, and it is not known what. */
  #isUnsure = false;
  /** What the followers know may be wrong in more than can be told: they are to begin anew. */
  #isAnew = false;
  #isStale = false;
  readonly #looks = new LookPace();
  readonly #dashboards = new LookPace();
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #toldText = "";

  constructor(options: DashboardSourceOptions) {
    this.#options = options;
    this.#told = new ToldJobs((job) => options.views.job(job));
  }

  hear(events: readonly EngineEvent[]): boolean {
    let isOfInterest = false;
    for (const event of events) {
      if (event.type === "log" || (event.type === "job" && event.dialect !== "shelby")) continue;
      isOfInterest = true;
      if (event.type === "resync") this.#isUnsure = true;
      else if (event.type === "job") this.#hearJob(event);
      this.#isStale = true;
    }
    return isOfInterest;
  }

  #hearJob(event: Extract<EngineEvent, { type: "job" }>): void {
    this.#counts.hear(event);
    if (event.to === null) {
      this.#told.drop(event.id);
      this.#isAnew = true;
    } else if (this.#changed.size < MAX_CHANGED) this.#changed.add(event.id);
    else this.#isUnsure = true;
  }

  async snapshot(): Promise<unknown> {
    if (this.#toldText === "") {
      await this.#count();
      // Else the first look at what changed unseen would find everything changed.
      for (const job of await this.#latest()) this.#told.remember(job);
    }
    const dashboard = await this.#options.views.dashboard();
    this.#toldText ||= textOf(dashboard);
    return dashboard;
  }

  async changes(isPoll: boolean): Promise<readonly Change[]> {
    try {
      await this.#compareCounts(isPoll);
      const jobs = await this.#changedJobs();
      const dashboard = await this.#dashboardChange();
      return [...jobs.map((job) => ({ type: "job", data: this.#told.remember(job) })), ...dashboard];
    } catch (error) {
      // What was to be told is found by looking, the next time.
      this.#isUnsure = true;
      this.#isStale = true;
      throw error;
    }
  }

  /** When it is to be asked again although nothing new is heard. */
  get dueInMs(): number {
    return Math.min(
      this.#dashboardInMs,
      this.#isUnsure ? this.#lookInMs : Number.POSITIVE_INFINITY,
      this.#counted === null ? Number.POSITIVE_INFINITY : this.#heardInMs(this.#counted.atMs),
    );
  }

  async #dashboardChange(): Promise<readonly Change[]> {
    if (this.#dashboardInMs > 0) return [];
    const isAnew = this.#isAnew;
    this.#isAnew = false;
    this.#isStale = false;
    const dashboard = await this.#dashboards.look(() => this.#options.views.dashboard());
    const text = textOf(dashboard);
    if (!isAnew && text === this.#toldText) return [];
    this.#toldAtMs = performance.now();
    this.#toldText = text;
    return [{ type: isAnew ? "snapshot" : "dashboard", data: dashboard }];
  }

  /** It is read soon when something changed, and now and then to see which nodes are still active. */
  get #dashboardInMs(): number {
    const { dashboardPauseMs, lookEveryMs } = this.#options.limits;
    if (!this.#isStale && !this.#isAnew)
      return this.#dashboards.dueInMs(Math.max(lookEveryMs, dashboardPauseMs));
    return Math.max(this.#dashboards.dueInMs(0), dashboardPauseMs - (performance.now() - this.#toldAtMs));
  }

  async #changedJobs(): Promise<readonly Job[]> {
    const ids = [...this.#changed];
    this.#changed.clear();
    const jobs = await this.#jobs(ids);
    if (!this.#isUnsure || this.#lookInMs > 0) return jobs;
    this.#isUnsure = false;
    this.#isAnew = true;
    const seen = new Set(ids);
    const found = await this.#looks.look(async () => {
      // What was heard up to now says nothing about the numbers from here on.
      this.#counts.forget();
      await this.#count();
      return this.#latest();
    });
    return [...jobs, ...found.filter((job) => !seen.has(job.id) && !this.#told.isAsTold(job))];
  }

  /** A busy server elsewhere says all the time that something changed. */
  get #lookInMs(): number {
    return this.#looks.dueInMs(this.#options.limits.dashboardPauseMs);
  }

  /** The newest jobs, those under way, and those that had not ended when they were told last. */
  async #latest(): Promise<readonly Job[]> {
    const { read } = this.#options;
    const page = { limit: MAX_LOOKED_AT, order: "newest" } as const;
    const [newest, held] = await Promise.all([
      listedJobs(read, page),
      listedJobs(read, { ...page, states: ["leased", "running"] }),
    ]);
    const found = new Map([...newest, ...held].map((job) => [job.id, job]));
    const others = this.#told.underWay.filter((id) => !found.has(id));
    return [...found.values(), ...(await this.#jobs(others))];
  }

  /** Those of them that are there. */
  async #jobs(ids: readonly number[]): Promise<readonly Job[]> {
    const jobs: Job[] = [];
    for (let at = 0; at < ids.length; at += READS_AT_ONCE) {
      const read = await Promise.all(ids.slice(at, at + READS_AT_ONCE).map((id) => this.#job(id)));
      jobs.push(...read.filter((job) => job !== null));
    }
    return jobs;
  }

  async #job(id: number): Promise<Job | null> {
    try {
      return await this.#options.read.job(id);
    } catch (error) {
      if (error instanceof NotFoundError) return null;
      throw error;
    }
  }

  /** Reads the counters, to be compared with what is heard. */
  async #count(): Promise<void> {
    this.#counts.beginReading();
    const tallies = await this.#options.read.tallies({ dialect: "shelby" });
    this.#counted = { tallies, atMs: performance.now() };
  }

  /** Looks whether anything was missed: at every poll, and again where that is not clear. */
  async #compareCounts(isPoll: boolean): Promise<void> {
    if (this.#counted === null) {
      if (isPoll) await this.#count();
      return;
    }
    const { tallies, atMs } = this.#counted;
    if (this.#heardInMs(atMs) > 0) return;
    this.#counted = null;
    const outcome = this.#counts.endReading(tallies);
    if (outcome === "missed") this.#isUnsure = true;
    else if (outcome === "unsure") await this.#count();
  }

  #heardInMs(countedAtMs: number): number {
    return Math.max(0, this.#options.limits.hearingMs - (performance.now() - countedAtMs));
  }

  forget(): void {
    this.#changed.clear();
    this.#told.forget();
    this.#counts.forget();
    this.#counted = null;
    this.#isUnsure = false;
    this.#isAnew = false;
    this.#isStale = false;
    this.#toldText = "";
  }
}

/** What two dashboards are compared by: all but when they were made. */
function textOf(dashboard: object): string {
  return JSON.stringify({ ...dashboard, timestamp: 0 });
}
