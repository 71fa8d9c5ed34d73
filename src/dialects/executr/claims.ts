/** Gives executors the next job, and waits inside the request while the store is away. */
import { OverloadedError, StoreUnavailableError } from "../../domain/errors.ts";
import type { Attempt } from "../../domain/job.ts";
import type { ClaimedJob, ClaimRequest, Engine } from "../../engine/engine.ts";
import type { ExecutrSettings } from "./executrSettings.ts";
import { RefusedError } from "./refusals.ts";
import type { Reports } from "./reports.ts";
import { QUEUES } from "./statuses.ts";
import { jobToWire } from "./wire.ts";

/** Executors say nothing of what they have: one job at a time, whatever it needs. */
const UNLIMITED = 1_000_000_000;
/** Pause between two tries while the store is away. */
const RETRY_MS = 250;
/** Executors of which it is known that they are this API's own. */
const MAX_KNOWN = 50_000;

export interface Claimant {
  readonly executor_id: string;
  readonly executor_ip: string;
}

export class Claims {
  readonly #engine: Engine;
  readonly #reports: Reports;
  readonly #settings: ExecutrSettings;
  readonly #known = new Set<string>();

  constructor(engine: Engine, reports: Reports, settings: ExecutrSettings) {
    this.#engine = engine;
    this.#reports = reports;
    this.#settings = settings;
  }

  /**
   * The next job as its executor gets it; null when there is none.
   *
   * @param signal aborted when the executor goes away or the server closes
   * @throws RefusedError for the id of a worker of another API
   */
  async next(claimant: Claimant, signal: AbortSignal): Promise<object | null> {
    const { executor_id: workerId, executor_ip: address } = claimant;
    const [job] = await this.#patiently(signal, async () => {
      await this.#checkId(workerId);
      return this.#engine.claim(this.#request(workerId, address), signal);
    });
    if (job === undefined) return null;
    this.#reports.claimed(job, address);
    if (signal.aborted) await this.#giveBack(workerId, job);
    const attempts = await this.#attempts(job, address);
    return jobToWire(job, { attempts, outputs: null, heardAt: job.startedAt });
  }

  #request(workerId: string, address: string): ClaimRequest {
    return {
      workerId,
      queues: QUEUES,
      kinds: ["binary"],
      capacity: { cpu: UNLIMITED, accelerators: UNLIMITED, memoryMb: UNLIMITED },
      max: 1,
      waitMs: 0,
      leaseMs: this.#settings.leaseMs,
      starts: true,
      registerAs: { dialect: "executr", address },
    };
  }

  /** Under another worker's id an executor could report on what that one holds. */
  async #checkId(id: string): Promise<void> {
    if (this.#known.has(id)) return;
    const dialect = await this.#engine.read.dialectOfWorker(id);
    if (dialect !== null && dialect !== "executr") {
      throw new RefusedError("executor_id: that is the id of a worker of another API", {
        field: "executor_id",
      });
    }
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    if (dialect !== null) this.#known.add(id);
  }

  async #patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#settings.claimPatienceMs;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        const isPassing = error instanceof StoreUnavailableError || error instanceof OverloadedError;
        if (!isPassing || signal.aborted || performance.now() + RETRY_MS > deadline) throw error;
        await pause(RETRY_MS, signal);
        if (signal.aborted) throw error;
      }
    }
  }

  /** The job is given whatever happens to the read: it is leased already. */
  async #attempts(job: ClaimedJob, address: string): Promise<readonly Attempt[]> {
    const current: Attempt = {
      number: job.attempt,
      workerId: job.workerId,
      workerAddress: address,
      startedAt: job.startedAt,
      endedAt: null,
      outcome: null,
      exitCode: null,
      error: null,
    };
    if (job.attempt === 1) return [current];
    try {
      const all = await this.#engine.read.attempts(job.id);
      return [...all.filter(({ number }) => number < job.attempt), current];
    } catch (error) {
      if (error instanceof StoreUnavailableError || error instanceof OverloadedError) return [current];
      throw error;
    }
  }

  /** Its executor will not have it: the job goes back at once instead of when its lease ends. */
  async #giveBack(workerId: string, { id, attempt }: ClaimedJob): Promise<void> {
    const error = "the executor left before it was given the job";
    const outcome = "released" as const;
    const result = { id, attempt, outcome, exitCode: null, error, result: null, startedAt: null };
    await this.#engine.finish({ workerId, results: [result] });
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  const stop = () => resolve();
  signal.addEventListener("abort", stop, { once: true });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  });
}
