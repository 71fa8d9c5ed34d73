/**
 * The store that the data goes to. Rows come into a schema of their own, which no server looks at; when all are there
 * and checked, it gets the name of Yardmaster's schema, at once. How far the work is stands in a table beside the rows
 * and changes with them, so that it can be gone on with after whatever end.
 */
import { type DatabaseAddress, describeAddress, parseDatabaseAddress } from "../postgres/databaseAddress.ts";
import { unavailableReason } from "../postgres/faults.ts";
import { ADVISORY_LOCKS, SCHEMA } from "../postgres/layout.ts";
import { PostgresStore } from "../postgres/postgresStore.ts";
import { type Parameter, Session } from "../postgres/session.ts";
import { ANALYZED_TABLES, FILL_LINES, TELLING_TABLES } from "./migratedTables.ts";
import { MigrationError } from "./migrationError.ts";

/** Where the rows are until they are all there. */
export const INCOMING_SCHEMA = "yardmaster_incoming";
/** Another one than `ADVISORY_LOCKS`: one command at a time moves data into a database. */
const MOVING_LOCK = ADVISORY_LOCKS.alive + 1_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** Rows that are read back at once. */
const FETCHED_AT_ONCE = 100;

export interface IncomingStoreOptions {
  readonly url: string;
  /** The folder that is moved, and its fingerprint: what was begun is gone on with only if both are the same. */
  readonly source: { readonly dataDir: string; readonly fingerprint: string };
  /** Throws away what was begun. */
  readonly startOver: boolean;
}

export class IncomingStore {
  readonly place: string;
  /** Whether an earlier command began this. */
  readonly isResumed: boolean;
  readonly #session: Session;

  private constructor(place: string, session: Session, isResumed: boolean) {
    this.place = place;
    this.#session = session;
    this.isResumed = isResumed;
  }

  /**
   * Takes the database, and finds or makes the schema for what comes in.
   * @throws MigrationError (in use, not empty, another move begun), StoreRefusedError (cannot be opened)
   */
  static async open({ url, source, startOver }: IncomingStoreOptions): Promise<IncomingStore> {
    const address = parseDatabaseAddress(url);
    const place = describeAddress(address);
    const session = await openSession(address, place);
    try {
      await takeAlone(session, place);
      await refuseUsed(session, place);
      if (startOver) await session.run(`DROP SCHEMA IF EXISTS ${INCOMING_SCHEMA} CASCADE`);
      const isResumed = await schemaExists(session, INCOMING_SCHEMA);
      if (!isResumed) await makeSchema(session, url, source);
      await session.run(`SET search_path = ${INCOMING_SCHEMA}`);
      const incoming = new IncomingStore(place, session, isResumed);
      if (isResumed) await incoming.#refuseOther(source);
      return incoming;
    } catch (error) {
      session.close();
      throw error;
    }
  }

