/** The commands of one kind: those that wait for a commit, and those that one has taken. */
import type { BatchContext, Handler, Outcome } from "./batch.ts";
import type { Answer, CommandName, Request } from "./commands.ts";

interface Pending<Name extends CommandName> {
  readonly request: Request<Name>;
  readonly bytes: number;
  readonly resolve: (answer: Answer<Name>) => void;
  readonly reject: (error: unknown) => void;
}

/** The commands of one kind in one commit. */
export interface CommandBatch {
  readonly commands: number;
  readonly bytes: number;
  /** May be called again, when the transaction is run anew. */
  run(context: BatchContext): Promise<void>;
  /** The commit is durable: everyone gets an answer. */
  succeed(): void;
  /** Nothing of the commit stayed. */
  fail(error: unknown): void;
  /** Nothing of the commit stayed; its commands wait again, before the others. */
  putBack(): void;
}

export class CommandGroup<Name extends CommandName> {
  readonly #handler: Handler<Name>;
  #waiting: Pending<Name>[] = [];

  constructor(handler: Handler<Name>) {
    this.#handler = handler;
  }

  /** Resolves after the commit that ran the command. */
  add(request: Request<Name>, bytes: number): Promise<Answer<Name>> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer<Name>>();
    this.#waiting.push({ request, bytes, resolve, reject });
    return promise;
  }

  /** Moves waiting commands into a commit, up to so many and about so many bytes; null where none waits. */
  take(maxCommands: number, maxBytes: number): CommandBatch | null {
    let commands = 0;
    let bytes = 0;
    for (const pending of this.#waiting) {
      if (commands >= maxCommands || (commands > 0 && bytes + pending.bytes > maxBytes)) break;
      commands++;
      bytes += pending.bytes;
    }
    if (commands === 0) return null;
    let taken: Pending<Name>[];
    if (commands === this.#waiting.length) {
      taken = this.#waiting;
      this.#waiting = [];
    } else taken = this.#waiting.splice(0, commands);
    return new Batch(this.#handler, taken, bytes, () => {
      this.#waiting = [...taken, ...this.#waiting];
    });
  }
}

class Batch<Name extends CommandName> implements CommandBatch {
  readonly bytes: number;
  readonly putBack: () => void;
  readonly #handler: Handler<Name>;
  readonly #pending: readonly Pending<Name>[];
  #outcomes: readonly Outcome<Name>[] = [];

  constructor(handler: Handler<Name>, pending: readonly Pending<Name>[], bytes: number, putBack: () => void) {
    this.#handler = handler;
    this.#pending = pending;
    this.bytes = bytes;
    this.putBack = putBack;
  }

  get commands(): number {
    return this.#pending.length;
  }

  async run(context: BatchContext): Promise<void> {
    this.#outcomes = await this.#handler(
      context,
      this.#pending.map((pending) => pending.request),
    );
    await context.ledger.flush();
  }

  succeed(): void {
    for (const [index, pending] of this.#pending.entries()) {
      const outcome = this.#outcomes[index];
      if (outcome === undefined) pending.reject(new Error("a handler gave no outcome for a command"));
      else if ("answer" in outcome) pending.resolve(outcome.answer);
      else pending.reject(outcome.refusal);
    }
  }

  fail(error: unknown): void {
    for (const pending of this.#pending) pending.reject(error);
  }
}
