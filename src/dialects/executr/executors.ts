/** Who runs this API's jobs: its own executors, and every other worker that holds one of its jobs now. */
import type { Job } from "../../domain/job.ts";
import type { Worker } from "../../domain/worker.ts";
import type { Reads } from "../../engine/engine.ts";
import { statesOf } from "./statuses.ts";

/** Running jobs that are looked at to find their workers; more do not run at one time. */
const MAX_RUNNING = 20_000;
const PAGE_JOBS = 1_000;

export interface Executor {
  readonly worker: Worker;
  /** The job that it was given first; null while it is idle. */
  readonly current: Job | null;
}

/** Executors heard from in the last half minute, and those that hold a job, by their ids. */
export async function executorsOf(read: Reads): Promise<readonly Executor[]> {
  const [workers, held] = await Promise.all([read.workers(), runningByWorker(read)]);
  return workers
    .filter(({ id, dialect, state }) => held.has(id) || (dialect === "executr" && state !== "offline"))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map((worker) => ({ worker, current: held.get(worker.id) ?? null }));
}

/** How many executors were heard from in the last half minute. */
export async function countActive(read: Reads): Promise<number> {
  const active = (await read.workers()).filter(({ state }) => state !== "offline");
  const others = active.filter(({ dialect, running }) => dialect !== "executr" && running > 0);
  const own = active.length - active.filter(({ dialect }) => dialect !== "executr").length;
  // Which jobs they hold is asked only where there is somebody to ask about.
  const held = others.length === 0 ? null : await runningByWorker(read);
  return own + others.filter(({ id }) => held?.has(id)).length;
}

async function runningByWorker(read: Pick<Reads, "jobs">): Promise<ReadonlyMap<string, Job>> {
  const byWorker = new Map<string, Job>();
  let cursor: number | null = null;
  for (let seen = 0; seen < MAX_RUNNING; seen += PAGE_JOBS) {
    const page = await read.jobs(
      { dialect: "executr", states: statesOf("running") },
      { order: "oldest", limit: PAGE_JOBS, cursor, wantsTotal: false },
    );
    for (const job of page.items) {
      if (job.workerId !== null && !byWorker.has(job.workerId)) byWorker.set(job.workerId, job);
    }
    cursor = page.nextCursor;
    if (cursor === null) break;
  }
  return byWorker;
}
