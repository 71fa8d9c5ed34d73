/** `/v1/jobs`: submit, list, look, cancel, retry, delete. */
import { z } from "zod";
import { InvalidInputError } from "../../../domain/errors.ts";
import type { Job } from "../../../domain/job.ts";
import type { Engine, JobFilter } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { InvalidRequestError, type RequestIssue } from "../../requestErrors.ts";
import { defineRoute, type Role, type Route } from "../../route.ts";
import { resolveJob } from "../jobReference.ts";
import { text } from "../schemas/fields.ts";
import {
  attemptList,
  cancelBody,
  dependencyList,
  eventList,
  eventQuery,
  job,
  jobList,
  jobPage,
  jobPath,
  jobQuery,
  submission,
  submissionFor,
} from "../schemas/job.ts";
import { problems } from "../schemas/problem.ts";
import { definedOnly, toNewJobs } from "../submission.ts";
import { attemptToWire, dependenciesToWire, eventToWire, jobToWire } from "../wire.ts";

const TAGS = ["jobs"];

/** The routes about jobs themselves. */
export function jobRoutes(engine: Engine): Route[] {
  return [
    submitJobs(engine),
    listJobs(engine),
    defineRoute({
      id: "getJob",
      method: "GET",
      path: "/v1/jobs/{job}",
      summary: "One job",
      tags: TAGS,
      params: jobPath,
      responses: { 200: { description: "the job", schema: job }, ...problems(404, 422) },
      handler: async ({ params, role }) =>
        ok(show(await engine.read.job(await resolveJob(engine.read, params.job)), role)),
    }),
    defineRoute({
      id: "deleteJob",
      method: "DELETE",
      path: "/v1/jobs/{job}",
      summary: "Delete a job with its log and history",
      tags: TAGS,
      params: jobPath,
      responses: { 204: { description: "deleted" }, ...problems(404, 409, 422, 503) },
      handler: async ({ params }) => {
        await engine.remove(await resolveJob(engine.read, params.job));
        return noContent();
      },
    }),
    defineRoute({
      id: "cancelJob",
      method: "POST",
      path: "/v1/jobs/{job}/cancel",
      summary: "Cancel a job that is not final",
      tags: TAGS,
      params: jobPath,
      body: cancelBody,
      responses: { 200: { description: "the job", schema: job }, ...problems(404, 409, 422, 503) },
      handler: async ({ params, body, role }) =>
        ok(show(await engine.cancel(await resolveJob(engine.read, params.job), body?.reason ?? null), role)),
    }),
    defineRoute({
      id: "retryJob",
      method: "POST",
      path: "/v1/jobs/{job}/retry",
      summary: "Run a final job again",
      tags: TAGS,
      params: jobPath,
      responses: { 200: { description: "the job", schema: job }, ...problems(404, 409, 422, 503) },
      handler: async ({ params, role }) =>
        ok(show(await engine.retry(await resolveJob(engine.read, params.job)), role)),
    }),
    ...historyRoutes(engine),
  ];
}

function submitJobs(engine: Engine): Route {
  return defineRoute({
    id: "submitJobs",
    method: "POST",
    path: "/v1/jobs",
    summary: "Submit one job or an array of jobs",
    description:
      "All of an array or none. With `Idempotency-Key` a repeat answers 200 with the jobs of the first time; the same key with another body is refused.",
    tags: TAGS,
    headers: z.object({ "idempotency-key": text(200, 1).optional() }),
    body: submission,
    bodyFor: submissionFor,
    responses: {
      201: { description: "the job, or for an array `{items}`", schema: z.union([job, jobList]) },
      200: { description: "the key was used before: the first answer", schema: z.union([job, jobList]) },
      ...problems(409, 413, 415, 422, 503),
    },
    handler: async ({ body, bodyBytes, headers, role }) => {
      const isArray = Array.isArray(body);
      const jobs = toNewJobs(isArray ? body : [body], isArray);
      const key = headers["idempotency-key"];
      const idempotency = key === undefined ? null : { key, fingerprint: fingerprint(bodyBytes) };
      const receipt = await engine.submit({ jobs, idempotency }).catch((error: unknown) => {
        throw placed(error, isArray);
      });
      const first = receipt.jobs[0];
      const answer =
        isArray || first === undefined
          ? { items: receipt.jobs.map((item) => jobToWire(item, "masked")) }
          : show(first, role);
      return receipt.repeated ? ok(answer) : created(answer);
    },
  });
}

