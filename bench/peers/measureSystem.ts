/** All lines of measurement for one system: the same commands, in the same order, to whichever program it has. */
import { median, quantile } from "../figure.ts";
import { threadSeconds, treeSeconds } from "./processorTime.ts";
import { ProgramProcess } from "./programProcess.ts";
import type { Running } from "./systems.ts";

/** How much work each line does. */
export interface PeerEffort {
  /** Each figure is the median of so many. */
  readonly rounds: number;
  readonly bulkJobs: number;
  readonly singleMs: number;
  readonly latencyJobs: number;
  /** Jobs that wait while some are drained. */
  readonly backlog: number;
  /** Jobs that are drained before that backlog in one round. */
  readonly backlogWindow: number;
}

export const FULL: PeerEffort = {
  rounds: 3,
  bulkJobs: 50_000,
  singleMs: 5_000,
  latencyJobs: 300,
  backlog: 1_000_000,
  backlogWindow: 20_000,
};

/** For a look whether everything works; the figures mean little. */
export const QUICK: PeerEffort = {
  rounds: 1,
  bulkJobs: 3_000,
  singleMs: 300,
  latencyJobs: 10,
  backlog: 6_000,
  backlogWindow: 1_000,
};

/** Jobs of one bulk call: the most that Yardmaster takes in one request. */
const BATCH = 1_000;
const PARALLEL_BATCHES = 4;
const SINGLE_CONCURRENCY = 50;
const LATENCY_GAP_MS = 10;
/** Jobs at the start of a worker that do not count before a backlog. */
const WARM_UP_JOBS = 2_000;

export type LineName = "bulk" | "single" | "drain" | "latencyMedian" | "latencyP99" | "drainBacklog";

/** The lines in the order of the table, in words, and which way is better. */
export const LINES: readonly { name: LineName; title: string; unit: string; isRate: boolean }[] = [
  { name: "bulk", title: `bulk enqueue, batches of ${BATCH}`, unit: "jobs/s", isRate: true },
  {
    name: "single",
    title: `single enqueue, ${SINGLE_CONCURRENCY} at a time`,
    unit: "jobs/s",
    isRate: true,
  },
  { name: "drain", title: "drain of jobs that do nothing", unit: "jobs/s", isRate: true },
  { name: "latencyMedian", title: "submit to start, median", unit: "ms", isRate: false },
  { name: "latencyP99", title: "submit to start, 99th percentile", unit: "ms", isRate: false },
  { name: "drainBacklog", title: "drain with the whole backlog waiting", unit: "jobs/s", isRate: true },
];

/** Processor time in microseconds a job, by who used it. */
export interface ProcessorTime {
  readonly programs: number;
  /** Each thread of each server, busiest first; empty for libraries. */
  readonly serverThreads: readonly number[];
  readonly store: number | null;
}

export type Measured = Partial<Record<LineName, number>>;
export type Profile = Partial<Record<LineName, ProcessorTime>>;

/**
 * Measures line after line. What was measured before a fault stays in `into`; the fault is thrown.
 *
 * @param say told in words what each line came to, with every round
 */
