/** A log as Server-Sent Events. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey, keyFilePath, revokeKeys } from "../../../src/server/access/keyFile.ts";
import { type LiveServer, startLive } from "./liveServer.ts";

interface Event {
  readonly id: string;
  readonly event: string;
  readonly data: {
    readonly jobId: string;
    readonly line: string;
    readonly ts: number;
    readonly status: string;
  };
}

/** An event stream, read as it comes. */
class Events implements AsyncDisposable {
  readonly events: Event[] = [];
  /** The last comment of the server. */
  comment = "";
  readonly response: Response;
  readonly #abort: AbortController;
  #text = "";
  #reader: ReadableStreamDefaultReader<Uint8Array> | null;
  readonly #decoder = new TextDecoder();

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    this.#reader = response.status === 200 ? (response.body?.getReader() ?? null) : null;
  }

  static async open(server: LiveServer, jobId: string, lastEventId?: string): Promise<Events> {
    const abort = new AbortController();
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (lastEventId !== undefined) headers["last-event-id"] = lastEventId;
    const response = await fetch(`${server.url}/api/frontend/stream-logs/${jobId}`, {
      headers,
      signal: abort.signal,
    });
    return new Events(response, abort);
  }

  /** Reads until there are so many events, or to the end. */
  async take(count: number): Promise<readonly Event[]> {
    while (this.events.length < count && this.#reader !== null) {
      const { done, value } = await this.#reader.read();
      if (done) {
        this.#reader = null;
        break;
      }
      this.#text += this.#decoder.decode(value, { stream: true });
      const parts = this.#text.split("\n\n");
      this.#text = parts.pop() ?? "";
      for (const part of parts) {
        const field = (name: string) => new RegExp(`(?:^|\\n)${name}: ([^\\n]*)`).exec(part)?.[1] ?? "";
        if (part.startsWith(":")) this.comment = part;
        if (field("data") !== "") {
          this.events.push({ id: field("id"), event: field("event"), data: JSON.parse(field("data")) });
        }
      }
    }
    return this.events;
  }

  get lines(): string[] {
    return this.events.filter(({ event }) => event === "").map(({ data }) => data.line);
  }

  async [Symbol.asyncDispose]() {
    this.#abort.abort();
    await this.#reader?.cancel().catch(() => {});
  }
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `line ${from + n}`);

test("each event is one line; the end says the status", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  await server.log("j", "one", "<b>two</b>");
  await using stream = await Events.open(server, "j");
  expect(stream.response.headers.get("content-type")).toStartWith("text/event-stream");
  expect((await stream.take(2)).map(({ data }) => data as unknown)).toEqual([
    { jobId: "j", line: "one", ts: expect.any(Number) },
    { jobId: "j", line: "<b>two</b>", ts: expect.any(Number) },
  ]);
  await server.log("j", "three");
  await stream.take(3);
  await server.finish("j");
  const events = await stream.take(100);
  expect(stream.lines).toEqual(["one", "<b>two</b>", "three"]);
  expect(events.at(-1)).toEqual({ id: "1-end", event: "end", data: { status: "finished" } as never });
  await using again = await Events.open(server, "j", "1-end");
  expect(again.response.status).toBe(204);
});

test("an unknown job is 404", async () => {
  await using server = await startLive();
  await using stream = await Events.open(server, "nothing");
  expect(stream.response.status).toBe(404);
  expect(await stream.response.json()).toEqual({ detail: expect.any(String) });
});

test("Last-Event-ID goes on after that line, also while others follow, after a pause and after a restart", async () => {
  await using server = await startLive({ live: { maxKeptMessages: 3, lingerMs: 20 } });
  await server.submit("j");
  await server.start("j");
  await using whole = await Events.open(server, "j");
  await server.log("j", ...numbered(0, 50));
  await whole.take(50);
  const ids = whole.events.map(({ id }) => id);
  expect(new Set(ids).size).toBe(50);
  for (const at of [0, 10, 46, 48, 49]) {
    await using stream = await Events.open(server, "j", ids[at]);
    const before = 49 - at;
    await stream.take(before);
    expect([at, stream.lines]).toEqual([at, numbered(at + 1, 50)]);
  }
  await whole[Symbol.asyncDispose]();
  await Bun.sleep(50);
  await server.log("j", ...numbered(50, 60));
  await using later = await Events.open(server, "j", ids[20]);
  await later.take(39);
  expect(later.lines).toEqual(numbered(21, 60));
  await server.log("j", "after all");
  await later.take(40);
  expect(later.lines.at(-1)).toBe("after all");
  // A point that this log never had: of another job that was called the same.
  await using beyond = await Events.open(server, "j", "1-9000000000-1");
  await beyond.take(61);
  expect(beyond.lines).toEqual([...numbered(0, 60), "after all"]);
  expect(server.faults).toEqual([]);
});