function listJobs(engine: Engine): Route {
  return defineRoute({
    id: "listJobs",
    method: "GET",
    path: "/v1/jobs",
    summary: "Jobs, page by page",
    tags: TAGS,
    query: jobQuery,
    responses: { 200: { description: "one page", schema: jobPage }, ...problems(422) },
    handler: async ({ query }) => {
      const { state, q, label, order, limit, cursor, ...same } = query;
      const filter: JobFilter = definedOnly({
        ...same,
        states: state === undefined ? undefined : [...new Set(state)],
        text: q,
        label: label === undefined ? undefined : labelFilter(label),
      });
      const after = cursor === undefined ? null : Number.parseInt(cursor.slice(1), 36);
      const page = await engine.read.jobs(filter, { order, limit, cursor: after });
      return ok({
        items: page.items.map((item) => jobToWire(item, "masked")),
        nextCursor: page.nextCursor === null ? null : `c${page.nextCursor.toString(36)}`,
        total: page.total,
      });
    },
  });
}

function historyRoutes(engine: Engine): Route[] {
  return [
    defineRoute({
      id: "listAttempts",
      method: "GET",
      path: "/v1/jobs/{job}/attempts",
      summary: "The attempts of a job",
      tags: TAGS,
      params: jobPath,
      responses: { 200: { description: "the attempts", schema: attemptList }, ...problems(404, 422) },
      handler: async ({ params }) =>
        ok({
          items: (await engine.read.attempts(await resolveJob(engine.read, params.job))).map(attemptToWire),
        }),
    }),
    defineRoute({
      id: "listDependencies",
      method: "GET",
      path: "/v1/jobs/{job}/dependencies",
      summary: "The jobs that must succeed first",
      tags: TAGS,
      params: jobPath,
      responses: { 200: { description: "the dependencies", schema: dependencyList }, ...problems(404, 422) },
      handler: async ({ params }) =>
        ok(dependenciesToWire(await engine.read.dependencies(await resolveJob(engine.read, params.job)))),
    }),
    defineRoute({
      id: "listJobEvents",
      method: "GET",
      path: "/v1/jobs/{job}/events",
      summary: "The changes of a job's state",
      tags: TAGS,
      params: jobPath,
      query: eventQuery,
      responses: { 200: { description: "the changes", schema: eventList }, ...problems(404, 422) },
      handler: async ({ params, query }) =>
        ok({
          items: (await engine.read.events(await resolveJob(engine.read, params.job), query.after)).map(
            eventToWire,
          ),
        }),
    }),
  ];
}

function show(shown: Job, role: Role) {
  return jobToWire(shown, role === "admin" ? "clear" : "masked");
}

function labelFilter(label: string): { key: string; value: string } {
  const colon = label.indexOf(":");
  return { key: label.slice(0, colon), value: label.slice(colon + 1) };
}

function fingerprint(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/**
 * The engine names the item and its field, `[0, "taskId"]`; a body of one job has no index, and the
 * idempotency key stands in a header.
 */
function placed(error: unknown, isArray: boolean): unknown {
  if (!(error instanceof InvalidInputError)) return error;
  return new InvalidRequestError(
    error.issues.map(({ path, message }): RequestIssue => {
      const steps = path[0] === "jobs" ? path.slice(1) : path;
      if (steps[0] === "Idempotency-Key") return { part: "header", path: ["idempotency-key"], message };
      return { part: "body", path: !isArray && steps[0] === 0 ? steps.slice(1) : steps, message };
    }),
  );
}
