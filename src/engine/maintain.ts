/** Upkeep, a bounded round at a time: leases that ran out, jobs whose time has come, jobs past their keep. */
import type { FinalState } from "../domain/job.ts";
import { isHeld } from "../domain/stateMachine.ts";
import type { Lease } from "../store/store.ts";
import { type BatchContext, each, type Handler } from "./batch.ts";
import { deadlineOf } from "./claimJobs.ts";
import type { EngineSettings } from "./engine.ts";
import { failAttempt, loseAttempt } from "./finishJobs.ts";

/** Jobs handled by each part of one round. */
const PER_ROUND = 500;
/** Deletions of one round where little ends: 15 ms on SQLite, which others wait for, and 20 ms beside them on PostgreSQL. */
const MIN_DELETED = 1_000;
/** Bounds what a round holds in memory. */
const MAX_DELETED = 20_000;
/** No slice is begun after this time. */
const MAX_DELETING_MS = 200;
/** As many jobs with the longest output that agents send take about a second. */
const FIRST_SLICE = 100;
const MAX_SLICE = 1_000;
/** How long a submission's idempotency key is remembered. */
export const IDEMPOTENCY_KEEP_MS = 86_400_000;

export const maintain: Handler<"maintain"> = (context, requests) =>
  each<"maintain">(requests, async ({ seen, mostEnded }) => {
    const { isMine, lastAt } = await context.tx.beginUpkeep(context.now);
    if (!isMine) {
      if (seen.length > 0) await context.tx.touchWorkers(seen);
      return { hasMore: false, nextDueAt: null };
    }
    if (lastAt !== null && context.now - lastAt > pauseMs(context.settings)) {
      // No server could take a heartbeat meanwhile: machine suspended, all servers down, store away.
      await context.tx.graceLeases(context.now + context.settings.leaseMs);
    }
    const handled = [await grantGrace(context), await endOverdue(context), await readyDue(context)];
    const hasMoreOld = mostEnded !== null && (await deleteOld(context, deletionsAt(mostEnded)));
    if (seen.length > 0) {
      // After the deletions: whoever writes of one of these workers waits from here on until the commit.
      await context.tx.touchWorkers(seen);
      // Now and then is enough: when there is news of workers.
      await forgetWorkers(context);
    }
    await context.tx.pruneIdempotency(context.now - IDEMPOTENCY_KEEP_MS, PER_ROUND);
    await context.tx.pruneDocuments(context.now, PER_ROUND);
    await context.ledger.flush();
    const hasMore = hasMoreOld || handled.some((count) => count >= PER_ROUND);
    return { hasMore, nextDueAt: await context.tx.nextDueAt() };
  });

/**
 * How many jobs a round may delete. With much to delete there is a round for every second commit at least, so this is
 * twice as many as end meanwhile: deletions overtake what ends at any rate, and never take much more of a commit's
 * time than the jobs of that commit do.
 * @param mostEnded jobs that ended in one commit since the round before, at the most
 */
function deletionsAt(mostEnded: number): number {
  return Math.min(Math.max(4 * mostEnded, MIN_DELETED), MAX_DELETED);
}

async function forgetWorkers({ tx, now, settings }: BatchContext): Promise<void> {
  const ids = await tx.forgottenWorkers(now - settings.retainWorkersMs, PER_ROUND);
  if (ids.length > 0) await tx.deleteWorkers(ids);
}

/** Upkeep that comes so late was held up, and with it the workers' heartbeats. */
function pauseMs({ maintenanceMs }: EngineSettings): number {
  return Math.max(10 * maintenanceMs, 5_000);
}

/** After a restart every held job gets one full lease: its worker may well be alive. */
async function grantGrace({ tx, ledger, now, settings }: BatchContext): Promise<number> {
  const ids = await tx.unleasedJobs(PER_ROUND);
  if (ids.length === 0) return 0;
  await ledger.load(ids);
  const leases: Lease[] = [];
  for (const id of ids) {
    const job = ledger.get(id);
    if (job === undefined || !isHeld(job.state)) continue;
    leases.push({
      jobId: id,
      workerId: job.workerId ?? "",
      attempt: job.attempt,
      expiresAt: now + (job.leaseMs ?? settings.leaseMs),
      deadlineAt: deadlineOf(
        job,
        Math.max(job.startedAt ?? job.leasedAt ?? now, now),
        settings.timeLimitGraceMs,
      ),
    });
  }
  await tx.putLeases(leases);
  return ids.length;
}

