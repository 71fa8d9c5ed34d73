/** What must not grow with the jobs that are stored: ShelbyCompute's dashboard, lists, health and poll. */
import { load, requestBytes } from "../connection.ts";
import { type Effort, type Figure, median, shareOf } from "../figure.ts";
import type { Bench, ServerProcess } from "../processes.ts";
import { fillStore } from "../shelby.ts";

const READERS = 8;
/** Cost of a reading with the most jobs, by that with the fewest. */
const AIM_RATIO = 1.3;

const READINGS = {
  dashboard: "/api/frontend/dashboard",
  health: "/api/frontend/system/health",
  "the newest 50 jobs": "/api/frontend/jobs",
  "50 pending jobs": "/api/frontend/jobs?status=pending",
  "50 finished jobs": "/api/frontend/jobs?status=finished",
  "failed jobs, of which there are none": "/api/frontend/jobs?status=failed",
  poll: "/api/jobs/poll?nodeId=reader",
};

interface Stored {
  readonly jobs: number;
  readonly server: ServerProcess;
  readonly perSecond: Map<string, number[]>;
}

export async function shelbyScale(bench: Bench, effort: Effort): Promise<Figure[]> {
  const stores: Stored[] = [];
  for (const jobs of effort.shelbyStored) {
    const data = bench.dataFolder();
    const finished = Math.floor(jobs / 2);
    await fillStore(data, { pending: jobs - finished, finished });
    stores.push({ jobs, server: await bench.server(data), perSecond: new Map() });
  }
  const [first] = stores;
  const last = stores.at(-1);
  if (first === undefined || last === undefined) throw new Error("no store to measure");
  // The first round warms all up; they take turns, so that all see the same machine.
  for (let round = 0; round <= effort.rounds; round += 1) {
    for (const [name, path] of Object.entries(READINGS)) {
      for (const { server, perSecond } of stores) {
        const result = await load(server.target, requestBytes("GET", path, null), {
          connections: READERS,
          durationMs: effort.durationMs / 5,
          status: 200,
        });
        if (round > 0) perSecond.set(name, [...(perSecond.get(name) ?? []), result.perSecond]);
      }
    }
  }
  for (const { server } of stores) await bench.end(server.pid);
  const words = ({ jobs }: Stored) => `${jobs.toLocaleString("en-GB")} stored`;
  return Object.keys(READINGS).map((name) =>
    shareOf(
      `shelby: ${name}, ${words(last)}, beside ${words(first)}`,
      "answers/s",
      median(last.perSecond.get(name) ?? []),
      { name: words(first), value: median(first.perSecond.get(name) ?? []) },
      1 / AIM_RATIO,
    ),
  );
}
