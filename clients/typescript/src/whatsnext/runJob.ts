/** One job from `RUNNING` to its outcome. */
import type { Formatter } from "./formatter.ts";
import type { Job } from "./job.ts";
import { persist } from "./patience.ts";

/** What a job needs to run: a `Client` has it. */
export interface JobResource {
  readonly formatter: Formatter;
}

export interface RunOptions {
  /** Ends the job's processes; the job is put back (`PENDING`) for another worker. */
  signal?: AbortSignal | undefined;
  /**
   * How long to try to tell the server that the job runs; default 60,000. A job is not started before the server has
   * said yes: it gives a fetched job to another worker when it hears nothing for some minutes.
   */
  startTimeoutMs?: number | undefined;
  /** How long to try to deliver the outcome while the server is away; default 600,000. */
  outcomeTimeoutMs?: number | undefined;
}

export interface JobOutcome {
  /** As told to the server; `PENDING` when the run was aborted. */
  readonly status: "COMPLETED" | "FAILED" | "PENDING";
  /** 128 + the signal's number for a process ended by a signal; null when none was started or the run was aborted. */
  readonly exitCode: number | null;
  /** Why no process ran to its end; null when one did. */
  readonly error: Error | null;
}

/** An aborted run has somebody waiting for its end. */
const ABORTED_OUTCOME_TIMEOUT_MS = 5_000;

/**
 * Runs a job here.
 *
 * @throws {HttpError | ConnectionError} when the server could not be told that the job runs (then it was not started),
 *   or how it ended
 */
export async function runJob(job: Job, resource: JobResource, options: RunOptions): Promise<JobOutcome> {
  const { signal, startTimeoutMs = 60_000, outcomeTimeoutMs = 600_000 } = options;
  await persist(
    () => job.setStatus("RUNNING"),
    () => (signal?.aborted ? 0 : startTimeoutMs),
  );
  const outcome = await execute(job, resource.formatter, signal);
  await persist(
    () => job.setStatus(outcome.status),
    () => (signal?.aborted ? Math.min(outcomeTimeoutMs, ABORTED_OUTCOME_TIMEOUT_MS) : outcomeTimeoutMs),
  );
  return outcome;
}

async function execute(job: Job, formatter: Formatter, signal: AbortSignal | undefined): Promise<JobOutcome> {
  try {
    signal?.throwIfAborted();
    const argv = formatter.format(job.task, job.parameters);
    const exitCode = await formatter.execute(argv, { signal });
    return { status: exitCode === 0 ? "COMPLETED" : "FAILED", exitCode, error: null };
  } catch (cause) {
    const error = cause instanceof Error ? cause : new Error(String(cause));
    return { status: signal?.aborted ? "PENDING" : "FAILED", exitCode: null, error };
  }
}
