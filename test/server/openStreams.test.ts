/** Answers that last, and readers that do not read: they are dropped, cut off, and counted until they are gone. */
import { afterEach, expect, test } from "bun:test";
import type { Socket } from "bun";
import type { Dialect } from "../../src/dialects/dialect.ts";
import type { LiveStream, PieceSource } from "../../src/dialects/liveStream.ts";
import { defineRoute } from "../../src/dialects/route.ts";
import { piecesOf } from "../../src/dialects/textPieces.ts";
import type { ServerLimits } from "../../src/server/limits.ts";
import { HeldBytes } from "../../src/server/sockets/heldBytes.ts";
import { startTestServer } from "./testServer.ts";

const QUICK: Partial<ServerLimits> = { socketStallMs: 200, socketCheckMs: 20, socketCloseGraceMs: 50 };
const PIECE = "x".repeat(16 * 1024);

/** A server with one stream at `/events/stream`, told by a source that the test gives. */
async function start(sourceFor: (stream: LiveStream) => PieceSource, limits: Partial<ServerLimits> = QUICK) {
  const streams: LiveStream[] = [];
  const route = defineRoute({
    id: "stream",
    method: "GET",
    path: "/events/stream",
    summary: "",
    tags: [],
    responses: {},
    handler: ({ call }) => {
      const stream = call.stream();
      streams.push(stream);
      return new Response(stream.body(sourceFor(stream)));
    },
  });
  const dialect: Dialect = {
    ...{
      name: "shelby",
      title: "Test",
      description: "",
      prefixes: ["/events/"],
      routes: [route],
      schemas: {},
    },
    errors: () => new Response(null, { status: 503 }),
  };
  const server = await startTestServer({}, { dialects: [dialect], limits });
  const openSockets = async () => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    return Number(/\nyardmaster_open_sockets (\d+)\n/.exec(metrics)?.[1]);
  };
  return { server, streams, openSockets, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const opened: Socket[] = [];
afterEach(() => {
  for (const socket of opened.splice(0)) socket.terminate();
});

/** Asks for the stream over a bare connection, which reads nothing until it is resumed. */
async function ask(url: string) {
  const { hostname, port, host } = new URL(url);
  let text = "";
  let length = 0;
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data: (_, bytes) => {
        length += bytes.byteLength;
        text = (text + bytes.toString()).slice(-1_000);
      },
      close: () => resolve(),
      error: () => resolve(),
    },
  });
  opened.push(socket);
  socket.pause();
  socket.write(`GET /events/stream HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
  return { socket, closed, tail: () => text, length: () => length };
}

async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 40_000;
  while (!(await isSo())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(20);
  }
}

test("readers that take nothing are dropped and cut off, and count until their connections are gone", async () => {
  let closed = 0;
  await using setup = await start(() => ({ next: async () => PIECE, closed: () => void closed++ }), {
    ...QUICK,
    maxOpenSockets: 2,
    maxAllSocketBufferBytes: 4 * PIECE.length,
  });
  const { server, streams, openSockets } = setup;
  const readers = [await ask(server.url), await ask(server.url)];
  await until(
    "both are dropped",
    () => streams.length === 2 && streams.every(({ signal }) => signal.aborted),
  );
  expect(streams.map(({ signal }) => signal.reason)).toEqual(
    Array(2).fill("the reader is too slow: it took nothing for 200 ms"),
  );
  // What waits for them is no more than a piece each.
  expect(streams[0]?.held.hasRoom(2 * PIECE.length)).toBe(true);
  expect(streams[0]?.held.hasRoom(3 * PIECE.length)).toBe(false);
  expect(closed === 2 || (await openSockets()) > 0).toBe(true);
  await until("they are gone", async () => (await openSockets()) === 0);
  expect(closed).toBe(2);
  expect(streams[0]?.held.hasRoom(4 * PIECE.length)).toBe(true);
  for (const { socket, closed: gone } of readers) {
    socket.resume();
    await gone;
  }
  expect(server.errors).toEqual([]);
});

test("a reader for whom nothing waits stays", async () => {
  const { promise: silence, resolve } = Promise.withResolvers<null>();
  const pieces: (string | Promise<null>)[] = ["one", "", "two"];
  await using setup = await start(() => ({
    next: async () => pieces.shift() ?? silence,
    closed: () => {},
  }));
  const response = await fetch(`${setup.server.url}/events/stream`);
  const text = response.text();
  await until("all was taken", () => pieces.length === 0);
  await Bun.sleep(600);
  expect(await setup.openSockets()).toBe(1);
  resolve(null);
  expect(await text).toBe("onetwo");
  await until("it is gone", async () => (await setup.openSockets()) === 0);
});

test("a reader that is dropped may take its dismissal, and is not left with an open connection", async () => {
  await using setup = await start(
    (stream) => {
      const pieces = ["hello"];
      stream.signal.addEventListener("abort", () => pieces.push(`bye: ${stream.signal.reason}`));
      return {
        next: async () => {
          if (pieces.length === 0) {
            if (stream.signal.aborted) return null;
            await new Promise((resolve) => stream.signal.addEventListener("abort", resolve));
          }
          return pieces.shift() ?? null;
        },
        closed: () => {},
      };
    },
    { ...QUICK, socketCloseGraceMs: 60_000 },
  );
  const reader = await ask(setup.server.url);
  reader.socket.resume();
  await until("the first word", () => reader.tail().includes("hello"));
  setup.streams[0]?.drop("enough");
  await reader.closed;
  expect(reader.tail()).toEndWith("bye: enough\r\n0\r\n\r\n");
  expect(await setup.openSockets()).toBe(0);
});

test("a source that fails breaks the answer off", async () => {
  await using setup = await start((stream) => {
    let isFirst = true;
    return {
      next: async () => {
        if (!isFirst) {
          stream.drop("enough");
          throw new Error("the rest is missing");
        }
        isFirst = false;
        return "half";
      },
      closed: () => {},
    };
  });
  const whole = async () => (await fetch(`${setup.server.url}/events/stream`)).text();
  await expect(whole()).rejects.toThrow("closed unexpectedly");
  await until("it is gone", async () => (await setup.openSockets()) === 0);
});

test("what several hold counts once, until the last lets go of it", () => {
  const held = new HeldBytes(100);
  const shared = {};
  const letGo = [held.share(shared, 60), held.share(shared, 60)];
  expect([held.hasRoom(40), held.hasRoom(41), held.hasRoom(60, shared), held.hasRoom(60, {})]).toEqual([
    true,
    false,
    true,
    false,
  ]);
  letGo[0]?.();
  letGo[0]?.();
  expect(held.hasRoom(41)).toBe(false);
  letGo[1]?.();
  expect(held.hasRoom(100)).toBe(true);
  held.change(30);
  expect(held.hasRoom(71)).toBe(false);
});

test("pieces of a text are never cut within a character", () => {
  const text = `x${"\u{1f600}".repeat(20_000)}\ud83d`;
  const pieces = [...piecesOf(text)];
  expect(pieces.join("")).toBe(text);
  expect(pieces.slice(0, -1).every((piece) => piece.isWellFormed())).toBe(true);
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(16 * 1024);
});