export async function measureSystem(
  running: Running,
  folder: string,
  effort: PeerEffort,
  into: { readonly figures: Measured; readonly profile: Profile },
  say: (line: string) => void,
): Promise<void> {
  const producer = new ProgramProcess(running.program, folder);
  const worker = await startWorker(producer, running, folder);
  const meter = new Meter(running, [producer.pid, worker.pid]);
  const rounds: Record<"bulk" | "drain" | "single", number[]> = { bulk: [], drain: [], single: [] };
  const { figures, profile } = into;
  try {
    // One unmeasured round warms everything up.
    for (let round = 0; round <= effort.rounds; round += 1) {
      const jobs = round === 0 ? Math.ceil(effort.bulkJobs / 5) : effort.bulkJobs;
      meter.start();
      const added = await producer.ask({ do: "addMany", jobs, batch: BATCH, parallel: PARALLEL_BATCHES });
      profile.bulk = meter.perJob(jobs);
      await worker.ask({ do: "work" });
      meter.start();
      const drained = await worker.ask({ do: "drained", jobs });
      profile.drain = meter.perJob(jobs);
      await worker.ask({ do: "stop" });
      if (drained.jobs !== jobs) throw new Error(`${jobs} jobs added, ${drained.jobs} worked on`);
      if (round === 0) continue;
      rounds.bulk.push(jobs / (added.seconds ?? Number.NaN));
      rounds.drain.push(jobs / (drained.seconds ?? Number.NaN));
    }
    figures.bulk = median(rounds.bulk);
    figures.drain = median(rounds.drain);
    say(`bulk ${listed(rounds.bulk)}, drain ${listed(rounds.drain)}`);

    await worker.ask({ do: "work" });
    const { delays = [] } = await latencies(producer, worker, effort.latencyJobs);
    await worker.ask({ do: "stop" });
    figures.latencyMedian = median(delays);
    figures.latencyP99 = quantile(delays, 0.99);
    say(`latency ${median(delays).toFixed(2)}, ${quantile(delays, 0.99).toFixed(2)} ms`);

    for (let round = 0; round <= effort.rounds; round += 1) {
      const durationMs = round === 0 ? effort.singleMs / 5 : effort.singleMs;
      const command = { durationMs, concurrency: SINGLE_CONCURRENCY };
      meter.start();
      const { jobs = 0, seconds = Number.NaN } = await producer.ask({ do: "addSingly", ...command });
      profile.single = meter.perJob(jobs);
      if (round > 0) rounds.single.push(jobs / seconds);
    }
    figures.single = median(rounds.single);
    say(`single ${listed(rounds.single)}`);

    const waiting = (await producer.ask({ do: "remaining" })).jobs ?? 0;
    const missing = Math.max(0, effort.backlog - waiting);
    await producer.ask({ do: "addMany", jobs: missing, batch: BATCH, parallel: PARALLEL_BATCHES });
    const window = effort.backlogWindow;
    meter.start();
    await worker.ask({ do: "work" });
    const before = await worker.ask({ do: "windows", skip: WARM_UP_JOBS, window, count: effort.rounds });
    profile.drainBacklog = meter.perJob(WARM_UP_JOBS + window * effort.rounds);
    const backlog = (before.windowSeconds ?? []).map((seconds) => window / seconds);
    say(`drain with ${Math.max(waiting, effort.backlog)} waiting ${listed(backlog)}`);
    figures.drainBacklog = median(backlog);
  } finally {
    await worker.end();
    await producer.end();
  }
}

/** The worker's process, once the producer's has set the store up. */
async function startWorker(
  producer: ProgramProcess,
  running: Running,
  folder: string,
): Promise<ProgramProcess> {
  try {
    await producer.ask({ do: "remaining" });
    return new ProgramProcess(running.program, folder);
  } catch (error) {
    await producer.end();
    throw error;
  }
}

async function latencies(producer: ProgramProcess, worker: ProgramProcess, jobs: number) {
  // The first few find cold paths; they are given and not counted.
  const cold = Math.ceil(jobs / 10);
  await producer.ask({ do: "addPaced", jobs: cold + jobs, gapMs: LATENCY_GAP_MS });
  const { delays = [] } = await worker.ask({ do: "delays", jobs: cold + jobs });
  return { delays: delays.slice(cold) };
}

function listed(values: readonly number[]): string {
  return `${values.map((value) => Math.round(value)).join(", ")} jobs/s`;
}

/** Reads how much processor time went where between `start` and `perJob`. */
class Meter {
  readonly #running: Running;
  readonly #programs: readonly number[];
  #before = { programs: 0, threads: new Map<number, number>(), store: 0 };

  constructor(running: Running, programs: readonly number[]) {
    this.#running = running;
    this.#programs = programs;
  }

  start(): void {
    this.#before = this.#read();
  }

  perJob(jobs: number): ProcessorTime {
    const now = this.#read();
    const microseconds = (seconds: number): number => Math.round((seconds * 1e7) / jobs) / 10;
    const serverThreads = [...now.threads]
      .map(([id, seconds]) => microseconds(seconds - (this.#before.threads.get(id) ?? 0)))
      .filter((value) => value >= 1)
      .sort((a, b) => b - a);
    return {
      programs: microseconds(now.programs - this.#before.programs),
      serverThreads,
      store: this.#running.storePid === null ? null : microseconds(now.store - this.#before.store),
    };
  }

  #read() {
    const { serverPids, storePid } = this.#running;
    return {
      programs: this.#programs.reduce((sum, pid) => sum + treeSeconds(pid), 0),
      threads: new Map(serverPids.flatMap((pid) => [...threadSeconds(pid)])),
      store: storePid === null ? 0 : treeSeconds(storePid),
    };
  }
}
