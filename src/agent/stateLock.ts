/**
 * One agent a state directory. The lock is an exclusive transaction on a small SQLite file: the kernel
 * lets go of it however the agent ends, `kill -9` included, so there is no stale lock to clean up.
 */
import { Database } from "bun:sqlite";
import { accessSync, constants, mkdirSync } from "node:fs";
import { join } from "node:path";
import { errorText } from "./errorText.ts";
import { systemCode } from "./systemCode.ts";

/** Another agent runs on this state directory, or it cannot be written. */
export class StateDirError extends Error {
  override readonly name = "StateDirError";
}

/** Another agent runs on this state directory. */
export class StateDirInUseError extends StateDirError {}

/**
 * Makes the state directory where there is none.
 *
 * @throws StateDirError when it cannot be made or written.
 */
export function makeStateDir(stateDir: string): void {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    accessSync(stateDir, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new StateDirError(`the state directory ${stateDir} cannot be used: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  switch (systemCode(error)) {
    case "EROFS":
      return "it is on a read-only file system";
    case "EACCES":
    case "EPERM":
      return "no permission to write there";
    case "EEXIST":
    case "ENOTDIR":
      return "a file is in its place";
    case "ENOSPC":
      return "no space is left on its disk";
    default:
      return errorText(error);
  }
}

/**
 * Takes the lock; returns the way to let go of it.
 *
 * @throws StateDirInUseError when another agent holds it, StateDirError when it cannot be written.
 */
export function lockStateDir(stateDir: string): () => void {
  let database: Database | undefined;
  try {
    database = new Database(join(stateDir, "agent.lock"), { create: true });
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE;");
    database.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    database?.close();
    const text = errorText(error);
    if (/locked|busy/i.test(text)) {
      throw new StateDirInUseError(
        `another agent runs with the state directory ${stateDir}; give each agent its own`,
      );
    }
    throw new StateDirError(`cannot lock the state directory ${stateDir}: ${text}`);
  }
  const held = database;
  return () => held.close();
}
