/** Brings the schema up to date, once however many servers start at the same time. */

import type { DatabaseAddress } from "./databaseAddress.ts";
import { describeAddress } from "./databaseAddress.ts";
import { StoreRefusedError } from "./faults.ts";
import { ADVISORY_LOCKS, SCHEMA } from "./layout.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { Session } from "./session.ts";

const OLDEST_SERVER = 130_000;

/** @throws StoreRefusedError when the server is too old, or the schema newer than this program */
export async function migrate(session: Session, address: DatabaseAddress): Promise<void> {
  const [server] = await session.query<{ number: number; words: string; encoding: string }>(
    "SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS words, " +
      "current_setting('server_encoding') AS encoding",
  );
  const place = describeAddress(address);
  if (server === undefined || server.number < OLDEST_SERVER) {
    throw new StoreRefusedError(`${place} is PostgreSQL ${server?.words}; Yardmaster needs 13 or newer`);
  }
  if (server.encoding !== "UTF8") {
    throw new StoreRefusedError(
      `${place} keeps texts as ${server.encoding}; make the database with ENCODING 'UTF8'`,
    );
  }
  await session.run("BEGIN");
  try {
    await session.query("SELECT pg_advisory_xact_lock($1)", [ADVISORY_LOCKS.migration]);
    const current = await readVersion(session);
    const latest = MIGRATIONS.at(-1)?.version ?? 0;
    if (current > latest) {
      throw new StoreRefusedError(
        `the store at ${place} was written by a newer Yardmaster (schema ${current}, this one knows ${latest}); update Yardmaster`,
      );
    }
    for (const migration of MIGRATIONS) {
      if (migration.version <= current) continue;
      await session.run(migration.sql);
      await session.query("UPDATE meta SET value = $1 WHERE name = 'schema_version'", [migration.version]);
    }
    await session.run("COMMIT");
  } catch (error) {
    if (!session.isLost) await session.run("ROLLBACK");
    throw error;
  }
}

async function readVersion(session: Session): Promise<number> {
  // Only where it is missing: making it takes a right that a server started later need not have.
  const [found] = await session.query<{ is_there: boolean }>(
    "SELECT to_regclass($1) IS NOT NULL AS is_there",
    [`${SCHEMA}.meta`],
  );
  if (found?.is_there !== true) {
    await session.run(`
      CREATE SCHEMA IF NOT EXISTS ${SCHEMA};
      CREATE TABLE meta (name text PRIMARY KEY, value bigint NOT NULL);
      INSERT INTO meta (name, value) VALUES ('schema_version', 0);`);
    return 0;
  }
  const [row] = await session.query<{ value: number }>(
    "SELECT value FROM meta WHERE name = 'schema_version'",
  );
  return row?.value ?? 0;
}
