/** A log as Server-Sent Events: one event for each line. */
import type { Job } from "../../../domain/job.ts";
import { decodePlace, MAX_LOG_SEQ } from "../../../engine/logPlace.ts";
import { type HeldForReaders, HOLDS_TOO_MUCH, type LiveStream, type PieceSource } from "../../liveStream.ts";
import { CLOSE } from "../../socket.ts";
import { jsonPiecesOf, PIECE_CHARACTERS } from "../../textPieces.ts";
import type { Message } from "./channel.ts";
import type { LogBeginning, LogEntry, LogFollower, LogPoint } from "./logHub.ts";
import type { LogHubs } from "./logHubs.ts";
import type { LogLine } from "./logLines.ts";

/** What may wait in memory for one reader, beside the line that goes over it. */
const BUFFER_CHARACTERS = 64 * 1024;
/** What an event is longer than its line, about. */
const EVENT_CHARACTERS = 100;

/** Id of the last event: who comes back with it has all. */
export function endIdOf(job: Pick<Job, "id">): string {
  return `${job.id}-end`;
}

/**
 * Where the reader with that `Last-Event-ID` goes on. Null begins anew: where no line can have had that id, and where
 * the event was one of another job, which had that key before.
 */
export function readLastEventId(text: string | undefined, job: Pick<Job, "id">): LogPoint | null {
  const match = /^(\d{1,16})-(\d{1,16})-(\d{1,9})$/.exec(text ?? "");
  const place = Number(match?.[2]);
  const index = Number(match?.[3]);
  if (match === null || Number(match[1]) !== job.id || !Number.isSafeInteger(place)) return null;
  // Chunks count from 1 in each attempt, lines in each chunk.
  const { seq } = decodePlace(place);
  return seq < 1 || seq > MAX_LOG_SEQ || index < 1 ? null : { place, index };
}

export interface LogEventsOptions {
  readonly hubs: LogHubs;
  readonly job: Pick<Job, "id" | "key">;
  readonly from: LogPoint | null;
  readonly stream: LiveStream;
  readonly keepAliveMs: number;
}

/** The body of the answer; begins with the last lines, or after `from`. */
export function logEvents(options: LogEventsOptions): ReadableStream<Uint8Array> {
  const { hubs, job, stream, keepAliveMs } = options;
  const follower = new EventFollower(options);
  const timer = setInterval(() => follower.keepAlive(), keepAliveMs);
  timer.unref();
  follower.onEnd = () => clearInterval(timer);
  const end = () => follower.end(CLOSE.goingAway, String(stream.signal.reason));
  stream.signal.addEventListener("abort", end);
  if (stream.signal.aborted) end();
  void join(hubs, job.key, follower);
  return stream.body(follower);
}

async function join(hubs: LogHubs, jobId: string, follower: EventFollower): Promise<void> {
  try {
    follower.leaveBy(await hubs.join(jobId, follower));
  } catch {
    follower.end(CLOSE.notFound, "the job was deleted");
  }
}

/** What waits for the reader, held until the last of it was told. */
interface Batch {
  readonly entries: readonly LogEntry[];
  characters: number;
  /** Of these, what is counted by itself. */
  smallCharacters: number;
  /** How to let go of the rest. */
  readonly releases: (() => void)[];
}

function emptyBatch(entries: readonly LogEntry[]): Batch {
  return { entries, characters: 0, smallCharacters: 0, releases: [] };
}

class EventFollower implements LogFollower, PieceSource {
  readonly from: LogPoint | null;
  readonly #job: LogEventsOptions["job"];
  readonly #stream: LiveStream;
  readonly #held: HeldForReaders;
  /** Makes the headers travel at once, so that a reader knows that it is connected before the first line. */
  #comment = ": following\n\n";
  /** What is being told, the next one at `#told`. */
  #batch = emptyBatch([]);
  #told = 0;
  /** The rest of a long event that was begun. */
  #rest: Iterator<string> | null = null;
  /** What was taken meanwhile. */
  #taken: LogEntry[] = [];
  #next = emptyBatch(this.#taken);
  #isEnded = false;
  #wake: (() => void) | null = null;
  #leave: (() => void) | null = null;
  onRoom: (() => void) | null = null;
  onEnd: (() => void) | null = null;

  constructor({ job, from, stream }: LogEventsOptions) {
    this.#job = job;
    this.#stream = stream;
    this.#held = stream.held;
    this.from = from;
  }

