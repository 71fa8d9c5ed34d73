/**
 * A stream of changes of something that can be read whole: first what it is, then what changes. However many
 * follow it, it is read once.
 */
import { OverloadedError, StoreUnavailableError } from "../../../domain/errors.ts";
import type { EngineEvent } from "../../../engine/engine.ts";
import { CLOSE } from "../../socket.ts";
import { Channel, type Follower, messageText } from "./channel.ts";
import type { KeptBytes } from "./keptBytes.ts";
import type { LiveLimits } from "./liveLimits.ts";

/** A message to be sent. */
export interface Change {
  readonly type: string;
  readonly data: unknown;
}

/** What is followed. */
export interface ChangeSource {
  /** Takes note of what the engine did; says whether something of this may have changed. */
  hear(events: readonly EngineEvent[]): boolean;
  /** All as it is. */
  snapshot(): Promise<unknown>;
  /**
   * What changed since the last call.
   *
   * @param isPoll no news came for a while: look all the same
   */
  changes(isPoll: boolean): Promise<readonly Change[]>;
  /** Least time between two calls of `changes`. */
  readonly pauseMs: number;
  /** When `changes` is to be called although nothing new is heard; null is not before something is. */
  readonly dueInMs: number | null;
  /** Nobody follows any more. */
  forget(): void;
}

export interface ChangeFollower extends Follower<null> {
  begin(text: string): void;
  readonly from: { readonly seq: number } | null;
}

export interface ChangeHubOptions {
  readonly source: ChangeSource;
  readonly subscribe: (listener: (events: readonly EngineEvent[]) => void) => () => void;
  readonly limits: LiveLimits;
  readonly kept: KeptBytes;
  readonly clock: () => number;
  readonly onFault: (error: unknown) => void;
}

/** How long after a failure it is tried again. */
const FAULT_PAUSE_MS = 1_000;
/** A snapshot is made once for all who come within this time. */
const SNAPSHOT_REUSE_MS = 1_000;
/** Failures in a row after which the followers are sent away. */
const MAX_FAULTS = 5;

const UNAVAILABLE = [CLOSE.unavailable, "the store does not answer; come back later"] as const;
const FAULT = [CLOSE.internal, "something went wrong in the server; its log has the cause"] as const;

export class ChangeHub {
  readonly #options: ChangeHubOptions;
  #channel: Channel<null> | null = null;
  readonly #pending: ChangeFollower[] = [];
  #hasNews = false;
  #wake: (() => void) | null = null;
  #leftAtMs = 0;
  #polledAtMs = 0;
  #snapshot: { readonly seq: number; readonly atMs: number; readonly text: string } | null = null;
  #isClosed = false;

  constructor(options: ChangeHubOptions) {
    this.#options = options;
  }

