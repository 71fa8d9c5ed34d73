/** Projects and tasks. */
import { InvalidInputError, NotFoundError } from "../domain/errors.ts";
import type { Project, Task } from "../domain/project.ts";
import { DEFAULT_RESOURCES } from "../domain/resources.ts";
import { isHeld } from "../domain/stateMachine.ts";
import { TemplateError, templatePlaceholders } from "../domain/template.ts";
import { type BatchContext, each, type Handler } from "./batch.ts";

/** Jobs deleted in one commit when their project or task goes: keeps the commit, and others' wait, short. */
const JOBS_PER_ROUND = 1_000;

export const createProjects: Handler<"createProject"> = (context, requests) =>
  each<"createProject">(requests, async ({ name, description }) => {
    await checkProjectName(context, name, null);
    return context.tx.insertProject({
      name,
      description,
      status: "ACTIVE",
      createdAt: context.now,
      updatedAt: context.now,
    });
  });

export const updateProjects: Handler<"updateProject"> = (context, requests) =>
  each<"updateProject">(requests, async ({ id, change }) => {
    const before = await findProject(context, id);
    const project: Project = { ...before, ...change, updatedAt: context.now };
    await checkProjectName(context, project.name, id);
    await context.tx.updateProject(project);
    return project;
  });

export const deleteProjects: Handler<"deleteProject"> = (context, requests) =>
  each<"deleteProject">(requests, async ({ id }) => {
    await findProject(context, id);
    if (await deleteSome(context, await context.tx.jobsOfProject(id, JOBS_PER_ROUND))) return false;
    for (const task of await context.tx.tasksOfProject(id)) await context.tx.deleteTask(task.id);
    await context.tx.deleteProject(id);
    return true;
  });

export const createTasks: Handler<"createTask"> = (context, requests) =>
  each<"createTask">(requests, async ({ name, projectId, commandTemplate, resources }) => {
    if (projectId !== null && (await context.tx.findProject({ id: projectId })) === null) {
      throw new InvalidInputError([{ path: ["projectId"], message: `no project has the id ${projectId}` }]);
    }
    await checkTaskName(context, name, projectId, null);
    checkTemplate(commandTemplate);
    return context.tx.insertTask({
      name,
      projectId,
      commandTemplate,
      resources: { ...DEFAULT_RESOURCES, ...resources },
      createdAt: context.now,
      updatedAt: context.now,
    });
  });

export const updateTasks: Handler<"updateTask"> = (context, requests) =>
  each<"updateTask">(requests, async ({ id, change }) => {
    const before = await findTask(context, id);
    const { resources, ...rest } = change;
    const task: Task = {
      ...before,
      ...rest,
      resources: { ...before.resources, ...resources },
      updatedAt: context.now,
    };
    await checkTaskName(context, task.name, task.projectId, id);
    checkTemplate(task.commandTemplate);
    await context.tx.updateTask(task);
    return task;
  });

export const deleteTasks: Handler<"deleteTask"> = (context, requests) =>
  each<"deleteTask">(requests, async ({ id }) => {
    await findTask(context, id);
    if (await deleteSome(context, await context.tx.jobsOfTask(id, JOBS_PER_ROUND))) return false;
    await context.tx.deleteTask(id);
    return true;
  });

/** Deletes these jobs, also those under way: their workers learn with the next heartbeat that they lost them. */
async function deleteSome({ ledger, tx }: BatchContext, ids: readonly number[]): Promise<boolean> {
  if (ids.length === 0) return false;
  await ledger.load(ids);
  for (const id of ids) {
    const job = ledger.get(id);
    if (job === undefined) continue;
    if (isHeld(job.state)) await tx.dropLeases([id]);
    ledger.delete(job);
  }
  await ledger.flush();
  return true;
}

async function findProject({ tx }: BatchContext, id: number): Promise<Project> {
  const project = await tx.findProject({ id });
  if (project === null) throw new NotFoundError("project", id);
  return project;
}

async function findTask({ tx }: BatchContext, id: number): Promise<Task> {
  const [task] = await tx.findTasks([id]);
  if (task === undefined) throw new NotFoundError("task", id);
  return task;
}

async function checkProjectName({ tx }: BatchContext, name: string, ownId: number | null): Promise<void> {
  const other = await tx.findProject({ name });
  if (other !== null && other.id !== ownId) {
    throw new InvalidInputError([{ path: ["name"], message: `project ${other.id} has this name already` }]);
  }
}

async function checkTaskName(
  { tx }: BatchContext,
  name: string,
  projectId: number | null,
  ownId: number | null,
): Promise<void> {
  const tasks = await tx.tasksOfProject(projectId ?? 0);
  const other = tasks.find((task) => task.name === name);
  if (other !== undefined && other.id !== ownId) {
    throw new InvalidInputError([
      { path: ["name"], message: `task ${other.id} of the same project has this name already` },
    ]);
  }
}

function checkTemplate(template: string | null): void {
  if (template === null) return;
  try {
    templatePlaceholders(template);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new InvalidInputError([{ path: ["commandTemplate"], message: error.message }]);
  }
}
