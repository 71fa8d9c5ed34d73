/** The hubs of logs: whom they serve, and when they end. */
import { expect, spyOn, test } from "bun:test";
import { KeptBytes } from "../../../src/dialects/shelby/live/keptBytes.ts";
import { DEFAULT_LIVE_LIMITS } from "../../../src/dialects/shelby/live/liveLimits.ts";
import type { LogFollower } from "../../../src/dialects/shelby/live/logHub.ts";
import { LogHubs } from "../../../src/dialects/shelby/live/logHubs.ts";
import { seqOf } from "../../../src/dialects/shelby/live/logSeq.ts";
import { encodePlace } from "../../../src/engine/logPlace.ts";
import { type LiveServer, startLive, type Wire } from "./liveServer.ts";

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => `line ${from + n}`);

/** Waits until nobody reads the log any more; throws when somebody goes on. */
async function untilNobodyReads(reads: { readonly mock: { readonly calls: unknown[] } }): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const before = reads.mock.calls.length;
    // Longer than a hub waits between two looks.
    await Bun.sleep(300);
    if (reads.mock.calls.length === before) return;
    if (Date.now() > deadline) throw new Error(`still read: ${reads.mock.calls.length} times by now`);
  }
}

async function untilReadTwice(reads: { readonly mock: { readonly calls: unknown[] } }): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (reads.mock.calls.length < 2) {
    if (Date.now() > deadline) throw new Error("not read");
    await Bun.sleep(5);
  }
}

async function serverWithLines(count: number): Promise<LiveServer> {
  const server = await startLive({ live: { safetyPollMs: 50 } });
  await server.submit("j");
  await server.start("j");
  await server.log("j", ...numbered(0, count));
  return server;
}

test.each(["1-0-0", "1-0-1", "1-1-0", "1-3-1", "1-900000-1", "1-4294967299-1", undefined])(
  "a log is read no more when the event stream that came with the id %p has gone",
  async (id) => {
    await using server = await serverWithLines(3);
    const reads = spyOn(server.engine.read, "log");
    const abort = new AbortController();
    const response = await fetch(`${server.url}/api/frontend/stream-logs/j`, {
      headers: id === undefined ? {} : { "last-event-id": id },
      signal: abort.signal,
    });
    await response.body?.getReader().read();
    // Until it follows, or goes round in circles.
    await untilReadTwice(reads);
    abort.abort();
    await untilNobodyReads(reads);
    expect(server.faults).toEqual([]);
  },
);

test.each(["", "?after=2", "?after=1", "?after=3147778", "?after=9441282", "?after=9007199254740991"])(
  "a log is read no more when the WebSocket that came with %p has gone",
  async (query) => {
    await using server = await serverWithLines(3);
    const reads = spyOn(server.engine.read, "log");
    {
      using listener = server.listen(`/ws/jobs/j/logs${query}`);
      await untilReadTwice(reads);
      listener.socket.terminate();
      await listener.closed;
    }
    await untilNobodyReads(reads);
    // Gone before it was let in.
    for (let n = 0; n < 10; n++) {
      using listener = server.listen(`/ws/jobs/j/logs${query}`);
      await new Promise((resolve) => listener.socket.addEventListener("open", resolve));
      listener.socket.terminate();
    }
    await untilNobodyReads(reads);
    expect(server.faults).toEqual([]);
  },
);

/** The number in a line such as `line 17`. */
const numberOf = (line: string | undefined) => Number(line?.split(" ")[1]);

/** Fails unless the lines are numbered without a gap. */
function expectInOrder(lines: readonly string[]): void {
  const first = numberOf(lines[0]);
  expect(lines).toEqual(numbered(first, first + lines.length));
}

