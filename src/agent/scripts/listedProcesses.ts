/** The processes of a machine that is no Linux, as its own list of them tells. */
import { cpus } from "node:os";
import type { ProcessFigures } from "./processUse.ts";

/** Looks closer together than this are one: the library itself looks at most every half second. */
const LOOK_PAUSE_MS = 600;

/** The last look. Like the library's own memory of it, one for the whole program. */
let lastLook: { readonly atMs: number; readonly processes: readonly ProcessFigures[] } = {
  atMs: Number.NEGATIVE_INFINITY,
  processes: [],
};

/** All processes of the machine; their CPU time is known from the second look on, and counted from the first. */
export async function listedProcesses(): Promise<readonly ProcessFigures[]> {
  const nowMs = performance.now();
  const sinceMs = nowMs - lastLook.atMs;
  if (sinceMs < LOOK_PAUSE_MS) return lastLook.processes;
  // Loaded when it is needed: most agents run no scripts.
  const { processes } = await import("systeminformation");
  const { list } = await processes();
  const before = new Map(lastLook.processes.map(({ pid, cpuMs }) => [pid, cpuMs ?? 0]));
  const found = list.map(({ pid, parentPid, cpu, memRss }) => {
    const seenMs = before.get(pid);
    // Percent of the whole machine since the look before; at a first look, of all time since the machine started.
    const usedMs = (cpu / 100) * sinceMs * cpus().length;
    return {
      ...{ pid, parentPid },
      cpuMs: seenMs === undefined || !Number.isFinite(usedMs) ? null : seenMs + usedMs,
      memoryBytes: Number.isFinite(memRss) ? memRss * 1024 : 0,
    };
  });
  lastLook = { atMs: nowMs, processes: found };
  return found;
}
