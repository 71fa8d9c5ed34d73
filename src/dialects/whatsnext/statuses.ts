/** WhatsNext's words for the states of a job, and of projects: one table each way. */
import type { JobState } from "../../domain/job.ts";
import type { JobEdit } from "../../engine/engine.ts";

export const JOB_STATUSES = ["PENDING", "QUEUED", "RUNNING", "COMPLETED", "FAILED", "BLOCKED"] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

const STATUS_OF_STATE: Readonly<Record<JobState, JobStatus>> = {
  waiting: "PENDING",
  ready: "PENDING",
  leased: "QUEUED",
  running: "RUNNING",
  succeeded: "COMPLETED",
  failed: "FAILED",
  // WhatsNext has no word for it, and what waits for such a job is blocked as by a failure.
  cancelled: "FAILED",
  blocked: "BLOCKED",
};

/** States that the word PENDING covers. */
export const PENDING_STATES: readonly JobState[] = ["waiting", "ready"];

/** The state that setting a status means; null for QUEUED, which only fetching gives. */
const STATE_OF_STATUS: Readonly<Record<JobStatus, NonNullable<JobEdit["state"]> | null>> = {
  PENDING: "waiting",
  QUEUED: null,
  RUNNING: "running",
  COMPLETED: "succeeded",
  FAILED: "failed",
  BLOCKED: "blocked",
};

/** A job's state in WhatsNext's word. */
export function statusOf(state: JobState): JobStatus {
  return STATUS_OF_STATE[state];
}

/** What setting this status asks of the engine; null when it cannot be set by hand. */
export function stateToSet(status: JobStatus): NonNullable<JobEdit["state"]> | null {
  return STATE_OF_STATUS[status];
}
