import { test } from "bun:test";
import { whatsnextRounds } from "../durability/whatsnextRounds.ts";

test("64 WhatsNext workers on a queue of 20 thousand never get a job twice while the server is killed ten times", async () => {
  await whatsnextRounds({ jobs: 20_000, kills: 10, timeoutMs: 480_000 });
}, 600_000);
