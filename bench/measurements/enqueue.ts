/** Submitting: single requests at concurrency 64, and batches of 500, beside Bun's bare HTTP server with the same bodies. */
import { Connection, load } from "../connection.ts";
import { type Effort, type Figure, median, shareOf } from "../figure.ts";
import { submission } from "../jobs.ts";
import type { Bench } from "../processes.ts";

const CONCURRENCY = 64;
const BATCH = 500;
const BATCH_CONNECTIONS = 4;

export async function enqueue(bench: Bench, effort: Effort): Promise<Figure[]> {
  const single = await rates(bench, effort, submission(1), CONCURRENCY);
  const batched = await rates(bench, effort, submission(BATCH), BATCH_CONNECTIONS);
  return [
    shareOf(
      `enqueue, single requests, ${CONCURRENCY} at a time`,
      "jobs/s",
      single.ours,
      { name: "bare HTTP server", value: single.bare },
      0.5,
    ),
    shareOf(
      `enqueue, batches of ${BATCH}`,
      "jobs/s",
      batched.ours * BATCH,
      { name: "bare HTTP server", value: batched.bare * BATCH },
      null,
    ),
  ];
}

async function rates(
  bench: Bench,
  { rounds, durationMs }: Effort,
  bytes: Uint8Array,
  connections: number,
): Promise<{ ours: number; bare: number }> {
  const server = await bench.server();
  const probe = await Connection.open(server.target);
  const answer = await probe.request(bytes);
  probe.close();
  const bareServer = await bench.bareServer(answer.length);
  const ours: number[] = [];
  const bare: number[] = [];
  // One unmeasured round of each warms both up; then they take turns, so that both see the same machine.
  for (let round = 0; round <= rounds; round += 1) {
    const options = { connections, durationMs: round === 0 ? durationMs / 3 : durationMs, status: 201 };
    const bareResult = await load(bareServer.target, bytes, options);
    const ourResult = await load(server.target, bytes, options);
    if (round === 0) continue;
    bare.push(bareResult.perSecond);
    ours.push(ourResult.perSecond);
  }
  await bench.end(bareServer.pid);
  await bench.end(server.pid);
  return { ours: median(ours), bare: median(bare) };
}
