import { describe, expect, test } from "bun:test";
import { ConnectionError, WaitTimeoutError, YardmasterClient, YardmasterError } from "@yardmaster/client";
import { problem, scriptedServer } from "./scriptedServer.ts";

const job = (state: string) => () => Response.json({ id: 1, state });
const failure = async (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => null,
    (error) => error,
  );

describe("a request that fails", () => {
  test("names every refused field", async () => {
    await using server = scriptedServer(() =>
      problem(422, "The job is not valid", {
        errors: [{ path: "/spec/argv", message: "must not be empty" }],
      }),
    );
    const client = new YardmasterClient({ baseUrl: server.url });
    const error = await failure(client.submit({ spec: { argv: [] } }));
    expect(error).toBeInstanceOf(YardmasterError);
    expect(error).toMatchObject({ status: 422, problem: { detail: "The job is not valid" } });
    expect(String(error)).toContain("/spec/argv: must not be empty");
    expect(server.seen).toHaveLength(1);
  });

  test("is not told twice when the detail tells it", async () => {
    await using server = scriptedServer(() =>
      problem(422, "/spec/argv: must not be empty (and 1 more)", {
        errors: [
          { path: "/spec/argv", message: "must not be empty" },
          { path: "/name", message: "must be a text" },
        ],
      }),
    );
    const error = await failure(new YardmasterClient({ baseUrl: server.url }).submit({ spec: { argv: [] } }));
    expect(String(error)).toEndWith(
      "/spec/argv: must not be empty (and 1 more) (422): /name: must be a text",
    );
  });

  test("has a message even when the body is no JSON", async () => {
    await using server = scriptedServer(() => new Response("<html>", { status: 400 }));
    const error = await failure(new YardmasterClient({ baseUrl: server.url }).job(1));
    expect(error).toMatchObject({ status: 400, problem: null });
    expect(String(error)).toContain("the server answered 400");
  });

  test("is a ConnectionError when the answer is not JSON", async () => {
    await using server = scriptedServer(() => new Response("hello"));
    const error = await failure(new YardmasterClient({ baseUrl: server.url, maxRetries: 0 }).job(1));
    expect(error).toBeInstanceOf(ConnectionError);
  });

  test("is a ConnectionError when nobody listens", async () => {
    const server = scriptedServer(job("ready"));
    const { url } = server;
    await server[Symbol.asyncDispose]();
    const error = await failure(new YardmasterClient({ baseUrl: url, maxRetries: 1 }).job(1));
    expect(error).toBeInstanceOf(ConnectionError);
    expect(String(error)).toContain(url);
  });

  test("is a ConnectionError when no answer comes in time", async () => {
    await using server = scriptedServer(() => new Promise<Response>(() => {}));
    const client = new YardmasterClient({ baseUrl: server.url, maxRetries: 0, requestTimeoutMs: 30 });
    expect(String(await failure(client.job(1)))).toContain("no answer within 30 ms");
  });
});

describe("a retry", () => {
  test("follows 503, 429, 502 and 504 for a read", async () => {
    await using server = scriptedServer(
      () => problem(503, "busy", {}, { "Retry-After": "0" }),
      () => problem(429, "slow down", {}, { "Retry-After": "0" }),
      () => new Response(null, { status: 502 }),
      () => new Response(null, { status: 504 }),
      job("ready"),
    );
    const client = new YardmasterClient({ baseUrl: server.url, maxRetryPauseMs: 10 });
    expect(await client.job(1)).toMatchObject({ state: "ready" });
    expect(server.seen).toHaveLength(5);
  });

  test("waits as long as Retry-After says", async () => {
    await using server = scriptedServer(
      () => problem(503, "busy", {}, { "Retry-After": "0.2" }),
      job("ready"),
    );
    const before = performance.now();
    await new YardmasterClient({ baseUrl: server.url, maxRetryPauseMs: 1 }).job(1);
    expect(performance.now() - before).toBeGreaterThanOrEqual(195);
  });

  test("is not made when Retry-After is longer than allowed", async () => {
    await using server = scriptedServer(() => problem(503, "busy", {}, { "Retry-After": "3600" }));
    const error = await failure(new YardmasterClient({ baseUrl: server.url }).job(1));
    expect(error).toMatchObject({ status: 503, retryAfterMs: 3_600_000 });
    expect(server.seen).toHaveLength(1);
  });

  test("of a submission carries the same idempotency key", async () => {
    await using server = scriptedServer(() => new Response(null, { status: 502 }), job("ready"));
    await new YardmasterClient({ baseUrl: server.url, maxRetryPauseMs: 1 }).submit({
      spec: { argv: ["true"] },
    });
    const keys = server.seen.map((request) => request.headers.get("Idempotency-Key"));
    expect(keys).toHaveLength(2);
    expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(keys[1]).toBe(keys[0] ?? "");
  });

  test("of a claim follows a refusal, never a lost answer", async () => {
    const request = {
      workerId: "w",
      queues: ["*"],
      kinds: ["command" as const],
      capacity: { cpu: 1, accelerators: 0, memoryMb: 0 },
      max: 1,
      waitMs: 0,
    };
    await using refusing = scriptedServer(
      () => problem(503, "busy", {}, { "Retry-After": "0" }),
      () => Response.json({ jobs: [] }),
    );
    expect(await new YardmasterClient({ baseUrl: refusing.url, maxRetryPauseMs: 1 }).claim(request)).toEqual(
      [],
    );
    await using losing = scriptedServer(() => new Response(null, { status: 502 }));
    const error = await failure(new YardmasterClient({ baseUrl: losing.url }).claim(request));
    expect(error).toMatchObject({ status: 502 });
    expect(losing.seen).toHaveLength(1);
  });

  test("ends when the caller aborts", async () => {
    await using server = scriptedServer(() => problem(503, "busy", {}, { "Retry-After": "30" }));
    const controller = new AbortController();
    const call = failure(new YardmasterClient({ baseUrl: server.url }).job(1, { signal: controller.signal }));
    while (server.seen.length === 0) await Bun.sleep(1);
    controller.abort(new Error("enough"));
    expect(String(await call)).toContain("enough");
  });
});

