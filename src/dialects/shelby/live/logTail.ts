/** The last lines of a log over all attempts, within a size. */
import type { JobState } from "../../../domain/job.ts";
import type { LogPage, Reads } from "../../../engine/engine.ts";
import { decodePlace } from "../../../engine/logPlace.ts";
import { linesBegun } from "./linesBegun.ts";
import { LineAssembler, type LogLine } from "./logLines.ts";

export interface LogTail {
  readonly lines: readonly LogLine[];
  /** Has the beginnings of lines that had no end yet. */
  readonly assembler: LineAssembler;
  /** Place in the log up to which this goes. */
  readonly next: number;
}

interface Part extends LogTail {
  /** The job's state when the last of it was read. */
  readonly state: JobState;
  readonly bytes: number;
  /** False when fewer lines were asked for than wanted, to keep to the size. */
  readonly isWhole: boolean;
}

/** So many are read of whatever length: a line is cut at a length of its own. */
const FEW_LINES = 10;
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
  // Nothing more is written by an attempt that does not run.
  const rest = latest.state === "leased" || latest.state === "running" ? [] : latest.assembler.rest();
  const latestLines = [...latest.lines, ...rest].slice(-limits.snapshotLines);
  const parts: (readonly LogLine[])[] = [latestLines];
  let room = limits.snapshotLines - latestLines.length;
  let bytes = latest.bytes;
  let isWhole = latest.isWhole;
  const last = decodePlace(latest.next).attempt - 1;
  for (let attempt = last; attempt > Math.max(0, last - MAX_ATTEMPTS) && room > 0 && isWhole; attempt--) {
    const part = await readAttempt(read, jobId, attempt, room, limits.maxSnapshotBytes - bytes);
    const rest = part.bytes <= limits.maxSnapshotBytes - bytes ? part.assembler.rest() : [];
    parts.unshift([...part.lines, ...rest].slice(-room));
    room -= parts[0]?.length ?? 0;
    bytes += part.bytes;
    isWhole = part.isWhole;
  }
  return { lines: parts.flat(), assembler: latest.assembler, next: latest.next };
}

/**
 * The last lines of an attempt, null being the latest: those that there is room for, and of the latest attempt one in
 * any case, since its end says where the log goes on. Where much would be read for few lines a tenth as many are asked
 * for, and again.
 */
async function readAttempt(
  read: Pick<Reads, "log">,
  jobId: number,
  attempt: number | null,
  lines: number,
  maxBytes: number,
): Promise<Part> {
  for (let wanted = lines; ; wanted = Math.floor(wanted / 10)) {
    const maxReadBytes = wanted <= FEW_LINES ? Number.POSITIVE_INFINITY : 4 * maxBytes;
    const part = await readLast(read, jobId, attempt, wanted, maxBytes, maxReadBytes);
    if (part !== null)
      return { ...part, isWhole: part.isWhole && part.bytes <= maxBytes && wanted === lines };
  }
}

/** Null when more than `maxReadBytes` would be read. */
async function readLast(
  read: Pick<Reads, "log">,
  jobId: number,
  attempt: number | null,
  tailLines: number,
  maxBytes: number,
  maxReadBytes: number,
): Promise<Part | null> {
  let begun: LineAssembler | null = null;
  const lines: LogLine[] = [];
  const atLeast = attempt === null ? 1 : 0;
  let bytes = 0;
  let readBytes = 0;
  let isWhole = true;
  let next = 0;
  let state: JobState = "ready";
  for await (const page of pagesOf(read, jobId, attempt, tailLines)) {
    for (const { text } of page.items) readBytes += text.length;
    if (readBytes > maxReadBytes) return null;
    begun ??= await begunBefore(read, jobId, page);
    const assembler = begun;
    for (const line of assembler.push(page.items, page.skippedLines)) {
      lines.push(line);
      bytes += line.line.length;
    }
    let dropped = 0;
    // More than were wanted may have been written while the pages were read.
    for (; lines.length - dropped > atLeast; dropped++) {
      const isOver = bytes + assembler.heldCharacters > maxBytes;
      if (!isOver && lines.length - dropped <= tailLines) break;
      if (isOver) isWhole = false;
      bytes -= lines[dropped]?.line.length ?? 0;
    }
    lines.splice(0, dropped);
    next = page.next;
    state = page.state;
  }
  const assembler = begun ?? new LineAssembler();
  return { lines, assembler, next, state, bytes: bytes + assembler.heldCharacters, isWhole };
}

/** Has the lines that were begun before a tail's first page and end in it, where they are found. */
async function begunBefore(read: Pick<Reads, "log">, jobId: number, page: LogPage): Promise<LineAssembler> {
  const [first] = page.items;
  if (first === undefined) return new LineAssembler();
  const assembler = (await linesBegun(read, jobId, first.seq)) ?? new LineAssembler();
  // The tail begins after a newline of this stream.
  if (page.skippedLines !== undefined) assembler.forget(first.stream);
  return assembler;
}

async function* pagesOf(
  read: Pick<Reads, "log">,
  jobId: number,
  attempt: number | null,
  tailLines: number,
): AsyncGenerator<LogPage> {
  const which = attempt === null ? {} : { attempt };
  let page = await read.log(jobId, { ...which, tailLines });
  yield page;
  while (!page.isEnd) {
    page = await read.log(jobId, { ...which, after: page.next });
    yield page;
  }
}
