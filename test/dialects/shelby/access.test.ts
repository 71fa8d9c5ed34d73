/** Keys, roles, pace and pages of other sites in ShelbyCompute's words, and the path that asks for no key. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { shelbyDialect } from "../../../src/dialects/shelby/shelbyDialect.ts";
import { openDirectoryBlobStore } from "../../../src/store/blobs/directoryBlobStore.ts";
import { fakeEngine } from "../../server/fakeEngine.ts";
import { startTestServer } from "../../server/testServer.ts";

const configuredKeys = (["read", "submit", "work", "admin"] as const).map((role) => ({ role, key: role }));
const detail = { detail: expect.any(String) };

async function start(extra: Parameters<typeof startTestServer>[1]) {
  const directory = await mkdtemp(join(tmpdir(), "yardmaster-shelby-access-"));
  const blobs = await openDirectoryBlobStore(directory);
  const engine = fakeEngine({
    read: { tallies: async () => [], workers: async () => [], ping: async () => {} },
  });
  const dialect = shelbyDialect({ engine, blobs });
  const server = await startTestServer({}, { dialects: [dialect], ...extra });
  return {
    url: server.url,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      dialect.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function ask(url: string, method: string, path: string, headers: Record<string, string> = {}) {
  const body = method === "POST" ? { body: "{}" } : {};
  const type = { "content-type": "application/json" };
  const response = await fetch(`${url}${path}`, { method, headers: { ...type, ...headers }, ...body });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

test("a missing key is 401, an unknown one 403; the documented health path asks for none", async () => {
  await using server = await start({ access: { configuredKeys } });
  for (const path of [
    "dashboard",
    "jobs",
    "jobs/x",
    "nodes",
    "logs",
    "logs/x",
    "node-stats",
    "stream-logs/x",
  ]) {
    const missing = await ask(server.url, "GET", `/api/frontend/${path}`);
    expect([path, missing.status, JSON.parse(missing.text)]).toEqual([path, 401, detail]);
    const unknown = await ask(server.url, "GET", `/api/frontend/${path}`, { "x-api-key": "nobody's" });
    expect([path, unknown.status, JSON.parse(unknown.text)]).toEqual([path, 403, detail]);
  }
  expect((await ask(server.url, "GET", "/api/frontend/system/health")).status).toBe(200);
});

test("roles: readers look, submitters submit, agents work", async () => {
  await using server = await start({ access: { configuredKeys } });
  const all = ["read", "submit", "work", "admin"];
  const may: [string, string, readonly string[]][] = [
    ["GET", "/api/frontend/jobs?limit=x", all],
    ["GET", "/api/frontend/logs/x?limit=x", all],
    ["GET", "/api/debug/jobs?limit=x", all],
    ["POST", "/api/jobs/create", ["submit", "admin"]],
    ["POST", "/api/jobs/upload-script", ["submit", "admin"]],
    ["GET", "/api/jobs/poll", ["work", "admin"]],
    ["GET", "/api/jobs/fetch-script", ["work", "admin"]],
  ];
  for (const path of [
    "nodes/register",
    "nodes/heartbeat",
    "jobs/ack",
    "jobs/finish",
    "jobs/stream-log",
    "usage-report",
  ]) {
    may.push(["POST", `/api/${path}`, ["work", "admin"]]);
  }
  for (const [method, path, roles] of may) {
    for (const { role, key } of configuredKeys) {
      const { status } = await ask(server.url, method, path, { authorization: `Bearer ${key}` });
      // Who may is told that the request is wrong.
      expect([method, path, role, status]).toEqual([method, path, role, roles.includes(role) ? 422 : 403]);
    }
  }
  for (const [method, path] of [
    ["DELETE", "/api/frontend/jobs/x"],
    ["DELETE", "/api/frontend/nodes/x"],
    ["POST", "/api/frontend/jobs/x/restart"],
  ] as const) {
    for (const key of ["read", "work"]) {
      expect((await ask(server.url, method, path, { "x-api-key": key })).status).toBe(403);
    }
  }
});

test("too many requests are 429 with the time to wait", async () => {
  await using server = await start({ access: { rateLimitPerMinute: 2 } });
  const answers = [];
  for (let n = 0; n < 3; n++) answers.push(await ask(server.url, "GET", "/api/frontend/dashboard?"));
  const last = answers.at(-1);
  expect(last?.status).toBe(429);
  expect(Number(last?.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(JSON.parse(last?.text ?? "")).toEqual(detail);
});

test("pages of other sites may not restart jobs unless they were allowed", async () => {
  await using server = await start({});
  const page = { origin: "https://elsewhere.example" };
  const { status, text } = await ask(server.url, "POST", "/api/frontend/jobs/x/restart", page);
  expect([status, JSON.parse(text)]).toEqual([403, detail]);
});
