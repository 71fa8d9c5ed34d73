/**
 * What executors report of the jobs they hold. Only the holder's word counts; a refusal says why, in the
 * status code that existing executors act on.
 */
import type { Job } from "../../domain/job.ts";
import { isHeld } from "../../domain/stateMachine.ts";
import type { Engine, ResultAnswer } from "../../engine/engine.ts";
import { type Holding, Holdings } from "./holdings.ts";
import type { JobViews, Known } from "./jobViews.ts";
import { readOutputs, storedOutput } from "./outputs.ts";
import { AbsentError, RefusedError } from "./refusals.ts";
import type { ResultBody } from "./schemas.ts";
import { statusOf } from "./statuses.ts";
import type { Outputs } from "./wire.ts";

/** The end of an attempt as its executor tells it. */
export type Report = ResultBody & { readonly error_message?: string };

interface Ending {
  readonly outcome: "succeeded" | "failed";
  readonly exitCode: number;
  readonly error: string | null;
  readonly outputs: Outputs;
}

export class Reports {
  readonly #engine: Engine;
  readonly #views: JobViews;
  readonly #holdings = new Holdings();

  constructor(engine: Engine, views: JobViews) {
    this.#engine = engine;
    this.#views = views;
  }

  /** An executor at this address was given this job. */
  claimed(job: Job, address: string): void {
    this.#learn(job, address);
  }

  /**
   * The executor is alive and runs the job.
   *
   * @returns what is known of the job by it
   * @throws AbsentError, RefusedError
   */
  async heartbeat(key: string, executorId: string): Promise<Known> {
    let holding = this.#known(key, executorId);
    for (;;) {
      if (holding !== null && (await this.#renew(holding, executorId))) {
        return { ...addressOf(holding), heardAt: Date.now() };
      }
      const job = await this.#views.find(key);
      if (!isHeldBy(job, executorId)) throw noHeartbeat(job);
      // Read anew and refused again: its lease ended in between.
      if (job.attempt === holding?.attempt) throw notRunning(job);
      holding = this.#learn(job);
    }
  }

  /**
   * The executor's attempt has ended. Told again with the same content it is no error.
   *
   * @returns what is known of the job by it
   * @throws AbsentError, RefusedError
   */
  async end(key: string, outcome: Ending["outcome"], report: Report): Promise<Known> {
    const executorId = report.executor_id;
    const ending: Ending = {
      outcome,
      exitCode: report.exit_code ?? 0,
      error: report.error_message === undefined ? null : storedOutput(report.error_message),
      outputs: { stdout: storedOutput(report.stdout), stderr: storedOutput(report.stderr) },
    };
    let holding = this.#known(key, executorId);
    if (holding === null) {
      const job = await this.#views.find(key);
      if (job.workerId !== executorId) throw noEnd(job, outcome);
      holding = this.#learn(job);
    }
    for (;;) {
      const { accepted, isRepeated } = await this.#finish(holding, executorId, ending);
      if (accepted && isRepeated !== true) return { ...addressOf(holding), outputs: ending.outputs };
      const job = await this.#views.find(key);
      if (accepted) {
        await this.#compare(job, holding.attempt, ending);
        return {};
      }
      if (!isHeldBy(job, executorId) || job.attempt === holding.attempt) throw noEnd(job, outcome);
      holding = this.#learn(job);
    }
  }

  /** The engine is asked about nobody's jobs but the executor's own. */
  #known(key: string, executorId: string): Holding | null {
    const holding = this.#holdings.get(key);
    return holding?.workerId === executorId ? holding : null;
  }

  #learn({ id, key, attempt, workerId }: Job, address?: string): Holding {
    const holding = { id, attempt, workerId, ...(address === undefined ? {} : { address }) };
    this.#holdings.set(key, holding);
    return holding;
  }

  async #renew({ id, attempt }: Holding, workerId: string): Promise<boolean> {
    const leases = [{ id, attempt, progress: null, started: true }];
    return (await this.#engine.renew({ workerId, leases })).renewed.length > 0;
  }

  async #finish({ id, attempt }: Holding, workerId: string, ending: Ending): Promise<ResultAnswer> {
    const { outcome, exitCode, error, outputs } = ending;
    const output = (["stdout", "stderr"] as const)
      .map((stream) => ({ stream, text: outputs[stream] }))
      .filter(({ text }) => text !== "");
    const result = { id, attempt, outcome, exitCode, error, result: null, startedAt: null, output };
    const [answer] = await this.#engine.finish({ workerId, results: [result] });
    if (answer === undefined) throw new Error("the engine answered without a verdict");
    return answer;
  }

  /** @throws RefusedError where the attempt was reported with other content before */
  async #compare(job: Job, number: number, ending: Ending): Promise<void> {
    const [attempts, outputs] = await Promise.all([
      this.#engine.read.attempts(job.id),
      readOutputs(this.#engine.read, job, number),
    ]);
    const attempt = attempts.find((one) => one.number === number);
    const isSame =
      attempt?.exitCode === ending.exitCode &&
      attempt.error === ending.error &&
      outputs.stdout === ending.outputs.stdout &&
      outputs.stderr === ending.outputs.stderr;
    if (isSame) return;
    throw new RefusedError("this attempt was reported before, with another exit code, output or message", {
      job_id: job.key,
      status: statusOf(job.state),
    });
  }
}

function addressOf({ address }: Holding): Pick<Known, "address"> {
  return address === undefined ? {} : { address };
}

function isHeldBy(job: Job, executorId: string): boolean {
  return isHeld(job.state) && job.workerId === executorId;
}

function noHeartbeat(job: Job): Error {
  return isHeld(job.state) ? heldByAnother(job) : notRunning(job);
}

function notRunning(job: Job): AbsentError {
  const status = statusOf(job.state);
  return new AbsentError(job.key, `the job does not run: it is ${status}`, { status });
}

function noEnd(job: Job, outcome: Ending["outcome"]): Error {
  const status = statusOf(job.state);
  if (isHeld(job.state)) return heldByAnother(job);
  const verb = outcome === "succeeded" ? "completed" : "failed";
  return new RefusedError(`the job is ${status}; only a running job can be ${verb}, by its executor`, {
    job_id: job.key,
    status,
  });
}

function heldByAnother(job: Job): RefusedError {
  return new RefusedError("the job is run by another executor", {
    job_id: job.key,
    status: statusOf(job.state),
    field: "executor_id",
    ...(job.workerId === null ? {} : { executor_id: job.workerId }),
  });
}
