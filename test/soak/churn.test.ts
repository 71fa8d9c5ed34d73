import { afterAll, beforeAll, test } from "bun:test";
import { churn } from "../durability/churn.ts";
import { Cluster } from "../postgres/cluster.ts";

const JOBS = Number(process.env.YARDMASTER_CHURN_JOBS ?? 10_000_000);

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start("shared_buffers=512MB", "max_wal_size=4GB");
});
afterAll(() => cluster?.dispose());

test(`${JOBS} jobs through a short backlog on PostgreSQL leave its tables flat and claims as fast`, async () => {
  await churn(cluster, JOBS);
}, 3_600_000);
