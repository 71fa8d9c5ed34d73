/** Finds this API's jobs and gathers what its answers show of them. */
import { NotFoundError } from "../../domain/errors.ts";
import type { Attempt, Job } from "../../domain/job.ts";
import { isFinal, isHeld } from "../../domain/stateMachine.ts";
import type { Reads } from "../../engine/engine.ts";
import { readOutputs } from "./outputs.ts";
import { AbsentError } from "./refusals.ts";
import { jobToRow, jobToWire, type Outputs } from "./wire.ts";

/** What the caller knows of a job already, and need not be read. */
export interface Known {
  /** Of the executor of the current attempt. */
  readonly address?: string;
  readonly outputs?: Outputs;
  readonly heardAt?: number;
}

export class JobViews {
  readonly #read: Reads;

  constructor(read: Reads) {
    this.#read = read;
  }

  /**
   * The job with this id. Jobs of other APIs are not there for this one.
   *
   * @throws AbsentError
   */
  async find(id: string): Promise<Job> {
    try {
      return await this.#read.job({ dialect: "executr", key: id });
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
    throw new AbsentError(id);
  }

  /** A job with its outputs and attempts. */
  async whole(found: Job, known: Known = {}) {
    const job = await this.#withStart(found);
    const [attempts, outputs, heardAt] = await Promise.all([
      this.#attempts(job, known.address),
      isFinal(job.state) ? (known.outputs ?? readOutputs(this.#read, job)) : null,
      isHeld(job.state) ? (known.heardAt ?? this.#heardAt(job)) : null,
    ]);
    return jobToWire(job, { attempts, outputs, heardAt });
  }

  /** A first attempt is told of by the job itself, until it is put back. */
  #attempts(job: Job, address: string | undefined): Promise<readonly Attempt[]> | readonly Attempt[] {
    if (job.attempt === 0) return [];
    const outcome = outcomeOf(job);
    if (job.attempt > 1 || address === undefined || outcome === undefined) return this.#readAttempts(job);
    const { workerId, startedAt, exitCode, error } = job;
    const endedAt = outcome === null ? null : job.finishedAt;
    return [{ number: 1, workerId, workerAddress: address, startedAt, endedAt, outcome, exitCode, error }];
  }

  async #readAttempts(job: Job): Promise<readonly Attempt[]> {
    const attempts = await this.#read.attempts(job.id);
    if (attempts.every(({ workerId, startedAt }) => workerId === null || startedAt !== null)) return attempts;
    const claims = await this.#claimTimes(job);
    return attempts.map((one) => ({ ...one, startedAt: one.startedAt ?? claims.get(one.number) ?? null }));
  }

  /** Executr's attempts begin with the claim; an agent's begin with the process, after its download. */
  async #withStart(job: Job): Promise<Job> {
    if (!isHeld(job.state) || job.startedAt !== null) return job;
    return { ...job, startedAt: (await this.#claimTimes(job)).get(job.attempt) ?? null };
  }

  async #claimTimes({ id }: Job): Promise<ReadonlyMap<number, number>> {
    const events = await this.#read.events(id, 0);
    return new Map(events.filter(({ to }) => to === "leased").map(({ attempt, time }) => [attempt, time]));
  }

  /** Jobs as they stand in lists. */
  async rows(jobs: readonly Job[]) {
    const heard = new Map<string, number>();
    if (jobs.some((job) => isHeld(job.state))) {
      for (const { id, lastSeenAt } of await this.#read.workers()) heard.set(id, lastSeenAt);
    }
    return jobs.map((job) => jobToRow(job, latest(job, heard.get(job.workerId ?? ""))));
  }

  async #heardAt(job: Job): Promise<number | null> {
    if (job.workerId === null) return job.startedAt;
    try {
      return latest(job, (await this.#read.worker(job.workerId)).lastSeenAt);
    } catch (error) {
      if (error instanceof NotFoundError) return job.startedAt;
      throw error;
    }
  }
}

/** How the current attempt stands: null while it lasts, undefined where the job's state does not tell. */
function outcomeOf({ state }: Job): "succeeded" | "failed" | null | undefined {
  if (isHeld(state)) return null;
  return state === "succeeded" || state === "failed" ? state : undefined;
}

/** Claiming a job is a sign of life too. */
function latest(job: Job, heardAt: number | undefined): number | null {
  if (heardAt === undefined || job.startedAt === null) return heardAt ?? job.startedAt;
  return Math.max(heardAt, job.startedAt);
}
