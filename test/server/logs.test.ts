import { expect, test } from "bun:test";
import type { LogPage as WireLogPage } from "../../clients/typescript/src/types.ts";
import type { JobState, LogChunk } from "../../src/domain/job.ts";
import type { LogFilter, LogPage } from "../../src/engine/engine.ts";
import { aJob } from "./fakeEngine.ts";
import { startTestServer } from "./testServer.ts";

/** A log in memory that grows, one chunk a page. */
class GrowingLog {
  readonly chunks: LogChunk[] = [];
  state: JobState = "running";
  pagesRead = 0;
  readonly asked: LogFilter[] = [];

  add(text: string): void {
    this.chunks.push({ seq: this.chunks.length + 1, time: 0, stream: "stdout", text });
  }

  readonly log = async (_job: unknown, filter: LogFilter): Promise<LogPage> => {
    this.asked.push(filter);
    this.pagesRead++;
    const after = filter.after ?? 0;
    const items = this.chunks.slice(after, after + 1);
    const next = after + items.length;
    return { items, next, isEnd: next >= this.chunks.length, state: this.state };
  };

  readonly job = async () => aJob({ state: this.state, exitCode: this.state === "running" ? null : 3 });
}

async function untilTrue(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("it did not become true in 5 s");
    await Bun.sleep(2);
  }
}

function news(to: JobState | null = null) {
  const job = aJob();
  if (to === null) return { type: "log", jobId: 1, attempt: 1, lastSeq: 1 } as const;
  const { id, key, dialect, kind, queue, projectId, workerId } = job;
  return {
    type: "job",
    id,
    key,
    dialect,
    kind,
    queue,
    projectId,
    workerId,
    from: "running",
    to,
    attempt: 1,
    time: 0,
  } as const;
}

test("a log is given whole as text, over all its pages", async () => {
  const log = new GrowingLog();
  for (const text of ["a\n", "b\n", "ü\n"]) log.add(text);
  await using server = await startTestServer({ read: log });
  const response = await fetch(`${server.url}/v1/jobs/1/log`);
  expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  expect(await response.text()).toBe("a\nb\nü\n");
  expect(log.pagesRead).toBe(3);
});

test("a log as JSON is one page, with where to go on; its query reaches the engine", async () => {
  const log = new GrowingLog();
  log.add("a\n");
  log.add("b\n");
  await using server = await startTestServer({ read: log });
  const query = "attempt=2&stream=stderr&tail=5&after=1";
  const response = await fetch(`${server.url}/v1/jobs/1/log?${query}`, {
    headers: { accept: "application/json" },
  });
  const page: WireLogPage = JSON.parse(await response.text());
  expect(page).toEqual({
    items: [{ seq: 2, time: "1970-01-01T00:00:00.000Z", stream: "stdout", text: "b\n" }],
    next: 2,
  });
  expect(log.asked).toEqual([{ attempt: 2, stream: "stderr", tailLines: 5, after: 1 }]);
});

test("following sends each chunk as it comes and ends when the job is final", async () => {
  const log = new GrowingLog();
  log.add("first\n");
  await using server = await startTestServer({ read: log }, { limits: { safetyPollMs: 60_000 } });
  const response = await fetch(`${server.url}/v1/jobs/1/log?follow=true`, {
    headers: { accept: "text/event-stream" },
  });
  expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
  let text = "";
  const reading = (async () => {
    for await (const piece of response.body ?? []) text += new TextDecoder().decode(piece);
  })();
  await untilTrue(() => text.includes("first"));
  log.add("second\n");
  server.engine.publish([news()]);
  await untilTrue(() => text.includes("second"));
  log.state = "failed";
  server.engine.publish([news("failed")]);
  await reading;
  const chunk = (seq: number, line: string) =>
    `id: ${seq}\ndata: {"seq":${seq},"time":"1970-01-01T00:00:00.000Z","stream":"stdout","text":"${line}\\n"}\n\n`;
  expect(text).toBe(
    `: following\n\n${chunk(1, "first")}${chunk(2, "second")}event: end\ndata: {"state":"failed","exitCode":3}\n\n`,
  );
  expect(server.engine.listeners()).toBe(0);
});

test("Last-Event-ID resumes after the last chunk seen, whatever the query says of the beginning", async () => {
  const log = new GrowingLog();
  log.add("a");
  log.add("b");
  log.state = "succeeded";
  await using server = await startTestServer({ read: log });
  const response = await fetch(`${server.url}/v1/jobs/1/log?follow=true&tail=9&after=0`, {
    headers: { accept: "text/event-stream", "last-event-id": "1" },
  });
  const text = await response.text();
  expect(text).not.toContain('"text":"a"');
  expect(text).toContain('"text":"b"');
  expect(log.asked[0]).toEqual({ after: 1 });
});

