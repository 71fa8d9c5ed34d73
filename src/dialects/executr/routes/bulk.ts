/** `/api/v1/jobs/bulk` and `/api/v1/jobs/bulk/cancel`. */
import { z } from "zod";
import type { Engine } from "../../../engine/engine.ts";
import { created, JSON_HEADERS, ok } from "../../answers.ts";
import { InvalidRequestError } from "../../requestErrors.ts";
import type { Route } from "../../route.ts";
import { cancelSelected } from "../bulkCancel.ts";
import { sentencesOf } from "../errors.ts";
import type { ExecutrSettings } from "../executrSettings.ts";
import { isGoClient } from "../goClient.ts";
import type { JobViews } from "../jobViews.ts";
import { checkedBody, executrRoute } from "../route.ts";
import {
  bulk,
  bulkCancel,
  cancellation,
  errors,
  type NewJobBody,
  newJob,
  partialBulk,
  submitted,
} from "../schemas.ts";
import { statusOf } from "../statuses.ts";
import { newJobOf } from "../submission.ts";

const TAGS = ["executr: bulk"];

export interface BulkRoutesOptions {
  readonly engine: Engine;
  readonly views: JobViews;
  readonly settings: ExecutrSettings;
}

export function bulkRoutes({ engine, views, settings }: BulkRoutesOptions): Route[] {
  const submit = async (bodies: readonly NewJobBody[]) => {
    if (bodies.length === 0) return [];
    const jobs = bodies.map((body) => newJobOf(body, settings));
    return (await engine.submit({ jobs, idempotency: null })).jobs;
  };

  /** Takes the items that are good. */
  const submitPartly = async (items: readonly unknown[]): Promise<Response> => {
    const verdicts = items.map(verdictOf);
    const jobs = [...(await submit(verdicts.flatMap(({ body }) => (body === null ? [] : [body]))))];
    const results = verdicts.map(({ body, error }, index) =>
      body === null
        ? { index, success: false, error }
        : { index, success: true, job_id: jobs.shift()?.key ?? "" },
    );
    const successful = results.filter(({ success }) => success).length;
    const failed = results.length - successful;
    const answer = { total: results.length, successful, failed, results };
    const status = failed === 0 ? 201 : successful === 0 ? 400 : 206;
    return new Response(JSON.stringify(answer), { status, headers: JSON_HEADERS });
  };

  return [
    executrRoute({
      id: "executrBulkSubmit",
      method: "POST",
      path: "/api/v1/jobs/bulk",
      summary: "Submit up to 100 jobs, all or none",
      description:
        "With `partial=true`, and for Go's HTTP client, the good ones are taken and the answer tells of each: 201 when all are, 206 when some, 400 when none.",
      tags: TAGS,
      query: z.object({ partial: z.boolean().optional() }),
      body: bulk,
      responses: {
        201: { description: "the jobs, in their order", schema: z.union([submitted, partialBulk]) },
        206: { description: "some were refused", schema: partialBulk },
        ...errors(400, 413, 503),
      },
      handler: async ({ call, query, body }) => {
        if (query.partial ?? isGoClient(call.request)) return submitPartly(body);
        const jobs = await submit(body.map((item, index) => checkedBody(newJob, item, [index])));
        return created(jobs.map((job) => ({ id: job.key, status: statusOf(job.state) })));
      },
    }),
    executrRoute({
      id: "executrBulkCancel",
      method: "POST",
      path: "/api/v1/jobs/bulk/cancel",
      summary: "Cancel pending jobs, by their ids or by type and status",
      description: "`type` and `status` narrow `job_ids` where both are given.",
      tags: TAGS,
      body: bulkCancel,
      responses: { 200: { description: "how it went", schema: cancellation }, ...errors(400, 413, 503) },
      handler: async ({ call, body }) => {
        const live = call.live();
        try {
          return ok(await cancelSelected(engine, views, body, live.signal));
        } finally {
          live.done();
        }
      },
    }),
  ];
}

function verdictOf(
  item: unknown,
): { readonly body: NewJobBody; readonly error: null } | { readonly body: null; readonly error: string } {
  try {
    return { body: checkedBody(newJob, item), error: null };
  } catch (error) {
    if (error instanceof InvalidRequestError) return { body: null, error: sentencesOf(error.issues) };
    throw error;
  }
}
