import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { outputOf } from "../processOutput.ts";

const RUN = join(import.meta.dir, "../../bench/peers/run.ts");
/** What runs without installing anything: Yardmaster itself. */
const OURS = ["--only", "yardmaster-sqlite", "--only", "yardmaster-1"];

describe("the bench beside other queues", () => {
  test("measures every line for Yardmaster on both stores in a quick run", async () => {
    const child = Bun.spawn([process.execPath, RUN, "--quick", "--json", ...OURS], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const { stdout, stderr, exitCode } = await outputOf(child);
    expect([exitCode, stdout === "" ? stderr : ""]).toEqual([0, ""]);
    const { results }: { results: { name: string; figures: Record<string, number> }[] } = JSON.parse(stdout);
    expect(results.map(({ name }) => name)).toEqual(["yardmaster-sqlite", "yardmaster-1"]);
    for (const { figures } of results) {
      expect(Object.keys(figures).sort()).toEqual([
        "bulk",
        "drain",
        "drainBacklog",
        "latencyMedian",
        "latencyP99",
        "single",
      ]);
      for (const value of Object.values(figures)) expect(value).toBeGreaterThan(0);
    }
  }, 60_000);

  test("refuses a system that there is not", () => {
    const run = Bun.spawnSync([process.execPath, RUN, "--only", "nothing"]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr.toString()).toContain("yardmaster-sqlite, yardmaster-1");
  });
});
