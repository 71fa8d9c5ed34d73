import { test } from "bun:test";
import { describeLook, expectDeleted, expectFlat } from "../durability/churn.ts";
import { churnOnPostgres } from "../durability/postgresChurn.ts";

const JOBS = Number(process.env.YARDMASTER_CHURN_JOBS ?? 10_000_000);
const RETAIN_MS = 3_000;

test(`${JOBS} jobs through a short backlog on PostgreSQL leave its tables flat and claims as fast`, async () => {
  const looks = await churnOnPostgres(JOBS, RETAIN_MS);
  console.log(looks.map(describeLook).join("\n"));
  expectDeleted(looks);
  expectFlat(looks);
}, 3_600_000);
