/**
 * Which node was shown which job. A poll reserves nothing, so nodes that poll at the same time would all see the
 * oldest job, and all but one would lose the acknowledgement. Here each is shown another job for a few seconds.
 *
 * Only a courtesy, kept in the memory of one server: the acknowledgement decides, and what is forgotten here costs
 * a node one lost acknowledgement.
 */
import type { Job } from "../../domain/job.ts";

interface Offer {
  readonly nodeId: string;
  /** The job's attempts when it was offered: with one more it is another offer. */
  readonly attempt: number;
  readonly untilMs: number;
  /** Another node would have been given it. */
  isWanted: boolean;
}

/** A job that was acknowledged: a poll that read it before may still come by with it. */
interface Taken {
  readonly attempt: number;
  readonly untilMs: number;
}

const PRUNE_EVERY_MS = 100;

export interface OffersOptions {
  readonly offerMs: number;
  /** Offers kept at one time, and acknowledgements; over it the oldest is forgotten. */
  readonly maxOffers?: number;
  /** Milliseconds on any clock that only goes forward. */
  readonly clock?: () => number;
}

export class Offers {
  readonly #offerMs: number;
  readonly #maxOffers: number;
  readonly #clock: () => number;
  /** By job, the oldest first. */
  readonly #offers = new Map<number, Offer>();
  readonly #jobOfNode = new Map<string, number>();
  /** By job, the oldest first. */
  readonly #taken = new Map<number, Taken>();
  #pruneAtMs = 0;

  constructor({ offerMs, maxOffers = 10_000, clock = () => performance.now() }: OffersOptions) {
    this.#offerMs = offerMs;
    this.#maxOffers = maxOffers;
    this.#clock = clock;
  }

  /** How many pending jobs are offered now, about: so many may have to be passed by. */
  get size(): number {
    this.#prune();
    return this.#offers.size;
  }

  /** Offers the job to the node, unless it is another node's for now. */
  offer(job: Pick<Job, "id" | "attempt">, nodeId: string): boolean {
    const now = this.#clock();
    const taken = this.#taken.get(job.id);
    if (taken !== undefined && taken.attempt === job.attempt && taken.untilMs > now) return false;
    const known = this.#offers.get(job.id);
    if (known !== undefined && known.attempt === job.attempt) {
      const isOver = known.untilMs <= now;
      if (known.nodeId === nodeId) {
        if (!isOver) return true;
        // It did not take what it was shown, and somebody else would: their turn.
        if (known.isWanted && known.untilMs + this.#offerMs > now) return false;
      } else if (!isOver) {
        known.isWanted = true;
        return false;
      }
    }
    this.#give(job, nodeId, now);
    return true;
  }

  /** The job was acknowledged. Polls that read it before must not show it any more. */
  taken(jobId: number, attempt: number): void {
    this.#forget(jobId);
    this.#taken.delete(jobId);
    this.#taken.set(jobId, { attempt, untilMs: this.#clock() + this.#offerMs });
    this.#prune();
  }

  #give({ id, attempt }: Pick<Job, "id" | "attempt">, nodeId: string, now: number): void {
    // A node is shown one job at a time.
    const before = this.#jobOfNode.get(nodeId);
    if (before !== undefined) this.#forget(before);
    this.#forget(id);
    this.#offers.set(id, { nodeId, attempt, untilMs: now + this.#offerMs, isWanted: false });
    this.#jobOfNode.set(nodeId, id);
    this.#prune();
  }

  #forget(id: number): void {
    const offer = this.#offers.get(id);
    if (offer === undefined) return;
    this.#offers.delete(id);
    if (this.#jobOfNode.get(offer.nodeId) === id) this.#jobOfNode.delete(offer.nodeId);
  }

  /** Forgets what is long over, and the oldest where there are too many. */
  #prune(): void {
    const isFull = this.#offers.size > this.#maxOffers || this.#taken.size > this.#maxOffers;
    const now = this.#clock();
    // Maps walk along their deleted entries: not with every call.
    if (!isFull && now < this.#pruneAtMs) return;
    this.#pruneAtMs = now + PRUNE_EVERY_MS;
    const most = isFull ? Math.floor(0.9 * this.#maxOffers) : this.#maxOffers;
    for (const [id, { untilMs }] of this.#offers) {
      if (untilMs + this.#offerMs > now && this.#offers.size <= most) break;
      this.#forget(id);
    }
    for (const [id, { untilMs }] of this.#taken) {
      if (untilMs > now && this.#taken.size <= most) break;
      this.#taken.delete(id);
    }
  }
}
