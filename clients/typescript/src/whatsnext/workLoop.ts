/** Takes jobs as long as there is room, runs them side by side, and counts them. */
import { Bell } from "./bell.ts";
import { type Amount, Capacity } from "./capacity.ts";
import type { CheckedClientOptions } from "./clientOptions.ts";
import { EmptyQueueError, HttpError } from "./errors.ts";
import type { Job } from "./job.ts";
import { isAway } from "./patience.ts";
import type { JobResource } from "./runJob.ts";

export interface WorkLoopOptions {
  readonly pollIntervalMs: number;
  readonly runForever: boolean;
  readonly useResourceFilter: boolean;
}

/** What the loop works for: a `Client`. */
export interface Worker extends JobResource {
  register(): Promise<void>;
  deactivate(): Promise<void>;
}

const UNCOUNTED: Amount = { cpu: 0, accelerators: 0 };

export class WorkLoop {
  readonly #worker: Worker;
  readonly #client: CheckedClientOptions;
  readonly #options: WorkLoopOptions;
  readonly #capacity: Capacity;
  /** Rings when a job has ended, and when the loop is to stop. */
  readonly #bell = new Bell();
  readonly #stopping = new AbortController();
  readonly #killing = new AbortController();
  #isAway = false;
  /** Whether a fetch may have taken a job whose name never came here. */
  #mayHoldLostJob = false;
  #count = 0;

  constructor(worker: Worker, client: CheckedClientOptions, options: WorkLoopOptions) {
    this.#worker = worker;
    this.#client = client;
    this.#options = options;
    const total = { cpu: client.availableCpu, accelerators: client.availableAccelerators };
    this.#capacity = new Capacity(client.slots, options.useResourceFilter ? total : UNCOUNTED);
  }

  /** Aborted as soon as no more jobs are to be taken. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  stop(kill: boolean): void {
    this.#stopping.abort(new Error("the worker was told to stop"));
    if (kill) this.#killing.abort(new Error("the worker was told to end at once"));
    this.#bell.ring();
  }

  /** Resolves to the number of jobs run; rejects, after the running jobs have ended, with what ended the taking. */
  async run(): Promise<number> {
    try {
      await this.#takeJobs();
    } finally {
      while (this.#capacity.runningCount > 0) await this.#bell.wait(null);
    }
    return this.#count;
  }

  async #takeJobs(): Promise<void> {
    while (!this.stopping.aborted) {
      const free = this.#capacity.free();
      if (free === null) {
        await this.#bell.wait(null);
        continue;
      }
      const job = await this.#fetch(free);
      if (job !== null) {
        await this.#start(job, free);
        continue;
      }
      const mayMoreCome = this.#options.runForever || this.#capacity.runningCount > 0;
      if (!mayMoreCome) return;
      // A job that ends may let others begin; so may those of other workers, hence the poll.
      await this.#bell.wait(this.#options.pollIntervalMs);
    }
  }

  /** The next job; null when there is none now, or the server is away and to be waited for. */
  async #fetch(free: Amount): Promise<Job | null> {
    const { project, id, name, log } = this.#client;
    try {
      if (this.#mayHoldLostJob && this.#capacity.runningCount === 0) await this.#giveUpLostJob();
      // Only the second stop breaks a fetch off: a job that comes meanwhile is lost until this worker has left.
      const call = { clientId: id, signal: this.#killing.signal };
      const job = await project.fetchJob(free.cpu, free.accelerators, call);
      if (this.#isAway) log(`client "${name}": the server is back`);
      this.#isAway = false;
      return job;
    } catch (error) {
      if (this.#killing.signal.aborted) return null;
      const isEmpty = error instanceof EmptyQueueError;
      if (!isEmpty && !isRefusal(error)) this.#mayHoldLostJob = true;
      if (!isEmpty && !(this.#options.runForever && isAway(error))) throw error;
      if (this.#isAway === isEmpty)
        log(`client "${name}": ${isEmpty ? "the server is back" : String(error)}`);
      this.#isAway = !isEmpty;
      return null;
    }
  }

  /**
   * Heartbeats would keep a job whose fetch was broken off for as long as this worker lives. Leaving gives it to others;
   * it would give away running jobs too, so it is done when none runs.
   */
  async #giveUpLostJob(): Promise<void> {
    await this.#worker.deactivate();
    await this.#worker.register();
    this.#mayHoldLostJob = false;
  }

  async #start(job: Job, free: Amount): Promise<void> {
    // Taken whole until it is known what the job needs: an unknown need is no reason to take too much.
    this.#capacity.take(job.id, free);
    if (this.stopping.aborted) {
      await this.#putBack(job);
      this.#capacity.giveBack(job.id);
      return;
    }
    if (this.#client.slots > 1 && this.#options.useResourceFilter) {
      const needs = await this.#needsOf(job);
      if (needs !== null) this.#capacity.take(job.id, needs);
    }
    void this.#run(job);
  }

  async #run(job: Job): Promise<void> {
    const { startTimeoutMs, outcomeTimeoutMs, log } = this.#client;
    try {
      const options = { signal: this.#killing.signal, startTimeoutMs, outcomeTimeoutMs };
      const { error, status } = await job.run(this.#worker, options);
      if (status !== "PENDING") this.#count++;
      if (error !== null && status === "FAILED") log(`job ${job.id} "${job.name}" failed: ${error.message}`);
    } catch (error) {
      log(`job ${job.id} "${job.name}": the server was not told how it is: ${String(error)}`);
    }
    this.#capacity.giveBack(job.id);
    this.#bell.ring();
  }

  async #needsOf(job: Job): Promise<Amount | null> {
    try {
      const task = await this.#client.project.getTask(job.taskId);
      return { cpu: task.requiredCpu, accelerators: task.requiredAccelerators };
    } catch (error) {
      this.#client.log(`job ${job.id} "${job.name}": what it needs is not known: ${String(error)}`);
      return null;
    }
  }

  /** A job that came after the stop is for others; leaving gives it back too if this does not arrive. */
  async #putBack(job: Job): Promise<void> {
    try {
      await job.setStatus("PENDING");
    } catch (error) {
      this.#client.log(`job ${job.id} "${job.name}" was not put back: ${String(error)}`);
    }
  }
}

/** Whether the server itself said no, so that it surely did nothing. */
function isRefusal(error: unknown): boolean {
  return error instanceof HttpError && ![500, 502, 504].includes(error.status);
}
