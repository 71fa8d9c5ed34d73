/** WhatsNext's new jobs in the engine's words. */
import type { Task } from "../../domain/project.ts";
import type { NewJob, Reads } from "../../engine/engine.ts";
import type { FreshReads } from "../freshReads.ts";
import { dependencyIds, keptNames } from "./dependsMap.ts";
import { notFoundText, orNull, RefusedError } from "./refusals.ts";
import type { NewJobBody } from "./schemas.ts";

/**
 * How often a job is put back after its client vanished before that counts as a failure. WhatsNext knows no
 * attempts, and a fetched job must not be lost.
 */
const MAX_RECOVERIES = 1_000;

/** Agents take what they can run from a template; the rest is for WhatsNext's own clients. */
export function kindOf(task: Pick<Task, "commandTemplate">): "command" | "external" {
  return task.commandTemplate === null ? "external" : "command";
}

/** The queue of a project's jobs. */
export function queueOf(projectId: number): string {
  return `project-${projectId}`;
}

/**
 * A task that is of the project.
 *
 * @throws RefusedError when there is no such task or project, or the one does not belong to the other
 */
export async function taskOfProject(
  reads: { readonly tasks: FreshReads<number, Task>; readonly read: Pick<Reads, "project"> },
  taskId: number,
  projectId: number,
): Promise<Task> {
  const task = await orNull(reads.tasks.get(taskId));
  // A task's project exists: with a project go its tasks.
  if (task?.projectId === projectId) return task;
  if ((await orNull(reads.read.project(projectId))) === null) {
    throw new RefusedError(notFoundText("project", projectId));
  }
  throw new RefusedError(
    task === null
      ? notFoundText("task", taskId)
      : `Task with id ${taskId} not found in project ${projectId}.`,
  );
}

/** @throws RefusedError for a status that is not PENDING, and for dependencies that are no ids */
export function newJobOf(body: NewJobBody, projectId: number): NewJob {
  if (body.status !== undefined && body.status !== null && body.status !== "PENDING") {
    throw new RefusedError(`a new job is PENDING, not ${body.status}`, "status");
  }
  const depends = body.depends ?? {};
  return {
    dialect: "whatsnext",
    key: null,
    kind: "command",
    queue: queueOf(projectId),
    name: body.name,
    projectId,
    spec: keptNames(depends),
    task: { id: body.task_id, parameters: body.parameters, isLenient: true },
    priority: body.priority ?? 0,
    resources: {},
    labels: {},
    requires: {},
    dependsOn: dependencyIds(depends).map((job) => ({ job })),
    maxAttempts: 1,
    maxRecoveries: MAX_RECOVERIES,
    timeoutMs: null,
    runAt: null,
  };
}
