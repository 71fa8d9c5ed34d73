/** The control group of one job: made with its limits, asked how it ended, removed with all that is in it. */
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "../systemCode.ts";
import type { CgroupFolder } from "./cgroups.ts";

/** Processes that were killed leave their group a little later; together half a minute. */
const REMOVAL_PAUSES_MS = [0, 2, 10, 50, 200, 500, 1_000, 2_000, 5_000, 10_000, 10_000] as const;

/** Null is no limit. */
export interface CgroupLimits {
  readonly memoryBytes: number | null;
  readonly processes: number | null;
}

export class JobCgroup {
  /** The same group in every hierarchy. */
  readonly #folders: readonly CgroupFolder[];

  constructor(folders: readonly CgroupFolder[]) {
    this.#folders = folders;
  }

  /** A process joins the group by writing `0` to each of these. */
  get joinFiles(): readonly string[] {
    return this.#folders.map(({ path }) => join(path, "cgroup.procs"));
  }

  /** Makes the folders and sets the limits. */
  make(limits: CgroupLimits): void {
    for (const { version, controllers, path } of this.#folders) {
      mkdirSync(path, { recursive: true });
      if (controllers.includes("memory") && limits.memoryBytes !== null) {
        setMemoryLimit(version, path, limits.memoryBytes);
      }
      if (controllers.includes("pids") && limits.processes !== null) {
        writeFileSync(join(path, "pids.max"), String(limits.processes));
      }
    }
  }

  /** Says whether the kernel ended a process of the job for its memory. */
  get ranOutOfMemory(): boolean {
    return this.#folders.some(({ version, controllers, path }) => {
      if (!controllers.includes("memory")) return false;
      const file = version === 2 ? "memory.events" : "memory.oom_control";
      return (counterIn(join(path, file), "oom_kill") ?? 0) > 0;
    });
  }

  /** Says whether the job was refused a process for its limit. */
  get ranOutOfProcesses(): boolean {
    return this.#folders.some(
      ({ controllers, path }) =>
        controllers.includes("pids") && (counterIn(join(path, "pids.events"), "max") ?? 0) > 0,
    );
  }

  /** CPU time used by the whole job; null where nobody counts it. */
  get cpuMs(): number | null {
    const folder = this.#folders.find(({ controllers }) => controllers.includes("cpu"));
    if (folder === undefined) return null;
    if (folder.version === 2) {
      const used = counterIn(join(folder.path, "cpu.stat"), "usage_usec");
      return used === null ? null : used / 1e3;
    }
    const nanoseconds = Number(textOf(join(folder.path, "cpuacct.usage")) ?? Number.NaN);
    return Number.isFinite(nanoseconds) ? nanoseconds / 1e6 : null;
  }

  /** Ends what is in the group and removes it. Gives up where the kernel does not let go of a process. */
  async remove(): Promise<void> {
    for (const pauseMs of REMOVAL_PAUSES_MS) {
      if (pauseMs > 0) await Bun.sleep(pauseMs);
      let isGone = true;
      for (const { path } of this.#folders) {
        if (removed(path)) continue;
        isGone = false;
        killAll(path);
      }
      if (isGone) return;
    }
  }
}

/** Kills every process of a group. */
export function killAll(path: string): void {
  try {
    // Version 2 since Linux 5.14: all at once, no fork gets away.
    writeFileSync(join(path, "cgroup.kill"), "1", { flag: "r+" });
    return;
  } catch {
    // One by one then.
  }
  for (const pid of (textOf(join(path, "cgroup.procs")) ?? "").split("\n")) {
    if (Number(pid) <= 1) continue;
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // Gone already.
    }
  }
}

function setMemoryLimit(version: 1 | 2, path: string, bytes: number): void {
  if (version === 2) {
    writeFileSync(join(path, "memory.max"), String(bytes));
    // Swap would only delay the end. Kernels may be built without either.
    writeIfThere(join(path, "memory.swap.max"), "0");
    writeIfThere(join(path, "memory.oom.group"), "1");
  } else {
    writeFileSync(join(path, "memory.limit_in_bytes"), String(bytes));
    writeIfThere(join(path, "memory.memsw.limit_in_bytes"), String(bytes));
  }
}

function writeIfThere(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "r+" });
  } catch {
    // Not on this kernel.
  }
}

function removed(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    return systemCode(error) === "ENOENT";
  }
}

/** The number after `name` in a file of `name number` lines. */
function counterIn(file: string, name: string): number | null {
  const value = new RegExp(`^${name} (\\d+)$`, "m").exec(textOf(file) ?? "")?.[1];
  return value === undefined ? null : Number(value);
}

function textOf(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
