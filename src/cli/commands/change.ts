/** `yardmaster cancel`, `retry` and `delete`: commands that change jobs named on the command line. */
import type { Job } from "@yardmaster/client";
import type { Command } from "commander";
import { declareCommand, type Invocation, invoke, jobRef } from "../commandLine.ts";
import { EXIT, ExitError } from "../exitCode.ts";
import { isUnreachable, messageOf } from "../faults.ts";

export function cancelCommand(): Command {
  return declareCommand({
    usage: "cancel <job...>",
    summary: "cancel jobs; running ones are ended",
    settings: ["client"],
    examples: [
      ["yardmaster cancel 12", "end it if it runs, forget it if it waits"],
      ["yardmaster cancel 12 13 --reason 'wrong data'", "several, saying why"],
    ],
  })
    .option("--reason <text>", "why; kept with the job")
    .action(async (refs: string[], options: { reason?: string }, command: Command) => {
      const invocation = invoke(command);
      await forEach(invocation, refs, (ref) => invocation.client.cancel(ref, { reason: options.reason }));
    });
}

export function retryCommand(): Command {
  return declareCommand({
    usage: "retry <job...>",
    summary: "run finished jobs again",
    settings: ["client"],
    examples: [["yardmaster retry 12", "run a failed, cancelled or succeeded job once more"]],
  }).action(async (refs: string[], _options: unknown, command: Command) => {
    const invocation = invoke(command);
    await forEach(invocation, refs, (ref) => invocation.client.retry(ref));
  });
}

export function deleteCommand(): Command {
  return declareCommand({
    usage: "delete <job...>",
    summary: "delete jobs with their logs and history",
    settings: ["client"],
    examples: [["yardmaster delete 12", "refused while a worker holds the job: cancel it first"]],
  }).action(async (refs: string[], _options: unknown, command: Command) => {
    const invocation = invoke(command);
    await forEach(invocation, refs, async (ref) => {
      await invocation.client.deleteJob(ref);
      return { deleted: ref };
    });
  });
}

/** What `delete --json` prints of a job: the API gives nothing back. */
interface DeletedJob {
  /** Id or key, as it was given. */
  readonly deleted: number | string;
}

/** Does the same to every job; one refusal does not keep the others from it, but shows in the exit code. */
async function forEach(
  { terminal, isJson }: Invocation,
  refs: readonly string[],
  change: (ref: number | string) => Promise<Job | DeletedJob>,
): Promise<void> {
  const changed: (Job | DeletedJob)[] = [];
  let refused = 0;
  for (const text of refs) {
    try {
      const job = await change(jobRef(text));
      changed.push(job);
      if (!isJson) terminal.note("deleted" in job ? `job ${text} deleted` : `job ${job.id} is ${job.state}`);
    } catch (error) {
      if (isUnreachable(error)) throw error;
      refused += 1;
      terminal.error(messageOf(error));
    }
  }
  if (isJson) terminal.json(refs.length === 1 ? (changed[0] ?? null) : { items: changed });
  if (refused > 0) throw new ExitError(EXIT.failed);
}
