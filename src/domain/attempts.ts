/**
 * What becomes of a job when an attempt ends without success.
 *
 * Two budgets are kept apart: `spent` counts attempts that failed by their own doing, up to `maxAttempts`;
 * `recoveries` counts leases that were lost, through no fault of the job, up to `maxRecoveries`. A lost
 * lease beyond the second budget is taken from the first.
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

/** The attempt failed: exit code, time limit, a program that cannot be started. */
export function afterFailure(budget: Budget): Verdict {
  const spent = budget.spent + 1;
  return { isRepeated: spent < budget.maxAttempts, spent, recoveries: budget.recoveries };
}

/** The worker vanished: its lease ran out, or it came back and said that the run was cut short. */
export function afterLostLease(budget: Budget): Verdict {
  if (budget.recoveries < budget.maxRecoveries) {
    return { isRepeated: true, spent: budget.spent, recoveries: budget.recoveries + 1 };
  }
  return afterFailure(budget);
}
