/**
 * Claims that found nothing and wait for work.
 *
 * The commit in which jobs become ready serves as many of them as there are jobs, those first that have waited
 * longest and who may have them: a job and its lease are then one write. Jobs that others made ready have them tried
 * again, and so has a change of their worker. A claim that is tried in vain waits on until its own deadline.
 */
import type { Shape } from "../domain/shape.ts";
import { type Claimant, suits } from "./claimant.ts";
import type { ClaimedJob, ClaimRequest } from "./engine.ts";

/** How a wait ends: with jobs, with the advice to try again, or because its time is over. */
export type WaitEnd = readonly ClaimedJob[] | "try" | "over";

/** A claim, and its worker as it was when the claim was tried last. */
export interface TriedClaim {
  readonly request: ClaimRequest;
  /** Null is a worker that may have no jobs now. */
  readonly claimant: Claimant | null;
}

interface Waiter extends TriedClaim {
  readonly end: (end: WaitEnd) => void;
}

/** A claim that a commit has taken over: it must end it. */
export type TakenClaim = Waiter;

/** What makes claims worth trying: jobs of a shape became ready, a worker changed, or nobody knows. */
type News = { readonly shape: Shape } | { readonly workerId: string } | "any";

const MAX_NEWS = 64;

export class WaitingClaims {
  readonly #waiters = new Set<Waiter>();
  /** The last, oldest first. */
  readonly #news: News[] = [];
  #newsCount = 0;

  get size(): number {
    return this.#waiters.size;
  }

  /** What has been told so far; to be asked for before a claim is tried. */
  mark(): number {
    return this.#newsCount;
  }

  /** Whether there was news since then that may suit: a claim that saw nothing of it must not begin to wait. */
  hasMissed(mark: number, { request, claimant }: TriedClaim): boolean {
    const missed = this.#newsCount - mark;
    if (missed === 0) return false;
    if (missed > this.#news.length) return true;
    return this.#news.slice(-missed).some((news) => {
      if (news === "any") return true;
      return "shape" in news ? suits(news.shape, request, claimant) : news.workerId === request.workerId;
    });
  }

  #note(news: News): void {
    this.#newsCount++;
    if (this.#news.push(news) > MAX_NEWS) this.#news.shift();
  }

  /** Resolves to `over` at the deadline or when `signal` fires, unless a commit has taken the claim over. */
  wait(claim: TriedClaim, timeoutMs: number, signal: AbortSignal | undefined): Promise<WaitEnd> {
    return new Promise((resolve) => {
      const end = (how: WaitEnd) => {
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        signal?.removeEventListener("abort", onTimeOver);
        resolve(how);
      };
      const onTimeOver = () => {
        if (this.#waiters.has(waiter)) end("over");
      };
      const waiter: Waiter = { ...claim, end };
      const timer = setTimeout(onTimeOver, timeoutMs);
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onTimeOver, { once: true });
      if (signal?.aborted) onTimeOver();
    });
  }

  /** Hands over those who can use the jobs that become ready. */
  take(readied: ReadonlyMap<Shape, number>): readonly TakenClaim[] {
    if (this.#waiters.size === 0) return [];
    const taken: Waiter[] = [];
    for (const [shape, count] of readied) {
      let left = count;
      for (const waiter of this.#waiters) {
        if (left <= 0) break;
        if (!suits(shape, waiter.request, waiter.claimant)) continue;
        this.#waiters.delete(waiter);
        taken.push(waiter);
        left--;
      }
    }
    return taken;
  }

  /** Lets those try again who can use the jobs that became ready. */
  wakeFor(readied: ReadonlyMap<Shape, number>): void {
    for (const shape of readied.keys()) this.#note({ shape });
    for (const waiter of this.take(readied)) waiter.end("try");
  }

  /** Lets every claim try again. */
  tryAll(): void {
    this.#note("any");
    for (const waiter of [...this.#waiters]) waiter.end("try");
  }

  /** Lets those claims try again whose worker has changed: it may have other jobs now, or none. */
  tryWorker(workerId: string): void {
    this.#note({ workerId });
    for (const waiter of [...this.#waiters]) if (waiter.request.workerId === workerId) waiter.end("try");
  }

  /** Ends every wait. */
  endAll(): void {
    for (const waiter of [...this.#waiters]) waiter.end("over");
  }
}