  /** How to leave what is followed. */
  leaveBy(leave: () => void): void {
    // It may have ended while it joined.
    if (this.#isEnded) leave();
    else this.#leave = leave;
  }

  async next(): Promise<string | null> {
    for (;;) {
      const piece = this.#piece();
      if (this.#hasRoom) this.onRoom?.();
      if (piece !== "") return piece;
      if (!this.#isAllTold) continue;
      if (this.#isEnded) return null;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  closed(): void {
    this.end(CLOSE.normal, "");
    this.#forget();
  }

  beginWith({ lines }: LogBeginning): void {
    if (this.#isEnded) return;
    let characters = 0;
    for (const line of lines) characters += sizeOf(line);
    if (!this.#mayHold(lines, characters)) return;
    this.#letGo(this.#batch);
    // All who begin together have the same.
    const releases = [this.#held.share(lines, characters)];
    this.#batch = { entries: lines, characters, smallCharacters: 0, releases };
    this.#told = 0;
    this.#wake?.();
  }

  take(messages: readonly Message<LogEntry>[], from: number): number {
    let taken = 0;
    while (this.#hasRoom && from + taken < messages.length) {
      const entry = messages[from + taken]?.data;
      if (entry !== undefined) this.#take(entry);
      taken++;
    }
    if (taken > 0) this.#wake?.();
    return taken;
  }

  keepAlive(): void {
    if (!this.#isAllTold || this.#isEnded) return;
    this.#comment = ": still here\n\n";
    this.#wake?.();
  }

  end(code: number, reason: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (code !== CLOSE.normal) {
      // In the middle of an event there is no room for a word; browsers forget an event that has no end.
      const isWithinEvent = this.#rest !== null;
      this.#forget();
      if (!isWithinEvent) this.#comment = `: ${reason}\n\n`;
      this.#stream.drop(reason);
    }
    this.#wake?.();
    // Not at once: where it ends as it begins, it is entered among the followers after that.
    queueMicrotask(() => this.#leave?.());
    this.onEnd?.();
  }

  get #hasRoom(): boolean {
    return this.#isEnded || this.#batch.characters + this.#next.characters < BUFFER_CHARACTERS;
  }

  get #isAllTold(): boolean {
    const isTold = this.#told === this.#batch.entries.length && this.#taken.length === 0;
    return isTold && this.#rest === null && this.#comment === "";
  }

  /** Ends it where there is no room for what is more than little. */
  #mayHold(what: object, characters: number): boolean {
    if (characters <= BUFFER_CHARACTERS || this.#held.hasRoom(characters, what)) return true;
    this.end(CLOSE.unavailable, HOLDS_TOO_MUCH);
    return false;
  }

  #take(entry: LogEntry): void {
    if (this.#isEnded) return;
    const characters = sizeOf(entry);
    if (!this.#mayHold(entry, characters)) return;
    const next = this.#next;
    next.characters += characters;
    if (characters > BUFFER_CHARACTERS) next.releases.push(this.#held.share(entry, characters));
    else {
      // These are many: each by itself, as if nobody else had it, costs least.
      next.smallCharacters += characters;
      this.#held.change(characters);
    }
    this.#taken.push(entry);
  }

  /** What there is to tell, up to about the length of a piece. */
  #piece(): string {
    let piece = "";
    while (piece.length < PIECE_CHARACTERS) {
      if (this.#rest !== null) {
        const { value, done } = this.#rest.next();
        if (done === true) this.#rest = null;
        else piece += value;
        continue;
      }
      piece += this.#comment;
      this.#comment = "";
      const entry = this.#nextEntry();
      if (entry === null) break;
      if ("line" in entry && entry.line.length > PIECE_CHARACTERS) this.#rest = this.#longEvent(entry);
      else piece += this.#eventOf(entry);
    }
    return piece;
  }

  #nextEntry(): LogEntry | null {
    if (this.#told === this.#batch.entries.length) {
      this.#letGo(this.#batch);
      this.#batch = this.#next;
      this.#told = 0;
      this.#taken = [];
      this.#next = emptyBatch(this.#taken);
    }
    const entry = this.#batch.entries[this.#told];
    if (entry === undefined) return null;
    this.#told++;
    return entry;
  }

  /** Lets go of all that was not told. */
  #forget(): void {
    this.#letGo(this.#batch);
    this.#letGo(this.#next);
    this.#taken = [];
    this.#next = emptyBatch(this.#taken);
    this.#batch = emptyBatch([]);
    this.#told = 0;
    this.#rest = null;
    this.#comment = "";
  }

  #letGo(batch: Batch): void {
    this.#held.change(-batch.smallCharacters);
    batch.smallCharacters = 0;
    for (const release of batch.releases.splice(0)) release();
  }

  #eventOf(entry: LogEntry): string {
    const { id, key } = this.#job;
    if (!("place" in entry))
      return `id: ${endIdOf(this.#job)}\nevent: end\ndata: ${JSON.stringify(entry)}\n\n`;
    const data = JSON.stringify({ jobId: key, line: entry.line, ts: entry.timestamp });
    return `id: ${id}-${entry.place}-${entry.index}\ndata: ${data}\n\n`;
  }

  /** The same for a long line, in pieces that are made as they are sent. */
  *#longEvent({ place, index, line, timestamp }: LogLine): Generator<string> {
    const { id, key } = this.#job;
    yield `id: ${id}-${place}-${index}\ndata: {"jobId":${JSON.stringify(key)},"line":"`;
    yield* jsonPiecesOf(line);
    yield `","ts":${timestamp}}\n\n`;
  }
}

function sizeOf(entry: LogEntry): number {
  return EVENT_CHARACTERS + ("line" in entry ? entry.line.length : 0);
}