const USELESS_IDS = ["x", "", "1", "-", "1-99999999999999999999-1", "2-900-1", "2-end"];
/** Of this job, but no line can have them: chunks and lines count from 1, and no chunk counts as far. */
const IMPOSSIBLE_IDS = [
  "1-0-0",
  "1-0-1",
  "1-1-0",
  "1-4294967296-1",
  "1-9007199254740991-1",
  "1-2147483648-1",
];

test.each([...USELESS_IDS, ...IMPOSSIBLE_IDS])("a Last-Event-ID of no use (%j) begins anew", async (id) => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  await server.log("j", "one");
  await using stream = await Events.open(server, "j", id);
  await stream.take(1);
  expect(stream.lines).toEqual(["one"]);
});

test("readers of both kinds follow one log; slow ones hold little in memory", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  using listener = server.listen("/ws/jobs/j/logs");
  await listener.first("snapshot");
  await using stream = await Events.open(server, "j");
  const lines = Array.from({ length: 5_000 }, (_, n) => `${n} ${"x".repeat(500)}`);
  for (let at = 0; at < lines.length; at += 500) await server.log("j", ...lines.slice(at, at + 500));
  await stream.take(lines.length);
  await listener.nth("log", lines.length);
  expect(stream.lines).toEqual(lines);
  expect(listener.lines).toEqual(lines);
});

test("lines of 1 MiB come whole, in whatever characters", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  await using stream = await Events.open(server, "j");
  const lines = ["x", "\u{1f600}", '"\\', "\u2028"].map((piece) =>
    piece.repeat((1024 * 1024) / piece.length),
  );
  for (const line of lines) await server.log("j", line);
  await stream.take(lines.length);
  expect(stream.lines.map((line) => line.length)).toEqual(lines.map(({ length }) => length));
  expect(stream.lines).toEqual(lines);
  // Who comes later begins with as much as one message holds.
  await server.log("j", "short");
  await using later = await Events.open(server, "j");
  await later.take(4);
  expect(later.lines).toEqual([...lines.slice(1), "short"]);
});

test("over what all readers may hold together, a long line ends a stream, which may come back; short ones go on", async () => {
  await using server = await startLive({ limits: { maxAllSocketBufferBytes: 400_000 } });
  await server.submit("j");
  await server.start("j");
  await using stream = await Events.open(server, "j");
  // Its size counts once, however many follow.
  const others = await Promise.all(Array.from({ length: 5 }, () => Events.open(server, "j")));
  await server.log("j", "short", "y".repeat(300_000));
  for (const one of [stream, ...others]) {
    await one.take(2);
    expect(one.lines.map(({ length }) => length)).toEqual([5, 300_000]);
    if (one !== stream) await one[Symbol.asyncDispose]();
  }
  await server.log("j", "x".repeat(500_000), "after");
  await stream.take(3);
  expect(stream.events.length).toBe(2);
  expect(stream.comment).toBe(": the server holds too much for readers that do not read; come back later");
  await using begins = await Events.open(server, "j");
  await begins.take(1);
  expect(begins.lines).toEqual([]);
  expect(server.faults).toEqual([]);
});

test("a client that goes away, and a server that closes, end the stream", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  await server.log("j", "one");
  {
    await using gone = await Events.open(server, "j");
    await gone.take(1);
  }
  await using stream = await Events.open(server, "j");
  await stream.take(1);
  const closing = server.close();
  await stream.take(1_000).catch(() => {});
  await closing;
  expect(server.faults).toEqual([]);
});

