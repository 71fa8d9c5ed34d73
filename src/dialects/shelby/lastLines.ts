/** The last lines of logs: of one job over all its attempts, or of all jobs together. */
import type { Job } from "../../domain/job.ts";
import type { Reads, RecentChunk } from "../../engine/engine.ts";
import { LineAssembler } from "./live/logLines.ts";

export interface Line {
  readonly line: string;
  /** Unix seconds. */
  readonly timestamp: number;
}

export interface JobLine extends Line {
  readonly jobId: string;
}

/** Characters in one answer, about: of long lines there are fewer than were asked for, the last ones. */
const MAX_CHARACTERS = 32 * 1024 * 1024;
/** Attempts looked at, from the last one back. */
const MAX_ATTEMPTS = 100;
/** Chunks of the first look at all jobs together; each further look takes twice as many. */
const FIRST_LOOK_CHUNKS = 16;

/** The last `limit` lines of a job, oldest first. What earlier attempts wrote stands before. */
export async function lastLines(
  read: Pick<Reads, "log">,
  job: Pick<Job, "id" | "attempt">,
  limit: number,
  maxCharacters = MAX_CHARACTERS,
): Promise<readonly Line[]> {
  const parts: Line[][] = [];
  let lines = 0;
  let characters = 0;
  const latest = Math.max(job.attempt, 1);
  for (let attempt = latest; attempt > Math.max(latest - MAX_ATTEMPTS, 0) && lines < limit; attempt--) {
    const part = await linesOfAttempt(read, job.id, attempt, limit - lines, maxCharacters - characters);
    parts.unshift(part.lines);
    lines += part.lines.length;
    characters += part.characters;
    if (!part.isWhole) break;
  }
  return parts.flat();
}

interface Part {
  readonly lines: Line[];
  readonly characters: number;
  /** False when there were more lines than there was room for. */
  readonly isWhole: boolean;
}

/** The last lines of one attempt; of lines that are too long for one answer a tenth as many, and again. */
async function linesOfAttempt(
  read: Pick<Reads, "log">,
  jobId: number,
  attempt: number,
  limit: number,
  maxCharacters: number,
): Promise<Part> {
  for (let wanted = limit; ; wanted = Math.max(1, Math.floor(wanted / 10))) {
    const isLastTry = wanted === 1 && maxCharacters === MAX_CHARACTERS;
    const part = await tail(
      read,
      jobId,
      attempt,
      wanted,
      isLastTry ? Number.POSITIVE_INFINITY : maxCharacters,
    );
    if (part !== null) return { ...part, isWhole: wanted === limit };
    if (wanted === 1) return { lines: [], characters: 0, isWhole: false };
  }
}

/** Null when they are longer than that together. */
async function tail(
  read: Pick<Reads, "log">,
  jobId: number,
  attempt: number,
  tailLines: number,
  maxCharacters: number,
): Promise<Omit<Part, "isWhole"> | null> {
  const assembler = new LineAssembler();
  const lines: Line[] = [];
  let characters = 0;
  let page = await read.log(jobId, { attempt, tailLines });
  for (;;) {
    for (const { text } of page.items) characters += text.length;
    if (characters > maxCharacters) return null;
    for (const { line, timestamp } of assembler.push(page.items)) lines.push({ line, timestamp });
    // What was written since the first page was read is left for the next time.
    if (page.isEnd || lines.length >= tailLines) break;
    page = await read.log(jobId, { attempt, after: page.next });
  }
  for (const { line, timestamp } of assembler.rest()) lines.push({ line, timestamp });
  return { lines: lines.slice(-tailLines), characters };
}

/** The last `limit` lines of all jobs, newest first. */
export async function recentLines(
  read: Pick<Reads, "recentLog">,
  limit: number,
): Promise<readonly JobLine[]> {
  for (let chunks = Math.min(FIRST_LOOK_CHUNKS, limit); ; chunks = Math.min(chunks * 2, limit)) {
    const found = await read.recentLog({ dialect: "shelby", limit: chunks });
    const lines = linesOfChunks(found.toReversed()).reverse();
    const characters = found.reduce((sum, { text }) => sum + text.length, 0);
    const isAll = found.length < chunks || chunks >= limit;
    if (isAll || lines.length >= limit || characters >= MAX_CHARACTERS / 2) return lines.slice(0, limit);
  }
}

/** Lines in the order of their ends. */
function linesOfChunks(chunks: readonly RecentChunk[]): JobLine[] {
  const assemblers = new Map<string, { readonly jobId: string; readonly assembler: LineAssembler }>();
  const lines: JobLine[] = [];
  for (const chunk of chunks) {
    const jobId = chunk.jobKey;
    const key = `${chunk.jobId}/${chunk.attempt}`;
    const known = assemblers.get(key) ?? { jobId, assembler: new LineAssembler() };
    assemblers.set(key, known);
    for (const { line, timestamp } of known.assembler.push([chunk])) lines.push({ jobId, line, timestamp });
  }
  for (const { jobId, assembler } of assemblers.values()) {
    for (const { line, timestamp } of assembler.rest()) lines.push({ jobId, line, timestamp });
  }
  return lines;
}
