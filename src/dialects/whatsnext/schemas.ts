/** WhatsNext's objects and requests: what is checked, and what the OpenAPI document shows. */
import { z } from "zod";
import { PROJECT_STATUSES } from "../../domain/project.ts";
import * as field from "./fields.ts";
import { JOB_STATUSES } from "./statuses.ts";

/** Jobs in one batch. They are created in one commit, for which everybody else waits. */
const MAX_BATCH_JOBS = 50_000;

const time = z.string().meta({ example: "2024-01-15T10:30:00.123456+00:00" });
const times = { created_at: time, updated_at: time };

export const project = z
  .object({
    id: z.int(),
    name: z.string(),
    description: z.string(),
    status: z.enum(PROJECT_STATUSES),
    ...times,
  })
  .meta({ id: "WhatsNextProject" });
export const newProject = z
  .object({ name: field.name, description: field.description.nullish() })
  .meta({ id: "WhatsNextNewProject" });
export const projectUpdate = z
  .object({
    name: field.name.nullish(),
    description: field.description.nullish(),
    status: field.word(PROJECT_STATUSES).nullish(),
  })
  .meta({ id: "WhatsNextProjectUpdate" });

export const task = z
  .object({
    id: z.int(),
    name: z.string(),
    project_id: z.int().nullable(),
    command_template: z.string().nullable(),
    required_cpu: z.int(),
    required_accelerators: z.int(),
    ...times,
  })
  .meta({ id: "WhatsNextTask" });
const taskFields = {
  command_template: field.commandTemplate.nullish(),
  required_cpu: field.amount.nullish(),
  required_accelerators: field.amount.nullish(),
};
export const newTask = z
  .object({ name: field.name, project_id: field.id, ...taskFields })
  .meta({ id: "WhatsNextNewTask" });
export const taskUpdate = z
  .object({ name: field.name.nullish(), project_id: field.id.nullish(), ...taskFields })
  .meta({ id: "WhatsNextTaskUpdate" });

const jobFields = {
  id: z.int(),
  name: z.string(),
  project_id: z.int(),
  task_id: z.int(),
  parameters: z.record(z.string(), z.unknown()),
  status: z.enum(JOB_STATUSES),
  priority: z.int(),
  depends: z.record(z.string(), z.string()),
  ...times,
};
export const job = z.object(jobFields).meta({ id: "WhatsNextJob" });
export const fetchedJob = z
  .object({
    job: z
      .object({ ...jobFields, task_name: z.string() })
      .meta({ id: "WhatsNextFetchedJob" })
      .nullable(),
    num_pending: z.int(),
  })
  .meta({ id: "WhatsNextFetch" });

const status = field.word(JOB_STATUSES);
const batchJob = z
  .object({
    name: field.name,
    task_id: field.id,
    project_id: field.id.nullish(),
    parameters: field.parameters.default({}),
    priority: field.priority.nullish(),
    depends: field.depends.nullish(),
    status: status.nullish(),
  })
  .meta({ id: "WhatsNextBatchJob" });
export const newJob = batchJob.extend({ project_id: field.id }).meta({ id: "WhatsNextNewJob" });
export type NewJobBody = z.output<typeof batchJob>;

export const batch = z.object({ jobs: z.array(batchJob).max(MAX_BATCH_JOBS) }).meta({ id: "WhatsNextBatch" });
export const batchAnswer = z.object({ created: z.int(), job_ids: z.array(z.int()) });

export const jobUpdate = z
  .object({
    name: field.name.nullish(),
    project_id: field.id.nullish(),
    task_id: field.id.nullish(),
    parameters: field.parameters.nullish(),
    status: status.nullish(),
    priority: field.priority.nullish(),
    depends: field.depends.nullish(),
  })
  .meta({ id: "WhatsNextJobUpdate" });
export type JobUpdateBody = z.output<typeof jobUpdate>;

const dependency = z.object({
  id: z.int(),
  name: z.string(),
  job_id: z.int(),
  job_name: z.string(),
  status: z.enum(JOB_STATUSES),
});
export const dependencies = z
  .object({
    job_id: z.int(),
    job_name: z.string(),
    status: z.enum(JOB_STATUSES),
    dependencies: z.array(dependency),
    all_completed: z.boolean(),
    has_failed: z.boolean(),
  })
  .meta({ id: "WhatsNextDependencies" });

export const client = z
  .object({
    id: z.string(),
    name: z.string(),
    entity: z.string(),
    description: z.string(),
    available_cpu: z.int(),
    available_accelerators: z.int(),
    last_heartbeat: time,
    created_at: time,
    is_active: z.int().meta({ description: "1 or 0" }),
  })
  .meta({ id: "WhatsNextClient" });
const clientFields = {
  name: field.name.nullish(),
  entity: field.description.nullish(),
  description: field.description.nullish(),
  available_cpu: field.amount.nullish(),
  available_accelerators: field.amount.nullish(),
};
export const registration = z
  .object({ id: z.string().meta({ pattern: "^[A-Za-z0-9_-]{1,128}$" }), ...clientFields })
  .meta({ id: "WhatsNextRegistration" });
export const clientUpdate = z.object(clientFields).meta({ id: "WhatsNextClientUpdate" });

/** `PUT` answers hold the whole object in `data`. */
export function inData(schema: z.ZodType): z.ZodType {
  return z.object({ data: schema });
}

const sentence = z.object({ detail: z.string() }).meta({ id: "WhatsNextError" });
const faults = z
  .object({
    detail: z.array(
      z.object({
        type: z.string(),
        loc: z.array(z.union([z.string(), z.int()])),
        msg: z.string(),
        input: z.unknown(),
      }),
    ),
  })
  .meta({ id: "WhatsNextValidationError" });

const ERROR_TEXTS: Readonly<Record<number, string>> = {
  400: "it names something absent or breaks a rule",
  404: "not found",
  422: "the request does not have the form of this call",
  503: "too much to do, or the store is away; try again later",
};

/** The documented errors among a route's answers. */
export function errors(...codes: readonly (400 | 404 | 422 | 503)[]) {
  return Object.fromEntries(
    codes.map((code) => [
      code,
      { description: ERROR_TEXTS[code] ?? "", schema: code === 422 ? faults : sentence },
    ]),
  );
}
