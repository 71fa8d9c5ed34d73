/** `/api/v1/jobs`: submit, list, get, cancel. */
import { z } from "zod";
import type { Engine } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import type { Route } from "../../route.ts";
import { cancelPending } from "../bulkCancel.ts";
import type { ExecutrSettings } from "../executrSettings.ts";
import { isGoClient } from "../goClient.ts";
import type { JobViews } from "../jobViews.ts";
import { executrRoute } from "../route.ts";
import { errors, job, jobRow, newJob } from "../schemas.ts";
import { classOf, JOB_STATUSES, PRIORITIES, statesOf } from "../statuses.ts";
import { newJobOf } from "../submission.ts";
import { asSeenBy } from "../wire.ts";

const TAGS = ["executr: jobs"];
/** Longest list in one answer; what is larger is clamped. */
const MAX_LIMIT = 1_000;

export interface JobRoutesOptions {
  readonly engine: Engine;
  readonly views: JobViews;
  readonly settings: ExecutrSettings;
}

export function jobRoutes({ engine, views, settings }: JobRoutesOptions): Route[] {
  return [
    executrRoute({
      id: "executrSubmitJob",
      method: "POST",
      path: "/api/v1/jobs",
      summary: "Submit a job",
      tags: TAGS,
      body: newJob,
      responses: { 201: { description: "the job", schema: job }, ...errors(400, 413, 503) },
      handler: async ({ body }) => {
        const { jobs } = await engine.submit({ jobs: [newJobOf(body, settings)], idempotency: null });
        const [made] = jobs;
        if (made === undefined) throw new Error("the engine answered without the job");
        return created(await views.whole(made));
      },
    }),
    executrRoute({
      id: "executrListJobs",
      method: "GET",
      path: "/api/v1/jobs",
      summary: "Jobs, the newest first",
      tags: TAGS,
      query: z.object({
        status: z.enum(JOB_STATUSES).optional(),
        type: z.string().optional(),
        priority: z.enum(PRIORITIES).optional(),
        limit: z
          .int()
          .default(100)
          .meta({ description: `Clamped to 1..${MAX_LIMIT}.` }),
        offset: z.int().min(0).default(0),
      }),
      responses: { 200: { description: "one page", schema: z.array(jobRow) }, ...errors(400, 503) },
      handler: async ({ call, query }) => {
        const { status, type, priority, limit, offset } = query;
        const page = await engine.read.jobs(
          {
            dialect: "executr",
            ...(status === undefined ? {} : { states: statesOf(status) }),
            ...(type === undefined ? {} : { name: type }),
            ...(priority === undefined ? {} : { queue: classOf(priority).queue }),
          },
          {
            order: "newest",
            limit: Math.max(1, Math.min(limit, MAX_LIMIT)),
            cursor: null,
            skip: offset,
            wantsTotal: false,
          },
        );
        return ok((await views.rows(page.items)).map((row) => asSeenBy(call.role, row)));
      },
    }),
    executrRoute({
      id: "executrGetJob",
      method: "GET",
      path: "/api/v1/jobs/{id}",
      summary: "One job with its outputs and attempts",
      tags: TAGS,
      responses: { 200: { description: "the job", schema: job }, ...errors(400, 404, 503) },
      handler: async ({ call, jobId }) => ok(asSeenBy(call.role, await views.whole(await views.find(jobId)))),
    }),
    executrRoute({
      id: "executrCancelJob",
      method: "DELETE",
      path: "/api/v1/jobs/{id}",
      summary: "Cancel a pending job",
      tags: TAGS,
      responses: {
        200: { description: "the job", schema: job },
        204: { description: "the same, for Go's HTTP client" },
        ...errors(400, 404, 503),
      },
      handler: async ({ call, jobId }) => {
        const cancelled = await cancelPending(engine, await views.find(jobId));
        return isGoClient(call.request) ? noContent() : ok(asSeenBy(call.role, await views.whole(cancelled)));
      },
    }),
  ];
}
