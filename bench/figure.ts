/** What a measurement yields, and the arithmetic of medians. */

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What bounds it on this machine, measured in the same run; null where nothing does. */
  readonly limit: { readonly name: string; readonly value: number } | null;
  /** Value by limit. */
  readonly ratio: number | null;
  /** In words: `≥ 50 %`. */
  readonly aim: string | null;
  readonly isMet: boolean | null;
}

/** How much work each measurement does. */
export interface Effort {
  /** Each figure is the median of so many. */
  readonly rounds: number;
  readonly durationMs: number;
  readonly cycleJobs: number;
  readonly latencySamples: number;
  readonly backlogs: readonly number[];
  readonly processes: number;
  /** WhatsNext: pending jobs before which `fetch_job` is measured. */
  readonly pendingJobs: readonly number[];
  /** WhatsNext: fetches in a round, fewer than are pending. */
  readonly fetches: number;
  /** WhatsNext: jobs that workers drain, and that are reported on, in a round. */
  readonly drainedJobs: number;
  /** Executr: jobs waiting or stored, shortest first; executors work before the last but one. */
  readonly executrPending: readonly number[];
  /** Executr: jobs that executors work through in a round. */
  readonly executedJobs: number;
  /** ShelbyCompute: WebSockets that follow one log. */
  readonly followers: readonly number[];
  /** ShelbyCompute: lines times followers in a burst. */
  readonly deliveries: number;
  /** ShelbyCompute: WebSockets open at one time while memory is measured. */
  readonly openSockets: number;
  /** ShelbyCompute: jobs that nodes work through in a round. */
  readonly nodeJobs: number;
  /** ShelbyCompute: jobs stored while lists are read, fewest first. */
  readonly shelbyStored: readonly number[];
}

export const FULL_EFFORT: Effort = {
  rounds: 3,
  durationMs: 3_000,
  cycleJobs: 40_000,
  latencySamples: 200,
  backlogs: [1_000, 100_000, 1_000_000],
  processes: 6_000,
  pendingJobs: [10_000, 1_000_000],
  fetches: 5_000,
  drainedJobs: 20_000,
  executrPending: [1_000, 100_000, 1_000_000],
  executedJobs: 10_000,
  followers: [1, 100, 1_000],
  deliveries: 2_000_000,
  openSockets: 5_000,
  nodeJobs: 10_000,
  shelbyStored: [1_000, 1_000_000],
};

/** For a look whether everything works; the figures mean little. */
export const QUICK_EFFORT: Effort = {
  rounds: 1,
  durationMs: 300,
  cycleJobs: 2_000,
  latencySamples: 10,
  backlogs: [1_000, 5_000],
  processes: 100,
  pendingJobs: [1_000, 3_000],
  fetches: 500,
  drainedJobs: 500,
  executrPending: [500, 1_000, 3_000],
  executedJobs: 300,
  followers: [1, 20],
  deliveries: 2_000,
  openSockets: 50,
  nodeJobs: 200,
  shelbyStored: [500, 2_000],
};

/** Value at a fraction of the sorted values: 0.5 is the median, 0.99 the 99th percentile. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** A figure that should be at least a part of its limit. */
export function shareOf(
  name: string,
  unit: string,
  value: number,
  limit: { readonly name: string; readonly value: number },
  aim: number | null,
): Figure {
  const ratio = value / limit.value;
  return {
    name,
    unit,
    value,
    limit,
    ratio,
    aim: aim === null ? null : `≥ ${Math.round(aim * 100)} %`,
    isMet: aim === null ? null : ratio >= aim,
  };
}

/** A figure that should be at least `atLeast`, whatever its limit. */
export function rate(
  name: string,
  unit: string,
  value: number,
  limit: { readonly name: string; readonly value: number },
  atLeast: number,
): Figure {
  const aim = `≥ ${atLeast.toLocaleString("en-GB")} ${unit}`;
  return { name, unit, value, limit, ratio: value / limit.value, aim, isMet: value >= atLeast };
}

/** A figure without a limit; with an aim it should be at most that. */
export function plain(name: string, unit: string, value: number, atMost: number | null = null): Figure {
  return {
    name,
    unit,
    value,
    limit: null,
    ratio: null,
    aim: atMost === null ? null : `≤ ${atMost} ${unit}`,
    isMet: atMost === null ? null : value <= atMost,
  };
}
