/**
 * The logs that are followed. Those who are near the end of a log, or near each other, share a hub; who is far behind
 * reads for itself, and joins the others when it has caught up.
 */
import type { Job } from "../../../domain/job.ts";
import type { Engine } from "../../../engine/engine.ts";
import { JobWatch } from "../../jobWatch.ts";
import { CLOSE } from "../../socket.ts";
import { Turns } from "../../turns.ts";
import type { KeptBytes } from "./keptBytes.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";
import { knownBy, type LogFollower, type LogGuest, LogHub } from "./logHub.ts";

export interface LogHubsOptions {
  readonly engine: Pick<Engine, "read" | "subscribe">;
  readonly views: Pick<LiveViews, "status" | "findJob">;
  readonly limits: LiveLimits;
  readonly kept: KeptBytes;
  readonly clock: () => number;
  readonly onFault: (error: unknown) => void;
}

/** Where a follower is. */
interface Home {
  readonly follower: LogFollower;
  hub: LogHub;
  /** How often it went from one hub to another. */
  moves: number;
}

/** Logs that are read, and snapshots that are made, at a time. */
const READS_AT_A_TIME = 4;
/** A follower that no hub could serve after so many moves is told to come back. */
const MAX_MOVES = 4;

export class LogHubs {
  readonly #options: LogHubsOptions;
  readonly #watch: JobWatch;
  readonly #turns = new Turns(READS_AT_A_TIME);
  /** By the job's key, the oldest first. */
  readonly #hubs = new Map<string, LogHub[]>();
  readonly #homes = new WeakMap<object, Home>();

  constructor(options: LogHubsOptions) {
    this.#options = options;
    this.#watch = new JobWatch(options.engine);
  }

  /** How many hubs there are: one for each log that is followed, and more for those who are far behind. */
  get size(): number {
    let sum = 0;
    for (const hubs of this.#hubs.values()) sum += hubs.length;
    return sum;
  }

  /**
   * Adds a follower.
   *
   * @returns the way to leave, wherever it is by then
   * @throws NotFoundError when there is no such job
   */
  async join(jobId: string, follower: LogFollower): Promise<() => void> {
    const job = this.#hubs.get(jobId)?.[0]?.job ?? (await this.#options.views.findJob(jobId));
    // It was asked for under another id than its own, which may get a job of its own.
    if (job.key !== jobId) return this.join(job.key, follower);
    const guest = { follower, from: knownBy(follower, job) };
    const hub = this.#hubFor(job, guest);
    this.#homes.set(follower, { follower, hub, moves: 0 });
    hub.join(guest);
    return () => {
      this.#homes.get(follower)?.hub.leave(follower);
      this.#homes.delete(follower);
    };
  }

  /** Of many who come at once the first makes the hub. */
  #hubFor(job: Job, { from }: LogGuest, left: LogHub | null = null): LogHub {
    const hubs = this.#hubs.get(job.key) ?? [];
    return hubs.find((hub) => hub !== left && hub.accepts(from)) ?? this.#make(job);
  }

  #make(job: Job): LogHub {
    const { engine, views, limits, kept, clock, onFault } = this.#options;
    const hub: LogHub = new LogHub({
      ...{ job, engine, watch: this.#watch, views, limits, kept, turns: this.#turns, clock, onFault },
      onLate: (guest) => this.#moveOn(job, guest),
      onCaughtUp: () => this.#unite(hub),
      onIdle: () => this.#forget(hub),
    });
    this.#hubs.set(job.key, [...(this.#hubs.get(job.key) ?? []), hub]);
    return hub;
  }

  /** Its hub could not serve it: another one does, which may be one of its own. */
  #moveOn(job: Job, guest: LogGuest): void {
    const home = this.#homes.get(guest.follower);
    if (home === undefined) return;
    home.moves++;
    if (home.moves > MAX_MOVES) {
      guest.follower.end(CLOSE.unavailable, "the log moves faster than it can be joined; come back later");
      return;
    }
    home.hub = this.#hubFor(job, guest, home.hub);
    home.hub.join(guest);
  }

  /** Where two hubs of a log are at the same point one is enough. */
  #unite(hub: LogHub): void {
    const hubs = this.#hubs.get(hub.job.key) ?? [];
    const from = hub.last;
    const older = hubs.slice(0, hubs.indexOf(hub)).find((other) => other.accepts(from));
    if (older === undefined) return;
    // Whoever was sent on before stays, so that nobody goes round in circles.
    const isMovable = (follower: object) => (this.#homes.get(follower)?.moves ?? MAX_MOVES) < MAX_MOVES / 2;
    for (const follower of hub.release(isMovable)) {
      const home = this.#homes.get(follower);
      if (home === undefined) continue;
      home.moves++;
      home.hub = older;
      older.join({ follower: home.follower, from });
    }
  }

  #forget(hub: LogHub): void {
    const { key } = hub.job;
    const others = (this.#hubs.get(key) ?? []).filter((other) => other !== hub);
    if (others.length === 0) this.#hubs.delete(key);
    else this.#hubs.set(key, others);
  }
}
