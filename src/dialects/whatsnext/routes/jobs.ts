/** `/jobs`. Two of its paths another API has too: `GET /jobs`, and `/jobs/{id}` for ids that are no integers. */
import { z } from "zod";
import { InvalidInputError, NotFoundError } from "../../../domain/errors.ts";
import type { Job } from "../../../domain/job.ts";
import type { Task } from "../../../domain/project.ts";
import type { Engine } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { FreshReads } from "../../freshReads.ts";
import type { Call, Route } from "../../route.ts";
import { clamped, idPath, page } from "../fields.ts";
import { editOf } from "../jobUpdate.ts";
import { notFoundText, orNull, RefusedError } from "../refusals.ts";
import { dependencies, errors, inData, job, jobUpdate, newJob } from "../schemas.ts";
import { newJobOf, taskOfProject } from "../submission.ts";
import type { WhatsNextSettings } from "../whatsnextSettings.ts";
import { dependenciesToWire, jobToWire } from "../wire.ts";

const TAGS = ["whatsnext: jobs"];

export interface JobRoutesOptions {
  readonly engine: Engine;
  readonly tasks: FreshReads<number, Task>;
  readonly settings: WhatsNextSettings;
}

export function jobRoutes({ engine, tasks, settings }: JobRoutesOptions): Route[] {
  /** Jobs of other APIs are not there for this one. */
  const find = async (id: number): Promise<Job> => {
    const found = await engine.read.job(id);
    if (found.dialect !== "whatsnext") throw new NotFoundError("job", id);
    return found;
  };
  return [
    ...fastApiRoute({
      id: "whatsnextListJobs",
      method: "GET",
      path: "/jobs/",
      otherSpellingMatches: isListOfWhatsNext,
      summary: "Jobs of every status, the oldest first",
      tags: TAGS,
      query: z.object({ ...page, project_id: z.int().optional() }),
      responses: { 200: { description: "one page", schema: z.array(job) }, ...errors(422) },
      handler: async ({ query }) => {
        const { project_id: projectId, limit, skip } = query;
        const { items } = await engine.read.jobs(
          { dialect: "whatsnext", ...(projectId === undefined ? {} : { projectId }) },
          { order: "oldest", limit: clamped(limit), cursor: null, skip },
        );
        return ok(items.map(jobToWire));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextCreateJob",
      method: "POST",
      path: "/jobs/",
      summary: "Create a job",
      tags: TAGS,
      body: newJob,
      responses: { 201: { description: "the job", schema: job }, ...errors(400, 422, 503) },
      handler: async ({ body }) => {
        const projectId = body.project_id;
        const job = newJobOf(body, projectId);
        const { jobs } = await engine.submit({ jobs: [job], idempotency: null }).catch(async (error) => {
          // The engine refuses a task or a project that is not there; this API has words of its own for it.
          if (error instanceof InvalidInputError) {
            await taskOfProject({ tasks, read: engine.read }, body.task_id, projectId);
          }
          throw error;
        });
        const [made] = jobs;
        if (made === undefined) throw new Error("the engine answered without the job");
        return created(jobToWire(made));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextGetJob",
      method: "GET",
      path: "/jobs/{id}",
      matches: isIntegerId,
      summary: "One job",
      tags: TAGS,
      params: idPath,
      responses: { 200: { description: "the job", schema: job }, ...errors(404, 422) },
      handler: async ({ params }) => ok(jobToWire(await find(params.id))),
    }),
    ...fastApiRoute({
      id: "whatsnextUpdateJob",
      method: "PUT",
      access: "write",
      path: "/jobs/{id}",
      summary: "Change a job; what is absent or null stays",
      description:
        "Workers report with `status`: RUNNING, COMPLETED, FAILED. PENDING puts a job back to be run again.",
      tags: TAGS,
      params: idPath,
      body: jobUpdate,
      responses: { 200: { description: "the job", schema: inData(job) }, ...errors(400, 404, 422, 503) },
      handler: async ({ params, body }) => {
        const before = await find(params.id);
        const projectId = body.project_id ?? before.projectId;
        if (projectId !== before.projectId) {
          const isThere = projectId !== null && (await orNull(engine.read.project(projectId))) !== null;
          throw new RefusedError(
            isThere
              ? "project_id: a job cannot move to another project"
              : notFoundText("project", projectId ?? ""),
          );
        }
        const taskId = body.task_id ?? before.taskId;
        const task =
          taskId === null || projectId === null || taskId === before.taskId
            ? null
            : await taskOfProject({ tasks, read: engine.read }, taskId, projectId);
        const edit = editOf(before, body, task, settings);
        return ok({ data: jobToWire(edit === null ? before : await engine.edit(before.id, edit)) });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextDeleteJob",
      method: "DELETE",
      path: "/jobs/{id}",
      matches: isIntegerId,
      summary: "Delete a job; those that wait for it are BLOCKED unless it was COMPLETED",
      tags: TAGS,
      params: idPath,
      responses: { 204: { description: "deleted" }, ...errors(404, 422, 503) },
      handler: async ({ params }) => {
        const found = await find(params.id);
        await engine.remove(found.id, { force: true });
        return noContent();
      },
    }),
    ...fastApiRoute({
      id: "whatsnextGetDependencies",
      method: "GET",
      path: "/jobs/{id}/dependencies",
      summary: "How a job's dependencies stand",
      tags: TAGS,
      params: idPath,
      responses: { 200: { description: "the dependencies", schema: dependencies }, ...errors(404, 422) },
      handler: async ({ params }) => {
        const found = await find(params.id);
        return ok(dependenciesToWire(found, await engine.read.dependencies(found.id)));
      },
    }),
  ];
}

/** `GET /jobs` without the slash is another API's list unless it asks in WhatsNext's words. */
function isListOfWhatsNext(call: Call): boolean {
  const query = new URLSearchParams(call.search);
  return query.has("project_id") || query.has("skip");
}

/** Ids in decimal digits are WhatsNext's; `job_…` and UUIDs are another API's. */
function isIntegerId(call: Call): boolean {
  return /^-?\d+$/.test(call.params.id ?? "");
}
