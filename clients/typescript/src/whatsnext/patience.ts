/** Telling the server something that must arrive, also when it is away for a while. */
import { backoffMs, pause } from "../backoff.ts";
import { ConnectionError, HttpError } from "./errors.ts";

const MAX_PAUSE_MS = 5_000;

/** Whether the server may be back later: no connection, 429 or a 5xx; every other answer is final. */
export function isAway(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof HttpError && (error.status === 429 || error.status >= 500);
}

/**
 * Calls `send` until it succeeds, with growing pauses while the server is away.
 *
 * @param limitMs how long after the first try to go on; asked again after every failure, so that it may shrink
 * @param signal ends the pauses; the call then rejects with its reason
 * @throws what `send` threw last: at once for an answer that is final, else when the limit has passed
 */
export async function persist(
  send: () => Promise<void>,
  limitMs: () => number,
  signal?: AbortSignal | undefined,
): Promise<void> {
  const startedAtMs = Date.now();
  for (let tried = 0; ; tried++) {
    try {
      return await send();
    } catch (error) {
      const pauseMs = backoffMs(tried, MAX_PAUSE_MS);
      if (!isAway(error) || Date.now() + pauseMs - startedAtMs > limitMs()) throw error;
      await pause(pauseMs, signal);
    }
  }
}
