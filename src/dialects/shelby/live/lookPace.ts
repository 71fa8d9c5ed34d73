/** Paces something that is looked at all the time, so that looking never takes more than a small part of it. */

/** Of the time, what may go into looking: one part in so many. */
const ONE_PART_IN = 20;
/** However long a look took: it may have waited for something else. */
const MAX_REST_MS = 5_000;

export class LookPace {
  #endedAtMs = Number.NEGATIVE_INFINITY;
  #tookMs = 0;

  /** Looks, and takes the time. */
  async look<T>(look: () => Promise<T>): Promise<T> {
    const startedAtMs = performance.now();
    try {
      return await look();
    } finally {
      this.#endedAtMs = performance.now();
      this.#tookMs = this.#endedAtMs - startedAtMs;
    }
  }

  /** Least time between two looks. */
  get restMs(): number {
    return Math.min((ONE_PART_IN - 1) * this.#tookMs, MAX_REST_MS);
  }

  /** How long from now until the next look, when it is to come so long after the last. */
  dueInMs(everyMs: number): number {
    return Math.max(0, Math.max(everyMs, this.restMs) - (performance.now() - this.#endedAtMs));
  }
}
