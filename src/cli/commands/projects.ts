/** `yardmaster projects`: groups of tasks and jobs. */
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { relativeTime } from "../duration.ts";
import { renderTable } from "../table.ts";

const LIST_LIMIT = 100;

export function projectsCommand(): Command {
  return declareCommand({
    usage: "projects",
    summary: "list projects, or create one",
    settings: ["client"],
    examples: [
      ["yardmaster projects", "list them"],
      ["yardmaster projects --create vision --description 'Image models'", "create one"],
    ],
  })
    .option("--create <name>", "create a project with this name")
    .option("--description <text>", "of the new project")
    .action(async (options: { create?: string; description?: string }, command: Command) => {
      const { client, terminal, isJson } = invoke(command);
      if (options.create !== undefined) {
        const project = await client.createProject({
          name: options.create,
          description: options.description,
        });
        return isJson ? terminal.json(project) : terminal.line(String(project.id));
      }
      const projects = await client.projects({ limit: LIST_LIMIT });
      if (isJson) return terminal.json(projects);
      if (projects.length === 0) return terminal.note("no projects");
      const rows = projects.map((project) => [
        String(project.id),
        project.name,
        project.status,
        relativeTime(project.createdAt),
        project.description ?? "",
      ]);
      terminal.line(renderTable(["id", "name", "status", "created", "description"], rows));
    });
}
