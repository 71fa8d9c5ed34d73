/** What the end of an attempt comes to: the result that is reported, and the words for it. */
import type { ClaimedJob, JobResult } from "@yardmaster/client";
import type { EndReason, ProcessEnd } from "./supervisedProcess.ts";

/** What ends are told by. */
export interface EndedJob {
  readonly job: ClaimedJob;
  /** Null where the space of workspaces is not limited. */
  readonly workspaceLimitMb: number | null;
}

export function attemptOf({ id, attempt }: ClaimedJob): { id: number; attempt: number } {
  return { id, attempt };
}

/**
 * The result of a job whose process has ended.
 *
 * @param startedAtMs milliseconds since 1970; null when it never ran
 * @returns null where the server wants no report
 */
export function resultOfProcess(
  ended: EndedJob,
  end: ProcessEnd,
  startedAtMs: number | null,
): JobResult | null {
  const { job } = ended;
  if (end.reason !== null && !isFailure(end.reason)) return resultOfEnd(ended, end.reason);
  const startedAt = startedAtMs === null ? {} : { startedAt: new Date(startedAtMs).toISOString() };
  // Executr's own executors report a signal so, and its clients look for that.
  const isExecutrSignal = end.signal !== null && job.dialect === "executr";
  const exitCode = isExecutrSignal ? -1 : end.exitCode;
  const shared = { ...attemptOf(job), exitCode, ...startedAt };
  // The confinement knows the limit of CPU time, and says it.
  const text = end.reason === null ? null : endText(ended, end.reason);
  const limit = end.reason === "cpuLimit" ? (end.error ?? text) : (text ?? end.error);
  if (limit !== null) return { ...shared, outcome: "failed", error: limit };
  if (end.exitCode === 0 && end.signal === null) return { ...shared, outcome: "succeeded" };
  const error =
    end.signal === null
      ? `the program ended with exit code ${end.exitCode}`
      : `the program was ended by signal ${end.signal}`;
  return { ...shared, outcome: "failed", error };
}

/** The result of a job that the agent ended; null where the server wants no report. */
export function resultOfEnd(ended: EndedJob, reason: EndReason): JobResult | null {
  const attempt = attemptOf(ended.job);
  if (reason === "agentStopped") return { ...attempt, outcome: "released" };
  return isFailure(reason) ? { ...attempt, outcome: "failed", error: endText(ended, reason) } : null;
}

/** Why a job was ended, for people. */
export function endText({ job, workspaceLimitMb }: EndedJob, reason: EndReason): string {
  switch (reason) {
    case "timeLimit":
      return `time limit of ${job.timeoutMs} ms reached`;
    case "cpuLimit":
      return "the limit of its CPU time is reached";
    case "workspaceLimit":
      return `the workspace held more than its ${workspaceLimitMb} MiB (workspace-limit-mb)`;
    case "cancelled":
      return "cancelled";
    case "leaseLost":
      return "the lease was lost";
    case "agentStopped":
      return "the agent was stopped; the job goes back to the queue";
  }
}

/** The job's own doing: it is reported. */
function isFailure(reason: EndReason): boolean {
  return reason === "timeLimit" || reason === "cpuLimit" || reason === "workspaceLimit";
}
