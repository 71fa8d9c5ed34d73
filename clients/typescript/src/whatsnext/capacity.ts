/** What a worker has free: slots, CPUs, accelerators. */

export interface Amount {
  readonly cpu: number;
  readonly accelerators: number;
}

/**
 * Counts what running jobs take. A total of 0 is not counted, as in the API, where 0 means "do not look at this one".
 * For the same reason a worker with nothing left of a counted resource has room for no job at all: it could not ask
 * for "those that need none".
 */
export class Capacity {
  readonly #slots: number;
  readonly #total: Amount;
  readonly #taken = new Map<number, Amount>();

  constructor(slots: number, total: Amount) {
    this.#slots = slots;
    this.#total = total;
  }

  get runningCount(): number {
    return this.#taken.size;
  }

  /** What may be asked for now; null when there is no room. */
  free(): Amount | null {
    if (this.#taken.size >= this.#slots) return null;
    const cpu = this.#total.cpu - this.#sum("cpu");
    const accelerators = this.#total.accelerators - this.#sum("accelerators");
    if ((this.#total.cpu > 0 && cpu <= 0) || (this.#total.accelerators > 0 && accelerators <= 0)) return null;
    return { cpu: Math.max(0, cpu), accelerators: Math.max(0, accelerators) };
  }

  take(jobId: number, amount: Amount): void {
    this.#taken.set(jobId, amount);
  }

  giveBack(jobId: number): void {
    this.#taken.delete(jobId);
  }

  #sum(name: keyof Amount): number {
    let sum = 0;
    for (const amount of this.#taken.values()) sum += amount[name];
    return sum;
  }
}
