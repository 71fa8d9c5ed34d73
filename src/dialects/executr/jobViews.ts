/** Finds this API's jobs and gathers what its answers show of them. */
import { NotFoundError } from "../../domain/errors.ts";
import type { Job } from "../../domain/job.ts";
import { isFinal, isHeld } from "../../domain/stateMachine.ts";
import type { Reads } from "../../engine/engine.ts";
import { readOutputs } from "./outputs.ts";
import { AbsentError } from "./refusals.ts";
import { jobToRow, jobToWire } from "./wire.ts";

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
  async whole(job: Job) {
    const [attempts, outputs, heardAt] = await Promise.all([
      job.attempt === 0 ? [] : this.#read.attempts(job.id),
      isFinal(job.state) ? readOutputs(this.#read, job) : null,
      isHeld(job.state) ? this.#heardAt(job) : null,
    ]);
    return jobToWire(job, { attempts, outputs, heardAt });
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

/** Claiming a job is a sign of life too. */
function latest(job: Job, heardAt: number | undefined): number | null {
  if (heardAt === undefined || job.startedAt === null) return heardAt ?? job.startedAt;
  return Math.max(heardAt, job.startedAt);
}