test("whoever comes while a log grows by 1,500 lines at a time begins with the last 1,000, and misses nothing", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  let written = 0;
  let isDone = false;
  const writer = (async () => {
    while (!isDone) {
      await server.log("j", numbered(written, written + 1_500).join("\n"));
      written += 1_500;
    }
  })();
  using first = server.listen("/ws/jobs/j/logs");
  await first.until("some lines", (messages) => messages.length > 1_500);
  for (let n = 0; n < 20; n++) {
    const before = written;
    using listener = server.listen("/ws/jobs/j/logs");
    const { logs } = (await listener.first("snapshot")).data;
    expect(logs.length).toBe(1_000);
    // Not from long ago.
    expect(numberOf(logs.at(-1)?.line)).toBeGreaterThanOrEqual(before - 1);
    await listener.until("what follows", (messages) => messages.length > 2_000);
    expectInOrder(listener.lines);
    // From the middle of a call's lines, while nobody else needs them any more.
    const at = listener.messages.at(700);
    using back = server.listen(`/ws/jobs/j/logs?after=${at?.seq}`);
    await back.nth("log", 1_000);
    expect(back.messages[0]?.data.line).toBe(`line ${numberOf(at?.data.line) + 1}`);
    expectInOrder(back.lines);
  }
  isDone = true;
  await writer;
  expect(server.faults).toEqual([]);
});

test("who comes while an event stream catches up from far behind begins with the last lines", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  const total = 30_000;
  for (let at = 0; at < total; at += 1_000) {
    const lines = numbered(at, at + 1_000).map((line) => `${line} ${"x".repeat(200)}`);
    await server.log("j", ...lines);
  }
  // It reads what is sent at once, and then no more.
  const slow = await fetch(`${server.url}/api/frontend/stream-logs/j`, {
    headers: { "last-event-id": "1-1-1" },
  });
  const body = slow.body?.getReader();
  await body?.read();
  using listener = server.listen("/ws/jobs/j/logs");
  const { logs } = (await listener.first("snapshot")).data;
  expect(logs.map(({ line }) => numberOf(line))).toEqual(
    Array.from({ length: 1_000 }, (_, at) => total - 1_000 + at),
  );
  await server.log("j", "more");
  await listener.first("log");
  expect(listener.messages.map(({ type }) => type)).toEqual(["snapshot", "log"]);
  expect(listener.lines.at(-1)).toBe("more");
  await body?.cancel();
  expect(server.faults).toEqual([]);
});

test("lines of one call that a snapshot begins within have the same numbers and ids as for others", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  using whole = server.listen("/ws/jobs/j/logs");
  await whole.first("snapshot");
  await server.log("j", numbered(0, 1_500).join("\n"));
  await whole.nth("log", 1_500);
  using listener = server.listen("/ws/jobs/j/logs");
  expect((await listener.first("snapshot")).seq).toBe(whole.messages.at(-1)?.seq ?? 0);
  const response = await fetch(`${server.url}/api/frontend/stream-logs/j`);
  const body = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes('"line 500"')) text += (await body?.read())?.value ?? "";
  await body?.cancel();
  expect(/id: (\S+)\ndata: \{"jobId":"j","line":"line 500"/.exec(text)?.[1]).toBe("1-1-501");
});

test("who heard the end goes on with the next run, whatever the last one wrote", async () => {
  await using server = await serverWithLines(2);
  await server.finish("j", "failed");
  const ends: number[] = [];
  const endOf = async (query: string) => {
    using listener = server.listen(`/ws/jobs/j/logs${query}`);
    const { seq } = await listener.first("end");
    ends.push(seq);
    return listener.lines;
  };
  expect(await endOf("")).toEqual(["line 0", "line 1"]);
  // This run writes nothing.
  await server.engine.retry("j");
  await server.start("j");
  await server.finish("j", "failed");
  expect(await endOf("")).toEqual(["line 0", "line 1"]);
  await server.engine.retry("j");
  await server.start("j");
  const listeners = ends.map((seq) => server.listen(`/ws/jobs/j/logs?after=${seq}`));
  try {
    await Promise.all(
      listeners.map(({ socket }) => new Promise((open) => socket.addEventListener("open", open))),
    );
    await server.log("j", "again");
    for (const listener of listeners) {
      await listener.first("log");
      expect(listener.messages.map(({ type, data }) => [type, data.line])).toEqual([["log", "again"]]);
      expect(listener.messages[0]?.seq).toBeGreaterThan(Math.max(...ends));
    }
  } finally {
    for (const { socket } of listeners) socket.close();
  }
  expect([...ends].sort((one, other) => one - other)).toEqual(ends);
  expect(new Set(ends).size).toBe(2);
  expect(server.faults).toEqual([]);
});

