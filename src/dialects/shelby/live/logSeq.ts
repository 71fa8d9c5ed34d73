/**
 * The numbers of a log's messages: each says where its line stands, so that it is the same at every server and after
 * a restart, and `?after=` goes on exactly there.
 *
 * A number is read like a time of day: attempt, chunk within the attempt, line within the chunk. The first lines of a
 * chunk, and few chunks have more, carry a mark of their job as well: a number of another job, such as one of the same
 * name that was deleted, is known by it but for one in a thousand.
 *
 * Attempts and chunks beyond the bounds below get numbers that still grow, but that nobody can go on from.
 */
import { decodePlace, encodePlace } from "../../../engine/logPlace.ts";
import type { LogPoint } from "./logPoint.ts";

const MARKS = 1_024;
const MARKED_LINES = 1_024;
/** No chunk has more lines: the longest has 2 MiB of characters, and lines that end with the attempt come on top. */
const MAX_LINES = 2 * 1024 * 1024 + MARKED_LINES;
const PER_CHUNK = MARKED_LINES * MARKS + MAX_LINES;
const CHUNKS = 2 ** 24;
/** Chunks of one attempt that are numbered exactly, 16 million; the room of the rest is for whatever follows. */
const EXACT_CHUNKS = CHUNKS - 2 ** 19;
const PER_ATTEMPT = CHUNKS * PER_CHUNK;
/** 170 would fill the numbers that JSON carries exactly; the last one's room is for all that follow. */
const EXACT_ATTEMPTS = 169;
/** Numbers for each chunk beyond. */
const PER_LATE_CHUNK = 256;
const MAX_LATE_ATTEMPTS = 2 ** 13;
const CHUNKS_STORED = 2 ** 32;

/**
 * The number of the line that ends there. Grows with the log; beyond the bounds two lines may share one, and whoever
 * gives them out counts on.
 */
export function seqOf(jobId: number, { place, index }: LogPoint): number {
  const { attempt, seq: chunk } = decodePlace(place);
  if (attempt > EXACT_ATTEMPTS) {
    const late = (attempt - EXACT_ATTEMPTS - 1) * CHUNKS_STORED + chunk;
    return EXACT_ATTEMPTS * PER_ATTEMPT + Math.min(late, MAX_LATE_ATTEMPTS * CHUNKS_STORED);
  }
  const begin = (attempt - 1) * PER_ATTEMPT;
  if (chunk >= EXACT_CHUNKS) {
    const late = (chunk - EXACT_CHUNKS) * PER_LATE_CHUNK + Math.min(index, PER_LATE_CHUNK - 1);
    return begin + EXACT_CHUNKS * PER_CHUNK + late;
  }
  const line =
    index < MARKED_LINES
      ? index * MARKS + markOf(jobId)
      : MARKED_LINES * (MARKS - 1) + Math.min(index, MAX_LINES);
  return begin + chunk * PER_CHUNK + line;
}

/** Where the line of that number ends; null when the number tells no place of this job's log. */
export function pointOf(jobId: number, seq: number): LogPoint | null {
  if (!Number.isSafeInteger(seq) || seq < 0 || seq >= EXACT_ATTEMPTS * PER_ATTEMPT) return null;
  const attempt = Math.floor(seq / PER_ATTEMPT) + 1;
  const chunk = Math.floor((seq % PER_ATTEMPT) / PER_CHUNK);
  if (chunk >= EXACT_CHUNKS) return null;
  const line = seq % PER_CHUNK;
  const place = encodePlace({ attempt, seq: chunk });
  if (line >= MARKED_LINES * MARKS) return { place, index: line - MARKED_LINES * (MARKS - 1) };
  return line % MARKS === markOf(jobId) ? { place, index: Math.floor(line / MARKS) } : null;
}

/** Never 0: a client may take a number 0 for none. */
function markOf(jobId: number): number {
  return 1 + (jobId % (MARKS - 1));
}
