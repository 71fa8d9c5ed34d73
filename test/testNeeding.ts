import { test } from "bun:test";

/**
 * A `test` for what not every machine gives.
 *
 * @param missing what this machine lacks; null when it lacks nothing. It stands in the name of the skipped test,
 *   and the test command tells of it at its end.
 */
export function testNeeding(missing: string | null) {
  return (name: string, run: () => void | Promise<void>, timeoutMs?: number): void =>
    missing === null
      ? test(name, run, timeoutMs)
      : test.skip(`${name} (not on this machine: ${missing})`, run, timeoutMs);
}
