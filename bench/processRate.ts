/** How many real processes end a second: through an agent, and started bare. */
import { resolve } from "node:path";
import type { Connection } from "./connection.ts";

const BATCH = 500;
const POLL_MS = 20;
const TIMEOUT_MS = 120_000;

/**
 * Submits `total` jobs and waits until an agent has run them.
 *
 * @param submission bytes of a request that submits so many of them
 */
export async function runsPerSecond(
  connection: Connection,
  submission: (count: number) => Uint8Array,
  total: number,
): Promise<number> {
  const batch = Math.min(BATCH, total);
  const bytes = submission(batch);
  const before = await succeeded(connection);
  const startedAt = performance.now();
  let submitted = 0;
  for (; submitted < total; submitted += batch) await connection.request(bytes);
  const deadline = Date.now() + TIMEOUT_MS;
  while ((await succeeded(connection)) - before < submitted) {
    if (Date.now() > deadline) throw new Error("the agent did not run all jobs in time");
    await Bun.sleep(POLL_MS);
  }
  return submitted / ((performance.now() - startedAt) / 1_000);
}

async function succeeded(connection: Connection): Promise<number> {
  const stats = await connection.json<{ jobsByState: { succeeded: number } }>("GET", "/v1/stats", null);
  return stats.jobsByState.succeeded;
}

/** Starts a program over and over in a process of its own, and nothing else. */
export function bareSpawnsPerSecond(program: string, total: number, concurrency: number): number {
  const script = resolve(import.meta.dir, "limits/bareSpawn.ts");
  const run = Bun.spawnSync([process.execPath, script, String(total), String(concurrency), program]);
  return Number(run.stdout.toString());
}
