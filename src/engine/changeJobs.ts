/** What users do to jobs that exist: cancel, retry, delete. */

import { pendingState } from "../domain/dependencies.ts";
import { ConflictError, NotFoundError } from "../domain/errors.ts";
import type { Job } from "../domain/job.ts";
import { isFinal, isHeld, isPending, statesBefore } from "../domain/stateMachine.ts";
import type { JobControl } from "../store/store.ts";
import { type BatchContext, each, type Handler } from "./batch.ts";
import type { JobRef } from "./engine.ts";

export const cancelJobs: Handler<"cancel"> = (context, requests) =>
  each<"cancel">(requests, async ({ job: ref, reason, onlyPending }) => {
    const job = await findControl(context, ref);
    if (isFinal(job.state) || (onlyPending && isHeld(job.state))) {
      const what = onlyPending ? "only a job that no worker took yet" : "only a job that is not final";
      throw new ConflictError(`job ${job.id} is ${job.state}; ${what} can be cancelled`, {
        entity: "job",
        state: job.state,
        allowed: statesBefore("cancelled").filter((state) => !onlyPending || isPending(state)),
      });
    }
    // Its worker hears of it with the next heartbeat, and stops it.
    if (isHeld(job.state)) await context.tx.dropLeases([job.id]);
    const text = reason === null ? "cancelled by the user" : `cancelled by the user: ${reason}`;
    job.finishedAt = context.now;
    job.error = text;
    context.ledger.move(job, "cancelled", "cancelled", text);
    return whole(context, job.id);
  });

export const retryJobs: Handler<"retry"> = (context, requests) =>
  each<"retry">(requests, async ({ job: ref, runAt }) => {
    const job = await findControl(context, ref);
    if (!isFinal(job.state)) {
      throw new ConflictError(`job ${job.id} is ${job.state}; only a job that is final can be retried`, {
        entity: "job",
        state: job.state,
        allowed: statesBefore("retried"),
      });
    }
    await keepLastAttempt(context, job);
    reset(job);
    job.runAt = runAt;
    context.ledger.setResult(job, null);
    context.ledger.move(job, pendingState(job, context.now), "retried", "retried by the user");
    return whole(context, job.id);
  });

/** A fresh start: full budgets, nothing left of earlier attempts. */
export function reset(job: JobControl): void {
  job.spent = 0;
  job.recoveries = 0;
  job.runAt = null;
  job.leasedAt = null;
  job.startedAt = null;
  job.finishedAt = null;
  job.progress = null;
  job.exitCode = null;
  job.error = null;
}

/** The facts of the attempt that decided the job's fate leave its row now. */
export async function keepLastAttempt(context: BatchContext, job: JobControl): Promise<void> {
  if (job.attempt === 0 || job.workerId === null || !isFinal(job.state)) return;
  const kept = await context.tx.attemptsOf([job.id]);
  if (kept.some((attempt) => attempt.number === job.attempt)) return;
  await context.ledger.keepAttempt(job, job.state, job.finishedAt);
}

export const removeJobs: Handler<"remove"> = (context, requests) =>
  each<"remove">(requests, async ({ job: ref, force }) => {
    const job = await findControl(context, ref);
    if (isHeld(job.state) && force) await context.tx.dropLeases([job.id]);
    else if (isHeld(job.state)) {
      throw new ConflictError(`job ${job.id} is ${job.state}; cancel it before deleting it`, {
        entity: "job",
        state: job.state,
      });
    }
    context.ledger.delete(job);
    return null;
  });

/** Jobs deleted in one commit: keeps the commit, and others' wait, short. */
const JOBS_PER_ROUND = 1_000;

export const removePendingJobs: Handler<"removePending"> = (context, requests) =>
  each<"removePending">(requests, async ({ projectId }) => {
    const { tx, ledger } = context;
    const ids = await tx.jobsOfProject(projectId, JOBS_PER_ROUND, ["waiting", "ready"]);
    await ledger.load(ids);
    let removed = 0;
    for (const id of ids) {
      const job = ledger.get(id);
      if (job === undefined || (job.state !== "waiting" && job.state !== "ready")) continue;
      ledger.delete(job);
      removed++;
    }
    await ledger.flush();
    return removed;
  });

export async function findControl(context: BatchContext, ref: JobRef): Promise<JobControl> {
  const [id] = await context.tx.findJobs([{ dialect: null, ref }]);
  if (typeof id === "number") {
    await context.ledger.load([id]);
    const job = context.ledger.get(id);
    if (job !== undefined) return job;
  }
  throw new NotFoundError("job", ref);
}

export async function whole(context: BatchContext, id: number): Promise<Job> {
  await context.ledger.flush();
  const [job] = await context.tx.loadJobs([id]);
  if (job === undefined) throw new Error(`job ${id} vanished inside its transaction`);
  return job;
}
