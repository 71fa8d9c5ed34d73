/** What a worker does with jobs: claim them, renew their leases, report their results. */
import type { ClaimedJob, Engine } from "../../../engine/engine.ts";
import { ok } from "../../answers.ts";
import { defineRoute, type Route } from "../../route.ts";
import type { DrainNews } from "../drainNews.ts";
import { problems } from "../schemas/problem.ts";
import { claim, claimedJobs, renewal, renewalAnswer, results, resultsAnswer } from "../schemas/worker.ts";
import { claimedJobToWire, isoTime } from "../wire.ts";

const TAGS = ["workers"];

/** `/v1/claims`, `/v1/leases/renew`, `/v1/results`. */
export function claimRoutes(engine: Engine, drainNews: DrainNews): Route[] {
  const answer = async (jobs: readonly ClaimedJob[], workerId: string): Promise<Response> => {
    // Whoever was given jobs is not draining: nobody else pays for being asked.
    const isDraining = jobs.length === 0 && (await isWorkerDraining(engine, workerId));
    if (isDraining) drainNews.settled(workerId);
    return ok({ jobs: jobs.map(claimedJobToWire), ...(isDraining ? { draining: true } : {}) });
  };
  return [
    defineRoute({
      id: "claimJobs",
      method: "POST",
      access: "work",
      path: "/v1/claims",
      summary: "Claim jobs to run",
      description:
        "Empty when none came in time. A caller that goes away while it waits is given nothing. A worker that was drained is told so at once, also while it waits, and is given nothing until it registers again.",
      tags: TAGS,
      body: claim,
      responses: {
        200: { description: "the jobs, each under a lease", schema: claimedJobs },
        ...problems(404, 415, 422, 503),
      },
      handler: async ({ body, call }) => {
        const request = { ...body, leaseMs: null };
        if (body.waitMs === 0) return answer(await engine.claim(request), body.workerId);
        const live = call.live();
        const leave = drainNews.enter(body.workerId, live);
        try {
          const waitMs = drainNews.isUntold(body.workerId) ? 0 : body.waitMs;
          return await answer(await engine.claim({ ...request, waitMs }, live.signal), body.workerId);
        } finally {
          leave();
          live.done();
        }
      },
    }),
    defineRoute({
      id: "renewLeases",
      method: "POST",
      access: "work",
      path: "/v1/leases/renew",
      summary: "Renew leases, report starts and progress",
      tags: TAGS,
      body: renewal,
      responses: {
        200: { description: "what became of each lease", schema: renewalAnswer },
        ...problems(404, 415, 422, 503),
      },
      handler: async ({ body }) => {
        const leases = body.leases.map((lease) => ({
          id: lease.id,
          attempt: lease.attempt,
          progress: lease.progress ?? null,
          started: lease.started ?? false,
        }));
        const renewed = await engine.renew({ workerId: body.workerId, leases });
        return ok({
          renewed: renewed.renewed,
          lost: renewed.lost,
          cancelled: renewed.cancelled,
          leaseExpiresAt: renewed.leaseExpiresAt === null ? null : isoTime(renewed.leaseExpiresAt),
        });
      },
    }),
    reportResults(engine),
  ];
}

function reportResults(engine: Engine): Route {
  return defineRoute({
    id: "reportResults",
    method: "POST",
    access: "work",
    path: "/v1/results",
    summary: "Report how jobs ended",
    description: "Sending a result again is accepted and changes nothing.",
    tags: TAGS,
    body: results,
    responses: {
      200: { description: "what became of each result", schema: resultsAnswer },
      ...problems(404, 413, 415, 422, 503),
    },
    handler: async ({ body }) => {
      const reported = body.results.map((result) => ({
        id: result.id,
        attempt: result.attempt,
        outcome: result.outcome,
        exitCode: result.exitCode ?? null,
        error: result.error ?? null,
        result: result.result ?? null,
        startedAt:
          result.startedAt === undefined || result.startedAt === null ? null : Date.parse(result.startedAt),
        ...(result.records === undefined ? {} : { records: result.records }),
      }));
      const answers = await engine.finish({ workerId: body.workerId, results: reported });
      return ok({
        results: answers.map(({ id, accepted, reason }) =>
          reason === null ? { id, accepted } : { id, accepted, reason },
        ),
      });
    },
  });
}

async function isWorkerDraining(engine: Engine, workerId: string): Promise<boolean> {
  try {
    return (await engine.read.worker(workerId)).isDraining;
  } catch {
    // The claim itself was answered; what is wrong now shows in the next one.
    return false;
  }
}
