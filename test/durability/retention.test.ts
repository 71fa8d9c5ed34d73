/** Jobs end as fast as the machine can; those past their keep go as fast. */
import { test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteReads } from "../../src/store/sqlite/sqliteReads.ts";
import { SqliteStore } from "../../src/store/sqlite/sqliteStore.ts";
import { churn, expectDeleted } from "./churn.ts";
import { churnOnPostgres } from "./postgresChurn.ts";

const JOBS = 200_000;
const RETAIN_MS = 500;

test("on SQLite", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "yardmaster-retention-"));
  try {
    const store = new SqliteStore({ dataDir });
    const sizeMb = async () => (await store.sizeBytes()) / 1024 ** 2;
    expectDeleted(
      await churn({ store, reads: new SqliteReads(dataDir), jobs: JOBS, retainMs: RETAIN_MS, sizeMb }),
    );
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}, 60_000);

test("on PostgreSQL", async () => {
  expectDeleted(await churnOnPostgres(JOBS, RETAIN_MS));
}, 120_000);
