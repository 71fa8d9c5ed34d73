/** The long polls and streams that are open, so that a closing server can end them. */
import type { LiveRequest } from "../dialects/route.ts";

export class LiveRequests {
  readonly #open = new Set<AbortController>();
  #isClosing = false;

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

  /** Ends all of them, and every one that comes later. */
  endAll(): void {
    this.#isClosing = true;
    for (const controller of this.#open) controller.abort();
    this.#open.clear();
  }
}
