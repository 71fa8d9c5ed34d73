/**
 * The messages of one stream, made once for all who follow it, and the place of each follower in them.
 *
 * Nothing piles up: a follower takes messages as its reader does, and what it has not taken waits here, once
 * for all. The others go on as long as that fits into what is kept. Who holds them up for too long, or falls behind
 * what is kept, is dropped with a reason. Who is in nobody's way is not: whether its reader still reads, its
 * connection knows better.
 */
import { CLOSE } from "../../socket.ts";
import type { KeptBytes } from "./keptBytes.ts";

/** One message: as it travels, and what it was made from, for other forms of it. */
export interface Message<D> {
  readonly seq: number;
  readonly text: string;
  readonly data: D;
}

/** One reader. */
export interface Follower<D> {
  /**
   * Takes messages in order, from an index on, as many as there is room for.
   *
   * @returns how many; after fewer than all `onRoom` is to be called when there is room
   */
  take(messages: readonly Message<D>[], from: number): number;
  /** Ends it with one of `CLOSE`. */
  end(code: number, reason: string): void;
  /** Set by the channel. */
  onRoom: (() => void) | null;
}

export interface ChannelLimits {
  readonly slowReaderMs: number;
  readonly stalledReaderMs: number;
  readonly maxKeptMessages: number;
  readonly maxKeptBytes: number;
}

interface Place<D> {
  /** How many messages of the stream it has behind it. */
  taken: number;
  movedAtMs: number;
  /** For how long the others have waited for this one. */
  heldMs: number;
  /** Says what it knew when it came, and which it is not given again; null as soon as something else comes. */
  isKnown: ((message: Message<D>) => boolean) | null;
}

/** What a message costs beside its text, about. */
const MESSAGE_BYTES = 200;
const MAX_TICK_MS = 100;
/** 2024-01-01. */
const EPOCH_MS = 1_704_067_200_000;
/** So many numbers for each second: no stream is that fast, and two that begin together hardly ever meet. */
const SEQS_PER_SECOND = 2 ** 24;

/** Largest number that any stream of this server was given by counting. */
let largestSeq = 0;

/**
 * Where a stream begins to count. The time is in it, so that a number from before a restart, or from another
 * server, is hardly ever taken for one of this stream; and it is above all that were given here before.
 */
function firstSeq(): number {
  const seconds = Math.floor((Date.now() - EPOCH_MS) / 1_000);
  const seq = seconds * SEQS_PER_SECOND + Math.floor(Math.random() * SEQS_PER_SECOND);
  largestSeq = Math.max(seq, largestSeq + 1);
  return largestSeq;
}

export class Channel<D> {
  readonly #limits: ChannelLimits;
  readonly #kept: KeptBytes;
  readonly #messages: Message<D>[] = [];
  readonly #followers = new Map<Follower<D>, Place<D>>();
  readonly #laggards = new Set<Follower<D>>();
  #head: number;
  /** Number of the last message that is no longer here, or what came before the first one. */
  #floor: number;
  /** How many messages there were. */
  #published = 0;
  #bytes = 0;
  #timer: Timer | null = null;
  /** Those whose next message is to be let go of, while that is waited for. */
  readonly #blockers = new Set<Follower<D>>();
  /** How many messages will have been let go of then. */
  #blocked = 0;
  #unblocked: (() => void) | null = null;
  #areOthersWaiting: () => boolean = () => false;
  /** How followers end that have taken all; null as long as more may come. */
  #ending: { readonly code: number; readonly reason: string } | null = null;
  #allEnded: (() => void) | null = null;

  /** @param start the number before the first one, where the messages have numbers of their own; absent counts */
  constructor(limits: ChannelLimits, kept: KeptBytes, start: number = firstSeq()) {
    this.#limits = limits;
    this.#kept = kept;
    this.#head = start;
    this.#floor = start;
    kept.enter(this);
  }

  /** Number of the last message. */
  get head(): number {
    return this.#head;
  }

  /** Number of followers. */
  get size(): number {
    return this.#followers.size;
  }

  /** Size of what is kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What is kept, oldest first. */
  get messages(): readonly Message<D>[] {
    return this.#messages;
  }

  /** Number of the message after which all are still here. */
  get floor(): number {
    return this.#floor;
  }

  /** Those who have taken all. */
  get caughtUp(): readonly Follower<D>[] {
    return [...this.#followers].flatMap(([follower, { taken }]) =>
      taken === this.#published ? [follower] : [],
    );
  }

