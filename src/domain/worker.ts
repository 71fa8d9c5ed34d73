/** A worker: a process on some machine that claims jobs and runs them. */
import type { DialectName, JobKind, JsonObject } from "./job.ts";
import type { Resources } from "./resources.ts";

/** `draining` workers finish what they hold and are given nothing more. */
export const WORKER_STATES = ["online", "draining", "offline"] as const;
export type WorkerState = (typeof WORKER_STATES)[number];

/** What a worker says of itself when it registers. */
export interface WorkerRegistration {
  readonly id: string;
  readonly name: string;
  /** Host name or address as the worker knows it. */
  readonly address: string | null;
  readonly capacity: Resources;
  readonly labels: Readonly<Record<string, string>>;
  /** Queues it serves; `*` is every queue. */
  readonly queues: readonly string[];
  readonly kinds: readonly JobKind[];
  /** The API it speaks. */
  readonly dialect: DialectName;
  /** What its API keeps of it besides. */
  readonly details: JsonObject;
  /** It did not register, it was only heard of: forgotten when it is silent for long. Absent is false. */
  readonly isImplicit?: boolean;
}

export interface Worker extends WorkerRegistration {
  readonly state: WorkerState;
  /** It asked for nothing more; true also while it is offline. */
  readonly isDraining: boolean;
  readonly registeredAt: number;
  readonly lastSeenAt: number;
  /** How many jobs it holds. */
  readonly running: number;
  /** Ids of the jobs it holds, ascending: all where one worker is asked for (up to 10,000), some in lists. */
  readonly runningJobs: readonly number[];
  /** Jobs it brought to an end, by outcome, since it first registered. */
  readonly succeeded: number;
  readonly failed: number;
}

/** Stands for every queue in a worker's or a claim's list. */
export const ANY_QUEUE = "*";
