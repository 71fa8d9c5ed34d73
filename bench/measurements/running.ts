/** Real processes through one agent: from submission to start, processes a second beside bare spawning, and memory. */
import { Connection, requestBytes } from "../connection.ts";
import { type Effort, type Figure, median, plain, quantile, shareOf } from "../figure.ts";
import { submission } from "../jobs.ts";
import { type Bench, residentMb } from "../processes.ts";
import { bareSpawnsPerSecond, runsPerSecond } from "../processRate.ts";

const CONCURRENCY = 16;
const POLL_MS = 5;
const JOB_TIMEOUT_MS = 60_000;
const AIM_LATENCY_MS = 5;

export async function running(bench: Bench, effort: Effort): Promise<Figure[]> {
  const server = await bench.server();
  const agent = await bench.agent(server, CONCURRENCY);
  const connection = await Connection.open(server.target);
  const delays = await startDelays(connection, effort.latencySamples);
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < effort.rounds; round += 1) {
    bare.push(bareSpawnsPerSecond("/bin/true", effort.processes, CONCURRENCY));
    ours.push(await runsPerSecond(connection, (count) => submission(count), effort.processes));
  }
  const figures = [
    plain("submit to start of the process, median", "ms", median(delays), AIM_LATENCY_MS),
    plain("submit to start of the process, 99th percentile", "ms", quantile(delays, 0.99)),
    shareOf(
      `processes through one agent, ${CONCURRENCY} at a time`,
      "jobs/s",
      median(ours),
      { name: "bare spawning", value: median(bare) },
      0.8,
    ),
    plain("memory of the server after that", "MiB", residentMb(server.pid)),
    plain("memory of the agent after that", "MiB", residentMb(agent.pid)),
  ];
  connection.close();
  await bench.end(agent.pid);
  await bench.end(server.pid);
  return figures;
}

/** From before the request until the process itself reads the clock, one job at a time on an idle agent. */
async function startDelays(connection: Connection, samples: number): Promise<number[]> {
  const bytes = requestBytes("POST", "/v1/jobs", JSON.stringify({ spec: { argv: ["/bin/date", "+%s%N"] } }));
  const delays: number[] = [];
  for (let sample = 0; sample < samples; sample += 1) {
    const sentAtMs = performance.timeOrigin + performance.now();
    const job: { id: number } = JSON.parse((await connection.request(bytes)).toString());
    await finished(connection, job.id);
    const text = await connection.request(requestBytes("GET", `/v1/jobs/${job.id}/log?tail=1`, null));
    delays.push(Number(BigInt(text.toString().trim()) / 1_000n) / 1_000 - sentAtMs);
    // Long enough for the agent to be idle again.
    await Bun.sleep(10);
  }
  return delays;
}

async function finished(connection: Connection, id: number): Promise<void> {
  const bytes = requestBytes("GET", `/v1/jobs/${id}`, null);
  const deadline = Date.now() + JOB_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const job: { state: string } = JSON.parse((await connection.request(bytes)).toString());
    if (job.state === "succeeded") return;
    if (job.state === "failed") throw new Error(`job ${id} failed`);
    await Bun.sleep(POLL_MS);
  }
  throw new Error(`job ${id} did not end in time`);
}
