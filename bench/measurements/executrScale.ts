/** What must not grow with the number of jobs: Executr's claim by pending jobs, list and statistics by stored ones. */
import { Connection, load, requestBytes } from "../connection.ts";
import { claimBytes, completeBytes, fill } from "../executr.ts";
import { type Effort, type Figure, median, shareOf } from "../figure.ts";
import type { Bench, ServerProcess } from "../processes.ts";

const FILLERS = 4;
const AIM_RATIO = 1.3;
const READERS = 8;

const LISTS = {
  "the newest 100": "/api/v1/jobs",
  "pending of a type": "/api/v1/jobs?status=pending&type=data-processing&priority=background&limit=10",
  "running, of which there are few": "/api/v1/jobs?status=running",
  statistics: "/api/v1/admin/stats",
};

interface Queue {
  readonly pending: number;
  readonly server: ServerProcess;
  readonly connections: readonly Connection[];
  readonly claimMs: number[];
  readonly readsPerSecond: Map<string, number[]>;
}

export async function executrScale(bench: Bench, effort: Effort): Promise<Figure[]> {
  const queues: Queue[] = [];
  for (const pending of effort.executrPending) queues.push(await queueOf(bench, pending));
  // The first round warms all up; they take turns, so that all see the same machine.
  for (let round = 0; round <= effort.rounds; round += 1) {
    for (const queue of queues) await measure(queue, effort, round > 0);
  }
  for (const { connections, server } of queues) {
    for (const connection of connections) connection.close();
    await bench.end(server.pid);
  }
  const [first] = queues;
  const last = queues.at(-1);
  if (first === undefined || last === undefined) throw new Error("no queue to measure");
  return figuresOf(first, last);
}

async function queueOf(bench: Bench, pending: number): Promise<Queue> {
  const server = await bench.server();
  const connections = await Promise.all(
    Array.from({ length: FILLERS }, () => Connection.open(server.target)),
  );
  await fill(connections, pending);
  return { pending, server, connections, claimMs: [], readsPerSecond: new Map() };
}

async function measure(queue: Queue, effort: Effort, isMeasured: boolean): Promise<void> {
  const { server, connections, claimMs, readsPerSecond } = queue;
  const [connection] = connections;
  if (connection === undefined) throw new Error("no connection");
  const claims = Math.min(effort.latencySamples, 200);
  const held: string[] = [];
  const startedAt = performance.now();
  for (let at = 0; at < claims; at += 1) {
    const job: { id: string } = JSON.parse((await connection.request(claimBytes("executor"))).toString());
    held.push(job.id);
  }
  if (isMeasured) claimMs.push((performance.now() - startedAt) / claims);
  for (const id of held) await connection.request(completeBytes(id, "executor"));
  await fill(connections, claims);
  for (const [name, path] of Object.entries(LISTS)) {
    const { perSecond } = await load(server.target, requestBytes("GET", path, null), {
      connections: READERS,
      durationMs: effort.durationMs / 3,
      status: 200,
    });
    if (!isMeasured) continue;
    readsPerSecond.set(name, [...(readsPerSecond.get(name) ?? []), perSecond]);
  }
}

function figuresOf(first: Queue, last: Queue): Figure[] {
  const words = ({ pending }: Queue) => pending.toLocaleString("en-GB");
  const claim = shareOf(
    `executr: claim, ${words(last)} pending, beside ${words(first)}`,
    "claims/s, one at a time",
    1_000 / median(last.claimMs),
    { name: `${words(first)} pending`, value: 1_000 / median(first.claimMs) },
    1 / AIM_RATIO,
  );
  const reads = Object.keys(LISTS).map((name) =>
    shareOf(
      `executr: ${name}, ${words(last)} stored, beside ${words(first)}`,
      "answers/s",
      median(last.readsPerSecond.get(name) ?? []),
      { name: `${words(first)} stored`, value: median(first.readsPerSecond.get(name) ?? []) },
      1 / AIM_RATIO,
    ),
  );
  return [claim, ...reads];
}
