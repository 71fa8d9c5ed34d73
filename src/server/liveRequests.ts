/** The long polls and streams that are open, so that a closing server can end them. */
import type { LiveRequest } from "../dialects/route.ts";
import type { OpenStreams } from "./sockets/openStreams.ts";

export class LiveRequests {
  readonly #open = new Set<AbortController>();
  readonly #streams: OpenStreams;
  /** Ways to ask whether a stream may go on, by what ends it. */
  readonly #checks = new Map<AbortController, () => boolean>();
  readonly #timer: Timer;
  #isClosing = false;

  /** @param checkMs how often it is looked whether the keys of open streams are still good */
  constructor(streams: OpenStreams, checkMs: number) {
    this.#streams = streams;
    this.#timer = setInterval(() => this.#check(), checkMs);
    this.#timer.unref();
  }

  /** Number of requests that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** Enters a request; its signal is aborted when its client goes away or the server closes. */
  enter(request: Request): LiveRequest {
    return this.#enter(request, new AbortController());
  }

  #enter(request: Request, controller: AbortController): LiveRequest {
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
   * Enters a request whose answer is a stream that lasts.
   *
   * @param lasting the way to ask whether its key is still good: it is ended when it is not
   * @throws OverloadedError when there is no room for one more
   */
  enterStream(request: Request, lasting: Promise<() => boolean>): LiveRequest {
    const leaveRoom = this.#streams.enter();
    const controller = new AbortController();
    let isOpen = true;
    const leave = () => {
      isOpen = false;
      this.#checks.delete(controller);
      leaveRoom();
    };
    lasting.then(
      (mayGoOn) => {
        if (isOpen) this.#checks.set(controller, mayGoOn);
      },
      // Its token was good a moment ago, and is not any more.
      () => controller.abort(),
    );
    const live = this.#enter(request, controller);
    const left = (end: () => void) => () => {
      leave();
      end();
    };
    live.signal.addEventListener("abort", leave);
    if (live.signal.aborted) leave();
    return { signal: live.signal, done: left(live.done), abort: left(live.abort) };
  }

  #check(): void {
    for (const [controller, mayGoOn] of this.#checks) if (!mayGoOn()) controller.abort();
  }

  /** Ends all of them, and every one that comes later. */
  endAll(): void {
    this.#isClosing = true;
    clearInterval(this.#timer);
    for (const controller of this.#open) controller.abort();
    this.#open.clear();
  }
}
