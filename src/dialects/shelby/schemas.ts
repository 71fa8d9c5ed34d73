/** ShelbyCompute's requests and objects: what is checked, and what the OpenAPI document shows. */
import { z } from "zod";
import * as field from "./fields.ts";
import { DEFAULT_ENTRYPOINT } from "./jobSpec.ts";
import { JOB_STATUSES } from "./statuses.ts";

/** Largest objects that come with every list of jobs or nodes. */
const MAX_META_CHARACTERS = 256 * 1024;
const MAX_SPECS_CHARACTERS = 64 * 1024;
const MAX_METADATA_CHARACTERS = 1024 * 1024;
const MAX_REQUIREMENTS_CHARACTERS = 256 * 1024;
/** A line of 1 MiB in whatever characters, and room for what stands before it. */
const MAX_LINE_CHARACTERS = 2 * 1024 * 1024;
const MAX_MINUTES = 1_000_000_000;
const MAX_NUMBER = 1e15;

export const registration = z
  .object({
    nodeId: field.id,
    specs: field.keptObject(MAX_SPECS_CHARACTERS),
    containerSupported: z.boolean().nullish(),
    handshakeKey: field.text(10_000).nullish(),
    aptosPublicKey: field.text(10_000).nullish(),
  })
  .meta({ id: "ShelbyRegistration" });
export const heartbeat = z.object({ nodeId: field.id }).meta({ id: "ShelbyHeartbeat" });
export const acknowledgement = z
  .object({
    nodeId: field.id,
    jobId: field.id,
    signature: z.string().max(1_000).nullish().meta({
      description: "Hex HMAC-SHA256 of the jobId under the node's handshakeKey.",
    }),
  })
  .meta({ id: "ShelbyAcknowledgement" });
export const logLine = z
  // A worker's output is what it is: what cannot be kept is replaced, not refused.
  .object({ job_id: field.id, line: z.string().max(MAX_LINE_CHARACTERS) })
  .meta({ id: "ShelbyLogLine" });
export const usageReport = z
  .object({
    nodeId: field.id,
    jobId: field.id,
    cpu_percent: field.number(0, MAX_NUMBER),
    ram_percent: field.number(0, MAX_NUMBER),
    gpu_percent: field.number(0, MAX_NUMBER).nullish(),
    ts: field.number(0, MAX_NUMBER),
  })
  .meta({ id: "ShelbyUsageReport" });
export const finish = z
  .object({
    nodeId: field.id,
    jobId: field.id,
    modelHash: field.text(1_000),
    modelSizeBytes: field.integer(0, Number.MAX_SAFE_INTEGER),
    metadata: field.keptObject(MAX_METADATA_CHARACTERS),
    durationSeconds: field.number(0, MAX_NUMBER),
  })
  .meta({ id: "ShelbyFinish" });
export const newJob = z
  .object({
    jobId: field.idOrEmpty.nullish().meta({ description: "Absent: a UUID is made." }),
    datasetName: field.text(1_000, 1),
    datasetUrl: field.text(10_000).nullish(),
    datasetHash: field.text(1_000).nullish(),
    runtimeMinutesEstimate: field.integer(0, MAX_MINUTES).nullish(),
    meta: field.keptObject(MAX_META_CHARACTERS).nullish(),
  })
  .meta({ id: "ShelbyNewJob" });
export const upload = z
  .object({
    jobId: field.id,
    script: z
      .string()
      .min(1)
      .check(({ value, issues }) => {
        if (value.isWellFormed()) return;
        issues.push({ code: "custom", message: "the text must not hold halves of characters", input: value });
      }),
    requirements: field.text(MAX_REQUIREMENTS_CHARACTERS).nullish(),
    entrypoint: field
      .text(1_000)
      .nullish()
      .meta({ description: `Absent: ${DEFAULT_ENTRYPOINT}.` }),
  })
  .meta({ id: "ShelbyUpload" });

