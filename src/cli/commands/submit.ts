/** `yardmaster submit`: one job, waited for or not. */
import type { Job, NewJob } from "@yardmaster/client";
import type { Command } from "commander";
import { attemptTable } from "../attemptTable.ts";
import { type BinaryFlags, binaryOf, binarySpecOf } from "../binarySubmission.ts";
import { collect, declareCommand, type Invocation, invoke } from "../commandLine.ts";
import { EXIT, ExitError } from "../exitCode.ts";
import { followJob } from "../followJob.ts";
import { exitCodeOf, finalLine } from "../jobText.ts";
import { environmentOf, newJobOf, type SubmitFlags, taskNamed } from "../submission.ts";
import { UsageError } from "../usageError.ts";

interface Options extends SubmitFlags, BinaryFlags {
  project?: string;
  key?: string;
  wait?: boolean;
  follow?: boolean;
  detach?: boolean;
  task?: string;
  cwd?: string;
}

export function submitCommand(): Command {
  return declareCommand({
    usage: "submit [command...]",
    summary: "submit a job and follow it",
    description:
      "Submit a command, a task with its parameters, or a program by its checksum, and follow it: its output appears as it is written, and " +
      "its exit code is the exit code here (1 when it failed without one, 130 when it was cancelled). Flags come " +
      "before the command; everything from its first word on belongs to it. Ctrl-C stops following and leaves the job alone.",
    settings: ["client"],
    examples: [
      ["yardmaster submit -- sh -c 'echo hello; exit 3'", "run it, show its output, end with 3"],
      [
        "yardmaster submit --detach --name night --at 2030-01-01T02:00:00Z -- ./report.sh",
        "print the id and return",
      ],
      ["yardmaster submit --wait --timeout 5m --max-attempts 3 -- make test", "only how it ended"],
      ["yardmaster submit --task greet -p name=world -p times:=3", "a task; := takes a JSON value"],
      [
        "yardmaster submit --depends-on 11 --accelerators 1 --require gpu=a100 -- python train.py",
        "after job 11, on a machine that has what it needs",
      ],
      [
        "yardmaster submit --binary ./tool --wait -- --level 3",
        "a program of this machine, uploaded and run on whichever machine is free",
      ],
      [
        "yardmaster submit --binary-url URL --sha256 HEX --priority foreground --wait -- arg1 arg2",
        "a program that agents download and check",
      ],
    ],
  })
    .passThroughOptions()
    .option("--task <task>", "id or name of a task to run instead of a command")
    .option("--binary-url <url>", "address of a program to run, with the words after -- as its arguments")
    .option("--sha256 <hex>", "checksum of the program, which agents check before they run it")
    .option("--binary <file>", "the same with a program of this machine, which is uploaded to the server")
    .option("--project <project>", "id or name of the project of the job, and of the task when it is named")
    .option("-p, --param <k=v>", "parameter of the task, as text; k:=v reads v as JSON", collect)
    .option("--name <name>", "name of the job (default: its program or task)")
    .option("--queue <queue>", "queue (default: default)")
    .option(
      "--priority <n>",
      "higher runs first (default: 0); or foreground (10), background (0), best_effort (-10)",
    )
    .option("--cpu <n>", "CPU slots it needs (default: 1)")
    .option("--accelerators <n>", "accelerators it needs (default: 0)")
    .option("--memory-mb <MiB>", "memory it needs (default: 0)")
    .option("--label <key=value>", "label of the job", collect)
    .option("--require <key=value>", "label that its worker must have", collect)
    .option("--depends-on <job>", "start only after this job succeeded", collect)
    .option("--max-attempts <n>", "run it up to so many times until it succeeds (default: 1)")
    .option("--timeout <duration>", "longest time one attempt may run, such as 90s or 5m")
    .option("--at <time>", "not before this time (2030-01-01T02:00:00Z) or this long from now (10m)")
    .option("--env <KEY=VALUE>", "variable of its environment", collect)
    .option("--cwd <dir>", "folder on the worker to run in (default: a fresh one)")
    .option("--key <key>", "idempotency key: the same key again submits nothing new")
    .option(
      "--wait",
      "wait without output, then print how it ended (of a binary with its output and attempts)",
    )
    .option("--follow", "show its output until it ends (the default unless --json)")
    .option("--detach", "print the id and return")
    .action(async (argv: string[], options: Options, command: Command) => {
      const invocation = invoke(command);
      const chosen = [options.wait, options.follow, options.detach].filter((mode) => mode === true).length;
      if (chosen > 1) throw new UsageError("give one of --wait, --follow, --detach");
      const job = await submit(invocation, await jobToSubmit(invocation, argv, options), options.key);
      await showJob(invocation, job, options);
    });
}

async function jobToSubmit(
  { client }: Invocation,
  argv: readonly string[],
  options: Options,
): Promise<NewJob> {
  const binary = binaryOf(options);
  if (binary === null && options.task === undefined && argv.length === 0) {
    throw new UsageError(
      "nothing to run: give a command after --, or --task; see `yardmaster submit --help`",
    );
  }
  if (options.task !== undefined && argv.length > 0) {
    throw new UsageError(
      "give a command or --task, not both; parameters of a task are given with -p name=value",
    );
  }
  if (options.task === undefined && options.param !== undefined) {
    throw new UsageError("-p: parameters belong to a task; name it with --task");
  }
  if (binary !== null) {
    const { spec: _, ...job } = newJobOf([], options, Date.now());
    const names = await taskNamed(client, undefined, options.project);
    return {
      name: binary.name,
      ...job,
      ...names,
      kind: "binary",
      spec: await binarySpecOf(binary, argv, environmentOf(options), client),
    };
  }
  // Everything that can be wrong on the command line is found before the server is asked for names.
  const job = newJobOf(argv, options, Date.now());
  const names = await taskNamed(client, options.task, options.project);
  return { ...job, ...names };
}

function submit({ client }: Invocation, job: NewJob, key: string | undefined): Promise<Job> {
  return client.submit(job, { idempotencyKey: key });
}

async function showJob(invocation: Invocation, job: Job, options: Options): Promise<void> {
  const { terminal, isJson } = invocation;
  // Whoever waits for a program from elsewhere wants to see what it did.
  const showsAll = job.kind === "binary" && options.wait === true && !isJson;
  const follows =
    showsAll || options.follow === true || (!isJson && options.wait !== true && options.detach !== true);
  if (!follows && options.wait !== true) return isJson ? terminal.json(job) : terminal.line(String(job.id));
  if (!isJson) terminal.note(terminal.paintError("gray", `job ${job.id} queued`));
  // With --json stdout holds the job alone, so all of its output goes to stderr.
  const output = follows ? { stdoutTo: isJson ? ("stderr" as const) : ("stdout" as const) } : null;
  const last = await followJob(invocation, job, output);
  if (isJson) terminal.json(last);
  else if (follows) terminal.note(terminal.paintError("gray", finalLine(last)));
  else terminal.line(finalLine(last));
  if (showsAll) terminal.note(attemptTable(await invocation.client.attempts(last.id)));
  const exitCode = exitCodeOf(last);
  if (exitCode !== EXIT.ok) throw new ExitError(exitCode);
}
