/**
 * What differs between kinds of job: how to prepare one, what to start, what to collect. Supervision knows
 * nothing of kinds, runners nothing of processes.
 */
import type { ClaimedJob, JobResult, Json, NewRecord } from "@yardmaster/client";
import type { JobKind, LogStream } from "../domain/job.ts";
import type { StepOptions } from "./jobStep.ts";
import type { ProcessEnd } from "./supervisedProcess.ts";

/** A process that was started. */
export interface StartedProcess {
  readonly pid: number;
  /** CPU time used so far by it and all that it started, where something counts that as a whole; else null until it ends. */
  readonly cpuMs: number | null;
}

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
  /** Its CPU time is asked for, so it is counted as a whole where the machine can. */
  readonly countsCpu?: true;
  /** The process runs; the accelerators that it was given, by index. */
  readonly onStarted?: (process: StartedProcess, accelerators: readonly number[]) => void;
  readonly onOutput?: (stream: LogStream, bytes: Uint8Array) => void;
  /**
   * Completes the result of a job that succeeded or failed, with what the job left. What it throws is the job's
   * failure; `RunContext.signal` is aborted when nobody wants the result any more.
   */
  readonly settle?: (result: JobResult, end: ProcessEnd) => Promise<JobResult>;
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
  /**
   * Runs a program that prepares the job, confined as the job itself.
   *
   * @throws JobFault when it cannot be started, the signal's reason when the job was ended meanwhile
   */
  step(launch: Launch, options: StepOptions): Promise<ProcessEnd>;
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
  /** What goes with the result of an attempt that failed so. */
  readonly extras: Pick<JobResult, "result" | "records">;
  constructor(
    message: string,
    exitCode: number | null = null,
    extras: { readonly result?: Json; readonly records?: NewRecord[] } = {},
  ) {
    super(message);
    this.exitCode = exitCode;
    this.extras = extras;
  }
}
