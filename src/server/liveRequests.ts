/** The long polls and streams that are open, so that a closing server can end them. */
import type { LiveStream } from "../dialects/liveStream.ts";
import type { LiveRequest } from "../dialects/route.ts";
import { OpenStream, type OpenStreamLimits } from "./openStream.ts";
import type { OpenStreams } from "./sockets/openStreams.ts";
import type { ConnectionEnds } from "./sockets/sendQueues.ts";

/** Why streams end, as their readers are told. */
const REVOKED = "the API key is no longer known here, or its role no longer reaches as far";
const CLOSING = "the server closes: come back";

export interface LiveRequestsLimits extends OpenStreamLimits {
  /** How often it is looked whether the keys of open streams are still good, and who reads. */
  readonly socketCheckMs: number;
}

export class LiveRequests {
  readonly #open = new Set<AbortController>();
  readonly #streams: OpenStreams;
  readonly #limits: LiveRequestsLimits;
  /** The streams that are open, each with the way to ask whether it may go on. */
  readonly #checks = new Map<OpenStream, () => boolean>();
  readonly #timer: Timer;
  #isClosing = false;

  constructor(streams: OpenStreams, limits: LiveRequestsLimits) {
    this.#streams = streams;
    this.#limits = limits;
    this.#timer = setInterval(() => this.#check(), limits.socketCheckMs);
    this.#timer.unref();
  }

  /** Number of requests that are open. */
  get size(): number {
    return this.#open.size + this.#checks.size;
  }

  /** Enters a request; its signal is aborted when its client goes away or the server closes. */
  enter(request: Request): LiveRequest {
    const controller = new AbortController();
    const gone = () => controller.abort();
    if (this.#isClosing || request.signal.aborted) controller.abort();
    else {
      this.#open.add(controller);
      request.signal.addEventListener("abort", gone);
    }
    const done = () => {
      this.#open.delete(controller);
      request.signal.removeEventListener("abort", gone);
    };
    const abort = () => {
      done();
      controller.abort();
    };
    return { signal: controller.signal, done, abort };
  }

  /**
   * Enters a request whose answer is a stream that lasts. It is counted until that was sent to its end or its
   * connection is gone.
   *
   * @param ends of its connection, where they are known
   * @param lasting the way to ask whether its key is still good: it is ended when it is not
   * @param cut has its connection closed within seconds
   * @throws OverloadedError when there is no room for one more
   */
  enterStream(
    request: Request,
    ends: ConnectionEnds | null,
    lasting: Promise<() => boolean>,
    cut: () => void,
  ): LiveStream {
    const leaveRoom = this.#streams.enter();
    const stream = new OpenStream({
      ...{ clientSignal: request.signal, limits: this.#limits, held: this.#streams.held, cut },
      progress: this.#streams.watch(ends),
      onOver: (over) => {
        this.#checks.delete(over);
        leaveRoom();
      },
    });
    if (stream.isOver) return stream;
    this.#checks.set(stream, () => true);
    lasting.then(
      (mayGoOn) => {
        if (!stream.isOver) this.#checks.set(stream, mayGoOn);
      },
      // Its token was good a moment ago, and is not any more.
      () => stream.drop(REVOKED),
    );
    if (this.#isClosing) stream.drop(CLOSING);
    return stream;
  }

  /** Ends the streams whose key is no longer good, and those whose readers stand still. */
  #check(): void {
    for (const [stream, mayGoOn] of this.#checks) {
      if (!mayGoOn()) stream.drop(REVOKED);
      else void stream.dropIfStill();
    }
  }

  /** Ends all of them, and every one that comes later. */
  endAll(): void {
    this.#isClosing = true;
    clearInterval(this.#timer);
    for (const controller of this.#open) controller.abort();
    this.#open.clear();
    for (const stream of this.#checks.keys()) stream.drop(CLOSING);
  }
}
