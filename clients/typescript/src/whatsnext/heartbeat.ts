/** Signs of life at a steady pace, one at a time. */
import { pause } from "../backoff.ts";
import type { CallOptions } from "./connection.ts";
import { HttpError } from "./errors.ts";

export interface HeartbeatOptions {
  readonly heartbeatIntervalMs: number;
  readonly log: (line: string) => void;
}

/** What a heartbeat speaks for: a `Client`. */
export interface Living {
  readonly name: string;
  register(call: CallOptions): Promise<void>;
  heartbeat(call: CallOptions): Promise<void>;
}

/** Begins when it is made; a server that has forgotten the client (404) is told again who it is. */
export class Heartbeat {
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;

  constructor(living: Living, options: HeartbeatOptions) {
    this.#ended = this.#beat(living, options, this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
  }

  async #beat(living: Living, options: HeartbeatOptions, signal: AbortSignal): Promise<void> {
    let isFailing = false;
    while (!signal.aborted) {
      try {
        await pause(options.heartbeatIntervalMs, signal);
        await beatOnce(living, signal);
        if (isFailing) options.log(`client "${living.name}": heartbeats arrive again`);
        isFailing = false;
      } catch (error) {
        if (signal.aborted) return;
        if (!isFailing) options.log(`client "${living.name}": no heartbeat arrives: ${String(error)}`);
        isFailing = true;
      }
    }
  }
}

async function beatOnce(living: Living, signal: AbortSignal): Promise<void> {
  try {
    await living.heartbeat({ signal });
  } catch (error) {
    if (!(error instanceof HttpError) || error.status !== 404) throw error;
    await living.register({ signal });
  }
}
