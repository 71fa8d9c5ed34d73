/**
 * What becomes of a job when an attempt ends without success.
 *
 * Two budgets are kept apart: `spent` counts attempts that failed by their own doing, up to `maxAttempts`;
 * `recoveries` counts leases that were lost, through no fault of the job, up to `maxRecoveries`. What a lost
 * lease beyond the second budget means is the promise of the API that the job came through.
 */

export interface Budget {
  readonly spent: number;
  readonly maxAttempts: number;
  readonly recoveries: number;
  readonly maxRecoveries: number;
}

export interface Verdict {
  /** True when the job goes back to be run again. */
  readonly isRepeated: boolean;
  readonly spent: number;
  readonly recoveries: number;
}

/** A lost lease beyond `maxRecoveries` is taken from `maxAttempts`, or ends the job however many of those are left. */
export type BeyondRecoveries = "spends an attempt" | "fails the job";

/** The attempt failed: exit code, time limit, a program that cannot be started. */
export function afterFailure(budget: Budget): Verdict {
  const spent = budget.spent + 1;
  return { isRepeated: spent < budget.maxAttempts, spent, recoveries: budget.recoveries };
}

/** The worker vanished: its lease ran out, or it came back and said that the run was cut short. */
export function afterLostLease(budget: Budget, beyond: BeyondRecoveries): Verdict {
  const { spent, recoveries } = budget;
  if (recoveries < budget.maxRecoveries) return { isRepeated: true, spent, recoveries: recoveries + 1 };
  return beyond === "fails the job" ? { isRepeated: false, spent, recoveries } : afterFailure(budget);
}
