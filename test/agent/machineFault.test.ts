/** A node whose own machine is at fault gives its jobs back, takes no more meanwhile, and goes on when it is over. */
import { describe, expect, test } from "bun:test";
import { chmodSync, rmSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Job, YardmasterClient } from "@yardmaster/client";
import { diskRoom } from "../../src/agent/diskRoom.ts";
import { canWriteIn, MachineBusyError, machineFault } from "../../src/agent/machineFault.ts";
import { MachinePause } from "../../src/agent/machinePause.ts";
import { JobFault } from "../../src/agent/runner.ts";
import { VenvFault } from "../../src/agent/scripts/buildEnvironment.ts";
import { InstallRoom } from "../../src/agent/scripts/installRoom.ts";
import { testNeeding } from "../testNeeding.ts";
import { FakeServer } from "./fakeServer.ts";
import { scriptYard, sha256 } from "./scripts/scriptYard.ts";
import { noSmallDisk, type SmallDisk, smallDisk } from "./smallDisk.ts";
import { RememberingLog, temporaryDirectory, testAgent } from "./testAgent.ts";
import { until } from "./until.ts";

const diskTest = testNeeding(noSmallDisk());

/** Takes all of a disk but `leftBytes`; returns what gives it back. */
function fill(disk: SmallDisk, leftBytes: number): () => void {
  const path = join(disk.path, "taken");
  const { bavail, bsize } = statfsSync(disk.path);
  writeFileSync(path, new Uint8Array(Math.max(0, bavail * bsize - leftBytes)));
  return () => rmSync(path);
}

function mounted(kibibytes: number): SmallDisk {
  const disk = smallDisk(kibibytes);
  if (disk === null) throw new Error("no small disk");
  return disk;
}

function warnings(log: RememberingLog): string[] {
  return log.lines.filter((line) => line.includes("the machine is at fault"));
}

async function outcomesOf(client: YardmasterClient, job: Job): Promise<readonly string[]> {
  return (await client.attempts(job.id)).map(({ outcome }) => String(outcome));
}

describe("a full disk of the agent", () => {
  diskTest(
    "costs no job its life: another node runs it, and this one goes on when there is room",
    async () => {
      using disk = mounted(8 * 1024);
      await using yard = await scriptYard();
      const full = await yard.agent({ stateDir: disk.path });
      const giveBack = fill(disk, 0);
      const job = await yard.submit("print('runs')");
      await until(() => warnings(yard.log).length > 0, "the agent says what is wrong");
      expect(warnings(yard.log)[0]).toContain(disk.path);
      const other = await yard.agent();
      const ended = await yard.client.wait(job.id, { timeoutMs: 30_000 });
      expect([ended.state, ended.error, ended.workerId]).toEqual(["succeeded", null, other.workerId]);
      expect((await outcomesOf(yard.client, job))[0]).toBe("released");
      await other.stop();

      // Still full: what is submitted waits, and is not tried again and again.
      const waiting = await yard.submit("print('runs too')");
      await Bun.sleep(1_500);
      expect((await yard.client.job(waiting.id)).state).toBe("ready");
      expect(warnings(yard.log)).toHaveLength(1);
      giveBack();
      const then = await yard.client.wait(waiting.id, { timeoutMs: 30_000 });
      expect([then.state, then.workerId]).toEqual(["succeeded", full.workerId]);
      await until(() => yard.log.lines.some((line) => line.includes("well again")), "the agent says so");
    },
  );

  diskTest("is a reason to give back jobs of every kind", async () => {
    using disk = mounted(8 * 1024);
    await using server = new FakeServer();
    await using agent = await testAgent(server, { stateDir: disk.path });
    await agent.agent.registered;
    const giveBack = fill(disk, 0);
    const job = server.add(["sh", "-c", "echo done > file"]);
    expect((await server.finished(job)).outcome).toBe("released");
    giveBack();
    await until(() => job.state === "succeeded", "it runs when there is room", 20_000);
  });

  diskTest("by a dataset that is too large for it fails the job at last, naming disk and node", async () => {
    using disk = mounted(8 * 1024);
    await using yard = await scriptYard();
    const agent = await yard.agent({ stateDir: disk.path });
    using host = Bun.serve({
      ...{ port: 0, hostname: "127.0.0.1" },
      fetch: () => new Response(new Uint8Array(12 * 1024 * 1024)),
    });
    const dataset = { name: "d", url: `http://127.0.0.1:${host.port}/d.csv` };
    const job = await yard.run("open('dataset')", { dataset }, { maxRecoveries: 1 });
    expect(job.state).toBe("failed");
    expect(job.error).toContain("no space is left on the agent's disk for");
    expect(job.error).toContain(`(state-dir), on the node ${agent.workerId}`);
    // A poll that was under way may have brought it in the pause, too.
    const counted = (await outcomesOf(yard.client, job)).filter((outcome) => outcome !== "released");
    expect(counted).toEqual(["timeout", "timeout"]);
    expect(await yard.output(job)).toContain("the job goes back to the queue");
  });

  diskTest("by a script that is too large for it fails the job at last", async () => {
    using disk = mounted(8 * 1024);
    await using yard = await scriptYard();
    await yard.agent({ stateDir: disk.path });
    const giveBack = fill(disk, 3 * 1024 * 1024);
    const job = await yard.run(`#${"x".repeat(4 * 1024 * 1024)}`, {}, { maxRecoveries: 0 });
    expect([job.state, job.error]).toEqual([
      "failed",
      expect.stringContaining("no space is left on the agent's disk (state-dir), on the node"),
    ]);
    giveBack();
  });

  diskTest("that a script fills itself fails the script, naming disk and node", async () => {
    using disk = mounted(8 * 1024);
    await using yard = await scriptYard();
    const agent = await yard.agent({ stateDir: disk.path });
    const job = await yard.run("open('big', 'wb').write(bytes(12 * 1024 * 1024))");
    expect(job.error).toContain(
      `No space left on device; no room for its files on the node ${agent.workerId}`,
    );
    expect(await outcomesOf(yard.client, job)).toEqual(["failed"]);
  });
});

