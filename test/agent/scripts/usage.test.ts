/** What is told of a job's use of the machine was measured: a first look at a process has nothing to compare with. */
import { expect, test } from "bun:test";
import { LOOK_PAUSE_MS, machineProcesses, useOf } from "../../../src/agent/scripts/processUse.ts";
import { UsageSummary } from "../../../src/agent/scripts/usageSampler.ts";

test("a process's use of the CPU is known from the second look on", async () => {
  await machineProcesses();
  const busy = Bun.spawn(["sh", "-c", "while :; do :; done"], { stdio: ["ignore", "ignore", "ignore"] });
  try {
    // Looks closer together than this are one.
    await Bun.sleep(LOOK_PAUSE_MS + 10);
    expect(useOf(busy.pid, await machineProcesses())?.cpuPercent).toBeNull();
    await Bun.sleep(LOOK_PAUSE_MS + 10);
    const second = useOf(busy.pid, await machineProcesses());
    expect(second?.cpuPercent).toBeGreaterThan(1);
    expect(second?.cpuPercent).toBeLessThanOrEqual(100);
  } finally {
    busy.kill("SIGKILL");
    await busy.exited;
  }
});

test("a process that a known one started counts when it is known too", () => {
  const process = (pid: number, parentPid: number, cpuPercent: number | null) => ({
    ...{ pid, parentPid, cpuPercent, memoryBytes: 10 },
  });
  expect(useOf(1, [process(1, 0, 20), process(2, 1, null), process(3, 1, 5)], 100)).toEqual({
    ...{ pids: [1, 2, 3], cpuPercent: 25, memoryPercent: 30, memoryBytes: 30 },
  });
});

test("the sum takes in what was measured, and says nothing of what was not", () => {
  const use = (cpuPercent: number | null, memoryBytes: number) => ({
    ...{ pids: [1], cpuPercent, memoryPercent: 1, memoryBytes },
  });
  const summary = new UsageSummary();
  expect(summary.figures()).toBeNull();
  summary.add(use(null, 500), null);
  expect(summary.figures()).toEqual({ samples: 1, memoryBytesMax: 500 });
  summary.add(use(40, 300), null);
  summary.add(use(50, 400), null);
  expect(summary.figures()).toEqual({
    ...{ samples: 3, cpuPercentMean: 45, cpuPercentMax: 50, memoryBytesMax: 500 },
  });
});
