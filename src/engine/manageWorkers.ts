/** Workers: registration and draining. */
import { NotFoundError } from "../domain/errors.ts";
import type { Worker } from "../domain/worker.ts";
import type { StoredWorker } from "../store/store.ts";
import { type BatchContext, each, type Handler } from "./batch.ts";
import type { EngineSettings } from "./engine.ts";
import { putBack } from "./finishJobs.ts";

export const registerWorkers: Handler<"registerWorker"> = (context, requests) =>
  each<"registerWorker">(requests, async (registration) => {
    const isNew = (await context.tx.workers([registration.id])).length === 0;
    await context.tx.upsertWorkers([{ ...registration, isImplicit: false, now: context.now }]);
    const worker = await load(context, registration.id);
    context.ledger.events.push({ type: "worker", id: worker.id, state: worker.state });
    return { worker, isNew };
  });

export const drainWorkers: Handler<"drainWorker"> = (context, requests) =>
  each<"drainWorker">(requests, async ({ id }) => {
    await load(context, id);
    await context.tx.setDraining(id, true);
    const worker = await load(context, id);
    context.ledger.events.push({ type: "worker", id, state: worker.state });
    return worker;
  });

export const heartbeatWorkers: Handler<"heartbeatWorker"> = (context, requests) =>
  each<"heartbeatWorker">(requests, async ({ id }) => {
    const { tx, ledger, now, settings } = context;
    await load(context, id);
    await tx.touchWorkers([{ id, lastSeenAt: now }]);
    const held = (await tx.heldJobs([id])).map((one) => one.jobId);
    await ledger.load(held);
    const leases = await tx.leases(held);
    await tx.putLeases(
      leases.map((lease) => ({
        ...lease,
        expiresAt: Math.max(lease.expiresAt, now + (ledger.get(lease.jobId)?.leaseMs ?? settings.leaseMs)),
      })),
    );
    return load(context, id);
  });

export const releaseWorkers: Handler<"releaseWorker"> = (context, requests) =>
  each<"releaseWorker">(requests, async ({ id }) => {
    await load(context, id);
    await giveBack(context, id);
    await context.tx.setDraining(id, true);
    const worker = await load(context, id);
    context.ledger.events.push({ type: "worker", id, state: worker.state });
    return worker;
  });

export const deleteWorkers: Handler<"deleteWorker"> = (context, requests) =>
  each<"deleteWorker">(requests, async ({ id }) => {
    await load(context, id);
    await giveBack(context, id);
    await context.tx.deleteWorkers([id]);
    context.ledger.events.push({ type: "worker", id, state: "offline" });
    return null;
  });

/** Puts back every job that the worker holds. */
async function giveBack(context: BatchContext, workerId: string): Promise<void> {
  const held = (await context.tx.heldJobs([workerId])).map((one) => one.jobId);
  await context.ledger.load(held);
  await context.tx.dropLeases(held);
  for (const id of held) {
    const job = context.ledger.get(id);
    if (job !== undefined) await putBack(context, job, "its worker left");
  }
}

export const listWorkers: Handler<"listWorkers"> = (context, requests) =>
  each<"listWorkers">(requests, ({ ids }) => list(context, ids));

async function list({ tx, now, settings }: BatchContext, ids: readonly string[] | null): Promise<Worker[]> {
  const stored = await tx.workers(ids);
  const held = new Map<string, number[]>(stored.map((worker) => [worker.id, []]));
  for (const { workerId, jobId } of await tx.heldJobs([...held.keys()])) held.get(workerId)?.push(jobId);
  return stored.map((worker) => toWorker(worker, held.get(worker.id) ?? [], now, settings));
}

async function load(context: BatchContext, id: string): Promise<Worker> {
  const [worker] = await list(context, [id]);
  if (worker === undefined) throw new NotFoundError("worker", id);
  return worker;
}

/** Adds what the clock and the leases say to what is stored. */
function toWorker(
  { isImplicit: _, ...stored }: StoredWorker,
  runningJobs: readonly number[],
  now: number,
  settings: EngineSettings,
): Worker {
  const isOffline = stored.lastSeenAt + settings.workerOfflineMs <= now;
  return { ...stored, runningJobs, state: isOffline ? "offline" : stored.isDraining ? "draining" : "online" };
}
