/** `yardmaster job ID`: everything about one job. */
import type { Job } from "@yardmaster/client";
import type { Command } from "commander";
import { attemptTable } from "../attemptTable.ts";
import { declareCommand, invoke, jobRef } from "../commandLine.ts";
import { formatDuration, relativeTime } from "../duration.ts";
import { attemptText, runTimeMs, STATE_COLOUR } from "../jobText.ts";
import { indented } from "../othersText.ts";
import type { Terminal } from "../terminal.ts";

const MAX_RESULT_LENGTH = 2_000;
const WORD_WIDTH = 11;

export function jobCommand(): Command {
  return declareCommand({
    usage: "job <job>",
    summary: "show one job with its attempts",
    settings: ["client"],
    examples: [
      ["yardmaster job 12", "by its id"],
      ["yardmaster job 12 --json", "exactly as the server has it"],
    ],
  }).action(async (ref: string, _options: unknown, command: Command) => {
    const { client, terminal, isJson } = invoke(command);
    const job = await client.job(jobRef(ref));
    if (isJson) return terminal.json(job);
    const attempts = await client.attempts(job.id);
    terminal.line(describeJob(terminal, job));
    if (attempts.length > 0) terminal.line(`\n${attemptTable(attempts)}`);
  });
}

function describeJob(terminal: Terminal, job: Job): string {
  const ms = runTimeMs(job);
  const argv = job.spec.argv;
  const command = Array.isArray(argv)
    ? argv.map((part) => quote(String(part))).join(" ")
    : JSON.stringify(job.spec);
  const { cpu, accelerators, memoryMb } = job.resources;
  const rows: (readonly [string, string | null])[] = [
    ["job", `${job.id}  ${terminal.paint("gray", job.key)}`],
    ["name", job.name],
    ["state", terminal.paint(STATE_COLOUR[job.state], job.state)],
    ["runs", command],
    ["queue", `${job.queue}, priority ${job.priority}`],
    ["needs", `${cpu} cpu, ${accelerators} accelerators, ${memoryMb} MiB`],
    ["labels", pairs(job.labels)],
    ["requires", pairs(job.requires)],
    ["depends on", job.dependsOn.length === 0 ? null : job.dependsOn.join(", ")],
    ["attempt", attemptText(job)],
    ["time limit", job.timeoutMs === null ? null : formatDuration(job.timeoutMs)],
    ["not before", job.runAt],
    ["progress", job.progress === null ? null : `${Math.round(job.progress * 100)} %`],
    ["exit code", job.exitCode === null ? null : String(job.exitCode)],
    ["error", job.error],
    ["result", job.result === null ? null : shortened(JSON.stringify(job.result))],
    ["worker", job.workerId],
    ["created", `${job.createdAt} (${relativeTime(job.createdAt)})`],
    ["started", job.startedAt],
    ["finished", job.finishedAt],
    ["ran", ms === null ? null : formatDuration(ms)],
  ];
  return rows
    .flatMap(([word, value]) =>
      value === null
        ? []
        : [`${terminal.paint("bold", word.padEnd(WORD_WIDTH))} ${indented(value, WORD_WIDTH + 1)}`],
    )
    .join("\n");
}

/** A result may hold an output of a mebibyte; `--json` shows it all. */
function shortened(text: string): string {
  return text.length <= MAX_RESULT_LENGTH ? text : `${text.slice(0, MAX_RESULT_LENGTH)}…`;
}

function pairs(values: Readonly<Record<string, string>>): string | null {
  const text = Object.entries(values).map(([key, value]) => `${key}=${value}`);
  return text.length === 0 ? null : text.join(", ");
}

/** A word as a POSIX shell would need it, so that the line can be copied. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
