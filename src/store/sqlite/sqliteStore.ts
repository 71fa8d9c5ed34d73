/**
 * The store on SQLite: one file in the data directory, one writer, full durability.
 *
 * `synchronous=FULL` in WAL mode makes each commit one append and one fdatasync; group commit in the
 * engine puts many requests into each. Readers use connections of their own (`SqliteReads`) and never
 * wait for the writer.
 */
import { Database, SQLiteError } from "bun:sqlite";
import { statSync } from "node:fs";
import { join } from "node:path";
import { StoreUnavailableError } from "../../domain/errors.ts";
import type { Store, Transaction } from "../store.ts";
import { DataDirError, type DataDirLock, lockDataDir, reasonOf } from "./dataDir.ts";
import { MIGRATIONS } from "./migrations.ts";
import { SqliteTransaction } from "./sqliteTransaction.ts";

/** Name of the database in the data directory. */
export const DATABASE_FILE = "yardmaster.db";

/** Up to this size the whole file is checked at start: about half a second at the most. */
const MAX_CHECKED_BYTES = 256 * 1024 * 1024;

/** How long commits may go to a file that was deleted or moved before that is noticed. */
const LOOK_EVERY_MS = 1_000;

export interface SqliteStoreOptions {
  readonly dataDir: string;
  /** Pages of the write-ahead log after which it is written back into the file. */
  readonly checkpointPages?: number;
  /** Called when the file turns out to be damaged while the server runs. */
  readonly onCorrupt?: (message: string) => void;
}

export class SqliteStore implements Store {
  /** The data directory's lock keeps other servers out. */
  readonly isShared = false;
  readonly #db: Database;
  readonly #file: string;
  readonly #lock: DataDirLock;
  readonly #transaction: SqliteTransaction;
  readonly #onCorrupt: (message: string) => void;
  #tail: Promise<unknown> = Promise.resolve();
  readonly #inode: number;
  #lookedAt = performance.now();

  /** @throws DataDirError when the directory or the file cannot be used. */
  constructor(options: SqliteStoreOptions) {
    this.#lock = lockDataDir(options.dataDir);
    this.#file = join(options.dataDir, DATABASE_FILE);
    this.#onCorrupt = options.onCorrupt ?? (() => {});
    let db: Database | undefined;
    try {
      db = openFile(this.#file, options.checkpointPages ?? 4_000);
      migrate(db, this.#file);
      this.#transaction = new SqliteTransaction(db);
      this.#db = db;
      this.#inode = statSync(this.#file).ino;
    } catch (error) {
      db?.close();
      this.#lock.release();
      if (error instanceof DataDirError) throw error;
      throw new DataDirError(`the store ${this.#file} cannot be opened: ${storeReason(error)}`);
    }
  }

  async transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    // One at a time: there is one connection. The engine's committer asks for one at a time anyway.
    const before = this.#tail;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tail = promise;
    await before;
    try {
      return await this.#run(work);
    } finally {
      resolve();
    }
  }

  async #run<T>(work: (tx: Transaction) => Promise<T>): Promise<T> {
    try {
      this.#lookForFile();
      this.#db.run("BEGIN IMMEDIATE");
      const value = await work(this.#transaction);
      this.#db.run("COMMIT");
      this.#transaction.committed();
      return value;
    } catch (error) {
      this.#rollback();
      throw this.#wordError(error);
    }
  }

  /** A file that was deleted is written on without any fault, and gone when the server ends. */
  #lookForFile(): void {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_EVERY_MS) return;
    if (!isStillThere(this.#file, this.#inode)) {
      throw new StoreUnavailableError(
        `the store cannot write: ${this.#file} was deleted, moved or replaced under the server; move it back, or start the server anew`,
      );
    }
    this.#lookedAt = now;
  }

  #rollback(): void {
    try {
      // A full disk may have ended the transaction already.
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
    } finally {
      this.#transaction.rolledBack();
    }
  }

  #wordError(error: unknown): unknown {
    if (!(error instanceof SQLiteError)) return error;
    const code = error.code ?? "";
    if (code.startsWith("SQLITE_CORRUPT") || code.startsWith("SQLITE_NOTADB")) {
      this.#onCorrupt(`the store ${this.#file} is damaged: ${error.message}`);
      return new StoreUnavailableError(`the store is damaged: ${error.message}`, 60_000);
    }
    if (/^SQLITE_(FULL|IOERR|READONLY|BUSY|CANTOPEN|NOMEM)/.test(code)) {
      return new StoreUnavailableError(`the store cannot write: ${storeReason(error)}`);
    }
    return error;
  }

  clock(): number {
    return Date.now();
  }

  listen(): () => void {
    return () => {};
  }

  async sizeBytes(): Promise<number> {
    return fileBytes(this.#file) + fileBytes(`${this.#file}-wal`);
  }

  async close(): Promise<void> {
    await this.#tail;
    try {
      // Leaves one file that holds everything: what is still in the log would be read at the next start too.
      this.#db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // A full disk: the log stays beside the file, and nothing is lost.
    }
    this.#db.close();
    this.#lock.release();
  }
}

function isStillThere(file: string, inode: number): boolean {
  try {
    return statSync(file, { throwIfNoEntry: false })?.ino === inode;
  } catch {
    // A folder that may not be looked into any more says nothing about the file in it.
    return true;
  }
}

function openFile(file: string, checkpointPages: number): Database {
  const db = new Database(file, { create: true, strict: true });
  // Must come before the first table is made.
  db.run("PRAGMA page_size = 8192");
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA synchronous = FULL");
  db.run("PRAGMA busy_timeout = 5000");
  db.run("PRAGMA temp_store = MEMORY");
  db.run("PRAGMA cache_size = -32768");
  db.run(`PRAGMA wal_autocheckpoint = ${checkpointPages}`);
  db.run("PRAGMA journal_size_limit = 67108864");
  return db;
}

/** Brings the schema up to date, in one transaction. */
function migrate(db: Database, file: string): void {
  if (fileBytes(file) <= MAX_CHECKED_BYTES) {
    const verdict = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
    if (verdict !== "ok") {
      throw new DataDirError(
        `the store ${file} is damaged (${verdict}); restore it from a backup, or move it away to start afresh`,
      );
    }
  }
  const current = db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version ?? 0;
  const latest = MIGRATIONS.at(-1)?.version ?? 0;
  if (current > latest) {
    throw new DataDirError(
      `the store ${file} was written by a newer Yardmaster (schema ${current}, this one knows ${latest}); update Yardmaster`,
    );
  }
  db.run("BEGIN IMMEDIATE");
  try {
    for (const migration of MIGRATIONS) {
      if (migration.version <= current) continue;
      db.run(migration.sql);
      db.run(`PRAGMA user_version = ${migration.version}`);
    }
    db.run("COMMIT");
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK");
    throw error;
  }
}

function storeReason(error: unknown): string {
  if (error instanceof SQLiteError) {
    const code = error.code ?? "";
    if (code.startsWith("SQLITE_NOTADB")) {
      return "it is not a Yardmaster store; restore it from a backup, or move it away to start afresh";
    }
    if (code.startsWith("SQLITE_CORRUPT")) {
      return `it is damaged (${error.message}); restore it from a backup, or move it away to start afresh`;
    }
  }
  return reasonOf(error);
}

function fileBytes(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
