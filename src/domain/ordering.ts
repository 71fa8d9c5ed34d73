/** The order in which ready jobs are given out: higher priority first, then who came first. */

export interface Ordered {
  readonly id: number;
  readonly priority: number;
}

/** Negative when `a` goes first. Total and stable: ids are unique, so no two jobs are equal. */
export function compareJobs(a: Ordered, b: Ordered): number {
  return b.priority - a.priority || a.id - b.id;
}
