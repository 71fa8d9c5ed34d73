/**
 * Claims that found nothing and wait for work.
 *
 * When jobs become ready, as many claims as there are jobs are tried again, those first that have waited
 * longest and whose offer fits. A claim that is tried in vain waits on until its own deadline.
 */

import { fits } from "../domain/resources.ts";
import type { Shape } from "../domain/shape.ts";
import { ANY_QUEUE } from "../domain/worker.ts";
import type { ClaimRequest } from "./engine.ts";

interface Waiter {
  readonly request: ClaimRequest;
  /** True: try again. False: the time is over. */
  readonly wake: (isWorthTrying: boolean) => void;
}

export class WaitingClaims {
  readonly #waiters = new Set<Waiter>();

  get size(): number {
    return this.#waiters.size;
  }

  /** Resolves to true when jobs came that may fit, to false at the deadline or when `signal` fires. */
  wait(request: ClaimRequest, timeoutMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isWorthTrying: boolean) => {
        if (!this.#waiters.delete(waiter)) return;
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        resolve(isWorthTrying);
      };
      const onAbort = () => end(false);
      const waiter: Waiter = { request, wake: end };
      const timer = setTimeout(() => end(false), timeoutMs);
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted) end(false);
    });
  }

  /** Wakes those who can use the jobs that became ready. */
  wakeFor(readied: ReadonlyMap<Shape, number>): void {
    if (this.#waiters.size === 0) return;
    for (const [shape, count] of readied) {
      // Which worker has the labels is known to the store alone: all that might are asked.
      let left = Object.keys(shape.requires).length > 0 ? Number.POSITIVE_INFINITY : count;
      for (const waiter of this.#waiters) {
        if (left <= 0) break;
        if (!suits(shape, waiter.request)) continue;
        waiter.wake(true);
        left--;
      }
    }
  }

  /** Lets every claim try again. */
  tryAll(): void {
    for (const waiter of [...this.#waiters]) waiter.wake(true);
  }

  /** Ends every wait. */
  wakeAll(): void {
    for (const waiter of [...this.#waiters]) waiter.wake(false);
  }
}

function suits(shape: Shape, { queues, kinds, capacity }: ClaimRequest): boolean {
  return (
    fits(shape.resources, capacity) &&
    kinds.includes(shape.kind) &&
    (queues.includes(shape.queue) || queues.includes(ANY_QUEUE))
  );
}
