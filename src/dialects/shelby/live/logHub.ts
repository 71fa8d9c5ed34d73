/**
 * One job's log as it grows, for all who follow it: however many there are, what is new is read once.
 *
 * The log lies in the store, so there is no haste: the next page is read when the followers have taken the
 * last one, and those that hold up the others are dropped. While nobody follows, nothing is read.
 */
import { NotFoundError, OverloadedError, StoreUnavailableError } from "../../../domain/errors.ts";
import type { Job, JobState } from "../../../domain/job.ts";
import type { Engine } from "../../../engine/engine.ts";
import type { JobWatch } from "../../jobWatch.ts";
import { CLOSE } from "../../socket.ts";
import { Channel, type Follower, messageText } from "./channel.ts";
import type { KeptBytes } from "./keptBytes.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";
import { LineAssembler, type LogLine } from "./logLines.ts";
import { readTail } from "./logTail.ts";

/** What a message of a log is made from. */
export type LogEntry = LogLine | { readonly status: string };

/** Where a follower that knows the log's own places wants to go on. */
export interface LogPoint {
  readonly place: number;
  readonly index: number;
}

export interface LogFollower extends Follower<LogEntry> {
  /** Begins with the last lines; `text` is the message with them. */
  begin(text: string, lines: readonly LogLine[]): void;
  /** What it wants: all, what follows a message, or what follows a point of the log (and it skips what is before it). */
  readonly from: null | { readonly seq: number } | LogPoint;
}

export interface LogHubOptions {
  readonly job: Job;
  readonly engine: Pick<Engine, "read">;
  readonly watch: JobWatch;
  readonly views: Pick<LiveViews, "status">;
  readonly limits: LiveLimits;
  readonly kept: KeptBytes;
  readonly clock: () => number;
  /** Takes followers that came too late: the log has ended, or what they want is no longer here. */
  readonly onLate: (follower: LogFollower) => void;
  /** Called when nobody follows any more. */
  readonly onIdle: () => void;
  readonly onFault: (error: unknown) => void;
}

/** How long after a refusal of the store it is asked again. */
const STORE_PAUSE_MS = 1_000;
/** A snapshot is made once for all who come within this time. */
const SNAPSHOT_REUSE_MS = 1_000;

export class LogHub {
  readonly #options: LogHubOptions;
  readonly #channel: Channel<LogEntry>;
  readonly #pending: LogFollower[] = [];
  #assembler = new LineAssembler();
  /** Place in the log up to which all was read; null before the first look. */
  #cursor: number | null = null;
  /** Where this began to read. */
  #firstPlace = 0;
  #isAtEnd = false;
  #state: JobState;
  #isRunning = false;
  #isOver = false;
  #wake: AbortController | null = null;
  #snapshot: { readonly seq: number; readonly text: string; readonly lines: readonly LogLine[] } | null =
    null;

  constructor(options: LogHubOptions) {
    this.#options = options;
    this.#state = options.job.state;
    this.#channel = new Channel<LogEntry>(options.limits, options.kept);
  }

  /** Nobody follows: the log may have grown meanwhile. */
  get isIdle(): boolean {
    return !this.#isRunning;
  }

