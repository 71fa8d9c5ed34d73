/** Heartbeats: renewed leases, and the news which of them are lost or whose jobs were cancelled. */
import { isHeld } from "../domain/stateMachine.ts";
import type { Lease } from "../store/store.ts";
import type { BatchContext, Handler } from "./batch.ts";
import { each } from "./batch.ts";
import { deadlineOf } from "./claimJobs.ts";
import type { RenewAnswer, RenewRequest } from "./engine.ts";

export const renewLeases: Handler<"renew"> = async (context, requests) => {
  await context.ledger.load(requests.flatMap((request) => request.leases.map((lease) => lease.id)));
  return each<"renew">(requests, (request) => renew(context, request));
};

async function renew(context: BatchContext, request: RenewRequest): Promise<RenewAnswer> {
  const { ledger, tx, now, settings } = context;
  const known = new Map(
    (await tx.leases(request.leases.map((one) => one.id))).map((one) => [one.jobId, one]),
  );
  const renewed: Lease[] = [];
  const lost: number[] = [];
  const cancelled: number[] = [];
  for (const { id, attempt, progress, started } of request.leases) {
    const job = ledger.get(id);
    const isTheirs = job !== undefined && job.workerId === request.workerId && job.attempt === attempt;
    if (!isTheirs || (!isHeld(job.state) && job.state !== "cancelled")) {
      lost.push(id);
      continue;
    }
    if (job.state === "cancelled") {
      cancelled.push(id);
      continue;
    }
    let deadlineAt = known.get(id)?.deadlineAt ?? null;
    if (started && job.state === "leased") {
      job.startedAt = now;
      // The limit is on the run, not on the wait for it.
      deadlineAt = deadlineOf(job, now, settings.timeLimitGraceMs);
      ledger.move(job, "running", "started");
    }
    if (progress !== null && progress !== job.progress) {
      job.progress = progress;
      ledger.touch(job);
    }
    renewed.push({
      jobId: id,
      workerId: request.workerId,
      attempt,
      expiresAt: now + (job.leaseMs ?? settings.leaseMs),
      deadlineAt,
    });
  }
  if (renewed.length > 0) await tx.putLeases(renewed);
  return {
    renewed: renewed.map((lease) => lease.jobId),
    lost,
    cancelled,
    leaseExpiresAt: renewed.length === 0 ? null : Math.min(...renewed.map((lease) => lease.expiresAt)),
  };
}
