/** The last lines of a log as the message that followers begin with. */
import type { Job } from "../../../domain/job.ts";
import type { Reads } from "../../../engine/engine.ts";
import { messageText } from "./channel.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LogLine } from "./logLines.ts";
import { LOG_START, type LogPoint } from "./logPoint.ts";
import { seqOf } from "./logSeq.ts";
import { type LogTail, readTail } from "./logTail.ts";

/** What followers begin with. */
export interface LogBeginning {
  readonly lines: readonly LogLine[];
  /** The message with them, made when it is first asked for: event streams have no use for it. */
  readonly text: string;
}

export interface LogSnapshot extends LogTail, LogBeginning {
  readonly lines: readonly LogLine[];
  /** Length of the lines together. */
  readonly characters: number;
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
  // Not the line itself, whose text would be kept as long as the point.
  const { place, index } = tail.lines.at(-1) ?? LOG_START;
  const point = { place, index };
  let characters = 0;
  for (const { line } of tail.lines) characters += line.length;
  const time = clock();
  let text: string | null = null;
  return {
    ...tail,
    characters,
    point,
    get text() {
      text ??= textOf(job, tail.lines, point, time);
      return text;
    },
  };
}

function textOf(
  job: Pick<Job, "id" | "key">,
  lines: readonly LogLine[],
  point: LogPoint,
  time: number,
): string {
  const logs = lines.map(({ line, timestamp }) => ({ line, timestamp }));
  return messageText("snapshot", seqOf(job.id, point), time, { jobId: job.key, logs });
}