const object = z.record(z.string(), z.unknown());
const seconds = z.int().meta({ description: "Unix seconds." });
const jobFields = {
  jobId: z.string(),
  status: z.enum(JOB_STATUSES),
  datasetName: z.string(),
  datasetUrl: z.string().nullable(),
  meta: object,
  createdAt: seconds,
  assignedNode: z.string().nullable(),
  startedAt: seconds.nullable(),
  finishedAt: seconds.nullable(),
  duration: z.int().nullable(),
  modelHash: z.string().nullable(),
  metadata: object.nullable(),
};
export const job = z.object(jobFields).meta({ id: "ShelbyJob" });
export const jobs = z.object({ jobs: z.array(job), count: z.int() });
const logs = z.array(z.object({ line: z.string(), timestamp: seconds }));
export const jobDetail = z
  .object({
    ...jobFields,
    logs,
    provenance: z.array(z.object({ record: object, createdAt: seconds })),
  })
  .meta({ id: "ShelbyJobDetail" });
export const jobLogs = z.object({ jobId: z.string(), logs });
export const recentLogs = z.array(z.object({ jobId: z.string(), line: z.string(), ts: seconds }));

const payload = {
  jobId: z.string(),
  datasetName: z.string(),
  datasetUrl: z.string().nullable(),
  datasetHash: z.string().nullable(),
  meta: object,
  createdAt: seconds,
};
export const polled = z.object({ job: z.object({ ...payload, dataset: z.string() }).nullable() });
export const debugJobs = z.array(
  z.object({
    jobId: z.string(),
    status: z.enum(JOB_STATUSES),
    payload: z.object(payload),
    assigned: z.string().nullable(),
    startedAt: seconds.nullable(),
    finishedAt: seconds.nullable(),
  }),
);
export const script = z.object({ script: z.string(), requirements: z.string(), entrypoint: z.string() });

const jobStats = z.object({
  ...Object.fromEntries(JOB_STATUSES.map((status) => [status, z.int()])),
  total: z.int(),
});
export const dashboard = z
  .object({ jobStats, activeNodes: z.int(), recentJobs: z.array(job), timestamp: seconds })
  .meta({ id: "ShelbyDashboard" });
export const health = z.object({
  status: z.string(),
  database: z.string(),
  activeNodes: z.int(),
  jobQueue: z.object({ pending: z.int(), running: z.int(), completed: z.int() }),
  timestamp: seconds,
});
export const nodes = z.object({
  nodes: z.array(
    z
      .object({
        nodeId: z.string(),
        status: z.enum(["active", "inactive"]),
        lastSeen: seconds,
        lastSeenAgo: z.int(),
        specs: object,
      })
      .meta({ id: "ShelbyNode" }),
  ),
  count: z.int(),
});
export const nodeStats = z.object({
  total: z.int(),
  online: z.int(),
  offline: z.int(),
  totalGpus: z.int().nullable(),
  activeJobs: z.int(),
});
export const systemStats = z.object({
  activeJobs: z.int(),
  totalJobs: z.int(),
  gpuUtilization: z.number().nullable(),
  networkIO: z.null(),
  creditsSpent: z.null(),
  creditsPerHour: z.null(),
});
export const jobMetrics = z.object({
  duration: z.int().nullable(),
  gpuUsage: z.array(z.number().nullable()),
  cpuUsage: z.array(z.number()),
  memoryUsage: z.array(z.number()),
  timestamps: z.array(seconds),
});

/** `{"status": "ok"}` with more. */
export function done(fields: Readonly<Record<string, z.ZodType>> = {}): z.ZodType {
  return z.object({ status: z.literal("ok"), ...fields });
}

const sentence = z.object({ detail: z.string() }).meta({ id: "ShelbyError" });
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
  .meta({ id: "ShelbyValidationError" });

const ERROR_TEXTS = {
  400: "the state of things forbids it",
  404: "not found",
  422: "the request does not have the form of this call",
  503: "too much to do, or the store is away; try again later",
} as const;

/** The errors among a route's answers. */
export function errors(...codes: readonly (keyof typeof ERROR_TEXTS)[]) {
  return Object.fromEntries(
    codes.map((code) => [code, { description: ERROR_TEXTS[code], schema: code === 422 ? faults : sentence }]),
  );
}
