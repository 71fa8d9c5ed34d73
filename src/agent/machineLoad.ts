/** Tells the server every few seconds how busy the agent's machine is. */
import { cpus, freemem, totalmem } from "node:os";
import type { MachineLoad, YardmasterClient } from "@yardmaster/client";
import { machineGpus } from "./scripts/gpuUse.ts";
import { rounded } from "./scripts/processUse.ts";

export interface LoadReporterOptions {
  readonly client: Pick<YardmasterClient, "reportLoad">;
  readonly workerId: string;
  readonly everyMs: number;
  /** Path of `nvidia-smi`; null on machines without. */
  readonly nvidiaSmi: string | null;
}

/** The first figures come this soon after the start: those of a new agent are looked at. */
const FIRST_MS = 1_000;
/** A server that does not take figures in this time is not waited for: the next ones are as good. */
const SEND_TIMEOUT_MS = 5_000;

export class LoadReporter {
  readonly #options: LoadReporterOptions;
  #ticks = processorTicks();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #stopped = new AbortController();

  constructor(options: LoadReporterOptions) {
    this.#options = options;
  }

  start(): void {
    this.#schedule(Math.min(FIRST_MS, this.#options.everyMs));
  }

  stop(): void {
    this.#stopped.abort();
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (this.#stopped.signal.aborted) return;
    this.#timer = setTimeout(() => void this.#tick(), delayMs);
  }

  async #tick(): Promise<void> {
    const { client, workerId, everyMs } = this.#options;
    try {
      const load = await this.#load();
      const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(SEND_TIMEOUT_MS)]);
      await client.reportLoad(workerId, load, { signal });
    } catch {
      // Jobs do not suffer by it, and whoever looks sees how old the figures are.
    }
    this.#schedule(everyMs);
  }

  async #load(): Promise<MachineLoad> {
    const { nvidiaSmi } = this.#options;
    const before = this.#ticks;
    this.#ticks = processorTicks();
    const all = this.#ticks.all - before.all;
    const busy = this.#ticks.busy - before.busy;
    const gpus = nvidiaSmi === null ? null : await machineGpus(nvidiaSmi);
    const used = [...(gpus?.gpus.values() ?? [])].flatMap(({ percent }) =>
      percent === null ? [] : [percent],
    );
    const sum = used.reduce((total, percent) => total + percent, 0);
    return {
      cpuPercent: percentOf(busy, all),
      memoryPercent: percentOf(totalmem() - freemem(), totalmem()),
      gpuPercent: used.length === 0 ? null : percentOf(sum, 100 * used.length),
    };
  }
}

/** Time of all processors since the machine's start, in milliseconds. */
function processorTicks(): { readonly busy: number; readonly all: number } {
  let busy = 0;
  let idle = 0;
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq;
    idle += times.idle;
  }
  return { busy, all: busy + idle };
}

function percentOf(part: number, whole: number): number {
  if (!(whole > 0)) return 0;
  return Math.min(Math.max(rounded((part / whole) * 100), 0), 100);
}
