/** The dashboard, and each job that changes. */
import { NotFoundError } from "../../../domain/errors.ts";
import type { Job } from "../../../domain/job.ts";
import type { Engine, EngineEvent } from "../../../engine/engine.ts";
import { listedJobs } from "../listedJobs.ts";
import type { Change, ChangeSource } from "./changeHub.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";

/** Changed jobs that are remembered by name until they are read; over it, the latest are read. */
const MAX_CHANGED = 10_000;
/** Jobs that are looked at when it is not known which changed. */
const MAX_LOOKED_AT = 200;
/** Jobs whose last telling is remembered, to find those that changed unseen. */
const MAX_TOLD = 1_000;
const READS_AT_ONCE = 32;
/** Least time between two rounds of reading changed jobs. */
const PAUSE_MS = 20;

export interface DashboardSourceOptions {
  readonly read: Pick<Engine["read"], "job" | "jobs">;
  readonly views: Pick<LiveViews, "dashboard" | "job">;
  readonly limits: Pick<LiveLimits, "dashboardPauseMs">;
}

export class DashboardSource implements ChangeSource {
  readonly pauseMs = PAUSE_MS;
  readonly #options: DashboardSourceOptions;
  readonly #changed = new Set<number>();
  /** Something changed, and it is not known what. */
  #isUnsure = false;
  #isStale = false;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #toldText = "";
  /** Jobs that were told, as they were told, to find those that changed unseen; the oldest are forgotten. */
  readonly #told = new Map<number, { readonly text: string; readonly isFinal: boolean }>();

  constructor(options: DashboardSourceOptions) {
    this.#options = options;
  }

  hear(events: readonly EngineEvent[]): boolean {
    let isOfInterest = false;
    for (const event of events) {
      if (event.type === "log" || (event.type === "job" && event.dialect !== "shelby")) continue;
      isOfInterest = true;
      if (event.type === "resync") this.#isUnsure = true;
      else if (event.type === "job" && event.to !== null) this.#note(event.id);
      this.#isStale = true;
    }
    return isOfInterest;
  }

  #note(id: number): void {
    if (this.#changed.size < MAX_CHANGED) this.#changed.add(id);
    else this.#isUnsure = true;
  }

  async snapshot(): Promise<unknown> {
    // Else the first look at what changed unseen would find everything changed.
    if (this.#toldText === "") for (const job of await this.#latest()) this.#remember(job);
    const dashboard = await this.#options.views.dashboard();
    this.#toldText ||= textOf(dashboard);
    return dashboard;
  }

  async changes(isPoll: boolean): Promise<readonly Change[]> {
    if (isPoll) this.#isStale = true;
    try {
      const jobs = await this.#changedJobs();
      const dashboard = await this.#dashboardChange();
      return [...jobs.map((job) => ({ type: "job", data: this.#remember(job) })), ...dashboard];
    } catch (error) {
      // What was to be told is found by looking, the next time.
      this.#isUnsure = true;
      this.#isStale = true;
      throw error;
    }
  }

  async #dashboardChange(): Promise<readonly Change[]> {
    const { dashboardPauseMs } = this.#options.limits;
    if (!this.#isStale || performance.now() - this.#toldAtMs < dashboardPauseMs) return [];
    this.#isStale = false;
    this.#toldAtMs = performance.now();
    const dashboard = await this.#options.views.dashboard();
    const text = textOf(dashboard);
    if (text === this.#toldText) return [];
    this.#toldText = text;
    return [{ type: "dashboard", data: dashboard }];
  }

  /** When it is to be asked again although nothing new is heard; null is not before something is. */
  get dueInMs(): number | null {
    const { dashboardPauseMs } = this.#options.limits;
    const dues = [
      ...(this.#isStale ? [dashboardPauseMs - (performance.now() - this.#toldAtMs)] : []),
      ...(this.#isUnsure ? [this.#lookInMs] : []),
    ];
    return dues.length === 0 ? null : Math.max(0, Math.min(...dues));
  }

  async #changedJobs(): Promise<readonly Job[]> {
    const ids = [...this.#changed];
    this.#changed.clear();
    const jobs: Job[] = [];
    for (let at = 0; at < ids.length; at += READS_AT_ONCE) {
      const read = await Promise.all(ids.slice(at, at + READS_AT_ONCE).map((id) => this.#job(id)));
      jobs.push(...read.filter((job) => job !== null));
    }
    if (!this.#isUnsure || this.#lookInMs > 0) return jobs;
    this.#isUnsure = false;
    this.#lookedAtMs = performance.now();
    const seen = new Set(ids);
    const latest = (await this.#latest()).filter(
      (job) =>
        !seen.has(job.id) && this.#told.get(job.id)?.text !== JSON.stringify(this.#options.views.job(job)),
    );
    return [...jobs, ...latest];
  }

  /** A busy server elsewhere says all the time that something changed. */
  get #lookInMs(): number {
    return this.#options.limits.dashboardPauseMs - (performance.now() - this.#lookedAtMs);
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
    const others = [...this.#told].flatMap(([id, { isFinal }]) => (isFinal || found.has(id) ? [] : [id]));
    const known = await Promise.all(others.map((id) => this.#job(id)));
    return [...found.values(), ...known.filter((job) => job !== null)];
  }

  async #job(id: number): Promise<Job | null> {
    try {
      return await this.#options.read.job(id);
    } catch (error) {
      if (error instanceof NotFoundError) return null;
      throw error;
    }
  }

  /** Keeps a job as it is told; returns that. */
  #remember(job: Job): unknown {
    const view = this.#options.views.job(job);
    const isFinal = job.state === "succeeded" || job.state === "failed" || job.state === "cancelled";
    this.#told.delete(job.id);
    this.#told.set(job.id, { text: JSON.stringify(view), isFinal });
    if (this.#told.size <= MAX_TOLD) return view;
    for (const oldest of this.#told.keys()) {
      this.#told.delete(oldest);
      break;
    }
    return view;
  }

  forget(): void {
    this.#changed.clear();
    this.#told.clear();
    this.#isUnsure = false;
    this.#isStale = false;
    this.#toldText = "";
  }
}

/** What two dashboards are compared by: all but when they were made. */
function textOf(dashboard: object): string {
  return JSON.stringify({ ...dashboard, timestamp: 0 });
}
