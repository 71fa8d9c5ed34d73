/** Waits until `isReached` holds; throws with `what` when it does not within `timeoutMs`. */
export async function until(isReached: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!isReached()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await Bun.sleep(3);
  }
}
