/** Workers: registration and draining. */
import { NotFoundError } from "../domain/errors.ts";
import { isHeld } from "../domain/stateMachine.ts";
import type { Worker } from "../domain/worker.ts";
import { withEarlierKeys, workerKeys } from "../domain/workerKeys.ts";
import type { StoredWorker } from "../store/store.ts";
import { type BatchContext, each, type Handler } from "./batch.ts";
import type { EngineSettings } from "./engine.ts";
import { putBack } from "./finishJobs.ts";

export const registerWorkers: Handler<"registerWorker"> = async (context, requests) => {
  await seen(context, requests);
  return each<"registerWorker">(requests, async (registration) => {
    const { tx, now } = context;
    const [before] = await tx.workers([registration.id]);
    const { isImplicit = false } = registration;
    const details = withEarlierKeys(before?.details ?? {}, registration.details, now);
    await tx.upsertWorkers([{ ...registration, details, isImplicit, now }]);
    const worker = await load(context, registration.id);
    context.ledger.events.push({ type: "worker", id: worker.id, state: worker.state });
    const keyBefore = workerKeys(before?.details ?? {}).publicKey;
    const isReplaced = keyBefore !== workerKeys(details).publicKey;
    return { worker, isNew: before === undefined, replacedKey: isReplaced ? keyBefore : null };
  });
};

export const describeWorkers: Handler<"describeWorker"> = async (context, requests) => {
  const { tx, ledger } = context;
  await seen(context, requests);
  return each<"describeWorker">(requests, async ({ id, details }) => {
    const before = await load(context, id);
    await tx.describeWorker(id, { ...before.details, ...details });
    const worker = await load(context, id);
    ledger.events.push({ type: "worker", id, state: worker.state });
    return worker;
  });
};

export const drainWorkers: Handler<"drainWorker"> = (context, requests) =>
  each<"drainWorker">(requests, async ({ id }) => {
    await load(context, id);
    await context.tx.setDraining(id, true);
    const worker = await load(context, id);
    context.ledger.events.push({ type: "worker", id, state: worker.state });
    return worker;
  });

export const heartbeatWorkers: Handler<"heartbeatWorker"> = async (context, requests) => {
  await seen(context, requests);
  return each<"heartbeatWorker">(requests, async ({ id }) => {
    const { tx, ledger, now, settings } = context;
    await load(context, id);
    const held = await loadHeld(context, id);
    const leases = await tx.leases(held);
    await tx.putLeases(
      leases.map((lease) => ({
        ...lease,
        expiresAt: Math.max(lease.expiresAt, now + (ledger.get(lease.jobId)?.leaseMs ?? settings.leaseMs)),
      })),
    );
    return load(context, id);
  });
};

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

/**
 * These workers were heard from; unknown ones are passed by. Those that are known are held from here on, in one order:
 * commits of two servers with the same kind of command do not wait for each other in a circle.
 */
async function seen({ tx, now }: BatchContext, workers: readonly { readonly id: string }[]): Promise<void> {
  await tx.touchWorkers(workers.map(({ id }) => ({ id, lastSeenAt: now })));
}

/** Puts back every job that the worker holds. */
async function giveBack(context: BatchContext, workerId: string): Promise<void> {
  const held = await loadHeld(context, workerId);
  await context.tx.dropLeases(held);
  for (const id of held) {
    const job = context.ledger.get(id);
    if (job !== undefined) await putBack(context, job, "its worker left");
  }
}

export const listWorkers: Handler<"listWorkers"> = (context, requests) =>
  each<"listWorkers">(requests, ({ ids }) => list(context, ids));

/** Ids of held jobs that are told of one worker, and of each in a list. */
const TOLD_OF_ONE = 10_000;
const TOLD_IN_LISTS = 100;

async function list({ tx, now, settings }: BatchContext, ids: readonly string[] | null): Promise<Worker[]> {
  const stored = await tx.workers(ids);
  const held = await tx.heldJobs(
    stored.map((worker) => worker.id),
    ids?.length === 1 ? TOLD_OF_ONE : TOLD_IN_LISTS,
  );
  return stored.map((worker, index) => {
    const { count, jobIds } = held[index] ?? { count: 0, jobIds: [] };
    return toWorker(worker, { running: count, runningJobs: jobIds }, now, settings);
  });
}

/** Loads the jobs that the worker holds; what another server ended before they were loaded is left out. */
async function loadHeld({ tx, ledger }: BatchContext, workerId: string): Promise<readonly number[]> {
  const [held] = await tx.heldJobs([workerId], Number.MAX_SAFE_INTEGER);
  const ids = held?.jobIds ?? [];
  await ledger.load(ids);
  return ids.filter((id) => {
    const job = ledger.get(id);
    return job !== undefined && job.workerId === workerId && isHeld(job.state);
  });
}

async function load(context: BatchContext, id: string): Promise<Worker> {
  const [worker] = await list(context, [id]);
  if (worker === undefined) throw new NotFoundError("worker", id);
  return worker;
}

/** Adds what the clock and the leases say to what is stored. */
function toWorker(
  { isImplicit: _, ...stored }: StoredWorker,
  held: Pick<Worker, "running" | "runningJobs">,
  now: number,
  settings: EngineSettings,
): Worker {
  const isOffline = stored.lastSeenAt + settings.workerOfflineMs <= now;
  return { ...stored, ...held, state: isOffline ? "offline" : stored.isDraining ? "draining" : "online" };
}
