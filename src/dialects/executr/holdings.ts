/**
 * Which attempt of which job an executor means by a job's public id: Executr's calls do not say. Learned from
 * the claims of this server, and only a shortcut: the engine judges, and what is not here is read.
 */

/** A job under the number of one attempt, and whose attempt that is. */
export interface Holding {
  readonly id: number;
  readonly attempt: number;
  readonly workerId: string | null;
  /** What the executor said of itself when it claimed; absent where the claim was not seen here. */
  readonly address?: string;
}

/** Enough for every job that runs at one time, and their repeats; the least recently used one goes first. */
const MAX_HOLDINGS = 50_000;

export class Holdings {
  readonly #byKey = new Map<string, Holding>();
  readonly #max: number;

  constructor(max = MAX_HOLDINGS) {
    this.#max = max;
  }

  get(key: string): Holding | null {
    const found = this.#byKey.get(key);
    if (found === undefined) return null;
    this.#byKey.delete(key);
    this.#byKey.set(key, found);
    return found;
  }

  set(key: string, holding: Holding): void {
    this.#byKey.delete(key);
    this.#byKey.set(key, holding);
    if (this.#byKey.size <= this.#max) return;
    const [oldest] = this.#byKey.keys();
    if (oldest !== undefined) this.#byKey.delete(oldest);
  }
}
