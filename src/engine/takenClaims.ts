/** Waiting claims that a commit serves with the jobs that it makes ready itself: one durable write is both. */
import type { BatchContext, Outcome } from "./batch.ts";
import { claimJobs } from "./claimJobs.ts";
import type { CommitterOptions } from "./committer.ts";
import type { TakenClaim } from "./waitingClaims.ts";

export class TakenClaims {
  readonly #take: CommitterOptions["takeClaims"];
  readonly #claims: TakenClaim[] = [];
  #outcomes: readonly Outcome<"claim">[] = [];

  constructor(take: CommitterOptions["takeClaims"]) {
    this.#take = take;
  }

  get size(): number {
    return this.#claims.length;
  }

  /** May be called again, when the transaction is run anew: who was taken over stays so. */
  async run(context: BatchContext): Promise<void> {
    this.#claims.push(...this.#take(context.ledger.readied()));
    this.#outcomes = [];
    if (this.#claims.length === 0) return;
    this.#outcomes = await claimJobs(
      context,
      this.#claims.map(({ request }) => request),
    );
    await context.ledger.flush();
  }

  /** The commit is durable. Who got nothing tries again: more may have come since it was taken over. */
  succeed(): void {
    for (const [index, claim] of this.#claims.entries()) {
      const outcome = this.#outcomes[index];
      const jobs = outcome !== undefined && "answer" in outcome ? outcome.answer.jobs : [];
      claim.end(jobs.length > 0 ? jobs : "try");
    }
  }

  /** Nothing of the commit stayed: they try again by themselves. */
  fail(): void {
    for (const claim of this.#claims) claim.end("try");
  }
}
