/** The commands of one kind: those that wait for a commit, and those in the one under way. */
import type { BatchContext, Handler, Outcome } from "./batch.ts";
import type { Answer, CommandName, Request } from "./commands.ts";

interface Pending<Name extends CommandName> {
  readonly request: Request<Name>;
  readonly bytes: number;
  readonly resolve: (answer: Answer<Name>) => void;
  readonly reject: (error: unknown) => void;
}

export class CommandGroup<Name extends CommandName> {
  readonly #handler: Handler<Name>;
  #waiting: Pending<Name>[] = [];
  #running: Pending<Name>[] = [];
  #outcomes: readonly Outcome<Name>[] = [];

  constructor(handler: Handler<Name>) {
    this.#handler = handler;
  }

  /** Resolves after the commit that ran the command. */
  add(request: Request<Name>, bytes: number): Promise<Answer<Name>> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer<Name>>();
    this.#waiting.push({ request, bytes, resolve, reject });
    return promise;
  }

  /** Moves waiting commands into the commit, up to so many and about so many bytes. */
  take(maxCommands: number, maxBytes: number): { readonly commands: number; readonly bytes: number } {
    let commands = 0;
    let bytes = 0;
    for (const pending of this.#waiting) {
      if (commands >= maxCommands || (commands > 0 && bytes + pending.bytes > maxBytes)) break;
      commands++;
      bytes += pending.bytes;
    }
    if (commands === this.#waiting.length) {
      this.#running = this.#waiting;
      this.#waiting = [];
    } else {
      this.#running = this.#waiting.splice(0, commands);
    }
    return { commands, bytes };
  }

  async run(context: BatchContext): Promise<void> {
    this.#outcomes = [];
    if (this.#running.length === 0) return;
    this.#outcomes = await this.#handler(
      context,
      this.#running.map((pending) => pending.request),
    );
    await context.ledger.flush();
  }

  /** The commit is durable: everyone gets an answer. */
  succeed(): void {
    const running = this.#running;
    this.#running = [];
    for (const [index, pending] of running.entries()) {
      const outcome = this.#outcomes[index];
      if (outcome === undefined) pending.reject(new Error("a handler gave no outcome for a command"));
      else if ("answer" in outcome) pending.resolve(outcome.answer);
      else pending.reject(outcome.refusal);
    }
  }

  /** Nothing of the commit stayed. */
  fail(error: unknown): void {
    const running = this.#running;
    this.#running = [];
    for (const pending of running) pending.reject(error);
  }

  /** Nothing of the commit stayed; its commands wait again, before the others. */
  takeBack(): number {
    const count = this.#running.length;
    this.#waiting = [...this.#running, ...this.#waiting];
    this.#running = [];
    return count;
  }
}
