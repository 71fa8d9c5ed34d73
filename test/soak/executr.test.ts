import { test } from "bun:test";
import { executrSoak } from "../durability/executrSoak.ts";

test("200 executors work for five minutes without an error, a lost lease or growing memory", async () => {
  await executrSoak({ executors: 200, durationMs: 300_000 });
}, 400_000);
