/**
 * Claims that found nothing and wait for work.
 *
 * The commit in which jobs become ready serves as many of them as there are jobs, those first that have waited
 * longest and whose offer fits: a job and its lease are then one write. Jobs that others made ready have them tried
 * again. A claim that is tried in vain waits on until its own deadline.
 */

import { fits } from "../domain/resources.ts";
import type { Shape } from "../domain/shape.ts";
import { ANY_QUEUE } from "../domain/worker.ts";
import type { ClaimedJob, ClaimRequest } from "./engine.ts";

/** How a wait ends: with jobs, with the advice to try again, or because its time is over. */
export type WaitEnd = readonly ClaimedJob[] | "try" | "over";

interface Waiter {
  readonly request: ClaimRequest;
  readonly end: (end: WaitEnd) => void;
}

/** A claim that a commit has taken over: it must end it. */
export type TakenClaim = Waiter;

/** Shapes that are remembered as having become ready. */
const MAX_NEWS = 64;

export class WaitingClaims {
  readonly #waiters = new Set<Waiter>();
  /** The last shapes of which jobs became ready, oldest first; null is any. */
  readonly #news: (Shape | null)[] = [];
  #newsCount = 0;

  get size(): number {
    return this.#waiters.size;
  }

  /** What has been told so far; to be asked for before a claim is tried. */
  mark(): number {
    return this.#newsCount;
  }

  /** Whether jobs became ready since then that may suit: a claim that saw none of them must not begin to wait. */
  hasMissed(mark: number, request: ClaimRequest): boolean {
    const missed = this.#newsCount - mark;
    if (missed > this.#news.length) return true;
    return missed > 0 && this.#news.slice(-missed).some((shape) => shape === null || suits(shape, request));
  }

  #note(shape: Shape | null): void {
    this.#newsCount++;
    if (this.#news.push(shape) > MAX_NEWS) this.#news.shift();
  }

  /** Resolves to `over` at the deadline or when `signal` fires, unless a commit has taken the claim over. */
  wait(request: ClaimRequest, timeoutMs: number, signal: AbortSignal | undefined): Promise<WaitEnd> {
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
      const waiter: Waiter = { request, end };
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
      // Which worker has the labels is known to the store alone: all that might are asked.
      let left = Object.keys(shape.requires).length > 0 ? Number.POSITIVE_INFINITY : count;
      for (const waiter of this.#waiters) {
        if (left <= 0) break;
        if (!suits(shape, waiter.request)) continue;
        this.#waiters.delete(waiter);
        taken.push(waiter);
        left--;
      }
    }
    return taken;
  }

  /** Lets those try again who can use the jobs that became ready. */
  wakeFor(readied: ReadonlyMap<Shape, number>): void {
    for (const shape of readied.keys()) this.#note(shape);
    for (const waiter of this.take(readied)) waiter.end("try");
  }

  /** Lets every claim try again. */
  tryAll(): void {
    this.#note(null);
    for (const waiter of [...this.#waiters]) waiter.end("try");
  }

  /** Ends every wait. */
  endAll(): void {
    for (const waiter of [...this.#waiters]) waiter.end("over");
  }
}

function suits(shape: Shape, { queues, kinds, capacity }: ClaimRequest): boolean {
  return (
    fits(shape.resources, capacity) &&
    kinds.includes(shape.kind) &&
    (queues.includes(shape.queue) || queues.includes(ANY_QUEUE))
  );
}
