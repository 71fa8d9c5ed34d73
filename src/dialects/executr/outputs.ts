/** What an attempt printed, as this API shows it: at most 1 MiB of each stream. */
import type { Job, Json } from "../../domain/job.ts";
import { cutOutput, OutputCutter, storableText } from "../../domain/outputCut.ts";
import type { Reads } from "../../engine/engine.ts";
import type { Outputs } from "./wire.ts";

/** An output as it is stored. */
export function storedOutput(text: string | null | undefined): string {
  return text === null || text === undefined ? "" : cutOutput(storableText(text));
}

/**
 * The outputs of an attempt. Agents send a whole log, and with the result what they cut of it; executors send
 * outputs that are cut already.
 */
export async function readOutputs(
  read: Pick<Reads, "log">,
  job: Job,
  attempt: number = job.attempt,
): Promise<Outputs> {
  // The result is that of the last attempt.
  const cut = attempt === job.attempt ? job.result : null;
  const stdout = textIn(cut, "stdout");
  const stderr = textIn(cut, "stderr");
  if (attempt === 0) return { stdout: "", stderr: "" };
  if (stdout !== null && stderr !== null) return { stdout, stderr };
  const logged = await readLog(read, job.id, attempt);
  return { stdout: stdout ?? logged.stdout, stderr: stderr ?? logged.stderr };
}

function textIn(result: Json, field: "stdout" | "stderr"): string | null {
  if (typeof result !== "object" || result === null || Array.isArray(result)) return null;
  const text = result[field];
  return typeof text === "string" ? text : null;
}

async function readLog(read: Pick<Reads, "log">, jobId: number, attempt: number): Promise<Outputs> {
  const encoder = new TextEncoder();
  const streams = { stdout: new OutputCutter(), stderr: new OutputCutter() };
  for (let after: number | null = null; ; ) {
    const page = await read.log(jobId, { attempt, ...(after === null ? {} : { after }) });
    for (const { stream, text } of page.items) {
      if (stream !== "system") streams[stream].append(encoder.encode(text));
    }
    if (page.isEnd || page.next === after) break;
    after = page.next;
  }
  return { stdout: streams.stdout.text(), stderr: streams.stderr.text() };
}
