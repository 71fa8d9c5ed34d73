import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ownGroups } from "../../../src/agent/isolation/cgroupMounts.ts";
import { openCgroups } from "../../../src/agent/isolation/cgroups.ts";
import { jobLimits } from "../../../src/agent/isolation/jobLimits.ts";
import { isAlive } from "../isAlive.ts";
import { temporaryDirectory } from "../testAgent.ts";
import { until } from "../until.ts";
import { cgroupTest } from "./machine.ts";

const LIMITS = { memoryMb: 64, processes: 20, cpuSeconds: null };
const NO_LIMITS = { maxMemoryMb: null, maxProcesses: null, maxCpuSeconds: null };

describe("the group of this process", () => {
  test("is found in version 2, also where a container sees a part of the tree alone", () => {
    const mount = "31 23 0:28 /docker/abc /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate";
    expect(ownGroups(mount, "0::/docker/abc/app\n", () => true)).toEqual([
      { version: 2, controllers: [], path: "/sys/fs/cgroup/app" },
    ]);
    expect(ownGroups(mount, "0::/docker/abc/app\n", () => false)[0]?.path).toBe("/sys/fs/cgroup");
  });

  test("is found in version 1 for each controller", () => {
    const mounts = [
      "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
      "36 31 0:33 / /sys/fs/cgroup/cpu\\040acct rw,relatime - cgroup cgroup rw,cpu,cpuacct",
      "37 31 0:34 / /home rw - ext4 /dev/sda rw",
    ].join("\n");
    const groups = ownGroups(mounts, "4:memory:/a\n3:cpu,cpuacct:/\n0::/x\n", () => true);
    expect(groups).toEqual([
      { version: 1, controllers: ["memory"], path: "/sys/fs/cgroup/memory/a" },
      { version: 1, controllers: ["cpu", "cpuacct"], path: "/sys/fs/cgroup/cpu acct/" },
    ]);
  });
});

describe("version 2", () => {
  /** A folder that looks like a group which was given to this process. */
  function fakeGroup(path: string, controllers: string, enabled: string, processes: string): void {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "cgroup.controllers"), controllers);
    writeFileSync(join(path, "cgroup.subtree_control"), enabled);
    writeFileSync(join(path, "cgroup.procs"), processes);
  }

  test("limits of a job are written where the kernel reads them", () => {
    using directory = temporaryDirectory();
    fakeGroup(directory.path, "cpu memory pids\n", "memory pids\n", "");
    fakeGroup(join(directory.path, "agent"), "memory pids\n", "memory pids\n", "");
    const offer = openCgroups("agent", [{ version: 2, controllers: [], path: directory.path }]);
    if (!("groups" in offer)) throw new Error(offer.reason);
    const group = offer.groups.create("job-1-1", LIMITS);
    const path = join(directory.path, "agent", "job-1-1");
    expect(group.joinFiles).toEqual([join(path, "cgroup.procs")]);
    expect(readFileSync(join(path, "memory.max"), "utf8")).toBe(String((64 + 16) * 1024 * 1024));
    expect(readFileSync(join(path, "pids.max"), "utf8")).toBe("24");
    writeFileSync(join(path, "memory.events"), "low 0\noom 2\noom_kill 1\n");
    writeFileSync(join(path, "cpu.stat"), "usage_usec 2500000\nuser_usec 1\n");
    expect(group.ranOutOfMemory).toBe(true);
    expect(group.ranOutOfProcesses).toBe(false);
    expect(group.cpuMs).toBe(2_500);
    expect(offer.groups.description).toBe("version 2 (memory, pids, cpu)");
  });

  test("a group that was not given says which controllers it lacks", () => {
    using directory = temporaryDirectory();
    fakeGroup(directory.path, "cpu pids\n", "", "");
    const offer = openCgroups("agent", [{ version: 2, controllers: [], path: directory.path }]);
    expect(offer).toEqual({ reason: `version 2: ${directory.path} was not given the controllers memory` });
  });

  test("where there are none, that is said", () => {
    expect(openCgroups("agent", [])).toEqual({ reason: "no control groups are mounted" });
  });
});

describe("limits of a job", () => {
  const need = { cpu: 1, accelerators: 0, memoryMb: 512 };

  test("a job that is not isolated has those that the agent was given, by default none", () => {
    expect(jobLimits(need, NO_LIMITS, false)).toEqual({ memoryMb: null, processes: null, cpuSeconds: null });
    expect(jobLimits(need, { ...NO_LIMITS, maxMemoryMb: 1_000 }, false).memoryMb).toBe(512);
    expect(jobLimits({ ...need, memoryMb: 0 }, { ...NO_LIMITS, maxMemoryMb: 1_000 }, false).memoryMb).toBe(
      1_000,
    );
  });

  test("an isolated job is held to the memory it asked for and to 4,096 processes", () => {
    expect(jobLimits(need, NO_LIMITS, true)).toEqual({ memoryMb: 512, processes: 4_096, cpuSeconds: null });
    expect(jobLimits(need, { ...NO_LIMITS, maxMemoryMb: 100 }, true).memoryMb).toBe(100);
    expect(jobLimits({ ...need, memoryMb: 0 }, NO_LIMITS, true).memoryMb).toBeNull();
  });
});

cgroupTest("a group goes with all that runs in it, and so do those of an earlier run", async () => {
  const name = `yardmaster-test-${crypto.randomUUID()}`;
  const offer = openCgroups(name);
  if (!("groups" in offer)) throw new Error(offer.reason);
  const { groups } = offer;
  const start = (group: { readonly joinFiles: readonly string[] }): Bun.Subprocess => {
    const script = 'for file; do echo 0 > "$file"; done; exec setsid sleep 1000';
    return Bun.spawn(["sh", "-c", script, "sh", ...group.joinFiles], {
      stdio: ["ignore", "ignore", "ignore"],
    });
  };
  const ofRun = groups.create("job-1-1", LIMITS);
  const ofEarlierRun = groups.create("job-0-1", LIMITS);
  const children = [start(ofRun), start(ofEarlierRun)];
  const inside = (file: string): boolean => readFileSync(file, "utf8").trim() !== "";
  await until(
    () => [...ofRun.joinFiles, ...ofEarlierRun.joinFiles].every(inside),
    "both are in their groups",
  );
  groups.remove(ofRun);
  await groups.settled();
  expect(isAlive(children[0]?.pid ?? 0)).toBe(false);
  expect(isAlive(children[1]?.pid ?? 0)).toBe(true);
  expect(await groups.removeLeftovers()).toBe(1);
  expect(isAlive(children[1]?.pid ?? 0)).toBe(false);
  await groups.close();
  for (const { path } of groups.folders) expect(existsSync(path)).toBe(false);
});
