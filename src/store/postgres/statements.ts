/**
 * The statements of one transaction. What is read is waited for; what is written is sent and waited for at the end,
 * so a commit costs one round trip for each read and one for all writes.
 */
import postgres from "postgres";
import type { Parameter, Session } from "./session.ts";

export class Statements {
  readonly #session: Session;
  readonly #writes: Promise<unknown>[] = [];
  #transactionId: Promise<string> | undefined;
  #fault: { readonly error: unknown } | undefined;

  /** Begins the transaction. */
  constructor(session: Session) {
    this.#session = session;
    this.#keep(session.run("BEGIN"));
  }

  async read<Row extends object>(
    statement: string,
    parameters: readonly Parameter[] = [],
  ): Promise<readonly Row[]> {
    try {
      return await this.#session.query<Row>(statement, parameters);
    } catch (error) {
      throw this.#fault?.error ?? error;
    }
  }

  /** Reads rows and holds them against other transactions. */
  lock<Row extends object>(statement: string, parameters: readonly Parameter[]): Promise<readonly Row[]> {
    this.#nameTransaction();
    return this.read(statement, parameters);
  }

  /** Sends a change; that it failed shows in the next read, or at the commit. */
  write(statement: string, parameters: readonly Parameter[]): void {
    this.#nameTransaction();
    this.#keep(this.#session.query(statement, parameters));
  }

  #keep(result: Promise<unknown>): void {
    this.#writes.push(result);
    // The first fault is the cause: what comes after it says only that the transaction is aborted.
    result.catch((error: unknown) => {
      this.#fault ??= { error };
    });
  }

  /** Asks for the number by which the outcome can be found out when the connection is lost in the commit. */
  #nameTransaction(): void {
    if (this.#transactionId !== undefined) return;
    const id = this.#session
      .query<{ id: string }>("SELECT pg_current_xact_id()::text AS id")
      .then((rows) => rows[0]?.id ?? "");
    id.catch(() => {});
    this.#transactionId = id;
  }

  /**
   * Commits, in one round trip with what was written last.
   * @throws CommitCutOffError when the connection was lost so late that the commit may have been made
   */
  async commit(): Promise<void> {
    try {
      const transactionId = this.#transactionId === undefined ? null : await this.#transactionId;
      const commit = this.#session.run("COMMIT");
      commit.catch(() => {});
      try {
        // After a write that failed, the database answers COMMIT by undoing the transaction.
        for (const write of this.#writes) await write;
        await commit;
      } catch (error) {
        const cause = this.#fault?.error ?? error;
        throw transactionId !== null && isCutOff(cause) ? new CommitCutOffError(transactionId) : cause;
      }
    } catch (error) {
      throw error instanceof CommitCutOffError ? error : (this.#fault?.error ?? error);
    }
  }

  /** Undoes everything; false when the session cannot be used any more. */
  async rollback(): Promise<boolean> {
    if (this.#session.isLost) return false;
    try {
      await this.#session.run("ROLLBACK");
      return true;
    } catch {
      return false;
    }
  }
}

/** The connection was lost after the commit was sent and before it was answered. */
export class CommitCutOffError extends Error {
  override readonly name = "CommitCutOffError";
  /** The transaction's number, as `pg_xact_status` takes it. */
  readonly transactionId: string;

  constructor(transactionId: string) {
    super("the connection was lost during a commit");
    this.transactionId = transactionId;
  }
}

/** An answer of the database that is no farewell says for certain that the transaction is undone. */
function isCutOff(error: unknown): boolean {
  return !(error instanceof postgres.PostgresError) || /^(08|57P|XX)/.test(error.code);
}