  /** All was told: only those go on here who come back for the rest of it. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Says whether the follower finds here what it wants, the log being followed. */
  serves(follower: LogFollower): boolean {
    const { from } = follower;
    if (this.#isOver) return this.canResume(follower);
    return from === null || "seq" in from || this.#covers(from);
  }

  /** Says whether the follower can go on from what is kept here. */
  canResume({ from }: LogFollower): boolean {
    if (from === null || !("seq" in from) || !this.#channel.has(from.seq)) return false;
    // Who has heard the end wants to know whether the job runs anew.
    return !this.#isOver || from.seq < this.#channel.head;
  }

  /** Adds a follower; it hears of everything, its own end included, by its methods. */
  join(follower: LogFollower): void {
    // Those who are there still read: who comes does not wait for them.
    if (this.#isOver && this.#isRunning) {
      this.#goOnAtEnd(follower);
      return;
    }
    this.#pending.push(follower);
    this.#wake?.abort();
    if (!this.#isRunning) void this.#run();
  }

  leave(follower: LogFollower): void {
    const at = this.#pending.indexOf(follower);
    if (at !== -1) this.#pending.splice(at, 1);
    this.#channel.leave(follower);
    this.#wake?.abort();
  }

  /** Forgets what is kept. */
  close(): void {
    this.#channel.close();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    const { job, watch, limits, onFault, onIdle } = this.#options;
    const watcher = watch.open(job.id);
    try {
      while (this.#pending.length + this.#channel.size > 0) {
        if (this.#isOver) {
          await this.#replay();
          return;
        }
        try {
          await this.#step();
        } catch (error) {
          if (!(error instanceof StoreUnavailableError || error instanceof OverloadedError)) throw error;
          await Bun.sleep(STORE_PAUSE_MS);
          continue;
        }
        if (!this.#isAtEnd || this.#pending.length > 0) continue;
        if (isFinal(this.#state)) {
          await this.#finish();
          return;
        }
        this.#wake = new AbortController();
        await watcher.next(limits.safetyPollMs, this.#wake.signal);
        this.#wake = null;
      }
    } catch (error) {
      if (error instanceof NotFoundError) this.#endAll(CLOSE.notFound, "the job was deleted");
      else {
        onFault(error);
        this.#endAll(CLOSE.internal, "something went wrong in the server; its log has the cause");
      }
    } finally {
      watcher.close();
      this.#isRunning = false;
      this.#snapshot = null;
      onIdle();
    }
  }

  /** Reads what is new, gives it to the followers, and lets those in who wait. */
  async #step(): Promise<void> {
    if (this.#cursor === null) await this.#begin();
    else await this.#advance(this.#cursor);
    // Before anything is let go of: somebody may have come for it.
    if (this.#pending.length > 0) await this.#admit();
    await this.#channel.trimmable(() => this.#pending.length > 0);
    this.#channel.trim();
  }

  async #begin(): Promise<void> {
    const { job, engine, limits } = this.#options;
    const places = this.#pending.flatMap(({ from }) =>
      from !== null && "place" in from ? [from.place] : [],
    );
    if (places.length > 0) {
      // The chunk of that place is read again: a line may begin in it.
      this.#firstPlace = Math.max(0, Math.min(...places) - 1);
      await this.#advance(this.#firstPlace);
      return;
    }
    const tail = await readTail(engine.read, job.id, limits);
    this.#assembler = tail.assembler;
    this.#cursor = tail.next;
    this.#firstPlace = tail.next;
    this.#keepSnapshot(tail.lines);
    await this.#advance(tail.next);
  }

  async #advance(cursor: number): Promise<void> {
    const { job, engine } = this.#options;
    const page = await engine.read.log(job.id, { after: cursor });
    this.#publish(this.#assembler.push(page.items));
    this.#cursor = page.next;
    this.#isAtEnd = page.isEnd;
    this.#state = page.state;
    this.#channel.flush();
  }

  #publish(lines: readonly LogLine[]): void {
    for (const line of lines) {
      const data = { line: line.line, timestamp: line.timestamp };
      this.#channel.publish("log", this.#options.clock(), data, line);
    }
  }

  /** Says whether everything after that point of the log is kept, or still to come. */
  #covers({ place, index }: LogPoint): boolean {
    if (this.#cursor === null || place >= this.#cursor) return true;
    if (this.#channel.isWhole) return place > this.#firstPlace;
    const oldest = this.#channel.messages[0]?.data;
    if (oldest === undefined || !("place" in oldest)) return false;
    return place > oldest.place || (place === oldest.place && index >= oldest.index);
  }

  /** Lets those in who wait: from what is kept, or with the last lines. */
  async #admit(): Promise<void> {
    if (this.#pending.some(({ from }) => this.#isAhead(from))) await this.#advance(this.#cursor ?? 0);
    const fresh = this.#pending.splice(0).filter((follower) => !this.#goOn(follower));
    if (fresh.length === 0) return;
    try {
      const { seq, text, lines } = await this.#currentSnapshot();
      for (const follower of fresh) {
        follower.begin(text, lines);
        this.#channel.join(follower, seq);
      }
    } catch (error) {
      this.#pending.unshift(...fresh);
      throw error;
    }
  }

  /** Lets a follower go on where it was; false when it is to begin anew. */
  #goOn(follower: LogFollower): boolean {
    const { from } = follower;
    if (from === null) return false;
    if ("seq" in from) {
      if (!this.#channel.has(from.seq)) return false;
      this.#channel.join(follower, from.seq);
      return true;
    }
    // A point that this log never had: of another job of this name, which was deleted.
    if (this.#isAtEnd && this.#isAhead(from)) return false;
    if (this.#covers(from)) this.#channel.join(follower, this.#channel.head - this.#channel.messages.length);
    else this.#options.onLate(follower);
    return true;
  }

  #isAhead(from: LogFollower["from"]): boolean {
    return from !== null && "place" in from && from.place > (this.#cursor ?? 0);
  }

  async #currentSnapshot() {
    if (this.#snapshot !== null && this.#snapshot.seq === this.#channel.head) return this.#snapshot;
    return this.#keepSnapshot(this.#isAtEnd ? await this.#storedLines() : this.#keptLines());
  }

  /** The last lines as the store has them, up to where the followers are. */
  async #storedLines(): Promise<readonly LogLine[]> {
    const { job, engine, limits } = this.#options;
    const { lines } = await readTail(engine.read, job.id, limits);
    return lines.filter(({ place }) => place <= (this.#cursor ?? 0));
  }

  /** In the midst of a log that grows fast its end is far ahead; what went out last is here. */
  #keptLines(): readonly LogLine[] {
    const { snapshotLines } = this.#options.limits;
    return this.#channel.messages
      .slice(-snapshotLines)
      .flatMap(({ data }) => ("place" in data ? [data] : []));
  }

  #keepSnapshot(lines: readonly LogLine[]) {
    const { job, clock } = this.#options;
    const logs = lines.map(({ line, timestamp }) => ({ line, timestamp }));
    const seq = this.#channel.head;
    const text = messageText("snapshot", seq, clock(), { jobId: job.key, logs });
    const snapshot = { seq, text, lines };
    this.#snapshot = snapshot;
    setTimeout(() => {
      if (this.#snapshot === snapshot) this.#snapshot = null;
    }, SNAPSHOT_REUSE_MS).unref();
    return snapshot;
  }

  /** The job is final and its log was read to the end. */
  async #finish(): Promise<void> {
    const { views, clock } = this.#options;
    this.#publish(this.#assembler.rest());
    const status = views.status(this.#state);
    this.#channel.publish("end", clock(), { status }, { status });
    this.#isOver = true;
    this.#channel.flush();
    await this.#replay();
    this.#channel.trim();
  }

  /** The log has ended; those who come back get the rest of it. */
  async #replay(): Promise<void> {
    for (const follower of this.#pending.splice(0)) this.#goOnAtEnd(follower);
    await this.#channel.endWhenTaken(CLOSE.normal, "the job has ended");
  }

  #goOnAtEnd(follower: LogFollower): void {
    const { from } = follower;
    if (this.canResume(follower) && from !== null && "seq" in from) this.#channel.join(follower, from.seq);
    else this.#options.onLate(follower);
  }

  #endAll(code: number, reason: string): void {
    this.#channel.endAll(code, reason);
    for (const follower of this.#pending.splice(0)) follower.end(code, reason);
  }
}

function isFinal(state: JobState): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}
