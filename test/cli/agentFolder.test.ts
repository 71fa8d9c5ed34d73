import { afterEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Yard } from "../durability/yard.ts";

let yard: Yard | undefined;
afterEach(async () => {
  await yard?.dispose();
});

test("agents that are given no folder each find one of their own", async () => {
  yard = new Yard();
  await yard.startServer();
  yard.startAgent("first", 1, { stateDir: null });
  yard.startAgent("second", 1, { stateDir: null });
  const deadline = Date.now() + 20_000;
  while ((await yard.client.stats()).workersByState.online < 2) {
    if (Date.now() > deadline) throw new Error(yard.tail());
    await Bun.sleep(50);
  }
  const data = join(yard.dir, "yardmaster-data");
  expect([existsSync(join(data, "agent")), existsSync(join(data, "agent-2"))]).toEqual([true, true]);
});
