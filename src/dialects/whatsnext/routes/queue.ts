/** The queue of a project: fetch, clear, batch, remove. */
import { z } from "zod";
import { InvalidInputError } from "../../../domain/errors.ts";
import type { Task } from "../../../domain/project.ts";
import type { ClaimedJob, ClaimRequest, Engine } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import { FreshReads } from "../../freshReads.ts";
import type { Route } from "../../route.ts";
import { idPath } from "../fields.ts";
import { AbsentError, notFoundText, orNull, RefusedError } from "../refusals.ts";
import { batch, batchAnswer, errors, fetchedJob } from "../schemas.ts";
import { PENDING_STATES } from "../statuses.ts";
import { newJobOf, queueOf, taskOfProject } from "../submission.ts";
import { UNNAMED_CLIENT } from "../unnamedClient.ts";
import type { WhatsNextSettings } from "../whatsnextSettings.ts";
import { fetchedJobToWire } from "../wire.ts";

const TAGS = ["whatsnext: queue"];

/** What fits whatever a task asks for: stands for a resource that the client does not filter by. */
export const UNLIMITED = 1_000_000_000;

const available = z
  .number()
  .min(0)
  .default(0)
  .meta({
    override: { type: "integer" },
    description: "Only jobs whose task requires no more; 0 does not filter.",
  });

/** Jobs of other APIs that one fetch passes by; a queue with more of them in front has nothing to give here. */
const MAX_FOREIGN_JOBS = 20;

export interface QueueRoutesOptions {
  readonly engine: Engine;
  readonly tasks: FreshReads<number, Task>;
  readonly settings: WhatsNextSettings;
}

