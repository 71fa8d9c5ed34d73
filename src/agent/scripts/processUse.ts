/** What a job's processes use of the machine: those that its first process started, at one moment. */
import { totalmem } from "node:os";
import { linuxProcesses } from "./linuxProcesses.ts";
import { listedProcesses } from "./listedProcesses.ts";

/** One process as the system tells of it. */
export interface ProcessFigures {
  readonly pid: number;
  readonly parentPid: number;
  /** CPU time since its start, with that of its children that have ended; null where that is not known yet. */
  readonly cpuMs: number | null;
  readonly memoryBytes: number;
}

/** What a job uses. */
export interface ProcessUse {
  readonly pids: readonly number[];
  /** CPU time used so far, with that of processes that have ended; null where that is not known yet. */
  readonly cpuMs: number | null;
  /** Percent of the machine's memory. */
  readonly memoryPercent: number;
  /** Resident; what processes share is counted for each. */
  readonly memoryBytes: number;
}

/** All processes of the machine. */
export function machineProcesses(): Promise<readonly ProcessFigures[]> {
  return process.platform === "linux" ? linuxProcesses() : listedProcesses();
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
    // Nothing is counted twice: a process is either still there, or in the time of the one that waited for its end.
    cpuMs: first.cpuMs === null ? null : list.reduce((sum, { cpuMs }) => sum + (cpuMs ?? 0), 0),
    memoryPercent: rounded((memoryBytes / totalBytes) * 100),
    memoryBytes,
  };
}

/** Two digits after the point. */
export function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