test("following as text gives the text as it comes", async () => {
  const log = new GrowingLog();
  log.add("a");
  await using server = await startTestServer({ read: log }, { limits: { safetyPollMs: 5 } });
  const response = await fetch(`${server.url}/v1/jobs/1/log?follow=true`, {
    headers: { accept: "text/plain" },
  });
  await untilTrue(() => log.pagesRead > 1);
  log.add("b");
  log.state = "succeeded";
  expect(await response.text()).toBe("ab");
});

test("a silent stream carries comments, and its end leaves nobody listening", async () => {
  const log = new GrowingLog();
  await using server = await startTestServer({ read: log }, { limits: { keepAliveMs: 10 } });
  const client = new AbortController();
  const response = await fetch(`${server.url}/v1/jobs/1/log?follow=true`, { signal: client.signal });
  let text = "";
  for await (const piece of response.body ?? []) {
    text += new TextDecoder().decode(piece);
    if (text.includes(": still here")) break;
  }
  client.abort();
  await untilTrue(() => server.engine.listeners() === 0);
});

test("long chunks are followed whole, in whatever characters", async () => {
  const log = new GrowingLog();
  const texts = ["x", "\u{1f600}", '"\\\n', "\u2028"].map((piece) => piece.repeat(100_000));
  for (const text of texts) log.add(text);
  log.state = "succeeded";
  await using server = await startTestServer({ read: log });
  const follow = async (accept: string) => {
    const response = await fetch(`${server.url}/v1/jobs/1/log?follow=true`, { headers: { accept } });
    return await response.text();
  };
  expect(await follow("text/plain")).toBe(texts.join(""));
  const events = (await follow("text/event-stream")).split("\n\n").slice(1, -2);
  expect(events).toEqual(
    texts.map((text, at) => {
      const data = { seq: at + 1, time: "1970-01-01T00:00:00.000Z", stream: "stdout", text };
      return `id: ${at + 1}\ndata: ${JSON.stringify(data)}`;
    }),
  );
});

test("a page over what all readers may hold together ends an event stream with the reason, and breaks text off", async () => {
  const log = new GrowingLog();
  log.add("short");
  log.add("x".repeat(200_000));
  await using server = await startTestServer({ read: log }, { limits: { maxAllSocketBufferBytes: 100_000 } });
  const follow = async (accept: string) =>
    (await fetch(`${server.url}/v1/jobs/1/log?follow=true`, { headers: { accept } })).text();
  const events = await follow("text/event-stream");
  expect(events).toContain('"text":"short"');
  expect(events).toEndWith(": the server holds too much for readers that do not read; come back later\n\n");
  await expect(follow("text/plain")).rejects.toThrow("closed unexpectedly");
  expect(server.errors).toEqual([]);
});

test("whole logs are counted and bounded as followed ones are: readers that take nothing are dropped", async () => {
  const log = new GrowingLog();
  for (let i = 0; i < 200; i++) log.add("x".repeat(256 * 1024));
  const limits = { socketStallMs: 200, socketCheckMs: 50, socketCloseGraceMs: 50, maxOpenSockets: 2 };
  await using server = await startTestServer({ read: log }, { limits });
  const url = `${server.url}/v1/jobs/1/log`;
  const still = [await fetch(url), await fetch(url)];
  expect((await fetch(url)).status).toBe(503);
  let last = 503;
  const deadline = Date.now() + 30_000;
  while (last === 503 && Date.now() < deadline) {
    await Bun.sleep(50);
    const response = await fetch(url);
    last = response.status;
    await response.body?.cancel();
  }
  expect(last).toBe(200);
  for (const { body } of still) await body?.cancel().catch(() => {});
});

test("a whole log over what all readers may hold together is broken off", async () => {
  const log = new GrowingLog();
  log.add("x".repeat(200_000));
  await using server = await startTestServer({ read: log }, { limits: { maxAllSocketBufferBytes: 100_000 } });
  const whole = async () => (await fetch(`${server.url}/v1/jobs/1/log`)).text();
  await expect(whole()).rejects.toThrow("closed unexpectedly");
  expect(server.errors).toEqual([]);
});

test("a slow reader costs a few pages, not the log", async () => {
  const log = new GrowingLog();
  const page = "x".repeat(256 * 1024);
  for (let i = 0; i < 400; i++) log.add(page);
  await using server = await startTestServer({ read: log });
  const client = new AbortController();
  const response = await fetch(`${server.url}/v1/jobs/1/log`, { signal: client.signal });
  const reader = response.body?.getReader();
  await reader?.read();
  await Bun.sleep(300);
  // 100 MiB are there; the sockets of both sides hold some.
  expect(log.pagesRead).toBeLessThan(100);
  client.abort();
});

test("closing the server ends the streams", async () => {
  const log = new GrowingLog();
  await using server = await startTestServer({ read: log });
  const response = await fetch(`${server.url}/v1/jobs/1/log?follow=true`);
  const text = response.text();
  await untilTrue(() => server.engine.listeners() === 1);
  await server.server.close();
  expect(await text).not.toContain("event: end");
});
