import { describe, expect, test } from "bun:test";
import { type LogChunk, YardmasterClient, YardmasterError } from "@yardmaster/client";
import { EventParser } from "../../clients/typescript/src/sse.ts";
import { problem, scriptedServer } from "./scriptedServer.ts";

const stream = (text: string) => () =>
  new Response(text, { headers: { "Content-Type": "text/event-stream" } });
const chunk = (seq: number, text: string) =>
  `id: ${seq}\ndata: ${JSON.stringify({ seq, time: "", stream: "stdout", text })}\n\n`;

async function collect(log: AsyncIterable<LogChunk>): Promise<string> {
  let text = "";
  for await (const { text: piece } of log) text += piece;
  return text;
}

describe("a followed log", () => {
  test("ends at the event `end`", async () => {
    await using server = scriptedServer(
      stream(`: hello\n\n${chunk(1, "a")}${chunk(2, "b")}event: end\ndata: {}\n\n`),
    );
    expect(await collect(new YardmasterClient({ baseUrl: server.url }).followLog(7, { tail: 10 }))).toBe(
      "ab",
    );
    expect(server.seen[0]?.path).toBe("/v1/jobs/7/log");
    expect(server.seen[0]?.query.get("follow")).toBe("true");
    expect(server.seen[0]?.query.get("tail")).toBe("10");
    expect(server.seen[0]?.headers.get("Accept")).toBe("text/event-stream");
  });

  test("goes on after the last chunk when the connection breaks", async () => {
    await using server = scriptedServer(
      stream(chunk(1, "a") + chunk(2, "b")),
      () => problem(503, "busy", {}, { "Retry-After": "0" }),
      stream(`${chunk(3, "c")}event: end\ndata:\n\n`),
    );
    const client = new YardmasterClient({ baseUrl: server.url, maxRetryPauseMs: 5 });
    expect(await collect(client.followLog(7, { tail: 10, after: 0 }))).toBe("abc");
    expect(server.seen).toHaveLength(3);
    expect(server.seen[2]?.headers.get("Last-Event-ID")).toBe("2");
    expect(server.seen[2]?.query.has("tail")).toBe(false);
    expect(server.seen[2]?.query.has("after")).toBe(false);
  });

  test("gives up after several failures in a row", async () => {
    await using server = scriptedServer(stream(""));
    const client = new YardmasterClient({ baseUrl: server.url, maxRetries: 2, maxRetryPauseMs: 1 });
    await expect(collect(client.followLog(7))).rejects.toThrow("the connection ended before the job did");
  });

  test("throws at once for an unknown job", async () => {
    await using server = scriptedServer(() => problem(404, "no such job"));
    await expect(collect(new YardmasterClient({ baseUrl: server.url }).followLog(7))).rejects.toBeInstanceOf(
      YardmasterError,
    );
    expect(server.seen).toHaveLength(1);
  });

  test("opens a silent stream again", async () => {
    await using server = scriptedServer(
      () => new Response(new ReadableStream({ start: (c) => c.enqueue(chunk(1, "a")) })),
      stream(`${chunk(2, "b")}event: end\ndata:\n\n`),
    );
    const client = new YardmasterClient({ baseUrl: server.url, streamIdleTimeoutMs: 30, maxRetryPauseMs: 1 });
    expect(await collect(client.followLog(7))).toBe("ab");
  });

  test("ends when the caller aborts", async () => {
    await using server = scriptedServer(
      () => new Response(new ReadableStream({ start: (c) => c.enqueue(chunk(1, "a")) })),
    );
    const controller = new AbortController();
    const client = new YardmasterClient({ baseUrl: server.url });
    const log = client.followLog(7, { signal: controller.signal });
    expect((await log.next()).value).toMatchObject({ text: "a" });
    controller.abort(new Error("enough"));
    await expect(log.next()).rejects.toThrow("enough");
  });
});

describe("the event parser", () => {
  test("gives the same events however the text is cut", () => {
    const text = `id: 1\r\ndata: a\r\ndata: b\r\n\r\n: note\n\nevent: x\ndata:c\n\nid\ndata: d\r\r`;
    const whole = new EventParser().push(`${text}\n`);
    expect(whole).toEqual([
      { event: "message", data: "a\nb", id: "1" },
      { event: "x", data: "c", id: "1" },
      { event: "message", data: "d", id: "" },
    ]);
    const parser = new EventParser();
    expect([...`${text}\n`].flatMap((character) => parser.push(character))).toEqual(whole);
  });
});
