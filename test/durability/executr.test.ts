import { test } from "bun:test";
import { executrSoak } from "./executrSoak.ts";

test("200 executors work without an error, a lost lease or growing memory", async () => {
  await executrSoak({ executors: 200, durationMs: 10_000 });
}, 60_000);
