/** A log's pages as the body of an answer: plain text, or Server-Sent Events. */
import { NotFoundError } from "../../domain/errors.ts";
import type { Engine } from "../../engine/engine.ts";
import type { LiveRequest } from "../route.ts";
import type { LogStep } from "./logReader.ts";
import { chunkToWire } from "./wire.ts";

type Pages = (signal: AbortSignal) => AsyncGenerator<LogStep>;

/** The text of the chunks, one after the other. */
export function logTexts(pages: Pages, live: LiveRequest): ReadableStream<Uint8Array> {
  return pulled(texts(pages(live.signal)), live);
}

/**
 * One event per chunk: `id` is its seq, `data` the chunk as JSON; the event `end` with state and exit code
 * when the job is final (both null when it was deleted meanwhile).
 */
export function logEvents(
  engine: Engine,
  jobId: number,
  pages: Pages,
  live: LiveRequest,
): ReadableStream<Uint8Array> {
  return pulled(events(engine, jobId, pages(live.signal), live.signal), live);
}

async function* texts(pages: AsyncGenerator<LogStep>): AsyncGenerator<string> {
  for await (const page of pages) {
    if (page !== "silence") yield page.items.map((chunk) => chunk.text).join("");
  }
}

async function* events(
  engine: Engine,
  jobId: number,
  pages: AsyncGenerator<LogStep>,
  signal: AbortSignal,
): AsyncGenerator<string> {
  // Makes the headers travel at once, so that a reader knows that it is connected before the first line.
  yield ": following\n\n";
  for await (const page of pages) {
    yield page === "silence" ? ": still here\n\n" : page.items.map(eventOf).join("");
  }
  if (signal.aborted) return;
  yield `event: end\ndata: ${JSON.stringify(await endOf(engine, jobId))}\n\n`;
}

function eventOf(chunk: Parameters<typeof chunkToWire>[0]): string {
  return `id: ${chunk.seq}\ndata: ${JSON.stringify(chunkToWire(chunk))}\n\n`;
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

/** A stream that asks for the next piece when its reader has taken the last: nothing piles up. */
function pulled(pieces: AsyncGenerator<string>, live: LiveRequest): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          for (;;) {
            const piece = await pieces.next();
            if (piece.done === true) {
              live.done();
              controller.close();
              return;
            }
            if (piece.value === "") continue;
            controller.enqueue(encoder.encode(piece.value));
            return;
          }
        } catch (error) {
          live.done();
          controller.error(error);
        }
      },
      async cancel() {
        live.abort();
        await pieces.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
