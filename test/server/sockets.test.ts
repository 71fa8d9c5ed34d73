/** WebSockets of any dialect: who may open one, how many, and their end. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Dialect } from "../../src/dialects/dialect.ts";
import type { SocketConnection, SocketRoute } from "../../src/dialects/socket.ts";
import { errorAnswer } from "../../src/dialects/whatsnext/errors.ts";
import { NotFoundError, StoreUnavailableError } from "../../src/domain/errors.ts";
import { KEY_ROLES } from "../../src/server/access/apiKey.ts";
import { createKey, keyFilePath, revokeKeys } from "../../src/server/access/keyFile.ts";
import type { ServerLimits } from "../../src/server/limits.ts";
import type { AccessOptions } from "../../src/server/startServer.ts";
import { startTestServer } from "./testServer.ts";

const configuredKeys = KEY_ROLES.map((role) => ({ role, key: `key-${role}` }));

interface Setup {
  readonly access?: AccessOptions;
  readonly limits?: Partial<ServerLimits>;
  readonly open?: SocketRoute["open"];
}

async function start({ access, limits, open }: Setup = {}) {
  const connections: SocketConnection[] = [];
  const sockets: SocketRoute[] = [
    {
      path: "/ws/things/{thing}",
      open: (connection) => {
        connections.push(connection);
        connection.send([
          JSON.stringify({ ...connection.params, query: [...connection.query], role: connection.role }),
        ]);
        return open?.(connection);
      },
    },
    { path: "/ws/admin", access: "admin", open: (connection) => void connection.send(["hello"]) },
  ];
  const dialect: Dialect = {
    ...{ name: "shelby", title: "Test", description: "", prefixes: ["/ws/"], routes: [], schemas: {} },
    sockets,
    errors: errorAnswer,
  };
  const server = await startTestServer(
    {},
    { dialects: [dialect], ...(access ? { access } : {}), ...(limits ? { limits } : {}) },
  );
  return {
    server,
    connections,
    url: server.url.replace("http", "ws"),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

interface Opened {
  readonly socket: WebSocket & { pause(): boolean; resume(): boolean };
  readonly messages: string[];
  readonly opened: Promise<void>;
  readonly closed: Promise<{ code: number; reason: string }>;
}

function open(url: string, headers: Readonly<Record<string, string>> = {}): Opened {
  const socket: Opened["socket"] = Reflect.construct(WebSocket, [url, { headers }]);
  const messages: string[] = [];
  socket.addEventListener("message", ({ data }) => messages.push(String(data)));
  const opened = new Promise<void>((resolve) => socket.addEventListener("open", () => resolve()));
  const closed = new Promise<{ code: number; reason: string }>((resolve) =>
    socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason })),
  );
  return { socket, messages, opened, closed };
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await Bun.sleep(2);
  }
}

const HANDSHAKE = {
  upgrade: "websocket",
  connection: "Upgrade",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

async function code(url: string, headers: Readonly<Record<string, string>> = {}): Promise<number | "open"> {
  const { socket, closed, messages } = open(url, headers);
  const first = await Promise.race([closed, until("a message", () => messages.length > 0).then(() => null)]);
  socket.close();
  return first === null ? "open" : first.code;
}

test("a path has its parameters, a query and a role", async () => {
  await using setup = await start();
  const { messages, socket, closed } = open(`${setup.url}/ws/things/a%20b?x=1&y=%26`);
  await until("the message", () => messages.length > 0);
  expect(JSON.parse(messages[0] ?? "")).toEqual({
    thing: "a b",
    query: [
      ["x", "1"],
      ["y", "&"],
    ],
    role: "anonymous",
  });
  socket.close(3000, "bye");
  expect((await closed).code).toBe(3000);
});

describe("who may open one", () => {
  test("keys and tokens as in HTTP; refusals are close codes, which browsers can see", async () => {
    await using setup = await start({ access: { configuredKeys } });
    const { url, server } = setup;
    const path = `${url}/ws/things/x`;
    const made = await fetch(`${server.url}/v1/tokens`, {
      method: "POST",
      headers: { "x-api-key": "key-admin" },
    });
    const { token } = (await made.json()) as { token: string };
    expect(await code(path)).toBe(4401);
    expect(await code(path, { "x-api-key": "wrong" })).toBe(4401);
    expect(await code(path, { "x-api-key": "key-read" })).toBe("open");
    expect(await code(path, { authorization: "Bearer key-read" })).toBe("open");
    expect(await code(path, { authorization: `Basic ${btoa("u:key-read")}` })).toBe("open");
    expect(await code(path, { authorization: `Bearer ${token}` })).toBe("open");
    expect(await code(`${path}?access_token=${token}`)).toBe("open");
    expect(await code(`${path}?access_token=${token.slice(0, -5)}AAAAA`)).toBe(4401);
    expect(await code(`${path}?access_token=key-read`)).toBe(4401);
    expect(await code(`${url}/ws/admin?access_token=${token}`)).toBe("open");
    expect(await code(`${url}/ws/admin`, { "x-api-key": "key-read" })).toBe(4403);
    expect(setup.connections.every(({ query }) => !query.has("access_token"))).toBe(true);
  });

  test("the token is not handed on, and the reason is told", async () => {
    await using setup = await start({ access: { configuredKeys } });
    const { closed, messages } = open(`${setup.url}/ws/things/x`);
    expect((await closed).reason).toContain("an API key is required");
    expect(messages).toEqual([]);
    expect(setup.connections).toEqual([]);
  });

  test("a socket ends when its key is revoked, whether it came with the key or with a token", async () => {
    const folder = mkdtempSync(join(tmpdir(), "yardmaster-sockets-"));
    try {
      const keyFile = keyFilePath(folder);
      const goes = createKey(keyFile, "read", "goes");
      const stays = createKey(keyFile, "read", "stays");
      await using setup = await start({
        access: { keyFile },
        limits: { keyFilePollMs: 5, socketCheckMs: 5 },
      });
      const path = `${setup.url}/ws/things/x`;
      const made = await fetch(`${setup.server.url}/v1/tokens`, {
        method: "POST",
        headers: { "x-api-key": goes.key },
      });
      const { token } = (await made.json()) as { token: string };
      const ended = [open(path, { "x-api-key": goes.key }), open(`${path}?access_token=${token}`)];
      const kept = open(path, { "x-api-key": stays.key });
      await until("all messages", () => [...ended, kept].every(({ messages }) => messages.length > 0));
      revokeKeys(keyFile, [goes.stored.id]);
      for (const { closed } of ended) expect((await closed).code).toBe(4401);
      expect(kept.socket.readyState).toBe(WebSocket.OPEN);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("sockets without a key end when the server gets its first one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "yardmaster-sockets-"));
    try {
      const keyFile = keyFilePath(folder);
      await using setup = await start({
        access: { keyFile },
        limits: { keyFilePollMs: 5, socketCheckMs: 5 },
      });
      const { closed, messages } = open(`${setup.url}/ws/things/x`);
      await until("the message", () => messages.length > 0);
      createKey(keyFile, "read", "first");
      expect((await closed).code).toBe(4401);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("too many requests close with 4429", async () => {
    await using setup = await start({ access: { rateLimitPerMinute: 2 } });
    const path = `${setup.url}/ws/things/x`;
    expect([await code(path), await code(path), await code(path)]).toEqual(["open", "open", 4429]);
  });

  test("pages of other sites are refused unless they are named", async () => {
    const handshake = async (url: string, origin: string) => {
      const response = await fetch(`${url.replace("ws", "http")}/ws/things/x`, {
        headers: { ...HANDSHAKE, origin },
      });
      return response.status;
    };
    await using setup = await start();
    expect(await handshake(setup.url, "https://evil.example.com")).toBe(403);
    expect(await code(`${setup.url}/ws/things/x`, { origin: setup.server.url })).toBe("open");
    const cors = {
      origins: ["https://ours.example.com"],
      methods: ["*"],
      headers: ["*"],
      allowsCredentials: false,
      maxAgeSeconds: 1,
    };
    await using named = await start({ access: { cors } });
    expect(await handshake(named.url, "https://evil.example.com")).toBe(403);
    expect(await code(`${named.url}/ws/things/x`, { origin: "https://ours.example.com" })).toBe("open");
  });
});

test("a name that is not this machine's opens nothing at a server without keys", async () => {
  await using setup = await start();
  const headers = { ...HANDSHAKE, host: "evil.example.com", origin: "http://evil.example.com" };
  const response = await fetch(`${setup.server.url}/ws/things/x`, { headers });
  expect(response.status).toBe(403);
});

describe("what is no WebSocket", () => {
  test("a handshake on a path without one is an ordinary request", async () => {
    await using setup = await start();
    const response = await fetch(`${setup.server.url}/ws/nothing`, { headers: HANDSHAKE });
    expect(response.status).toBe(404);
  });

  test("a broken handshake is told, and harms nobody", async () => {
    await using setup = await start();
    const { "sec-websocket-key": _key, ...broken } = HANDSHAKE;
    const response = await fetch(`${setup.server.url}/ws/things/x`, { headers: broken });
    expect(response.status).toBe(426);
    expect(await code(`${setup.url}/ws/things/x`)).toBe("open");
    expect(setup.server.errors).toEqual([]);
  });
});

test("over the limit of open sockets more are refused with 503 until one ends", async () => {
  await using setup = await start({ limits: { maxOpenSockets: 3 } });
  const path = `${setup.url}/ws/things/x`;
  const all = [open(path), open(path), open(path)];
  await Promise.all(all.map(({ opened }) => opened));
  const response = await fetch(`${setup.server.url}/ws/things/x`, { headers: HANDSHAKE });
  expect(response.status).toBe(503);
  expect(response.headers.get("retry-after")).toBe("5");
  expect(await response.json()).toEqual({ detail: expect.stringContaining("holds 3 WebSockets") });
  const metrics = await (await fetch(`${setup.server.url}/metrics`)).text();
  expect(metrics).toContain("\nyardmaster_open_sockets 3\n");
  const [first] = all;
  first?.socket.close();
  await first?.closed;
  expect(await code(path)).toBe("open");
});

test.each([
  [() => Promise.reject(new NotFoundError("job", "x")), 4404, 0],
  [() => Promise.reject(new StoreUnavailableError("the disk is full")), 4503, 0],
  [() => Promise.reject(new Error("secret cause")), 1011, 1],
  [
    () => {
      throw new Error("secret cause");
    },
    1011,
    1,
  ],
] as const)("an error of the dialect closes with a code (%#)", async (fail, expected, logged) => {
  await using setup = await start({ open: fail });
  const { closed } = open(`${setup.url}/ws/things/x`);
  const { code: got, reason } = await closed;
  expect(got).toBe(expected);
  expect(reason).not.toContain("secret");
  expect(setup.server.errors.length).toBe(logged);
});

test("a client that says too much is closed with 1009", async () => {
  await using setup = await start();
  const { socket, opened, closed } = open(`${setup.url}/ws/things/x`);
  await opened;
  socket.send("a few words are heard by nobody");
  socket.send("x".repeat(5_000));
  expect([1006, 1009]).toContain((await closed).code);
  expect(await code(`${setup.url}/ws/things/x`)).toBe("open");
});

test("a reader without room is told of, holds little, and goes on when it reads again", async () => {
  await using setup = await start();
  const { socket, opened, messages } = open(`${setup.url}/ws/things/x`);
  await opened;
  await until("the connection", () => setup.connections.length > 0);
  const [connection] = setup.connections;
  if (connection === undefined) throw new Error("no connection");
  socket.pause();
  const all = Array.from({ length: 20_000 }, (_, n) => `${n} ${"x".repeat(1_000)}`);
  let sent = 0;
  const more = () => {
    sent += connection.send(all.slice(sent));
  };
  connection.onRoom = more;
  more();
  const atRest = sent;
  expect(atRest).toBeLessThan(all.length);
  socket.resume();
  await until("all has arrived", () => messages.length === all.length + 1);
  expect(messages.slice(1)).toEqual(all);
  expect(sent).toBe(all.length);
});

test("a reader that does not even take its dismissal is cut off", async () => {
  await using setup = await start({ limits: { socketCloseGraceMs: 50 } });
  const { socket, opened, closed } = open(`${setup.url}/ws/things/x`);
  await opened;
  await until("the connection", () => setup.connections.length > 0);
  const [connection] = setup.connections;
  let isOver = false;
  if (connection === undefined) throw new Error("no connection");
  connection.onEnd = () => {
    isOver = true;
  };
  socket.pause();
  while (connection.send(["x".repeat(100_000)]) === 1);
  connection.close(4408, "too slow");
  await until("the end", () => isOver);
  socket.resume();
  await closed;
});

test("a reader that takes nothing is dropped, also when nothing more comes; a slow one is not", async () => {
  await using setup = await start({
    limits: { socketStallMs: 200, socketCheckMs: 20, socketCloseGraceMs: 60_000 },
  });
  const [still, idle] = [open(`${setup.url}/ws/things/x`), open(`${setup.url}/ws/things/x`)];
  await until("the messages", () => still.messages.length === 1 && idle.messages.length === 1);
  still.socket.pause();
  // Larger than what the system's own buffers take.
  for (const connection of setup.connections) connection.send(["x".repeat(24_000_000)]);
  await until("the message", () => idle.messages.length === 2);
  // What is sent to one that is told to leave goes nowhere.
  await until("the drop", () => setup.connections.every((connection) => connection.send(["more"]) === 1));
  expect(idle.socket.readyState).toBe(WebSocket.OPEN);
  still.socket.resume();
  expect(await still.closed).toEqual({
    code: 4408,
    reason: expect.stringContaining("took nothing for 200 ms"),
  });
});

test("all readers together hold so much of large messages, and who comes over it is told to come back", async () => {
  await using setup = await start({ limits: { maxAllSocketBufferBytes: 72_000_000 } });
  const path = `${setup.url}/ws/things/x`;
  const still = Array.from({ length: 3 }, () => open(path));
  await until("the messages", () => still.every(({ messages }) => messages.length === 1));
  for (const { socket } of still) socket.pause();
  const large = "x".repeat(24_000_000);
  for (const connection of setup.connections) expect(connection.send([large])).toBe(1);
  const late = open(path);
  await until("the message", () => late.messages.length === 1);
  // Small messages go on.
  const newest = setup.connections.at(-1);
  expect(newest?.send(["small"])).toBe(1);
  newest?.send([large]);
  expect(await late.closed).toEqual({ code: 4503, reason: expect.stringContaining("come back later") });
  expect(late.messages.at(-1)).toBe("small");
  for (const { socket } of still) socket.resume();
  await until("the large messages", () => still.every(({ messages }) => messages.length === 2));
  const again = open(path);
  await until("the message", () => again.messages.length === 1);
  setup.connections.at(-1)?.send([large]);
  await until("the large message", () => again.messages.length === 2);
});

test("a server that closes says so to all, and takes no more", async () => {
  const setup = await start();
  const all = Array.from({ length: 20 }, () => open(`${setup.url}/ws/things/x`));
  await Promise.all(all.map(({ opened }) => opened));
  const closing = setup.server.server.close();
  for (const { closed } of all) expect(await closed).toEqual({ code: 1001, reason: "the server is closing" });
  await closing;
  await setup[Symbol.asyncDispose]();
});