describe("a disk that is full of what the agent keeps", () => {
  diskTest("is made free of downloads that nobody uses, and jobs go on", async () => {
    using disk = mounted(12 * 1024);
    await using yard = await scriptYard();
    await yard.agent({ stateDir: join(disk.path, "state"), cacheDir: join(disk.path, "cache") });
    const { bavail, bsize } = statfsSync(disk.path);
    // Less is left than an agent begins a job with.
    const data = new Uint8Array(bavail * bsize - 600 * 1024);
    const hash = sha256(data);
    await yard.client.putArtifact(hash, data);
    const dataset = { name: "d", url: `/v1/artifacts/${hash}`, hash };
    const first = await yard.run("print('dataset')", { dataset });
    expect([first.state, first.error]).toEqual(["succeeded", null]);
    const job = await yard.client.submit({ kind: "command", spec: { argv: ["true"] } });
    const ended = await yard.client.wait(job.id, { timeoutMs: 30_000 });
    expect([ended.state, ended.error]).toEqual(["succeeded", null]);
    expect(yard.log.lines.some((line) => line.includes("removed what nobody used of the cache"))).toBe(true);
  });

  diskTest("loses nothing that lies on another disk", async () => {
    using disk = mounted(1024);
    using folder = temporaryDirectory();
    const log = new RememberingLog();
    let asked = 0;
    const place = { folder: folder.path, evict: async () => ++asked };
    const makeRoom = diskRoom([place], log);
    expect([await makeRoom(disk.path), asked]).toEqual([false, 0]);
    expect([await makeRoom(folder.path), asked]).toEqual([true, 1]);
  });
});

diskTest("a job that is itself too large for the disk holds up no others", async () => {
  using disk = mounted(8 * 1024);
  await using yard = await scriptYard();
  await yard.agent({ stateDir: disk.path });
  using host = Bun.serve({
    ...{ port: 0, hostname: "127.0.0.1" },
    fetch: () => new Response(new Uint8Array(12 * 1024 * 1024)),
  });
  const dataset = { name: "d", url: `http://127.0.0.1:${host.port}/d.csv` };
  const job = await yard.run("open('dataset')", { dataset }, { maxRecoveries: 2 });
  expect(job.state).toBe("failed");
  expect(await outcomesOf(yard.client, job)).toEqual(["timeout", "timeout", "timeout"]);
  expect(warnings(yard.log)).toEqual([]);
});

diskTest(
  "an installer's failure is the disk's where that is full at its end, or was too small before",
  async () => {
    using disk = mounted(6 * 1024);
    const room = new InstallRoom(disk.path);
    await room.during(async () => {});
    expect(room.wasShort(new JobFault("No matching distribution found"))).toBe(false);
    expect(room.wasShort(new VenvFault("cannot make a virtual environment: ensurepip"))).toBe(true);
    const full = new InstallRoom(disk.path);
    await full.during(async () => void fill(disk, 0));
    expect(full.wasShort(new JobFault("cannot unpack"))).toBe(true);
  },
);

diskTest("a virtual environment that finds no room is no fault of the requirements", async () => {
  using disk = mounted(6 * 1024);
  await using yard = await scriptYard();
  await yard.agent({ cacheDir: disk.path, usesUv: false });
  const job = await yard.run("print(1)", { requirements: "anything" }, { maxRecoveries: 0 });
  expect(job.error).toStartWith("no space is left on the agent's disk for the requirements (cache-dir): ");
  expect([job.state, await outcomesOf(yard.client, job)]).toEqual(["failed", ["timeout"]]);
});

