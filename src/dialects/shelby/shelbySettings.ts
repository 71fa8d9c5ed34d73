/** Settings of the dialect; each has its unit in its name. */
export interface ShelbySettings {
  /** A node not heard from for so long is not active, and its jobs go to others. */
  readonly nodeTimeoutMs: number;
  /** How long a job that was created without a script waits for one before it is offered without. */
  readonly scriptGraceMs: number;
  /** How long a script that was uploaded before its job waits for it. */
  readonly scriptKeepMs: number;
  /** How long a job that a node was shown by a poll is shown to no other node. */
  readonly offerMs: number;
  /** Refuse acknowledgements without a signature under the node's handshake key. */
  readonly requiresSignatures: boolean;
}

export const DEFAULT_SHELBY_SETTINGS: ShelbySettings = {
  nodeTimeoutMs: 60_000,
  scriptGraceMs: 2_000,
  scriptKeepMs: 7 * 86_400_000,
  offerMs: 3_000,
  requiresSignatures: false,
};
