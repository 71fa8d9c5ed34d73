/** Many readers, slow readers, readers without rights, and a server that closes. */
import { describe, expect, test } from "bun:test";
import { KEY_ROLES } from "../../../src/server/access/apiKey.ts";
import { expectAllLines } from "./allLines.ts";
import { startLive } from "./liveServer.ts";

const LINE = "x".repeat(1_000);

test("a reader too slow is dropped with 4408 while others go on", async () => {
  await using server = await startLive({ live: { slowReaderMs: 300 } });
  await server.submit("j");
  await server.start("j");
  using slow = server.listen("/ws/jobs/j/logs");
  using quick = server.listen("/ws/jobs/j/logs");
  await Promise.all([slow.first("snapshot"), quick.first("snapshot")]);
  slow.socket.pause();
  const total = 20_000;
  for (let at = 0; at < total; at += 1_000) {
    await server.log("j", ...Array.from({ length: 1_000 }, (_, n) => `${at + n} ${LINE}`));
  }
  await quick.nth("log", total);
  expect(quick.lines).toEqual(Array.from({ length: total }, (_, n) => `${n} ${LINE}`));
  // It reads again, and finds what had been sent and the reason.
  slow.socket.resume();
  expect(await slow.closed).toEqual({
    code: 4408,
    reason: expect.stringContaining("the reader is too slow"),
  });
  expect(slow.lines.length).toBeLessThan(total);
  expect(slow.lines).toEqual(quick.lines.slice(0, slow.lines.length));
  await server.finish("j");
  expect((await quick.closed).code).toBe(1000);
  expect(server.faults).toEqual([]);
});

test("most of the readers stand still, and the one who reads does not wait for them", async () => {
  const stalledReaderMs = 300;
  await using server = await startLive({ live: { stalledReaderMs, slowReaderMs: 60_000 } });
  await server.submit("j");
  await server.start("j");
  const still = Array.from({ length: 5 }, () => server.listen("/ws/jobs/j/logs"));
  const quick = server.listen("/ws/jobs/j/logs");
  await Promise.all([...still, quick].map((listener) => listener.first("snapshot")));
  for (const { socket } of still) socket.pause();
  // A browser that reads an event stream no more.
  const events = await fetch(`${server.url}/api/frontend/stream-logs/j`);
  const total = 20_000;
  let longestMs = 0;
  let lastAtMs = performance.now();
  quick.socket.addEventListener("message", () => {
    longestMs = Math.max(longestMs, performance.now() - lastAtMs);
    lastAtMs = performance.now();
  });
  for (let at = 0; at < total; at += 1_000) {
    await server.log("j", ...Array.from({ length: 1_000 }, (_, n) => `${at + n} ${LINE}`));
  }
  await quick.nth("log", total);
  expect(quick.lines).toEqual(Array.from({ length: total }, (_, n) => `${n} ${LINE}`));
  expect(longestMs).toBeLessThan(20 * stalledReaderMs);
  for (const { socket } of still) socket.resume();
  for (const { closed } of still) {
    expect(await closed).toEqual({ code: 4408, reason: expect.stringContaining("too slow") });
  }
  // On a slow machine it is cut off before it reads again.
  const told = await events.text().catch((error: Error) => `cut off: ${error.message}`);
  expect(told).toMatch(/: the reader is too slow|^cut off: .*(socket|connection)/i);
  await server.finish("j");
  expect((await quick.closed).code).toBe(1000);
  expect(server.faults).toEqual([]);
});

test("the end is told to all who read, and to who comes, while one stands still", async () => {
  await using server = await startLive({
    live: { slowReaderMs: 60_000, stalledReaderMs: 59_000, snapshotLines: 10 },
  });
  await server.submit("j");
  await server.start("j");
  using still = server.listen("/ws/jobs/j/logs");
  using quick = server.listen("/ws/jobs/j/logs");
  await Promise.all([still, quick].map((listener) => listener.first("snapshot")));
  still.socket.pause();
  const lines = Array.from({ length: 3_000 }, (_, n) => `${n} ${LINE}`);
  await server.log("j", ...lines);
  await quick.nth("log", lines.length);
  await server.finish("j");
  expect((await quick.closed).code).toBe(1000);
  using late = server.listen("/ws/jobs/j/logs");
  expect((await late.closed).code).toBe(1000);
  expect(late.messages.map(({ type }) => type)).toEqual(["snapshot", "end"]);
  using back = server.listen(`/ws/jobs/j/logs?after=${quick.messages.at(-2)?.seq}`);
  expect((await back.closed).code).toBe(1000);
  still.socket.resume();
  expect((await still.closed).code).toBe(1000);
  expect(still.lines).toEqual(lines);
});

