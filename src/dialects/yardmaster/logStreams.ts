/** A log's pages as the body of an answer: plain text, or Server-Sent Events. */
import { NotFoundError, OverloadedError } from "../../domain/errors.ts";
import type { LogChunk } from "../../domain/job.ts";
import type { Engine, LogPage } from "../../engine/engine.ts";
import { type HeldForReaders, HOLDS_TOO_MUCH, type LiveStream } from "../liveStream.ts";
import { jsonPiecesOf, PIECE_CHARACTERS, piecesOf } from "../textPieces.ts";
import type { LogStep } from "./logReader.ts";
import { chunkToWire } from "./wire.ts";

type Pages = (signal: AbortSignal) => AsyncGenerator<LogStep>;

/** Longer pages wait for a reader only while all readers together hold less than the server's bound. */
const SMALL_PAGE_CHARACTERS = 64 * 1024;
const RETRY_AFTER_MS = 5_000;

/** The text of the chunks, one after the other, to the end of the log as it is. */
export function logTexts(pages: AsyncGenerator<LogPage>, stream: LiveStream): ReadableStream<Uint8Array> {
  return bodyOf(texts(pages, stream), stream);
}

/** The same for as long as the job is not final. Broken off when it ends for any other reason. */
export function followedTexts(pages: Pages, stream: LiveStream): ReadableStream<Uint8Array> {
  return bodyOf(textsAsTheyCome(pages, stream), stream);
}

/**
 * One event per chunk: `id` is its seq, `data` the chunk as JSON; the event `end` with state and exit code
 * when the job is final (both null when it was deleted meanwhile).
 */
export function followedEvents(
  engine: Engine,
  jobId: number,
  pages: Pages,
  stream: LiveStream,
): ReadableStream<Uint8Array> {
  return bodyOf(events(engine, jobId, pages, stream), stream);
}

/** What has no room breaks it off. */
async function* texts(pages: AsyncGenerator<LogStep>, stream: LiveStream): AsyncGenerator<string> {
  for await (const page of pages) {
    if (page === "silence") continue;
    const release = holdPage(page, stream.held);
    if (release === null) {
      stream.drop(HOLDS_TOO_MUCH);
      throw new OverloadedError(HOLDS_TOO_MUCH, RETRY_AFTER_MS);
    }
    try {
      yield* piecesOf(textOf(page));
    } finally {
      release();
    }
  }
}

async function* textsAsTheyCome(pages: Pages, stream: LiveStream): AsyncGenerator<string> {
  yield* texts(pages(stream.signal), stream);
  // Text has no word for its end: a clean one would look like that of the log.
  if (stream.signal.aborted) throw new OverloadedError(String(stream.signal.reason), RETRY_AFTER_MS);
}

async function* events(
  engine: Engine,
  jobId: number,
  pages: Pages,
  stream: LiveStream,
): AsyncGenerator<string> {
  // Makes the headers travel at once, so that a reader knows that it is connected before the first line.
  yield ": following\n\n";
  for await (const page of pages(stream.signal)) {
    if (page === "silence") {
      yield ": still here\n\n";
      continue;
    }
    const release = holdPage(page, stream.held);
    if (release === null) {
      stream.drop(HOLDS_TOO_MUCH);
      break;
    }
    try {
      yield* eventPieces(page);
    } finally {
      release();
    }
  }
  if (stream.signal.aborted) {
    yield `: ${stream.signal.reason}\n\n`;
    return;
  }
  yield `event: end\ndata: ${JSON.stringify(await endOf(engine, jobId))}\n\n`;
}

/** Small events leave together, long ones in pieces. */
function* eventPieces({ items }: LogPage): Generator<string> {
  let small = "";
  for (const chunk of items) {
    const isLong = chunk.text.length > PIECE_CHARACTERS;
    if (!isLong) small += `id: ${chunk.seq}\ndata: ${JSON.stringify(chunkToWire(chunk))}\n\n`;
    if (!isLong && small.length < PIECE_CHARACTERS) continue;
    yield small;
    small = "";
    if (isLong) yield* longEvent(chunk);
  }
  yield small;
}

function* longEvent(chunk: LogChunk): Generator<string> {
  const { text, ...rest } = chunkToWire(chunk);
  yield `id: ${chunk.seq}\ndata: ${JSON.stringify(rest).slice(0, -1)},"text":"`;
  yield* jsonPiecesOf(text);
  yield '"}\n\n';
}

/** Null when there is no room for the page; otherwise how to let go of it. */
function holdPage(page: LogPage, held: HeldForReaders): (() => void) | null {
  let characters = 0;
  for (const { text } of page.items) characters += text.length;
  if (characters > SMALL_PAGE_CHARACTERS && !held.hasRoom(characters)) return null;
  return held.share(page, characters);
}

function textOf({ items }: LogPage): string {
  return items.map(({ text }) => text).join("");
}

async function endOf(engine: Engine, jobId: number) {
  try {
    const { state, exitCode } = await engine.read.job(jobId);
    return { state, exitCode };
  } catch (error) {
    if (error instanceof NotFoundError) return { state: null, exitCode: null };
    throw error;
  }
}

function bodyOf(pieces: AsyncGenerator<string>, stream: LiveStream): ReadableStream<Uint8Array> {
  return stream.body({
    async next() {
      const piece = await pieces.next();
      return piece.done === true ? null : piece.value;
    },
    closed: () => void pieces.return(undefined),
  });
}
