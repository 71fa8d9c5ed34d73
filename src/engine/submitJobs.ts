/** Submission: all jobs of a request are created, or none. */

import { countsChange, pendingState, standingOf } from "../domain/dependencies.ts";
import { type InputIssue, InvalidInputError } from "../domain/errors.ts";
import type { Job } from "../domain/job.ts";
import type { Task } from "../domain/project.ts";
import type { Shape } from "../domain/shape.ts";
import { fillTemplate, TemplateError } from "../domain/template.ts";
import type { JobInsert } from "../store/store.ts";
import { type BatchContext, each, type Handler, type Outcome } from "./batch.ts";
import type { NewJob, SubmitReceipt, SubmitRequest } from "./engine.ts";
import { submittedJob, submittedKind, submittedResources } from "./submittedJob.ts";

export const submitJobs: Handler<"submit"> = async (context, requests) => {
  const used = await usedKeys(context, requests);
  const plain: number[] = [];
  const others: number[] = [];
  for (const [index, request] of requests.entries()) {
    const key = request.idempotency?.key;
    // A key that comes twice in one commit is known when its second request is looked at.
    const isFresh = key === undefined || !used.has(key);
    if (key !== undefined) used.add(key);
    (isFresh && isPlain(request) ? plain : others).push(index);
  }
  const outcomes: Outcome<"submit">[] = new Array(requests.length);
  const at = (indexes: readonly number[]) => indexes.map((index) => requests[index] as SubmitRequest);
  const keep = (indexes: readonly number[], some: readonly Outcome<"submit">[]) => {
    for (const [place, index] of indexes.entries()) outcomes[index] = some[place] as Outcome<"submit">;
  };
  if (plain.length > 0) keep(plain, await submitPlain(context, at(plain)));
  if (others.length > 0) {
    keep(others, await each<"submit">(at(others), (request) => submitOne(context, request)));
  }
  return outcomes;
};

/** Those of the requests' idempotency keys that were used before. */
async function usedKeys({ tx }: BatchContext, requests: readonly SubmitRequest[]): Promise<Set<string>> {
  const keys = requests.flatMap(({ idempotency }) => (idempotency === null ? [] : [idempotency.key]));
  if (keys.length === 0) return new Set();
  return new Set((await tx.findIdempotencies([...new Set(keys)])).map((entry) => entry.key));
}

/**
 * The request can be refused for nothing but a task or a project that is not there, which is looked up once
 * for all requests of the commit.
 */
function isPlain(request: SubmitRequest): boolean {
  return request.jobs.every(
    (job) =>
      job.key === null && job.dependsOn.length === 0 && (job.task === null || job.task.isLenient === true),
  );
}

/** The hot path: every job of every request in one insert. */
async function submitPlain(
  context: BatchContext,
  requests: readonly SubmitRequest[],
): Promise<Outcome<"submit">[]> {
  const known = await findNamed(context, requests);
  const refusals = requests.map(({ jobs }) => refusalOf(jobs, known));
  const jobs = requests.flatMap((request, index) =>
    refusals[index] !== null
      ? []
      : request.jobs.map((job) => ({
          job,
          task: job.task === null ? undefined : known.tasks.get(job.task.id),
          dependsOn: [],
        })),
  );
  const created = jobs.length === 0 ? [] : await insert(context, jobs);
  let at = 0;
  const keys: Parameters<BatchContext["tx"]["insertIdempotencies"]>[0][number][] = [];
  const outcomes = requests.map((request, index): Outcome<"submit"> => {
    const refusal = refusals[index];
    if (refusal) return { refusal };
    const answer = receiptOf(created.slice(at, at + request.jobs.length), known.tasks);
    at += request.jobs.length;
    if (request.idempotency !== null) {
      const jobIds = answer.jobs.map((job) => job.id);
      keys.push({ ...request.idempotency, jobIds, createdAt: context.now });
    }
    return { answer };
  });
  if (keys.length > 0) await context.tx.insertIdempotencies(keys);
  return outcomes;
}

function receiptOf(jobs: readonly Job[], tasks: ReadonlyMap<number, Task>): SubmitReceipt {
  const ids = new Set<number>();
  for (const { taskId } of jobs) if (taskId !== null) ids.add(taskId);
  if (ids.size === 0) return { jobs, repeated: false };
  return { jobs, tasks: [...ids].flatMap((id) => tasks.get(id) ?? []), repeated: false };
}

/** What of that which the requests name is there. */
interface Named {
  readonly tasks: ReadonlyMap<number, Task>;
  readonly projects: ReadonlySet<number>;
}

