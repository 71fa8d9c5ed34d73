/**
 * Brings the news that a worker was drained to its claims: to those that wait here at once, else to the next one. A
 * worker that was told and claims on all the same waits like any other, so that it does not ask in a circle.
 */
import type { LiveRequest } from "../route.ts";

/** Workers drained and not yet told; over it the oldest hear of it when a claim of theirs ends. */
const MAX_UNTOLD = 10_000;

export class DrainNews {
  readonly #waiting = new Map<string, Set<LiveRequest>>();
  readonly #untold = new Set<string>();

  /** Enters a claim that is going to wait; the function that is given takes it out. */
  enter(workerId: string, claim: LiveRequest): () => void {
    const claims = this.#waiting.get(workerId) ?? new Set();
    this.#waiting.set(workerId, claims.add(claim));
    return () => {
      claims.delete(claim);
      if (claims.size === 0 && this.#waiting.get(workerId) === claims) this.#waiting.delete(workerId);
    };
  }

  /** Whether a claim of the worker is to be answered without waiting. */
  isUntold(workerId: string): boolean {
    return this.#untold.has(workerId);
  }

  /** The worker was drained: what waits here is answered now. Claims at other servers end in their own time. */
  drained(workerId: string): void {
    this.#untold.add(workerId);
    for (const oldest of this.#untold) {
      if (this.#untold.size <= MAX_UNTOLD) break;
      this.#untold.delete(oldest);
    }
    for (const claim of [...(this.#waiting.get(workerId) ?? [])]) claim.abort();
  }

  /** The worker was told, or is active again. */
  settled(workerId: string): void {
    this.#untold.delete(workerId);
  }
}
