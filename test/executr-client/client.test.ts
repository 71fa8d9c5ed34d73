import { describe, expect, test } from "bun:test";
import {
  ConnectionError,
  ExecutrClient,
  type ExecutrClientOptions,
  ExecutrError,
  type NewJob,
  WaitTimeoutError,
} from "@yardmaster/client/executr";
import { type ScriptedServer, type SeenRequest, scriptedServer } from "../sdk/scriptedServer.ts";

const ID = "550e8400-e29b-41d4-a716-446655440000";
const NEW_JOB: NewJob = {
  type: "data-processing",
  binary_url: "https://example.com/binary",
  binary_sha256: "ab".repeat(32),
  priority: "background",
};
const EXECUTOR = { executor_id: "worker-1", executor_ip: "host-1" };

function clientOf(server: ScriptedServer, options: ExecutrClientOptions = {}): ExecutrClient {
  return new ExecutrClient({ baseUrl: server.url, maxRetryPauseMs: 5, ...options });
}
const ok =
  (body: unknown, status = 200) =>
  () =>
    Response.json(body, { status });
const refusal = (status: number, error: string, context: object = {}, headers: HeadersInit = {}) =>
  Response.json({ error, context }, { status, headers });
const told = (request: SeenRequest | undefined) =>
  [
    request?.method,
    request?.path,
    request?.body === "" ? null : JSON.parse(request?.body ?? "null"),
  ] as const;

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    return await promise.then((value) => ({ resolvedTo: value }));
  } catch (error) {
    return error;
  }
}

describe("every call is sent as the document writes it", () => {
  const calls: [string, (client: ExecutrClient) => Promise<unknown>, string, string, unknown][] = [
    ["submit", (client) => client.submit(NEW_JOB), "POST", "/api/v1/jobs", NEW_JOB],
    ["bulkSubmit", (client) => client.bulkSubmit([NEW_JOB]), "POST", "/api/v1/jobs/bulk", [NEW_JOB]],
    ["get", (client) => client.get(ID), "GET", `/api/v1/jobs/${ID}`, null],
    ["list", (client) => client.list(), "GET", "/api/v1/jobs", null],
    ["cancel", (client) => client.cancel(ID), "DELETE", `/api/v1/jobs/${ID}`, null],
    [
      "bulkCancel",
      (client) => client.bulkCancel({ job_ids: [ID], type: "x" }),
      "POST",
      "/api/v1/jobs/bulk/cancel",
      { job_ids: [ID], type: "x" },
    ],
    ["claim", (client) => client.claim(EXECUTOR), "POST", "/api/v1/jobs/claim", EXECUTOR],
    [
      "heartbeat",
      (client) => client.heartbeat(ID, "worker-1"),
      "PUT",
      `/api/v1/jobs/${ID}/heartbeat`,
      { executor_id: "worker-1" },
    ],
    [
      "complete",
      (client) => client.complete(ID, { executor_id: "worker-1", stdout: "out", exit_code: 0 }),
      "PUT",
      `/api/v1/jobs/${ID}/complete`,
      { executor_id: "worker-1", stdout: "out", exit_code: 0 },
    ],
    [
      "fail",
      (client) => client.fail(ID, { executor_id: "worker-1", error_message: "no" }),
      "PUT",
      `/api/v1/jobs/${ID}/fail`,
      { executor_id: "worker-1", error_message: "no" },
    ],
    ["statistics", (client) => client.statistics(), "GET", "/api/v1/admin/stats", null],
    ["executors", (client) => client.executors(), "GET", "/api/v1/admin/executors", null],
    ["health", (client) => client.health(), "GET", "/api/v1/health", null],
  ];

  test.each(calls)("%s", async (_name, call, method, path, body) => {
    const answer = { id: ID, status: "pending" };
    await using server = scriptedServer(ok(answer));
    expect(await call(clientOf(server))).toEqual(answer);
    expect(server.seen.map(told)).toEqual([[method, path, body]]);
  });

  test("metrics are text", async () => {
    await using server = scriptedServer(() => new Response("executr_executors_active 0\n"));
    expect(await clientOf(server).metrics()).toBe("executr_executors_active 0\n");
    expect(server.seen[0]?.path).toBe("/api/v1/metrics");
  });

  test("filters of a list are its query; what is not given is not sent", async () => {
    await using server = scriptedServer(ok([]));
    const client = clientOf(server);
    await client.list({ status: "pending", type: "a&b", priority: "best_effort", limit: 10, offset: 20 });
    await client.list({ status: undefined });
    expect(server.seen.map(({ query }) => Object.fromEntries(query))).toEqual([
      { status: "pending", type: "a&b", priority: "best_effort", limit: "10", offset: "20" },
      {},
    ]);
  });

  test("a claim that finds no job resolves to null", async () => {
    await using server = scriptedServer(() => new Response(null, { status: 204 }));
    expect(await clientOf(server).claim(EXECUTOR)).toBeNull();
  });
});

