/**
 * What a claim costs as the backlog grows, and when the best jobs of the backlog cannot run on the worker that asks.
 *
 * The backlog needs one accelerator each; a thousand jobs of lower priority need none. A worker with an
 * accelerator is given the backlog's heads, a worker without one has all of the backlog in front of its jobs.
 */
import { Connection } from "../connection.ts";
import { type Effort, type Figure, median, plain } from "../figure.ts";
import { type Capacity, claim, registerWorker, report, submission } from "../jobs.ts";
import type { Bench } from "../processes.ts";

const BATCH = 1_000;
const SEEDERS = 2;
const SAMPLES = 300;
/** Claims before the measured ones, which find everything warm. */
const WARM_UP = 300;
const AIM_RATIO = 1.3;
const NEEDS_ACCELERATOR = {
  spec: { argv: ["/bin/true"] },
  priority: 1,
  resources: { cpu: 1, accelerators: 1 },
};
const WITH_ACCELERATOR: Capacity = { cpu: 1, accelerators: 1, memoryMb: 0 };
const WITHOUT_ACCELERATOR: Capacity = { cpu: 1, accelerators: 0, memoryMb: 0 };

export async function claimCost(bench: Bench, effort: Effort): Promise<Figure[]> {
  const server = await bench.server();
  const connections = await Promise.all(
    Array.from({ length: SEEDERS }, () => Connection.open(server.target)),
  );
  const [connection] = connections;
  if (connection === undefined) throw new Error("no connection");
  await registerWorker(connection, "with", WITH_ACCELERATOR);
  await registerWorker(connection, "without", WITHOUT_ACCELERATOR);
  await connection.request(submission(BATCH));
  const seed = submission(BATCH, NEEDS_ACCELERATOR);
  const figures: Figure[] = [];
  let backlog = 0;
  let first: { fits: number; behind: number } | null = null;
  for (const size of effort.backlogs) {
    await Promise.all(
      connections.map(async (seeder) => {
        while (backlog < size) {
          backlog += BATCH;
          await seeder.request(seed);
        }
      }),
    );
    const fits = await claimMs(connection, "with", WITH_ACCELERATOR);
    const behind = await claimMs(connection, "without", WITHOUT_ACCELERATOR);
    first ??= { fits, behind };
    const words = size.toLocaleString("en-GB");
    figures.push(
      cost(`claim, ${words} ready jobs`, fits, first.fits),
      cost(`claim behind ${words} that do not fit`, behind, first.behind),
    );
  }
  for (const open of connections) open.close();
  await bench.end(server.pid);
  return figures;
}

function cost(name: string, ms: number, firstMs: number): Figure {
  if (ms === firstMs) return plain(name, "ms", ms);
  const ratio = ms / firstMs;
  const limit = { name: "smallest backlog", value: firstMs };
  return {
    name,
    unit: "ms",
    value: ms,
    limit,
    ratio,
    aim: `≤ ${AIM_RATIO * 100} %`,
    isMet: ratio <= AIM_RATIO,
  };
}

/** Median time of a claim of one job. Each job is given back, which leaves the backlog as it was. */
async function claimMs(connection: Connection, workerId: string, capacity: Capacity): Promise<number> {
  const bytes = claim(workerId, 1, capacity);
  const samples: number[] = [];
  for (let sample = -WARM_UP; sample < SAMPLES; sample += 1) {
    const startedAt = performance.now();
    const answer = await connection.request(bytes);
    const ms = performance.now() - startedAt;
    const count = await report(connection, workerId, answer, "released");
    if (count !== 1) throw new Error(`expected one job, got ${count}`);
    if (sample >= 0) samples.push(ms);
  }
  return median(samples);
}
