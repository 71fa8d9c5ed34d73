/** Looks until `isSo`, at most `timeoutMs`: for what gives no event to await. */
export async function until(what: string, isSo: () => boolean, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(2);
  }
}
