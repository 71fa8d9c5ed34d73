/**
 * One WebSocket of a dialect, declared as data beside its routes. The server does the rest: it finds the
 * route, lets the caller in or closes with a code, bounds what is buffered, and ends all when it closes.
 *
 * Browsers cannot see the HTTP status of a refused WebSocket, so refusals come as close codes.
 */
import type { Access, Role } from "./route.ts";

/** Why the server ends a WebSocket. Codes from 4000 up are ours (RFC 6455, 7.4.2). */
export const CLOSE = {
  /** All was said. */
  normal: 1_000,
  /** The server closes; try again, here or elsewhere. */
  goingAway: 1_001,
  internal: 1_011,
  /** The request is wrong; the reason says where. */
  badRequest: 4_400,
  /** No key or token, or one that is not good. */
  unauthorized: 4_401,
  /** The role of the key does not reach as far. */
  forbidden: 4_403,
  /** What was asked for is not there. */
  notFound: 4_404,
  /** The reader took too long. */
  tooSlow: 4_408,
  /** More requests than the caller may make. */
  rateLimited: 4_429,
  /** The server cannot do it now. */
  unavailable: 4_503,
} as const;

/** One open WebSocket. */
export interface SocketConnection {
  /** Values of the path's `{placeholders}`, decoded. */
  readonly params: Readonly<Record<string, string>>;
  /** The query, without the token. */
  readonly query: URLSearchParams;
  readonly role: Role;
  /**
   * Sends messages in order, until the reader is behind by more than the server holds for one.
   *
   * @returns how many were taken; after fewer than all `onRoom` is called when there is room again
   */
  send(messages: readonly string[]): number;
  /** Ends it. What was taken is still sent. Again, or after it has ended, this does nothing. */
  close(code: number, reason: string): void;
  /** Called when there is room after a `send` that did not take all. */
  onRoom: (() => void) | null;
  /** Called once when it has ended, whoever ended it. */
  onEnd: (() => void) | null;
}

/** A WebSocket that can be opened. */
export interface SocketRoute {
  /** With placeholders in braces: `/ws/jobs/{job_id}/logs`. */
  readonly path: string;
  /** Absent is `read`. */
  readonly access?: Access;
  /**
   * Begins to serve a connection whose caller was let in. What it throws closes the connection: `NotFoundError`
   * with 4404, `InvalidRequestError` with 4400, unavailability with 4503.
   */
  open(connection: SocketConnection): void | Promise<void>;
}
