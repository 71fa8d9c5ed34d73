/**
 * Statements that find rows by a key must do so whatever the planner knows of the table: one that was vacuumed while
 * it was empty looks as if any index would do, and stays so for a while after it has filled.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import postgres from "postgres";
import { PostgresStore } from "../../src/store/postgres/postgresStore.ts";
import { Cluster } from "../postgres/cluster.ts";

const ROWS = 100_000;
const DEADLINE_MS = 20_000;
/** By table: how it is filled. */
const TABLES = {
  leases: "INSERT INTO leases SELECT n, 1, NULL, 1, 'worker' FROM generate_series(1, $1::int) AS n",
  ended: "INSERT INTO ended SELECT 4, n, n FROM generate_series(1, $1::int) AS n",
  edges: "INSERT INTO edges SELECT n, n + 1 FROM generate_series(1, $1::int) AS n",
};

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start("fsync=off", "autovacuum=off");
});
afterAll(() => cluster?.dispose());

test("jobs are deleted by their keys, also from tables that were vacuumed while they were empty", async () => {
  const url = await cluster.newDatabase();
  const store = await PostgresStore.open({ url });
  const sql = postgres(url, { max: 1, connection: { search_path: "yardmaster" } });
  try {
    for (const [table, fill] of Object.entries(TABLES)) {
      await sql.unsafe(fill, [ROWS]);
      await sql.unsafe(`DELETE FROM ${table}`);
      // The pages stay, as they do where one that is in use stands at the end.
      await sql.unsafe(`VACUUM (ANALYZE, TRUNCATE off) ${table}`);
    }
    const id = await store.transaction(async (tx) => {
      const id = await tx.nextJobIds(1);
      const [shapeId = 0] = await tx.internShapes([
        {
          queue: "default",
          kind: "command",
          resources: { cpu: 1, accelerators: 0, memoryMb: 0 },
          requires: {},
        },
      ]);
      await tx.insertJobs([
        {
          ...{ id, key: null, dialect: "yardmaster", shapeId, name: "job", projectId: null, taskId: null },
          ...{ spec: {}, priority: 0, labels: {}, dependsOn: [], maxAttempts: 1, maxRecoveries: 0 },
          ...{ timeoutMs: null, backoffMs: null, runAt: null, state: "succeeded", unmet: 0, doomed: 0 },
          ...{ createdAt: 1, readyAt: 1 },
        },
      ]);
      return id;
    });
    await store.transaction(async (tx) => tx.deleteJobs([id]));
    // What a session used is counted at the latest when it ends.
    await store.close();
    expect(await usedIndexes(sql, ["leases", "ended", "edges"])).toEqual([
      "edges_pkey",
      "ended_pkey",
      "leases_pkey",
    ]);
  } finally {
    await store.close();
    await sql.end();
  }
});

test("documents that expire are pruned without a look at the others, and not where they were put anew meanwhile", async () => {
  const url = await cluster.newDatabase();
  const store = await PostgresStore.open({ url });
  // Its own statements search no index, so that those that were searched are the store's.
  const off = { enable_indexscan: "off", enable_indexonlyscan: "off", enable_bitmapscan: "off" };
  const sql = postgres(url, { max: 1, connection: { search_path: "yardmaster", ...off } });
  try {
    await sql.unsafe("INSERT INTO documents SELECT 'c', n::text, '{}' FROM generate_series(1, 10000) AS n");
    await sql.unsafe("DELETE FROM documents");
    await sql.unsafe("VACUUM (ANALYZE, TRUNCATE off) documents");
    await sql.unsafe(
      "INSERT INTO documents SELECT 'c', n::text, '{}', CASE WHEN n <= 10 THEN 5 END FROM generate_series(1, 10000) AS n",
    );
    await sql.unsafe("BEGIN");
    await sql.unsafe("UPDATE documents SET expires_at = 1000 WHERE expires_at = 5 AND key = '7'");
    const pruned = store.transaction(async (tx) => tx.pruneDocuments(10, 500));
    await waitsForLock(sql);
    await sql.unsafe("COMMIT");
    await pruned;
    expect((await sql`SELECT key FROM documents WHERE expires_at IS NOT NULL`).map(({ key }) => key)).toEqual(
      ["7"],
    );
    await store.close();
    expect(await usedIndexes(sql, ["documents"], 1)).toEqual(["documents_expiring"]);
  } finally {
    await store.close();
    await sql.end();
  }
});

/** Resolves when someone waits for what the connection's own transaction holds. */
async function waitsForLock(sql: postgres.Sql): Promise<void> {
  const giveUpAt = performance.now() + DEADLINE_MS;
  for (;;) {
    const waiting = await sql`SELECT FROM pg_locks WHERE NOT granted`;
    if (waiting.length > 0 || performance.now() > giveUpAt) return;
    await Bun.sleep(20);
  }
}

/** Indexes of these tables that were searched, and in which so many entries were found, once there is one of each table. */
async function usedIndexes(
  sql: postgres.Sql,
  tables: readonly string[],
  minFound = 0,
): Promise<readonly string[]> {
  const giveUpAt = performance.now() + DEADLINE_MS;
  for (;;) {
    const rows = await sql<{ relname: string; indexrelname: string }[]>`
      SELECT relname, indexrelname FROM pg_stat_user_indexes
      WHERE schemaname = 'yardmaster' AND idx_scan > 0 AND idx_tup_read >= ${minFound} AND relname = ANY(${[...tables]}) ORDER BY indexrelname`;
    const isCounted = new Set(rows.map((row) => row.relname)).size === tables.length;
    if (isCounted || performance.now() > giveUpAt) return rows.map((row) => row.indexrelname);
    await Bun.sleep(50);
  }
}