test("an installer that finds no room is no fault of the requirements, but not tried for ever", async () => {
  using folder = temporaryDirectory();
  const uv = join(folder.path, "uv");
  writeFileSync(uv, "#!/bin/sh\necho 'failed to write: No space left on device (os error 28)' >&2\nexit 2\n");
  chmodSync(uv, 0o755);
  const path = process.env.PATH;
  process.env.PATH = `${folder.path}:${path}`;
  try {
    await using yard = await scriptYard();
    const agent = await yard.agent({ isolation: "off" });
    const job = await yard.run("print(1)", { requirements: "anything" }, { maxRecoveries: 0 });
    expect([job.state, await outcomesOf(yard.client, job)]).toEqual(["failed", ["timeout"]]);
    expect(job.error).toStartWith("no space is left on the agent's disk for the requirements (cache-dir): ");
    expect(job.error).toContain(`on the node ${agent.workerId}`);
  } finally {
    process.env.PATH = path;
  }
});

test("a Python that is gone fails no job: it waits until there is one again", async () => {
  using folder = temporaryDirectory();
  const python = join(folder.path, "python3");
  // The program itself: what is found by its name may be a script that starts it.
  const asked = Bun.spawnSync(["python3", "-c", "import os, sys; print(os.path.realpath(sys.executable))"]);
  const real = asked.stdout.toString().trim();
  symlinkSync(real, python);
  await using yard = await scriptYard();
  await yard.agent({ python, isolation: "off" });
  expect((await yard.run("print(1)")).state).toBe("succeeded");
  rmSync(python);
  const job = await yard.submit("print(2)");
  await until(() => warnings(yard.log).length === 1, "the agent says what is wrong");
  expect(warnings(yard.log)[0]).toContain("is gone");
  symlinkSync(real, python);
  expect((await yard.client.wait(job.id, { timeoutMs: 30_000 })).state).toBe("succeeded");
});

test("only errors of the system that are the machine's are its fault", () => {
  const error = (code: string) => Object.assign(new Error(`${code}: text`), { code });
  for (const code of ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EMFILE", "ENFILE", "ENOMEM"]) {
    const fault = machineFault(error(code), "/state", "state-dir");
    expect([fault?.folder, fault?.mayBeTheJobs]).toEqual(["/state", false]);
    expect(fault?.message).toEndWith("(state-dir)");
  }
  for (const code of ["ENOENT", "ENAMETOOLONG", "EACCES"]) {
    expect(machineFault(error(code), "/state", "state-dir")).toBeNull();
  }
  expect(machineFault(new Error("ENOSPC"), "/state", "state-dir")).toBeNull();
});

test("pauses begin anew when a job was started after one", async () => {
  let over = Promise.withResolvers<void>();
  const pause = new MachinePause({
    log: new RememberingLog(),
    onOver: () => over.resolve(),
    firstPauseMs: 20,
  });
  let asked = 0;
  pause.begin(new MachineBusyError("broken", { isOver: () => ++asked >= 6 }));
  await over.promise;
  pause.jobStarted();
  over = Promise.withResolvers<void>();
  const beganMs = performance.now();
  pause.begin(new MachineBusyError("broken", { isOver: () => true }));
  await over.promise;
  // It would be 1,280 ms.
  expect(performance.now() - beganMs).toBeLessThan(1_000);
});

test("a pause makes room only where a disk is full", async () => {
  using folder = temporaryDirectory();
  const asked: string[] = [];
  const over = Promise.withResolvers<void>();
  const makeRoom = async (path: string): Promise<boolean> => {
    asked.push(path);
    return false;
  };
  const pause = new MachinePause({
    log: new RememberingLog(),
    onOver: over.resolve,
    firstPauseMs: 1,
    makeRoom,
  });
  pause.begin(new MachineBusyError("broken", { folder: folder.path }));
  await over.promise;
  expect(asked).toEqual([]);
});

test("a pause lasts until what was wrong has passed, and is told of once", async () => {
  const log = new RememberingLog();
  let asked = 0;
  const over = Promise.withResolvers<void>();
  const pause = new MachinePause({ log, onOver: over.resolve, firstPauseMs: 1 });
  const fault = new MachineBusyError("broken", { isOver: () => ++asked >= 4 });
  pause.begin(fault);
  pause.begin(fault);
  pause.jobStarted();
  expect(pause.isOn).toBe(true);
  await over.promise;
  expect([pause.isOn, asked, log.lines.length]).toEqual([false, 4, 1]);
  pause.begin(new MachineBusyError("broken again"));
  await until(() => !pause.isOn, "the second pause ends");
  expect(log.lines).toHaveLength(1);
  pause.jobStarted();
  expect(log.lines).toHaveLength(2);
  using folder = temporaryDirectory();
  expect(await canWriteIn(folder.path)).toBe(true);
});
