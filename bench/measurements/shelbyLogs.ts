/** ShelbyCompute's log lines: one line a call, as its nodes send them, each durable before it is answered. */
import { Connection, load } from "../connection.ts";
import { type Effort, type Figure, median, shareOf } from "../figure.ts";
import type { Bench } from "../processes.ts";
import { createJobBytes, logLineBytes } from "../shelby.ts";

const CONCURRENCY = 64;
const JOB = "logged";

export async function shelbyLogs(bench: Bench, { rounds, durationMs }: Effort): Promise<Figure[]> {
  const server = await bench.server();
  const probe = await Connection.open(server.target);
  await probe.request(createJobBytes(JOB));
  const bytes = logLineBytes(JOB, 1);
  const bareServer = await bench.bareServer((await probe.request(bytes)).length);
  probe.close();
  const ours: number[] = [];
  const bare: number[] = [];
  // One unmeasured round warms both up; then they take turns, so that both see the same machine.
  for (let round = 0; round <= rounds; round += 1) {
    const options = { connections: CONCURRENCY, durationMs: round === 0 ? durationMs / 3 : durationMs };
    const bareResult = await load(bareServer.target, bytes, { ...options, status: 201 });
    const ourResult = await load(server.target, bytes, { ...options, status: 200 });
    if (round === 0) continue;
    bare.push(bareResult.perSecond);
    ours.push(ourResult.perSecond);
  }
  await bench.end(bareServer.pid);
  await bench.end(server.pid);
  return [
    shareOf(
      `shelby: log lines, one a call, ${CONCURRENCY} at a time`,
      "lines/s",
      median(ours),
      { name: "bare HTTP server", value: median(bare) },
      null,
    ),
  ];
}
