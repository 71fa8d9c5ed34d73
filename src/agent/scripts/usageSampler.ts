/**
 * Looks every few seconds at what jobs use, sends it to the server as `usage` records, and sums it up for each job's
 * result. One look serves all jobs of the agent.
 */
import type { ClaimedJob, JsonObject, NewJobRecord, YardmasterClient } from "@yardmaster/client";
import { type GpuUse, gpuUseOf, machineGpus } from "./gpuUse.ts";
import { machineProcesses, type ProcessUse, rounded, useOf } from "./processUse.ts";

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
  /** Its first process. */
  readonly pid: number;
  readonly accelerators: readonly number[];
}

/** The first look at a job comes this soon, so that short jobs have one too. */
const FIRST_LOOK_MS = 500;
/** The use of the CPU is what came since the look before: after the first one the next comes this soon. */
const SECOND_LOOK_MS = 1_000;
/** A server that does not take a record in this time is not waited for: the next figures are as good. */
const SEND_TIMEOUT_MS = 5_000;

/** What a job used over its time. */
export class UsageSummary {
  #samples = 0;
  #cpuSamples = 0;
  #cpuSum = 0;
  #cpuMax = 0;
  #memoryMax = 0;
  #gpuSum = 0;
  #gpuSamples = 0;
  #gpuMemoryMax: number | null = null;

  add(use: ProcessUse, gpu: GpuUse | null): void {
    this.#samples += 1;
    if (use.cpuPercent !== null) {
      this.#cpuSamples += 1;
      this.#cpuSum += use.cpuPercent;
      this.#cpuMax = Math.max(this.#cpuMax, use.cpuPercent);
    }
    this.#memoryMax = Math.max(this.#memoryMax, use.memoryBytes);
    if (gpu === null) return;
    this.#gpuMemoryMax = Math.max(this.#gpuMemoryMax ?? 0, gpu.memoryBytes);
    if (gpu.percent === null) return;
    this.#gpuSamples += 1;
    this.#gpuSum += gpu.percent;
  }

  get hasSamples(): boolean {
    return this.#samples > 0;
  }

  /** Null where the job was over before anybody looked. */
  figures(): JsonObject | null {
    if (this.#samples === 0) return null;
    return {
      samples: this.#samples,
      ...(this.#cpuSamples === 0
        ? {}
        : { cpuPercentMean: rounded(this.#cpuSum / this.#cpuSamples), cpuPercentMax: this.#cpuMax }),
      memoryBytesMax: this.#memoryMax,
      ...(this.#gpuSamples === 0 ? {} : { gpuPercentMean: rounded(this.#gpuSum / this.#gpuSamples) }),
      ...(this.#gpuMemoryMax === null ? {} : { gpuMemoryBytesMax: this.#gpuMemoryMax }),
    };
  }
}

export class UsageSampler {
  readonly #options: UsageSamplerOptions;
  readonly #watched = new Map<WatchedJob, UsageSummary>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #isLooking = false;

  constructor(options: UsageSamplerOptions) {
    this.#options = options;
  }

  /** Looks at a job until `stop` is called. */
  watch(watched: WatchedJob): { readonly summary: UsageSummary; stop(): void } {
    const summary = new UsageSummary();
    this.#watched.set(watched, summary);
    this.#schedule(FIRST_LOOK_MS);
    return {
      summary,
      stop: () => {
        this.#watched.delete(watched);
        if (this.#watched.size === 0) this.#cancel();
      },
    };
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
    const { client, workerId, nvidiaSmi } = this.#options;
    const [all, gpus] = await Promise.all([
      machineProcesses(),
      nvidiaSmi === null ? null : machineGpus(nvidiaSmi),
    ]);
    const records: NewJobRecord[] = [];
    let isUnknown = false;
    for (const [watched, summary] of this.#watched) {
      const use = useOf(watched.pid, all);
      if (use === null) {
        // Gone by now, or too new for this look.
        if (!summary.hasSamples) isUnknown = true;
        continue;
      }
      const gpu = gpus === null ? null : gpuUseOf(gpus, use.pids, watched.accelerators);
      summary.add(use, gpu);
      const { cpuPercent } = use;
      if (cpuPercent === null) isUnknown = true;
      else records.push(recordOf(watched, workerId, { ...use, cpuPercent }, gpu));
    }
    if (records.length > 0) {
      // Whatever becomes of it, the next look comes when it is due.
      await client
        .sendRecords({ workerId, records }, { signal: AbortSignal.timeout(SEND_TIMEOUT_MS) })
        .catch(() => {});
    }
    return isUnknown;
  }
}

/** In the words of ShelbyCompute's usage reports, with more. */
function recordOf(
  { job }: WatchedJob,
  workerId: string,
  use: ProcessUse & { readonly cpuPercent: number },
  gpu: GpuUse | null,
): NewJobRecord {
  return {
    id: job.id,
    attempt: job.attempt,
    kind: "usage",
    data: {
      nodeId: workerId,
      jobId: job.key,
      cpu_percent: use.cpuPercent,
      ram_percent: use.memoryPercent,
      ts: Math.floor(Date.now() / 1000),
      memoryBytes: use.memoryBytes,
      processes: use.pids.length,
      ...(gpu?.percent === null || gpu === null ? {} : { gpu_percent: gpu.percent }),
      ...(gpu === null ? {} : { gpuMemoryBytes: gpu.memoryBytes }),
    },
  };
}