export function queueRoutes({ engine, tasks, settings }: QueueRoutesOptions): Route[] {
  const pending = new FreshReads((projectId: number) =>
    engine.read.count({ projectId, states: PENDING_STATES, dialect: "whatsnext" }),
  );

  const requireClient = async (id: string): Promise<void> => {
    if ((await engine.read.dialectOfWorker(id)) !== "whatsnext")
      throw new RefusedError(notFoundText("worker", id.slice(0, 200)));
  };

  /** Its client will not have it: the job goes back to its place at once instead of when its lease ends. */
  const giveBack = (workerId: string, { id, attempt }: ClaimedJob) =>
    engine.finish({
      workerId,
      results: [
        {
          id,
          attempt,
          outcome: "released",
          exitCode: null,
          error: "the client left before it was given the job",
          result: null,
          startedAt: null,
        },
      ],
    });

  /**
   * The next job that came through this API. Other APIs can put jobs into a project's queue too, which its
   * clients could not report on: those met on the way keep their place.
   */
  const claimOwn = async (request: ClaimRequest): Promise<ClaimedJob | undefined> => {
    const foreign: ClaimedJob[] = [];
    try {
      while (foreign.length < MAX_FOREIGN_JOBS) {
        const [job] = await engine.claim(request);
        if (job === undefined || job.dialect === "whatsnext") return job;
        foreign.push(job);
      }
      return undefined;
    } finally {
      for (const job of foreign) await giveBack(request.workerId, job);
    }
  };

  return [
    ...fastApiRoute({
      id: "whatsnextFetchJob",
      method: "GET",
      access: "work",
      path: "/projects/{id}/fetch_job",
      summary: "Take the next job: highest priority first, then the oldest",
      description:
        "Never waits: `job` is null when nothing can be run. `client_id` ties the job to a registered client, whose heartbeats renew its jobs and whose deactivation gives them back.",
      tags: TAGS,
      params: idPath,
      query: z.object({
        available_cpu: available,
        available_accelerators: available,
        client_id: z.string().optional(),
      }),
      responses: {
        200: { description: "the job, now QUEUED", schema: fetchedJob },
        ...errors(400, 404, 422, 503),
      },
      handler: async ({ call, params, query }) => {
        const { available_cpu: cpu, available_accelerators: accelerators, client_id: clientId } = query;
        const projectId = params.id;
        const [numPending] = await Promise.all([
          pending.get(projectId),
          clientId === undefined ? null : requireClient(clientId),
        ]);
        const workerId = clientId ?? UNNAMED_CLIENT;
        const job = await claimOwn({
          workerId,
          queues: [queueOf(projectId)],
          kinds: ["command", "external"],
          capacity: {
            cpu: cpu === 0 ? UNLIMITED : cpu,
            accelerators: accelerators === 0 ? UNLIMITED : accelerators,
            memoryMb: UNLIMITED,
          },
          max: 1,
          waitMs: 0,
          leaseMs: clientId === undefined ? settings.queuedLeaseMs : settings.clientLeaseMs,
        });
        if (job === undefined) {
          // Asked only now: a project with jobs to give surely exists.
          await engine.read.project(projectId);
          return ok({ job: null, num_pending: 0 });
        }
        try {
          const taskName = job.taskId === null ? "" : (await tasks.get(job.taskId)).name;
          if (call.request.signal.aborted) await giveBack(workerId, job);
          // The job was submitted after the count where that says none.
          return ok({ job: fetchedJobToWire(job, taskName), num_pending: Math.max(1, numPending) });
        } catch (error) {
          await giveBack(workerId, job);
          throw error;
        }
      },
    }),
    ...fastApiRoute({
      id: "whatsnextClearQueue",
      method: "DELETE",
      path: "/projects/{id}/queue",
      summary: "Delete the PENDING jobs of a project",
      tags: TAGS,
      params: idPath,
      responses: {
        200: { description: "how many there were", schema: z.object({ deleted: z.int() }) },
        ...errors(404, 422, 503),
      },
      handler: async ({ params }) => {
        await engine.read.project(params.id);
        return ok({ deleted: await engine.removePending(params.id) });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextCreateBatch",
      method: "POST",
      path: "/projects/{id}/jobs/batch",
      summary: "Create jobs, all or none; ids in the order given",
      tags: TAGS,
      params: idPath,
      body: batch,
      responses: {
        201: { description: "the jobs' ids", schema: batchAnswer },
        ...errors(400, 404, 422, 503),
      },
      handler: async ({ params, body }) => {
        const projectId = params.id;
        await engine.read.project(projectId);
        const taskIds = [...new Set(body.jobs.map((job) => job.task_id))];
        await Promise.all(
          taskIds.map((id) =>
            taskOfProject({ tasks, read: engine.read }, id, projectId).catch((error: unknown) => {
              const at = body.jobs.findIndex((job) => job.task_id === id);
              throw placed(error, at);
            }),
          ),
        );
        const jobs = body.jobs.map((job, at) => {
          try {
            if (typeof job.project_id === "number" && job.project_id !== projectId) {
              throw new RefusedError(`the batch is for project ${projectId}`, "project_id");
            }
            return newJobOf(job, projectId);
          } catch (error) {
            throw placed(error, at);
          }
        });
        if (jobs.length === 0) return created({ created: 0, job_ids: [] });
        const receipt = await engine.submit({ jobs, idempotency: null }).catch((error: unknown) => {
          throw placed(error, null);
        });
        const ids = receipt.jobs.map((job) => job.id);
        return created({ created: ids.length, job_ids: ids });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextRemoveJob",
      method: "DELETE",
      path: "/projects/{project_id}/jobs/{job_id}",
      summary: "Delete a job of a project",
      tags: TAGS,
      params: z.object({ project_id: z.int(), job_id: z.int() }),
      responses: { 204: { description: "deleted" }, ...errors(404, 422, 503) },
      handler: async ({ params }) => {
        const { project_id: projectId, job_id: jobId } = params;
        const job = await orNull(engine.read.job(jobId));
        if (job?.dialect !== "whatsnext" || job.projectId !== projectId) {
          throw new AbsentError("job", jobId, `Job with id ${jobId} not found in project ${projectId}.`);
        }
        await engine.remove(job.id, { force: true });
        return noContent();
      },
    }),
  ];
}

/** Puts the place in the batch before what was wrong; null where the engine's issues tell it themselves. */
function placed(error: unknown, at: number | null): unknown {
  if (!(error instanceof InvalidInputError)) return error;
  return new InvalidInputError(
    error.issues.map(({ path, message }) => ({
      path: at === null ? ["jobs", ...path] : ["jobs", at, ...path],
      message,
    })),
  );
}
