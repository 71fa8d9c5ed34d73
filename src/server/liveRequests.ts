/** The long polls and streams that are open, so that a closing server can end them. */
import type { LiveRequest } from "../dialects/route.ts";
import type { OpenStreams } from "./sockets/openStreams.ts";

export class LiveRequests {
  readonly #open = new Set<AbortController>();
  readonly #streams: OpenStreams;
  #isClosing = false;

  constructor(streams: OpenStreams) {
    this.#streams = streams;
  }

  /** Number of requests that are open. */
  get size(): number {
    return this.#open.size;
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
   * Enters a request whose answer is a stream that lasts.
   *
   * @throws OverloadedError when there is no room for one more
   */
  enterStream(request: Request): LiveRequest {
    const leave = this.#streams.enter();
    const live = this.enter(request);
    const left = (end: () => void) => () => {
      leave();
      end();
    };
    live.signal.addEventListener("abort", leave);
    if (live.signal.aborted) leave();
    return { signal: live.signal, done: left(live.done), abort: left(live.abort) };
  }

  /** Ends all of them, and every one that comes later. */
  endAll(): void {
    this.#isClosing = true;
    for (const controller of this.#open) controller.abort();
    this.#open.clear();
  }
}