async function findNamed({ tx }: BatchContext, requests: readonly SubmitRequest[]): Promise<Named> {
  const taskIds = new Set<number>();
  const projectIds = new Set<number>();
  for (const { jobs } of requests) {
    for (const { task, projectId } of jobs) {
      if (task !== null) taskIds.add(task.id);
      if (projectId !== null) projectIds.add(projectId);
    }
  }
  const tasks = taskIds.size === 0 ? [] : await tx.findTasks([...taskIds]);
  const projects = new Set<number>();
  for (const id of projectIds) if ((await tx.findProject({ id })) !== null) projects.add(id);
  return { tasks: new Map(tasks.map((task) => [task.id, task])), projects };
}

function refusalOf(jobs: readonly NewJob[], { tasks, projects }: Named): InvalidInputError | null {
  const issues: InputIssue[] = [];
  for (const [index, { task, projectId }] of jobs.entries()) {
    if (task !== null) {
      const found = tasks.get(task.id);
      if (found === undefined) {
        issues.push({ path: [index, "taskId"], message: `no task has the id ${task.id}` });
      } else checkProjectOfTask(found, projectId, index, issues);
    }
    if (projectId !== null && !projects.has(projectId)) {
      issues.push({ path: [index, "projectId"], message: `no project has the id ${projectId}` });
    }
  }
  return issues.length === 0 ? null : new InvalidInputError(issues);
}

/** A job of a task that belongs to a project is of that project. */
function checkProjectOfTask(task: Task, projectId: number | null, index: number, issues: InputIssue[]): void {
  if (projectId === null || task.projectId === null || projectId === task.projectId) return;
  issues.push({
    path: [index, "projectId"],
    message: `task ${task.id} belongs to project ${task.projectId}`,
  });
}

async function submitOne(context: BatchContext, request: SubmitRequest): Promise<SubmitReceipt> {
  const { tx } = context;
  if (request.idempotency !== null) {
    const [known] = await tx.findIdempotencies([request.idempotency.key]);
    if (known !== undefined) {
      if (known.fingerprint !== request.idempotency.fingerprint) {
        throw new InvalidInputError([
          {
            path: ["Idempotency-Key"],
            message: "was used before with another request body; use a new key for a new request",
          },
        ]);
      }
      return { jobs: await tx.loadJobs(known.jobIds), repeated: true };
    }
  }
  const issues: InputIssue[] = [];
  const tasks = await findTasks(context, request.jobs, issues);
  await checkProjects(context, request.jobs, issues);
  await checkKeys(context, request.jobs, issues);
  const dependencies = await findDependencies(context, request.jobs, issues);
  if (issues.length > 0) throw new InvalidInputError(issues);
  const created = await insert(
    context,
    request.jobs.map((job, index) => ({
      job,
      task: job.task === null ? undefined : tasks.get(job.task.id),
      dependsOn: dependencies[index] ?? [],
    })),
  );
  if (request.idempotency !== null) {
    const jobIds = created.map((job) => job.id);
    await tx.insertIdempotencies([{ ...request.idempotency, jobIds, createdAt: context.now }]);
  }
  return receiptOf(created, tasks);
}

async function findTasks(
  context: BatchContext,
  jobs: readonly NewJob[],
  issues: InputIssue[],
): Promise<Map<number, Task>> {
  const ids = [...new Set(jobs.flatMap((job) => (job.task === null ? [] : [job.task.id])))];
  const tasks = new Map<number, Task>();
  if (ids.length === 0) return tasks;
  for (const task of await context.tx.findTasks(ids)) tasks.set(task.id, task);
  for (const [index, job] of jobs.entries()) {
    if (job.task === null) continue;
    const task = tasks.get(job.task.id);
    if (task === undefined) {
      issues.push({ path: [index, "taskId"], message: `no task has the id ${job.task.id}` });
      continue;
    }
    checkProjectOfTask(task, job.projectId, index, issues);
    if (job.task.isLenient === true) continue;
    if (task.commandTemplate === null) {
      issues.push({
        path: [index, "taskId"],
        message: `task ${task.id} ("${task.name}") has no command template to run`,
      });
      continue;
    }
    try {
      fillTemplate(task.commandTemplate, job.task.parameters);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      issues.push({ path: [index, "parameters"], message: error.message });
    }
  }
  return tasks;
}

