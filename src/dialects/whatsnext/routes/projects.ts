/** `/projects`. */
import { z } from "zod";
import { InvalidInputError } from "../../../domain/errors.ts";
import { PROJECT_STATUSES, type Project } from "../../../domain/project.ts";
import type { Engine } from "../../../engine/engine.ts";
import { created, noContent, ok } from "../../answers.ts";
import { fastApiRoute } from "../../fastApi/route.ts";
import { ValidationError } from "../../fastApi/validation.ts";
import type { Route } from "../../route.ts";
import { clamped, given, idPath, namePath, page } from "../fields.ts";
import { AbsentError, RefusedError } from "../refusals.ts";
import { errors, inData, newProject, project, projectUpdate } from "../schemas.ts";
import { projectToWire } from "../wire.ts";

const TAGS = ["whatsnext: projects"];

/** The routes about projects themselves. Those by name come first: `queue` may be a project's name. */
export function projectRoutes(engine: Engine): Route[] {
  const byName = async (name: string): Promise<Project> => {
    const [found] = await engine.read.projects({ name, limit: 1, offset: 0 });
    if (found === undefined) throw new AbsentError("project", name, `Project with name '${name}' not found.`);
    return found;
  };
  return [
    ...fastApiRoute({
      id: "whatsnextGetProjectByName",
      method: "GET",
      path: "/projects/name/{name}",
      summary: "The project of that name",
      tags: TAGS,
      params: namePath,
      responses: { 200: { description: "the project", schema: project }, ...errors(404) },
      handler: async ({ params }) => ok(projectToWire(await byName(params.name))),
    }),
    ...fastApiRoute({
      id: "whatsnextDeleteProjectByName",
      method: "DELETE",
      path: "/projects/name/{name}",
      summary: "Delete the project of that name, with its tasks and jobs",
      tags: TAGS,
      params: namePath,
      responses: { 204: { description: "deleted" }, ...errors(404, 503) },
      handler: async ({ params }) => {
        await engine.deleteProject((await byName(params.name)).id);
        return noContent();
      },
    }),
    ...fastApiRoute({
      id: "whatsnextListProjects",
      method: "GET",
      path: "/projects/",
      summary: "Projects, ACTIVE ones where no status is asked for; an empty status is all",
      tags: TAGS,
      query: z.object({ ...page, status: z.string().optional(), status_filter: z.string().optional() }),
      responses: { 200: { description: "one page", schema: z.array(project) }, ...errors(422) },
      handler: async ({ query }) => {
        const filter = statusFilter(query.status, query.status_filter);
        const found = await engine.read.projects({
          ...(filter === null ? {} : { status: filter }),
          limit: clamped(query.limit),
          offset: query.skip,
        });
        return ok(found.map(projectToWire));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextCreateProject",
      method: "POST",
      path: "/projects/",
      summary: "Create a project",
      tags: TAGS,
      body: newProject,
      responses: { 201: { description: "the project", schema: project }, ...errors(400, 422, 503) },
      handler: async ({ body }) => {
        const { name, description } = body;
        const make = engine.createProject({ name, description: description ?? null });
        return created(projectToWire(await nameRefused(make, name)));
      },
    }),
    ...fastApiRoute({
      id: "whatsnextGetProject",
      method: "GET",
      path: "/projects/{id}",
      summary: "One project",
      tags: TAGS,
      params: idPath,
      responses: { 200: { description: "the project", schema: project }, ...errors(404, 422) },
      handler: async ({ params }) => ok(projectToWire(await engine.read.project(params.id))),
    }),
    ...fastApiRoute({
      id: "whatsnextUpdateProject",
      method: "PUT",
      path: "/projects/{id}",
      summary: "Change a project; what is absent or null stays",
      tags: TAGS,
      params: idPath,
      body: projectUpdate,
      responses: {
        200: { description: "the project", schema: inData(project) },
        ...errors(400, 404, 422, 503),
      },
      handler: async ({ params, body }) => {
        const change = engine.updateProject(params.id, given(body));
        return ok({ data: projectToWire(await nameRefused(change, body.name ?? "")) });
      },
    }),
    ...fastApiRoute({
      id: "whatsnextDeleteProject",
      method: "DELETE",
      path: "/projects/{id}",
      summary: "Delete a project with its tasks and jobs",
      tags: TAGS,
      params: idPath,
      responses: { 204: { description: "deleted" }, ...errors(404, 422, 503) },
      handler: async ({ params }) => {
        await engine.deleteProject(params.id);
        return noContent();
      },
    }),
  ];
}

/** Null is all. Existing clients call the parameter `status_filter`, the document calls it `status`. */
function statusFilter(status: string | undefined, older: string | undefined): Project["status"] | null {
  const asked = status ?? older;
  if (asked === undefined) return "ACTIVE";
  const word = asked.trim().toUpperCase();
  if (word === "") return null;
  const known = PROJECT_STATUSES.find((one) => one === word);
  if (known !== undefined) return known;
  const permitted = PROJECT_STATUSES.map((one) => `'${one}'`).join(", ");
  throw new ValidationError("query", [
    {
      type: "type_error.enum",
      loc: ["query", status === undefined ? "status_filter" : "status"],
      msg: `value is not a valid enumeration member; permitted: ${permitted}`,
      input: asked.slice(0, 200),
    },
  ]);
}

/** Words the engine's refusal of a name that another project has. */
async function nameRefused(change: Promise<Project>, name: string): Promise<Project> {
  try {
    return await change;
  } catch (error) {
    if (!(error instanceof InvalidInputError) || error.issues[0]?.path[0] !== "name") throw error;
    throw new RefusedError(`Project with name '${name}' already exists.`);
  }
}
