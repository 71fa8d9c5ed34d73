/** The dashboard, and each job that changes. */
import { NotFoundError } from "../../../domain/errors.ts";
import type { Job } from "../../../domain/job.ts";
import type { Engine, EngineEvent } from "../../../engine/engine.ts";
import type { Change, ChangeSource } from "./changeHub.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";

/** Changed jobs that are remembered by name until they are read; over it, the latest are read. */
const MAX_CHANGED = 10_000;
/** Jobs that are looked at when it is not known which changed. */
const MAX_LOOKED_AT = 200;
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
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #toldText = "";
  /** Jobs that were told, as they were told, to find those that changed unseen; the oldest are forgotten. */
  readonly #told = new Map<number, string>();

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
    const dashboard = await this.#options.views.dashboard();
    this.#toldText ||= textOf(dashboard);
    return dashboard;
  }

  async changes(isPoll: boolean): Promise<readonly Change[]> {
    const changes = (await this.#changedJobs()).map((job) => {
      const view = this.#options.views.job(job);
      this.#remember(job.id, JSON.stringify(view));
      return { type: "job", data: view };
    });
    if (isPoll) this.#isStale = true;
    return [...changes, ...(await this.#dashboardChange())];
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
    if (!this.#isStale) return null;
    return Math.max(0, this.#options.limits.dashboardPauseMs - (performance.now() - this.#toldAtMs));
  }

  async #changedJobs(): Promise<readonly Job[]> {
    const ids = [...this.#changed];
    this.#changed.clear();
    const jobs: Job[] = [];
    for (let at = 0; at < ids.length; at += READS_AT_ONCE) {
      const read = await Promise.all(ids.slice(at, at + READS_AT_ONCE).map((id) => this.#job(id)));
      jobs.push(...read.filter((job) => job !== null));
    }
    if (!this.#isUnsure) return jobs;
    this.#isUnsure = false;
    const seen = new Set(ids);
    const latest = (await this.#latest()).filter(
      (job) => !seen.has(job.id) && this.#told.get(job.id) !== JSON.stringify(this.#options.views.job(job)),
    );
    return [...jobs, ...latest];
  }

  /** The newest jobs, those under way, and those that were under way when they were told last. */
  async #latest(): Promise<readonly Job[]> {
    const { read } = this.#options;
    const page = { limit: MAX_LOOKED_AT, cursor: null, wantsTotal: false, order: "newest" } as const;
    const [newest, held, ...known] = await Promise.all([
      read.jobs({ dialect: "shelby" }, page),
      read.jobs({ dialect: "shelby", states: ["leased", "running"] }, page),
      ...[...this.#told.keys()].slice(-MAX_LOOKED_AT).map((id) => this.#job(id)),
    ]);
    const jobs = [...newest.items, ...held.items, ...known.filter((job) => job !== null)];
    return [...new Map(jobs.map((job) => [job.id, job])).values()];
  }

  async #job(id: number): Promise<Job | null> {
    try {
      return await this.#options.read.job(id);
    } catch (error) {
      if (error instanceof NotFoundError) return null;
      throw error;
    }
  }

  #remember(id: number, text: string): void {
    this.#told.delete(id);
    this.#told.set(id, text);
    if (this.#told.size <= MAX_LOOKED_AT) return;
    for (const oldest of this.#told.keys()) {
      this.#told.delete(oldest);
      break;
    }
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
