/** A log as Server-Sent Events: one event for each line. */
import type { LiveRequest } from "../../route.ts";
import { CLOSE } from "../../socket.ts";
import type { Message } from "./channel.ts";
import type { LogEntry, LogFollower, LogPoint } from "./logHub.ts";
import type { LogHubs } from "./logHubs.ts";
import type { LogLine } from "./logLines.ts";

/** What may wait in memory for one reader. */
const BUFFER_BYTES = 64 * 1024;
/** Id of the last event: who comes back with it has all. */
export const END_ID = "end";

/** Where the reader with that `Last-Event-ID` goes on; null begins anew. */
export function readLastEventId(text: string | undefined): LogPoint | null {
  const match = /^(\d{1,16})-(\d{1,9})$/.exec(text ?? "");
  const place = Number(match?.[1]);
  return match !== null && Number.isSafeInteger(place) ? { place, index: Number(match[2]) } : null;
}

export interface LogEventsOptions {
  readonly hubs: LogHubs;
  readonly jobId: string;
  readonly from: LogPoint | null;
  readonly live: LiveRequest;
  readonly keepAliveMs: number;
}

/** The body of the answer; begins with the last lines, or after `from`. */
export function logEvents(options: LogEventsOptions): ReadableStream<Uint8Array> {
  const follower = new EventFollower(options.jobId, options.from);
  const { hubs, jobId, live, keepAliveMs } = options;
  let leave: (() => void) | null = null;
  let timer: Timer | null = null;
  const done = () => {
    if (timer !== null) clearInterval(timer);
    leave?.();
    live.done();
  };
  follower.onEnd = done;
  live.signal.addEventListener("abort", () => follower.end(CLOSE.goingAway, "the server is closing"));
  return new ReadableStream<Uint8Array>(
    {
      async start(controller) {
        follower.open(controller);
        timer = setInterval(() => follower.keepAlive(), keepAliveMs);
        timer.unref();
        try {
          leave = await hubs.join(jobId, follower);
          // It may have ended while it joined.
          if (follower.isEnded) leave();
        } catch {
          follower.end(CLOSE.notFound, "the job was deleted");
        }
      },
      pull: () => follower.room(),
      cancel: () => follower.end(CLOSE.normal, ""),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: BUFFER_BYTES }),
  );
}

class EventFollower implements LogFollower {
  readonly from: LogPoint | null;
  readonly #jobId: string;
  readonly #encoder = new TextEncoder();
  /** The last line sent: others are skipped that come again. */
  #sent: LogPoint;
  /** Lines to be sent before what the stream brings. */
  #first: LogLine[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  isEnded = false;
  onRoom: (() => void) | null = null;
  onEnd: (() => void) | null = null;

  constructor(jobId: string, from: LogPoint | null) {
    this.#jobId = jobId;
    this.from = from;
    this.#sent = from ?? { place: 0, index: 0 };
  }

  open(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    // Makes the headers travel at once, so that a reader knows that it is connected before the first line.
    this.#write(": following\n\n");
  }

  begin(_text: string, lines: readonly LogLine[]): void {
    this.#first = [...lines];
    this.room();
  }

  /** There is room for more. */
  room(): void {
    let sent = 0;
    let text = "";
    for (const line of this.#first) {
      if (!this.#hasRoomBeside(text)) break;
      text += this.#eventOf(line);
      sent++;
    }
    if (sent > 0) this.#first.splice(0, sent);
    this.#write(text);
    if (this.#first.length === 0) this.onRoom?.();
  }

  take(messages: readonly Message<LogEntry>[], from: number): number {
    if (this.#first.length > 0) return 0;
    let text = "";
    let taken = 0;
    for (let at = from; at < messages.length && this.#hasRoomBeside(text); at++) {
      const data = messages[at]?.data;
      if (data !== undefined) text += this.#eventOf(data);
      taken++;
    }
    this.#write(text);
    return taken;
  }

  keepAlive(): void {
    if (this.#hasRoomBeside("")) this.#write(": still here\n\n");
  }

  end(code: number, reason: string): void {
    if (this.isEnded) return;
    if (code !== CLOSE.normal) this.#write(`: ${reason}\n\n`);
    this.isEnded = true;
    try {
      this.#controller?.close();
    } catch {
      // Its reader has gone.
    }
    this.#controller = null;
    this.onEnd?.();
  }

  #hasRoomBeside(text: string): boolean {
    if (this.isEnded) return true;
    return (this.#controller?.desiredSize ?? 0) > text.length;
  }

  #write(text: string): void {
    if (text === "" || this.isEnded) return;
    this.#controller?.enqueue(this.#encoder.encode(text));
  }

  /** Empty for a line that was sent before. */
  #eventOf(entry: LogEntry): string {
    if (!("place" in entry)) return `id: ${END_ID}\nevent: end\ndata: ${JSON.stringify(entry)}\n\n`;
    const { place, index, line, timestamp } = entry;
    const isKnown = place < this.#sent.place || (place === this.#sent.place && index <= this.#sent.index);
    if (isKnown) return "";
    this.#sent = { place, index };
    return `id: ${place}-${index}\ndata: ${JSON.stringify({ jobId: this.#jobId, line, ts: timestamp })}\n\n`;
  }
}
