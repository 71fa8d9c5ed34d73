import { describe, expect, test } from "bun:test";
import { pino } from "pino";
import type { CorsOptions } from "../../src/server/access/cors.ts";
import { startTestServer } from "./testServer.ts";

const SITE = "https://app.example";
const cors = (options: Partial<CorsOptions> = {}): CorsOptions => ({
  origins: [SITE],
  methods: ["*"],
  headers: ["*"],
  allowsCredentials: false,
  maxAgeSeconds: 600,
  ...options,
});
const configuredKeys = [{ role: "submit" as const, key: "key" }];

async function preflight(url: string, path: string, origin: string): Promise<Response> {
  const headers = {
    origin,
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,x-api-key",
  };
  return fetch(`${url}${path}`, { method: "OPTIONS", headers });
}

describe("pages of other sites", () => {
  test("get no headers where no site was named", async () => {
    await using server = await startTestServer();
    const answer = await fetch(`${server.url}/v1/jobs`, { headers: { origin: SITE } });
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    expect((await preflight(server.url, "/v1/jobs", SITE)).status).toBe(405);
  });

  test.each([null, cors()])(
    "are told of to the operator once for each site, and at most 20 sites",
    async (rules) => {
      const lines: string[] = [];
      const logger = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
      await using server = await startTestServer({}, { logger, access: { configuredKeys, cors: rules } });
      const evil = "https://evil.example";
      for (const origin of [evil, evil]) await preflight(server.url, "/v1/jobs", origin);
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([
        { origin: evil, msg: expect.stringContaining("--cors-origin") },
      ]);
      for (let n = 0; n < 40; n++) await preflight(server.url, "/v1/jobs", `https://${n}.example`);
      if (rules !== null) await preflight(server.url, "/v1/jobs", SITE);
      expect(lines.length).toBe(20);
      expect(lines.join("")).not.toContain(SITE);
    },
  );

  test("a preflight needs no key and no route, and tells what was asked for", async () => {
    await using server = await startTestServer({}, { access: { configuredKeys, cors: cors() } });
    for (const path of ["/v1/jobs", "/nowhere"]) {
      const answer = await preflight(server.url, path, SITE);
      expect(answer.status).toBe(204);
      expect(answer.headers.get("access-control-allow-origin")).toBe(SITE);
      expect(answer.headers.get("access-control-allow-methods")).toBe("POST");
      expect(answer.headers.get("access-control-allow-headers")).toBe("content-type,x-api-key");
      expect(answer.headers.get("access-control-max-age")).toBe("600");
      expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
      expect(answer.headers.get("vary")).toContain("Origin");
    }
    const stranger = await preflight(server.url, "/v1/jobs", "https://evil.example");
    expect(stranger.headers.get("access-control-allow-origin")).toBeNull();
    expect(stranger.headers.get("access-control-allow-methods")).toBeNull();
    // OPTIONS that is no preflight is an ordinary request.
    expect((await fetch(`${server.url}/v1/jobs`, { method: "OPTIONS" })).status).toBe(401);
  });

  test("named methods and headers are told as they are named", async () => {
    const named = cors({ methods: ["GET", "POST"], headers: ["X-API-Key"], allowsCredentials: true });
    await using server = await startTestServer({}, { access: { cors: named } });
    const answer = await preflight(server.url, "/v1/jobs", SITE);
    expect(answer.headers.get("access-control-allow-methods")).toBe("GET, POST");
    expect(answer.headers.get("access-control-allow-headers")).toBe("X-API-Key");
    expect(answer.headers.get("access-control-allow-credentials")).toBe("true");
  });

  test("errors carry the headers too", async () => {
    const access = { configuredKeys, rateLimitPerMinute: 2, cors: cors() };
    await using server = await startTestServer({}, { access });
    const get = (key: string, path = "/v1/jobs") =>
      fetch(`${server.url}${path}`, {
        headers: { origin: SITE, ...(key === "" ? {} : { "x-api-key": key }) },
      });
    const answers = [
      await get("key"),
      await get("key", "/nowhere"),
      await get("key"),
      await get(""),
      await get("x"),
    ];
    expect(answers.map((answer) => answer.status)).toEqual([200, 404, 429, 401, 403]);
    for (const answer of answers) {
      expect(answer.headers.get("access-control-allow-origin")).toBe(SITE);
      expect(answer.headers.get("access-control-expose-headers")).toContain("Retry-After");
    }
  });

  test("other sites and programs get no such header, and caches are told that it depends", async () => {
    await using server = await startTestServer({}, { access: { cors: cors() } });
    for (const headers of [{ origin: "https://evil.example" }, { origin: "null" }, {}]) {
      const answer = await fetch(`${server.url}/v1/jobs`, { headers });
      expect(answer.status).toBe(200);
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      expect(answer.headers.get("vary")).toBe("Origin");
    }
  });

  test("a page that its reader's own machine serves is let in with `local`, and none that only looks like one", async () => {
    await using server = await startTestServer({}, { access: { cors: cors({ origins: ["local"] }) } });
    const allowed = async (origin: string) =>
      (await fetch(`${server.url}/v1/jobs`, { headers: { origin } })).headers.get(
        "access-control-allow-origin",
      );
    for (const origin of [
      "http://localhost:5173",
      "https://LOCALHOST",
      "http://127.0.0.1:3000",
      "http://[::1]:80",
    ]) {
      expect(await allowed(origin)).toBe(origin);
      expect(
        (await preflight(server.url, "/v1/jobs", origin)).headers.get("access-control-allow-methods"),
      ).toBe("POST");
    }
    for (const origin of [
      "null",
      "",
      "file://",
      "http://localhost.example.com",
      "http://localhost.",
      "http://evil.localhost",
      "http://127.0.0.1.example.com",
      "http://example.com/localhost",
      "http://localhost@example.com",
      "http://192.168.1.2:3000",
      "chrome-extension://localhost",
    ]) {
      expect([origin, await allowed(origin)]).toEqual([origin, null]);
    }
  });

  test("every site is let in with *, but never with a login that the browser has stored", async () => {
    const all = cors({ origins: ["*"], allowsCredentials: true });
    await using server = await startTestServer({}, { access: { cors: all } });
    for (const answer of [
      await preflight(server.url, "/v1/jobs", "https://any.example"),
      await fetch(`${server.url}/v1/jobs`, { headers: { origin: "https://any.example" } }),
    ]) {
      expect(answer.headers.get("access-control-allow-origin")).toBe("*");
      expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
    }
  });
});

