/**
 * A job as it stands right after its submission: what was asked, and the little that the engine added. The
 * engine's thread sends only the little; the server's thread, which has the request, makes the job of it.
 */
import type { Job, JobKind, JobState, JsonObject } from "../domain/job.ts";
import type { Task } from "../domain/project.ts";
import { DEFAULT_RESOURCES, type Resources } from "../domain/resources.ts";
import type { NewJob } from "./engine.ts";

/** What the engine adds to a submission. */
export interface Made {
  readonly id: number;
  readonly key: string;
  readonly state: JobState;
  readonly dependsOn: readonly number[];
  readonly createdAt: number;
  readonly readyAt: number | null;
}

/** @param task the task that `job` names; undefined when it names none. */
export function submittedJob(job: NewJob, task: Task | undefined, made: Made): Job {
  const spec = submittedSpec(job, task);
  return {
    id: made.id,
    key: made.key,
    dialect: job.dialect,
    kind: submittedKind(job, task),
    queue: job.queue,
    name: job.name ?? task?.name ?? programOf(spec),
    projectId: job.projectId ?? task?.projectId ?? null,
    taskId: job.task?.id ?? null,
    spec,
    priority: job.priority,
    resources: submittedResources(job, task),
    labels: job.labels,
    requires: job.requires,
    dependsOn: made.dependsOn,
    maxAttempts: job.maxAttempts,
    maxRecoveries: job.maxRecoveries,
    timeoutMs: job.timeoutMs,
    runAt: job.runAt,
    state: made.state,
    attempt: 0,
    progress: null,
    result: null,
    exitCode: null,
    error: null,
    workerId: null,
    createdAt: made.createdAt,
    readyAt: made.readyAt,
    leasedAt: null,
    startedAt: null,
    finishedAt: null,
    updatedAt: made.createdAt,
  };
}

export function submittedKind(job: NewJob, task: Task | undefined): JobKind {
  return job.task?.isLenient === true && task?.commandTemplate === null ? "external" : job.kind;
}

export function submittedResources(job: NewJob, task: Task | undefined): Resources {
  const base = task?.resources ?? DEFAULT_RESOURCES;
  return {
    cpu: job.resources.cpu ?? base.cpu,
    accelerators: job.resources.accelerators ?? base.accelerators,
    memoryMb: job.resources.memoryMb ?? base.memoryMb,
  };
}

/** A task's template is kept as it is now: a later change of the task does not change the job. */
function submittedSpec(job: NewJob, task: Task | undefined): JsonObject {
  if (job.task === null || task === undefined) return job.spec;
  return { ...job.spec, template: task.commandTemplate, parameters: job.task.parameters };
}

/** The program's name, without its folder; "" where the spec names none. */
function programOf(spec: JsonObject): string {
  const program = Array.isArray(spec.argv) ? spec.argv[0] : undefined;
  if (typeof program !== "string") return "";
  return program.slice(program.lastIndexOf("/", program.length - 2) + 1);
}