  /** Adds a follower. */
  join(follower: ChangeFollower): void {
    this.#pending.push(follower);
    this.#wake?.();
    if (this.#channel === null) void this.#run();
  }

  leave(follower: ChangeFollower): void {
    const at = this.#pending.indexOf(follower);
    if (at !== -1) this.#pending.splice(at, 1);
    this.#channel?.leave(follower);
    this.#leftAtMs = performance.now();
  }

  async #run(): Promise<void> {
    const { source, subscribe, limits, kept, onFault } = this.#options;
    const channel = new Channel<null>(limits, kept);
    this.#channel = channel;
    this.#polledAtMs = performance.now();
    const unsubscribe = subscribe((events) => {
      if (!source.hear(events)) return;
      this.#hasNews = true;
      this.#wake?.();
    });
    let faults = 0;
    while (this.#isWanted(channel)) {
      try {
        await this.#step(channel);
        faults = 0;
      } catch (error) {
        if (this.#isClosed) break;
        const isStoreAway = error instanceof StoreUnavailableError || error instanceof OverloadedError;
        if (!isStoreAway) onFault(error);
        faults++;
        if (faults >= MAX_FAULTS) this.#endAll(channel, isStoreAway ? UNAVAILABLE : FAULT);
        await pause(FAULT_PAUSE_MS);
      }
    }
    unsubscribe();
    source.forget();
    channel.close();
    this.#channel = null;
    this.#snapshot = null;
    // Who came while it ended.
    if (this.#pending.length > 0 && !this.#isClosed) void this.#run();
  }

  /** Ends it for good: the server closes. */
  close(): void {
    this.#isClosed = true;
    this.#wake?.();
  }

  /** Goes on for a while when the last one has left, for those who come back. */
  #isWanted(channel: Channel<null>): boolean {
    if (this.#isClosed) return false;
    if (this.#pending.length + channel.size > 0) return true;
    return performance.now() - this.#leftAtMs < this.#options.limits.lingerMs;
  }

  async #step(channel: Channel<null>): Promise<void> {
    const { source, limits, clock } = this.#options;
    const pollInMs = () => limits.safetyPollMs - (performance.now() - this.#polledAtMs);
    // Who waits comes first: what changed meanwhile is in what it begins with.
    if (this.#pending.length > 0) await this.#admit(channel);
    if (!this.#hasNews) await this.#news(Math.min(pollInMs(), source.dueInMs ?? Number.POSITIVE_INFINITY));
    if (this.#pending.length > 0) await this.#admit(channel);
    const isPoll = pollInMs() <= 0;
    if (!this.#hasNews && !isPoll && source.dueInMs !== 0) return;
    if (isPoll) this.#polledAtMs = performance.now();
    this.#hasNews = false;
    for (const { type, data } of await source.changes(isPoll)) channel.publish(type, clock(), data, null);
    channel.flush();
    channel.trim();
    await Promise.race([pause(source.pauseMs), this.#arrival()]);
  }

  /** Lets those in who wait: from what is kept, or with all as it is. */
  async #admit(channel: Channel<null>): Promise<void> {
    const waiting = [...this.#pending];
    const isNew = ({ from }: ChangeFollower) => from === null || !channel.has(from.seq);
    const text = waiting.some(isNew) ? await this.#currentSnapshot(channel) : "";
    for (const follower of waiting) {
      const at = this.#pending.indexOf(follower);
      // It may have left meanwhile.
      if (at === -1) continue;
      this.#pending.splice(at, 1);
      if (isNew(follower)) {
        follower.begin(text);
        channel.join(follower, channel.head);
      } else channel.join(follower, follower.from?.seq ?? channel.head);
    }
  }

  /** Made once for all who come before anything changes. */
  async #currentSnapshot(channel: Channel<null>): Promise<string> {
    const { source, clock } = this.#options;
    const now = performance.now();
    const made = this.#snapshot;
    const isGood = made !== null && made.seq === channel.head && now - made.atMs < SNAPSHOT_REUSE_MS;
    if (isGood && !this.#hasNews) return made.text;
    const text = messageText("snapshot", channel.head, clock(), await source.snapshot());
    this.#snapshot = { seq: channel.head, atMs: now, text };
    return text;
  }

  /** Resolves when something happened or somebody came, or when the time is over. */
  async #news(timeoutMs: number): Promise<void> {
    // Some came while others were let in: their turn.
    if (timeoutMs <= 0 || this.#isClosed || this.#pending.length > 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, timeoutMs);
    // A server that closes does not wait for this.
    timer.unref();
    await promise;
    clearTimeout(timer);
    this.#wake = null;
  }

  /** Resolves when somebody waits to be let in. */
  #arrival(): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.#pending.length > 0) resolve();
        else this.#wake = look;
      };
      look();
    });
  }

  #endAll(channel: Channel<null>, [code, reason]: readonly [code: number, reason: string]): void {
    channel.endAll(code, reason);
    for (const follower of this.#pending.splice(0)) follower.end(code, reason);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms).unref());
}
