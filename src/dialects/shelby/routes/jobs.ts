/** Jobs as front ends see them: lists, details, metrics, deleting, restarting. */
import { z } from "zod";
import { ConflictError } from "../../../domain/errors.ts";
import type { Job } from "../../../domain/job.ts";
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Route } from "../../route.ts";
import * as field from "../fields.ts";
import { debugJob, durationOf, frontJob } from "../frontJob.ts";
import { lastLines } from "../lastLines.ts";
import { listedJobs } from "../listedJobs.ts";
import { RefusedError } from "../refusals.ts";
import * as schema from "../schemas.ts";
import type { Scripts } from "../scripts.ts";
import { JOB_STATUSES, statesOf, statusOf } from "../statuses.ts";
import { unixSeconds } from "../unixSeconds.ts";
import type { ShelbyViews } from "../views.ts";

const TAGS = ["shelbycompute: jobs"];

/** Longest list in one answer. */
const MAX_JOBS = 1_000;
/** Log lines in a job's details. */
const DETAIL_LINES = 1_000;
/** Records of one job in one answer. */
const MAX_PROVENANCE = 1_000;
const MAX_SAMPLES = 10_000;

export interface JobRoutesOptions {
  readonly engine: Engine;
  readonly views: ShelbyViews;
  readonly scripts: Scripts;
}

const status = z
  .preprocess(
    (value) => (typeof value === "string" ? value.trim().toLowerCase() : value),
    // Front ends send an empty one for "all".
    z.enum([...JOB_STATUSES, ""]).optional(),
  )
  .meta({ override: { type: "string", enum: [...JOB_STATUSES] } });

export function jobRoutes({ engine, views, scripts }: JobRoutesOptions): Route[] {
  return [
    ...fastApiRoute({
      id: "shelbyListJobs",
      method: "GET",
      path: "/api/frontend/jobs",
      summary: "Jobs, newest first",
      tags: TAGS,
      query: z.object({ status, limit: field.limit(50, MAX_JOBS) }),
      responses: { 200: { description: "the jobs", schema: schema.jobs }, ...schema.errors(422, 503) },
      handler: async ({ query }) => {
        const jobs = await listedJobs(engine.read, {
          order: "newest",
          limit: Math.min(query.limit, MAX_JOBS),
          ...(query.status === undefined || query.status === "" ? {} : { states: statesOf(query.status) }),
        });
        return ok({ jobs: jobs.map(frontJob), count: jobs.length });
      },
    }),
    ...fastApiRoute({
      id: "shelbyGetJob",
      method: "GET",
      path: "/api/frontend/jobs/{job_id}",
      summary: "One job with the last lines of its log and the provenance of its results",
      tags: TAGS,
      params: field.jobPath,
      responses: { 200: { description: "the job", schema: schema.jobDetail }, ...schema.errors(404, 503) },
      handler: async ({ params }) => {
        const job = await views.findJob(params.job_id);
        const [logs, provenance] = await Promise.all([
          lastLines(engine.read, job, DETAIL_LINES),
          engine.read.records(job.id, { kind: "provenance", limit: MAX_PROVENANCE, order: "oldest" }),
        ]);
        return ok({
          ...frontJob(job),
          logs,
          provenance: provenance.map(({ data, time }) => ({ record: data, createdAt: unixSeconds(time) })),
        });
      },
    }),
    ...fastApiRoute({
      id: "shelbyDeleteJob",
      method: "DELETE",
      path: "/api/frontend/jobs/{job_id}",
      summary: "Delete a job with its log, records and script",
      description: "Its node, if it has one, hears of it when it next speaks of the job.",
      tags: TAGS,
      params: field.jobPath,
      responses: {
        200: { description: "deleted", schema: schema.done({ message: z.string(), jobId: z.string() }) },
        ...schema.errors(404, 503),
      },
      handler: async ({ params }) => {
        const job = await views.ownJob(params.job_id);
        await engine.remove(job.id, { force: true });
        await scripts.forgetFor(job);
        return ok({ status: "ok", message: "Job deleted successfully", jobId: job.key });
      },
    }),
    ...fastApiRoute({
      id: "shelbyRestartJob",
      method: "POST",
      path: "/api/frontend/jobs/{job_id}/restart",
      summary: "Run a job again that has ended; what it left is kept",
      description: "One that never had a script waits for it, a short time.",
      tags: TAGS,
      params: field.jobPath,
      responses: {
        200: {
          description: "pending again",
          schema: schema.done({ message: z.string(), jobId: z.string() }),
        },
        ...schema.errors(400, 404, 503),
      },
      handler: async ({ params }) => {
        const job = await views.ownJob(params.job_id);
        try {
          await scripts.restart(job);
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error;
          throw new RefusedError(
            `Only a job that has ended can be restarted; this one is ${statusOf(job.state)}`,
          );
        }
        return ok({ status: "ok", message: "Job restarted successfully", jobId: job.key });
      },
    }),
    ...fastApiRoute({
      id: "shelbyJobMetrics",
      method: "GET",
      path: "/api/frontend/job-metrics/{job_id}",
      summary: "What the job's last run used, from its node's reports",
      description:
        "The lists belong together, place by place; `gpuUsage` is empty where no report tells of GPUs.",
      tags: TAGS,
      params: field.jobPath,
      responses: {
        200: { description: "the figures", schema: schema.jobMetrics },
        ...schema.errors(404, 503),
      },
      handler: async ({ params }) => ok(await metricsOf(engine, await views.findJob(params.job_id))),
    }),
    ...fastApiRoute({
      id: "shelbyDebugJobs",
      method: "GET",
      path: "/api/debug/jobs",
      summary: "Jobs as they were created, newest first",
      tags: TAGS,
      query: z.object({ limit: field.limit(MAX_JOBS, MAX_JOBS) }),
      responses: { 200: { description: "the jobs", schema: schema.debugJobs }, ...schema.errors(422, 503) },
      handler: async ({ query }) => {
        const { items } = await engine.read.jobs(
          { dialect: "shelby" },
          { order: "newest", limit: Math.min(query.limit, MAX_JOBS), cursor: null, wantsTotal: false },
        );
        return ok(items.map(debugJob));
      },
    }),
  ];
}

async function metricsOf(engine: Engine, job: Job) {
  const records = await engine.read.records(job.id, { kind: "usage", limit: MAX_SAMPLES, order: "newest" });
  const samples = records
    .filter(({ attempt }) => attempt === job.attempt)
    .reverse()
    .map(({ data, time }) => ({
      cpu: numberOr(data.cpu_percent) ?? 0,
      memory: numberOr(data.ram_percent) ?? 0,
      gpu: numberOr(data.gpu_percent),
      timestamp: Math.floor(numberOr(data.ts) ?? time / 1_000),
    }));
  return {
    duration: durationOf(job),
    gpuUsage: samples.some(({ gpu }) => gpu !== null) ? samples.map(({ gpu }) => gpu) : [],
    cpuUsage: samples.map(({ cpu }) => cpu),
    memoryUsage: samples.map(({ memory }) => memory),
    timestamps: samples.map(({ timestamp }) => timestamp),
  };
}

function numberOr(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}
