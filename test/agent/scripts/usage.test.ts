/** What is told of a job's use of the machine was measured, also of processes that have ended between two looks. */
import { describe, expect, test } from "bun:test";
import { cpus } from "node:os";
import type { Job, Json } from "@yardmaster/client";
import { openCgroups } from "../../../src/agent/isolation/cgroups.ts";
import { machineProcesses, useOf } from "../../../src/agent/scripts/processUse.ts";
import { UsageSummary } from "../../../src/agent/scripts/usageSummary.ts";
import { sandboxTest } from "../isolation/machine.ts";
import { scriptYard } from "./scriptYard.ts";

/** Uses so many seconds of CPU time, however slow the machine is. */
const BURN = "import time\nwhile time.process_time() < ";

function usageOf({ result }: Job): { [name: string]: Json } {
  const read: { metadata: { usage: { [name: string]: Json } } } = JSON.parse(JSON.stringify(result));
  return read.metadata.usage;
}

test("processes count with those that they waited for", async () => {
  const burn = (seconds: number) => `python3 -c '${BURN}${seconds}: pass'`;
  const shell = Bun.spawn(["sh", "-c", `${burn(0.3)}; ${burn(0.3)}; echo done; read line; exit 0`], {
    stdio: ["pipe", "pipe", "ignore"],
  });
  try {
    await shell.stdout.getReader().read();
    const use = useOf(shell.pid, await machineProcesses());
    expect(use?.pids).toEqual([shell.pid]);
    expect(use?.cpuMs).toBeGreaterThanOrEqual(550);
    expect(use?.memoryBytes).toBeGreaterThan(100_000);
  } finally {
    shell.kill("SIGKILL");
    await shell.exited;
  }
});

describe("a script that starts one short program after the other", () => {
  const script = `
import subprocess, sys
for _ in range(6):
    subprocess.run([sys.executable, "-c", """${BURN}0.25: pass"""])
`;
  async function check(isolation: "off" | "required"): Promise<void> {
    await using yard = await scriptYard();
    await yard.agent({ usageEveryMs: 400, isolation });
    const job = await yard.run(script);
    expect([job.state, job.error]).toEqual(["succeeded", null]);
    const { cpuSeconds, cpuPercentMean, cpuPercentMax, samples } = usageOf(job);
    // Of a sandbox without a control group, what was used after the last look is not known.
    const isCounted = isolation === "off" || "groups" in openCgroups("yardmaster-usage-test");
    expect(Number(cpuSeconds)).toBeGreaterThanOrEqual(isCounted ? 1.4 : 0.5);
    // Python itself uses some at each start.
    expect(Number(cpuSeconds)).toBeLessThan(6);
    const took = (Date.parse(job.finishedAt ?? "") - Date.parse(job.startedAt ?? "")) / 1000;
    expect(Number(cpuPercentMean)).toBeGreaterThan((0.7 * 100 * Number(cpuSeconds)) / (took * cpus().length));
    expect(Number(cpuPercentMean)).toBeLessThanOrEqual(Number(cpuPercentMax));
    const records = await yard.client.records(job.id, { kind: "usage" });
    expect(records.length).toBeGreaterThanOrEqual(Number(samples));
    const sum = records.reduce((total, { data }) => total + Number(data.cpu_percent), 0);
    expect(sum / records.length).toBeGreaterThan(0.5 * Number(cpuPercentMean));
  }
  test("is told with what they used", () => check("off"));
  sandboxTest("is told so where it is isolated, too", () => check("required"));
});

test("a script that is over before anybody looked is told with its CPU time", async () => {
  await using yard = await scriptYard();
  await yard.agent({ isolation: "off" });
  const job = await yard.run(`${BURN}0.1: pass`);
  const { samples, cpuSeconds } = usageOf(job);
  expect(Number(cpuSeconds)).toBeGreaterThanOrEqual(0.1);
  if (samples === 0) expect(usageOf(job).memoryBytesMax).toBeUndefined();
});

test("the sum takes in what was measured, and says nothing of what was not", () => {
  const use = (cpuMs: number | null, memoryBytes: number) => ({
    ...{ pids: [1], cpuMs, memoryPercent: 1, memoryBytes },
  });
  const summary = new UsageSummary(1_000, 2);
  expect(summary.figures()).toBeNull();
  expect(summary.add(use(null, 500), null, 1_500)).toBeNull();
  expect(summary.figures()).toEqual({ samples: 1, memoryBytesMax: 500 });
  expect(summary.add(use(800, 300), null, 2_000)).toBe(40);
  expect(summary.add(use(1_800, 400), null, 3_000)).toBe(50);
  // A process that nobody waited for has taken its time with it.
  expect(summary.add(use(1_000, 400), null, 4_000)).toBe(0);
  expect(summary.addCpu(1_200, 5_000)).toBe(10);
  // The end comes at any moment: what was used in next to no time is no peak.
  expect(summary.addCpu(1_219, 5_010)).toBe(95);
  expect(summary.figures()).toEqual({
    ...{ samples: 4, cpuSeconds: 2.02, cpuPercentMean: 25.17, cpuPercentMax: 50, memoryBytesMax: 500 },
  });
});