test("who has caught up from far behind shares the others' hub, and leaves it when it goes", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  for (let at = 0; at < 30_000; at += 1_000) await server.log("j", ...numbered(at, at + 1_000));
  const hubs = new LogHubs({
    engine: server.engine,
    views: { findJob: (id) => server.engine.read.job(id), status: (state) => state },
    limits: { ...DEFAULT_LIVE_LIMITS, safetyPollMs: 50 },
    kept: new KeptBytes(1_000_000),
    clock: Date.now,
    onFault: (error) => {
      throw error;
    },
  });
  const lines: string[][] = [];
  const followFrom = (from: LogFollower["from"]) => {
    const heard: string[] = [];
    lines.push(heard);
    const follower: LogFollower = {
      from,
      onRoom: null,
      beginWith: ({ lines: first }) => void heard.push(...first.map(({ line }) => line)),
      take: (messages, at) => {
        for (const { data } of messages.slice(at)) heard.push("line" in data ? data.line : data.status);
        return messages.length - at;
      },
      end: () => {},
    };
    return hubs.join("j", follower);
  };
  const until = async (what: string, isSo: () => boolean) => {
    const deadline = Date.now() + 10_000;
    while (!isSo()) {
      if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
      await Bun.sleep(5);
    }
  };
  const leaves = [await followFrom(null), await followFrom({ place: 10, index: 1 })];
  expect(hubs.size).toBe(2);
  await until("it has caught up", () => lines[1]?.length === 29_990);
  await until("one hub", () => hubs.size === 1);
  await server.log("j", "line 30000");
  await until("the new line", () => lines.every((heard) => heard.at(-1) === "line 30000"));
  expect(lines[0]).toEqual(numbered(29_000, 30_001));
  expect(lines[1]).toEqual(numbered(10, 30_001));
  for (const leave of leaves) leave();
  await until("none", () => hubs.size === 0);
});

test("beginnings of lines on two streams that nothing follows reach event streams too, once", async () => {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  const { id, attempt } = await server.engine.read.job("j");
  const chunk = (seq: number, stream: "stdout" | "stderr", text: string) => ({
    ...{ id, attempt, seq, time: Date.now(), stream, text },
  });
  const response = await fetch(`${server.url}/api/frontend/stream-logs/j`);
  await server.engine.appendLog({
    workerId: "node-1",
    chunks: [chunk(1, "stderr", "one\nwarn"), chunk(2, "stdout", "two\nres"), chunk(3, "stdout", "t")],
  });
  await server.finish("j");
  const linesOf = (text: string) => [...text.matchAll(/"line":"(.*?)"/g)].map(([, line]) => line);
  const text = await response.text();
  expect(linesOf(text)).toEqual(["one", "two", "warn", "rest"]);
  // From each of them on, what followed comes again as it was.
  const ids = [...text.matchAll(/^id: (1-\d+-\d+)$/gm)].map(([, eventId = ""]) => eventId);
  for (const [at, eventId] of ids.entries()) {
    const again = await fetch(`${server.url}/api/frontend/stream-logs/j`, {
      headers: { "last-event-id": eventId },
    });
    expect(linesOf(await again.text())).toEqual(["one", "two", "warn", "rest"].slice(at + 1));
  }
});

/** A job whose first run ended as it wrote `part` without a newline, and which waits for its next. */
async function serverWithUnfinishedLine(): Promise<LiveServer> {
  const server = await serverWithLines(1);
  const { id, attempt } = await server.engine.read.job("j");
  const chunk = { id, attempt, seq: 50, time: Date.now(), stream: "stderr" as const, text: "part" };
  await server.engine.appendLog({ workerId: "node-1", chunks: [chunk] });
  await server.finish("j", "failed");
  return server;
}

