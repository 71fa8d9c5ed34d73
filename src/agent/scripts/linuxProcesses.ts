/** The processes of a Linux machine, read from `/proc` as `proc_pid_stat(5)` tells of it. */
import { readdirSync, readFileSync } from "node:fs";
import type { ProcessFigures } from "./processUse.ts";

/** Length of a tick in which the kernel tells times, whatever its own clock: `USER_HZ` is 100. */
const TICK_MS = 10;
/** Processes read between two turns of the event loop. */
const AT_ONCE = 256;

/** Fields after the name, which may hold anything and ends with the last bracket. */
const PARENT = 1;
const FIRST_TIME = 11;
const TIMES = 4;
const RESIDENT_PAGES = 21;

let pageBytes: number | undefined;

/** All processes of the machine. */
export async function linuxProcesses(): Promise<ProcessFigures[]> {
  pageBytes ??= ownPageBytes();
  const found: ProcessFigures[] = [];
  let sinceTurn = 0;
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const figures = figuresOf(pid, pageBytes);
    if (figures !== null) found.push(figures);
    if (++sinceTurn % AT_ONCE === 0) await new Promise((done) => setImmediate(done));
  }
  return found;
}

function figuresOf(pid: number, bytesPerPage: number): ProcessFigures | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // Gone meanwhile.
    return null;
  }
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const number = (at: number): number => Number(fields[at] ?? 0);
  // Its own time as user and as system, and the same of its children that have ended and were waited for.
  let ticks = 0;
  for (let at = FIRST_TIME; at < FIRST_TIME + TIMES; at++) ticks += number(at);
  return {
    ...{ pid, parentPid: number(PARENT), cpuMs: ticks * TICK_MS },
    memoryBytes: Math.max(0, number(RESIDENT_PAGES)) * bytesPerPage,
  };
}

/** From what the kernel gave this program at its start: pairs of a kind and a value (`getauxval(3)`). */
function ownPageBytes(): number {
  const PAGE_SIZE = 6n;
  try {
    const bytes = readFileSync("/proc/self/auxv");
    for (let at = 0; at + 16 <= bytes.length; at += 16) {
      if (bytes.readBigUInt64LE(at) === PAGE_SIZE) return Number(bytes.readBigUInt64LE(at + 8));
    }
  } catch {
    // Then it is as on most machines.
  }
  return 4096;
}
