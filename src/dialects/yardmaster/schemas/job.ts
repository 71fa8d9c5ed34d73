/** The schemas of jobs: as submitted, as shown, and the queries on them. */
import { z } from "zod";
import { ATTEMPT_OUTCOMES, DIALECTS, JOB_STATES } from "../../../domain/job.ts";
import {
  entityId,
  instant,
  json,
  jsonObject,
  kind,
  labels,
  optionalTime,
  ownQueueName,
  partialResources,
  queueName,
  resources,
  text,
  textFault,
  textMap,
  time,
} from "./fields.ts";

/** Most jobs in one submission. */
export const MAX_BATCH = 1_000;
const MAX_ARGUMENTS = 10_000;
const INT32_MAX = 2_147_483_647;

const MAX_ARGUMENT_LENGTH = 1_048_576;

const environment = textMap({
  maxEntries: 10_000,
  maxNameLength: 1_000,
  maxValueLength: 1_048_576,
  refusedInNames: "=",
});
const programArguments = z
  .array(z.string())
  .check(({ value, issues }) => {
    const tell = (message: string, path: number[] = []) =>
      issues.push({ code: "custom", message, path, input: value });
    if (value.length > MAX_ARGUMENTS) tell(`expected at most ${MAX_ARGUMENTS} arguments`);
    for (const [place, argument] of value.entries()) {
      const fault = textFault(argument, MAX_ARGUMENT_LENGTH, 0);
      if (fault !== null) tell(fault, [place]);
    }
  })
  .meta({ maxItems: MAX_ARGUMENTS });
const argv = programArguments
  .check(({ value, issues }) => {
    if (value.length === 0) {
      issues.push({
        code: "custom",
        message: "expected a program and its arguments",
        path: [],
        input: value,
      });
    } else if (value[0] === "") {
      issues.push({ code: "custom", message: "expected the name of a program", path: [0], input: value });
    }
  })
  .meta({ minItems: 1, maxItems: MAX_ARGUMENTS });
const cwd = text(4_096, 1).nullable();

/** What a `command` job runs. */
export const commandSpec = z
  .strictObject({
    argv,
    env: environment.optional(),
    cwd: cwd.optional(),
  })
  .meta({
    id: "CommandSpec",
    description: "Program and arguments, each as it is: no shell reads them.",
    example: { argv: ["python", "train.py", "--lr", "0.01"], env: { SEED: "7" } },
  });

const sha256 = z
  .string()
  .regex(/^[0-9a-f]{64}$/, "expected a SHA-256 as 64 hexadecimal digits in small letters");

