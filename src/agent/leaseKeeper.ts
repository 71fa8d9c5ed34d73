/** Renews all leases in one call, says which jobs started, and passes on which were lost or cancelled. */
import type { ClaimedJob, YardmasterClient } from "@yardmaster/client";
import { type AttemptKey, type AttemptRef, attemptKey } from "./journal.ts";
import { type ServerLink, StoppedError } from "./serverLink.ts";

/** A start is told after this long, many together; a job that ends sooner says it in its result. */
const STARTED_DELAY_MS = 5;
/** The same while jobs are short: each start that is told costs about as much as the job's own end. */
const STARTED_DELAY_OF_SHORT_MS = 50;
/** Leases in one request. */
const MAX_LEASES = 500;
/** After a renewal that failed, the next comes at least this soon. */
const RETRY_MS = 500;

interface Lease extends AttemptRef {
  /** `pending` starts are yet to be told. */
  start: "no" | "pending" | "told";
  startedMs: number;
}

export interface LeaseKeeperOptions {
  readonly client: YardmasterClient;
  readonly link: ServerLink;
  readonly workerId: string;
  readonly renewEveryMs: number;
  /** Whether the jobs of late ended so soon that telling their starts is not worth while. */
  readonly areJobsShort: () => boolean;
  /** The server gave the job to somebody else, or knows nothing of it: it must not go on here. */
  readonly onLost: (key: AttemptKey) => void;
  readonly onCancelled: (key: AttemptKey) => void;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #leases = new Map<AttemptKey, Lease>();
  /** Those whose start is to be told, oldest first. */
  readonly #pendingStarts = new Set<Lease>();
  /** Shortest lease seen; renewals come at least three times in it. */
  #leaseMs = Number.POSITIVE_INFINITY;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #startedTimer: ReturnType<typeof setTimeout> | undefined;
  #isRenewing = false;
  readonly #stop = new AbortController();

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Takes over the leases of jobs just claimed. */
  hold(jobs: readonly ClaimedJob[]): void {
    for (const job of jobs) {
      this.#leases.set(attemptKey(job), { id: job.id, attempt: job.attempt, start: "no", startedMs: 0 });
      // Both times are the server's, so that the length is right whatever the clock says here.
      const lengthMs = Date.parse(job.leaseExpiresAt) - Date.parse(job.updatedAt);
      if (lengthMs > 0) this.#leaseMs = Math.min(this.#leaseMs, lengthMs);
    }
    this.#schedule(this.#everyMs());
  }

  /** The job's process runs. */
  started(key: AttemptKey): void {
    const lease = this.#leases.get(key);
    if (lease === undefined) return;
    lease.start = "pending";
    lease.startedMs = performance.now();
    this.#pendingStarts.add(lease);
    this.#startedTimer ??= setTimeout(() => this.#tellStarts(), this.#startedDelayMs());
  }

  #startedDelayMs(): number {
    return this.#options.areJobsShort() ? STARTED_DELAY_OF_SHORT_MS : STARTED_DELAY_MS;
  }

  #tellStarts(): void {
    this.#startedTimer = undefined;
    const delayMs = this.#startedDelayMs();
    const dueMs = performance.now() - delayMs + 1;
    const due = [...this.#pendingStarts].filter((lease) => lease.startedMs <= dueMs).slice(0, MAX_LEASES);
    for (const lease of due) this.#pendingStarts.delete(lease);
    if (due.length > 0) void this.#renew(due);
    if (this.#pendingStarts.size > 0) {
      this.#startedTimer = setTimeout(() => this.#tellStarts(), delayMs);
    }
  }

  /** The job has ended: its start, if not yet told, goes with the result. The lease is still renewed. */
  ended(key: AttemptKey): void {
    const lease = this.#leases.get(key);
    if (lease?.start !== "pending") return;
    lease.start = "no";
    this.#pendingStarts.delete(lease);
  }

  /** The lease is needed no longer. */
  release(key: AttemptKey): void {
    this.#leases.delete(key);
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#startedTimer);
    this.#stop.abort(new StoppedError("the agent has ended"));
  }

  #everyMs(): number {
    return Math.min(this.#options.renewEveryMs, this.#leaseMs / 3);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#renewAll(), delayMs);
  }

  async #renewAll(): Promise<void> {
    let isAnswered = true;
    if (!this.#isRenewing) {
      this.#isRenewing = true;
      const leases = [...this.#leases.values()];
      for (let at = 0; at < leases.length && isAnswered; at += MAX_LEASES) {
        isAnswered = await this.#renew(leases.slice(at, at + MAX_LEASES));
      }
      this.#isRenewing = false;
    }
    this.#timer = undefined;
    if (this.#leases.size === 0) return;
    this.#schedule(isAnswered ? this.#everyMs() : Math.min(RETRY_MS, this.#everyMs()));
  }

  /** False when no answer came. Jobs run on without one: the server says so when their leases are lost. */
  async #renew(leases: readonly Lease[]): Promise<boolean> {
    const { client, link, workerId } = this.#options;
    const told = leases.filter((lease) => lease.start === "pending");
    for (const lease of told) lease.start = "told";
    try {
      const answer = await client.renew(
        {
          workerId,
          leases: leases.map((lease) => ({
            id: lease.id,
            attempt: lease.attempt,
            ...(told.includes(lease) ? { started: true as const } : {}),
          })),
        },
        { signal: this.#stop.signal },
      );
      link.succeeded();
      const sent = new Map(leases.map((lease) => [lease.id, attemptKey(lease)]));
      this.#end(answer.lost, sent, this.#options.onLost);
      this.#end(answer.cancelled, sent, this.#options.onCancelled);
      return true;
    } catch (error) {
      for (const lease of told) lease.start = "pending";
      if (!this.#stop.signal.aborted) link.failed("renewal", error);
      return false;
    }
  }

  #end(
    ids: readonly number[],
    sent: ReadonlyMap<number, AttemptKey>,
    callback: (key: AttemptKey) => void,
  ): void {
    for (const id of ids) {
      const key = sent.get(id);
      // It may have been brought to its end while the answer was under way.
      if (key !== undefined && this.#leases.has(key)) callback(key);
    }
  }
}
