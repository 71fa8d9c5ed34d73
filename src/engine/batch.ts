/**
 * What the handlers of commands have in common: the context of one commit, and how each answers.
 *
 * Commands of one kind run together, so that a store can serve them with one round trip each; a handler
 * gets all requests of its kind and gives one outcome for each, in their order.
 */
import type { DomainError } from "../domain/errors.ts";
import { isDomainError } from "../domain/errors.ts";
import type { DialectName } from "../domain/job.ts";
import type { Transaction } from "../store/store.ts";
import type { Answer, CommandName, Request } from "./commands.ts";
import type { EngineSettings } from "./engine.ts";
import type { Ledger } from "./ledger.ts";

/** What a command came to: an answer, or the reason why nothing was done. */
export type Outcome<Name extends CommandName> =
  | { readonly answer: Answer<Name> }
  | { readonly refusal: DomainError };

export interface BatchContext {
  readonly ledger: Ledger;
  readonly tx: Transaction;
  readonly now: number;
  readonly settings: EngineSettings;
  /** Things worth counting that are not events. */
  readonly counts: {
    leasesLost: number;
    readonly waitMs: number[];
    /** From submission to the first claim, of jobs that are counted by name. */
    readonly firstWaits: { readonly dialect: DialectName; readonly waitMs: number }[];
  };
}

/** Runs all commands of one kind; the outcomes stand in their order. */
export type Handler<Name extends CommandName> = (
  context: BatchContext,
  requests: readonly Request<Name>[],
) => Promise<readonly Outcome<Name>[]>;

/**
 * Runs `decide` for each request, one after the other; a domain error it throws is that request's refusal
 * and nobody else's. So `decide` must not have changed anything before it throws one.
 */
export async function each<Name extends CommandName>(
  requests: readonly Request<Name>[],
  decide: (request: Request<Name>) => Promise<Answer<Name>>,
): Promise<Outcome<Name>[]> {
  const outcomes: Outcome<Name>[] = [];
  for (const request of requests) {
    try {
      outcomes.push({ answer: await decide(request) });
    } catch (error) {
      if (!isDomainError(error)) throw error;
      outcomes.push({ refusal: error });
    }
  }
  return outcomes;
}
