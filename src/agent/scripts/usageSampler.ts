/**
 * Looks every few seconds at what jobs use, sends it to the server as `usage` records, and sums it up for each job's
 * result. One look serves all jobs of the agent.
 */
import type { ClaimedJob, NewJobRecord, YardmasterClient } from "@yardmaster/client";
import type { StartedProcess } from "../runner.ts";
import { type GpuUse, gpuUseOf, machineGpus } from "./gpuUse.ts";
import { machineProcesses, type ProcessUse, useOf } from "./processUse.ts";
import { UsageSummary } from "./usageSummary.ts";

export interface UsageSamplerOptions {
  readonly client: YardmasterClient;
  readonly workerId: string;
  readonly everyMs: number;
  /** Path of `nvidia-smi`; null on machines without. */
  readonly nvidiaSmi: string | null;
}

/** A job that is looked at. */
export interface WatchedJob {
  readonly job: Pick<ClaimedJob, "id" | "key" | "attempt">;
  /** Its first one. */
  readonly process: StartedProcess;
  readonly accelerators: readonly number[];
}

/** The first look at a job comes this soon, so that short jobs have one too. */
const FIRST_LOOK_MS = 500;
/** Where the first look does not tell the use of the CPU, the next comes this soon. */
const SECOND_LOOK_MS = 1_000;
/** What came in less than this before the end is part of the sum, and no record of its own. */
const LEAST_LAST_MS = 500;
/** A server that does not take a record in this time is not waited for: the next figures are as good. */
const SEND_TIMEOUT_MS = 5_000;

interface Watched {
  readonly summary: UsageSummary;
  last: { readonly use: ProcessUse; readonly atMs: number } | null;
}

/** A job that is looked at until it ends. */
export interface UsageWatch {
  readonly summary: UsageSummary;
  /** The job has ended: what it used since the last look is added. */
  end(): Promise<void>;
  /** Looks no more. */
  stop(): void;
}

export class UsageSampler {
  readonly #options: UsageSamplerOptions;
  readonly #watched = new Map<WatchedJob, Watched>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #isLooking = false;

  constructor(options: UsageSamplerOptions) {
    this.#options = options;
  }

  /** Looks at a job until `stop` is called. */
  watch(job: WatchedJob): UsageWatch {
    const summary = new UsageSummary(performance.now());
    const watched: Watched = { summary, last: null };
    this.#watched.set(job, watched);
    this.#schedule(Math.min(FIRST_LOOK_MS, this.#options.everyMs));
    const stop = (): void => {
      this.#watched.delete(job);
      if (this.#watched.size === 0) this.#cancel();
    };
    return { summary, stop, end: () => this.#end(job, watched, stop) };
  }

  async #end({ job, process }: WatchedJob, { summary, last }: Watched, stop: () => void): Promise<void> {
    stop();
    const { cpuMs } = process;
    if (cpuMs === null) return;
    const nowMs = performance.now();
    const percent = summary.addCpu(cpuMs, nowMs);
    if (last === null || nowMs - last.atMs < LEAST_LAST_MS) return;
    await this.#send([recordOf(job, this.#options.workerId, last.use, percent, null)]);
  }

  /** The sooner of two looks is the one that comes: a stream of short jobs must not put it off for ever. */
  #schedule(delayMs: number): void {
    const dueMs = performance.now() + delayMs;
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => void this.#tick(), delayMs);
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#dueMs = Number.POSITIVE_INFINITY;
  }

  async #tick(): Promise<void> {
    this.#cancel();
    // A look that takes long is not overtaken by the next.
    const { everyMs } = this.#options;
    let nextMs = everyMs;
    if (!this.#isLooking) {
      this.#isLooking = true;
      try {
        if (await this.#look()) nextMs = Math.min(everyMs, SECOND_LOOK_MS);
      } catch {
        // A machine that tells nothing now may tell the next time; jobs do not suffer by it.
      }
      this.#isLooking = false;
    }
    if (this.#watched.size > 0) this.#schedule(nextMs);
  }

  /** Says whether some job's use is yet to be known. */
  async #look(): Promise<boolean> {
    const { workerId, nvidiaSmi } = this.#options;
    const [all, gpus] = await Promise.all([
      machineProcesses(),
      nvidiaSmi === null ? null : machineGpus(nvidiaSmi),
    ]);
    const records: NewJobRecord[] = [];
    let isUnknown = false;
    const nowMs = performance.now();
    for (const [{ job, process, accelerators }, watched] of this.#watched) {
      const { summary } = watched;
      const found = useOf(process.pid, all);
      const use = found === null ? null : { ...found, cpuMs: process.cpuMs ?? found.cpuMs };
      if (use === null) {
        // Gone by now, or too new for this look.
        if (!summary.hasSamples) isUnknown = true;
        continue;
      }
      const gpu = gpus === null ? null : gpuUseOf(gpus, use.pids, accelerators);
      const percent = summary.add(use, gpu, nowMs);
      watched.last = { use, atMs: nowMs };
      if (percent === null) isUnknown = true;
      else records.push(recordOf(job, workerId, use, percent, gpu));
    }
    if (records.length > 0) await this.#send(records);
    return isUnknown;
  }

  /** Whatever becomes of it, the next look comes when it is due. */
  async #send(records: readonly NewJobRecord[]): Promise<void> {
    const { client, workerId } = this.#options;
    await client
      .sendRecords({ workerId, records: [...records] }, { signal: AbortSignal.timeout(SEND_TIMEOUT_MS) })
      .catch(() => {});
  }
}

/** In the words of ShelbyCompute's usage reports, with more. */
function recordOf(
  job: WatchedJob["job"],
  workerId: string,
  use: ProcessUse,
  cpuPercent: number,
  gpu: GpuUse | null,
): NewJobRecord {
  return {
    id: job.id,
    attempt: job.attempt,
    kind: "usage",
    data: {
      nodeId: workerId,
      jobId: job.key,
      cpu_percent: cpuPercent,
      ram_percent: use.memoryPercent,
      ts: Math.floor(Date.now() / 1000),
      memoryBytes: use.memoryBytes,
      processes: use.pids.length,
      ...(gpu?.percent === null || gpu === null ? {} : { gpu_percent: gpu.percent }),
      ...(gpu === null ? {} : { gpuMemoryBytes: gpu.memoryBytes }),
    },
  };
}
