/** Readers that are slow but read all the time stay, however long the system's buffers hide it; who stops is dropped. */
import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import type { Dialect } from "../../src/dialects/dialect.ts";
import { defineRoute } from "../../src/dialects/route.ts";
import { CLOSE } from "../../src/dialects/socket.ts";
import type { ServerLimits } from "../../src/server/limits.ts";
import { HeldBytes } from "../../src/server/sockets/heldBytes.ts";
import { ReaderProgress } from "../../src/server/sockets/readerProgress.ts";
import { endsOf, SendQueues } from "../../src/server/sockets/sendQueues.ts";
import { startTestServer } from "./testServer.ts";

const PIECE = "x".repeat(16 * 1024);
/** In the time in which a reader like `slowly` makes room in the system's buffer, such a limit passes a few times. */
const QUICK: Partial<ServerLimits> = { socketStallMs: 300, socketCheckMs: 50, socketCloseGraceMs: 100 };

/** A server with an endless stream at `/slow/stream` and an endless WebSocket at `/slow/socket`. */
async function start(limits: Partial<ServerLimits> = QUICK) {
  const { promise: dropped, resolve } = Promise.withResolvers<string>();
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const close = { now: (_code: number, _reason: string) => {} };
  const route = defineRoute({
    ...{ id: "slow", method: "GET", path: "/slow/stream", summary: "", tags: [], responses: {} },
    handler: ({ call }) => {
      const stream = call.stream();
      stream.signal.addEventListener("abort", () => resolve(String(stream.signal.reason)));
      return new Response(stream.body({ next: async () => PIECE, closed: end }));
    },
  });
  const dialect: Dialect = {
    ...{ name: "shelby", title: "Test", description: "", prefixes: ["/slow/"], routes: [route], schemas: {} },
    sockets: [
      {
        path: "/slow/socket",
        open: (connection) => {
          close.now = (code, reason) => connection.close(code, reason);
          connection.onRoom = () => {
            while (connection.send([PIECE]) === 1);
          };
          connection.onEnd = end;
          connection.onRoom();
        },
      },
    ],
    errors: () => new Response(null, { status: 503 }),
  };
  const server = await startTestServer({}, { dialects: [dialect], limits });
  return {
    url: server.url,
    dropped,
    ended,
    close,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Reads about 1 MB a second, a piece at a time, until it is told to stop. */
function slowly(url: string, path: string) {
  const { hostname, port, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  const key = randomBytes(16).toString("base64");
  const upgrade = `Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`;
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${path.endsWith("socket") ? upgrade : ""}\r\n`);
  let length = 0;
  let tail = Buffer.alloc(0);
  let isReading = true;
  let isHurrying = false;
  socket.on("data", (bytes: Buffer) => {
    length += bytes.byteLength;
    tail = Buffer.concat([tail, bytes.subarray(-200)]).subarray(-200);
    if (isHurrying) return;
    socket.pause();
    setTimeout(() => isReading && socket.resume(), bytes.byteLength / 1_000);
  });
  socket.on("error", () => {});
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.on("close", () => resolve());
  return {
    ...{ closed, length: () => length, tail: () => tail.toString("latin1") },
    stop: () => {
      isReading = false;
    },
    hurry: () => {
      isHurrying = true;
      socket.resume();
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

test.each([
  ["/slow/stream", "took nothing for 300 ms"],
  ["/slow/socket", null],
])(
  "who reads slowly from %s stays, who stops is dropped",
  async (path, reason) => {
    await using server = await start();
    using reader = slowly(server.url, path);
    let isOver = false;
    void server.ended.then(() => {
      isOver = true;
    });
    await Bun.sleep(5_000);
    expect([isOver, reader.length() > 0]).toEqual([false, true]);
    reader.stop();
    await server.ended;
    if (reason !== null) expect(await server.dropped).toContain(reason);
  },
  40_000,
);

test("who is told to leave and still reads is left the time to hear why", async () => {
  // A grace in which a look at the system's buffers is surely a new one.
  await using server = await start({ ...QUICK, socketStallMs: 60_000, socketCloseGraceMs: 1_500 });
  using reader = slowly(server.url, "/slow/socket");
  while (reader.length() < 500_000) await Bun.sleep(20);
  server.close.now(CLOSE.tooSlow, "the reader is too slow");
  await reader.closed;
  expect(reader.tail()).toEndWith("the reader is too slow");
  expect(reader.length()).toBeGreaterThan(3_000_000);
}, 40_000);

test.skipIf(process.platform !== "linux")("Linux tells what is on its way, over IPv4 and IPv6", async () => {
  const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
    all?.some(({ address }) => address === "::1"),
  );
  for (const hostname of hasIpv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"]) {
    const queues = new SendQueues();
    const seen: unknown[] = [];
    const server = Bun.serve({
      ...{ hostname, port: 0 },
      fetch: async (request, self) => {
        const ends = endsOf(request, self);
        seen.push(ends === null ? null : await queues.bytesTo(ends));
        return new Response();
      },
    });
    await fetch(server.url);
    await server.stop(true);
    expect(seen).toEqual([{ look: 1, bytes: 0 }]);
  }
});

test("where the system does not tell, slow readers have longer, unless all hold much", async () => {
  const held = new HeldBytes(100);
  const progress = new ReaderProgress({ queues: new SendQueues(), ends: null, held });
  await Bun.sleep(60);
  expect([await progress.isStill(50), await progress.isStill(4)]).toEqual([false, true]);
  held.change(51);
  expect(await progress.isStill(50)).toBe(true);
  progress.moved();
  expect(await progress.isStill(1_000)).toBe(false);
});
