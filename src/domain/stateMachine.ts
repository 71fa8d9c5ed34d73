/**
 * The life of a job as a table. Every change of state in the product is one row of it: it names from, to
 * and why, and nothing else writes a state.
 */
import type { FinalState, HeldState, JobState } from "./job.ts";

/** Why a job changes state. */
export type Cause =
  | "ready"
  | "claimed"
  | "started"
  | "succeeded"
  | "failed"
  | "retry scheduled"
  | "put back"
  | "lease lost"
  | "dependency failed"
  | "dependency back"
  | "dependency reopened"
  | "cancelled"
  | "retried"
  | "set by hand";

const UNFINISHED: readonly JobState[] = ["waiting", "ready", "leased", "running", "blocked"];
const HELD: readonly JobState[] = ["leased", "running"];

/** Which states each cause may leave, and which one it may lead to. */
const TRANSITIONS: Readonly<
  Record<Cause, { readonly from: readonly JobState[]; readonly to: readonly JobState[] }>
> = {
  // Dependencies met and time reached.
  ready: { from: ["waiting"], to: ["ready"] },
  claimed: { from: ["ready"], to: ["leased"] },
  started: { from: ["leased"], to: ["running"] },
  // A short job's result can come before anyone said that it started.
  succeeded: { from: HELD, to: ["succeeded"] },
  failed: { from: HELD, to: ["failed"] },
  // Attempts are left: it waits for its back-off.
  "retry scheduled": { from: HELD, to: ["waiting"] },
  // Given back unrun by its worker.
  "put back": { from: HELD, to: ["ready", "waiting", "blocked"] },
  "lease lost": { from: HELD, to: ["ready", "waiting", "blocked", "failed"] },
  "dependency failed": { from: ["waiting", "ready"], to: ["blocked"] },
  // The dependency that had failed was retried.
  "dependency back": { from: ["blocked"], to: ["waiting", "ready"] },
  // A dependency that had succeeded was retried before this job was taken.
  "dependency reopened": { from: ["ready"], to: ["waiting"] },
  cancelled: { from: UNFINISHED, to: ["cancelled"] },
  retried: { from: ["succeeded", "failed", "cancelled"], to: ["waiting", "ready", "blocked"] },
  // An edit that names the state to be in; success is left only by being put back.
  "set by hand": {
    from: [...UNFINISHED, "failed", "cancelled"],
    to: ["running", "succeeded", "failed", "blocked"],
  },
};

/** A change of state that the table does not have: a mistake in the program, not in a request. */
export class IllegalTransitionError extends Error {
  override readonly name = "IllegalTransitionError";
  constructor(from: JobState, to: JobState, cause: Cause) {
    super(`a ${from} job cannot become ${to} because it was ${cause}`);
  }
}

export function canTransition(from: JobState, to: JobState, cause: Cause): boolean {
  const row = TRANSITIONS[cause];
  return row.from.includes(from) && row.to.includes(to);
}

/** @throws IllegalTransitionError unless the table has this change. */
export function checkTransition(from: JobState, to: JobState, cause: Cause): void {
  if (!canTransition(from, to, cause)) throw new IllegalTransitionError(from, to, cause);
}

/** States from which `cause` can happen. */
export function statesBefore(cause: Cause): readonly JobState[] {
  return TRANSITIONS[cause].from;
}

export function isFinal(state: JobState): state is FinalState {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

/** One worker has it. */
export function isHeld(state: JobState): state is HeldState {
  return state === "leased" || state === "running";
}

/** Not taken by a worker yet, and still to be run. */
export function isPending(state: JobState): boolean {
  return state === "waiting" || state === "ready" || state === "blocked";
}
