import { test } from "bun:test";
import { whatsnextRounds } from "./whatsnextRounds.ts";

test("64 WhatsNext workers on one queue never get a job twice while the server is killed", async () => {
  await whatsnextRounds({ jobs: 2_000, kills: 3, timeoutMs: 90_000 });
}, 120_000);