  /** Forgets all messages and counts on from that number; nobody may be following. */
  startAt(seq: number): void {
    this.#count(-this.#bytes);
    this.#messages.length = 0;
    this.#head = seq;
    this.#floor = seq;
  }

  /**
   * Adds a message; `flush` gives it to the followers.
   *
   * @param seq its number, where messages have numbers of their own: it is raised where it would not grow; absent counts
   */
  publish(type: string, time: number, data: unknown, source: D, seq?: number): void {
    this.#head = Math.max(this.#head + 1, seq ?? 0);
    if (seq === undefined) largestSeq = Math.max(largestSeq, this.#head);
    this.#published++;
    const text = messageText(type, this.#head, time, data);
    this.#messages.push({ seq: this.#head, text, data: source });
    this.#count(text.length + MESSAGE_BYTES);
  }

  /** Says whether everything after that message is still here. */
  has(seq: number): boolean {
    return Number.isSafeInteger(seq) && seq <= this.#head && seq >= this.#floor;
  }

  /** Lets a follower go on after that message, which `has` must have said is possible. */
  join(follower: Follower<D>, seq: number): void {
    this.joinAfter(follower, (message) => message.seq <= seq);
  }

  /** Lets a follower go on after the messages that it knows: the first ones of those kept and of those to come, or none. */
  joinAfter(follower: Follower<D>, isKnown: (message: Message<D>) => boolean): void {
    let known = 0;
    let end = this.#messages.length;
    while (known < end) {
      const middle = (known + end) >> 1;
      const message = this.#messages[middle];
      if (message !== undefined && isKnown(message)) known = middle + 1;
      else end = middle;
    }
    const taken = this.#gone + known;
    this.#followers.set(follower, { taken, movedAtMs: performance.now(), heldMs: 0, isKnown });
    follower.onRoom = () => this.#pump(follower);
    this.#pump(follower);
  }

  leave(follower: Follower<D>): void {
    follower.onRoom = null;
    this.#followers.delete(follower);
    this.#caughtUp(follower);
    this.#outOfTheWay(follower);
    if (this.#followers.size === 0) this.#allEnded?.();
  }

  /** Gives every follower what is new. */
  flush(): void {
    for (const follower of this.#followers.keys()) {
      if (!this.#laggards.has(follower)) this.#pump(follower);
    }
  }

  /**
   * Resolves when `trim` lets go of nothing that a follower still needs. Those who are in its way for too long are
   * dropped.
   *
   * @param areOthersWaiting says whether somebody waits who does not follow yet
   */
  async trimmable(areOthersWaiting: () => boolean = () => false): Promise<void> {
    for (const place of this.#followers.values()) place.heldMs = Math.max(0, place.heldMs - MAX_TICK_MS);
    const excess = this.#excess();
    if (this.#laggards.size === 0 || excess === 0) return;
    this.#blocked = this.#gone + excess;
    for (const follower of this.#laggards) {
      const place = this.#followers.get(follower);
      if (place !== undefined && place.taken < this.#blocked) this.#blockers.add(follower);
    }
    if (this.#blockers.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#unblocked = resolve;
    this.#areOthersWaiting = areOthersWaiting;
    // Some may have stood still for long already.
    this.#lookAtLaggards();
    await promise;
    this.#unblocked = null;
  }

  /** Lets go of what is over the limits, and drops the followers that still needed it. */
  trim(): void {
    const drop = this.#excess();
    if (drop === 0) return;
    this.#floor = this.#messages[drop - 1]?.seq ?? this.#floor;
    let bytes = 0;
    for (const message of this.#messages.splice(0, drop)) bytes += sizeOf(message);
    this.#count(-bytes);
    for (const follower of this.#laggards) this.#pump(follower);
  }

  /** How many messages were let go of. */
  get #gone(): number {
    return this.#published - this.#messages.length;
  }

  /** How many messages are over the limits. */
  #excess(): number {
    const { maxKeptMessages, maxKeptBytes } = this.#limits;
    const maxBytes = Math.min(maxKeptBytes, this.#kept.share);
    let drop = Math.max(0, this.#messages.length - maxKeptMessages);
    let bytes = this.#bytes;
    for (let at = 0; at < drop; at++) bytes -= sizeOf(this.#messages[at]);
    while (bytes > maxBytes && drop < this.#messages.length) {
      bytes -= sizeOf(this.#messages[drop]);
      drop++;
    }
    return drop;
  }

  /** No more messages come: ends every follower when it has taken all. Resolves when none is left. */
  async endWhenTaken(code: number, reason: string): Promise<void> {
    this.#ending = { code, reason };
    for (const [follower, place] of [...this.#followers]) this.#endIfTaken(follower, place);
    if (this.#followers.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#allEnded = resolve;
    await promise;
    this.#allEnded = null;
  }

  /** Ends all followers. */
  endAll(code: number, reason: string): void {
    for (const follower of [...this.#followers.keys()]) this.#drop(follower, code, reason);
  }

  /** Forgets all messages; nobody may be following. */
  close(): void {
    this.endAll(CLOSE.goingAway, "the stream has ended");
    this.#messages.length = 0;
    this.#count(-this.#bytes);
    this.#kept.leave(this);
  }

  #pump(follower: Follower<D>): void {
    const place = this.#followers.get(follower);
    if (place === undefined) return;
    this.#skipKnown(place);
    const from = place.taken - this.#gone;
    if (from < 0) {
      this.#drop(follower, CLOSE.tooSlow, "the reader is too slow: what it needs next is no longer kept");
      return;
    }
    const taken = from === this.#messages.length ? 0 : follower.take(this.#messages, from);
    place.taken += taken;
    if (taken > 0) place.movedAtMs = performance.now();
    if (place.taken >= this.#blocked) this.#outOfTheWay(follower);
    if (place.taken === this.#published) {
      this.#caughtUp(follower);
      this.#endIfTaken(follower, place);
    }
    // It may have ended while it took.
    else if (this.#followers.has(follower)) this.#fellBehind(follower, place);
  }

  #skipKnown(place: Place<D>): void {
    for (let message = this.#messages[place.taken - this.#gone]; place.isKnown !== null && message; ) {
      if (!place.isKnown(message)) {
        place.isKnown = null;
        return;
      }
      place.taken++;
      message = this.#messages[place.taken - this.#gone];
    }
  }

  #endIfTaken(follower: Follower<D>, { taken }: Place<D>): void {
    if (this.#ending === null || taken !== this.#published || !this.#followers.has(follower)) return;
    this.#drop(follower, this.#ending.code, this.#ending.reason);
  }

  #fellBehind(follower: Follower<D>, place: Place<D>): void {
    if (this.#laggards.has(follower)) return;
    place.movedAtMs = performance.now();
    this.#laggards.add(follower);
    this.#timer ??= setInterval(() => this.#lookAtLaggards(), this.#tickMs);
  }

  #caughtUp(follower: Follower<D>): void {
    if (!this.#laggards.delete(follower) || this.#laggards.size > 0) return;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #outOfTheWay(follower: Follower<D>): void {
    if (this.#blockers.delete(follower) && this.#blockers.size === 0) this.#unblocked?.();
  }

  get #tickMs(): number {
    const { slowReaderMs, stalledReaderMs } = this.#limits;
    return Math.min(MAX_TICK_MS, Math.max(1, Math.min(slowReaderMs, stalledReaderMs) / 4));
  }

  #lookAtLaggards(): void {
    const { slowReaderMs, stalledReaderMs } = this.#limits;
    // Who reads all the time may be slow as long as most are: somebody is always the fastest.
    const areMostWaiting = this.#blockers.size * 2 <= this.#followers.size;
    const isAnyWaiting = this.#blockers.size < this.#followers.size || this.#areOthersWaiting();
    for (const follower of [...this.#laggards]) {
      const place = this.#followers.get(follower);
      if (place === undefined) continue;
      const isInTheWay = this.#blockers.has(follower);
      if (isInTheWay && areMostWaiting) place.heldMs += this.#tickMs;
      const stillMs = performance.now() - place.movedAtMs;
      if (isInTheWay && isAnyWaiting && stillMs > stalledReaderMs && stalledReaderMs < slowReaderMs) {
        this.#drop(
          follower,
          CLOSE.tooSlow,
          `the reader is too slow: it took nothing for ${stalledReaderMs} ms, and held up others`,
        );
      } else if (place.heldMs > slowReaderMs) {
        this.#drop(
          follower,
          CLOSE.tooSlow,
          `the reader is too slow: it held up others for ${slowReaderMs} ms`,
        );
      }
    }
  }

  #drop(follower: Follower<D>, code: number, reason: string): void {
    this.leave(follower);
    follower.end(code, reason);
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#kept.add(bytes);
  }
}

/** A message as it travels. `time` is in milliseconds here, in seconds there. */
export function messageText(type: string, seq: number, time: number, data: unknown): string {
  return JSON.stringify({ type, seq, time: Math.floor(time / 1_000), data });
}

function sizeOf(message: Message<unknown> | undefined): number {
  return message === undefined ? 0 : message.text.length + MESSAGE_BYTES;
}
