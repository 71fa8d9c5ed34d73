/** The last lines of a log as the message that followers begin with. */
import type { Job } from "../../../domain/job.ts";
import type { Reads } from "../../../engine/engine.ts";
import { messageText } from "./channel.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LogLine } from "./logLines.ts";
import { LOG_START, type LogPoint } from "./logPoint.ts";
import { seqOf } from "./logSeq.ts";
import { type LogTail, readTail } from "./logTail.ts";

export interface LogSnapshot extends LogTail {
  readonly text: string;
  readonly lines: readonly LogLine[];
  /** The last line; the message has its number. */
  readonly point: LogPoint;
}

/** Reads the last lines, within `snapshotLines` and `maxSnapshotBytes`. */
export async function takeSnapshot(
  read: Pick<Reads, "log">,
  job: Pick<Job, "id" | "key">,
  limits: Pick<LiveLimits, "snapshotLines" | "maxSnapshotBytes">,
  clock: () => number,
): Promise<LogSnapshot> {
  const tail = await readTail(read, job.id, limits);
  const point = tail.lines.at(-1) ?? LOG_START;
  const logs = tail.lines.map(({ line, timestamp }) => ({ line, timestamp }));
  const text = messageText("snapshot", seqOf(job.id, point), clock(), { jobId: job.key, logs });
  return { ...tail, text, point };
}
