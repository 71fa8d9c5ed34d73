/** How long a failed job waits before its next attempt. */

/**
 * Doubles the first pause with each failure, up to a limit.
 *
 * @param failures how many attempts have failed, from 1.
 */
export function backoffMs(failures: number, firstMs: number, maxMs: number): number {
  // 2^30 times anything is beyond every limit; more would leave the integers.
  return Math.min(maxMs, firstMs * 2 ** Math.min(Math.max(failures - 1, 0), 30));
}
