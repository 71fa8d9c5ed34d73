/** What an agent tells of its machine. */
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { cpus, totalmem, type } from "node:os";
import { join } from "node:path";
import type { MachineLoad } from "@yardmaster/client";
import { thisMachine } from "../../src/agent/machine.ts";
import { LoadReporter } from "../../src/agent/machineLoad.ts";
import { scriptYard } from "./scripts/scriptYard.ts";
import { temporaryDirectory } from "./testAgent.ts";

/** Writes a program that stands for `nvidia-smi`. */
function program(folder: string, code: string): string {
  const path = join(folder, "nvidia-smi");
  writeFileSync(path, `#!/bin/sh\n${code}\n`);
  chmodSync(path, 0o755);
  return path;
}

test("the machine is told as the system tells of it", async () => {
  using folder = temporaryDirectory();
  const osRelease = join(folder.path, "os-release");
  writeFileSync(osRelease, 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 20.04.6 LTS"\nID=ubuntu\n');
  const smi = program(
    folder.path,
    'echo "143771, NVIDIA H200"; echo "[N/A], GPU, of a strange name"; echo " "',
  );
  expect(await thisMachine(smi, osRelease)).toEqual({
    os: type(),
    platform: "Ubuntu 20.04.6 LTS",
    processor: cpus()[0]?.model.trim() || null,
    cores: cpus().length,
    memoryMb: Math.floor(totalmem() / 1024 ** 2),
    gpus: [
      { name: "NVIDIA H200", memoryMb: 143_771 },
      { name: "GPU, of a strange name", memoryMb: null },
    ],
  });
});

test("without GPUs, or with a driver that fails, and on a system without a name, the rest is told", async () => {
  using folder = temporaryDirectory();
  const broken = program(folder.path, "echo 'NVIDIA-SMI has failed'; exit 9");
  const nowhere = join(folder.path, "none");
  for (const smi of [null, broken, join(folder.path, "gone")]) {
    const machine = await thisMachine(smi, nowhere);
    expect(machine.gpus).toEqual([]);
    expect(machine.platform).toStartWith(type());
  }
});

test("a server shows the machine of its agent among its nodes", async () => {
  await using yard = await scriptYard();
  const agent = await yard.agent();
  await agent.registered;
  const { machine } = await yard.client.worker(agent.workerId);
  expect(machine).toEqual(await thisMachine());
});

test("an agent tells how busy its machine is, again and again", async () => {
  using folder = temporaryDirectory();
  await using yard = await scriptYard();
  const agent = await yard.agent({ loadEveryMs: 50 });
  const told = async (after: string) => {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const { load, state } = await yard.client.worker(agent.workerId);
      if (load !== null && load.time > after) return { load, state };
      if (Date.now() > deadline) throw new Error("the agent tells nothing");
      await Bun.sleep(10);
    }
  };
  const first = await told("");
  const isPercent = (value: unknown) => typeof value === "number" && value >= 0 && value <= 100;
  expect([isPercent(first.load.cpuPercent), isPercent(first.load.memoryPercent)]).toEqual([true, true]);
  expect(first.load.memoryPercent).toBeGreaterThan(0);
  // A drained worker stays drained.
  await yard.submit("import time; time.sleep(60)");
  await yard.client.drainWorker(agent.workerId);
  const then = await told(first.load.time);
  expect((await told(then.load.time)).state).toBe("draining");

  const seen: MachineLoad[] = [];
  const enough = Promise.withResolvers<void>();
  const smi = program(folder.path, 'case "$1" in *compute*) ;; *) echo "0, 30, 10"; echo "1, 50, 10";; esac');
  const client = {
    reportLoad: async (_id: string, load: MachineLoad) => {
      seen.push(load);
      if (seen.length === 2) enough.resolve();
      // One that is refused is no reason to end.
      throw new Error("not now");
    },
  };
  const reporter = new LoadReporter({ client, workerId: "w", everyMs: 10, nvidiaSmi: smi });
  reporter.start();
  await enough.promise;
  reporter.stop();
  expect(seen.map(({ gpuPercent }) => gpuPercent)).toEqual([40, 40]);
});
