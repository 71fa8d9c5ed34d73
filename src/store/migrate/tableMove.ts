/** Moves one table, batch by batch, and compares it when it is there. */
import type { Parameter } from "../postgres/session.ts";
import { numbers, texts } from "../postgres/text.ts";
import { type Row, TableChecksum, type Value } from "./checksum.ts";
import { INCOMING_SCHEMA, type IncomingStore } from "./incomingStore.ts";
import type { MigratedTable, TargetTable } from "./migratedTables.ts";
import { MigrationError } from "./migrationError.ts";
import type { PlacedRow, SourceStore } from "./sourceStore.ts";

const MAX_BATCH_ROWS = 1_000;
/** Characters of one batch, above which it is sent though it has fewer rows. */
const MAX_BATCH_LENGTH = 4 * 1024 * 1024;

/** How far a table is, as it is noted beside its rows. */
interface Progress {
  readonly after: Row | null;
  readonly rows: number;
  readonly isDone: boolean;
}

/** One table of the target, with those of the source's columns that it has. */
interface Part extends TargetTable {
  readonly columns: readonly { readonly name: string; readonly index: number; readonly type: string }[];
}

/** A table that is the same in both stores. */
export interface MovedTable {
  readonly table: string;
  readonly rows: number;
  readonly checksum: string;
}

export class TableMove {
  readonly table: MigratedTable;
  readonly #source: SourceStore;
  readonly #target: IncomingStore;
  readonly #columns: readonly string[];
  readonly #parts: readonly Part[];

  private constructor(
    table: MigratedTable,
    source: SourceStore,
    target: IncomingStore,
    columns: readonly string[],
    parts: readonly Part[],
  ) {
    this.table = table;
    this.#source = source;
    this.#target = target;
    this.#columns = columns;
    this.#parts = parts;
  }

  /** @throws MigrationError when a column of the source has no place in the target */
  static async plan(table: MigratedTable, source: SourceStore, target: IncomingStore): Promise<TableMove> {
    const columns = source.columns(table.name);
    const parts: Part[] = [];
    for (const one of table.into ?? [{ name: table.name }]) {
      const types = await target.columns(one.name);
      const own = columns.flatMap((name, index) => {
        const type = types.get(name);
        return type === undefined ? [] : [{ name, index, type }];
      });
      parts.push({ ...one, columns: own });
    }
    const placed = new Set(parts.flatMap((part) => part.columns.map(({ name }) => name)));
    const lost = columns.filter((name) => !placed.has(name));
    if (lost.length > 0) {
      throw new MigrationError(
        `the table ${table.name} has columns that this version cannot move: ${lost.join(", ")}`,
      );
    }
    return new TableMove(table, source, target, columns, parts);
  }

  /** Moves what was not moved yet; `onRows` is told how many rows are there. */
  async move(onRows: (rows: number) => void): Promise<void> {
    const noted = await this.#progress();
    let rows = noted.rows;
    if (noted.isDone) return;
    onRows(rows);
    let batch: PlacedRow[] = [];
    let length = 0;
    for (const placed of this.#source.rows(this.table, noted.after)) {
      batch.push(placed);
      for (const value of placed.row) length += typeof value === "string" ? value.length : 8;
      if (batch.length < MAX_BATCH_ROWS && length < MAX_BATCH_LENGTH) continue;
      rows += batch.length;
      await this.#write(batch, { after: placed.place, rows, isDone: false });
      onRows(rows);
      batch = [];
      length = 0;
    }
    rows += batch.length;
    await this.#write(batch, { after: batch.at(-1)?.place ?? noted.after, rows, isDone: true });
    onRows(rows);
  }

