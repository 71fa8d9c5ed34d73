/** Server-Sent Events as the WHATWG HTML standard defines them (section 9.2), read from a byte stream. */

export interface ServerSentEvent {
  /** `message` unless the server named another. */
  event: string;
  data: string;
  /** Last id seen in the stream, this event's own or an earlier one's; "" when there was none. */
  id: string;
}

/** An event larger than this is refused, so that a broken stream cannot fill the memory. */
const MAX_EVENT_CHARACTERS = 64 * 1024 * 1024;

/**
 * Yields the events of `body` as they come. Ends when the body ends; what is left of an unfinished event is
 * dropped, as the standard asks. Comments wake nobody but reset `idleTimeoutMs`, after which the stream is
 * given up with an error.
 */
export async function* serverSentEvents(
  body: ReadableStream<Uint8Array>,
  idleTimeoutMs: number,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await withinIdleTime(reader, idleTimeoutMs);
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    // Not awaited: cancelling a stream of a dead connection may never settle.
    reader.cancel().catch(() => {});
  }
}

async function withinIdleTime(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  idleTimeoutMs: number,
): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const idle = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came for ${idleTimeoutMs} ms`)), idleTimeoutMs);
  });
  try {
    return await Promise.race([reader.read(), idle]);
  } finally {
    clearTimeout(timer);
  }
}

/** Turns text, cut anywhere, into events. */
export class EventParser {
  #rest = "";
  #event = "";
  #data: string[] = [];
  #size = 0;
  #id = "";

  /** Takes the next piece of the stream and returns the events it completes. */
  push(text: string): ServerSentEvent[] {
    const events: ServerSentEvent[] = [];
    let buffer = this.#rest + text;
    // A carriage return at the very end may be half of a CRLF: wait for what follows.
    const held = buffer.endsWith("\r") ? "\r" : "";
    if (held !== "") buffer = buffer.slice(0, -1);
    const lines = buffer.split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + held;
    for (const line of lines) {
      const event = this.#line(line);
      if (event !== null) events.push(event);
    }
    if (this.#rest.length + this.#size > MAX_EVENT_CHARACTERS)
      throw new Error("a server-sent event is too large");
    return events;
  }

  #line(line: string): ServerSentEvent | null {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon === -1 ? line : line.slice(0, colon);
    const raw = colon === -1 ? "" : line.slice(colon + 1);
    const value = raw.startsWith(" ") ? raw.slice(1) : raw;
    if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    }
    return null;
  }

  #dispatch(): ServerSentEvent | null {
    const event = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    // An event without a data line is none, except our `end`, which may come without one.
    const isEvent = this.#data.length > 0 || this.#event === "end";
    this.#event = "";
    this.#data = [];
    this.#size = 0;
    return isEvent ? event : null;
  }
}
