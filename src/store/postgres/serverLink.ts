/**
 * A server's connection beside its transactions: it listens to the other servers and tells them of commits, holds the
 * sign that this server is alive, numbers new shapes, and adds up what commits counted. It is opened again by itself.
 */
import type { StoreNews } from "../store.ts";
import { FORGET_MARKS } from "./commitMark.ts";
import { ADVISORY_LOCKS, CHANNEL } from "./layout.ts";
import { FORGET_LEASES } from "./leaseTable.ts";
import type { Parameter, Session } from "./session.ts";
import { decodeText, texts } from "./text.ts";

export interface ServerLinkOptions {
  readonly open: (on: {
    readonly notification: (payload: string) => void;
    readonly lost: () => void;
  }) => Promise<Session>;
  readonly reopenEveryMs: number;
  readonly foldEveryMs: number;
}

/** Rows that one statement folds. */
const FOLDED_AT_ONCE = 10_000;

const MARK_LENGTH = 8;
/** Announcements that wait to be sent; beyond them the others are told that they missed some. */
const MAX_UNSENT = 1_000;
/** No announcement of an engine. */
const MISSED = "?";
/** How long a server that closes goes on telling the others what it did last. */
const MAX_GOODBYE_MS = 2_000;

const FOLD_TALLIES = `
  WITH keeper AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS is_keeper),
  moved AS (
    DELETE FROM tally_changes WHERE ctid = ANY (ARRAY(
      SELECT tally_changes.ctid FROM keeper, tally_changes WHERE keeper.is_keeper LIMIT ${FOLDED_AT_ONCE}))
    RETURNING project_id, change, dialect, kind, state, queue
  )
  INSERT INTO tallies (project_id, count, dialect, kind, state, queue)
  SELECT project_id, sum(change), dialect, kind, state, queue FROM moved
  GROUP BY project_id, dialect, kind, state, queue
  ON CONFLICT (dialect, queue, kind, project_id, state) DO UPDATE SET count = tallies.count + excluded.count`;

const FOLD_WORKER_RESULTS = `
  WITH keeper AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS is_keeper),
  moved AS (
    DELETE FROM worker_results WHERE ctid = ANY (ARRAY(
      SELECT worker_results.ctid FROM keeper, worker_results WHERE keeper.is_keeper LIMIT ${FOLDED_AT_ONCE}))
    RETURNING worker_id, succeeded, failed
  ), sums AS (
    SELECT worker_id, sum(succeeded) AS succeeded, sum(failed) AS failed FROM moved GROUP BY worker_id
  ), held AS (
    SELECT id FROM workers WHERE id IN (SELECT worker_id FROM sums) ORDER BY id FOR NO KEY UPDATE
  )
  UPDATE workers SET succeeded = workers.succeeded + sums.succeeded, failed = workers.failed + sums.failed
  FROM sums JOIN held ON held.id = sums.worker_id WHERE workers.id = sums.worker_id`;

