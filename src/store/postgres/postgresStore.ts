/**
 * The store on PostgreSQL, which any number of servers share.
 *
 * A transaction of the engine is one of the database (`READ COMMITTED`, `synchronous_commit=on`). It holds the rows of
 * the jobs that it changes, and claims pass by what others hold, so that servers neither give a job out twice nor
 * wait for each other's claims. What two servers cannot do at once is tried again by the one that lost.
 */
import type { Store, StoreNews, Transaction } from "../store.ts";
import { type CommitMark, outcomeOf } from "./commitMark.ts";
import { type DatabaseAddress, describeAddress, parseDatabaseAddress } from "./databaseAddress.ts";
import { StoreRefusedError, UnknownOutcomeError, unavailableReason } from "./faults.ts";
import { JobFactsCache } from "./jobFacts.ts";
import { SCHEMA } from "./layout.ts";
import type { GraceSearch } from "./leaseTable.ts";
import { migrate } from "./migrate.ts";
import { withPatience } from "./patience.ts";
import { PostgresTransaction } from "./postgresTransaction.ts";
import { ServerLink } from "./serverLink.ts";
import { Session, SessionLostError } from "./session.ts";
import { SessionPool } from "./sessionPool.ts";
import { ShapeTable } from "./shapeTable.ts";
import { CommitCutOffError, Statements } from "./statements.ts";

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database` */
  readonly url: string;
  /** Transactions at the same time. */
  readonly maxTransactions?: number;
  readonly connectTimeoutMs?: number;
  /** A transaction that takes longer is given up, with its connection. */
  readonly transactionTimeoutMs?: number;
  /** How long a fault of the database is waited out before callers are told. */
  readonly patienceMs?: number;
  /** How long it is tried to find out whether a commit was made that was cut off. */
  readonly outcomeTimeoutMs?: number;
  /** Pause between two tries to listen to the other servers again. */
  readonly reopenEveryMs?: number;
  /** Pause between two times of adding up what commits counted. */
  readonly foldEveryMs?: number;
  /** How soon claims are told to look again at a line that others held in part. */
  readonly lookAgainMs?: number;
  /** Called when the store was closed. */
  readonly onClosed?: () => void;
}

export const DEFAULT_POSTGRES_OPTIONS = {
  maxTransactions: 6,
  connectTimeoutMs: 5_000,
  transactionTimeoutMs: 60_000,
  patienceMs: 5_000,
  // Less than the 30 s after which clients give up: they shall hear that it is not known.
  outcomeTimeoutMs: 25_000,
  reopenEveryMs: 1_000,
  foldEveryMs: 1_000,
  lookAgainMs: 500,
  onClosed: () => {},
} as const;

/**
 * Settings of the connections of transactions. Their statements are few and known, and each has one right plan: along
 * the keys. Planned once from statistics it would be another where a table was empty at that moment, and stay so after
 * the table has filled; planned each time it would cost as much as it takes to run. So the statements are written to
 * have that plan only: what is joined stands in `LATERAL` with a lock or `OFFSET 0`, or is compared with
 * `= ANY (ARRAY[…])`, which the planner can only look up, row by row; and the other ways are off.
 */
const TRANSACTION_SETTINGS = {
  search_path: SCHEMA,
  synchronous_commit: "on",
  default_transaction_isolation: "read committed",
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  enable_bitmapscan: "off",
  jit: "off",
  // A server that is stopped in the middle of a transaction must not hold up the others, who may wait for its jobs.
  idle_in_transaction_session_timeout: "10000",
};

/** What is written here is found again without it: a later commit that names a shape flushes the shape too. */
const LINK_SETTINGS = {
  search_path: SCHEMA,
  synchronous_commit: "off",
  jit: "off",
  // A transaction that waits here for the number of a shape may hold the very row that is folded into.
  lock_timeout: "200",
};

const OUTCOME_PAUSE_MS = 100;

export class PostgresStore implements Store {
  readonly #address: DatabaseAddress;
  readonly #options: Required<PostgresStoreOptions>;
  readonly #pool: SessionPool;
  readonly #link: ServerLink;
  readonly #shapes: ShapeTable;
  readonly #facts = new JobFactsCache();
  readonly #graceSearch: GraceSearch = { afterId: 0 };
  readonly #underWay = new Set<Promise<unknown>>();
  readonly isShared = true;
  #lookingAgain: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  private constructor(address: DatabaseAddress, options: Required<PostgresStoreOptions>) {
    this.#address = address;
    this.#options = options;
    this.#pool = new SessionPool({
      maxSessions: options.maxTransactions,
      open: () => this.#openSession(TRANSACTION_SETTINGS),
    });
    this.#shapes = new ShapeTable((statement, parameters) => this.#link.run(statement, parameters));
    this.#link = new ServerLink({
      open: (on) => this.#openSession(LINK_SETTINGS, on),
      reopenEveryMs: options.reopenEveryMs,
      foldEveryMs: options.foldEveryMs,
    });
  }

  /**
   * Brings the schema up to date and joins the servers of this database.
   * @throws StoreRefusedError with words for the person who starts the server
   */
  static async open(options: PostgresStoreOptions): Promise<PostgresStore> {
    const address = parseDatabaseAddress(options.url);
    const store = new PostgresStore(address, { ...DEFAULT_POSTGRES_OPTIONS, ...options });
    try {
      const session = await store.#openSession({ search_path: SCHEMA });
      try {
        await migrate(session, address);
      } finally {
        session.close();
      }
      await store.#link.start();
      return store;
    } catch (error) {
      await store.close();
      if (error instanceof StoreRefusedError) throw error;
      throw new StoreRefusedError(
        `the store at ${describeAddress(address)} cannot be opened: ${openingReason(error)}`,
      );
    }
  }

  #openSession(
    settings: Readonly<Record<string, string>>,
    on?: { readonly notification: (payload: string) => void; readonly lost: () => void },
  ): Promise<Session> {
    if (this.#isClosed) return Promise.reject(new SessionLostError("the store was closed"));
    return Session.open({
      address: this.#address,
      applicationName: "yardmaster",
      settings,
      connectTimeoutMs: this.#options.connectTimeoutMs,
      ...(on === undefined ? {} : { onNotification: on.notification, onLost: on.lost }),
    });
  }

  /** `work` may be run more than once: after a conflict with another server, or a connection that was lost. */
  transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const { patienceMs } = this.#options;
    const running = withPatience(() => this.#run(work), { patienceMs, isOver: () => this.#isClosed });
    const settled = running.then(
      () => {},
      () => {},
    );
    this.#underWay.add(settled);
    settled.then(() => this.#underWay.delete(settled));
    return running;
  }

  async #run<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    const session = await this.#pool.take();
    const timer = setTimeout(() => session.close(), this.#options.transactionTimeoutMs);
    const statements = new Statements(session);
    const tx = new PostgresTransaction(statements, {
      shapes: this.#shapes,
      facts: this.#facts,
      graceSearch: this.#graceSearch,
    });
    let done: { readonly value: T } | undefined;
    try {
      done = { value: await work(tx) };
      await statements.commit();
      this.#pool.give(session);
    } catch (error) {
      const isCutOff = error instanceof CommitCutOffError;
      this.#pool.give(session, !isCutOff && (await statements.rollback()));
      if (!isCutOff || done === undefined) throw error;
      await this.#findOutcome(error.mark);
    } finally {
      clearTimeout(timer);
    }
    this.#afterCommit(tx);
    return done.value;
  }

  /**
   * Returns when the commit was made.
   * @throws SessionLostError when it was not, UnknownOutcomeError when nobody can be asked
   */
  async #findOutcome(mark: CommitMark): Promise<void> {
    const giveUpAt = performance.now() + this.#options.outcomeTimeoutMs;
    while (performance.now() < giveUpAt && !this.#isClosed) {
      const outcome = await this.#outcomeOf(mark).catch(() => null);
      if (outcome === "committed") return;
      if (outcome === "aborted") throw new SessionLostError("the connection was lost before the commit");
      await Bun.sleep(OUTCOME_PAUSE_MS);
    }
    throw new UnknownOutcomeError(
      "the connection to the database was lost during the commit, and it could not be found out whether it was made: " +
        "look whether it was done before sending it again",
    );
  }

  async #outcomeOf(mark: CommitMark): Promise<"committed" | "aborted" | null> {
    const session = await this.#pool.take();
    try {
      return await outcomeOf(mark, session);
    } finally {
      this.#pool.give(session);
    }
  }

  #afterCommit({ lines, announcements }: PostgresTransaction): void {
    this.#link.announce(announcements);
    if (!lines.isContended || this.#lookingAgain !== undefined) return;
    // Claims passed by jobs that another server held; it may not have taken all of them.
    this.#lookingAgain = setTimeout(() => {
      this.#lookingAgain = undefined;
      this.#link.tellFreed();
    }, this.#options.lookAgainMs);
  }

  /** The database's clock, as it was when it was last compared with the one here. */
  clock(): number {
    return Date.now() + this.#link.clockOffsetMs;
  }

  listen(listener: (news: StoreNews) => void): () => void {
    return this.#link.listen(listener);
  }

  async sizeBytes(): Promise<number> {
    const rows = await this.#link.run<{ bytes: number }>(
      `SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint AS bytes
       FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = $1 AND relkind = 'r'`,
      [SCHEMA],
    );
    return rows[0]?.bytes ?? 0;
  }

  async close(): Promise<void> {
    await Promise.all(this.#underWay);
    this.#isClosed = true;
    clearTimeout(this.#lookingAgain);
    await this.#link.close();
    this.#pool.close();
    this.#options.onClosed();
  }
}

function openingReason(error: unknown): string {
  return unavailableReason(error) ?? (error instanceof Error ? error.message : String(error));
}
