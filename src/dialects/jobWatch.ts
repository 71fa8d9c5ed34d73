/**
 * Wakes those who wait for news of one job. However many wait, the engine's events are listened to once,
 * and each commit costs one look-up per event.
 */
import type { Engine, EngineEvent } from "../engine/engine.ts";

/** One who waits. News that came between two waits is not lost: the next wait ends at once. */
export interface JobWatcher {
  /** Resolves with true on news of the job, with false after `timeoutMs` or when the signal is aborted. */
  next(timeoutMs: number, signal: AbortSignal): Promise<boolean>;
  close(): void;
}

export class JobWatch {
  readonly #engine: Pick<Engine, "subscribe">;
  readonly #watchers = new Map<number, Set<Bell>>();
  #unsubscribe: (() => void) | null = null;

  constructor(engine: Pick<Engine, "subscribe">) {
    this.#engine = engine;
  }

  /** Begins to watch a job by its id. Open before reading what might change, close when done. */
  open(jobId: number): JobWatcher {
    const bell = new Bell();
    const bells = this.#watchers.get(jobId) ?? new Set();
    bells.add(bell);
    this.#watchers.set(jobId, bells);
    this.#unsubscribe ??= this.#engine.subscribe((events) => this.#ring(events));
    return {
      next: (timeoutMs, signal) => bell.next(timeoutMs, signal),
      close: () => {
        bells.delete(bell);
        if (bells.size === 0 && this.#watchers.get(jobId) === bells) this.#watchers.delete(jobId);
        if (this.#watchers.size > 0) return;
        this.#unsubscribe?.();
        this.#unsubscribe = null;
      },
    };
  }

  #ring(events: readonly EngineEvent[]): void {
    for (const event of events) {
      if (event.type === "resync") for (const bells of this.#watchers.values()) ringAll(bells);
      if (event.type === "worker" || event.type === "resync") continue;
      const bells = this.#watchers.get(event.type === "job" ? event.id : event.jobId);
      if (bells !== undefined) ringAll(bells);
    }
  }
}

function ringAll(bells: ReadonlySet<Bell>): void {
  for (const bell of bells) bell.ring();
}

class Bell {
  #hasNews = false;
  #wake: (() => void) | null = null;

  ring(): void {
    this.#hasNews = true;
    this.#wake?.();
  }

  async next(timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    if (!this.#hasNews && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, timeoutMs);
      this.#wake = resolve;
      const stop = () => resolve();
      signal.addEventListener("abort", stop);
      await promise;
      signal.removeEventListener("abort", stop);
      clearTimeout(timer);
      this.#wake = null;
    }
    const hasNews = this.#hasNews && !signal.aborted;
    this.#hasNews = false;
    return hasNews;
  }
}
