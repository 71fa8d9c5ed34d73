/** The shapes of the Executr REST API, field by field as it documents them. */

export type JobStatus = "pending" | "running" | "completed" | "failed" | "cancelled";
export type JobPriority = "foreground" | "background" | "best_effort";

/** A job to submit. */
export interface NewJob {
  /** What kind of work it is; not empty, no white space. */
  type: string;
  /** Where executors get the program, by http or https. */
  binary_url: string;
  /** SHA-256 of the program: 64 hex digits. */
  binary_sha256: string;
  arguments?: readonly string[] | undefined;
  /** The program's whole environment, besides a minimal PATH. */
  env_variables?: Readonly<Record<string, string>> | undefined;
  priority: JobPriority;
  /** How often the job is tried again after a failure; default 0. */
  max_retries?: number | undefined;
}

export interface JobAttempt {
  executor_id: string;
  /** Whatever the executor knew of its address, usually a host name. */
  executor_ip?: string;
  /** `2024-01-01T12:00:00Z`, as every time here. */
  started_at?: string;
  ended_at?: string;
  status: "running" | "completed" | "failed" | "timeout" | "cancelled";
  exit_code?: number;
  error_message?: string;
}

/** A job in a list. What a job does not have (yet) is absent. */
export interface JobRow {
  id: string;
  type: string;
  binary_url: string;
  binary_sha256: string;
  arguments?: string[];
  env_variables?: Record<string, string>;
  priority: JobPriority;
  status: JobStatus;
  /** Who runs the job, or ran it last. */
  executor_id?: string;
  exit_code?: number;
  error_message?: string;
  created_at: string;
  started_at?: string;
  completed_at?: string;
  last_heartbeat?: string;
}

/** A job with all that is known of it. */
export interface Job extends JobRow {
  /** The output, cut to 1 MiB; a finished job always has one. */
  stdout?: string;
  stderr?: string;
  /** Oldest first. */
  attempts?: JobAttempt[];
}

/** What an executor says of a job that it ran. */
export interface JobResult {
  executor_id: string;
  stdout?: string | undefined;
  stderr?: string | undefined;
  exit_code?: number | undefined;
}

export interface JobFailure extends JobResult {
  /** Why the job failed, for people. */
  error_message: string;
}

/** Who claims. */
export interface Executor {
  executor_id: string;
  /** Address or host name. */
  executor_ip: string;
}

export interface SubmittedJob {
  id: string;
  status: JobStatus;
}

/** Answer of a bulk submission that may fail in parts. */
export interface PartialSubmission {
  total: number;
  successful: number;
  failed: number;
  /** One for each job, in their order; `index` counts from 0. */
  results: { index: number; success: boolean; job_id?: string; error?: string }[];
}

/** Which pending jobs to cancel; at least one of the fields. */
export interface CancelSelection {
  job_ids?: readonly string[] | undefined;
  type?: string | undefined;
  status?: JobStatus | undefined;
}

export interface BulkCancellation {
  cancelled: number;
  failed: number;
  total: number;
  errors: { job_id: string; error: string }[];
}

export interface Statistics {
  jobs_by_status: Record<JobStatus, number>;
  pending_by_priority: Record<JobPriority, number>;
  /** Executors heard from in the last 30 seconds. */
  active_executors: number;
  timestamp: string;
}

export interface ExecutorInfo {
  executor_id: string;
  /** null while the executor is idle. */
  current_job_id: string | null;
  job_type: string | null;
  last_heartbeat: string;
  jobs_completed: number;
}

export interface Health {
  status: "healthy" | "unhealthy";
  database: "connected" | "disconnected";
}