async function endOverdue(context: BatchContext): Promise<number> {
  const { tx, ledger, now } = context;
  const overdue = await tx.overdueLeases(now, PER_ROUND);
  if (overdue.length === 0) return 0;
  await ledger.load(overdue.map((lease) => lease.jobId));
  // Another server may have renewed or ended some of them before they were loaded.
  const leases = new Map((await tx.leases(overdue.map(({ jobId }) => jobId))).map((one) => [one.jobId, one]));
  const ended: number[] = [];
  for (const { jobId } of overdue) {
    const job = ledger.get(jobId);
    const lease = leases.get(jobId);
    if (lease === undefined) continue;
    if (job === undefined || !isHeld(job.state) || job.attempt !== lease.attempt) {
      ended.push(jobId);
      continue;
    }
    const isOver = lease.expiresAt <= now || (lease.deadlineAt !== null && lease.deadlineAt <= now);
    if (!isOver) continue;
    ended.push(jobId);
    if (lease.expiresAt <= now) {
      await loseAttempt(context, job, `worker ${lease.workerId} was not heard from for ${job.leaseMs} ms`);
    } else {
      job.error = `ran longer than its time limit of ${job.timeoutMs} ms`;
      await failAttempt(context, job);
    }
  }
  await tx.dropLeases(ended);
  return overdue.length;
}

async function readyDue({ tx, ledger, now }: BatchContext): Promise<number> {
  const ids = await tx.dueJobs(now, PER_ROUND);
  if (ids.length === 0) return 0;
  await ledger.load(ids);
  for (const id of ids) {
    const job = ledger.get(id);
    if (job !== undefined) ledger.settlePending(job);
  }
  return ids.length;
}

/**
 * In slices, each twice as large as the one before, until the time is over: how much goes with a job, its output above
 * all, is not known before.
 * @returns whether there may be more to delete soon
 */
async function deleteOld(context: BatchContext, limit: number): Promise<boolean> {
  const { tx, now, settings } = context;
  const giveUpAt = performance.now() + MAX_DELETING_MS;
  let slice = FIRST_SLICE;
  let deleted = 0;
  for (const [state, keepMs] of keeps(settings)) {
    if (keepMs === null) continue;
    for (let isEnd = false; !isEnd && deleted < limit; ) {
      // Where looking for them takes so long that there was no time for any, the other states have their turn too.
      if (deleted > 0 && performance.now() > giveUpAt) return true;
      const wanted = Math.min(slice, limit - deleted);
      const ids = await tx.finishedBefore(state, now - keepMs, wanted);
      if (ids.length > 0) await deleteFinished(context, state, ids);
      deleted += ids.length;
      isEnd = ids.length < wanted;
      if (!isEnd) slice = Math.min(2 * slice, MAX_SLICE);
    }
  }
  return deleted >= limit / 2;
}

async function deleteFinished(
  context: BatchContext,
  state: FinalState,
  ids: readonly number[],
): Promise<void> {
  const { ledger } = context;
  await ledger.load(ids);
  if (state !== "succeeded") await giveUpDependents(context, ids);
  for (const id of ids) {
    const job = ledger.get(id);
    if (job?.state === state) ledger.delete(job);
  }
  await ledger.flush();
}

/**
 * What waits for a job that is deleted for its age can never run: nobody retried the job while it was kept. It is
 * cancelled, and so deleted itself when its own time is over.
 */
async function giveUpDependents({ tx, ledger, now }: BatchContext, ids: readonly number[]): Promise<void> {
  const edges = await tx.dependents(ids);
  await ledger.load(edges.map((edge) => edge.jobId));
  for (const { jobId, dependsOn } of edges) {
    const job = ledger.get(jobId);
    const needed = ledger.get(dependsOn);
    if (job?.state !== "blocked" || needed === undefined) continue;
    job.finishedAt = now;
    job.error = `job ${dependsOn}, which it depends on, ended as ${needed.state} and is not kept any longer`;
    ledger.move(job, "cancelled", "cancelled", job.error);
  }
}

function keeps(settings: EngineSettings): [FinalState, number | null][] {
  return [
    ["succeeded", settings.retainSucceededMs],
    ["failed", settings.retainFailedMs],
    ["cancelled", settings.retainCancelledMs],
  ];
}
