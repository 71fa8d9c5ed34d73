/**
 * One job's log as it grows, for those who follow it: however many there are, what is new is read once.
 *
 * The log lies in the store, so there is no haste: the next page is read when the followers have taken the
 * last one, and those that hold up the others are dropped. It ends with its last follower: who comes back later goes
 * on from the store.
 */
import { NotFoundError, OverloadedError, StoreUnavailableError } from "../../../domain/errors.ts";
import type { Job, JobState } from "../../../domain/job.ts";
import { isFinal } from "../../../domain/stateMachine.ts";
import type { Engine } from "../../../engine/engine.ts";
import { decodePlace, encodePlace } from "../../../engine/logPlace.ts";
import type { JobWatch } from "../../jobWatch.ts";
import { CLOSE } from "../../socket.ts";
import type { Turns } from "../../turns.ts";
import { Channel, type Follower } from "./channel.ts";
import type { KeptBytes } from "./keptBytes.ts";
import { KeptSnapshot } from "./keptSnapshot.ts";
import { linesBegun } from "./linesBegun.ts";
import type { LiveLimits } from "./liveLimits.ts";
import type { LiveViews } from "./liveViews.ts";
import { LineAssembler, type LogLine } from "./logLines.ts";
import { earlier, isAfter, LOG_START, type LogPoint } from "./logPoint.ts";
import { pointOf, seqOf } from "./logSeq.ts";
import { type LogBeginning, type LogSnapshot, takeSnapshot } from "./logSnapshot.ts";

export type { LogPoint } from "./logPoint.ts";
export type { LogBeginning } from "./logSnapshot.ts";

/** What a message of a log is made from. */
export type LogEntry = LogLine | { readonly status: string };

export interface LogFollower extends Follower<LogEntry> {
  /** Begins with the last lines. */
  beginWith(beginning: LogBeginning): void;
  /** What it wants: all, what follows a message, or what follows a point of the log. */
  readonly from: null | { readonly seq: number } | LogPoint;
}

/** One that is to be let in, and what it knows; null is nothing. */
export interface LogGuest {
  readonly follower: LogFollower;
  readonly from: LogPoint | null;
}

export interface LogHubOptions {
  readonly job: Job;
  readonly engine: Pick<Engine, "read">;
  readonly watch: JobWatch;
  readonly views: Pick<LiveViews, "status">;
  readonly limits: LiveLimits;
  readonly kept: KeptBytes;
  /** Shared by all hubs: what many read and make at once would wait in memory. */
  readonly turns: Turns;
  readonly clock: () => number;
  /** Takes one whom this cannot serve any more: what it wants is far from here, no longer kept, or told. */
  readonly onLate: (guest: LogGuest) => void;
  /** Called when all was told that is there; another hub may take the followers over. */
  readonly onCaughtUp: () => void;
  /** Called when nobody follows any more. */
  readonly onIdle: () => void;
  readonly onFault: (error: unknown) => void;
}

/** How long after a refusal of the store it is asked again. */
const STORE_PAUSE_MS = 1_000;
/** So far apart, in chunks, followers may be that begin together. */
const NEAR_CHUNKS = 1_000;

export class LogHub {
  readonly #options: LogHubOptions;
  readonly #channel: Channel<LogEntry>;
  #pending: LogGuest[] = [];
  #assembler = new LineAssembler();
  /** Place in the log up to which all was read; null before the first look. */
  #cursor: number | null = null;
  /** All lines after this were published. */
  #start = LOG_START;
  /** The last one of them. */
  #last = LOG_START;
  #isAtEnd = false;
  /** The end of the log is not far: it was reached, and nothing has shown since that it ran away. */
  #isNear = false;
  #state: JobState;
  #isRunning = false;
  #isOver = false;
  #wake: AbortController | null = null;
  readonly #snapshot = new KeptSnapshot();
  /** The points with which followers came. */
  readonly #known = new WeakMap<object, LogPoint>();

