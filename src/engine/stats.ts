/** Statistics made of what the store tallies. */
import { JOB_STATES, type JobState } from "../domain/job.ts";
import { WORKER_STATES, type Worker, type WorkerState } from "../domain/worker.ts";
import type { StoreReads } from "../store/store.ts";
import type { Stats } from "./engine.ts";

/** Jobs by state and by queue, workers by state. */
export function statsOf(
  tallies: Awaited<ReturnType<StoreReads["tallies"]>>,
  workers: readonly Worker[],
  rates: Stats["rates"],
): Stats {
  const jobsByState = zeroes<JobState>(JOB_STATES);
  const queues = new Map<string, Record<JobState, number>>();
  for (const { queue, state, count } of tallies) {
    jobsByState[state] += count;
    const ofQueue = queues.get(queue) ?? zeroes<JobState>(JOB_STATES);
    ofQueue[state] += count;
    queues.set(queue, ofQueue);
  }
  const workersByState = zeroes<WorkerState>(WORKER_STATES);
  for (const worker of workers) workersByState[worker.state]++;
  return {
    jobsByState,
    queues: [...queues]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([queue, ofQueue]) => ({ queue, jobsByState: ofQueue })),
    workersByState,
    rates,
  };
}

function zeroes<Key extends string>(keys: readonly Key[]): Record<Key, number> {
  const record: Partial<Record<Key, number>> = {};
  for (const key of keys) record[key] = 0;
  return record as Record<Key, number>;
}
