/** When each worker was last heard from: remembered at every word of it, stored now and then. */

export interface Sighting {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly lastSeenAt: number;
}

/** Pause between two writes of it. */
const STORED_EVERY_MS = 5_000;

export class SeenWorkers {
  readonly #lastSeenAt = new Map<string, number>();
  #storedAt = 0;

  see(id: string, now: number): void {
    this.#lastSeenAt.set(id, now);
  }

  forget(id: string): void {
    this.#lastSeenAt.delete(id);
  }

  /** 0 for one that was not heard from lately. */
  lastSeenAt(id: string): number {
    return this.#lastSeenAt.get(id) ?? 0;
  }

  /** What is to be stored by now; null where it is too soon. */
  due(now: number): readonly Sighting[] | null {
    if (now - this.#storedAt < STORED_EVERY_MS) return null;
    return [...this.#lastSeenAt]
      .filter(([, lastSeenAt]) => lastSeenAt >= this.#storedAt)
      .map(([id, lastSeenAt]) => ({ id, lastSeenAt }));
  }

  /** The store knows what was due then; what is kept here is what may be newer. */
  stored(now: number, offlineMs: number): void {
    this.#storedAt = now;
    for (const [id, lastSeenAt] of this.#lastSeenAt) {
      if (lastSeenAt + offlineMs < now) this.#lastSeenAt.delete(id);
    }
  }
}
