import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { outputOf } from "../processOutput.ts";

const RUN = join(import.meta.dir, "../../bench/run.ts");

describe("the bench", () => {
  test("measures everything in a quick run", async () => {
    const child = Bun.spawn([process.execPath, RUN, "--quick", "--json"], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const { stdout, stderr, exitCode } = await outputOf(child);
    expect([exitCode, stdout === "" ? stderr : ""]).toEqual([0, ""]);
    const { figures }: { figures: { name: string; value: number; ratio: number | null }[] } =
      JSON.parse(stdout);
    expect(figures.length).toBeGreaterThanOrEqual(35);
    for (const figure of figures) expect([figure.name, figure.value > 0]).toEqual([figure.name, true]);
  }, 180_000);

  test("refuses a part that there is not", () => {
    const run = Bun.spawnSync([process.execPath, RUN, "--only", "nothing"]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr.toString()).toContain("enqueue, cycle, claim, running");
  });
});
