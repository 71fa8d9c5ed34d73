/**
 * One agent a state directory. The lock is an exclusive transaction on a small SQLite file: the kernel
 * lets go of it however the agent ends, `kill -9` included, so there is no stale lock to clean up.
 */
import { Database } from "bun:sqlite";
import { join } from "node:path";
import { errorText } from "./errorText.ts";

/** Another agent runs on this state directory, or it cannot be written. */
export class StateDirError extends Error {
  override readonly name = "StateDirError";
}

/** Another agent runs on this state directory. */
export class StateDirInUseError extends StateDirError {}

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
