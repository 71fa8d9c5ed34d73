/**
 * Processes of a run that has ended: found by the run's mark in their environment, wherever they went in the
 * process tree. Linux only; elsewhere nothing is found. A process that cleared its environment is not found.
 */
import { readdirSync, readFileSync } from "node:fs";
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

/** Ends every process that carries the mark: SIGTERM, up to `graceMs`, SIGKILL. Returns how many there were. */
export async function endMarkedProcesses(mark: string, graceMs: number): Promise<number> {
  const first = markedProcesses(mark);
  for (const pid of first) signal(pid, "SIGTERM");
  const deadline = Date.now() + graceMs;
  let left = first;
  // Past the grace a few rounds are enough: each kills all that a fork made since the last.
  for (let round = 0; left.length > 0 && round < 1_000; round++) {
    if (Date.now() >= deadline) for (const pid of left) signal(pid, "SIGKILL");
    await Bun.sleep(20);
    left = markedProcesses(mark);
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

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}
