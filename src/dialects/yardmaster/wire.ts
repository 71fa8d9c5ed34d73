/** Our values as the native API writes them: times as ISO 8601 UTC, environment values masked. */

import type { Attempt, Job, JobEvent, JobRecord, JsonObject, LogChunk } from "../../domain/job.ts";
import type { Project, Task } from "../../domain/project.ts";
import type { Worker } from "../../domain/worker.ts";
import { workerKeys } from "../../domain/workerKeys.ts";
import type { ClaimedJob, JobDependency } from "../../engine/engine.ts";

/** What stands for an environment value that the reader may not see. */
export const MASK = "***";

let lastMs = Number.NaN;
let lastIso = "";

/** Milliseconds as ISO 8601. The times of one answer are often the same: the last one is remembered. */
export function isoTime(ms: number): string {
  if (ms !== lastMs) {
    lastIso = new Date(ms).toISOString();
    lastMs = ms;
  }
  return lastIso;
}

function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}

/** A job as JSON. `env` says whether environment values are shown; lists never do. */
export function jobToWire(job: Job, env: "masked" | "clear") {
  return {
    id: job.id,
    key: job.key,
    dialect: job.dialect,
    kind: job.kind,
    queue: job.queue,
    name: job.name,
    projectId: job.projectId,
    taskId: job.taskId,
    spec: env === "clear" ? job.spec : masked(job.spec),
    priority: job.priority,
    resources: job.resources,
    labels: job.labels,
    requires: job.requires,
    dependsOn: job.dependsOn,
    maxAttempts: job.maxAttempts,
    maxRecoveries: job.maxRecoveries,
    timeoutMs: job.timeoutMs,
    runAt: isoTimeOrNull(job.runAt),
    state: job.state,
    attempt: job.attempt,
    progress: job.progress,
    result: job.result,
    exitCode: job.exitCode,
    error: job.error,
    workerId: job.workerId,
    createdAt: isoTime(job.createdAt),
    readyAt: isoTimeOrNull(job.readyAt),
    startedAt: isoTimeOrNull(job.startedAt),
    finishedAt: isoTimeOrNull(job.finishedAt),
    updatedAt: isoTime(job.updatedAt),
  };
}

/** A claimed job: its worker needs the environment in clear. */
export function claimedJobToWire(job: ClaimedJob) {
  return { ...jobToWire(job, "clear"), leaseExpiresAt: isoTime(job.leaseExpiresAt) };
}

function masked(spec: JsonObject): JsonObject {
  const env = spec.env;
  if (env === undefined || env === null) return spec;
  if (typeof env !== "object" || Array.isArray(env)) return { ...spec, env: MASK };
  return { ...spec, env: Object.fromEntries(Object.keys(env).map((name) => [name, MASK])) };
}

/** An attempt as JSON. */
export function attemptToWire(attempt: Attempt) {
  return {
    number: attempt.number,
    workerId: attempt.workerId,
    workerAddress: attempt.workerAddress,
    startedAt: isoTimeOrNull(attempt.startedAt),
    endedAt: isoTimeOrNull(attempt.endedAt),
    outcome: attempt.outcome,
    exitCode: attempt.exitCode,
    error: attempt.error,
  };
}

/** A change of state as JSON. */
export function eventToWire(event: JobEvent) {
  return {
    seq: event.seq,
    time: isoTime(event.time),
    from: event.from,
    to: event.to,
    attempt: event.attempt,
    reason: event.reason,
  };
}

/** What a job depends on, with what that means for it. */
export function dependenciesToWire(items: readonly JobDependency[]) {
  return {
    items: items.map(({ id, key, name, state }) => ({ id, key, name, state })),
    allSucceeded: items.every((item) => item.state === "succeeded"),
    anyFailed: items.some(
      (item) => item.state === "failed" || item.state === "cancelled" || item.state === "blocked",
    ),
  };
}

/** A piece of output as JSON. */
export function chunkToWire(chunk: LogChunk) {
  return { seq: chunk.seq, time: isoTime(chunk.time), stream: chunk.stream, text: chunk.text };
}

/** What was kept with a job as JSON. */
export function recordToWire(record: JobRecord) {
  const { seq, attempt, time, kind, data } = record;
  return { seq, attempt, time: isoTime(time), kind, data };
}

/** A worker as JSON. */
export function workerToWire(worker: Worker) {
  const { publicKey, earlier } = workerKeys(worker.details);
  return {
    id: worker.id,
    name: worker.name,
    address: worker.address,
    capacity: worker.capacity,
    labels: worker.labels,
    queues: worker.queues,
    kinds: worker.kinds,
    publicKey,
    earlierPublicKeys: earlier.map((key) => ({ ...key, replacedAt: isoTime(key.replacedAt) })),
    machine: worker.details.machine ?? null,
    load: worker.details.load ?? null,
    state: worker.state,
    registeredAt: isoTime(worker.registeredAt),
    lastSeenAt: isoTime(worker.lastSeenAt),
    runningJobs: worker.runningJobs,
    counts: { running: worker.running, succeeded: worker.succeeded, failed: worker.failed },
  };
}

/** A project as JSON. */
export function projectToWire(project: Project) {
  return {
    id: project.id,
    name: project.name,
    description: project.description,
    status: project.status,
    createdAt: isoTime(project.createdAt),
    updatedAt: isoTime(project.updatedAt),
  };
}

/** A task as JSON; its resources are single fields there. */
export function taskToWire(task: Task) {
  return {
    id: task.id,
    name: task.name,
    projectId: task.projectId,
    commandTemplate: task.commandTemplate,
    requiredCpu: task.resources.cpu,
    requiredAccelerators: task.resources.accelerators,
    requiredMemoryMb: task.resources.memoryMb,
    createdAt: isoTime(task.createdAt),
    updatedAt: isoTime(task.updatedAt),
  };
}
