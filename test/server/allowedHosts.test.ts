/** Pages whose site's name was bound to this machine after they were loaded (DNS rebinding). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { startTestServer, type TestServer } from "./testServer.ts";

let plain: TestServer;
let named: TestServer;
let withKeys: TestServer;
beforeAll(async () => {
  plain = await startTestServer();
  named = await startTestServer({}, { access: { allowedHosts: ["Jobs.Example.com"] } });
  const configuredKeys = [{ role: "admin", key: "k".repeat(40) } as const];
  withKeys = await startTestServer({}, { access: { configuredKeys } });
});
afterAll(async () => {
  for (const server of [plain, named, withKeys]) await server[Symbol.asyncDispose]();
});

/** Sends a request line by line: `fetch` would not send every `Host`. */
async function statusFor(
  server: TestServer,
  hostLine: string,
  line = "GET /v1/jobs",
): Promise<[number, string]> {
  const { port } = server.server.addresses[0] ?? { port: 0 };
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`${line} HTTP/1.1\r\n${hostLine}Connection: close\r\n\r\n`),
    );
    socket.setTimeout(5_000, () => reject(new Error("no answer")));
    socket.on("data", (data) => {
      text += data.toString();
    });
    socket.on("error", reject).on("close", () => {
      resolve([Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text.slice(text.indexOf("\r\n\r\n") + 4)]);
    });
  });
}

describe("a server without keys on this machine", () => {
  test.each([
    "127.0.0.1",
    "127.0.0.1:8000",
    "10.1.2.3:80",
    "[::1]",
    "[::1]:8000",
    "[fe80::1]:8000",
    "localhost",
    "LocalHost:8000",
    "localhost.:1",
  ])("answers for %p", async (host) => {
    expect((await statusFor(plain, `Host: ${host}\r\n`))[0]).toBe(200);
  });

  test.each([
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "127.0.0.1.evil.example:8000",
    "localhost.evil.example",
    "evil-localhost:8000",
    "1.2.3.4.5",
    "999.1.1.1.example:1",
  ])("refuses %p and does nothing", async (host) => {
    const [status, body] = await statusFor(plain, `Host: ${host}\r\n`);
    expect(status).toBe(403);
    expect(body).toContain("--allowed-host");
    expect(body).toContain(host.split(":")[0] ?? "");
    expect((await statusFor(plain, `Host: ${host}\r\n`, "GET /nothing"))[0]).toBe(403);
  });

  test("answers for a name that it was told", async () => {
    for (const host of ["jobs.example.com", "JOBS.example.com:443", "jobs.example.com."]) {
      expect([host, (await statusFor(named, `Host: ${host}\r\n`))[0]]).toEqual([host, 200]);
    }
    expect((await statusFor(named, "Host: example.com\r\n"))[0]).toBe(403);
    expect((await statusFor(named, "Host: localhost\r\n"))[0]).toBe(200);
  });

  test("answers for every name with `*`", async () => {
    await using server = await startTestServer({}, { access: { allowedHosts: ["*"] } });
    expect((await statusFor(server, "Host: any.example\r\n"))[0]).toBe(200);
  });
});

test("a server with keys answers for every name: a page has no key", async () => {
  expect((await statusFor(withKeys, "Host: evil.example\r\n"))[0]).toBe(401);
  expect((await statusFor(withKeys, `Host: evil.example\r\nX-API-Key: ${"k".repeat(40)}\r\n`))[0]).toBe(200);
});
