/** Executr's words for the states of jobs and attempts, and for priorities: one table each way. */
import type { AttemptOutcome, JobState } from "../../domain/job.ts";

export const JOB_STATUSES = ["pending", "running", "completed", "failed", "cancelled"] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

const STATUS_OF_STATE: Readonly<Record<JobState, JobStatus>> = {
  waiting: "pending",
  ready: "pending",
  blocked: "pending",
  leased: "running",
  running: "running",
  succeeded: "completed",
  failed: "failed",
  cancelled: "cancelled",
};

const STATES_OF_STATUS: Readonly<Record<JobStatus, readonly JobState[]>> = {
  pending: ["waiting", "ready", "blocked"],
  running: ["leased", "running"],
  completed: ["succeeded"],
  failed: ["failed"],
  cancelled: ["cancelled"],
};

/** A job's state in Executr's word. */
export function statusOf(state: JobState): JobStatus {
  return STATUS_OF_STATE[state];
}

/** The states that a word covers. */
export function statesOf(status: JobStatus): readonly JobState[] {
  return STATES_OF_STATUS[status];
}

export const ATTEMPT_STATUSES = ["running", "completed", "failed", "timeout", "cancelled"] as const;
export type AttemptStatus = (typeof ATTEMPT_STATUSES)[number];

/** An attempt's end in Executr's word; null for one that never ran, which Executr does not know. */
export function attemptStatusOf(outcome: AttemptOutcome | null): AttemptStatus | null {
  switch (outcome) {
    case null:
      return "running";
    case "succeeded":
      return "completed";
    case "released":
      return null;
    default:
      return outcome;
  }
}

export const PRIORITIES = ["foreground", "background", "best_effort"] as const;
export type Priority = (typeof PRIORITIES)[number];

/** A class of jobs, as the engine knows it: claims take higher numbers first. */
interface PriorityClass {
  readonly queue: string;
  readonly priority: number;
}

const CLASSES: Readonly<Record<Priority, PriorityClass>> = {
  foreground: { queue: "executr.foreground", priority: 10 },
  background: { queue: "executr.background", priority: 0 },
  best_effort: { queue: "executr.best_effort", priority: -10 },
};

/** The queues that executors take from. */
export const QUEUES: readonly string[] = PRIORITIES.map((priority) => CLASSES[priority].queue);

/** Where jobs of a priority stand. */
export function classOf(priority: Priority): PriorityClass {
  return CLASSES[priority];
}

/** The priority of the jobs in a queue; null for a queue that is none of this API's. */
export function priorityOf(queue: string): Priority | null {
  return PRIORITIES.find((priority) => CLASSES[priority].queue === queue) ?? null;
}
