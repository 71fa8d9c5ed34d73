/** Settings of the dialect; each has its unit in its name. */
export interface ExecutrSettings {
  /** How long a running job stays with an executor that sends no heartbeats. */
  readonly leaseMs: number;
  /** How often a job goes back to pending after its executor vanished, before that counts as a failure. */
  readonly maxRecoveries: number;
  /** How long a claim waits inside its request while the store is away: executors stop for good after failed claims. */
  readonly claimPatienceMs: number;
}

export const DEFAULT_EXECUTR_SETTINGS: ExecutrSettings = {
  leaseMs: 15_000,
  maxRecoveries: 3,
  claimPatienceMs: 30_000,
};