const binaryUrl = text(8_192, 1)
  .refine(
    (url) =>
      /^\/v1\/artifacts\/[0-9a-f]{64}$/.test(url) ||
      (/^https?:\/\//i.test(url) && URL.parse(url)?.hostname !== undefined),
    "expected an http or https URL, or /v1/artifacts/ and a SHA-256 for an artifact of this server",
  )
  .meta({
    description:
      "Where the program is: `http:`, `https:`, or `/v1/artifacts/` and a SHA-256 for an artifact of this server.",
  });

/** What a `binary` job runs. */
export const binarySpec = z
  .strictObject({
    url: binaryUrl,
    sha256: sha256.meta({ description: "What the program must have; agents check it before every run." }),
    args: programArguments.optional(),
    env: environment.optional().meta({ description: "All that the program finds besides `PATH`." }),
  })
  .meta({
    id: "BinarySpec",
    description: "A program by its address and checksum, with its arguments.",
    example: {
      url: "https://example.com/tool",
      sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
      args: ["--level", "3"],
    },
  });

/** What a `script` job runs. */
export const scriptSpec = z
  .strictObject({
    script: z
      .strictObject({ sha256, bytes: z.int().min(0).optional() })
      .meta({ description: "The script, uploaded as an artifact." }),
    entrypoint: text(1_000, 1)
      .default("train.py")
      .meta({ description: "Name of the script in its folder; a relative path without `..`." }),
    requirements: text(1_048_576)
      .default("")
      .meta({ description: "What pip is to install, as in a `requirements.txt`." }),
    dataset: z
      .strictObject({
        name: text(500),
        url: text(10_000).nullable().default(null),
        hash: text(1_000).nullable().default(null),
      })
      .nullable()
      .default(null)
      .meta({
        description: "Downloaded before the script runs; `hash` of 64 hexadecimal digits is verified.",
      }),
    runtimeMinutesEstimate: z.int().min(0).optional(),
    meta: jsonObject.optional(),
  })
  .meta({
    id: "ScriptSpec",
    description: "A Python script with what it needs.",
    example: {
      script: { sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" },
      requirements: "scikit-learn==1.7.2",
      dataset: { name: "Iris", url: "https://example.com/iris.csv" },
    },
  });

/** What a task's job may say besides its parameters. */
export const taskJobSpec = z.strictObject({ env: environment.optional(), cwd: cwd.optional() });

const dependency = z.union([entityId, text(200, 1)]).meta({
  description: 'Id or key of a job; "#0", "#1" … are earlier items of the same array.',
});

/** A job to submit. */
export const newJob = z
  .strictObject({
    kind: kind.default("command"),
    key: text(200, 1)
      .refine(
        (key) => !/^(\d+$|#)/.test(key),
        'expected a key that is not a number and does not begin with "#"',
      )
      .optional(),
    queue: ownQueueName.default("default"),
    name: text(500, 1).optional(),
    projectId: entityId.optional(),
    spec: jsonObject
      .meta({
        description:
          "What to run, by kind: a `command` gives `argv`, `env`, `cwd`; a `binary` `url`, `sha256`, `args`, `env`.",
        override: { anyOf: [{ $ref: "#/components/schemas/CommandSpec" }, { type: "object" }] },
      })
      .optional(),
    taskId: entityId.optional(),
    parameters: jsonObject.optional(),
    priority: z
      .int()
      .min(-INT32_MAX - 1)
      .max(INT32_MAX)
      .default(0),
    resources: partialResources.default({}),
    labels: labels.default({}),
    requires: labels.default({}),
    dependsOn: z.array(dependency).max(1_000, "expected at most 1000 dependencies").default([]),
    maxAttempts: z.int().min(1).max(1_000).optional(),
    maxRecoveries: z.int().min(0).max(1_000).optional(),
    timeoutMs: z.int().min(1).max(100_000_000_000).nullable().optional(),
    runAt: instant.nullable().optional(),
  })
  .meta({
    id: "NewJob",
    description: "A job to submit: `spec`, or `taskId` with `parameters`, says what to run.",
  });
export type NewJobInput = z.output<typeof newJob>;

const newJobs = z
  .array(newJob)
  .min(1, "expected at least one job")
  .max(MAX_BATCH, `expected at most ${MAX_BATCH} jobs`);

/** One job or an array of them. */
export const submission = z.union([newJob, newJobs]);

/** The alternative that a body is meant to be: trying one after the other costs twice the time. */
export function submissionFor(body: unknown): typeof newJob | typeof newJobs {
  return Array.isArray(body) ? newJobs : newJob;
}

/** A job as shown. */
export const job = z
  .object({
    id: z.int(),
    key: z.string(),
    dialect: z.enum(DIALECTS),
    kind,
    queue: z.string(),
    name: z.string(),
    projectId: z.int().nullable(),
    taskId: z.int().nullable(),
    spec: jsonObject.meta({ description: "As submitted; environment values are masked." }),
    priority: z.int(),
    resources,
    labels: z.record(z.string(), z.string()),
    requires: z.record(z.string(), z.string()),
    dependsOn: z.array(z.int()),
    maxAttempts: z.int(),
    maxRecoveries: z.int(),
    timeoutMs: z.int().nullable(),
    runAt: optionalTime,
    state: z.enum(JOB_STATES),
    attempt: z.int(),
    progress: z.number().nullable(),
    result: json,
    exitCode: z.int().nullable(),
    error: z.string().nullable(),
    workerId: z.string().nullable(),
    createdAt: time,
    readyAt: optionalTime,
    startedAt: optionalTime,
    finishedAt: optionalTime,
    updatedAt: time,
  })
  .meta({ id: "Job" });

export const jobList = z.object({ items: z.array(job) });
export const jobPage = z
  .object({ items: z.array(job), nextCursor: z.string().nullable(), total: z.int() })
  .meta({ id: "JobPage" });

/** `{job}` in a path. */
export const jobPath = z.strictObject({
  job: text(200, 1).meta({ description: "Id or key of a job.", example: "42" }),
});

/** Query of `GET /v1/jobs`. */
export const jobQuery = z.strictObject({
  state: z
    .array(z.enum(JOB_STATES))
    .max(JOB_STATES.length * 2)
    .optional(),
  kind: kind.optional(),
  dialect: z.enum(DIALECTS).optional(),
  queue: queueName.optional(),
  projectId: entityId.optional(),
  label: text(1_201, 2)
    .refine((label) => label.indexOf(":") > 0, "expected name:value")
    .optional()
    .meta({ example: "team:ml" }),
  q: text(200, 1)
    .optional()
    .meta({ description: "Text to be found in the name, the key or the queue, in any case." }),
  order: z.enum(["newest", "oldest"]).default("newest"),
  limit: z.int().min(1).max(1_000).default(100),
  cursor: z
    .string()
    .regex(/^c[0-9a-z]{1,11}$/, "expected the nextCursor of an earlier answer")
    .optional()
    .meta({ description: "`nextCursor` of the page before." }),
});

export const cancelBody = z.strictObject({ reason: text(1_000).optional() }).optional();

export const attemptList = z.object({
  items: z.array(
    z
      .object({
        number: z.int(),
        workerId: z.string().nullable(),
        workerAddress: z.string().nullable(),
        startedAt: optionalTime,
        endedAt: optionalTime,
        outcome: z.enum(ATTEMPT_OUTCOMES).nullable(),
        exitCode: z.int().nullable(),
        error: z.string().nullable(),
      })
      .meta({ id: "Attempt" }),
  ),
});

export const dependencyList = z.object({
  items: z.array(z.object({ id: z.int(), key: z.string(), name: z.string(), state: z.enum(JOB_STATES) })),
  allSucceeded: z.boolean(),
  anyFailed: z.boolean(),
});

export const eventQuery = z.strictObject({ after: z.int().min(0).default(0) });
export const eventList = z.object({
  items: z.array(
    z
      .object({
        seq: z.int(),
        time,
        from: z.enum(JOB_STATES).nullable(),
        to: z.enum(JOB_STATES),
        attempt: z.int(),
        reason: z.string(),
      })
      .meta({ id: "JobEvent" }),
  ),
});
