/**
 * What differs between kinds of job: how to prepare one, what to start, what to collect. Supervision knows
 * nothing of kinds, runners nothing of processes.
 */
import type { ClaimedJob, Json } from "@yardmaster/client";
import type { JobKind } from "../domain/job.ts";
import type { ProcessEnd } from "./supervisedProcess.ts";

/** A process to start. */
export interface Launch {
  /** Program and arguments; no shell reads them. */
  readonly argv: readonly string[];
  /** The job's own environment; the agent adds its part. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute, or relative to the workspace. */
  readonly cwd: string;
  /** Absolute paths outside the workspace that the job must be able to read: an isolated job sees them read-only. */
  readonly reads?: readonly string[];
  /** The job sees `env` and a PATH alone, nothing that the agent adds. */
  readonly hasExactEnvironment?: true;
  /** An output longer than 1 MiB goes, cut, into the job's result; the log keeps it all. */
  readonly keepsCutOutputs?: true;
  /** Called once, when nothing of the job runs any more or it was never started. */
  readonly release?: () => void;
}

export interface RunContext {
  readonly job: ClaimedJob;
  /** An empty directory of the job's own, removed afterwards. */
  readonly workspace: string;
  /** Aborted when the job must not be started any more; a preparation that takes its time ends then. */
  readonly signal: AbortSignal;
  /** Says something of Yardmaster's own in the job's log. */
  note(text: string): void;
}

/** One kind of job. Methods may answer at once or by promise: short jobs are spared the wait. */
export interface Runner {
  readonly kind: JobKind;
  /** @throws JobFault when the job itself is at fault. */
  prepare(context: RunContext): Launch | Promise<Launch>;
  /** Result of a job whose process succeeded. */
  collect?(context: RunContext, end: ProcessEnd): Json | Promise<Json>;
}

/** The job cannot be run as it is; the attempt fails with this message. */
export class JobFault extends Error {
  override readonly name = "JobFault";
  /** As shells have it: 127 not found, 126 not executable; null where nothing was to be started. */
  readonly exitCode: number | null;
  constructor(message: string, exitCode: number | null = null) {
    super(message);
    this.exitCode = exitCode;
  }
}
