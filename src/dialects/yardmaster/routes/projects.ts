/** `/v1/projects`. */
import type { Engine } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { defineRoute, type Route } from "../../route.ts";
import { problems } from "../schemas/problem.ts";
import { idPath, newProject, project, projectChange, projectList, projectQuery } from "../schemas/project.ts";
import { definedOnly } from "../submission.ts";
import { projectToWire } from "../wire.ts";

const TAGS = ["projects"];

/** The routes about projects. */
export function projectRoutes(engine: Engine): Route[] {
  return [
    defineRoute({
      id: "listProjects",
      method: "GET",
      path: "/v1/projects",
      summary: "Projects, page by page",
      tags: TAGS,
      query: projectQuery,
      responses: { 200: { description: "one page", schema: projectList }, ...problems(422) },
      handler: async ({ query }) => {
        const { limit, offset, ...filter } = query;
        const found = await engine.read.projects({ ...definedOnly(filter), limit, offset });
        return ok({ items: found.map(projectToWire) });
      },
    }),
    defineRoute({
      id: "createProject",
      method: "POST",
      path: "/v1/projects",
      summary: "Create a project",
      tags: TAGS,
      body: newProject,
      responses: { 201: { description: "the project", schema: project }, ...problems(409, 415, 422, 503) },
      handler: async ({ body }) => created(projectToWire(await engine.createProject(body))),
    }),
    defineRoute({
      id: "getProject",
      method: "GET",
      path: "/v1/projects/{id}",
      summary: "One project",
      tags: TAGS,
      params: idPath,
      responses: { 200: { description: "the project", schema: project }, ...problems(404, 422) },
      handler: async ({ params }) => ok(projectToWire(await engine.read.project(params.id))),
    }),
    defineRoute({
      id: "updateProject",
      method: "PATCH",
      path: "/v1/projects/{id}",
      summary: "Change a project; what is absent stays",
      tags: TAGS,
      params: idPath,
      body: projectChange,
      responses: {
        200: { description: "the project", schema: project },
        ...problems(404, 409, 415, 422, 503),
      },
      handler: async ({ params, body }) =>
        ok(projectToWire(await engine.updateProject(params.id, definedOnly(body)))),
    }),
    defineRoute({
      id: "deleteProject",
      method: "DELETE",
      path: "/v1/projects/{id}",
      summary: "Delete a project with its tasks and jobs",
      tags: TAGS,
      params: idPath,
      responses: { 204: { description: "deleted" }, ...problems(404, 409, 422, 503) },
      handler: async ({ params }) => {
        await engine.deleteProject(params.id);
        return noContent();
      },
    }),
  ];
}