describe("the server's address", () => {
  test.each(["", "/", "/api/v1", "/api/v1/"])("may end with %p", async (end) => {
    await using server = scriptedServer(ok({ status: "healthy" }));
    const client = new ExecutrClient({ baseUrl: `${server.url}${end}` });
    await client.health();
    expect(client.baseUrl).toBe(server.url);
    expect(server.seen[0]?.path).toBe("/api/v1/health");
  });

  test("keeps the path of a proxy", async () => {
    await using server = scriptedServer(ok({}));
    await new ExecutrClient({ baseUrl: `${server.url}/jobs-of/team/api/v1` }).health();
    expect(server.seen[0]?.path).toBe("/jobs-of/team/api/v1/health");
  });

  test("may hold the key as its password, which is shown nowhere", async () => {
    await using server = scriptedServer(() => refusal(404, "job not found"));
    const client = new ExecutrClient({ baseUrl: server.url.replace("//", "//any:ym%2Fsecret@") });
    const error = await rejection(client.get(ID));
    expect(server.seen[0]?.headers.get("X-API-Key")).toBe("ym/secret");
    expect(`${client.baseUrl} ${error}`).not.toContain("secret");
  });

  test("an `apiKey` counts more than the address", async () => {
    await using server = scriptedServer(ok({}));
    await new ExecutrClient({ baseUrl: server.url.replace("//", "//a:old@"), apiKey: "new" }).health();
    expect(server.seen[0]?.headers.get("X-API-Key")).toBe("new");
  });

  test.each(["localhost:8080", "", "ftp://host", "ftp://a:secret@host"])("%p is refused", (baseUrl) => {
    expect(() => new ExecutrClient({ baseUrl })).toThrow(/must be an http or https address/);
    expect(() => new ExecutrClient({ baseUrl })).not.toThrow(/secret/);
  });

  test.each(["", "..", "a/b", "a?b"])(
    "the id %p, which would name another thing, is refused unsent",
    (id) => {
      const client = new ExecutrClient();
      expect(() => client.get(id)).toThrow(/UUID/);
      expect(() => client.cancel(id)).toThrow(/UUID/);
    },
  );
});

describe("errors", () => {
  test("hold the status, the sentence and its context, and tell them all", async () => {
    await using server = scriptedServer(() =>
      refusal(400, "priority must be one of foreground, background, best_effort", {
        field: "priority",
        index: 3,
      }),
    );
    const error = await rejection(clientOf(server).bulkSubmit([NEW_JOB]));
    expect(error).toBeInstanceOf(ExecutrError);
    expect(error).toMatchObject({
      status: 400,
      error: "priority must be one of foreground, background, best_effort",
      context: { field: "priority", index: 3 },
      message:
        "POST /api/v1/jobs/bulk: priority must be one of foreground, background, best_effort (400; index: 3)",
    });
  });

  test.each([
    ["a proxy's page", new Response("<html>", { status: 403 })],
    ["an empty body", new Response(null, { status: 403 })],
    ["a list", Response.json([1], { status: 403 })],
    ["null", Response.json(null, { status: 403 })],
    ["an error that is no text", Response.json({ error: { a: 1 }, context: "x" }, { status: 403 })],
  ])("%s in place of an error leaves the status", async (_name, answer) => {
    await using server = scriptedServer(() => answer);
    expect(await rejection(clientOf(server).get(ID))).toMatchObject({
      status: 403,
      error: null,
      context: {},
      message: `GET /api/v1/jobs/${ID}: the server answered 403`,
    });
  });

  test("a success that is no JSON is no answer", async () => {
    await using server = scriptedServer(() => new Response("<html>hello"));
    const client = clientOf(server, { maxRetries: 0 });
    for (const call of [client.get(ID), client.claim(EXECUTOR)]) {
      const error = await rejection(call);
      expect(error).toBeInstanceOf(ConnectionError);
      expect(String(error)).toContain("not JSON");
    }
  });
});

