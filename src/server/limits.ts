import { DEFAULT_SOCKET_LIMITS, type SocketLimits } from "./sockets/sockets.ts";

/** The limits and timers of the HTTP side; each has its unit in its name. */
export interface ServerLimits extends SocketLimits {
  /** Longest JSON body. */
  readonly maxBodyBytes: number;
  /** Longest artifact. */
  readonly maxArtifactBytes: number;
  /** Deepest nesting of a JSON body. */
  readonly maxJsonDepth: number;
  /** A connection on which nothing moves is closed after this; at most 255 s, more than the longest wait. */
  readonly idleTimeoutMs: number;
  /** How often a silent event stream carries a comment. */
  readonly keepAliveMs: number;
  /** How often a followed log is looked at when no news came. */
  readonly safetyPollMs: number;
  /** How long a closing server waits for requests that are under way. */
  readonly closeTimeoutMs: number;
  /** How often the key file is looked at: so long may a revoked key still be taken. */
  readonly keyFilePollMs: number;
  /** Callers whose pace is kept in memory, where there is a limit on it. */
  readonly maxLimitedCallers: number;
  /** Longest lifetime of a token. */
  readonly maxTokenLifetimeMs: number;
}

export const DEFAULT_SERVER_LIMITS: ServerLimits = {
  maxBodyBytes: 16 * 1024 * 1024,
  maxArtifactBytes: 64 * 1024 * 1024 * 1024,
  maxJsonDepth: 100,
  idleTimeoutMs: 180_000,
  keepAliveMs: 15_000,
  safetyPollMs: 5_000,
  closeTimeoutMs: 10_000,
  keyFilePollMs: 1_000,
  maxLimitedCallers: 50_000,
  maxTokenLifetimeMs: 24 * 3_600_000,
  ...DEFAULT_SOCKET_LIMITS,
};
