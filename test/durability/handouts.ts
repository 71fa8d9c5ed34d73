/**
 * Which jobs were given to whom, as the workers see it: it objects to a job that is given out while somebody surely
 * holds it, or after it was acknowledged as done. Nothing is held longer than the lease allows, so that it never objects to
 * what is right, on however slow a machine.
 */
interface Holding {
  readonly client: string;
  untilMs: number;
}

export interface Fault {
  readonly job: number | null;
  readonly text: string;
}

export class Handouts {
  readonly #leaseMs: number;
  readonly #held = new Map<number, Holding>();
  readonly #completed = new Set<number>();
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  readonly faults: Fault[] = [];
  /** Jobs that were given, over all clients. */
  count = 0;

  constructor(leaseMs: number) {
    this.#leaseMs = leaseMs;
  }

  get completedCount(): number {
    return this.#completed.size;
  }

  /** A fetch that was sent at `sentAtMs` has brought this job. */
  given(job: number, client: string, sentAtMs: number): void {
    this.count += 1;
    const holding = this.#held.get(job);
    if (this.#completed.has(job)) this.fault(job, `given to ${client} after its end`);
    else if (holding !== undefined && holding.untilMs > performance.now()) {
      const leftMs = Math.round(holding.untilMs - performance.now());
      this.fault(job, `given to ${client} while ${holding.client} held it for another ${leftMs} ms`);
    }
    this.#held.set(job, { client, untilMs: sentAtMs + this.#leaseMs });
  }

  fault(job: number | null, text: string): void {
    this.faults.push({ job, text: `${new Date().toISOString()}: ${text}` });
  }

  /** The server has answered a call of `client`, sent at `sentAtMs`, that begins the lease anew. */
  renewed(job: number, client: string, sentAtMs: number): void {
    const holding = this.#held.get(job);
    // A lease that may have ended before the server saw the call is not begun anew by it.
    if (holding?.client !== client || holding.untilMs <= performance.now()) return;
    holding.untilMs = sentAtMs + this.#leaseMs;
  }

  /** The server has acknowledged the end of the job. */
  completed(job: number, client: string): void {
    if (this.#held.get(job)?.client === client) this.#held.delete(job);
    this.#completed.add(job);
    for (const one of this.#waiting) if (one.count <= this.#completed.size) one.resolve();
  }

  /** The worker is gone, or has nothing to do with the job any more. */
  dropped(job: number, client: string): void {
    if (this.#held.get(job)?.client === client) this.#held.delete(job);
  }

  /** Resolves when so many jobs have been acknowledged as done. */
  async reach(count: number, deadlineMs: number): Promise<void> {
    if (this.#completed.size >= count) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new Error(`${this.#completed.size} of ${count} jobs done when time was up`)),
      Math.max(0, deadlineMs - performance.now()),
    );
    this.#waiting.push({ count, resolve });
    await promise.finally(() => clearTimeout(timer));
  }
}