  constructor(options: LogHubOptions) {
    this.#options = options;
    this.#state = options.job.state;
    this.#channel = new Channel<LogEntry>(options.limits, options.kept, 0);
  }

  get job(): Job {
    return this.#options.job;
  }

  /** The last line that was told. */
  get last(): LogPoint {
    return this.#last;
  }

  /** Says whether one who knows the log up to that point, or nothing, is well served here. */
  accepts(from: LogPoint | null): boolean {
    if (this.#isOver) return false;
    if (this.#cursor === null) return this.#beginsNear(from);
    if (from === null) return this.#isNear;
    return this.#hasAllAfter(from) && (this.#isNear || from.place <= this.#cursor);
  }

  /** Adds a follower; it hears of everything, its own end included, by its methods. */
  join(guest: LogGuest): void {
    this.#pending.push(guest);
    if (guest.from !== null) this.#known.set(guest.follower, guest.from);
    this.#wake?.abort();
    if (!this.#isRunning) void this.#run();
  }

  leave(follower: LogFollower): void {
    this.#pending = this.#pending.filter((guest) => guest.follower !== follower);
    this.#channel.leave(follower);
    if (!this.#isFollowed) this.#wake?.abort();
  }

  /** Lets go of those who have heard all up to `last`, where they may go. */
  release(mayGo: (follower: Follower<LogEntry>) => boolean): readonly Follower<LogEntry>[] {
    const followers = this.#channel.caughtUp.filter((follower) => {
      const known = this.#known.get(follower);
      // Who knows more than was told here is not to hear it from another.
      return mayGo(follower) && (known === undefined || !isAfter(known, this.#last));
    });
    for (const follower of followers) this.#channel.leave(follower);
    if (!this.#isFollowed) this.#wake?.abort();
    return followers;
  }

  get #isFollowed(): boolean {
    return this.#pending.length + this.#channel.size > 0;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    const { job, watch, limits, onCaughtUp, onFault, onIdle } = this.#options;
    const watcher = watch.open(job.id);
    try {
      while (this.#isFollowed && !this.#isOver) {
        try {
          await this.#step();
          if (!this.#isAtEnd || this.#pending.length > 0) continue;
          if (isFinal(this.#state)) {
            await this.#finish();
            continue;
          }
        } catch (error) {
          if (!(error instanceof StoreUnavailableError || error instanceof OverloadedError)) throw error;
          await Bun.sleep(STORE_PAUSE_MS);
          continue;
        }
        onCaughtUp();
        if (!this.#isFollowed) break;
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
      this.#snapshot.forget();
      this.#channel.close();
      onIdle();
    }
  }

  /** Reads what is new, gives it to the followers, and lets those in who wait. */
  async #step(): Promise<void> {
    await this.#options.turns.take(() => this.#look());
    await this.#channel.trimmable(() => this.#pending.length > 0);
    this.#channel.trim();
  }

  async #look(): Promise<void> {
    // All may have left before it was this one's turn.
    if (!this.#isFollowed) return;
    if (this.#cursor === null) await this.#begin();
    else await this.#advance(this.#cursor);
    // Before anything is let go of: somebody may have come for it.
    const readers = this.#pending.length > 0 ? await this.#admit() : 0;
    this.#snapshot.release(readers);
  }

  /** Those who come before the first look are of one kind: all new, or all near one point. */
  #beginsNear(from: LogPoint | null): boolean {
    const [first] = this.#pending;
    if (first === undefined || from === null || first.from === null) return first?.from === from;
    return Math.abs(from.place - first.from.place) <= NEAR_CHUNKS;
  }

  async #begin(): Promise<void> {
    await this.#forgetPointsBeyond();
    const [first, ...others] = this.#pending.flatMap(({ from }) => (from === null ? [] : [from]));
    const start = first === undefined ? null : others.reduce(earlier, first);
    const { job, engine } = this.#options;
    const assembler = start === null ? null : await linesBegun(engine.read, job.id, start.place);
    if (start === null || assembler === null) {
      // Where a line that is still open began so long ago that it was not found, all begin anew.
      this.#pending = this.#pending.map(({ follower }) => ({ follower, from: null }));
      const snapshot = await this.#takeSnapshot();
      this.#beginAfter(snapshot);
      await this.#advance(snapshot.next);
      return;
    }
    const { attempt, seq } = decodePlace(start.place);
    this.#assembler = assembler;
    this.#startAt(start);
    await this.#advance(encodePlace({ attempt, seq: Math.max(0, seq - 1) }));
  }

  /** A point of an attempt that the job has not had is none of this log. */
  async #forgetPointsBeyond(): Promise<void> {
    if (this.#pending.every(({ from }) => from === null)) return;
    const latest = Math.max(1, (await this.#options.engine.read.job(this.job.id)).attempt);
    this.#pending = this.#pending.map(({ follower, from }) => {
      const isBeyond = from !== null && decodePlace(from.place).attempt > latest;
      return { follower, from: isBeyond ? null : from };
    });
  }

  #beginAfter({ assembler, next, point }: LogSnapshot): void {
    this.#assembler = assembler;
    this.#cursor = next;
    this.#startAt(point);
  }

  #startAt(point: LogPoint): void {
    const { place, index } = point;
    this.#start = { place, index };
    this.#last = this.#start;
    this.#channel.startAt(this.#seqOf(point));
  }

  async #advance(cursor: number): Promise<void> {
    const { job, engine } = this.#options;
    const page = await engine.read.log(job.id, { after: cursor });
    this.#publish(this.#assembler.push(page.items));
    this.#cursor = page.next;
    this.#isAtEnd = page.isEnd;
    if (page.isEnd) this.#isNear = true;
    this.#state = page.state;
    this.#channel.flush();
  }

  #publish(lines: readonly LogLine[]): void {
    for (const entry of lines) {
      // It was read again for what may have begun before it.
      if (!isAfter(entry, this.#start)) continue;
      const { place, index, line, timestamp } = entry;
      this.#channel.publish("log", this.#options.clock(), { line, timestamp }, entry, this.#seqOf(entry));
      this.#last = { place, index };
    }
  }

  #seqOf(point: LogPoint): number {
    return seqOf(this.job.id, point);
  }

  /** Says whether every line after that point is kept, or still to come. */
  #hasAllAfter(point: LogPoint): boolean {
    return !isAfter(this.#start, point) && this.#seqOf(point) >= this.#channel.floor;
  }

  /**
   * Lets those in who wait: with what follows the point that they know, or with the last lines.
   *
   * @returns how many were given a snapshot
   */
  async #admit(): Promise<number> {
    const guests = new Set(this.#pending);
    const isAhead = ({ from }: LogGuest) => from !== null && from.place > (this.#cursor ?? 0);
    if (this.#pending.some(isAhead)) await this.#catchUp();
    const isNew = ({ from }: LogGuest) => from === null;
    const snapshot = this.#pending.some(isNew) ? await this.#currentSnapshot() : null;
    // Some may have left meanwhile, and others have come, whose turn is the next time.
    const here = this.#pending.filter((guest) => guests.has(guest));
    this.#pending = this.#pending.filter((guest) => !guests.has(guest));
    for (const guest of here) {
      if (guest.from !== null) this.#goOn(guest.follower, guest.from);
      else if (snapshot !== null) this.#beginWith(guest, snapshot);
    }
    return here.filter(isNew).length;
  }

  /** Some know what may have been written after the last look, or the end of an attempt that wrote nothing. */
  async #catchUp(): Promise<void> {
    const { attempt } = await this.#options.engine.read.job(this.job.id);
    await this.#advance(this.#cursor ?? 0);
    if (this.#isAtEnd) this.#cursor = Math.max(this.#cursor ?? 0, encodePlace({ attempt, seq: 0 }));
  }

  #goOn(follower: LogFollower, from: LogPoint): void {
    const aheadBy = from.place - (this.#cursor ?? 0);
    if (this.#isAtEnd && (aheadBy > 0 || this.#isToldAllAt(from))) {
      // The point is none of this log, but of another job's of this name, which was deleted; or one has heard the end,
      // and asks whether the job runs anew.
      this.#pending.push({ follower, from: null });
    } else if (!this.#hasAllAfter(from) || aheadBy > NEAR_CHUNKS) {
      if (aheadBy > NEAR_CHUNKS) this.#isNear = false;
      this.#options.onLate({ follower, from });
    } else if (aheadBy > 0) {
      this.#pending.push({ follower, from });
    } else {
      this.#channel.joinAfter(follower, ({ data }) => "place" in data && !isAfter(data, from));
    }
  }

  /** Says whether one who knows that point has heard the end of the job, too. */
  #isToldAllAt(from: LogPoint): boolean {
    const { end } = this.#assembler;
    return isFinal(this.#state) && isAfter(from, end.place > 0 ? end : this.#last);
  }

  #beginWith(guest: LogGuest, snapshot: LogSnapshot): void {
    const { point, next } = snapshot;
    const isFar = !this.#isAtEnd && next > (this.#cursor ?? 0);
    // The followers here are slow, and would hold up who comes.
    if (isFar) this.#isNear = false;
    if (isFar || !this.#hasAllAfter(point)) {
      this.#options.onLate(guest);
      return;
    }
    this.#known.set(guest.follower, point);
    guest.follower.beginWith(snapshot);
    this.#channel.joinAfter(guest.follower, ({ data }) => "place" in data && !isAfter(data, point));
  }

  /** The last lines, and what followed them is here: where they are more than a page ahead this is far behind. */
  async #currentSnapshot(): Promise<LogSnapshot> {
    const made = this.#snapshot.current;
    // What came before its readers did belongs to it.
    if (made !== null) await this.#advance(this.#cursor ?? 0);
    if (made !== null && !isAfter(this.#last, made.point)) return made;
    const snapshot = await this.#takeSnapshot();
    const cursor = this.#cursor ?? 0;
    // It began at a point that the log never had, or after the end of the job.
    const isBeyond = snapshot.next < cursor || isAfter(this.#start, snapshot.point);
    if (isBeyond && this.#channel.size === 0) this.#beginAfter(snapshot);
    else if (snapshot.next > cursor) await this.#advance(cursor);
    return snapshot;
  }

  async #takeSnapshot(): Promise<LogSnapshot> {
    const { job, engine, limits, clock } = this.#options;
    const snapshot = await takeSnapshot(engine.read, job, limits, clock);
    this.#snapshot.set(snapshot);
    return snapshot;
  }

  /** The job is final and its log was read to the end; unless it was started again meanwhile, all is told. */
  async #finish(): Promise<void> {
    const { job, engine, turns, views, clock, onLate } = this.#options;
    const { attempt } = await engine.read.job(job.id);
    await turns.take(() => this.#advance(this.#cursor ?? 0));
    if (!this.#isAtEnd || !isFinal(this.#state)) return;
    this.#publish(this.#assembler.rest());
    // After all lines so far, and before those of a later attempt, also where the last attempt wrote none.
    const begin = { place: encodePlace({ attempt, seq: 0 }), index: 0 };
    const { place, index } = isAfter(begin, this.#last) ? begin : this.#last;
    const status = views.status(this.#state);
    const seq = this.#seqOf({ place, index: index + 1 });
    this.#channel.publish("end", clock(), { status }, { status }, seq);
    this.#isOver = true;
    this.#channel.flush();
    for (const guest of this.#pending.splice(0)) onLate(guest);
    await this.#channel.endWhenTaken(CLOSE.normal, "the job has ended");
  }

  #endAll(code: number, reason: string): void {
    this.#channel.endAll(code, reason);
    for (const { follower } of this.#pending.splice(0)) follower.end(code, reason);
  }
}

/** What a follower knows by the number that it came with; null where it tells nothing of this job. */
export function knownBy({ from }: LogFollower, job: Pick<Job, "id">): LogPoint | null {
  return from !== null && "seq" in from ? pointOf(job.id, from.seq) : from;
}
