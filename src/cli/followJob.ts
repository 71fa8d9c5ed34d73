/** Waits for a job to end, showing its output or not, and saying why it has not started. */
import { ConnectionError, isFinal, type Job } from "@yardmaster/client";
import type { Invocation } from "./commandLine.ts";
import { EXIT, ExitError } from "./exitCode.ts";
import { type Spinner, startSpinner } from "./spinner.ts";
import { systemLine } from "./systemLine.ts";
import { waitingReason } from "./waitingReason.ts";

/** A job that has not started after this long gets an explanation. */
const PATIENCE_MS = 2_000;
const WATCH_EVERY_MS = 1_000;
/** Longest time between the end of a job and its notice when only waiting. */
const MAX_POLL_MS = 250;

/**
 * Waits until the job is final and returns it.
 *
 * Ctrl-C leaves the job alone: the command ends with 130 and says how to come back and how to cancel.
 * A blocked job can wait for ever, so it ends the command too.
 *
 * @param showsOutput the job's stdout goes to stdout, its stderr to stderr, as they appear
 * @throws ExitError when interrupted or when the job is blocked
 */
export async function followJob(
  invocation: Invocation,
  job: Job,
  showsOutput: { readonly stdoutTo: "stdout" | "stderr" } | null,
): Promise<Job> {
  const { patientClient: client, terminal } = invocation;
  const ended = new AbortController();
  const onInterrupt = (): void => ended.abort(new ExitError(EXIT.interrupted, hint(job)));
  process.once("SIGINT", onInterrupt);
  const spinner = startSpinner(terminal, `job ${job.id}: ${job.state}`);
  const watch = watchOver(invocation, job, ended, spinner);
  try {
    if (showsOutput !== null) await printLog(invocation, job, showsOutput.stdoutTo, ended.signal, spinner);
    const signal = ended.signal;
    const last = await client.wait(job.id, { signal, returnsBlocked: true, maxPollMs: MAX_POLL_MS });
    if (last.state === "blocked") await explainBlocked(invocation, last);
    return last;
  } catch (error) {
    if (ended.signal.aborted && ended.signal.reason instanceof ExitError) throw ended.signal.reason;
    if (error instanceof ConnectionError) terminal.note(hint(job));
    throw error;
  } finally {
    process.off("SIGINT", onInterrupt);
    ended.abort();
    await watch;
  }
}

function hint(job: Job): string {
  return `job ${job.id} goes on; see it with \`yardmaster logs ${job.id} --follow\`, end it with \`yardmaster cancel ${job.id}\``;
}

async function explainBlocked({ client }: Invocation, job: Job): Promise<never> {
  const { items } = await client.dependencies(job.id);
  throw new ExitError(EXIT.failed, `job ${job.id} is blocked: ${waitingReason(job, [], items, Date.now())}`);
}

async function printLog(
  { patientClient: client, terminal }: Invocation,
  job: Job,
  stdoutTo: "stdout" | "stderr",
  signal: AbortSignal,
  spinner: Spinner,
): Promise<void> {
  for await (const chunk of client.followLog(job.id, { signal })) {
    // From now on the lines are the job's: a changing one of ours would wipe its unfinished ones.
    spinner.stop();
    if (chunk.stream === "system") terminal.note(systemLine(chunk.text));
    else if (chunk.stream === "stdout" && stdoutTo === "stdout") terminal.write(chunk.text);
    else terminal.writeError(chunk.text);
  }
}

/** Looks after the job until `ended`; its own troubles are nobody's concern but the follower's. */
async function watchOver(
  invocation: Invocation,
  job: Job,
  ended: AbortController,
  spinner: Spinner,
): Promise<void> {
  const { client, terminal } = invocation;
  const { signal } = ended;
  const startedAt = Date.now();
  let told: string | null = null;
  try {
    while (!signal.aborted) {
      await abortableSleep(WATCH_EVERY_MS, signal);
      const now = await client.job(job.id, { signal });
      spinner.update(`job ${job.id}: ${now.state}`);
      if (now.state === "running" || isFinal(now.state)) continue;
      if (now.state === "blocked") {
        await explainBlocked(invocation, now).catch((error: unknown) => ended.abort(error));
        continue;
      }
      if (Date.now() - startedAt < PATIENCE_MS) continue;
      const [workers, dependencies] = await Promise.all([
        client.workers({ signal }),
        now.dependsOn.length === 0 ? [] : client.dependencies(job.id, { signal }).then((all) => all.items),
      ]);
      const reason = waitingReason(now, workers, dependencies, Date.now());
      if (reason !== null && reason.replaceAll(/\d+/g, "#") !== told) {
        told = reason.replaceAll(/\d+/g, "#");
        terminal.note(`job ${job.id} is ${now.state}: ${reason}`);
      }
    }
  } catch {
    // A lost server, a deleted job: whoever follows the job meets the same and reports it.
  } finally {
    spinner.stop();
  }
}

function abortableSleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(finish, ms);
    function finish(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      done();
    }
    if (signal.aborted) finish();
    else signal.addEventListener("abort", finish);
  });
}
