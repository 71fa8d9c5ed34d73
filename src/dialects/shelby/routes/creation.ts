/** Creating jobs, and uploading their scripts before or after. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { InvalidInputError } from "../../../domain/errors.ts";
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Call, Route } from "../../route.ts";
import { DEFAULT_ENTRYPOINT } from "../jobSpec.ts";
import { RefusedError } from "../refusals.ts";
import * as schema from "../schemas.ts";
import type { Scripts } from "../scripts.ts";
import type { ShelbySettings } from "../shelbySettings.ts";
import { newJobOf } from "../submission.ts";

const TAGS = ["shelbycompute: jobs"];
const DEFAULT_MINUTES = 5;

export interface CreationRoutesOptions {
  readonly engine: Engine;
  readonly scripts: Scripts;
  readonly settings: ShelbySettings;
}

export function creationRoutes({ engine, scripts, settings }: CreationRoutesOptions): Route[] {
  return [
    ...fastApiRoute({
      id: "shelbyCreateJob",
      method: "POST",
      path: "/api/jobs/create",
      summary: "Create a job",
      description:
        "A script that was uploaded under its id is its script. Without one it is offered to nodes when its script arrives, or after a short time without.",
      tags: TAGS,
      body: schema.newJob,
      responses: {
        200: { description: "created", schema: schema.done({ jobId: z.string() }) },
        ...schema.errors(400, 422, 503),
      },
      handler: async ({ body, call }) => {
        const key = body.jobId === undefined || body.jobId === "" ? null : body.jobId;
        const creator = creatorOf(call);
        const found = key === null ? null : await scripts.fetchFor(key, creator);
        const spec = {
          datasetName: body.datasetName,
          datasetUrl: body.datasetUrl ?? null,
          datasetHash: body.datasetHash ?? null,
          runtimeMinutesEstimate: body.runtimeMinutesEstimate ?? DEFAULT_MINUTES,
          meta: body.meta ?? {},
          upload: found?.upload ?? null,
          lentBy: null,
        };
        const isReady = found !== null && !found.isInUse;
        const runAt = isReady ? null : Date.now() + settings.scriptGraceMs;
        const { jobs } = await submit(engine, newJobOf(key, spec, runAt));
        const [job] = jobs;
        if (job === undefined) throw new Error("the engine answered without the job");
        if (key === null) await scripts.expect(job, creator);
        else await scripts.settle(job, creator);
        return ok({ status: "ok", jobId: job.key });
      },
    }),
    ...fastApiRoute({
      id: "shelbyUploadScript",
      method: "POST",
      path: "/api/jobs/upload-script",
      summary: "Upload a job's script, before or after the job is created",
      description:
        "Replaces an earlier one as long as the job is pending. Under an id that no job has it is also lent to a job that the same caller created without an id and that waits for its script: of several that are alike to the oldest.",
      tags: TAGS,
      body: schema.upload,
      responses: {
        200: { description: "kept", schema: schema.done({ message: z.string(), jobId: z.string() }) },
        ...schema.errors(400, 422, 503),
      },
      handler: async ({ body, call }) => {
        const { jobId, script, requirements, entrypoint } = body;
        const rest = {
          requirements: requirements ?? "",
          entrypoint:
            entrypoint === undefined || entrypoint === null || entrypoint === ""
              ? DEFAULT_ENTRYPOINT
              : entrypoint,
        };
        await scripts.upload(jobId, script, rest, creatorOf(call));
        return ok({ status: "ok", message: "Script uploaded successfully", jobId });
      },
    }),
  ];
}

/** Names a caller by the same few characters, whether it is a key or an address. */
function creatorOf(call: Call): string {
  return createHash("sha256").update(call.caller()).digest("hex").slice(0, 32);
}

async function submit(engine: Engine, job: ReturnType<typeof newJobOf>) {
  try {
    return await engine.submit({ jobs: [job], idempotency: null });
  } catch (error) {
    // The id is all that the engine can refuse here.
    if (error instanceof InvalidInputError) throw new RefusedError("Job already exists");
    throw error;
  }
}
