/** `yardmaster jobs`: the jobs of the server as a table. */
import type { Job, JobState } from "@yardmaster/client";
import { type Command, Option } from "commander";
import { JOB_KINDS, JOB_STATES } from "../../domain/job.ts";
import { collect, declareCommand, invoke } from "../commandLine.ts";
import { formatDuration, relativeTime } from "../duration.ts";
import { runTimeMs, STATE_COLOUR } from "../jobText.ts";
import { readFlag } from "../readFlag.ts";
import { integer } from "../settingKind.ts";
import { renderTable, shorten } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { UsageError } from "../usageError.ts";

const MAX_NAME_WIDTH = 40;
const LIMIT = integer("n", 1, 1_000);

interface Options {
  state?: readonly string[];
  kind?: Job["kind"];
  queue?: string;
  project?: string;
  label?: string;
  search?: string;
  oldest?: boolean;
  limit: string;
  cursor?: string;
}

export function jobsCommand(): Command {
  return declareCommand({
    usage: "jobs",
    summary: "list jobs, newest first",
    settings: ["client"],
    examples: [
      ["yardmaster jobs", "the newest 20 jobs"],
      ["yardmaster jobs --state failed --state blocked", "what went wrong"],
      ["yardmaster jobs --label team=ml --json", "as JSON: items, nextCursor, total"],
    ],
  })
    .option(
      "--state <state>",
      `only jobs in this state (${JOB_STATES.join(", ")}); can be given several times`,
      collect,
    )
    .addOption(new Option("--kind <kind>", "only jobs of this kind").choices(JOB_KINDS))
    .option("--queue <queue>", "only jobs of this queue")
    .option("--project <id>", "only jobs of this project")
    .option("--label <key=value>", "only jobs with this label")
    .option("--search <text>", "only jobs with this text in name, key or queue")
    .option("--oldest", "oldest first")
    .option("--limit <n>", "how many, 1 to 1000", "20")
    .option("--cursor <cursor>", "go on after an earlier page: its nextCursor")
    .action(async (options: Options, command: Command) => {
      const { client, terminal, isJson } = invoke(command);
      const page = await client.jobs({
        state: options.state?.flatMap((text) => text.split(",")).map(jobState),
        kind: options.kind,
        queue: options.queue,
        projectId:
          options.project === undefined
            ? undefined
            : readFlag("--project", options.project, integer("id", 1, 2 ** 53 - 1)),
        label: options.label?.replace("=", ":"),
        q: options.search,
        order: options.oldest === true ? "oldest" : "newest",
        limit: readFlag("--limit", options.limit, LIMIT),
        cursor: options.cursor,
      });
      if (isJson) return terminal.json(page);
      if (page.items.length === 0) return terminal.note("no jobs");
      terminal.line(jobTable(terminal, page.items));
      if (page.nextCursor !== null) {
        terminal.note(`${page.items.length} of ${page.total}; the next page: --cursor ${page.nextCursor}`);
      }
    });
}

/** Jobs as rows. */
export function jobTable(terminal: Terminal, jobs: readonly Job[]): string {
  const now = Date.now();
  const rows = jobs.map((job) => {
    const ms = runTimeMs(job, now);
    return [
      String(job.id),
      terminal.paint(STATE_COLOUR[job.state], job.state),
      shorten(job.name, MAX_NAME_WIDTH),
      job.queue,
      job.exitCode === null ? "-" : String(job.exitCode),
      ms === null ? "-" : formatDuration(ms),
      relativeTime(job.createdAt, now),
      job.workerId === null ? "-" : shorten(job.workerId, 16),
    ];
  });
  return renderTable(["id", "state", "name", "queue", "exit", "ran", "created", "worker"], rows);
}

function jobState(text: string): JobState {
  const state = JOB_STATES.find((candidate) => candidate === text.trim());
  if (state === undefined)
    throw new UsageError(`--state: expected one of ${JOB_STATES.join(", ")}, got ${JSON.stringify(text)}`);
  return state;
}
