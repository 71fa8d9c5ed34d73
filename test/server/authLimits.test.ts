import { describe, expect, test } from "bun:test";
import { callerAddress } from "../../src/server/access/callerAddress.ts";
import { RateLimiter } from "../../src/server/access/rateLimiter.ts";
import { startTestServer } from "./testServer.ts";

describe("the limit of a caller", () => {
  test("is a minute's requests at once, then one after the other", () => {
    const limiter = new RateLimiter({ limitPerMinute: 60, maxCallers: 10 });
    for (let request = 0; request < 60; request++) expect(limiter.take("a", 0)).toBe(0);
    expect(limiter.take("a", 0)).toBe(1_000);
    expect(limiter.take("a", 400)).toBeCloseTo(600);
    expect(limiter.take("a", 1_000)).toBe(0);
    expect(limiter.take("a", 1_000)).toBeGreaterThan(0);
    for (let request = 0; request < 60; request++) expect(limiter.take("a", 3_600_000)).toBe(0);
    expect(limiter.take("a", 3_600_000)).toBeGreaterThan(0);
  });

  test("is each one's own, and those asked about longest ago are forgotten first", () => {
    const limiter = new RateLimiter({ limitPerMinute: 1, maxCallers: 100 });
    for (let caller = 0; caller < 10_000; caller++) expect(limiter.take(`caller ${caller}`, 0)).toBe(0);
    expect(limiter.size).toBe(100);
    expect(limiter.take("caller 9999", 0)).toBeGreaterThan(0);
    expect(limiter.take("caller 9900", 0)).toBeGreaterThan(0);
    expect(limiter.take("caller 0", 0)).toBe(0);
  });

  test.each([
    ["10.0.0.7", "10.0.0.7"],
    ["::ffff:10.0.0.7", "10.0.0.7"],
    ["::1", "0:0:0:0::/64"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8::5", "2001:db8:0:0::/64"],
    ["fe80::1:2:3:4", "fe80:0:0:0::/64"],
  ])("the address %s counts as %s", (address, expected) => {
    const request = new Request("http://x/", { headers: { "x-forwarded-for": "6.6.6.6" } });
    expect(callerAddress(request, { requestIP: () => ({ address }) })).toBe(expected);
  });
});

test("a caller over the limit is told 429 and when to come back; health paths are not counted", async () => {
  await using server = await startTestServer({}, { access: { rateLimitPerMinute: 3 } });
  const get = (path: string) => fetch(`${server.url}${path}`);
  for (let request = 0; request < 3; request++) expect((await get("/v1/jobs")).status).toBe(200);
  const refused = await get("/v1/jobs");
  expect(refused.status).toBe(429);
  const retryAfter = Number(refused.headers.get("retry-after"));
  expect(retryAfter).toBeGreaterThanOrEqual(1);
  expect(retryAfter).toBeLessThanOrEqual(20);
  expect(await refused.json()).toMatchObject({ type: "urn:yardmaster:problem:rate-limited", status: 429 });
  expect((await get("/nowhere")).status).toBe(429);
  for (let request = 0; request < 10; request++) {
    for (const path of ["/", "/healthz", "/readyz", "/openapi.json", "/docs"]) {
      expect((await get(path)).status).toBe(200);
    }
  }
  expect(server.errors).toEqual([]);
});

test("each key has a limit of its own; wrong keys and none share that of their address", async () => {
  const configuredKeys = (["one", "two"] as const).map((key) => ({ role: "read" as const, key }));
  const access = { configuredKeys, ownKey: "own", rateLimitPerMinute: 2 };
  await using server = await startTestServer({}, { access });
  const status = async (key?: string) => {
    const headers: Record<string, string> = key === undefined ? {} : { "x-api-key": key };
    return (await fetch(`${server.url}/v1/jobs`, { headers })).status;
  };
  expect([await status("one"), await status("one"), await status("one")]).toEqual([200, 200, 429]);
  expect([await status("two"), await status("two"), await status("two")]).toEqual([200, 200, 429]);
  expect([await status("guess 1"), await status(), await status("guess 2"), await status()]).toEqual([
    403, 401, 429, 429,
  ]);
  for (let request = 0; request < 10; request++) expect(await status("own")).toBe(200);
});
