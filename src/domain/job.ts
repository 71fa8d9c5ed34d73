/**
 * What a job is. Every other room speaks in these types; this file knows no storage, no HTTP, no clock.
 *
 * Times are UTC instants as integer milliseconds since 1970 (`…At`), durations are milliseconds (`…Ms`).
 */
import type { Resources } from "./resources.ts";

/** The public HTTP APIs a job can come from. */
export const DIALECTS = ["yardmaster", "whatsnext", "executr", "shelby", "ai"] as const;
export type DialectName = (typeof DIALECTS)[number];

/**
 * What has to be done to run a job; each has one runner in the agent. `external` jobs have none: only programs
 * that bring their own way to run them take those.
 */
export const JOB_KINDS = ["command", "binary", "script", "training", "inference", "external"] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/**
 * The life of a job. `leased` means that a worker holds it and has not said that it started;
 * `blocked` that something it depends on failed, which a retry of that job undoes.
 */
export const JOB_STATES = [
  "waiting",
  "ready",
  "leased",
  "running",
  "succeeded",
  "failed",
  "blocked",
  "cancelled",
] as const;
export type JobState = (typeof JOB_STATES)[number];

/** States in which one worker holds the job under a lease. */
export type HeldState = "leased" | "running";
/** States that only an explicit retry leaves. */
export type FinalState = "succeeded" | "failed" | "cancelled";

/** How one attempt ended. `timeout` is a lease that was lost, `released` a job handed back unrun. */
export const ATTEMPT_OUTCOMES = ["succeeded", "failed", "timeout", "released", "cancelled"] as const;
export type AttemptOutcome = (typeof ATTEMPT_OUTCOMES)[number];

/** Any JSON value. Specs, results and parameters are kept as they came. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** A job as the store keeps it and as every reader sees it. */
export interface Job {
  /** Order of submission over all dialects, from 1. */
  readonly id: number;
  /** Public id, unique in its dialect. */
  readonly key: string;
  readonly dialect: DialectName;
  readonly kind: JobKind;
  readonly queue: string;
  readonly name: string;
  readonly projectId: number | null;
  readonly taskId: number | null;
  /** What to run, by kind; never changed after submission. */
  readonly spec: JsonObject;
  /** Higher runs first. */
  readonly priority: number;
  readonly resources: Resources;
  /** Labels that describe the job. */
  readonly labels: Readonly<Record<string, string>>;
  /** Labels a worker must have. */
  readonly requires: Readonly<Record<string, string>>;
  /** Ids of the jobs that must succeed first. */
  readonly dependsOn: readonly number[];
  readonly maxAttempts: number;
  /** How many lost leases are forgiven before they count against `maxAttempts`. */
  readonly maxRecoveries: number;
  /** Longest time one attempt may run; null is no limit. */
  readonly timeoutMs: number | null;
  /** Not to be started before. */
  readonly runAt: number | null;
  readonly state: JobState;
  /** Number of the current or last attempt; 0 before the first claim. */
  readonly attempt: number;
  /** 0 to 1, or null when the worker has said nothing. */
  readonly progress: number | null;
  readonly result: Json;
  readonly exitCode: number | null;
  readonly error: string | null;
  /** Worker of the current or last attempt. */
  readonly workerId: string | null;
  readonly createdAt: number;
  readonly readyAt: number | null;
  /** When the worker of the current or last attempt was given the job. */
  readonly leasedAt: number | null;
  /** Start of the current or last attempt. */
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly updatedAt: number;
}

/** One run of a job on one worker. */
export interface Attempt {
  readonly number: number;
  readonly workerId: string | null;
  readonly workerAddress: string | null;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** Null while the attempt lasts. */
  readonly outcome: AttemptOutcome | null;
  readonly exitCode: number | null;
  readonly error: string | null;
}

/** One change of state of one job; `seq` counts from 1 within the job. */
export interface JobEvent {
  readonly seq: number;
  readonly time: number;
  readonly from: JobState | null;
  readonly to: JobState;
  readonly attempt: number;
  readonly reason: string;
}

/** Something kept with a job beside its own fields: how a result came about, what it used. */
export interface JobRecord {
  /** Order of writing, ascending; of all jobs together. */
  readonly seq: number;
  readonly attempt: number;
  readonly time: number;
  /** What it is, in a word: `provenance`, `usage`. */
  readonly kind: string;
  readonly data: JsonObject;
}

/** A piece of a job's output. */
export interface LogChunk {
  readonly seq: number;
  readonly time: number;
  readonly stream: LogStream;
  readonly text: string;
}
export const LOG_STREAMS = ["stdout", "stderr", "system"] as const;
/** `system` carries Yardmaster's own words about the job: output cut, time limit reached. */
export type LogStream = (typeof LOG_STREAMS)[number];
