/** What ShelbyCompute's front ends look at, as its answers and its live streams show it. */
import type { Job, JobState } from "../../domain/job.ts";
import type { Worker } from "../../domain/worker.ts";
import type { Engine } from "../../engine/engine.ts";
import { FreshReads } from "../freshReads.ts";
import { frontJob } from "./frontJob.ts";
import { frontNode, isActive, isNode } from "./frontNode.ts";
import { jobOrNull, refOf } from "./jobLookup.ts";
import { listedJobs } from "./listedJobs.ts";
import { type JobStatus, statusOf } from "./statuses.ts";
import type { StrayScripts } from "./strayScripts.ts";
import { unixSeconds } from "./unixSeconds.ts";

/** Jobs in the dashboard's list. */
const RECENT_JOBS = 10;

export interface ShelbyViewsOptions {
  readonly engine: Pick<Engine, "read">;
  readonly strays: Pick<StrayScripts, "borrower">;
  readonly nodeTimeoutMs: number;
}

export type JobStats = Readonly<Record<JobStatus | "total", number>>;

export interface Dashboard {
  readonly jobStats: JobStats;
  readonly activeNodes: number;
  readonly recentJobs: readonly ReturnType<typeof frontJob>[];
  readonly timestamp: number;
}

export class ShelbyViews {
  readonly #options: ShelbyViewsOptions;
  /** Many front ends look at the same time; each reading serves all who asked before it began. */
  readonly #workers: FreshReads<"all", readonly Worker[]>;
  readonly #dashboards: FreshReads<"all", Dashboard>;

  constructor(options: ShelbyViewsOptions) {
    this.#options = options;
    this.#workers = new FreshReads(() => options.engine.read.workers());
    this.#dashboards = new FreshReads(() => this.#readDashboard());
  }

  /** @throws NotFoundError for a job that is not one of this API */
  ownJob(jobId: string): Promise<Job> {
    return this.#options.engine.read.job(refOf(jobId));
  }

  /**
   * For those who look: the job of that id, or else the one that has the script on loan which was uploaded for it.
   *
   * @throws NotFoundError for a job that is not one of this API
   */
  async findJob(jobId: string): Promise<Job> {
    const { engine, strays } = this.#options;
    const job = (await jobOrNull(engine.read, refOf(jobId))) ?? (await strays.borrower(jobId));
    return job ?? this.ownJob(jobId);
  }

  job(job: Job): ReturnType<typeof frontJob> {
    return frontJob(job);
  }

  status(state: JobState): JobStatus {
    return statusOf(state);
  }

  dashboard(): Promise<Dashboard> {
    return this.#dashboards.get("all");
  }

  /** Those heard from last first. */
  async nodes(): Promise<readonly ReturnType<typeof frontNode>[]> {
    const { nodeTimeoutMs } = this.#options;
    const now = Date.now();
    return (await this.workers()).map((worker) => frontNode(worker, now, nodeTimeoutMs));
  }

  /** The nodes as workers, those heard from last first. */
  async workers(): Promise<readonly Worker[]> {
    const workers = await this.#workers.get("all");
    return workers.filter(isNode).sort((a, b) => b.lastSeenAt - a.lastSeenAt);
  }

  async activeNodes(): Promise<number> {
    const { nodeTimeoutMs } = this.#options;
    const now = Date.now();
    return (await this.workers()).filter((worker) => isActive(worker, now, nodeTimeoutMs)).length;
  }

  /** Numbers of jobs by status. Costs the same however many there are. */
  async jobStats(): Promise<JobStats> {
    const numbers = { pending: 0, assigned: 0, finished: 0, failed: 0, cancelled: 0, total: 0 };
    for (const { state, count } of await this.#options.engine.read.tallies({ dialect: "shelby" })) {
      numbers[statusOf(state)] += count;
      numbers.total += count;
    }
    return numbers;
  }

  async #readDashboard(): Promise<Dashboard> {
    const [jobStats, activeNodes, recent] = await Promise.all([
      this.jobStats(),
      this.activeNodes(),
      listedJobs(this.#options.engine.read, { order: "newest", limit: RECENT_JOBS }),
    ]);
    return {
      jobStats,
      activeNodes,
      recentJobs: recent.map(frontJob),
      timestamp: unixSeconds(Date.now()),
    };
  }
}
