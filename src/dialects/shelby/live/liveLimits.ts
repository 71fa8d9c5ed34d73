/** Limits and timers of ShelbyCompute's live streams; each has its unit in its name. */
export interface LiveLimits {
  /** A reader that held up half of the others for so long is dropped. */
  readonly slowReaderMs: number;
  /** A reader that took nothing for so long while others wait for it is dropped. */
  readonly stalledReaderMs: number;
  /** Messages kept of one stream for those who come back. */
  readonly maxKeptMessages: number;
  /** Size of the same. */
  readonly maxKeptBytes: number;
  /** Size of what all streams of the server keep together. */
  readonly maxAllKeptBytes: number;
  /** How long a stream without followers is kept for those who come back. */
  readonly lingerMs: number;
  /** Lines in the first message of a log. */
  readonly snapshotLines: number;
  /** Size of the same: of longer lines there are fewer. */
  readonly maxSnapshotBytes: number;
  /** Least time between two `dashboard` messages. */
  readonly dashboardPauseMs: number;
  /** Least time between two looks at the nodes. */
  readonly nodesPauseMs: number;
  /** Messages a second for nodes of which nothing changed but when they were heard from; all nodes together. */
  readonly maxSeenPerSecond: number;
  /** How often what changes with time alone is looked at: which nodes are active. */
  readonly lookEveryMs: number;
  /** How late news of other servers may be before it counts as missed. */
  readonly hearingMs: number;
  /** How often a stream looks for itself when no news came. */
  readonly safetyPollMs: number;
  /** How often a silent event stream carries a comment. */
  readonly keepAliveMs: number;
}

export const DEFAULT_LIVE_LIMITS: LiveLimits = {
  slowReaderMs: 10_000,
  stalledReaderMs: 2_000,
  maxKeptMessages: 10_000,
  maxKeptBytes: 4 * 1024 * 1024,
  maxAllKeptBytes: 64 * 1024 * 1024,
  lingerMs: 30_000,
  snapshotLines: 1_000,
  maxSnapshotBytes: 4 * 1024 * 1024,
  dashboardPauseMs: 1_000,
  nodesPauseMs: 250,
  maxSeenPerSecond: 100,
  lookEveryMs: 1_000,
  hearingMs: 500,
  safetyPollMs: 5_000,
  keepAliveMs: 15_000,
};
