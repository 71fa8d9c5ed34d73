/** The claims of each worker that wait here for work, so that a worker hears at once that it is drained. */
import type { LiveRequest } from "../route.ts";

export class OpenClaims {
  readonly #ofWorker = new Map<string, Set<LiveRequest>>();

  /** Enters a claim; the function that is given takes it out. */
  enter(workerId: string, claim: LiveRequest): () => void {
    const claims = this.#ofWorker.get(workerId) ?? new Set();
    this.#ofWorker.set(workerId, claims.add(claim));
    return () => {
      claims.delete(claim);
      if (claims.size === 0 && this.#ofWorker.get(workerId) === claims) this.#ofWorker.delete(workerId);
    };
  }

  /** Lets the worker's claims be answered now. Those at other servers end in their own time. */
  end(workerId: string): void {
    for (const claim of [...(this.#ofWorker.get(workerId) ?? [])]) claim.abort();
  }
}
