/** The lines that were begun before a place in a log and have no end there: who goes on from it is to hear them whole. */
import { LOG_STREAMS, type LogStream } from "../../../domain/job.ts";
import type { Reads } from "../../../engine/engine.ts";
import { decodePlace, encodePlace } from "../../../engine/logPlace.ts";
import { LineAssembler } from "./logLines.ts";

/** So many chunks before the place are read at first: most lines end in the chunk that they begin in. */
const NEAR_CHUNKS = 32;
/**
 * How far back a stream is looked for that wrote nothing near: what it left unfinished before that is taken for told.
 * Most streams are silent all the time, so this is what it costs to go on.
 */
const FOR_SILENT = { chunks: 1_024, characters: 2 * 1024 * 1024 };
/** How far back the beginning of a line is looked for that goes on and on. */
const FOR_LONG_LINES = { chunks: 16_384, characters: 8 * 1024 * 1024 };

interface Look {
  readonly assembler: LineAssembler;
  readonly characters: number;
  /** Streams that wrote nothing in these chunks. */
  readonly silent: number;
  /** Streams that wrote, but ended no line: theirs may have begun before. */
  readonly unknown: number;
}

/**
 * An assembler that has read all up to the chunk before `place`, as far as it matters for what follows; null where a
 * line began so far before that it was not found.
 */
export async function linesBegun(
  read: Pick<Reads, "log">,
  jobId: number,
  place: number,
): Promise<LineAssembler | null> {
  const before = Math.max(0, decodePlace(place).seq - 1);
  let look = await lookBack(read, jobId, place, NEAR_CHUNKS);
  let looked = NEAR_CHUNKS;
  const perChunk = Math.max(1, look.characters / NEAR_CHUNKS);
  for (const far of [FOR_SILENT, FOR_LONG_LINES]) {
    const isFound = look.unknown === 0 && (look.silent === 0 || far === FOR_LONG_LINES);
    const chunks = Math.min(before, far.chunks, Math.floor(far.characters / perChunk));
    if (isFound || chunks <= looked) continue;
    look = await lookBack(read, jobId, place, chunks);
    looked = chunks;
  }
  return look.unknown > 0 ? null : look.assembler;
}

async function lookBack(
  read: Pick<Reads, "log">,
  jobId: number,
  place: number,
  chunks: number,
): Promise<Look> {
  const { attempt, seq } = decodePlace(place);
  const start = Math.max(0, seq - 1 - chunks);
  const assembler = new LineAssembler();
  const wrote = new Set<LogStream>();
  const ended = new Set<LogStream>();
  let characters = 0;
  let after = encodePlace({ attempt, seq: start });
  while (after < place - 1) {
    const page = await read.log(jobId, { attempt, after });
    const before = page.items.filter((chunk) => chunk.seq < place);
    for (const { stream, text } of before) {
      characters += text.length;
      wrote.add(stream);
      if (text.includes("\n")) ended.add(stream);
    }
    assembler.push(before);
    if (page.isEnd) break;
    after = page.next;
  }
  // Before the first chunk of an attempt nothing was begun.
  const unknown = start === 0 ? 0 : wrote.size - ended.size;
  const silent = start === 0 ? 0 : LOG_STREAMS.length - wrote.size;
  return { assembler, characters, silent, unknown };
}