test("WebSockets, event streams and followed logs share one bound; over it they are 503 until one ends", async () => {
  await using server = await startLive({ limits: { maxOpenSockets: 3 } });
  await server.submit("j");
  await server.start("j");
  const { id } = await server.engine.read.job("j");
  const abort = new AbortController();
  using socket = server.listen("/ws/jobs/j/logs");
  await socket.first("snapshot");
  const stream = await Events.open(server, "j");
  const native = `${server.url}/v1/jobs/${id}/log?follow=true`;
  const followed = await fetch(native, { signal: abort.signal });
  expect([stream.response.status, followed.status]).toEqual([200, 200]);

  const ask = async (url: string) => {
    const response = await fetch(url);
    const { status, headers } = response;
    await response.body?.cancel();
    return [status, headers.get("retry-after")];
  };
  const events = `${server.url}/api/frontend/stream-logs/j`;
  for (const url of [events, native]) expect(await ask(url)).toEqual([503, "5"]);
  using refused = server.listen("/ws/jobs/j/logs");
  expect((await refused.closed).code).toBe(1006);
  // A whole log lasts as long as its reader takes; a page of it is not counted.
  const whole = `${server.url}/v1/jobs/${id}/log`;
  expect(await ask(whole)).toEqual([503, "5"]);
  const page = await fetch(whole, { headers: { accept: "application/json" } });
  expect([page.status, (await page.json()).items.length]).toEqual([200, 0]);

  const isFree = async () => (await ask(events))[0] === 200;
  const untilFree = async (what: string) => {
    const deadline = Date.now() + 10_000;
    while (!(await isFree())) {
      if (Date.now() > deadline) throw new Error(`still full after the end of ${what}`);
      await Bun.sleep(10);
    }
  };
  await stream[Symbol.asyncDispose]();
  await untilFree("the event stream");
  await using again = await Events.open(server, "j");
  expect(again.response.status).toBe(200);
  abort.abort();
  await untilFree("the followed log");
  await server.finish("j");
  await again.take(100);
  expect((await socket.closed).code).toBe(1000);
  await untilFree("the job");
  expect(await (await fetch(`${server.url}/metrics`)).text()).toContain("\nyardmaster_open_sockets 0\n");
  expect(server.faults).toEqual([]);
});

test("streams end when their key is revoked, whether they came with the key or with a token; others go on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "yardmaster-streams-"));
  try {
    const keyFile = keyFilePath(folder);
    const goes = createKey(keyFile, "read", "goes");
    const stays = createKey(keyFile, "read", "stays");
    await using server = await startLive({
      access: { keyFile },
      limits: { keyFilePollMs: 5, socketCheckMs: 5 },
    });
    await server.submit("j");
    await server.start("j");
    await server.log("j", "one");
    const { id } = await server.engine.read.job("j");
    const made = await fetch(`${server.url}/v1/tokens`, {
      method: "POST",
      headers: { "x-api-key": goes.key },
    });
    const { token } = (await made.json()) as { token: string };
    /** A stream that has shown its first line; `text` is all of it, once it ends. */
    const follow = async (path: string, key?: string) => {
      const response = await fetch(
        `${server.url}${path}`,
        key === undefined ? {} : { headers: { "x-api-key": key } },
      );
      expect([path, response.status]).toEqual([path, 200]);
      const parts = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      if (parts === undefined) throw new Error(`${path} has no body`);
      let seen = "";
      const more = async () => {
        const { done, value = "" } = await parts.read();
        seen += value;
        return !done;
      };
      while (!seen.includes("one")) {
        if (!(await more())) throw new Error(`${path} ended before its first line: ${seen}`);
      }
      const untilEnd = async () => {
        while (await more());
        return seen;
      };
      return { text: untilEnd() };
    };
    const ending = await Promise.all([
      follow("/api/frontend/stream-logs/j", goes.key),
      follow(`/api/frontend/stream-logs/j?access_token=${token}`),
      follow(`/v1/jobs/${id}/log?follow=true`, goes.key),
    ]);
    const kept = await follow("/api/frontend/stream-logs/j", stays.key);
    revokeKeys(keyFile, [goes.stored.id]);
    for (const { text } of ending) expect(await text).not.toContain("event: end");
    await server.log("j", "two");
    await server.finish("j");
    expect(await kept.text).toContain("event: end");
    expect(server.faults).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
