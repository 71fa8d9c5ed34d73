/** The schemas of workers, their claims, leases and results. */
import { z } from "zod";
import { WORKER_STATES } from "../../../domain/worker.ts";
import {
  anyResources,
  attemptNumber,
  entityId,
  instant,
  json,
  kind,
  labels,
  queueName,
  resources,
  text,
  time,
} from "./fields.ts";
import { job } from "./job.ts";
import { newRecord, resultRecordFault } from "./newRecord.ts";

/** Most jobs, leases or results in one call. */
const MAX_ITEMS = 10_000;
const INT32_MAX = 2_147_483_647;

export const workerId = text(200, 1).meta({
  description: "The worker's own name for itself, unique and lasting.",
});
const queues = z.array(queueName).min(1).max(1_000).meta({ description: '`["*"]` is every queue.' });
const kinds = z.array(kind).min(1).max(20);

/** 32 bytes in base64. */
const publicKey = z
  .string()
  .regex(/^[A-Za-z0-9+/]{43}=$/, "expected the 32 bytes of an Ed25519 public key in base64")
  .meta({ description: "Ed25519 public key by which the worker signs provenance: 32 bytes in base64." });

const INT53_MAX = Number.MAX_SAFE_INTEGER;

/** Stored with a worker as it came; see `machineOf` for the way back. */
export const machine = z
  .strictObject({
    os: text(500, 1).meta({ example: "Linux" }),
    platform: text(500, 1).meta({ description: "Distribution or release.", example: "Ubuntu 20.04" }),
    processor: text(500).nullable().meta({ description: "Model of the processors." }),
    cores: z.int().min(0).max(1_000_000),
    memoryMb: z.int().min(0).max(INT53_MAX),
    gpus: z
      .array(z.strictObject({ name: text(200, 1), memoryMb: z.int().min(0).max(INT53_MAX).nullable() }))
      .max(1_024)
      .meta({ description: "By index, also those that it gives to no job." }),
  })
  .meta({ id: "Machine", description: "The machine that a worker runs on." });

const percent = z.number().min(0).max(100);

/** What a worker tells of its machine's load; kept with the time. */
export const newLoad = z
  .strictObject({
    cpuPercent: percent.meta({ description: "Of all processors, since it told before." }),
    memoryPercent: percent,
    gpuPercent: percent.nullable().meta({ description: "Mean of its GPUs; null where it has none." }),
  })
  .meta({ id: "NewMachineLoad" });
const load = newLoad
  .extend({ time })
  .meta({ id: "MachineLoad", description: "How busy the worker's machine was at that time." });

export const registration = z
  .strictObject({
    id: workerId,
    name: text(500, 1).optional(),
    address: text(500, 1).optional(),
    capacity: resources,
    labels: labels.default({}),
    queues: queues.default(["default"]),
    kinds: kinds.default(["command"]),
    publicKey: publicKey.optional(),
    machine: machine.optional(),
  })
  .meta({ id: "WorkerRegistration" });

export const worker = z
  .object({
    id: z.string(),
    name: z.string(),
    address: z.string().nullable(),
    capacity: anyResources,
    labels: z.record(z.string(), z.string()),
    queues: z.array(z.string()),
    kinds: z.array(kind),
    publicKey: z.string().nullable(),
    earlierPublicKeys: z
      .array(z.object({ publicKey: z.string(), replacedAt: time }))
      .meta({ description: "Keys that it had before, the newest first; at most 20." }),
    machine: machine.nullable(),
    load: load.nullable(),
    state: z.enum(WORKER_STATES),
    registeredAt: time,
    lastSeenAt: time,
    runningJobs: z.array(z.int()),
    counts: z.object({ running: z.int(), succeeded: z.int(), failed: z.int() }),
  })
  .meta({ id: "Worker" });
export const workerList = z.object({ items: z.array(worker) });
export const workerPath = z.strictObject({ id: workerId });

export const claim = z
  .strictObject({
    workerId,
    queues: queues.default(["default"]),
    kinds: kinds.default(["command"]),
    capacity: resources.meta({ description: "What is free now; the jobs given fit in it together." }),
    max: z.int().min(1).max(500).default(1),
    waitMs: z
      .int()
      .min(0)
      .max(60_000)
      .default(0)
      .meta({ description: "How long to wait for work; 0 answers at once." }),
  })
  .meta({ id: "Claim" });
export const claimedJobs = z.object({
  jobs: z.array(job.extend({ leaseExpiresAt: time }).meta({ id: "ClaimedJob" })),
  draining: z.literal(true).optional().meta({
    description: "The worker was drained: it is given nothing more, and should end when its jobs have ended.",
  }),
});

export const renewal = z
  .strictObject({
    workerId,
    leases: z
      .array(
        z.strictObject({
          id: entityId,
          attempt: attemptNumber,
          progress: z.number().min(0).max(1).nullable().optional(),
          started: z.boolean().optional().meta({ description: "The job's process has been started." }),
        }),
      )
      .max(MAX_ITEMS),
  })
  .meta({ id: "Renewal" });
export const renewalAnswer = z
  .object({
    renewed: z.array(z.int()),
    lost: z
      .array(z.int())
      .meta({ description: "Held by nobody or by another attempt: stop, report nothing." }),
    cancelled: z.array(z.int()).meta({ description: "Cancelled by a user: stop." }),
    leaseExpiresAt: time.nullable(),
  })
  .meta({ id: "RenewalAnswer" });

export const results = z
  .strictObject({
    workerId,
    results: z
      .array(
        z.strictObject({
          id: entityId,
          attempt: attemptNumber,
          outcome: z.enum(["succeeded", "failed", "released", "lost"]).meta({
            description: "`released` was not run; `lost` was cut short by the worker's own end.",
          }),
          exitCode: z
            .int()
            .min(-INT32_MAX - 1)
            .max(INT32_MAX)
            .nullable()
            .optional(),
          error: text(65_536).nullable().optional(),
          result: json.optional(),
          startedAt: instant.nullable().optional(),
          records: z.array(newRecord).max(20, "expected at most 20 records").optional().meta({
            description:
              "Kept with the job if the result counts. The `nodeId` of a `provenance` is the worker's id.",
          }),
        }),
      )
      .max(MAX_ITEMS),
  })
  .superRefine(({ workerId, results }, context) => {
    for (const [index, { records = [] }] of results.entries()) {
      for (const [place, record] of records.entries()) {
        const fault = resultRecordFault(record, workerId);
        if (fault === null) continue;
        const path = ["results", index, "records", place, ...fault.path];
        context.addIssue({ code: "custom", path, message: fault.message });
      }
    }
  })
  .meta({ id: "Results" });
export const resultsAnswer = z.object({
  results: z.array(z.object({ id: z.int(), accepted: z.boolean(), reason: z.string().optional() })),
});
