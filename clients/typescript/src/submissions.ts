/**
 * Single submissions of one client that meet: a few are under way at a time, and those that come meanwhile go
 * together in the next request. A program that submits one job after the other, or a handful at once, notices
 * nothing; one that submits fifty at once pays for a fraction of the requests.
 */
import { AnswerError } from "./errors.ts";
import type { Job, NewJob } from "./types.ts";

/** Requests under way at a time. */
const MAX_REQUESTS = 4;
/** Jobs of one request; the server takes 1,000. */
const MAX_JOBS = 500;
/** Text of one request, unless a single job is longer; the server takes 16 MiB. */
const MAX_LENGTH = 1024 * 1024;
/** Answers that a neighbour in the request may be the reason for. All of them say that nothing was created. */
const REFUSALS = new Set([400, 409, 413, 422]);

interface Waiting {
  readonly json: string;
  readonly resolve: (job: Job) => void;
  readonly reject: (reason: unknown) => void;
}

/** Sends the text of a body; resolves with the answer. Several jobs are created all or none. */
export type SendSubmission = <Answer>(json: string) => Promise<Answer>;

export class Submissions {
  readonly #send: SendSubmission;
  readonly #waiting: Waiting[] = [];
  #requests = 0;

  constructor(send: SendSubmission) {
    this.#send = send;
  }

  /** Whether a job may share a request: a job that names its neighbours means those of its own array. */
  static canShare(job: NewJob): boolean {
    const { dependsOn } = job;
    if (!Array.isArray(dependsOn)) return dependsOn === undefined;
    return !dependsOn.some((ref) => typeof ref === "string" && ref.startsWith("#"));
  }

  /** Submits one job, perhaps together with others. */
  add(job: NewJob): Promise<Job> {
    return new Promise((resolve, reject) => {
      // Undefined where there is nothing to write, which the type of `stringify` does not tell.
      const json: string | undefined = JSON.stringify(job);
      if (json === undefined) throw new TypeError("a job must be something that can be written as JSON");
      this.#waiting.push({ json, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#requests >= MAX_REQUESTS || this.#waiting.length === 0) return;
    this.#requests++;
    this.#submit(this.#take()).finally(() => {
      this.#requests--;
      this.#next();
    });
  }

  #take(): Waiting[] {
    let jobs = 0;
    let length = 0;
    for (const { json } of this.#waiting) {
      length += json.length;
      if (jobs >= MAX_JOBS || (jobs > 0 && length > MAX_LENGTH)) break;
      jobs++;
    }
    return this.#waiting.splice(0, jobs);
  }

  async #submit(jobs: readonly Waiting[]): Promise<void> {
    const [first] = jobs;
    if (first === undefined) return;
    if (jobs.length === 1) return this.#submitAlone(first);
    try {
      const { items } = await this.#send<{ items: Job[] }>(`[${jobs.map(({ json }) => json).join(",")}]`);
      for (const [index, { resolve, reject }] of jobs.entries()) {
        const job = items[index];
        if (job === undefined) reject(new Error("the server answered with fewer jobs than it was sent"));
        else resolve(job);
      }
    } catch (error) {
      if (error instanceof AnswerError && REFUSALS.has(error.status)) {
        // Each is told of its own faults, and those that have none are created.
        for (const job of jobs) await this.#submitAlone(job);
      } else for (const job of jobs) job.reject(error);
    }
  }

  async #submitAlone({ json, resolve, reject }: Waiting): Promise<void> {
    await this.#send<Job>(json).then(resolve, reject);
  }
}
