/**
 * The statements of one transaction. What is read is waited for; what is written is sent and waited for at the end,
 * so a commit costs one round trip for each read and one for all writes.
 */
import postgres from "postgres";
import { type CommitMark, setMark } from "./commitMark.ts";
import type { Parameter, Session } from "./session.ts";

export class Statements {
  readonly #session: Session;
  readonly #writes: Promise<unknown>[] = [];
  #mark: Promise<CommitMark> | undefined;
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
      this.#fault ??= { error };
      throw this.#fault.error;
    }
  }

  /** Reads rows and holds them against other transactions. */
  lock<Row extends object>(statement: string, parameters: readonly Parameter[]): Promise<readonly Row[]> {
    this.#markOnce();
    return this.read(statement, parameters);
  }

  /** Sends a change; that it failed shows in the next read, or at the commit. */
  write(statement: string, parameters: readonly Parameter[]): void {
    this.#markOnce();
    this.#keep(this.#session.query(statement, parameters));
  }

  #keep(result: Promise<unknown>): void {
    this.#writes.push(result);
    // The first fault is the cause: what comes after it says only that the transaction is aborted.
    result.catch((error: unknown) => {
      this.#fault ??= { error };
    });
  }

  /** Writes down by what the outcome can be found out when the connection is lost in the commit. */
  #markOnce(): void {
    if (this.#mark !== undefined) return;
    this.#mark = setMark(this.#session, (result) => this.#keep(result));
  }

  /**
   * Commits, in one round trip with what was written last.
   * @throws CommitCutOffError when the connection was lost so late that the commit may have been made
   */
  async commit(): Promise<void> {
    try {
      const mark = this.#mark === undefined ? null : await this.#mark;
      const commit = this.#session.run("COMMIT");
      commit.catch(() => {});
      try {
        // After a write that failed, the database answers COMMIT by undoing the transaction.
        for (const write of this.#writes) await write;
        await commit;
      } catch (error) {
        const cause = this.#fault?.error ?? error;
        throw mark !== null && isCutOff(cause) ? new CommitCutOffError(mark) : cause;
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
  readonly mark: CommitMark;

  constructor(mark: CommitMark) {
    super("the connection was lost during a commit");
    this.mark = mark;
  }
}

/** An answer of the database that is no farewell says for certain that the transaction is undone. */
function isCutOff(error: unknown): boolean {
  return !(error instanceof postgres.PostgresError) || /^(08|57P|XX)/.test(error.code);
}
