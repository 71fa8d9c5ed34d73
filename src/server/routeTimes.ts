/** Counts and times of one route, in plain arrays: this is on the way of every request. */

/** Upper bounds of the buckets, in seconds. */
export const TIME_BOUNDS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export interface StatusTimes {
  /** Not cumulative; the last one counts what is over all bounds. */
  readonly counts: number[];
  count: number;
  sumSeconds: number;
}

export class RouteTimes {
  readonly method: string;
  /** The route's pattern, never a path itself: the number of labels stays bounded. */
  readonly path: string;
  readonly byStatus = new Map<number, StatusTimes>();

  constructor(method: string, path: string) {
    this.method = method;
    this.path = path;
  }

  record(status: number, seconds: number): void {
    let times = this.byStatus.get(status);
    if (times === undefined) {
      times = { counts: new Array<number>(TIME_BOUNDS_SECONDS.length + 1).fill(0), count: 0, sumSeconds: 0 };
      this.byStatus.set(status, times);
    }
    let bucket = 0;
    for (const bound of TIME_BOUNDS_SECONDS) {
      if (seconds <= bound) break;
      bucket++;
    }
    times.counts[bucket] = (times.counts[bucket] ?? 0) + 1;
    times.count++;
    times.sumSeconds += seconds;
  }
}
