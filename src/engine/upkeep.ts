/** Runs rounds of upkeep: at a steady pace, sooner when there is more to do or a job's time comes. */

export interface UpkeepOptions {
  readonly everyMs: number;
  readonly clock: () => number;
  readonly round: () => Promise<{ readonly hasMore: boolean; readonly nextDueAt: number | null }>;
}

export class Upkeep {
  readonly #options: UpkeepOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #round: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(this.#options.everyMs);
  }

  /** Resolves when no round is under way any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#run();
    }, delayMs);
  }

  async #run(): Promise<void> {
    let delayMs = this.#options.everyMs;
    try {
      const { hasMore, nextDueAt } = await this.#options.round();
      if (hasMore) delayMs = 0;
      else if (nextDueAt !== null)
        delayMs = Math.min(delayMs, Math.max(nextDueAt - this.#options.clock(), 1));
    } catch {
      // The store cannot write now. Requests say so to their callers; the next round tries again.
    }
    this.#schedule(delayMs);
  }
}
