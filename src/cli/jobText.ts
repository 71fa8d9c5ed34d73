/** Jobs as people read them: one line, and the exit code a command ends with. */
import type { Job, JobState } from "@yardmaster/client";
import { formatDuration } from "./duration.ts";
import { EXIT } from "./exitCode.ts";
import type { Colour } from "./terminal.ts";

/** Colour of a state in tables and lines. */
export const STATE_COLOUR: Readonly<Record<JobState, Colour>> = {
  waiting: "gray",
  ready: "cyan",
  leased: "cyan",
  running: "yellow",
  succeeded: "green",
  failed: "red",
  blocked: "red",
  cancelled: "gray",
};

/** How long the last attempt ran, or has been running; null before the start. */
export function runTimeMs(job: Job, nowMs: number = Date.now()): number | null {
  if (job.startedAt === null) return null;
  const endMs = job.finishedAt === null ? nowMs : Date.parse(job.finishedAt);
  return Math.max(0, endMs - Date.parse(job.startedAt));
}

/** `job 12 failed after 1.2s: the program ended with exit code 3` */
export function finalLine(job: Job): string {
  const ms = runTimeMs(job);
  const after = ms === null ? "" : ` after ${formatDuration(ms)}`;
  const code = job.state === "failed" && job.exitCode !== null ? `exit code ${job.exitCode}` : null;
  const why = job.error ?? code;
  return `job ${job.id} ${job.state}${after}${why === null ? "" : `: ${why}`}`;
}

/** `1 of 3`. An attempt that was lost with its worker is not one of those that a job may have. */
export function attemptText({ attempt, maxAttempts }: Pick<Job, "attempt" | "maxAttempts">): string {
  const isOver = attempt > maxAttempts;
  return isOver
    ? `${attempt}, lost ones included (${maxAttempts} allowed without them)`
    : `${attempt} of ${maxAttempts}`;
}

/** What a command that waited for the job ends with. */
export function exitCodeOf(job: Job): number {
  switch (job.state) {
    case "succeeded":
      return EXIT.ok;
    case "cancelled":
      return EXIT.interrupted;
    default:
      // A failed job never looks like success, whatever code it left.
      return job.exitCode === null || job.exitCode === 0 ? EXIT.failed : job.exitCode;
  }
}