  /**
   * Reads both tables from their first row to their last one.
   * @throws MigrationError when they differ
   */
  async compare(onRows: (rows: number) => void): Promise<MovedTable> {
    const [there, here] = [new TableChecksum(), new TableChecksum()];
    for (const { row } of this.#source.rows(this.table, null)) {
      here.add(row);
      if (here.rows % MAX_BATCH_ROWS === 0) {
        onRows(here.rows);
        // A long table: the connection must be looked after, and signals.
        await Bun.sleep(0);
      }
    }
    for await (const found of this.#target.rows(this.table.name, this.#readBack())) {
      there.add(this.#columns.map((_, index) => toValue(found[`c${index}`])));
      if (there.rows % MAX_BATCH_ROWS === 0) onRows(there.rows);
    }
    for (const { name, onlyWith } of this.#parts) {
      const rows = await this.#target.count(name);
      if (onlyWith === undefined && rows !== here.rows) this.#differ(here.rows, rows);
    }
    if (here.rows !== there.rows || here.text !== there.text) this.#differ(here.rows, there.rows);
    return { table: this.table.name, rows: here.rows, checksum: here.text };
  }

  #differ(here: number, there: number): never {
    throw new MigrationError(
      `the table ${this.table.name} is not the same on both sides: ${here} rows in the source, ${there} moved; ` +
        "nothing was put in force; try it again with --start-over",
    );
  }

  async #progress(): Promise<Progress> {
    const noted = await this.#target.noted(`table ${this.table.name}`);
    return noted === null ? { after: null, rows: 0, isDone: false } : readProgress(noted);
  }

  #write(batch: readonly PlacedRow[], progress: Progress): Promise<void> {
    const statements = this.#parts.flatMap((part) => this.#insert(part, batch));
    return this.#target.write(statements, { name: `table ${this.table.name}`, value: progress });
  }

  #insert(part: Part, batch: readonly PlacedRow[]): { sql: string; parameters: Parameter[] }[] {
    const needed = part.columns.find(({ name }) => name === part.onlyWith);
    const rows = needed === undefined ? batch : batch.filter(({ row }) => row[needed.index] !== null);
    if (rows.length === 0) return [];
    const names = part.columns.map(({ name }) => name).join(", ");
    const arrays = part.columns.map(({ type }, index) => `$${index + 1}::${type}[]`).join(", ");
    const parameters = part.columns.map(({ index, type }) => {
      const values = rows.map(({ row }) => row[index] ?? null);
      return type === "text" ? texts(values.map(textOrNull)) : numbers(values.map(numberOrNull));
    });
    // Numbers that the table gives itself at other times come from the source here.
    const sql = `INSERT INTO ${part.name} (${names}) OVERRIDING SYSTEM VALUE SELECT * FROM unnest(${arrays})`;
    return [{ sql, parameters }];
  }

  /** The source's columns, put together again from the tables that they went to. */
  #readBack(): string {
    const columns = this.#columns.map((name, index) => {
      const part = this.#parts.find((one) => one.columns.some((column) => column.name === name));
      return `${part?.name}.${name} AS c${index}`;
    });
    const [first, ...others] = this.#parts;
    const joins = others.map(
      ({ name, onlyWith }) =>
        `${onlyWith === undefined ? "" : "LEFT "}JOIN ${INCOMING_SCHEMA}.${name} USING (id)`,
    );
    return `SELECT ${columns.join(", ")} FROM ${INCOMING_SCHEMA}.${first?.name} ${joins.join(" ")}`;
  }
}

function textOrNull(value: Value): string | null {
  return value === null ? null : String(value);
}

function numberOrNull(value: Value): number | null {
  if (value === null || typeof value === "number") return value;
  throw new MigrationError(
    `a number was expected, and a text is there: ${JSON.stringify(value.slice(0, 100))}`,
  );
}

function toValue(value: unknown): Value {
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  throw new MigrationError("the database gives a value that is neither a text nor a number");
}

function readProgress(noted: unknown): Progress {
  if (
    typeof noted === "object" &&
    noted !== null &&
    "after" in noted &&
    "rows" in noted &&
    "isDone" in noted
  ) {
    const { after, rows, isDone } = noted;
    if (typeof rows === "number" && typeof isDone === "boolean") {
      if (after === null) return { after, rows, isDone };
      if (Array.isArray(after)) return { after: after.map(toValue), rows, isDone };
    }
  }
  throw new MigrationError("how far the move is cannot be read; begin it anew with --start-over");
}
