/** A log as Server-Sent Events: one event for each line. */
import type { Job } from "../../../domain/job.ts";
import type { LiveRequest } from "../../route.ts";
import { CLOSE } from "../../socket.ts";
import type { Message } from "./channel.ts";
import type { LogEntry, LogFollower, LogPoint } from "./logHub.ts";
import type { LogHubs } from "./logHubs.ts";
import type { LogLine } from "./logLines.ts";

/** What may wait in memory for one reader. */
const BUFFER_CHARACTERS = 64 * 1024;
/** Id of the last event: who comes back with it has all. */
export function endIdOf(job: Pick<Job, "id">): string {
  return `${job.id}-end`;
}

/**
 * Where the reader with that `Last-Event-ID` goes on. Null begins anew, also where the event was one of another job,
 * which had that key before.
 */
export function readLastEventId(text: string | undefined, job: Pick<Job, "id">): LogPoint | null {
  const match = /^(\d{1,16})-(\d{1,16})-(\d{1,9})$/.exec(text ?? "");
  const place = Number(match?.[2]);
  if (match === null || Number(match[1]) !== job.id || !Number.isSafeInteger(place)) return null;
  return { place, index: Number(match[3]) };
}

export interface LogEventsOptions {
  readonly hubs: LogHubs;
  readonly job: Pick<Job, "id" | "key">;
  readonly from: LogPoint | null;
  readonly live: LiveRequest;
  readonly keepAliveMs: number;
}

/** The body of the answer; begins with the last lines, or after `from`. */
export function logEvents(options: LogEventsOptions): ReadableStream<Uint8Array> {
  const { hubs, job, from, live, keepAliveMs } = options;
  const follower = new EventFollower(job, from);
  const encoder = new TextEncoder();
  const timer = setInterval(() => follower.keepAlive(), keepAliveMs);
  timer.unref();
  follower.onEnd = () => {
    clearInterval(timer);
    live.done();
  };
  const end = () => follower.end(CLOSE.goingAway, "the stream ends here: come back");
  live.signal.addEventListener("abort", end);
  if (live.signal.aborted) end();
  void join(hubs, job.key, follower);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const text = await follower.next();
        if (text === null) controller.close();
        else controller.enqueue(encoder.encode(text));
      },
      cancel: () => follower.end(CLOSE.normal, ""),
    },
    // Asks for the next piece when the last one was taken.
    { highWaterMark: 0 },
  );
}

async function join(hubs: LogHubs, jobId: string, follower: EventFollower): Promise<void> {
  try {
    follower.leaveBy(await hubs.join(jobId, follower));
  } catch {
    follower.end(CLOSE.notFound, "the job was deleted");
  }
}

class EventFollower implements LogFollower {
  readonly from: LogPoint | null;
  readonly #job: LogEventsOptions["job"];
  /** The last line made into an event: others are skipped that come again. */
  #last: LogPoint;
  /** Lines to be told before what the stream brings. */
  #first: LogLine[] = [];
  /** Makes the headers travel at once, so that a reader knows that it is connected before the first line. */
  #text = ": following\n\n";
  #isEnded = false;
  #wake: (() => void) | null = null;
  #leave: (() => void) | null = null;
  onRoom: (() => void) | null = null;
  onEnd: (() => void) | null = null;

  constructor(job: LogEventsOptions["job"], from: LogPoint | null) {
    this.#job = job;
    this.from = from;
    this.#last = from ?? { place: 0, index: 0 };
  }

  /** How to leave what is followed. */
  leaveBy(leave: () => void): void {
    // It may have ended while it joined.
    if (this.#isEnded) leave();
    else this.#leave = leave;
  }

  /** What is to be sent next, as soon as there is something; null at the end. For one reader. */
  async next(): Promise<string | null> {
    while (this.#text === "") {
      if (this.#isEnded) return null;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    const text = this.#text;
    this.#text = "";
    this.#fill();
    if (this.#first.length === 0) this.onRoom?.();
    return text;
  }

  begin(_text: string, lines: readonly LogLine[]): void {
    this.#last = { place: 0, index: 0 };
    this.#first = [...lines];
    this.#fill();
  }

  take(messages: readonly Message<LogEntry>[], from: number): number {
    let taken = 0;
    while (this.#first.length === 0 && this.#hasRoom && from + taken < messages.length) {
      const data = messages[from + taken]?.data;
      if (data !== undefined) this.#add(this.#eventOf(data));
      taken++;
    }
    return taken;
  }

  keepAlive(): void {
    if (this.#text === "") this.#add(": still here\n\n");
  }

  end(code: number, reason: string): void {
    if (this.#isEnded) return;
    if (code !== CLOSE.normal) this.#add(`: ${reason}\n\n`);
    this.#isEnded = true;
    this.#wake?.();
    this.#leave?.();
    this.onEnd?.();
  }

  get #hasRoom(): boolean {
    return this.#isEnded || this.#text.length < BUFFER_CHARACTERS;
  }

  /** Takes of the first lines what there is room for. */
  #fill(): void {
    let told = 0;
    for (const line of this.#first) {
      if (!this.#hasRoom) break;
      this.#add(this.#eventOf(line));
      told++;
    }
    this.#first.splice(0, told);
  }

  #add(text: string): void {
    if (text === "" || this.#isEnded) return;
    this.#text += text;
    this.#wake?.();
  }

  /** Empty for a line that was told before. */
  #eventOf(entry: LogEntry): string {
    if (!("place" in entry))
      return `id: ${endIdOf(this.#job)}\nevent: end\ndata: ${JSON.stringify(entry)}\n\n`;
    const { place, index, line, timestamp } = entry;
    const isKnown = place < this.#last.place || (place === this.#last.place && index <= this.#last.index);
    if (isKnown) return "";
    this.#last = { place, index };
    const { id, key } = this.#job;
    const data = JSON.stringify({ jobId: key, line, ts: timestamp });
    return `id: ${id}-${place}-${index}\ndata: ${data}\n\n`;
  }
}
