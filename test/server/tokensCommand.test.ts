/** Tokens at the real command: settings, the secret's file, and that no token is ever logged. */
import { afterAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { Scratch } from "../cli/yardmasterProcess.ts";

const scratch = new Scratch();
afterAll(() => scratch.dispose());
const ISSUER = ["--jwt-issuer", "https://login.example.com/", "--jwt-audience", "yard"];

async function opened(url: string): Promise<"open" | number> {
  const socket = new WebSocket(url);
  return new Promise((resolve) => {
    socket.addEventListener("message", () => {
      resolve("open");
      socket.close();
    });
    socket.addEventListener("close", ({ code }) => resolve(code));
  });
}

test("a token opens streams, outlives a restart, and appears in no log", async () => {
  const argv = ["serve", "--data", "data", "--api-key", "submit:the-key", "--log-level", "debug"];
  const first = await scratch.start(argv);
  const response = await fetch(`${first.url}/v1/tokens`, {
    method: "POST",
    headers: { "x-api-key": "the-key", "content-type": "application/json" },
    body: JSON.stringify({ role: "read", expiresInSeconds: 600 }),
  });
  expect(response.status).toBe(201);
  const { token } = (await response.json()) as { token: string };
  expect(statSync(join(scratch.folder, "data/token-secret")).mode & 0o777).toBe(0o600);

  const ask = async (url: string) => {
    const socket = await opened(`${url.replace("http", "ws")}/ws/dashboard?access_token=${token}`);
    const refused = await opened(`${url.replace("http", "ws")}/ws/dashboard?access_token=${token}x`);
    const plain = await fetch(`${url}/v1/jobs?access_token=${token}`);
    const events = await fetch(`${url}/api/frontend/stream-logs/nothing?access_token=${token}`);
    return [socket, refused, plain.status, events.status];
  };
  expect(await ask(first.url)).toEqual(["open", 4401, 401, 404]);
  first.child.kill("SIGTERM");
  const log = await new Response(first.child.stderr).text();
  await first.child.exited;
  expect(log).toContain("/v1/tokens");
  expect(log).not.toContain(token.slice(0, 40));
  expect(log).not.toContain("access_token");

  const second = await scratch.start(argv);
  expect(await ask(second.url)).toEqual(["open", 4401, 401, 404]);
});

test("an issuer is named whole, and its keys come over a safe way", async () => {
  const start = (...more: readonly string[]) => scratch.run(["serve", "--data", "issuer", ...more]);
  const part = await start(...ISSUER);
  expect([part.exitCode, part.stderr]).toEqual([2, expect.stringContaining("--jwks-url go together")]);
  for (const url of ["http://login.example.com/keys", "ftp://x/", "keys", "https://user:secret@x/"]) {
    const unsafe = await start(...ISSUER, "--jwks-url", url);
    expect([url, unsafe.exitCode, unsafe.stderr]).toEqual([
      url,
      2,
      expect.stringContaining("an https address"),
    ]);
  }
});

test("a server that takes another issuer's tokens asks everybody for a key or a token", async () => {
  const { url } = await scratch.start([
    "serve",
    "--data",
    "outside",
    ...ISSUER,
    "--jwks-url",
    "http://127.0.0.1:1/keys",
  ]);
  expect((await fetch(`${url}/v1/jobs`)).status).toBe(401);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
});
