/** Sessions that are kept open and lent, one user at a time each. */
import type { Session } from "./session.ts";

export class SessionPool {
  readonly #open: () => Promise<Session>;
  readonly #maxSessions: number;
  readonly #idle: Session[] = [];
  readonly #lent = new Set<Session>();
  readonly #waiting: (() => void)[] = [];
  /** Sessions that are lent or being opened. */
  #taken = 0;

  constructor(options: { readonly open: () => Promise<Session>; readonly maxSessions: number }) {
    this.#open = options.open;
    this.#maxSessions = options.maxSessions;
  }

  /** Lends a session; waits where all are lent. To be given back with `give`. */
  async take(): Promise<Session> {
    // Loop: another may have been faster between the wake-up and here.
    while (this.#taken >= this.#maxSessions)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#taken++;
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (idle.isLost) continue;
      this.#lent.add(idle);
      return idle;
    }
    try {
      const session = await this.#open();
      this.#lent.add(session);
      return session;
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /** @param isUsable false when a transaction may be open in it: it is closed */
  give(session: Session, isUsable = true): void {
    this.#lent.delete(session);
    if (isUsable && !session.isLost) this.#idle.push(session);
    else session.close();
    this.#release();
  }

  #release(): void {
    this.#taken--;
    this.#waiting.shift()?.();
  }

  /** Closes all; those lent too, whatever they are doing. */
  close(): void {
    for (const session of [...this.#idle.splice(0), ...this.#lent]) session.close();
  }
}
