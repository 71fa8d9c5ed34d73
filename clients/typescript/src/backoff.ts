/** Pauses between tries: how long, and how to be woken out of one. */

const FIRST_PAUSE_MS = 100;

/**
 * Pause before try number `attempt` (0 is the first repeat): doubled each time up to `maxMs`, and spread
 * over its upper half so that many clients that lost the same server do not come back in step.
 */
export function backoffMs(attempt: number, maxMs: number): number {
  const ceiling = Math.min(maxMs, FIRST_PAUSE_MS * 2 ** Math.min(attempt, 20));
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}

/** Waits `ms`; rejects with the signal's reason as soon as it is aborted. */
export function pause(ms: number, signal?: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
