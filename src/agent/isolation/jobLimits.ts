/** How much memory, how many processes and how much CPU time one job may use. */
import type { Resources } from "../../domain/resources.ts";
import type { IsolationSettings } from "./isolationOptions.ts";

/** Null is no limit. */
export interface JobLimits {
  readonly memoryMb: number | null;
  /** Threads count as processes, as the kernel counts them. */
  readonly processes: number | null;
  readonly cpuSeconds: number | null;
}

/** Enough for any honest job; a fork bomb ends here before the machine does. */
const ISOLATED_MAX_PROCESSES = 4_096;

/**
 * Limits of a job. One that is isolated is held to the memory it asked for; one that is not is held to what the
 * agent's options say, and where they say nothing to nothing: then it costs nothing either.
 */
export function jobLimits(
  need: Resources,
  settings: Pick<IsolationSettings, "maxMemoryMb" | "maxProcesses" | "maxCpuSeconds">,
  isIsolated: boolean,
): JobLimits {
  const askedMb = need.memoryMb > 0 && (isIsolated || settings.maxMemoryMb !== null) ? need.memoryMb : null;
  return {
    memoryMb: least(askedMb, settings.maxMemoryMb),
    processes: settings.maxProcesses ?? (isIsolated ? ISOLATED_MAX_PROCESSES : null),
    cpuSeconds: settings.maxCpuSeconds,
  };
}

/** Says whether there is anything to limit. */
export function hasLimit(limits: JobLimits): boolean {
  return limits.memoryMb !== null || limits.processes !== null || limits.cpuSeconds !== null;
}

function least(a: number | null, b: number | null): number | null {
  if (a === null) return b;
  return b === null ? a : Math.min(a, b);
}
