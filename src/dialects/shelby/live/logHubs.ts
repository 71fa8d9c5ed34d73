/** The logs that are followed: one hub for each job, made for its first follower. */
import type { Job } from "../../../domain/job.ts";
import type { Engine } from "../../../engine/engine.ts";
import { JobWatch } from "../../jobWatch.ts";
import { CLOSE } from "../../socket.ts";
import type { KeptBytes } from "./keptBytes.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";
import { type LogFollower, LogHub } from "./logHub.ts";

export interface LogHubsOptions {
  readonly engine: Pick<Engine, "read" | "subscribe">;
  readonly views: Pick<LiveViews, "status" | "findJob">;
  readonly limits: LiveLimits;
  readonly kept: KeptBytes;
  readonly clock: () => number;
  readonly onFault: (error: unknown) => void;
}

export class LogHubs {
  readonly #options: LogHubsOptions;
  readonly #watch: JobWatch;
  readonly #hubs = new Map<string, LogHub>();

  constructor(options: LogHubsOptions) {
    this.#options = options;
    this.#watch = new JobWatch(options.engine);
  }

  /** Logs that are followed, or were a moment ago. */
  get size(): number {
    return this.#hubs.size;
  }

  /**
   * Adds a follower.
   *
   * @returns the way to leave
   * @throws NotFoundError when there is no such job
   */
  async join(jobId: string, follower: LogFollower): Promise<() => void> {
    let hub = this.#usable(jobId, follower);
    if (hub === null) {
      const job = await this.#options.views.findJob(jobId);
      // It was asked for under another id than its own, which may get a job of its own.
      if (job.key !== jobId) return this.join(job.key, follower);
      // Of many who come at once the first makes the hub.
      hub = this.#usable(jobId, follower) ?? this.#make(jobId, job);
    }
    hub.join(follower);
    return () => hub.leave(follower);
  }

  /** A hub that stands idle does not know what came meanwhile: it serves only those who go on where they were. */
  #usable(jobId: string, follower: LogFollower): LogHub | null {
    const hub = this.#hubs.get(jobId);
    if (hub === undefined) return null;
    const isOfUse = hub.isIdle ? hub.canResume(follower) : hub.serves(follower);
    return isOfUse ? hub : null;
  }

  #make(jobId: string, job: Job): LogHub {
    const { engine, views, limits, kept, clock, onFault } = this.#options;
    const shared = this.#hubs.get(jobId);
    // One that is being followed stays; who wants what it no longer has reads for itself.
    const isApart = shared !== undefined && !shared.isIdle && !shared.isOver;
    const hub = new LogHub({
      ...{ job, engine, watch: this.#watch, views, limits, kept, clock, onFault },
      onLate: (late) => void this.#rejoin(jobId, late),
      onIdle: () => (isApart ? hub.close() : this.#linger(jobId, hub)),
    });
    if (isApart) return hub;
    // One whose last readers still read closes by itself.
    if (shared?.isIdle === true) shared.close();
    this.#hubs.set(jobId, hub);
    return hub;
  }

  async #rejoin(jobId: string, follower: LogFollower): Promise<void> {
    try {
      await this.join(jobId, follower);
    } catch {
      follower.end(CLOSE.notFound, "the job was deleted");
    }
  }

  #linger(jobId: string, hub: LogHub): void {
    setTimeout(() => {
      if (!hub.isIdle) return;
      if (this.#hubs.get(jobId) === hub) this.#hubs.delete(jobId);
      hub.close();
    }, this.#options.limits.lingerMs).unref();
  }
}
