/**
 * Changes of jobs from outside, in the words of states: what users put right by hand, and what workers say
 * whose API knows no results.
 */
import { canonicalJson } from "../domain/canonicalJson.ts";
import { countsChange, findCycle, pendingState, standingOf } from "../domain/dependencies.ts";
import { ConflictError, type InputIssue, InvalidInputError } from "../domain/errors.ts";
import type { Job, JsonObject } from "../domain/job.ts";
import { isFinal, isHeld, isPending } from "../domain/stateMachine.ts";
import type { JobControl } from "../store/store.ts";
import { type BatchContext, each, type Handler } from "./batch.ts";
import { findControl, keepLastAttempt, reset, whole } from "./changeJobs.ts";
import { beginAttempt, deadlineOf } from "./claimJobs.ts";
import type { JobEdit, JobRef } from "./engine.ts";
import { failAttempt, putBack } from "./finishJobs.ts";

export const editJobs: Handler<"edit"> = (context, requests) =>
  each<"edit">(requests, async ({ job: ref, change }) => edit(context, ref, change));

async function edit(context: BatchContext, ref: JobRef, change: JobEdit): Promise<Job> {
  const job = await findControl(context, ref);
  // Everything is checked before anything is changed.
  if (change.onlyFrom !== undefined && !change.onlyFrom.includes(job.state)) {
    const allowed = change.onlyFrom;
    throw new ConflictError(`job ${job.id} is ${job.state}, not ${allowed.join(" or ")}`, {
      entity: "job",
      state: job.state,
      allowed,
    });
  }
  if (change.onlySpec !== undefined) await checkSpec(context, job, change.onlySpec);
  if (change.state !== undefined) checkState(job, change.state);
  const dependencies =
    change.dependsOn === undefined ? null : await planDependencies(context, job, change.dependsOn);

  if (change.priority !== undefined && change.priority !== job.priority) {
    job.priority = change.priority;
    context.ledger.touch(job);
  }
  if (change.runAt !== undefined && change.runAt !== job.runAt) {
    job.runAt = change.runAt;
    context.ledger.touch(job);
  }
  await editStored(context, job, change);
  if (dependencies !== null) await setDependencies(context, job, dependencies);
  if (change.state !== undefined) await setState(context, job, change);
  else context.ledger.settlePending(job);
  return whole(context, job.id);
}

async function checkSpec({ tx }: BatchContext, job: JobControl, expected: JsonObject): Promise<void> {
  const [stored] = await tx.loadJobs([job.id]);
  if (stored !== undefined && canonicalJson(stored.spec) === canonicalJson(expected)) return;
  throw new ConflictError(`the spec of job ${job.id} has changed meanwhile`, {
    entity: "job",
    state: job.state,
  });
}

function checkState(job: JobControl, to: NonNullable<JobEdit["state"]>): void {
  if (job.state !== "succeeded" || to === "succeeded" || to === "waiting") return;
  throw new ConflictError(`job ${job.id} has succeeded; it can only be put back to be run again`, {
    entity: "job",
    state: job.state,
    allowed: ["waiting"],
  });
}

async function editStored({ tx, ledger }: BatchContext, job: JobControl, change: JobEdit): Promise<void> {
  const { name, spec, task } = change;
  if (name === undefined && spec === undefined && task === undefined) return;
  // The line of ready jobs that the job stands in is told by its record: it must be written first.
  await ledger.flush();
  let shapeId: number | undefined;
  if (task !== undefined && task !== null) {
    const { queue, requires } = ledger.shape(job);
    [shapeId] = await tx.internShapes([{ queue, kind: task.kind, resources: task.resources, requires }]);
  }
  await tx.editJob(job.id, {
    ...(name === undefined ? {} : { name }),
    ...(spec === undefined ? {} : { spec }),
    ...(task === undefined ? {} : { taskId: task?.id ?? null }),
    ...(shapeId === undefined ? {} : { shapeId }),
  });
  if (shapeId !== undefined && shapeId !== job.shapeId) await ledger.reshape(job, shapeId);
  ledger.touch(job);
}

interface DependencyPlan {
  readonly ids: readonly number[];
  readonly added: readonly number[];
  readonly removed: readonly number[];
  /** Those that stay and are not there any more. */
  readonly keepsMissing: boolean;
}

/** @throws InvalidInputError for dependencies that are new and do not exist, or that make a cycle. */
async function planDependencies(
  { tx, ledger }: BatchContext,
  job: JobControl,
  refs: readonly JobRef[],
): Promise<DependencyPlan> {
  const before = new Set((await tx.dependencies([job.id])).map((edge) => edge.dependsOn));
  const found = await tx.findJobs(refs.map((ref) => ({ dialect: null, ref })));
  const issues: InputIssue[] = [];
  const ids = new Set<number>();
  for (const [index, ref] of refs.entries()) {
    const id = found[index] ?? (typeof ref === "number" && before.has(ref) ? ref : null);
    if (id === null)
      issues.push({ path: ["dependsOn", index], message: `no job has the id or key ${JSON.stringify(ref)}` });
    else ids.add(id);
  }
  const added = [...ids].filter((id) => !before.has(id));
  const removed = [...before].filter((id) => !ids.has(id));
  const cycle = await cycleThrough(tx, job.id, added);
  if (cycle !== null) {
    issues.push({ path: ["dependsOn"], message: `the dependencies make a cycle: ${cycle.join(" → ")}` });
  }
  if (issues.length > 0) throw new InvalidInputError(issues);
  await ledger.load([...ids, ...removed]);
  const keepsMissing = [...ids].some((id) => ledger.get(id) === undefined);
  return { ids: [...ids], added, removed, keepsMissing };
}