describe("requests that a browser sends for a page of another site without asking first", () => {
  const send = (
    url: string,
    path: string,
    headers: Record<string, string>,
    body: Uint8Array<ArrayBuffer> | null = null,
  ) => fetch(`${url}${path}`, { method: "POST", headers, body });
  const job = new TextEncoder().encode(JSON.stringify({ spec: { argv: ["true"] } }));

  test("are refused where they would change something", async () => {
    await using server = await startTestServer();
    const statuses = async (headers: Record<string, string>) => [
      (await send(server.url, "/v1/jobs", headers, job)).status,
      (await send(server.url, "/v1/jobs/1/retry", headers)).status,
      (await send(server.url, "/v1/jobs/1/cancel", headers)).status,
    ];
    expect(await statuses({ origin: "https://evil.example" })).toEqual([403, 403, 403]);
    expect(await statuses({ origin: "null" })).toEqual([403, 403, 403]);
    expect(await statuses({ origin: "https://evil.example", "sec-fetch-site": "cross-site" })).toEqual([
      403, 403, 403,
    ]);
    expect(await statuses({ "sec-fetch-site": "cross-site" })).toEqual([403, 403, 403]);
    expect(server.engine.submitted.length).toBe(0);
    expect((await send(server.url, "/v1/jobs", { "content-type": "text/plain" }, job)).status).toBe(415);
    expect(server.errors).toEqual([]);
  });

  test("are taken from programs, from pages of this server and from sites that are named", async () => {
    await using server = await startTestServer({}, { access: { cors: cors() } });
    for (const headers of [
      {},
      { origin: server.url },
      { origin: SITE, "sec-fetch-site": "cross-site" },
      { origin: "https://behind.proxy", "sec-fetch-site": "same-origin" },
    ]) {
      expect((await send(server.url, "/v1/jobs", headers, job)).status).toBe(201);
      expect((await send(server.url, "/v1/jobs/1/retry", headers)).status).toBe(200);
    }
  });
});
