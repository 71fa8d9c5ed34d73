/** What a job's processes use of the machine: those that its first process started, at one moment. */
import { totalmem } from "node:os";

/** One process as the system tells of it. */
export interface ProcessFigures {
  readonly pid: number;
  readonly parentPid: number;
  /** Percent of the whole machine, since the look before; null at the first look at it. */
  readonly cpuPercent: number | null;
  readonly memoryBytes: number;
}

/** What a job uses. */
export interface ProcessUse {
  readonly pids: readonly number[];
  /** Percent of the whole machine, since the look before; null where there was none. */
  readonly cpuPercent: number | null;
  /** Percent of the machine's memory. */
  readonly memoryPercent: number;
  /** Resident; what processes share is counted for each. */
  readonly memoryBytes: number;
}

/** Looks closer together than this are one: the library itself looks at most every half second. */
export const LOOK_PAUSE_MS = 600;

/** The last look. Like the library's own memory of it, one for the whole program. */
let lastLook: { readonly atMs: number; readonly processes: readonly ProcessFigures[] } = {
  atMs: Number.NEGATIVE_INFINITY,
  processes: [],
};

/** All processes of the machine. */
export async function machineProcesses(): Promise<readonly ProcessFigures[]> {
  if (performance.now() - lastLook.atMs < LOOK_PAUSE_MS) return lastLook.processes;
  // Loaded when it is needed: most agents run no scripts.
  const { processes } = await import("systeminformation");
  const { list } = await processes();
  const seenBefore = new Set(lastLook.processes.map(({ pid }) => pid));
  const found = list.map(({ pid, parentPid, cpu, memRss }) => ({
    pid,
    parentPid,
    // Of a process that it sees for the first time the library tells its share of all time since the machine started.
    cpuPercent: seenBefore.has(pid) && Number.isFinite(cpu) ? cpu : null,
    memoryBytes: Number.isFinite(memRss) ? memRss * 1024 : 0,
  }));
  lastLook = { atMs: performance.now(), processes: found };
  return found;
}

/**
 * What the process `root` and all that it started use together.
 *
 * @returns null when it is gone
 */
export function useOf(
  root: number,
  all: readonly ProcessFigures[],
  totalBytes = totalmem(),
): ProcessUse | null {
  const children = Map.groupBy(all, (process) => process.parentPid);
  const first = all.find(({ pid }) => pid === root);
  if (first === undefined) return null;
  const found = new Map([[first.pid, first]]);
  for (const { pid } of found.values()) {
    // A map goes on with what is added while it is walked; each process is in it once.
    for (const child of children.get(pid) ?? []) found.set(child.pid, child);
  }
  const list = [...found.values()];
  const memoryBytes = list.reduce((sum, process) => sum + process.memoryBytes, 0);
  return {
    pids: list.map(({ pid }) => pid),
    cpuPercent:
      first.cpuPercent === null
        ? null
        : rounded(list.reduce((sum, process) => sum + (process.cpuPercent ?? 0), 0)),
    memoryPercent: rounded((memoryBytes / totalBytes) * 100),
    memoryBytes,
  };
}

/** Two digits after the point. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
