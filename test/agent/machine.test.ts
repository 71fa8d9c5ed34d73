/** What an agent tells of its machine. */
import { expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { cpus, totalmem, type } from "node:os";
import { join } from "node:path";
import { thisMachine } from "../../src/agent/machine.ts";
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
