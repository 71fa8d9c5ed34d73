/** The last lines of a log over all attempts, within a size. */
import type { Reads } from "../../../engine/engine.ts";
import { decodePlace } from "../../../engine/logPlace.ts";
import { LineAssembler, type LogLine } from "./logLines.ts";

export interface LogTail {
  readonly lines: readonly LogLine[];
  /** Has the beginnings of lines that had no end yet. */
  readonly assembler: LineAssembler;
  /** Place in the log up to which this goes. */
  readonly next: number;
}

interface Part extends LogTail {
  readonly bytes: number;
  /** False when fewer lines were asked for than wanted, to keep to the size. */
  readonly isWhole: boolean;
}

/** Attempts looked at, from the last one back. */
const MAX_ATTEMPTS = 100;

/**
 * The last lines, at most `snapshotLines` of them: fewer where they are so long that they are over
 * `maxSnapshotBytes` together. What earlier attempts wrote stands before.
 */
export async function readTail(
  read: Pick<Reads, "log">,
  jobId: number,
  limits: { readonly snapshotLines: number; readonly maxSnapshotBytes: number },
): Promise<LogTail> {
  const latest = await readAttempt(read, jobId, null, limits.snapshotLines, limits.maxSnapshotBytes);
  const parts = [latest.lines];
  let room = limits.snapshotLines - latest.lines.length;
  let bytes = latest.bytes;
  let isWhole = latest.isWhole;
  const last = decodePlace(latest.next).attempt - 1;
  for (let attempt = last; attempt > Math.max(0, last - MAX_ATTEMPTS) && room > 0 && isWhole; attempt--) {
    const part = await readAttempt(read, jobId, attempt, room, limits.maxSnapshotBytes - bytes);
    parts.unshift([...part.lines, ...part.assembler.rest()].slice(-room));
    room -= parts[0]?.length ?? 0;
    bytes += part.bytes;
    isWhole = part.isWhole;
  }
  return { lines: parts.flat(), assembler: latest.assembler, next: latest.next };
}

/** The last lines of an attempt, null being the latest; of lines that are too long a tenth as many, and again. */
async function readAttempt(
  read: Pick<Reads, "log">,
  jobId: number,
  attempt: number | null,
  lines: number,
  maxBytes: number,
): Promise<Part> {
  for (let wanted = lines; wanted > 1; wanted = Math.floor(wanted / 10)) {
    const part = await readLast(read, jobId, attempt, wanted, maxBytes);
    if (part !== null) return { ...part, isWhole: wanted === lines };
  }
  // One line is taken as it comes: there is no less, and its end says where the log goes on.
  const part = await readLast(read, jobId, attempt, 1, Number.POSITIVE_INFINITY);
  return { ...(part ?? NOTHING), isWhole: lines <= 1 };
}

const NOTHING = { lines: [], assembler: new LineAssembler(), next: 0, bytes: 0 };

/** Null when it is larger than that. */
async function readLast(
  read: Pick<Reads, "log">,
  jobId: number,
  attempt: number | null,
  tailLines: number,
  maxBytes: number,
): Promise<Omit<Part, "isWhole"> | null> {
  const assembler = new LineAssembler();
  const lines: LogLine[] = [];
  const which = attempt === null ? {} : { attempt };
  let bytes = 0;
  let page = await read.log(jobId, { ...which, tailLines });
  for (;;) {
    for (const { text } of page.items) bytes += text.length;
    if (bytes > maxBytes) return null;
    lines.push(...assembler.push(page.items));
    if (page.isEnd) break;
    page = await read.log(jobId, { ...which, after: page.next });
  }
  // More may have been written while the pages were read.
  return { lines: lines.slice(-tailLines), assembler, next: page.next, bytes };
}
