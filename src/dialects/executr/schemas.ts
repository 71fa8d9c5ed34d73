/** Executr's objects and requests: what is checked, and what the OpenAPI document shows. */
import { z } from "zod";
import * as field from "./fields.ts";
import { ATTEMPT_STATUSES, JOB_STATUSES, PRIORITIES } from "./statuses.ts";

const time = z.string().meta({ example: "2024-01-01T12:00:00.000Z" });
const id = z.string().meta({ format: "uuid" });

const attempt = z
  .object({
    executor_id: z.string(),
    executor_ip: z.string().optional(),
    started_at: time.optional(),
    ended_at: time.optional(),
    status: z.enum(ATTEMPT_STATUSES),
    exit_code: z.int().optional(),
    error_message: z.string().optional(),
  })
  .meta({ id: "ExecutrAttempt" });

const rowFields = {
  id,
  type: z.string(),
  binary_url: z.string(),
  binary_sha256: z.string(),
  arguments: z.array(z.string()),
  env_variables: z.record(z.string(), z.string()),
  priority: z.enum(PRIORITIES),
  status: z.enum(JOB_STATUSES),
  executor_id: z.string().optional(),
  exit_code: z.int().optional(),
  error_message: z.string().optional(),
  created_at: time,
  started_at: time.optional(),
  completed_at: time.optional(),
  last_heartbeat: time.optional(),
};
export const jobRow = z.object(rowFields).meta({ id: "ExecutrJobRow" });
export const job = z
  .object({
    ...rowFields,
    stdout: z.string().optional().meta({ description: "Present once the job has finished." }),
    stderr: z.string().optional(),
    attempts: z.array(attempt),
  })
  .meta({ id: "ExecutrJob" });

export const newJob = z
  .object({
    type: field.type,
    binary_url: field.binaryUrl,
    binary_sha256: field.sha256,
    arguments: field.args.nullish(),
    env_variables: field.env.nullish(),
    priority: field.priority,
    max_retries: field.maxRetries.nullish(),
  })
  .meta({ id: "ExecutrNewJob" });
export type NewJobBody = z.output<typeof newJob>;

/** Jobs in one bulk submission. */
export const MAX_BULK_JOBS = 100;
/** Ids in one bulk cancellation. */
export const MAX_CANCELLED_IDS = 10_000;

/** Checked one by one, so that a fault names its item and good ones can be taken without it. */
export const bulk = z
  .array(z.unknown())
  .min(1)
  .max(MAX_BULK_JOBS)
  .meta({ override: { type: "array", minItems: 1, maxItems: MAX_BULK_JOBS, items: { type: "object" } } });
export const submitted = z.array(z.object({ id, status: z.enum(JOB_STATUSES) }));
export const partialBulk = z.object({
  total: z.int(),
  successful: z.int(),
  failed: z.int(),
  results: z.array(
    z.object({ index: z.int(), success: z.boolean(), job_id: id.optional(), error: z.string().optional() }),
  ),
});

export const bulkCancel = z
  .object({
    job_ids: z.array(z.string()).max(MAX_CANCELLED_IDS).nullish(),
    type: z.string().nullish(),
    status: z.enum(JOB_STATUSES).nullish(),
  })
  .meta({ id: "ExecutrBulkCancel" });
export const cancellation = z.object({
  cancelled: z.int(),
  failed: z.int(),
  total: z.int(),
  errors: z.array(z.object({ job_id: z.string(), error: z.string() })),
});

export const claim = z
  .object({ executor_id: field.executorId, executor_ip: field.executorIp })
  .meta({ id: "ExecutrClaim" });
export const heartbeat = z.object({ executor_id: field.executorId }).meta({ id: "ExecutrHeartbeat" });
const resultFields = {
  executor_id: field.executorId,
  stdout: field.output.nullish(),
  stderr: field.output.nullish(),
  exit_code: field.exitCode.nullish().meta({ description: "Absent is 0." }),
};
export const completion = z.object(resultFields).meta({ id: "ExecutrCompletion" });
export const failure = z
  .object({ ...resultFields, error_message: field.errorMessage })
  .meta({ id: "ExecutrFailure" });
export type ResultBody = z.output<typeof completion>;

const counts = <Name extends string>(names: readonly Name[]) =>
  z.object(Object.fromEntries(names.map((name) => [name, z.int()])));
export const stats = z
  .object({
    jobs_by_status: counts(JOB_STATUSES),
    pending_by_priority: counts(PRIORITIES),
    active_executors: z.int(),
    timestamp: time,
  })
  .meta({ id: "ExecutrStats" });
export const executors = z.array(
  z
    .object({
      executor_id: z.string(),
      current_job_id: id.nullable(),
      job_type: z.string().nullable(),
      last_heartbeat: time,
      jobs_completed: z.int(),
    })
    .meta({ id: "ExecutrExecutor" }),
);

const error = z
  .object({ error: z.string(), context: z.record(z.string(), z.unknown()) })
  .meta({ id: "ExecutrError" });

const ERROR_TEXTS = {
  400: "the request is not of the form of this call, or the job's state forbids it",
  404: "no such job, or it does not run",
  413: "the body is too large",
  503: "too much to do, or the store is away; try again later",
} as const;

/** The documented errors among a route's answers. */
export function errors(...codes: readonly (keyof typeof ERROR_TEXTS)[]) {
  return Object.fromEntries(codes.map((code) => [code, { description: ERROR_TEXTS[code], schema: error }]));
}
