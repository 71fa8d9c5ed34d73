/** What a `PUT` of a job asks of the engine: only what differs from the job as it is. */
import { isDeepStrictEqual } from "node:util";
import type { Job, JsonObject } from "../../domain/job.ts";
import type { Task } from "../../domain/project.ts";
import type { JobEdit } from "../../engine/engine.ts";
import { dependencyIds, dependsOf, keptNames } from "./dependsMap.ts";
import { RefusedError } from "./refusals.ts";
import type { JobUpdateBody } from "./schemas.ts";
import { stateToSet, statusOf } from "./statuses.ts";
import { kindOf } from "./submission.ts";
import { UNNAMED_CLIENT } from "./unnamedClient.ts";
import type { WhatsNextSettings } from "./whatsnextSettings.ts";
import { parametersOf } from "./wire.ts";

/**
 * The edit that makes `job` as `body` says, or null where it is so already.
 *
 * @param task the task that the body moves the job to; null where it stays with its own
 * @throws RefusedError for what may not be changed
 */
export function editOf(
  job: Job,
  body: JobUpdateBody,
  task: Task | null,
  settings: WhatsNextSettings,
): JobEdit | null {
  const edit: JobEdit = {
    ...(isChanged(body.name, job.name) ? { name: body.name } : {}),
    ...(isChanged(body.priority, job.priority) ? { priority: body.priority } : {}),
    ...taskChange(task),
    ...specChange(job, body, task),
    ...dependencyChange(job, body),
    ...stateChange(job, body, settings),
  };
  return Object.keys(edit).length === 0 ? null : edit;
}

function isChanged<T>(wanted: T | null | undefined, is: T): wanted is T {
  return wanted !== undefined && wanted !== null && wanted !== is;
}

function taskChange(task: Task | null): Pick<JobEdit, "task"> {
  if (task === null) return {};
  return { task: { id: task.id, kind: kindOf(task), resources: task.resources } };
}

function specChange(job: Job, body: JobUpdateBody, task: Task | null): Pick<JobEdit, "spec"> {
  const { depends: _, ...rest } = job.spec;
  const spec: JsonObject = {
    ...rest,
    ...keptNames(body.depends ?? dependsOf(job)),
    ...(task === null ? {} : { template: task.commandTemplate }),
    parameters: body.parameters ?? parametersOf(job),
  };
  return isDeepStrictEqual(spec, job.spec) ? {} : { spec };
}

function dependencyChange(job: Job, body: JobUpdateBody): Pick<JobEdit, "dependsOn"> {
  if (body.depends === undefined || body.depends === null) return {};
  const dependsOn = [...new Set(dependencyIds(body.depends))].sort((a, b) => a - b);
  return isDeepStrictEqual(dependsOn, job.dependsOn) ? {} : { dependsOn };
}

function stateChange(
  job: Job,
  body: JobUpdateBody,
  settings: WhatsNextSettings,
): Pick<JobEdit, "state" | "leaseMs" | "workerId"> {
  const { status } = body;
  const is = statusOf(job.state);
  // Said again, RUNNING is a sign of life: the lease is renewed.
  const isAlive = status === "RUNNING" && is === "RUNNING";
  if (!isAlive && !isChanged(status, is)) return {};
  const state = stateToSet(status);
  if (state === null) {
    throw new RefusedError(`${status} is given by fetching a job and cannot be set (it is ${is})`, "status");
  }
  if (is === "COMPLETED" && state !== "waiting") {
    throw new RefusedError(`a COMPLETED job can only be put back to PENDING, not to ${status}`, "status");
  }
  if (state !== "running") return { state };
  const isHeld = job.state === "leased" || job.state === "running";
  const isTied = isHeld && job.workerId !== UNNAMED_CLIENT;
  const leaseMs = isTied ? settings.clientLeaseMs : settings.runningLeaseMs;
  return { state, leaseMs, workerId: UNNAMED_CLIENT };
}
