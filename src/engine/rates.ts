/** Events a second over the last minutes, from counts kept in short slots. */

const SLOT_MS = 5_000;
const SLOTS = (15 * 60_000) / SLOT_MS;

export class RateCounter {
  readonly #counts = new Array<number>(SLOTS).fill(0);
  readonly #startedAt: number;
  #slot: number;

  constructor(now: number) {
    this.#startedAt = now;
    this.#slot = Math.floor(now / SLOT_MS);
  }

  add(now: number, count: number): void {
    this.#advance(now);
    const at = this.#slot % SLOTS;
    this.#counts[at] = (this.#counts[at] ?? 0) + count;
  }

  /** Mean events a second; over less than the window while the counter is younger than it. */
  read(now: number): { m1: number; m5: number; m15: number } {
    this.#advance(now);
    return { m1: this.#mean(now, 60_000), m5: this.#mean(now, 300_000), m15: this.#mean(now, 900_000) };
  }

  #mean(now: number, windowMs: number): number {
    let sum = 0;
    for (let back = 0; back < windowMs / SLOT_MS; back++) {
      sum += this.#counts[(((this.#slot - back) % SLOTS) + SLOTS) % SLOTS] ?? 0;
    }
    const seconds = Math.min(windowMs, Math.max(now - this.#startedAt, 1_000)) / 1_000;
    return Math.round((sum / seconds) * 1_000) / 1_000;
  }

  #advance(now: number): void {
    const slot = Math.floor(now / SLOT_MS);
    const steps = Math.min(slot - this.#slot, SLOTS);
    for (let step = 1; step <= steps; step++) this.#counts[(this.#slot + step) % SLOTS] = 0;
    if (slot > this.#slot) this.#slot = slot;
  }
}