describe("what is tried again", () => {
  const safe: [string, (client: ExecutrClient) => Promise<unknown>][] = [
    ["get", (client) => client.get(ID)],
    ["list", (client) => client.list()],
    ["statistics", (client) => client.statistics()],
    ["heartbeat", (client) => client.heartbeat(ID, "worker-1")],
    ["complete", (client) => client.complete(ID, { executor_id: "worker-1" })],
    ["fail", (client) => client.fail(ID, { executor_id: "worker-1", error_message: "no" })],
  ];
  const once: [string, (client: ExecutrClient) => Promise<unknown>][] = [
    ["submit", (client) => client.submit(NEW_JOB)],
    ["bulkSubmit", (client) => client.bulkSubmit([NEW_JOB])],
    ["cancel", (client) => client.cancel(ID)],
    ["bulkCancel", (client) => client.bulkCancel({ job_ids: [ID] })],
    ["claim", (client) => client.claim(EXECUTOR)],
  ];

  test.each(safe)("%s: after 502, 503 and 504", async (_name, call) => {
    await using server = scriptedServer(
      () => refusal(502, "gateway"),
      () => refusal(503, "busy"),
      () => refusal(504, "slow"),
      ok({ id: ID }),
    );
    expect(await call(clientOf(server))).toEqual({ id: ID });
  });

  test.each(once)("%s: not after 502, where it may have been done", async (_name, call) => {
    await using server = scriptedServer(() => refusal(502, "gateway"), ok({}));
    expect(await rejection(call(clientOf(server)))).toMatchObject({ status: 502 });
    expect(server.seen).toHaveLength(1);
  });

  test.each(once)("%s: after 503, by which the server says that it did nothing", async (_name, call) => {
    await using server = scriptedServer(
      () => refusal(503, "full", {}, { "Retry-After": "0" }),
      ok({ id: ID }),
    );
    expect(await call(clientOf(server))).toEqual({ id: ID });
  });

  test.each(once)("%s: not after an answer that stayed away", async (_name, call) => {
    await using server = scriptedServer(() => new Promise<Response>(() => {}));
    const error = await rejection(call(clientOf(server, { requestTimeoutMs: 50 })));
    expect(error).toBeInstanceOf(ConnectionError);
    expect(String(error)).toContain("no answer within 50 ms");
    expect(server.seen).toHaveLength(1);
  });

  test("refusals are final", async () => {
    await using server = scriptedServer(() => refusal(400, "no"), ok({}));
    expect(await rejection(clientOf(server).complete(ID, { executor_id: "other" }))).toMatchObject({
      status: 400,
    });
    expect(server.seen).toHaveLength(1);
  });

  test("a server that is away", async () => {
    const client = new ExecutrClient({ baseUrl: "http://127.0.0.1:9", maxRetries: 1, maxRetryPauseMs: 5 });
    expect(await rejection(client.submit(NEW_JOB))).toBeInstanceOf(ConnectionError);
  });

  test("an aborted call rejects with the signal's reason", async () => {
    await using server = scriptedServer(() => new Promise<Response>(() => {}));
    const controller = new AbortController();
    const call = rejection(clientOf(server).claim(EXECUTOR, { signal: controller.signal }));
    controller.abort(new Error("enough"));
    expect(await call).toMatchObject({ message: "enough" });
  });
});