/** Looks upwards from the new dependencies, level by level, for the job itself. */
async function cycleThrough(
  tx: BatchContext["tx"],
  jobId: number,
  added: readonly number[],
): Promise<number[] | null> {
  if (added.length === 0) return null;
  const edges = new Map<number, number[]>([[jobId, [...added]]]);
  let level = added.filter((id) => id !== jobId);
  while (level.length > 0) {
    const next: number[] = [];
    for (const id of level) edges.set(id, []);
    for (const edge of await tx.dependencies(level)) {
      // The job's own old edges are about to be replaced.
      if (edge.jobId === jobId) continue;
      edges.get(edge.jobId)?.push(edge.dependsOn);
      if (!edges.has(edge.dependsOn)) next.push(edge.dependsOn);
    }
    level = [...new Set(next)];
  }
  const cycle = findCycle(edges);
  return cycle === null ? null : [...cycle, ...cycle.slice(0, 1)];
}

async function setDependencies(
  { tx, ledger }: BatchContext,
  job: JobControl,
  plan: DependencyPlan,
): Promise<void> {
  if (plan.added.length === 0 && plan.removed.length === 0) return;
  // What waits to be told to dependents is told along the old edges.
  await ledger.flush();
  for (const [ids, sign] of [
    [plan.added, 1],
    [plan.removed, -1],
  ] as const) {
    for (const id of ids) {
      const other = ledger.get(id);
      if (other === undefined) continue;
      const change = countsChange("met", standingOf(other.state));
      job.unmet += sign * change.unmet;
      job.doomed += sign * change.doomed;
    }
  }
  if (!plan.keepsMissing) {
    // None is left that was deleted: what remains is what the existing ones say.
    const standings = plan.ids.map((id) => standingOf(ledger.get(id)?.state ?? null));
    job.unmet = standings.filter((standing) => standing !== "met").length;
    job.doomed = standings.filter((standing) => standing === "doomed").length;
  }
  await tx.setDependencies(job.id, plan.ids);
  ledger.touch(job);
}

async function setState(context: BatchContext, job: JobControl, change: JobEdit): Promise<void> {
  switch (change.state) {
    case undefined:
      return;
    case "running":
      return run(context, job, change);
    case "waiting":
      return await putBackByHand(context, job);
    case "blocked":
      if (job.state === "blocked") return;
      await endByHand(context, job);
      reset(job);
      context.ledger.move(job, "blocked", "set by hand", "set to blocked by hand");
      return;
    case "succeeded":
    case "failed":
      return finishByHand(context, job, change.state);
  }
}

async function run(context: BatchContext, job: JobControl, change: JobEdit): Promise<void> {
  const { ledger, tx, now, settings } = context;
  const leaseMs = change.leaseMs ?? settings.leaseMs;
  if (job.state === "leased") {
    job.startedAt = now;
    ledger.move(job, "running", "started");
  } else if (job.state !== "running") {
    await endByHand(context, job);
    beginAttempt(job, change.workerId ?? "by hand", leaseMs, now);
    job.startedAt = now;
    ledger.move(job, "running", "set by hand", "set to running by hand");
  }
  job.leaseMs = leaseMs;
  ledger.touch(job);
  await tx.putLeases([
    {
      jobId: job.id,
      workerId: job.workerId ?? "by hand",
      attempt: job.attempt,
      expiresAt: now + leaseMs,
      deadlineAt: deadlineOf(job, now, settings.timeLimitGraceMs),
    },
  ]);
}

async function putBackByHand(context: BatchContext, job: JobControl): Promise<void> {
  if (isHeld(job.state)) {
    await context.tx.dropLeases([job.id]);
    return putBack(context, job, "put back by hand");
  }
  if (isFinal(job.state)) {
    await keepLastAttempt(context, job);
    reset(job);
    context.ledger.setResult(job, null);
    context.ledger.move(job, pendingState(job, context.now), "retried", "put back by hand");
    return;
  }
  context.ledger.settlePending(job);
}

async function finishByHand(
  context: BatchContext,
  job: JobControl,
  to: "succeeded" | "failed",
): Promise<void> {
  if (job.state === to) return;
  const { ledger, tx, now } = context;
  if (isHeld(job.state)) {
    await tx.dropLeases([job.id]);
    job.startedAt ??= job.leasedAt;
    if (to === "failed") {
      job.error = "reported as failed";
      return failAttempt(context, job);
    }
    job.finishedAt = now;
    ledger.move(job, "succeeded", "succeeded");
    return;
  }
  await endByHand(context, job);
  job.finishedAt = now;
  job.error = to === "failed" ? "set to failed by hand" : null;
  ledger.move(job, to, "set by hand", `set to ${to} by hand`);
}

/** Keeps the facts of the attempt that the job's record tells of, before they are overwritten. */
async function endByHand(context: BatchContext, job: JobControl): Promise<void> {
  if (isHeld(job.state)) {
    await context.tx.dropLeases([job.id]);
    await context.ledger.keepAttempt(job, "released");
  } else if (!isPending(job.state)) await keepLastAttempt(context, job);
}