test("the API key travels as X-API-Key, and filters as repeated parameters", async () => {
  await using server = scriptedServer(() => Response.json({ items: [], nextCursor: null, total: 0 }));
  const client = new YardmasterClient({ baseUrl: `${server.url}/`, apiKey: "k" });
  await client.jobs({ state: ["ready", "running"], label: "a:b c", limit: 5 });
  expect(server.seen[0]?.headers.get("X-API-Key")).toBe("k");
  expect(server.seen[0]?.path).toBe("/v1/jobs");
  expect(server.seen[0]?.query.getAll("state")).toEqual(["ready", "running"]);
  expect(server.seen[0]?.query.get("label")).toBe("a:b c");
});

test("allJobs goes through all pages", async () => {
  await using server = scriptedServer(
    () => Response.json({ items: [{ id: 3 }, { id: 2 }], nextCursor: "2", total: 3 }),
    () => Response.json({ items: [{ id: 1 }], nextCursor: null, total: 3 }),
  );
  const ids: number[] = [];
  for await (const { id } of new YardmasterClient({ baseUrl: server.url }).allJobs()) ids.push(id);
  expect(ids).toEqual([3, 2, 1]);
  expect(server.seen[1]?.query.get("cursor")).toBe("2");
});

test("keys with slashes stay one part of the path", async () => {
  await using server = scriptedServer((request) => Response.json({ path: request.path }));
  await new YardmasterClient({ baseUrl: server.url }).job("a/../b");
  expect(server.seen[0]?.path).toBe("/v1/jobs/a%2F..%2Fb");
});

describe("wait", () => {
  test("returns the job once it is final", async () => {
    await using server = scriptedServer(job("ready"), job("running"), job("failed"));
    expect(await new YardmasterClient({ baseUrl: server.url }).wait(1)).toMatchObject({ state: "failed" });
  });

  test("gives up after its time limit", async () => {
    await using server = scriptedServer(job("running"));
    const error = await failure(new YardmasterClient({ baseUrl: server.url }).wait(1, { timeoutMs: 50 }));
    expect(error).toBeInstanceOf(WaitTimeoutError);
  });

  test("returns a blocked job when asked to", async () => {
    await using server = scriptedServer(job("blocked"));
    const client = new YardmasterClient({ baseUrl: server.url });
    expect(await client.wait(1, { returnsBlocked: true })).toMatchObject({ state: "blocked" });
  });
});

describe("artifacts", () => {
  test("are asked for by range and by existence", async () => {
    await using server = scriptedServer(
      () => new Response("bc", { status: 206 }),
      () => new Response(null, { status: 404 }),
      () => new Response(null, { status: 200 }),
    );
    const client = new YardmasterClient({ baseUrl: server.url });
    expect(await (await client.getArtifact("00", { range: { first: 1, last: 2 } })).text()).toBe("bc");
    expect(server.seen[0]?.headers.get("Range")).toBe("bytes=1-2");
    expect(await client.hasArtifact("00")).toBe(false);
    expect(await client.hasArtifact("00")).toBe(true);
  });

  test("are sent as they are", async () => {
    await using server = scriptedServer(() => new Response(null, { status: 201 }));
    await new YardmasterClient({ baseUrl: server.url }).putArtifact("00", new Blob(["abc"]));
    expect(server.seen[0]).toMatchObject({ method: "PUT", path: "/v1/artifacts/00", body: "abc" });
  });
});