export class ServerLink {
  readonly #options: ServerLinkOptions;
  /** Marks what this server sends, which it hears too. */
  readonly #mark = crypto.randomUUID().slice(0, MARK_LENGTH);
  readonly #listeners = new Set<(news: StoreNews) => void>();
  #unsent: string[] = [];
  #clockOffsetMs = 0;
  #session: Promise<Session> | undefined;
  /** Which opening of the connection is the last. */
  #turn = 0;
  #isStarted = false;
  /** Resolves when what was to be sent has been, or could not be. */
  #sending: Promise<void> | undefined;
  #isClosed = false;
  #reopening: ReturnType<typeof setTimeout> | undefined;
  #folding: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ServerLinkOptions) {
    this.#options = options;
  }

  /** @throws what kept the connection from being opened */
  async start(): Promise<void> {
    await this.#opened();
    this.#isStarted = true;
    this.#foldLater();
  }

  /** Runs a statement by itself. */
  async run<Row extends object>(
    statement: string,
    parameters: readonly Parameter[],
  ): Promise<readonly Row[]> {
    return (await this.#opened()).query<Row>(statement, parameters);
  }

  /** How far the database's clock is ahead of the one here. */
  get clockOffsetMs(): number {
    return this.#clockOffsetMs;
  }

  listen(listener: (news: StoreNews) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells the listeners here that jobs which another server held may be there again. */
  tellFreed(): void {
    this.#tell({ type: "freed" });
  }

  /**
   * Tells the other servers. Sent apart from the commit and after it, so that commits do not wait for each other on the
   * one queue that PostgreSQL keeps for notifications until a commit that notified is on disk.
   */
  announce(announcements: readonly string[]): void {
    if (announcements.length === 0) return;
    this.#unsent.push(...announcements);
    if (this.#unsent.length > MAX_UNSENT) this.#unsent = [MISSED];
    this.#sendUnsent();
  }

  #sendUnsent(): void {
    if (this.#unsent.length === 0) return;
    this.#sending ??= this.#send().finally(() => {
      this.#sending = undefined;
    });
  }

  async #send(): Promise<void> {
    try {
      while (this.#unsent.length > 0 && !this.#isClosed) {
        const payloads = this.#unsent.splice(0).map((text) => this.#mark + text);
        await this.run("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", [
          CHANNEL,
          texts(payloads),
        ]);
      }
    } catch {
      // The connection was lost: the others may have missed this.
      this.#unsent = [MISSED];
    }
  }

  #opened(): Promise<Session> {
    if (this.#session === undefined) {
      const opening = this.#open();
      this.#session = opening;
      opening.catch(() => {
        if (this.#session === opening) this.#session = undefined;
      });
    }
    return this.#session;
  }

  async #open(): Promise<Session> {
    const turn = ++this.#turn;
    const session = await this.#options.open({
      notification: (payload) => {
        if (payload.startsWith(this.#mark)) return;
        const text = decodeText(payload.slice(MARK_LENGTH));
        this.#tell(text === MISSED ? { type: "missed" } : { type: "announced", text });
      },
      lost: () => {
        if (turn === this.#turn) this.#reopenLater();
      },
    });
    try {
      await session.run(`LISTEN ${CHANNEL}`);
      await this.#sayAlive(session);
      await this.#compareClocks(session);
      await session.run(FORGET_MARKS);
    } catch (error) {
      session.close();
      throw error;
    }
    if (this.#isClosed) session.close();
    // Whatever was told while nobody listened here.
    this.#tell({ type: "missed" });
    this.#sendUnsent();
    return session;
  }

  /**
   * Where a server starts and no other one is alive, nobody has renewed leases up to now: each gets its grace. When the
   * connection is lost later, the engine sees by the upkeep how long nobody could.
   */
  async #sayAlive(session: Session): Promise<void> {
    const lock = [ADVISORY_LOCKS.alive];
    const [row] = await session.query<{ is_alone: boolean }>(
      "SELECT pg_try_advisory_lock($1) AS is_alone",
      lock,
    );
    if (row?.is_alone === true && !this.#isStarted) await session.run(FORGET_LEASES);
    await session.query("SELECT pg_advisory_lock_shared($1)", lock);
    if (row?.is_alone === true) await session.query("SELECT pg_advisory_unlock($1)", lock);
  }

  async #compareClocks(session: Session): Promise<void> {
    const before = Date.now();
    const [row] = await session.query<{ now: number }>(
      "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now",
    );
    const middle = (before + Date.now()) / 2;
    this.#clockOffsetMs = row === undefined ? 0 : Math.round(row.now - middle);
  }

  #reopenLater(): void {
    this.#session = undefined;
    if (this.#isClosed || this.#reopening !== undefined) return;
    this.#reopening = setTimeout(() => {
      this.#reopening = undefined;
      if (!this.#isClosed) this.#opened().catch(() => this.#reopenLater());
    }, this.#options.reopenEveryMs);
  }

  #tell(news: StoreNews): void {
    for (const listener of this.#listeners) listener(news);
  }

  #foldLater(): void {
    if (this.#isClosed) return;
    this.#folding = setTimeout(async () => {
      try {
        await this.run(FOLD_TALLIES, [ADVISORY_LOCKS.folding]);
        await this.run(FOLD_WORKER_RESULTS, [ADVISORY_LOCKS.folding]);
        await this.#compareClocks(await this.#opened());
        // What the database refused, though the connection is as it was.
        this.#sendUnsent();
      } catch {
        // The database cannot be used now; what was counted waits.
      }
      this.#foldLater();
    }, this.#options.foldEveryMs);
  }

  async close(): Promise<void> {
    await this.#sayLast();
    this.#isClosed = true;
    clearTimeout(this.#reopening);
    clearTimeout(this.#folding);
    (await this.#session?.catch(() => undefined))?.close();
  }

  /** The others hear what the last commits changed; nobody waits for a database that is away. */
  async #sayLast(): Promise<void> {
    this.#sendUnsent();
    if (this.#sending === undefined) return;
    const { promise: isTooLong, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, MAX_GOODBYE_MS);
    await Promise.race([this.#sending, isTooLong]);
    clearTimeout(timer);
  }
}
