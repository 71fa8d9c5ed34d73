/** The data directory: made when missing, checked, and held by one server at a time. */
import { Database, SQLiteError } from "bun:sqlite";
import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";

/** The data directory cannot be used; the message says why and what to do, for the person who starts the server. */
export class DataDirError extends Error {
  override readonly name = "DataDirError";
}

export interface DataDirLock {
  release(): void;
}

/**
 * Makes the directory where needed and takes it for this process.
 *
 * The lock is an exclusive transaction on a small database of its own: the kernel drops it when the
 * process ends in whatever way, so no stale lock is ever left behind.
 *
 * @throws DataDirError when it cannot be made or written, or when another server has it.
 */
export function lockDataDir(dataDir: string): DataDirLock {
  try {
    // Jobs may hold secrets in their environment: others on the machine are kept out.
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new DataDirError(`the data directory ${dataDir} cannot be used: ${reasonOf(error)}`);
  }
  try {
    const db = new Database(join(dataDir, "lock.db"), { create: true });
    try {
      db.run("PRAGMA busy_timeout = 0");
      db.run("PRAGMA journal_mode = MEMORY");
      db.run("BEGIN EXCLUSIVE");
    } catch (error) {
      db.close();
      throw error;
    }
    return { release: () => db.close() };
  } catch (error) {
    if (error instanceof SQLiteError && error.code?.startsWith("SQLITE_BUSY")) {
      throw new DataDirError(
        `the data directory ${dataDir} is in use by another Yardmaster server; stop it, or choose another directory with --data`,
      );
    }
    throw new DataDirError(`the data directory ${dataDir} cannot be written: ${reasonOf(error)}`);
  }
}

/** The part of an error that tells a user something. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : null;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EROFS":
    case "SQLITE_READONLY":
    case "SQLITE_READONLY_DIRECTORY":
    case "SQLITE_READONLY_DBMOVED":
      return "it is read-only";
    case "ENOSPC":
    case "SQLITE_FULL":
      return "no space is left on the disk";
    case "ENOTDIR":
    case "EEXIST":
      return "a file is in its place";
    case "SQLITE_CANTOPEN":
      return "its files cannot be opened for writing";
    default:
      return error.message;
  }
}
