/**
 * Processes of a run that has ended: found by the run's mark in their environment, wherever they went in the
 * process tree, or by their working directory where jobs have their environment to themselves. Linux only; elsewhere
 * nothing is found. A process without the mark that has left its job's folder is not found.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { RUN_MARKER } from "./identity.ts";

/** Ids of the processes that carry the mark and, where given, satisfy `matches` on their environment. */
export function markedProcesses(
  mark: string,
  matches: (environment: readonly string[]) => boolean = () => true,
): number[] {
  const wanted = `${RUN_MARKER}=${mark}`;
  const found: number[] = [];
  for (const entry of listProc()) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const environment = environmentOf(pid);
    if (environment?.includes(wanted) && matches(environment)) found.push(pid);
  }
  return found;
}

/**
 * Ids of the processes that are in folders of jobs.
 *
 * @param workRoot the folder of these folders, without links in it
 * @param matches says of such a folder, by its name, whether it counts
 */
export function processesIn(workRoot: string, matches: (name: string) => boolean = () => true): number[] {
  const found: number[] = [];
  for (const entry of listProc()) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const folder = workingDirectoryOf(pid);
    if (folder?.startsWith(`${workRoot}/`) !== true) continue;
    // The kernel marks what was removed: `…/3 (deleted)`.
    const name = /^[^/ ]*/.exec(folder.slice(workRoot.length + 1))?.[0] ?? "";
    if (matches(name)) found.push(pid);
  }
  return found;
}

/**
 * Ends every process that carries the mark or is in the folder of a job: SIGTERM, up to `graceMs`, SIGKILL. Returns
 * how many there were.
 */
export async function endLeftProcesses(mark: string, workRoot: string, graceMs: number): Promise<number> {
  const all = (): number[] => [...new Set([...markedProcesses(mark), ...processesIn(workRoot)])];
  const first = all();
  for (const pid of first) signal(pid, "SIGTERM");
  const deadline = Date.now() + graceMs;
  let left = first;
  // Past the grace a few rounds are enough: each kills all that a fork made since the last.
  for (let round = 0; left.length > 0 && round < 1_000; round++) {
    if (Date.now() >= deadline) for (const pid of left) signal(pid, "SIGKILL");
    await Bun.sleep(20);
    left = all();
    if (Date.now() > deadline + 2_000) break;
  }
  return first.length;
}

function listProc(): string[] {
  try {
    return readdirSync("/proc");
  } catch {
    return [];
  }
}

function environmentOf(pid: number): string[] | null {
  try {
    return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
  } catch {
    // Gone, or somebody else's.
    return null;
  }
}

function workingDirectoryOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return null;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}
