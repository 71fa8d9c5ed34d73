/** `/v1/tasks`: command templates with resource needs. */

import type { Resources } from "../../../domain/resources.ts";
import type { Engine } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { defineRoute, type Route } from "../../route.ts";
import { problems } from "../schemas/problem.ts";
import { idPath, newTask, task, taskChange, taskList, taskQuery } from "../schemas/project.ts";
import { definedOnly } from "../submission.ts";
import { taskToWire } from "../wire.ts";

const TAGS = ["tasks"];

/** The routes about tasks. */
export function taskRoutes(engine: Engine): Route[] {
  return [
    defineRoute({
      id: "listTasks",
      method: "GET",
      path: "/v1/tasks",
      summary: "Tasks, page by page",
      tags: TAGS,
      query: taskQuery,
      responses: { 200: { description: "one page", schema: taskList }, ...problems(422) },
      handler: async ({ query }) => {
        const { limit, offset, ...filter } = query;
        const found = await engine.read.tasks({ ...definedOnly(filter), limit, offset });
        return ok({ items: found.map(taskToWire) });
      },
    }),
    defineRoute({
      id: "createTask",
      method: "POST",
      path: "/v1/tasks",
      summary: "Create a task",
      tags: TAGS,
      body: newTask,
      responses: { 201: { description: "the task", schema: task }, ...problems(409, 415, 422, 503) },
      handler: async ({ body }) => {
        const { name, projectId, commandTemplate } = body;
        const resources = needs(body);
        return created(taskToWire(await engine.createTask({ name, projectId, commandTemplate, resources })));
      },
    }),
    defineRoute({
      id: "getTask",
      method: "GET",
      path: "/v1/tasks/{id}",
      summary: "One task",
      tags: TAGS,
      params: idPath,
      responses: { 200: { description: "the task", schema: task }, ...problems(404, 422) },
      handler: async ({ params }) => ok(taskToWire(await engine.read.task(params.id))),
    }),
    defineRoute({
      id: "updateTask",
      method: "PATCH",
      path: "/v1/tasks/{id}",
      summary: "Change a task; what is absent stays",
      description: "Jobs that were submitted before keep the template of their time.",
      tags: TAGS,
      params: idPath,
      body: taskChange,
      responses: { 200: { description: "the task", schema: task }, ...problems(404, 409, 415, 422, 503) },
      handler: async ({ params, body }) => {
        const { name, commandTemplate } = body;
        const change = { ...definedOnly({ name, commandTemplate }), resources: needs(body) };
        return ok(taskToWire(await engine.updateTask(params.id, change)));
      },
    }),
    defineRoute({
      id: "deleteTask",
      method: "DELETE",
      path: "/v1/tasks/{id}",
      summary: "Delete a task with its jobs",
      tags: TAGS,
      params: idPath,
      responses: { 204: { description: "deleted" }, ...problems(404, 409, 422, 503) },
      handler: async ({ params }) => {
        await engine.deleteTask(params.id);
        return noContent();
      },
    }),
  ];
}

function needs(body: {
  readonly requiredCpu?: number | undefined;
  readonly requiredAccelerators?: number | undefined;
  readonly requiredMemoryMb?: number | undefined;
}): Partial<Resources> {
  return definedOnly({
    cpu: body.requiredCpu,
    accelerators: body.requiredAccelerators,
    memoryMb: body.requiredMemoryMb,
  });
}
