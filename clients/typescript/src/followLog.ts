/** A job's log while it grows: Server-Sent Events over fetch, taken up again where a connection broke. */
import { backoffMs, pause } from "./backoff.ts";
import { ConnectionError, YardmasterError } from "./errors.ts";
import { serverSentEvents } from "./sse.ts";
import type { Transport } from "./transport.ts";
import type { LogChunk } from "./types.ts";

export interface FollowLogOptions {
  /** Attempt to read; absent is the latest, going on into later ones. */
  attempt?: number | undefined;
  stream?: "stdout" | "stderr" | undefined;
  /** Only chunks after this `seq`. */
  after?: number | undefined;
  /** Begin with the last lines, this many. */
  tail?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Yields the chunks of a log, those there already and those to come, until the job is final. A lost
 * connection is opened again after the last chunk seen; `maxRetries` failures in a row without a new chunk
 * end it with the last error.
 */
export async function* followLog(
  transport: Transport,
  path: string,
  options: FollowLogOptions,
  idleTimeoutMs: number,
): AsyncGenerator<LogChunk, void, undefined> {
  const { signal } = options;
  const { maxRetries, maxRetryPauseMs } = transport.options;
  let lastEventId = "";
  let failures = 0;
  for (;;) {
    try {
      const response = await transport.response({
        method: "GET",
        path,
        // After a break the last id says it all; `tail` and `after` spoke of the beginning.
        query: {
          follow: true,
          attempt: options.attempt,
          stream: options.stream,
          after: lastEventId === "" ? options.after : undefined,
          tail: lastEventId === "" ? options.tail : undefined,
        },
        headers: {
          Accept: "text/event-stream",
          ...(lastEventId === "" ? {} : { "Last-Event-ID": lastEventId }),
        },
        retry: "never",
        signal,
      });
      if (response.body === null) throw new ConnectionError(`GET ${path}: the answer has no body`);
      for await (const event of serverSentEvents(response.body, idleTimeoutMs)) {
        failures = 0;
        if (event.id !== "") lastEventId = event.id;
        if (event.event === "end") return;
        if (event.data === "") continue;
        const chunk: LogChunk = JSON.parse(event.data);
        yield chunk;
      }
      throw new ConnectionError(`GET ${path}: the connection ended before the job did`);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (error instanceof YardmasterError && ![429, 502, 503, 504].includes(error.status)) throw error;
      if (error instanceof SyntaxError) throw error;
      if (failures >= maxRetries) throw error;
      const askedMs = error instanceof YardmasterError ? (error.retryAfterMs ?? 0) : 0;
      await pause(Math.max(askedMs, backoffMs(failures, maxRetryPauseMs)), signal);
      failures += 1;
    }
  }
}
