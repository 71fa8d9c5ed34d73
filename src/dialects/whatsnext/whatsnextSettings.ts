/** Settings of the dialect; each has its unit in its name. */
export interface WhatsNextSettings {
  /** How long a fetched job may stay QUEUED before it is given to another client. */
  readonly queuedLeaseMs: number;
  /**
   * How long a RUNNING job may stay so when it was fetched without a `client_id`. Existing clients say nothing
   * while a job runs, so this must be longer than any job.
   */
  readonly runningLeaseMs: number;
  /** The same for a job that was fetched with a `client_id`: each heartbeat of the client begins it anew. */
  readonly clientLeaseMs: number;
}

export const DEFAULT_WHATSNEXT_SETTINGS: WhatsNextSettings = {
  queuedLeaseMs: 10 * 60_000,
  runningLeaseMs: 24 * 3_600_000,
  clientLeaseMs: 10 * 60_000,
};
