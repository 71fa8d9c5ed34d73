/** Our values as WhatsNext writes them. */
import type { Job, JsonObject } from "../../domain/job.ts";
import type { Project, Task } from "../../domain/project.ts";
import type { Worker } from "../../domain/worker.ts";
import type { JobDependency } from "../../engine/engine.ts";
import { clientDetails } from "./clientDetails.ts";
import { dependsOf } from "./dependsMap.ts";
import { statusOf } from "./statuses.ts";
import { timestamp } from "./timestamp.ts";

export function projectToWire(project: Project) {
  return {
    id: project.id,
    name: project.name,
    description: project.description ?? "",
    status: project.status,
    created_at: timestamp(project.createdAt),
    updated_at: timestamp(project.updatedAt),
  };
}

export function taskToWire(task: Task) {
  return {
    id: task.id,
    name: task.name,
    project_id: task.projectId,
    command_template: task.commandTemplate,
    required_cpu: task.resources.cpu,
    required_accelerators: task.resources.accelerators,
    created_at: timestamp(task.createdAt),
    updated_at: timestamp(task.updatedAt),
  };
}

/** A job's parameters as they were submitted. */
export function parametersOf(job: Job): JsonObject {
  const { parameters } = job.spec;
  return typeof parameters === "object" && parameters !== null && !Array.isArray(parameters)
    ? parameters
    : {};
}

/** A job with its ten fields. */
export function jobToWire(job: Job) {
  return {
    id: job.id,
    name: job.name,
    project_id: job.projectId,
    task_id: job.taskId,
    parameters: parametersOf(job),
    status: statusOf(job.state),
    priority: job.priority,
    depends: dependsOf(job),
    created_at: timestamp(job.createdAt),
    updated_at: timestamp(job.updatedAt),
  };
}

/** A job as `fetch_job` gives it. The existing client fails on one key more or less than these eleven. */
export function fetchedJobToWire(job: Job, taskName: string) {
  return {
    id: job.id,
    name: job.name,
    project_id: job.projectId,
    task_id: job.taskId,
    task_name: taskName,
    parameters: parametersOf(job),
    status: statusOf(job.state),
    priority: job.priority,
    depends: dependsOf(job),
    created_at: timestamp(job.createdAt),
    updated_at: timestamp(job.updatedAt),
  };
}

/**
 * A job's dependencies. Those deleted since are not listed; what their end meant for the job shows in its
 * status.
 */
export function dependenciesToWire(job: Job, found: readonly JobDependency[]) {
  const dependencies = found.map(({ id, name, state }) => ({
    id,
    name,
    job_id: id,
    job_name: name,
    status: statusOf(state),
  }));
  const isBlockedByDeleted = job.state === "blocked" && found.length < job.dependsOn.length;
  return {
    job_id: job.id,
    job_name: job.name,
    status: statusOf(job.state),
    dependencies,
    all_completed: !isBlockedByDeleted && dependencies.every(({ status }) => status === "COMPLETED"),
    has_failed:
      isBlockedByDeleted || dependencies.some(({ status }) => status === "FAILED" || status === "BLOCKED"),
  };
}

export function clientToWire(worker: Worker) {
  const { entity, description, availableCpu, availableAccelerators } = clientDetails(worker);
  return {
    id: worker.id,
    name: worker.name,
    entity,
    description,
    available_cpu: availableCpu,
    available_accelerators: availableAccelerators,
    last_heartbeat: timestamp(worker.lastSeenAt),
    created_at: timestamp(worker.registeredAt),
    is_active: worker.isDraining ? 0 : 1,
  };
}
