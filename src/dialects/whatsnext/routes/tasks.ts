/** `/tasks`. */
import { z } from "zod";
import { InvalidInputError } from "../../../domain/errors.ts";
import type { Task } from "../../../domain/project.ts";
import type { Engine, TaskChange } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import type { Route } from "../../route.ts";
import { clamped, given, namePath, page, textIdPath } from "../fields.ts";
import { AbsentError, notFoundText, orNull, RefusedError } from "../refusals.ts";
import { errors, inData, newTask, task, taskUpdate } from "../schemas.ts";
import { taskToWire } from "../wire.ts";

const TAGS = ["whatsnext: tasks"];

/** The routes about tasks. */
export function taskRoutes(engine: Engine): Route[] {
  const requireProject = async (id: number): Promise<void> => {
    if ((await orNull(engine.read.project(id))) !== null) return;
    throw new RefusedError(`Project with project_id=${id} not found.`);
  };
  return [
    ...fastApiRoute({
      id: "whatsnextListTasks",
      method: "GET",
      path: "/tasks/",
      summary: "Tasks of a project",
      tags: TAGS,
      query: z.object({ ...page, project_id: z.int().optional() }),
      responses: { 200: { description: "one page", schema: z.array(task) }, ...errors(400, 422) },
      handler: async ({ query }) => {
        const { project_id: projectId, limit, skip } = query;
        if (projectId === undefined) throw new RefusedError("project_id is required");
        await requireProject(projectId);
        const found = await engine.read.tasks({ projectId, limit: clamped(limit), offset: skip });
        return ok(found.map(taskToWire));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextCreateTask",
      method: "POST",
      path: "/tasks/",
      summary: "Create a task",
      description: "Jobs of a task with a `command_template` are taken by agents too.",
      tags: TAGS,
      body: newTask,
      responses: { 201: { description: "the task", schema: task }, ...errors(400, 422, 503) },
      handler: async ({ body }) => {
        await requireProject(body.project_id);
        const make = engine.createTask({
          name: body.name,
          projectId: body.project_id,
          commandTemplate: templateOf(body.command_template) ?? null,
          resources: resourcesOf(body),
        });
        return created(taskToWire(await nameRefused(make, body.name)));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextGetTaskByName",
      method: "GET",
      path: "/tasks/name/{name}",
      summary: "The task of that name, the oldest where several projects have one",
      tags: TAGS,
      params: namePath,
      query: z.object({ project_id: z.int().optional() }),
      responses: { 200: { description: "the task", schema: task }, ...errors(404, 422) },
      handler: async ({ params, query }) => {
        const { project_id: projectId } = query;
        const ofProject = projectId === undefined ? {} : { projectId };
        const [found] = await engine.read.tasks({ ...ofProject, name: params.name, limit: 1, offset: 0 });
        if (found !== undefined) return ok(taskToWire(found));
        throw new AbsentError("task", params.name, `Task with name '${params.name}' not found.`);
      },
    }),
    ...fastApiRoute({
      id: "whatsnextGetTask",
      method: "GET",
      path: "/tasks/{id}",
      summary: "One task",
      tags: TAGS,
      params: textIdPath,
      responses: { 200: { description: "the task", schema: task }, ...errors(404) },
      handler: async ({ params }) => ok(taskToWire(await engine.read.task(idOf(params.id)))),
    }),
    ...fastApiRoute({
      id: "whatsnextUpdateTask",
      method: "PUT",
      path: "/tasks/{id}",
      summary: "Change a task; what is absent or null stays. Jobs that exist keep what they were made with",
      tags: TAGS,
      params: textIdPath,
      body: taskUpdate,
      responses: { 200: { description: "the task", schema: inData(task) }, ...errors(400, 404, 422, 503) },
      handler: async ({ params, body }) => {
        const id = idOf(params.id);
        const before = await engine.read.task(id);
        if (typeof body.project_id === "number" && body.project_id !== before.projectId) {
          await requireProject(body.project_id);
          throw new RefusedError("a task cannot move to another project", "project_id");
        }
        const commandTemplate = templateOf(body.command_template);
        const change: TaskChange = {
          ...given({ name: body.name }),
          ...(commandTemplate === undefined ? {} : { commandTemplate }),
          resources: resourcesOf(body),
        };
        return ok({ data: taskToWire(await nameRefused(engine.updateTask(id, change), body.name ?? "")) });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextDeleteTask",
      method: "DELETE",
      path: "/tasks/{id}",
      summary: "Delete a task with its jobs",
      tags: TAGS,
      params: textIdPath,
      responses: { 204: { description: "deleted" }, ...errors(404, 503) },
      handler: async ({ params }) => {
        await engine.deleteTask(idOf(params.id));
        return noContent();
      },
    }),
  ];
}

/** A text that is no id is the id of no task: existing clients then ask for it as a name. */
function idOf(text: string): number {
  const id = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(id)) return id;
  const shown = text.slice(0, 200);
  throw new AbsentError("task", shown, notFoundText("task", shown));
}

/** Null is no template, undefined none said. An empty text takes the template away. */
function templateOf(template: string | null | undefined): string | null | undefined {
  if (template === null || template === undefined) return undefined;
  return template.trim() === "" ? null : template;
}

function resourcesOf(body: {
  readonly required_cpu?: number | null | undefined;
  readonly required_accelerators?: number | null | undefined;
}) {
  return given({ cpu: body.required_cpu, accelerators: body.required_accelerators });
}

/** Words the engine's refusal of a name that another task of the project has. */
async function nameRefused(change: Promise<Task>, name: string): Promise<Task> {
  try {
    return await change;
  } catch (error) {
    if (!(error instanceof InvalidInputError) || error.issues[0]?.path[0] !== "name") throw error;
    throw new RefusedError(`Task with name '${name}' already exists in the project.`);
  }
}
