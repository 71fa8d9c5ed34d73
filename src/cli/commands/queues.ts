/** `yardmaster queues`: how many jobs each queue holds, by state. */
import type { Command } from "commander";
import { JOB_STATES } from "../../domain/job.ts";
import { declareCommand, invoke } from "../commandLine.ts";
import { renderTable } from "../table.ts";

export function queuesCommand(): Command {
  return declareCommand({
    usage: "queues",
    summary: "list queues with their jobs by state",
    settings: ["client"],
    examples: [["yardmaster queues", "where the backlog is"]],
  }).action(async (_options: unknown, command: Command) => {
    const { client, terminal, isJson } = invoke(command);
    const { queues } = await client.stats();
    if (isJson) return terminal.json(queues);
    if (queues.length === 0) return terminal.note("no jobs yet");
    const rows = queues.map(({ queue, jobsByState }) => [
      queue,
      ...JOB_STATES.map((state) => String(jobsByState[state])),
    ]);
    terminal.line(renderTable(["queue", ...JOB_STATES], rows));
  });
}