test("who heard the end is not told a line again that others hear when the job runs anew", async () => {
  await using server = await serverWithUnfinishedLine();
  using first = server.listen("/ws/jobs/j/logs");
  const { seq } = await first.first("end");
  expect(first.lines).toEqual(["line 0", "part"]);
  await server.engine.retry("j");
  // This one knows of the whole lines, and shares what is read with the one that comes back.
  const whole = first.messages.find(({ type }) => type === "snapshot");
  using other = server.listen(`/ws/jobs/j/logs?after=${(whole?.seq ?? 0) - 1_024}`);
  using joined = server.listen("/ws/jobs/j/logs");
  await joined.first("snapshot");
  const reads = spyOn(server.engine.read, "log");
  using back = server.listen(`/ws/jobs/j/logs?after=${seq}`);
  await untilReadTwice(reads);
  await server.start("j");
  await server.log("j", "again");
  await Promise.all(
    [back, other, joined].map((listener) =>
      listener.until("again", (heard) => heard.some(({ data }) => data.line === "again")),
    ),
  );
  expect(back.lines).toEqual(["again"]);
  expect(back.messages[0]?.seq).toBeGreaterThan(seq);
  expect(other.lines).toEqual(["part", "again"]);
  expect(joined.lines).toEqual(["line 0", "part", "again"]);
  expect(server.faults).toEqual([]);
});

test("who comes before a failed job runs anew begins with the line that its last run left unfinished", async () => {
  await using server = await serverWithUnfinishedLine();
  await server.engine.retry("j");
  using listener = server.listen("/ws/jobs/j/logs");
  expect((await listener.first("snapshot")).data.logs.map(({ line }) => line)).toEqual(["line 0", "part"]);
});

test("a number of an attempt that the job has not had is none of its log", async () => {
  await using server = await serverWithLines(3);
  const { id } = await server.engine.read.job("j");
  const seq = seqOf(id, { place: encodePlace({ attempt: 2, seq: 0 }), index: 1 });
  using listener = server.listen(`/ws/jobs/j/logs?after=${seq}`);
  const { logs } = (await listener.first("snapshot")).data;
  expect(logs.map(({ line }) => line)).toEqual(numbered(0, 3));
  await server.log("j", "line 3");
  await listener.first("log");
  expect(listener.lines).toEqual(numbered(0, 4));
});

test("few logs are read at a time, however many begin to be followed at once", async () => {
  await using server = await startLive();
  const keys = Array.from({ length: 30 }, (_, n) => `job-${n}`);
  await server.submit(...keys);
  for (const key of keys) await server.log(key, "a line");
  let reading = 0;
  let most = 0;
  const { log } = server.engine.read;
  spyOn(server.engine.read, "log").mockImplementation(async (...args) => {
    reading++;
    most = Math.max(most, reading);
    // As a store does that is asked over a network.
    await Bun.sleep(5);
    const page = await log.apply(server.engine.read, args);
    reading--;
    return page;
  });
  const listeners = keys.map((key) => server.listen(`/ws/jobs/${key}/logs`));
  await Promise.all(listeners.map((listener) => listener.first("snapshot")));
  for (const { socket } of listeners) socket.terminate();
  expect(most).toBeLessThanOrEqual(4);
});

/** Follows a log live and again from each of the last lines on, with nobody else there: says what each heard. */
async function heardAgain(
  chunks: readonly (readonly ["stdout" | "stderr", string])[],
  froms: number,
): Promise<{ readonly live: readonly Wire[]; readonly again: readonly (readonly Wire[])[] }> {
  await using server = await startLive();
  await server.submit("j");
  await server.start("j");
  const { id, attempt } = await server.engine.read.job("j");
  const again: (readonly Wire[])[] = [];
  using live = server.listen("/ws/jobs/j/logs");
  await live.first("snapshot");
  await server.engine.appendLog({
    workerId: "node-1",
    chunks: chunks.map(([stream, text], at) => ({ id, attempt, seq: at + 1, time: 0, stream, text })),
  });
  await live.until("the last line", (messages) => messages.at(-1)?.data.line === "last");
  live.socket.close();
  await live.closed;
  for (const { seq } of live.messages.slice(-froms - 1, -1)) {
    using back = server.listen(`/ws/jobs/j/logs?after=${seq}`);
    await back.until("the last line", (messages) => isLast(messages.at(-1)));
    again.push([...back.messages]);
    back.socket.close();
    await back.closed;
  }
  expect(server.faults).toEqual([]);
  return { live: live.messages, again };
}

