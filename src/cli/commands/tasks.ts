/** `yardmaster tasks`: command templates that jobs fill with their parameters. */
import type { Command } from "commander";
import { declareCommand, invoke } from "../commandLine.ts";
import { readOptionalFlag } from "../readFlag.ts";
import { integer } from "../settingKind.ts";
import { renderTable } from "../table.ts";

const LIST_LIMIT = 100;
const COUNT = integer("n", 0, 1_000_000);
const ID = integer("id", 1, Number.MAX_SAFE_INTEGER);

interface Options {
  create?: string;
  template?: string;
  project?: string;
  cpu?: string;
  accelerators?: string;
  memoryMb?: string;
}

export function tasksCommand(): Command {
  return declareCommand({
    usage: "tasks",
    summary: "list tasks, or create one",
    settings: ["client"],
    examples: [
      ["yardmaster tasks", "list them"],
      ["yardmaster tasks --create greet --template 'echo hello {name}'", "create one"],
      ["yardmaster submit --task greet -p name=world", "run it"],
    ],
  })
    .option("--create <name>", "create a task with this name")
    .option("--template <command>", "its command line, with {placeholders} for parameters")
    .option("--project <id>", "the project of the new task; for lists: only tasks of this project")
    .option("--cpu <n>", "CPU slots that its jobs need")
    .option("--accelerators <n>", "accelerators that its jobs need")
    .option("--memory-mb <MiB>", "memory that its jobs need")
    .action(async (options: Options, command: Command) => {
      const { client, terminal, isJson } = invoke(command);
      const projectId = readOptionalFlag("--project", options.project, ID);
      if (options.create !== undefined) {
        const task = await client.createTask({
          name: options.create,
          commandTemplate: options.template,
          projectId,
          requiredCpu: readOptionalFlag("--cpu", options.cpu, COUNT),
          requiredAccelerators: readOptionalFlag("--accelerators", options.accelerators, COUNT),
          requiredMemoryMb: readOptionalFlag(
            "--memory-mb",
            options.memoryMb,
            integer("MiB", 0, 1_000_000_000),
          ),
        });
        return isJson ? terminal.json(task) : terminal.line(String(task.id));
      }
      const tasks = await client.tasks({ projectId, limit: LIST_LIMIT });
      if (isJson) return terminal.json(tasks);
      if (tasks.length === 0) return terminal.note("no tasks");
      const rows = tasks.map((task) => [
        String(task.id),
        task.name,
        task.projectId === null ? "-" : String(task.projectId),
        `${task.requiredCpu} cpu, ${task.requiredAccelerators} accel, ${task.requiredMemoryMb} MiB`,
        task.commandTemplate ?? "-",
      ]);
      terminal.line(renderTable(["id", "name", "project", "needs", "template"], rows));
    });
}
