/** What a job used over its time, summed up from looks at it. */
import { cpus } from "node:os";
import type { JsonObject } from "@yardmaster/client";
import type { GpuUse } from "./gpuUse.ts";
import { type ProcessUse, rounded } from "./processUse.ts";

/** In less time than this a percentage says little: the system counts CPU time in steps of 10 ms. */
const LEAST_INTERVAL_MS = 250;

export class UsageSummary {
  readonly #cores: number;
  readonly #startedMs: number;
  /** Of the last look that knew the CPU time: when it was, and what had been used. */
  #knownMs: number;
  #knownCpuMs = 0;
  #cpuMs = 0;
  #cpuPercentMax: number | null = null;
  #samples = 0;
  #memoryMax = 0;
  #gpuSum = 0;
  #gpuSamples = 0;
  #gpuMemoryMax: number | null = null;

  /** @param nowMs the job's start, of `performance.now` as all times here */
  constructor(nowMs: number, cores = cpus().length) {
    this.#cores = cores;
    this.#startedMs = nowMs;
    this.#knownMs = nowMs;
  }

  get hasSamples(): boolean {
    return this.#samples > 0;
  }

  /** Adds a look at the job; returns what it used of the CPUs since the one before, as percent of all of them. */
  add(use: ProcessUse, gpu: GpuUse | null, nowMs: number): number | null {
    this.#samples += 1;
    this.#memoryMax = Math.max(this.#memoryMax, use.memoryBytes);
    if (gpu !== null) {
      this.#gpuMemoryMax = Math.max(this.#gpuMemoryMax ?? 0, gpu.memoryBytes);
      if (gpu.percent !== null) {
        this.#gpuSamples += 1;
        this.#gpuSum += gpu.percent;
      }
    }
    return use.cpuMs === null ? null : this.addCpu(use.cpuMs, nowMs);
  }

  /** Adds the CPU time that the job has used so far; returns percent as `add` does. */
  addCpu(cpuMs: number, nowMs: number): number {
    // A process that nobody waited for takes its time with it; what was counted stays.
    const usedMs = Math.max(0, cpuMs - this.#knownCpuMs);
    const tookMs = Math.max(1, nowMs - this.#knownMs);
    this.#knownCpuMs = cpuMs;
    this.#knownMs = nowMs;
    this.#cpuMs += usedMs;
    const percent = this.#percent(usedMs, tookMs);
    if (tookMs >= LEAST_INTERVAL_MS || this.#cpuPercentMax === null) {
      this.#cpuPercentMax = Math.max(this.#cpuPercentMax ?? 0, percent);
    }
    return percent;
  }

  #percent(usedMs: number, tookMs: number): number {
    return Math.min(100, rounded((usedMs / (Math.max(1, tookMs) * this.#cores)) * 100));
  }

  /** Null where nothing is known. */
  figures(): JsonObject | null {
    const isCpuKnown = this.#cpuPercentMax !== null;
    if (this.#samples === 0 && !isCpuKnown) return null;
    const mean = this.#percent(this.#cpuMs, this.#knownMs - this.#startedMs);
    const cpu = {
      cpuSeconds: rounded(this.#cpuMs / 1_000),
      cpuPercentMean: mean,
      cpuPercentMax: Math.max(mean, this.#cpuPercentMax ?? 0),
    };
    return {
      samples: this.#samples,
      ...(isCpuKnown ? cpu : {}),
      ...(this.#samples === 0 ? {} : { memoryBytesMax: this.#memoryMax }),
      ...(this.#gpuSamples === 0 ? {} : { gpuPercentMean: rounded(this.#gpuSum / this.#gpuSamples) }),
      ...(this.#gpuMemoryMax === null ? {} : { gpuMemoryBytesMax: this.#gpuMemoryMax }),
    };
  }
}
