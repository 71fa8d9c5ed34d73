/** The store that is moved: a data folder that no server uses, read only. */
import { Database } from "bun:sqlite";
import { existsSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { DATABASE_FILE, SqliteStore } from "../sqlite/sqliteStore.ts";
import type { Row, Value } from "./checksum.ts";
import { MIGRATED_TABLES, type MigratedTable, NUMBERED, UNMOVED_TABLES } from "./migratedTables.ts";
import { MigrationError } from "./migrationError.ts";

/** A row, and where its table is gone on with after it. */
export interface PlacedRow {
  readonly row: Row;
  readonly place: Row;
}

export class SourceStore {
  /** Absolute, without links. */
  readonly dataDir: string;
  /** Holds the folder, so that no server starts on it meanwhile. */
  readonly #store: SqliteStore;
  readonly #db: Database;

  private constructor(dataDir: string, store: SqliteStore, db: Database) {
    this.dataDir = dataDir;
    this.#store = store;
    this.#db = db;
  }

  /**
   * Takes the folder and brings its schema up to date, as a server of this version would.
   * @throws MigrationError, DataDirError (in use, damaged, not permitted)
   */
  static async open(path: string): Promise<SourceStore> {
    const folder = resolve(path);
    const file = join(folder, DATABASE_FILE);
    if (!existsSync(file))
      throw new MigrationError(`there is no store in ${folder}: it has no ${DATABASE_FILE}`);
    const store = new SqliteStore({ dataDir: folder });
    try {
      const db = new Database(file, { readonly: true, strict: true });
      const source = new SourceStore(realpathSync(folder), store, db);
      source.#refuseUnknownTables();
      return source;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Columns of a table, in its order. */
  columns(table: string): readonly string[] {
    const found = this.#db
      .query<{ name: string }, [string]>("SELECT name FROM pragma_table_info(?)")
      .all(table);
    return found.map(({ name }) => name);
  }

  count(table: string): number {
    return this.#db.query<{ n: number }, []>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? 0;
  }

  /** Rows in the order of the table's key, those after a place; each read when it is asked for. */
  *rows(table: MigratedTable, after: Row | null): IterableIterator<PlacedRow> {
    const columns = this.columns(table.name);
    const key = table.key.join(", ");
    const where = after === null ? "" : `WHERE (${key}) > (${table.key.map(() => "?").join(", ")})`;
    const names = [...columns, ...table.key.map((column, index) => `${column} AS place_${index}`)];
    const statement = this.#db.query<Record<string, unknown>, Value[]>(
      `SELECT ${names.join(", ")} FROM ${table.name} ${where} ORDER BY ${key}`,
    );
    for (const found of statement.iterate(...(after ?? []))) {
      yield {
        row: columns.map((column) => toValue(found[column], table.name)),
        place: table.key.map((_, index) => toValue(found[`place_${index}`], table.name)),
      };
    }
  }

  /** The largest number that was ever given out, for each of the columns that the target numbers itself. */
  lastNumbers(): readonly { readonly table: string; readonly column: string; readonly last: number }[] {
    return NUMBERED.map(({ table, column }) => ({
      table,
      column,
      last: Math.max(
        this.#number(`SELECT max(${column}) AS n FROM ${table}`),
        this.#number(`SELECT seq AS n FROM sqlite_sequence WHERE name = '${table}'`),
      ),
    }));
  }

  get lastJobId(): number {
    return Math.max(
      this.#number("SELECT max(id) AS n FROM jobs"),
      this.#number("SELECT value AS n FROM meta WHERE name = 'last_job_id'"),
    );
  }

  /** Changes whenever a server has written: counts, and when something changed last. */
  fingerprint(): string {
    const state = MIGRATED_TABLES.map(({ name }) => [name, this.count(name)]);
    const times = [
      this.#number("SELECT max(updated_at) AS n FROM jobs"),
      this.#number("SELECT max(last_seen_at) AS n FROM workers"),
      this.#number("SELECT max(rowid) AS n FROM log_chunks"),
      this.#number("SELECT max(seq) AS n FROM records"),
    ];
    return new Bun.CryptoHasher("sha256").update(JSON.stringify([state, times])).digest("hex");
  }

  async close(): Promise<void> {
    this.#db.close();
    await this.#store.close();
  }

  #number(statement: string): number {
    return this.#db.query<{ n: number | null }, []>(statement).get()?.n ?? 0;
  }

  #refuseUnknownTables(): void {
    const known = new Set([...MIGRATED_TABLES.map(({ name }) => name), ...UNMOVED_TABLES]);
    const found = this.#db
      .query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'")
      .all();
    const unknown = found.map(({ name }) => name).filter((name) => !known.has(name));
    if (unknown.length > 0) {
      throw new MigrationError(`the store has tables that this version cannot move: ${unknown.join(", ")}`);
    }
  }
}

function toValue(value: unknown, table: string): Value {
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  throw new MigrationError(`the table ${table} holds a value that is neither a text nor a number`);
}