const isLast = (message: Wire | undefined) =>
  message?.data.line === "last" || message?.data.logs?.at(-1)?.line === "last";

const told = (messages: readonly Wire[]) => messages.map(({ type, seq, data }) => [type, seq, data.line]);

test("who goes on within a line that was begun long ago hears it whole", async () => {
  const { live, again } = await heardAgain(
    [
      ["stderr", "begin "],
      ...Array.from({ length: 60 }, (_, n) => [
        ["stdout", `out ${n}\n`] as const,
        ["stderr", `\r${n}%`] as const,
      ]).flat(),
      ...Array.from({ length: 100 }, (_, n) => ["stdout", `more ${n}\n`] as const),
      ["stderr", " end\n"],
      ["stdout", "last\n"],
    ],
    120,
  );
  for (const [at, heard] of again.entries())
    expect(told(heard)).toEqual(told(live.slice(live.length - 120 + at)));
});

test("a line of more than 2 MiB is cut for those who go on as for those who were there", async () => {
  const { live, again } = await heardAgain(
    [
      ["stdout", "first\n"],
      ...Array.from({ length: 230 }, (_, n) => ["stdout", `${n} ${"x".repeat(10_240)}`] as const),
      ["stdout", "\n"],
      ["stdout", "last\n"],
    ],
    3,
  );
  expect(live.length).toBe(5);
  for (const [at, heard] of again.entries())
    expect(told(heard)).toEqual(told(live.slice(live.length - 3 + at)));
});

test("where it is not found how a line began, those who go on get a snapshot with all of it", async () => {
  const { live, again } = await heardAgain(
    [
      ["stderr", "begin "],
      ...Array.from({ length: 900 }, () => ["stderr", "x".repeat(10_240)] as const),
      ["stdout", "last\n"],
    ],
    1,
  );
  expect(again.map((messages) => messages.map(({ type }) => type))).toEqual([["snapshot"]]);
  const lines = live.slice(1).map(({ data }) => data.line);
  const logs = again[0]?.[0]?.data.logs.map(({ line }) => line) ?? [];
  expect(logs).toEqual(lines.slice(-logs.length));
});

test("a snapshot has the whole of a line that was begun before its first one, and counts lines as others do", async () => {
  await using server = await startLive({ live: { snapshotLines: 10 } });
  await server.submit("j");
  await server.start("j");
  const { id, attempt } = await server.engine.read.job("j");
  let seq = 0;
  const chunk = (stream: "stdout" | "stderr", text: string) => ({
    ...{ id, attempt, seq: ++seq, time: 0, stream, text },
  });
  using live = server.listen("/ws/jobs/j/logs");
  await live.first("snapshot");
  await server.engine.appendLog({
    workerId: "node-1",
    chunks: [
      chunk("stderr", "begin "),
      ...Array.from({ length: 50 }, (_, n) => chunk("stdout", `${n}\n`)),
      chunk("stderr", "end\n"),
    ],
  });
  await live.nth("log", 51);
  expect(live.lines.at(-1)).toBe("begin end");
  using listener = server.listen("/ws/jobs/j/logs");
  await listener.first("snapshot");
  expect(listener.lines).toEqual(live.lines.slice(-10));
  const response = await fetch(`${server.url}/api/frontend/stream-logs/j`);
  const body = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("begin end")) text += (await body?.read())?.value ?? "";
  await body?.cancel();
  expect([...text.matchAll(/^id: (.*)$/gm)].map(([, eventId]) => eventId)).toEqual(
    Array.from({ length: 10 }, (_, n) => `${id}-${43 + n}-1`),
  );
});
