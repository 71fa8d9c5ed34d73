/**
 * A control group for each job that has limits: the kernel then counts all processes of the job together.
 *
 * Version 2 is used where its `memory` and `pids` controllers are given to this process, else version 1. The groups
 * of an agent lie in one folder, named after its state directory, in the group in which the agent itself runs: so
 * limits set on the agent from outside hold for its jobs, and the next run finds what this one left.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errorText } from "../errorText.ts";
import { systemCode } from "../systemCode.ts";
import { type OwnGroup, ownGroupsNow } from "./cgroupMounts.ts";
import { JobCgroup, killAll } from "./jobCgroup.ts";
import type { JobLimits } from "./jobLimits.ts";

/** What a folder of groups can limit and count. */
export type CgroupController = "memory" | "pids" | "cpu";

/** One folder of the agent's groups: one in version 2, one for each controller in version 1. */
export interface CgroupFolder {
  readonly version: 1 | 2;
  readonly controllers: readonly CgroupController[];
  readonly path: string;
}

/** Memory of bubblewrap and the two shells beside a job, which count as the job's. */
const OWN_MEMORY_BYTES = 16 * 1024 * 1024;
/** Their number. */
const OWN_PROCESSES = 4;

const CLOSE_TIMEOUT_MS = 5_000;

/** What the machine offers: groups, or the reason why there are none. */
export type CgroupOffer = { readonly groups: Cgroups } | { readonly reason: string };

/**
 * Makes the agent's folder of groups.
 *
 * @param name names the agent's folder; the same for each run with one state directory
 */
export function openCgroups(name: string, own: readonly OwnGroup[] = ownGroupsNow()): CgroupOffer {
  const reasons: string[] = [];
  const second = own.find((group) => group.version === 2);
  if (second !== undefined) {
    try {
      return { groups: new Cgroups([openVersion2(second.path, name)]) };
    } catch (error) {
      reasons.push(`version 2: ${reasonOf(error)}`);
    }
  }
  const first = own.filter((group) => group.version === 1);
  if (first.length > 0) {
    try {
      return { groups: new Cgroups(openVersion1(first, name)) };
    } catch (error) {
      reasons.push(`version 1: ${reasonOf(error)}`);
    }
  }
  return { reason: reasons.join("; ") || "no control groups are mounted" };
}

function openVersion2(base: string, name: string): CgroupFolder {
  const given = wordsIn(join(base, "cgroup.controllers"));
  const missing = ["memory", "pids"].filter((controller) => !given.includes(controller));
  if (missing.length > 0) throw new Error(`${base} was not given the controllers ${missing.join(", ")}`);
  const path = join(base, name);
  mkdirSync(path, { recursive: true });
  enableControllers(base, name);
  enableControllers(path, null);
  return { version: 2, controllers: ["memory", "pids", "cpu"], path };
}

/** A group with processes of its own may not have groups with limits in it: the agent itself moves down, if it is alone. */
function enableControllers(path: string, agentName: string | null): void {
  const file = join(path, "cgroup.subtree_control");
  const enabled = wordsIn(file);
  if (enabled.includes("memory") && enabled.includes("pids")) return;
  try {
    writeFileSync(file, "+memory +pids");
  } catch (error) {
    if (agentName === null || systemCode(error) !== "EBUSY") throw error;
    const others = wordsIn(join(path, "cgroup.procs")).filter((pid) => Number(pid) !== process.pid);
    if (others.length > 0) {
      throw new Error(`${path} has other processes; start the agent in a group of its own`);
    }
    const leaf = join(path, `${agentName}-agent`);
    mkdirSync(leaf, { recursive: true });
    writeFileSync(join(leaf, "cgroup.procs"), String(process.pid));
    writeFileSync(file, "+memory +pids");
  }
}

