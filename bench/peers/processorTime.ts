/** Processor time that processes used, from `/proc`. Linux. */
import { readdirSync, readFileSync } from "node:fs";

/** `USER_HZ`, which is 100 on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;

interface Times {
  readonly parent: number;
  /** Of the process alone. */
  readonly own: number;
  /** Of its children that ended and were waited for. */
  readonly reaped: number;
}

/** Seconds of a thread's or a process's life, from the text of its `stat`; null when there is no such thing any more. */
function timesOf(path: string): Times | null {
  try {
    const text = readFileSync(path, "utf8");
    // The name in brackets may hold blanks: count from behind it.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = (index: number): number => Number(fields[index] ?? 0) / TICKS_PER_SECOND;
    return {
      parent: Number(fields[1] ?? 0),
      own: ticks(11) + ticks(12),
      reaped: ticks(13) + ticks(14),
    };
  } catch {
    return null;
  }
}

/** Seconds of a process with all its children, ended ones included. */
export function treeSeconds(pid: number): number {
  const root = timesOf(`/proc/${pid}/stat`);
  if (root === null) return 0;
  let seconds = root.own + root.reaped;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const times = timesOf(`/proc/${name}/stat`);
    if (times?.parent === pid) seconds += times.own + times.reaped;
  }
  return seconds;
}

/** Seconds of each thread of a process, by the thread's id. */
export function threadSeconds(pid: number): Map<number, number> {
  const seconds = new Map<number, number>();
  for (const name of readdirSync(`/proc/${pid}/task`)) {
    const times = timesOf(`/proc/${pid}/task/${name}/stat`);
    if (times !== null) seconds.set(Number(name), times.own);
  }
  return seconds;
}
