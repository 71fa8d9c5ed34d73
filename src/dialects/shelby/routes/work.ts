/** What agents do with jobs: poll, acknowledge, fetch the script, report, finish. */
import { z } from "zod";
import { canonicalJson } from "../../../domain/canonicalJson.ts";
import { ConflictError } from "../../../domain/errors.ts";
import type { Job, JsonObject } from "../../../domain/job.ts";
import { recordHash } from "../../../domain/provenance.ts";
import type { Engine, FinishRequest } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import { FreshReads } from "../../freshReads.ts";
import type { Route } from "../../route.ts";
import * as field from "../fields.ts";
import { offeredJob } from "../frontJob.ts";
import { DEFAULT_ENTRYPOINT, specOf } from "../jobSpec.ts";
import type { Nodes } from "../nodes.ts";
import { Offers } from "../offers.ts";
import { RefusedError } from "../refusals.ts";
import { Remembered, RememberedIds } from "../remembered.ts";
import * as schema from "../schemas.ts";
import type { Scripts } from "../scripts.ts";
import type { ShelbySettings } from "../shelbySettings.ts";
import { isSignatureOf } from "../signature.ts";
import { statusOf } from "../statuses.ts";
import { unixSeconds } from "../unixSeconds.ts";
import type { ShelbyViews } from "../views.ts";

const TAGS = ["shelbycompute: agents"];

/** Jobs that one poll reads at a time, and how often. What is offered to others is passed by. */
const MIN_PAGE_JOBS = 8;
const MAX_PAGE_JOBS = 256;
const MAX_PAGES = 8;
const MAX_ERROR_CHARACTERS = 4_000;

/** A job that a node holds, by its acknowledgement. */
interface HeldJob {
  readonly id: number;
  readonly attempt: number;
  readonly workerId: string;
}

export interface WorkRoutesOptions {
  readonly engine: Engine;
  readonly views: Pick<ShelbyViews, "ownJob">;
  readonly nodes: Nodes;
  readonly scripts: Scripts;
  readonly settings: ShelbySettings;
}