describe("bulk submission in parts", () => {
  const answer = { total: 1, successful: 0, failed: 1, results: [{ index: 0, success: false, error: "no" }] };

  test.each([201, 206, 400])("resolves to what became of each at %p", async (status) => {
    await using server = scriptedServer(ok(answer, status));
    expect(await clientOf(server).bulkSubmit([NEW_JOB], { partial: true })).toEqual(answer);
    expect(server.seen[0]?.query.get("partial")).toBe("true");
  });

  test("a request that is refused whole rejects", async () => {
    await using server = scriptedServer(() => refusal(400, "1 to 100 jobs are allowed, got 0"));
    expect(await rejection(clientOf(server).bulkSubmit([], { partial: true }))).toBeInstanceOf(ExecutrError);
  });
});

describe("waiting", () => {
  test.each(["completed", "failed", "cancelled"])("ends with a job that is %s", async (status) => {
    await using server = scriptedServer(
      ok({ id: ID, status: "pending" }),
      ok({ id: ID, status: "running" }),
      ok({ id: ID, status }),
    );
    expect(await clientOf(server).wait(ID)).toMatchObject({ status });
    expect(server.seen).toHaveLength(3);
  });

  test("ends at its time limit", async () => {
    await using server = scriptedServer(ok({ id: ID, status: "running" }));
    const error = await rejection(clientOf(server).wait(ID, { timeoutMs: 60 }));
    expect(error).toBeInstanceOf(WaitTimeoutError);
    expect(String(error)).toContain(`job ${ID} is running after 60 ms`);
  });

  test("ends when its signal is aborted, also in a pause", async () => {
    const controller = new AbortController();
    await using server = scriptedServer(() => {
      setTimeout(() => controller.abort(new Error("enough")), 1);
      return Response.json({ id: ID, status: "running" });
    });
    expect(await rejection(clientOf(server).wait(ID, { signal: controller.signal }))).toMatchObject({
      message: "enough",
    });
  });

  test("rejects for a job that is not there", async () => {
    await using server = scriptedServer(() => refusal(404, "job not found", { job_id: ID }));
    expect(await rejection(clientOf(server).wait(ID))).toMatchObject({
      status: 404,
      context: { job_id: ID },
    });
  });
});

describe("all jobs", () => {
  /** Serves `ids` in pages; `change` runs before each page but the first. */
  function pages(ids: string[], change: () => void = () => {}) {
    let count = 0;
    return scriptedServer(({ query }) => {
      if (count++ > 0) change();
      const offset = Number(query.get("offset"));
      return Response.json(ids.slice(offset, offset + Number(query.get("limit"))).map((id) => ({ id })));
    });
  }
  const read = async (client: ExecutrClient, pageSize: number) => {
    const ids: string[] = [];
    for await (const { id } of client.all({ type: "x", pageSize })) ids.push(id);
    return ids;
  };

  test("are read page after page, with the filter on each", async () => {
    await using server = pages(["e", "d", "c", "b", "a"]);
    expect(await read(clientOf(server), 2)).toEqual(["e", "d", "c", "b", "a"]);
    expect(server.seen.map(({ query }) => String(query))).toEqual([
      "type=x&limit=2&offset=0",
      "type=x&limit=2&offset=2",
      "type=x&limit=2&offset=4",
    ]);
  });

  test("are given once where new ones come meanwhile", async () => {
    const ids = ["d", "c", "b", "a"];
    await using server = pages(ids, () => void (ids.length < 6 && ids.unshift(`new-${ids.length}`)));
    expect(await read(clientOf(server), 2)).toEqual(["d", "c", "b", "a"]);
  });

  test.each([0, -1, 5_000, Number.NaN])(
    "a page size of %p is brought within what the server answers",
    async (size) => {
      await using server = pages(["b", "a"]);
      expect(await read(clientOf(server), size)).toEqual(["b", "a"]);
      expect(Number(server.seen[0]?.query.get("limit"))).toBeWithin(1, 1_001);
    },
  );
});
