/** Logs: what jobs wrote, and where their agents send it. */
import { z } from "zod";
import type { Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Route } from "../../route.ts";
import * as field from "../fields.ts";
import { lastLines, recentLines } from "../lastLines.ts";
import { RememberedIds } from "../remembered.ts";
import * as schema from "../schemas.ts";
import type { ShelbyViews } from "../views.ts";

const TAGS = ["shelbycompute: logs"];

/** Most lines in one answer: of one job, and of all together. */
const MAX_LINES = 100_000;
const MAX_RECENT_LINES = 1_000;

export function logRoutes({
  engine,
  views,
}: {
  readonly engine: Engine;
  readonly views: ShelbyViews;
}): Route[] {
  const ids = new RememberedIds(async (jobId) => (await views.ownJob(jobId)).id);

  return [
    ...fastApiRoute({
      id: "shelbyJobLogs",
      method: "GET",
      path: "/api/frontend/logs/{job_id}",
      summary: "The last lines of a job's log, oldest first",
      tags: TAGS,
      params: field.jobPath,
      query: z.object({ limit: field.limit(1_000, MAX_LINES) }),
      responses: {
        200: { description: "the lines", schema: schema.jobLogs },
        ...schema.errors(404, 422, 503),
      },
      handler: async ({ params, query }) => {
        const job = await views.findJob(params.job_id);
        return ok({
          jobId: job.key,
          logs: await lastLines(engine.read, job, Math.min(query.limit, MAX_LINES)),
        });
      },
    }),
    ...fastApiRoute({
      id: "shelbyRecentLogs",
      method: "GET",
      path: "/api/frontend/logs",
      summary: "The last lines of one job or of all jobs, newest first",
      tags: TAGS,
      query: z.object({ jobId: z.string().optional(), limit: field.limit(100, MAX_LINES) }),
      responses: {
        200: { description: "the lines", schema: schema.recentLogs },
        ...schema.errors(404, 422, 503),
      },
      handler: async ({ query }) => {
        const { jobId } = query;
        if (jobId === undefined || jobId === "") {
          const lines = await recentLines(engine.read, Math.min(query.limit, MAX_RECENT_LINES));
          return ok(lines.map((one) => ({ jobId: one.jobId, line: one.line, ts: one.timestamp })));
        }
        const job = await views.findJob(jobId);
        const lines = await lastLines(engine.read, job, Math.min(query.limit, MAX_LINES));
        return ok(lines.map(({ line, timestamp }) => ({ jobId: job.key, line, ts: timestamp })).reverse());
      },
    }),
    ...fastApiRoute({
      id: "shelbyStreamLog",
      method: "POST",
      access: "work",
      path: "/api/jobs/stream-log",
      summary: "Add a line to a job's log",
      tags: TAGS,
      body: schema.logLine,
      responses: { 200: { description: "kept", schema: schema.done() }, ...schema.errors(404, 422, 503) },
      handler: async ({ body }) => {
        const text = body.line.replaceAll("\0", "\ufffd").toWellFormed();
        const line = { time: Date.now(), stream: "stdout", text } as const;
        await ids.use(body.job_id, (job) => engine.appendLines([{ ...line, job }]));
        return ok({ status: "ok" });
      },
    }),
  ];
}
