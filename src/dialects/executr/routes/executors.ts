/** What executors call: claim, heartbeat, complete, fail. */
import { noContent, ok } from "../../answers.ts";
import type { Call, Route } from "../../route.ts";
import type { Claims } from "../claims.ts";
import { isGoClient } from "../goClient.ts";
import type { JobViews, Known } from "../jobViews.ts";
import type { Reports } from "../reports.ts";
import { executrRoute } from "../route.ts";
import { claim, completion, errors, failure, heartbeat, job } from "../schemas.ts";

const TAGS = ["executr: executors"];
/** Two outputs of 1 MiB, each byte up to six characters of JSON, and the rest of a report. */
const MAX_REPORT_BYTES = 13 * 1024 * 1024 + 64 * 1024;

export interface ExecutorRoutesOptions {
  readonly views: JobViews;
  readonly claims: Claims;
  readonly reports: Reports;
}

export function executorRoutes({ views, claims, reports }: ExecutorRoutesOptions): Route[] {
  const said = async ({ request }: Call, jobId: string, known: Known): Promise<Response> =>
    isGoClient(request) ? noContent() : ok(await views.whole(await views.find(jobId), known));
  const answers = {
    200: { description: "the job as it is now", schema: job },
    204: { description: "the same, for Go's HTTP client" },
  };
  return [
    executrRoute({
      id: "executrClaimJob",
      method: "POST",
      access: "work",
      path: "/api/v1/jobs/claim",
      summary: "Take the next job: foreground, background, best_effort, then the oldest",
      description: "Never held open for want of jobs.",
      tags: TAGS,
      body: claim,
      responses: {
        200: { description: "the job, now running", schema: job },
        204: { description: "there is none" },
        ...errors(400, 503),
      },
      handler: async ({ call, body }) => {
        const live = call.live();
        try {
          const next = await claims.next(body, live.signal);
          return next === null ? noContent() : ok(next);
        } finally {
          live.done();
        }
      },
    }),
    executrRoute({
      id: "executrHeartbeat",
      method: "PUT",
      access: "work",
      path: "/api/v1/jobs/{id}/heartbeat",
      summary: "Say that a job is still run",
      tags: TAGS,
      body: heartbeat,
      responses: { ...answers, ...errors(400, 404, 503) },
      handler: async ({ call, jobId, body }) => {
        return said(call, jobId, await reports.heartbeat(jobId, body.executor_id));
      },
    }),
    executrRoute({
      id: "executrCompleteJob",
      method: "PUT",
      access: "work",
      path: "/api/v1/jobs/{id}/complete",
      summary: "Report that a job ended well",
      tags: TAGS,
      body: completion,
      maxBodyBytes: MAX_REPORT_BYTES,
      replacesBadUtf8: true,
      responses: { ...answers, ...errors(400, 404, 413, 503) },
      handler: async ({ call, jobId, body }) => {
        return said(call, jobId, await reports.end(jobId, "succeeded", body));
      },
    }),
    executrRoute({
      id: "executrFailJob",
      method: "PUT",
      access: "work",
      path: "/api/v1/jobs/{id}/fail",
      summary: "Report that a job failed",
      description:
        "A job with retries left is pending again, and claimable after a minute, doubled each time.",
      tags: TAGS,
      body: failure,
      maxBodyBytes: MAX_REPORT_BYTES,
      replacesBadUtf8: true,
      responses: { ...answers, ...errors(400, 404, 413, 503) },
      handler: async ({ call, jobId, body }) => {
        return said(call, jobId, await reports.end(jobId, "failed", body));
      },
    }),
  ];
}
