/**
 * How many jobs to claim ahead of free slots.
 *
 * A job of one millisecond ends long before the next claim is answered, so an agent that claims only for
 * free slots stands idle most of the time (about 400 jobs a second where 1,500 can be started). The agent
 * therefore claims as many more as it expects to start within `horizonMs`, judged by how long recent jobs
 * ran. Jobs that run for longer than that are never claimed ahead.
 */
import type { Resources } from "../domain/resources.ts";

/** Weight of the newest run in the average. */
const WEIGHT = 0.05;
/** Most jobs one claim can bring. */
export const MAX_CLAIM = 500;
/** After a job came that can never run here, claims ask for no more than is free for this long. */
const SUSPENDED_MS = 60_000;

export class Prefetch {
  readonly #horizonMs: number;
  readonly #total: Resources;
  readonly #maxJobs: number;
  /** Averages over recent runs; null before the first. */
  #runMs: number | null = null;
  #cpu = 1;
  #memoryMb = 0;
  #suspendedUntilMs = 0;

  constructor(horizonMs: number, total: Resources, maxJobs: number) {
    this.#horizonMs = horizonMs;
    this.#total = total;
    this.#maxJobs = maxJobs;
  }

  /** A job ran for `runMs`. */
  ran(need: Resources, runMs: number): void {
    // Accelerator jobs say nothing about the short ones, and are never claimed ahead.
    if (need.accelerators > 0) return;
    if (this.#runMs === null) this.#runMs = runMs;
    else this.#runMs += (runMs - this.#runMs) * WEIGHT;
    this.#cpu += (need.cpu - this.#cpu) * WEIGHT;
    this.#memoryMb += (need.memoryMb - this.#memoryMb) * WEIGHT;
  }

  /** Whether recent jobs ran for less than this on average. */
  isShorterThan(limitMs: number): boolean {
    return this.#runMs !== null && this.#runMs < limitMs;
  }

  /** Jobs to hold beyond those that run. */
  target(nowMs: number): number {
    if (this.#runMs === null || this.#horizonMs === 0 || nowMs < this.#suspendedUntilMs) return 0;
    const byCpu = this.#cpu > 0 ? this.#total.cpu / this.#cpu : this.#maxJobs;
    const slots = Math.max(1, Math.min(this.#maxJobs, byCpu));
    return Math.min(MAX_CLAIM, Math.floor((slots * this.#horizonMs) / Math.max(this.#runMs, 0.2)));
  }

  /** Room for `jobs` more of the recent kind. */
  room(jobs: number): Resources {
    return {
      cpu: Math.ceil(jobs * this.#cpu),
      accelerators: 0,
      memoryMb: Math.ceil(jobs * this.#memoryMb),
    };
  }

  /** A claim that asked for more than is free brought a job larger than the machine. */
  suspend(nowMs: number): void {
    this.#suspendedUntilMs = nowMs + SUSPENDED_MS;
  }
}
