/** Keys and limits in WhatsNext's error shape, and the paths that ask for no key. */
import { expect, test } from "bun:test";
import { whatsnextDialect } from "../../../src/dialects/whatsnext/whatsnextDialect.ts";
import { fakeEngine } from "../../server/fakeEngine.ts";
import { startTestServer } from "../../server/testServer.ts";

const dialects = () => [whatsnextDialect({ engine: fakeEngine() })];
const configuredKeys = (["read", "submit", "work", "admin"] as const).map((role) => ({ role, key: role }));
const detail = { detail: expect.any(String) };

async function ask(url: string, method: string, path: string, key?: string) {
  const headers = key === undefined ? {} : { "x-api-key": key };
  const response = await fetch(`${url}${path}`, { method, headers });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

test("a missing key is 401, an unknown one 403, each with a sentence", async () => {
  await using server = await startTestServer({}, { dialects: dialects(), access: { configuredKeys } });
  for (const path of ["/projects/", "/jobs/1", "/tasks?project_id=1", "/clients", "/projects/1/fetch_job"]) {
    const missing = await ask(server.url, "GET", path);
    expect([path, missing.status, JSON.parse(missing.text)]).toEqual([path, 401, detail]);
    const unknown = await ask(server.url, "GET", path, "nobody's");
    expect([path, unknown.status, JSON.parse(unknown.text)]).toEqual([path, 403, detail]);
  }
  for (const path of ["/", "/checkdb", "/checkdb/", "/docs", "/redoc", "/openapi.json"]) {
    expect([path, (await ask(server.url, "GET", path)).status]).toEqual([path, 200]);
  }
});

test("roles: readers look, submitters submit, workers fetch and report", async () => {
  await using server = await startTestServer({}, { dialects: dialects(), access: { configuredKeys } });
  const may: readonly [string, string, readonly string[]][] = [
    ["GET", "/projects/x", ["read", "submit", "work", "admin"]],
    ["GET", "/jobs/x/dependencies", ["read", "submit", "work", "admin"]],
    ["POST", "/projects/", ["submit", "admin"]],
    ["POST", "/jobs", ["submit", "admin"]],
    ["DELETE", "/projects/x/queue", ["submit", "admin"]],
    ["PUT", "/jobs/x", ["submit", "work", "admin"]],
    ["GET", "/projects/x/fetch_job", ["work", "admin"]],
    ["POST", "/clients/register", ["work", "admin"]],
  ];
  for (const [method, path, roles] of may) {
    for (const { role } of configuredKeys) {
      const { status } = await ask(server.url, method, path, role);
      // Who may is told that the request is wrong.
      expect([method, path, role, status]).toEqual([method, path, role, roles.includes(role) ? 422 : 403]);
    }
  }
});

test("too many requests are 429 with the time to wait", async () => {
  const access = { rateLimitPerMinute: 2 };
  await using server = await startTestServer({}, { dialects: dialects(), access });
  const answers = [];
  for (let n = 0; n < 3; n++) answers.push(await ask(server.url, "GET", "/projects/x"));
  expect(answers.map(({ status }) => status)).toEqual([422, 422, 429]);
  const last = answers.at(-1);
  expect(Number(last?.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(JSON.parse(last?.text ?? "")).toEqual(detail);
  expect((await ask(server.url, "GET", "/checkdb")).status).toBe(200);
});
