/** ShelbyCompute's words for the states of a job: one table each way. */
import type { JobState } from "../../domain/job.ts";

export const JOB_STATUSES = ["pending", "assigned", "finished", "failed", "cancelled"] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

const STATUS_OF_STATE: Readonly<Record<JobState, JobStatus>> = {
  waiting: "pending",
  ready: "pending",
  blocked: "pending",
  leased: "assigned",
  running: "assigned",
  succeeded: "finished",
  failed: "failed",
  cancelled: "cancelled",
};

const STATES_OF_STATUS: Readonly<Record<JobStatus, readonly JobState[]>> = {
  pending: ["waiting", "ready", "blocked"],
  assigned: ["leased", "running"],
  finished: ["succeeded"],
  failed: ["failed"],
  cancelled: ["cancelled"],
};

/** A job's state in ShelbyCompute's word. */
export function statusOf(state: JobState): JobStatus {
  return STATUS_OF_STATE[state];
}

/** The states that a word covers. */
export function statesOf(status: JobStatus): readonly JobState[] {
  return STATES_OF_STATUS[status];
}