test("one who reads alone and stops is dropped too, and nothing piles up", async () => {
  await using server = await startLive({
    limits: { socketStallMs: 200, socketCheckMs: 50, socketCloseGraceMs: 50 },
  });
  await server.submit("j");
  await server.start("j");
  using slow = server.listen("/ws/dashboard");
  await slow.first("snapshot");
  slow.socket.pause();
  using log = server.listen("/ws/jobs/j/logs");
  await log.first("snapshot");
  log.socket.pause();
  for (let at = 0; at < 20; at++) await server.log("j", ...Array.from({ length: 500 }, () => LINE));
  const openSockets = async () => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    return Number(/\nyardmaster_open_sockets (\d+)\n/.exec(metrics)?.[1]);
  };
  const deadline = Date.now() + 30_000;
  while ((await openSockets()) > 1 && Date.now() < deadline) await Bun.sleep(20);
  log.socket.resume();
  expect([1006, 4408]).toContain((await log.closed).code);
  slow.socket.resume();
  expect(server.faults).toEqual([]);
});

test("10,000 lines reach 100 readers, all of them and in order", () => expectAllLines(10_000, 100));

describe("rights", () => {
  const configuredKeys = KEY_ROLES.map((role) => ({ role, key: `key-${role}` }));

  test("every role may follow, nobody without a key", async () => {
    await using server = await startLive({ access: { configuredKeys } });
    await server.submit("j");
    const made = await fetch(`${server.url}/v1/tokens`, {
      method: "POST",
      headers: { "x-api-key": "key-read" },
    });
    const { token } = (await made.json()) as { token: string };
    for (const path of ["/ws/dashboard", "/ws/nodes", "/ws/jobs/j/logs", "/ws/jobs/j/logs/"]) {
      for (const role of KEY_ROLES) {
        using listener = server.listen(path, { headers: { "x-api-key": `key-${role}` } });
        await listener.first("snapshot");
      }
      using withToken = server.listen(`${path}?access_token=${token}`);
      await withToken.first("snapshot");
      using nobody = server.listen(path);
      expect((await nobody.closed).code).toBe(4401);
      using wrong = server.listen(`${path}?access_token=eyJ.x.y`);
      expect((await wrong.closed).code).toBe(4401);
    }
    // Nobody learns without a key which jobs there are.
    using unknown = server.listen("/ws/jobs/nothing/logs");
    expect((await unknown.closed).code).toBe(4401);
  });

  test("event streams take a token in the address", async () => {
    await using server = await startLive({ access: { configuredKeys } });
    await server.submit("j");
    const made = await fetch(`${server.url}/v1/tokens`, {
      method: "POST",
      headers: { "x-api-key": "key-read" },
    });
    const { token } = (await made.json()) as { token: string };
    const ask = async (query: string) => {
      const response = await fetch(`${server.url}/api/frontend/stream-logs/j${query}`);
      await response.body?.cancel();
      return response.status;
    };
    expect(await ask(`?access_token=${token}`)).toBe(200);
    expect(await ask("?access_token=key-read")).toBe(401);
    expect(await ask("")).toBe(401);
  });
});

test("a server that closes ends all streams with 1001 and leaves nothing behind", async () => {
  await using server = await startLive();
  await server.submit("j");
  const listeners = ["/ws/dashboard", "/ws/nodes", "/ws/jobs/j/logs"].map((path) => server.listen(path));
  await Promise.all(listeners.map((listener) => listener.first("snapshot")));
  const startedAt = performance.now();
  await server.close();
  for (const listener of listeners) expect((await listener.closed).code).toBe(1001);
  expect(performance.now() - startedAt).toBeLessThan(5_000);
  expect(server.faults).toEqual([]);
});

test("paths of WebSockets say so to those who come without a handshake", async () => {
  await using server = await startLive();
  for (const path of ["/ws/dashboard", "/ws/nodes", "/ws/jobs/j/logs"]) {
    const response = await fetch(`${server.url}${path}`);
    expect([response.status, response.headers.get("upgrade")]).toEqual([426, "websocket"]);
    expect(await response.json()).toEqual({ detail: expect.stringContaining("WebSocket") });
  }
});