  /** What was noted under this name; null is nothing. */
  async noted(name: string): Promise<unknown> {
    const [row] = await this.#session.query<{ value: string }>(
      "SELECT value FROM migration WHERE name = $1",
      [name],
    );
    return row === undefined ? null : JSON.parse(row.value);
  }

  /** Types of a table's columns, by their names. */
  async columns(table: string): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#session.query<{ name: string; type: string }>(
      `SELECT column_name::text AS name, data_type::text AS type FROM information_schema.columns
       WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position`,
      [INCOMING_SCHEMA, table],
    );
    return new Map(rows.map(({ name, type }) => [name, type]));
  }

  /** Runs statements and notes how far the work is, in one transaction. */
  async write(
    statements: readonly { readonly sql: string; readonly parameters: readonly Parameter[] }[],
    note: { readonly name: string; readonly value: unknown },
  ): Promise<void> {
    const session = this.#session;
    await session.run("BEGIN");
    try {
      await Promise.all(statements.map(({ sql, parameters }) => session.query(sql, parameters)));
      await session.query(
        "INSERT INTO migration (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [note.name, JSON.stringify(note.value)],
      );
      await session.run("COMMIT");
    } catch (error) {
      if (!session.isLost) await session.run("ROLLBACK");
      throw error;
    }
  }

  /** Rows of a query, in no certain order, some at a time. */
  async *rows(name: string, query: string): AsyncIterableIterator<Record<string, unknown>> {
    const session = this.#session;
    await session.run("BEGIN");
    try {
      await session.run(`DECLARE rows_${name} NO SCROLL CURSOR FOR ${query}`);
      for (;;) {
        // A name of its own for each: the statement is kept prepared, with its columns.
        const rows = await session.query<Record<string, unknown>>(
          `FETCH ${FETCHED_AT_ONCE} FROM rows_${name}`,
        );
        if (rows.length === 0) break;
        yield* rows;
      }
    } finally {
      if (!session.isLost) await session.run("ROLLBACK");
    }
  }

  async count(table: string): Promise<number> {
    const [row] = await this.#session.query<{ n: number }>(`SELECT count(*)::bigint AS n FROM ${table}`);
    return row?.n ?? 0;
  }

  /** Puts each job where its row says that it stands. */
  async fillLines(): Promise<void> {
    if ((await this.noted("lines")) !== null) return;
    await this.write(
      FILL_LINES.map((sql) => ({ sql, parameters: [] })),
      { name: "lines", value: "filled" },
    );
  }

  /** The next number is above the last one that was given out. */
  async setSequence(sequence: string, last: number): Promise<void> {
    if (last > 0) await this.#session.query("SELECT setval($1::regclass, $2::bigint)", [sequence, last]);
  }

  /** Name of the sequence of a column that is numbered by itself. */
  async sequenceOf(table: string, column: string): Promise<string> {
    const [row] = await this.#session.query<{ name: string | null }>(
      "SELECT pg_get_serial_sequence($1, $2) AS name",
      [`${INCOMING_SCHEMA}.${table}`, column],
    );
    if (typeof row?.name !== "string")
      throw new MigrationError(`${table}.${column} is not numbered by itself`);
    return row.name;
  }

  /**
   * Makes the data the store of this database, durably.
   * @throws MigrationError when a server was started on it meanwhile and has made a store of its own
   */
  async publish(): Promise<void> {
    await this.#session.run("SET synchronous_commit = on; BEGIN");
    try {
      await refuseUsed(this.#session, this.place);
      await this.#session.run(`
        DROP TABLE ${INCOMING_SCHEMA}.migration;
        DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE;
        ALTER SCHEMA ${INCOMING_SCHEMA} RENAME TO ${SCHEMA};
        COMMIT`);
    } catch (error) {
      if (!this.#session.isLost) await this.#session.run("ROLLBACK");
      throw error;
    }
    // What the planner knows of the tables; servers would have it after a while too.
    await this.#session.run(`ANALYZE ${ANALYZED_TABLES.map((table) => `${SCHEMA}.${table}`).join(", ")}`);
  }

  close(): void {
    this.#session.close();
  }

  async #refuseOther(source: IncomingStoreOptions["source"]): Promise<void> {
    const begun = await this.noted("source");
    const version = await this.noted("schema");
    const other = "give --start-over to throw away what was moved so far";
    const [meta] = await this.#session.query<{ value: number }>(
      "SELECT value FROM meta WHERE name = 'schema_version'",
    );
    if (version !== meta?.value) {
      throw new MigrationError(`${this.place} holds a move that another version began; ${other}`);
    }
    if (begun === source.dataDir) {
      if ((await this.noted("fingerprint")) === source.fingerprint) return;
      throw new MigrationError(
        `${source.dataDir} has changed since its move to ${this.place} began: a server ran on it; ${other}`,
      );
    }
    throw new MigrationError(
      `${this.place} holds a move from ${String(begun)} that was not finished; finish that one, or ${other}`,
    );
  }
}

async function openSession(address: DatabaseAddress, place: string): Promise<Session> {
  try {
    return await Session.open({
      address,
      applicationName: "yardmaster migrate-store",
      // Each step is told apart from the one before; the last one waits for the disk, and so for all of them.
      settings: { synchronous_commit: "off" },
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
    });
  } catch (error) {
    const reason = unavailableReason(error) ?? (error instanceof Error ? error.message : String(error));
    throw new MigrationError(`${place} cannot be opened: ${reason}`);
  }
}

/** Keeps servers and other moves out until the session ends. */
async function takeAlone(session: Session, place: string): Promise<void> {
  // The database may not have noticed yet that a command that was killed is gone.
  await untilTaken(async () => {
    const [moving] = await session.query<{ is_mine: boolean }>("SELECT pg_try_advisory_lock($1) AS is_mine", [
      MOVING_LOCK,
    ]);
    if (moving?.is_mine !== true)
      throw new MigrationError(`another command moves data to ${place} right now`);
  });
  await refuseServers(session, place);
}

/** A server holds that lock, shared, as long as it runs. */
async function refuseServers(session: Session, place: string): Promise<void> {
  const [alone] = await session.query<{ is_mine: boolean }>("SELECT pg_try_advisory_lock($1) AS is_mine", [
    ADVISORY_LOCKS.alive,
  ]);
  if (alone?.is_mine !== true) throw new MigrationError(`a Yardmaster server uses ${place}; stop it first`);
}

async function refuseUsed(session: Session, place: string): Promise<void> {
  if (!(await schemaExists(session, SCHEMA))) return;
  for (const table of TELLING_TABLES) {
    const [there] = await session.query<{ is_there: boolean }>(
      "SELECT to_regclass($1) IS NOT NULL AS is_there",
      [`${SCHEMA}.${table}`],
    );
    if (there?.is_there !== true) continue;
    const [row] = await session.query<{ is_used: boolean }>(
      `SELECT EXISTS (SELECT FROM ${SCHEMA}.${table}) AS is_used`,
    );
    if (row?.is_used === true) {
      throw new MigrationError(
        `${place} is not empty: its table ${SCHEMA}.${table} has rows; move to an empty database`,
      );
    }
  }
}

async function schemaExists(session: Session, schema: string): Promise<boolean> {
  const [row] = await session.query<{ is_there: boolean }>(
    "SELECT to_regnamespace($1) IS NOT NULL AS is_there",
    [schema],
  );
  return row?.is_there === true;
}

/** The schema as a server makes it, under the other name. */
async function makeSchema(
  session: Session,
  url: string,
  source: IncomingStoreOptions["source"],
): Promise<void> {
  // Opening the store says that a server is there, for which this session must make room.
  await session.query("SELECT pg_advisory_unlock($1)", [ADVISORY_LOCKS.alive]);
  const store = await PostgresStore.open({ url });
  await store.close();
  const place = describeAddress(parseDatabaseAddress(url));
  // The store's own connection ends in a moment.
  await untilTaken(() => refuseServers(session, place));
  await session.run("BEGIN");
  try {
    await refuseUsed(session, place);
    await session.run(`
      ALTER SCHEMA ${SCHEMA} RENAME TO ${INCOMING_SCHEMA};
      CREATE TABLE ${INCOMING_SCHEMA}.migration (name text PRIMARY KEY, value text NOT NULL)`);
    await session.query(
      `INSERT INTO ${INCOMING_SCHEMA}.migration (name, value) VALUES ('source', $1), ('fingerprint', $2), ('schema',
         (SELECT value::text FROM ${INCOMING_SCHEMA}.meta WHERE name = 'schema_version'))`,
      [JSON.stringify(source.dataDir), JSON.stringify(source.fingerprint)],
    );
    await session.run("COMMIT");
  } catch (error) {
    if (!session.isLost) await session.run("ROLLBACK");
    throw error;
  }
}

const TAKE_TRIES = 50;
const TAKE_PAUSE_MS = 100;

async function untilTaken(take: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await take();
    } catch (error) {
      if (tries >= TAKE_TRIES || !(error instanceof MigrationError)) throw error;
      await Bun.sleep(TAKE_PAUSE_MS);
    }
  }
}