export function workRoutes({ engine, views, nodes, scripts, settings }: WorkRoutesOptions): Route[] {
  const offers = new Offers(settings);
  /** The engine's ids of jobs that polls have shown. */
  const shown = new RememberedIds(async (jobId) => (await views.ownJob(jobId)).id);
  /** Jobs as they were given to their nodes. */
  const held = new Remembered<HeldJob>();
  /** Pending jobs, oldest first: one reading for all who poll at the same moment. */
  const pages = new FreshReads((page: string) => {
    const [limit = "", after = ""] = page.split("/");
    return engine.read.jobs(
      { dialect: "shelby", states: ["ready"] },
      {
        order: "oldest",
        limit: Number(limit),
        cursor: after === "" ? null : Number(after),
        wantsTotal: false,
      },
    );
  });

  const nextFor = async (nodeId: string): Promise<Job | null> => {
    const limit = Math.min(2 ** Math.ceil(Math.log2(offers.size + MIN_PAGE_JOBS)), MAX_PAGE_JOBS);
    let after = "";
    for (let page = 0; page < MAX_PAGES; page++) {
      const { items, nextCursor } = await pages.get(`${limit}/${after}`);
      const job = items.find((one) => offers.offer(one, nodeId));
      if (job !== undefined) return job;
      if (nextCursor === null) return null;
      after = String(nextCursor);
    }
    return null;
  };

  const checkSignature = async (nodeId: string, jobId: string, signature: string | null): Promise<void> => {
    if (signature === null && !settings.requiresSignatures) return;
    const key = await nodes.handshakeKey(nodeId);
    // Nothing to check it against: a node that registered elsewhere, once in its life, must still be able to work.
    if (key === null && !settings.requiresSignatures) return;
    if (key === null || signature === null || !isSignatureOf(signature, jobId, key)) {
      throw new RefusedError("Invalid signature");
    }
  };

  return [
    ...fastApiRoute({
      id: "shelbyPoll",
      method: "GET",
      access: "work",
      path: "/api/jobs/poll",
      summary: "The oldest pending job that no other node was just shown",
      description: "Reserves nothing: the acknowledgement is the claim.",
      tags: TAGS,
      query: z.object({ nodeId: field.id }),
      responses: {
        200: { description: "a job, or null", schema: schema.polled },
        ...schema.errors(400, 422, 503),
      },
      handler: async ({ query }) => {
        await nodes.heard(query.nodeId);
        const job = await nextFor(query.nodeId);
        if (job !== null) shown.set(job.key, job.id);
        return ok({ job: job === null ? null : offeredJob(job) });
      },
    }),
    ...fastApiRoute({
      id: "shelbyAcknowledge",
      method: "POST",
      access: "work",
      path: "/api/jobs/ack",
      summary: "Take a pending job: of several nodes one gets it",
      tags: TAGS,
      body: schema.acknowledgement,
      responses: {
        200: { description: "the job is the node's", schema: schema.done({ jobId: z.string() }) },
        ...schema.errors(400, 404, 422, 503),
      },
      handler: async ({ body }) => {
        const { nodeId, jobId } = body;
        await nodes.heard(nodeId);
        const { id, attempt } = await shown.use(jobId, async (known) => {
          await checkSignature(nodeId, jobId, given(body.signature));
          return take(engine, known, nodeId, settings.nodeTimeoutMs);
        });
        held.set(jobId, { id, attempt, workerId: nodeId });
        // The number it had when it was offered.
        offers.taken(id, attempt - 1);
        return ok({ status: "ok", jobId });
      },
    }),
    ...fastApiRoute({
      id: "shelbyFetchScript",
      method: "GET",
      access: "work",
      path: "/api/jobs/fetch-script",
      summary: "A job's script with its requirements",
      tags: TAGS,
      query: z.object({ jobId: field.id }),
      responses: {
        200: { description: "the script", schema: schema.script },
        ...schema.errors(404, 422, 503),
      },
      handler: async ({ query }) => {
        const { upload } = specOf(await views.ownJob(query.jobId));
        if (upload === null) return ok({ script: "", requirements: "", entrypoint: DEFAULT_ENTRYPOINT });
        const { requirements, entrypoint } = upload;
        return ok({ script: await scripts.text(upload.script), requirements, entrypoint });
      },
    }),
    ...fastApiRoute({
      id: "shelbyReportUsage",
      method: "POST",
      access: "work",
      path: "/api/usage-report",
      summary: "What a job uses now",
      tags: TAGS,
      body: schema.usageReport,
      responses: {
        200: { description: "kept", schema: schema.done() },
        ...schema.errors(400, 404, 422, 503),
      },
      handler: async ({ body }) => {
        const { nodeId, jobId, cpu_percent, ram_percent, gpu_percent, ts } = body;
        const job = await views.ownJob(jobId);
        const data = {
          ...{ nodeId, jobId, cpu_percent, ram_percent, ts },
          ...(gpu_percent === undefined || gpu_percent === null ? {} : { gpu_percent }),
        };
        const record = { job: job.id, attempt: null, kind: "usage", data };
        if ((await engine.addRecords({ workerId: nodeId, records: [record] })) === 0) throw notTheirs();
        await nodes.heard(nodeId);
        return ok({ status: "ok" });
      },
    }),
    ...fastApiRoute({
      id: "shelbyFinish",
      method: "POST",
      access: "work",
      path: "/api/jobs/finish",
      summary: "A job has ended: failed if the metadata has an error, else finished",
      tags: TAGS,
      body: schema.finish,
      responses: {
        200: {
          description: "counted",
          schema: schema.done({
            jobId: z.string(),
            provenanceId: z.string().meta({ description: "SHA-256 of the record, in its canonical form." }),
          }),
        },
        ...schema.errors(400, 404, 422, 503),
      },
      handler: async ({ body }) => {
        const { nodeId, jobId, ...outcome } = body;
        const error = errorOf(outcome.metadata);
        const record = { jobId, nodeId, ...outcome, ts: unixSeconds(Date.now()) };
        const finish = async ({ id, attempt }: Pick<HeldJob, "id" | "attempt">) => {
          const result: FinishRequest["results"][number] = {
            ...{ id, attempt, exitCode: null, error, startedAt: null },
            outcome: error === null ? "succeeded" : "failed",
            result: { ...outcome, artifact: null },
            records: [{ kind: "provenance", data: record }],
          };
          const [answer] = await engine.finish({ workerId: nodeId, results: [result] });
          return { id, answer };
        };
        const known = held.get(jobId);
        held.forget(jobId);
        let ended = known?.workerId === nodeId ? await finish(known) : null;
        // What is remembered may be an attempt that has ended at another server since, and the node speaks of a later one.
        if (ended?.answer?.accepted !== true || ended.answer.isRepeated === true) {
          const job = await views.ownJob(jobId);
          if (job.workerId !== nodeId || statusOf(job.state) === "pending") throw notTheirs();
          ended = await finish(job);
        }
        const { id, answer } = ended;
        if (answer?.accepted !== true) throw notTheirs();
        // Its node did not hear the answer: the same again.
        const kept = answer.isRepeated === true ? await newestRecord(engine, id) : record;
        if (canonicalJson({ ...kept, ts: 0 }) !== canonicalJson({ ...record, ts: 0 })) {
          throw new RefusedError("Job has ended with another result");
        }
        return ok({ status: "ok", jobId, provenanceId: await recordHash(kept) });
      },
    }),
  ];
}

function given(signature: string | null | undefined): string | null {
  return signature === undefined || signature === "" ? null : signature;
}

function notTheirs(): RefusedError {
  return new RefusedError("Job is not assigned to this node");
}

async function take(engine: Engine, id: number, nodeId: string, leaseMs: number): Promise<Job> {
  try {
    return await engine.edit(id, { state: "running", workerId: nodeId, leaseMs, onlyFrom: ["ready"] });
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    throw new RefusedError("Job not available for assignment");
  }
}

/** What went wrong, in the words of the node; null when nothing did. */
function errorOf({ error }: JsonObject): string | null {
  if (error === undefined || error === null || error === false || error === "" || error === 0) return null;
  const text = typeof error === "string" ? error : JSON.stringify(error);
  return text.replaceAll("\0", "\ufffd").slice(0, MAX_ERROR_CHARACTERS).toWellFormed();
}

async function newestRecord(engine: Engine, id: number): Promise<JsonObject> {
  const [newest] = await engine.read.records(id, { kind: "provenance", limit: 1, order: "newest" });
  return newest?.data ?? {};
}