async function checkProjects(
  context: BatchContext,
  jobs: readonly NewJob[],
  issues: InputIssue[],
): Promise<void> {
  const known = new Map<number, boolean>();
  for (const [index, { projectId }] of jobs.entries()) {
    if (projectId === null) continue;
    let exists = known.get(projectId);
    if (exists === undefined) {
      exists = (await context.tx.findProject({ id: projectId })) !== null;
      known.set(projectId, exists);
    }
    if (!exists) issues.push({ path: [index, "projectId"], message: `no project has the id ${projectId}` });
  }
}

async function checkKeys(
  context: BatchContext,
  jobs: readonly NewJob[],
  issues: InputIssue[],
): Promise<void> {
  const named = jobs.flatMap((job, index) =>
    job.key === null ? [] : [{ index, dialect: job.dialect, ref: job.key }],
  );
  if (named.length === 0) return;
  const taken = await context.tx.findJobs(named);
  const seen = new Set<string>();
  for (const [at, { index, ref }] of named.entries()) {
    if (taken[at] !== null || seen.has(ref)) {
      issues.push({
        path: [index, "key"],
        message: `the key ${JSON.stringify(ref)} is taken by another job`,
      });
    }
    seen.add(ref);
  }
}

/** Ids for stored dependencies, and places in the request for earlier items. */
type Dependency = { readonly id: number } | { readonly item: number };

async function findDependencies(
  context: BatchContext,
  jobs: readonly NewJob[],
  issues: InputIssue[],
): Promise<Dependency[][]> {
  const refs = jobs.flatMap((job) =>
    job.dependsOn.flatMap((dependency) =>
      "job" in dependency ? [{ dialect: null, ref: dependency.job }] : [],
    ),
  );
  const ids = refs.length === 0 ? [] : await context.tx.findJobs(refs);
  let at = 0;
  return jobs.map((job, index) =>
    job.dependsOn.flatMap((dependency, position): Dependency[] => {
      const path = [index, "dependsOn", position];
      if ("item" in dependency) {
        if (dependency.item >= 0 && dependency.item < index) return [{ item: dependency.item }];
        issues.push({
          path,
          message: `"#${dependency.item}" must name an earlier item of the same request (this is item ${index})`,
        });
        return [];
      }
      const id = ids[at++];
      if (typeof id === "number") return [{ id }];
      issues.push({ path, message: `no job has the id or key ${JSON.stringify(dependency.job)}` });
      return [];
    }),
  );
}

interface Accepted {
  readonly job: NewJob;
  readonly task: Task | undefined;
  readonly dependsOn: readonly Dependency[];
}

async function insert(context: BatchContext, accepted: readonly Accepted[]): Promise<Job[]> {
  const { tx, ledger, now } = context;
  await ledger.load(
    accepted.flatMap(({ dependsOn }) => dependsOn.flatMap((one) => ("id" in one ? [one.id] : []))),
  );
  const firstId = await tx.nextJobIds(accepted.length);
  const shapes = accepted.map(
    ({ job, task }): Shape => ({
      queue: job.queue,
      kind: submittedKind(job, task),
      resources: submittedResources(job, task),
      requires: job.requires,
    }),
  );
  const shapeIds = await tx.internShapes(shapes);
  const rows: JobInsert[] = [];
  const created: { job: Job; shape: Shape; shapeId: number }[] = [];
  for (const [index, { job: asked, task, dependsOn }] of accepted.entries()) {
    const ids = [...new Set(dependsOn.map((one) => ("id" in one ? one.id : firstId + one.item)))];
    const counts = { unmet: 0, doomed: 0 };
    for (const id of ids) {
      const state = id >= firstId ? rows[id - firstId]?.state : ledger.get(id)?.state;
      const change = countsChange("met", standingOf(state ?? null));
      counts.unmet += change.unmet;
      counts.doomed += change.doomed;
    }
    const id = firstId + index;
    // WhatsNext's ids are the engine's own; every other API has ids that do not tell how many jobs there are.
    const key = asked.key ?? (asked.dialect === "whatsnext" ? null : Bun.randomUUIDv7());
    const state = pendingState({ ...counts, runAt: asked.runAt }, now);
    const readyAt = state === "ready" ? now : null;
    const made = { id, key: key ?? String(id), state, dependsOn: ids, createdAt: now, readyAt };
    const job = submittedJob(asked, task, made);
    const shapeId = shapeIds[index] as number;
    rows.push({
      ...job,
      key,
      shapeId,
      backoffMs: asked.backoffMs ?? null,
      ...counts,
    });
    created.push({ job, shape: shapes[index] as Shape, shapeId });
  }
  await tx.insertJobs(rows);
  ledger.created(created);
  return created.map(({ job }) => job);
}
