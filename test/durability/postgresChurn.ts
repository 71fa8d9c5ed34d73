/** Churn on a PostgreSQL server of one's own, set up as `docs/operations.md` says for a busy queue. */
import { PostgresReads } from "../../src/store/postgres/postgresReads.ts";
import { PostgresStore } from "../../src/store/postgres/postgresStore.ts";
import { Cluster } from "../postgres/cluster.ts";
import { churn, type Look } from "./churn.ts";

const SETTINGS = ["shared_buffers=512MB", "max_wal_size=4GB", "autovacuum_naptime=10s"];
const PATIENCE_MS = 20_000;

export async function churnOnPostgres(jobs: number, retainMs: number): Promise<readonly Look[]> {
  const cluster = await Cluster.start(...SETTINGS);
  try {
    const url = await cluster.newDatabase();
    const database = new URL(url).pathname.slice(1);
    return await churn({
      store: await PostgresStore.open({ url, patienceMs: PATIENCE_MS }),
      reads: new PostgresReads({ url, patienceMs: PATIENCE_MS }),
      jobs,
      retainMs,
      sizeMb: async () => {
        const [row] = await cluster.ask(
          database,
          `SELECT sum(pg_total_relation_size(oid))::float8 AS bytes FROM pg_class
           WHERE relnamespace = 'yardmaster'::regnamespace AND relkind = 'r'`,
        );
        return Number(row?.bytes ?? 0) / 1024 ** 2;
      },
    });
  } finally {
    cluster.dispose();
  }
}