function openVersion1(own: readonly OwnGroup[], name: string): CgroupFolder[] {
  const wanted: readonly [string, CgroupController, boolean][] = [
    ["memory", "memory", true],
    ["pids", "pids", true],
    ["cpuacct", "cpu", false],
  ];
  const folders = new Map<string, CgroupController[]>();
  for (const [controller, gives, isNeeded] of wanted) {
    const group = own.find(({ controllers }) => controllers.includes(controller));
    if (group === undefined) {
      if (isNeeded) throw new Error(`the controller ${controller} is not mounted`);
      continue;
    }
    const path = join(group.path, name);
    // Tried, not kept: the first job makes it, so that an agent without such jobs leaves nothing however it ends.
    mkdirSync(path, { recursive: true });
    removeIfEmpty(path);
    folders.set(path, [...(folders.get(path) ?? []), gives]);
  }
  return [...folders].map(([path, controllers]) => ({ version: 1, controllers, path }));
}

export class Cgroups {
  readonly folders: readonly CgroupFolder[];
  readonly #removals = new Set<Promise<void>>();

  constructor(folders: readonly CgroupFolder[]) {
    this.folders = folders;
  }

  /** What jobs can be held to. */
  get controllers(): readonly CgroupController[] {
    return this.folders.flatMap(({ controllers }) => controllers);
  }

  /** As people know them: `version 2 (memory, pids, cpu)`. */
  get description(): string {
    return `version ${this.folders[0]?.version ?? 2} (${this.controllers.join(", ")})`;
  }

  /**
   * Makes the group of one job, in the hierarchies that its limits need: each costs its start 0.1 ms and more.
   *
   * @param countsCpu its CPU time is asked for, limited or not
   * @throws Error when the kernel refuses
   */
  create(name: string, limits: JobLimits, countsCpu = false): JobCgroup {
    const needed: readonly (CgroupController | null)[] = [
      limits.memoryMb === null ? null : "memory",
      limits.processes === null ? null : "pids",
      limits.cpuSeconds === null && !countsCpu ? null : "cpu",
    ];
    const folders = this.folders.filter(({ controllers }) => controllers.some((has) => needed.includes(has)));
    const group = new JobCgroup(folders.map((folder) => ({ ...folder, path: join(folder.path, name) })));
    try {
      group.make({
        memoryBytes: limits.memoryMb === null ? null : limits.memoryMb * 1024 * 1024 + OWN_MEMORY_BYTES,
        processes: limits.processes === null ? null : limits.processes + OWN_PROCESSES,
      });
    } catch (error) {
      void group.remove();
      throw error;
    }
    return group;
  }

  /** Removes a job's group and ends what is left in it; `settled` waits for it. */
  remove(group: JobCgroup): void {
    const removal = group.remove().finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  /** Ends and removes what an earlier run left. Returns how many groups there were. */
  async removeLeftovers(): Promise<number> {
    const names = new Set<string>();
    for (const { path } of this.folders) {
      if (!existsSync(path)) continue;
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        if (entry.isDirectory()) names.add(entry.name);
      }
    }
    for (const name of names) {
      this.remove(
        new JobCgroup(this.folders.map((folder) => ({ ...folder, path: join(folder.path, name) }))),
      );
    }
    await this.settled();
    return names.size;
  }

  /** Resolves when all removals under way are done. */
  async settled(): Promise<void> {
    await Promise.all(this.#removals);
  }

  /** Removes the agent's folders; one that is not empty stays for the next run. */
  async close(): Promise<void> {
    // A process that hangs in the kernel must not hold up the agent's end.
    await Promise.race([this.settled(), Bun.sleep(CLOSE_TIMEOUT_MS)]);
    for (const { path } of this.folders) {
      killAll(path);
      removeIfEmpty(path);
    }
  }
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Something in it still runs or dies: it stays for the next run.
  }
}

function wordsIn(file: string): string[] {
  return readFileSync(file, "utf8")
    .split(/\s+/)
    .filter((word) => word !== "");
}

function reasonOf(error: unknown): string {
  switch (systemCode(error)) {
    case "EROFS":
      return "mounted read-only";
    case "EACCES":
    case "EPERM":
      return "this user may not make groups";
    default:
      return errorText(error);
  }
}
