/** Bad input gets the right 4xx at every endpoint, never a 500, never a hang. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Problem } from "../../clients/typescript/src/types.ts";
import { startTestServer, type TestServer } from "./testServer.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({}, { limits: { maxBodyBytes: 100_000, maxArtifactBytes: 200_000 } });
});
afterAll(() => server[Symbol.asyncDispose]());

const JSON_TYPE = { "content-type": "application/json" };
const timeout = () => AbortSignal.timeout(5_000);

async function send(
  method: string,
  path: string,
  body?: BodyInit,
  headers: Record<string, string> = JSON_TYPE,
) {
  const response = await fetch(`${server.url}${path}`, {
    method,
    headers,
    signal: timeout(),
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  return { response, status: response.status, text };
}

async function problem(method: string, path: string, body: unknown): Promise<Problem> {
  const { response, text } = await send(method, path, JSON.stringify(body));
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  return JSON.parse(text);
}

/** Every route with a JSON body, and a body that it takes. */
const WITH_BODY: [string, string, Record<string, unknown>][] = [
  ["POST", "/v1/jobs", { spec: { argv: ["true"] } }],
  ["POST", "/v1/jobs/1/cancel", { reason: "no longer needed" }],
  ["POST", "/v1/projects", { name: "p" }],
  ["PATCH", "/v1/projects/1", { name: "p" }],
  ["POST", "/v1/tasks", { name: "t" }],
  ["PATCH", "/v1/tasks/1", { name: "t" }],
  ["POST", "/v1/workers", { id: "w", capacity: { cpu: 1, accelerators: 0, memoryMb: 0 } }],
  ["POST", "/v1/claims", { workerId: "w", capacity: { cpu: 1, accelerators: 0, memoryMb: 0 } }],
  ["POST", "/v1/leases/renew", { workerId: "w", leases: [] }],
  ["POST", "/v1/results", { workerId: "w", results: [] }],
  ["POST", "/v1/logs", { workerId: "w", chunks: [] }],
];

describe.each(WITH_BODY)("%s %s", (method, path, good) => {
  test("refuses what is not an object", async () => {
    for (const wrong of [1, "x", true, null, [1]]) {
      expect((await problem(method, path, wrong)).status).toBe(422);
    }
  });

  test("refuses an unknown field and names it", async () => {
    const { status, errors } = await problem(method, path, { ...good, colour: "red" });
    expect(status).toBe(422);
    expect(errors).toContainEqual({ path: "/colour", message: "unknown field" });
  });

  test("refuses each field of a wrong type and names it", async () => {
    for (const field of Object.keys(good)) {
      const { status, errors } = await problem(method, path, { ...good, [field]: { wrong: [1.5] } });
      expect(status).toBe(422);
      expect(errors?.some((error) => error.path.startsWith(`/${field}`))).toBe(true);
    }
  });

  test("refuses JSON that is broken, of wrong UTF-8, or too deep", async () => {
    const broken: BodyInit[] = ["{", "nul", '{"a":1}}', new Uint8Array([0x22, 0xff, 0xfe, 0x22])];
    broken.push("[".repeat(101) + "]".repeat(101), `{"spec":${"[".repeat(20_000)}`, "\0");
    for (const body of broken) expect((await send(method, path, body)).status).toBe(422);
  });

  test("refuses another content type", async () => {
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
    ]) {
      expect((await send(method, path, "{}", { "content-type": type })).status).toBe(415);
    }
  });

  test("refuses a body that is too large, with and without a length", async () => {
    const large = JSON.stringify({ name: "x".repeat(150_000) });
    expect((await send(method, path, large)).status).toBe(413);
    const chunked = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 30; i++) controller.enqueue(new TextEncoder().encode("x".repeat(5_000)));
        controller.close();
      },
    });
    expect((await send(method, path, chunked)).status).toBe(413);
  });
});

test("chunks of a log are numbered as every store can keep it", async () => {
  const chunk = { id: 1, attempt: 1, time: "2026-01-01T00:00:00Z", stream: "stdout", text: "x" };
  for (const seq of [0, 2 ** 31, 1.5]) {
    const { status, errors } = await problem("POST", "/v1/logs", {
      workerId: "w",
      chunks: [{ ...chunk, seq }],
    });
    expect([seq, status, errors?.map(({ path }) => path)]).toEqual([seq, 422, ["/chunks/0/seq"]]);
  }
});

test("an unknown path is 404, a wrong method 405 with what is allowed", async () => {
  for (const path of ["/v1", "/v1/nothing", "/v1/jobs/1/nothing", "/v1/jobs/", "/%00", "/v1/jobs/1/log/x"]) {
    expect((await send("GET", path)).status).toBe(404);
  }
  const wrong: [string, string, string][] = [
    ["PUT", "/v1/jobs", "GET, HEAD, POST"],
    ["POST", "/v1/jobs/1", "DELETE, GET, HEAD"],
    ["GET", "/v1/claims", "POST"],
    ["GET", "/v1/jobs/1/cancel", "POST"],
    ["DELETE", `/v1/artifacts/${"a".repeat(64)}`, "GET, HEAD, PUT"],
    ["OPTIONS", "/healthz", "GET, HEAD"],
  ];
  for (const [method, path, allow] of wrong) {
    const { response, status } = await send(method, path);
    expect([method, path, status, response.headers.get("allow")]).toEqual([method, path, 405, allow]);
  }
});

test("an unknown id is 404, an id of a wrong form 422", async () => {
  const unknown: [string, string, string?][] = [
    ["GET", "/v1/jobs/2"],
    ["GET", "/v1/jobs/no-such-key"],
    ["GET", `/v1/jobs/${encodeURIComponent("ключ/../x")}`],
    ["GET", "/v1/jobs/99999999999999999999999"],
    ["DELETE", "/v1/jobs/2"],
    ["POST", "/v1/jobs/2/cancel"],
    ["POST", "/v1/jobs/2/retry"],
    ["GET", "/v1/jobs/2/attempts"],
    ["GET", "/v1/jobs/2/dependencies"],
    ["GET", "/v1/jobs/2/events"],
    ["GET", "/v1/jobs/2/log"],
    ["GET", "/v1/jobs/2/log?follow=true"],
    ["GET", "/v1/workers/nobody"],
    ["POST", "/v1/workers/nobody/drain"],
    ["POST", "/v1/workers/nobody/load", '{"cpuPercent":1,"memoryPercent":1,"gpuPercent":null}'],
    ["GET", "/v1/projects/7"],
    ["PATCH", "/v1/projects/7", "{}"],
    ["DELETE", "/v1/projects/7"],
    ["GET", "/v1/tasks/7"],
    ["PATCH", "/v1/tasks/7", "{}"],
    ["DELETE", "/v1/tasks/7"],
    ["GET", `/v1/artifacts/${"a".repeat(64)}`],
    ["GET", "/docs/assets/..%2f..%2fpackage.json"],
  ];
  for (const [method, path, body] of unknown) {
    expect([path, (await send(method, path, body)).status]).toEqual([path, 404]);
  }
  for (const path of [
    "/v1/projects/x",
    "/v1/tasks/-1",
    "/v1/tasks/1.5",
    "/v1/artifacts/xyz",
    "/v1/jobs/a%00b",
  ]) {
    expect([path, (await send("GET", path)).status]).toEqual([path, 422]);
  }
});

test("a wrong parameter is named with what is allowed", async () => {
  const wrong: [string, string][] = [
    ["/v1/jobs?limit=0", "?limit"],
    ["/v1/jobs?limit=1001", "?limit"],
    ["/v1/jobs?limit=ten", "?limit"],
    ["/v1/jobs?limit=1&limit=2", "?limit"],
    ["/v1/jobs?state=ready&state=asleep", "?state"],
    ["/v1/jobs?order=sideways", "?order"],
    ["/v1/jobs?label=team", "?label"],
    ["/v1/jobs?cursor=;drop", "?cursor"],
    ["/v1/jobs?projectId=1e3", "?projectId"],
    ["/v1/jobs?colour=red", "?colour"],
    ["/v1/jobs/1/log?tail=0", "?tail"],
    ["/v1/jobs/1/log?stream=stdin", "?stream"],
    ["/v1/jobs/1/log?follow=yes", "?follow"],
    ["/v1/jobs/1/events?after=-1", "?after"],
    ["/v1/projects?status=GONE", "?status"],
    ["/v1/tasks?offset=-1", "?offset"],
  ];
  for (const [path, name] of wrong) {
    const { status, text } = await send("GET", path);
    const { errors }: Problem = JSON.parse(text);
    expect([path, status, errors?.[0]?.path]).toEqual([path, 422, name]);
    expect(errors?.[0]?.message.length).toBeGreaterThan(5);
  }
});

test("a job is refused for what goes across its fields, each issue with its path", async () => {
  const argv = ["true"];
  const wrong: [unknown, string][] = [
    [{}, "/spec/argv"],
    [{ spec: {} }, "/spec/argv"],
    [{ spec: { argv: [] } }, "/spec/argv"],
    [{ spec: { argv: [""] } }, "/spec/argv/0"],
    [{ spec: { argv: ["a", "b\0c"] } }, "/spec/argv/1"],
    [{ spec: { argv: ["\ud800"] } }, "/spec/argv/0"],
    [{ spec: { argv, env: { "A=B": "1" } } }, "/spec/env/A=B"],
    [{ spec: { argv, env: { A: 1 } } }, "/spec/env/A"],
    [{ spec: { argv, env: [] } }, "/spec/env"],
    [{ spec: { argv, shell: true } }, "/spec/shell"],
    [{ spec: { argv }, parameters: {} }, "/parameters"],
    [{ spec: { argv }, taskId: 1 }, "/spec/argv"],
    [{ taskId: 1, kind: "script" }, "/kind"],
    [{ kind: "training" }, "/spec"],
    [{ kind: "dance", spec: {} }, "/kind"],
    [{ spec: { argv }, key: "42" }, "/key"],
    [{ spec: { argv }, queue: "" }, "/queue"],
    [{ spec: { argv }, priority: 2 ** 31 }, "/priority"],
    [{ spec: { argv }, timeoutMs: 0 }, "/timeoutMs"],
    [{ spec: { argv }, runAt: "tomorrow" }, "/runAt"],
    [{ spec: { argv }, runAt: "2026-01-31T12:00:00" }, "/runAt"],
    [{ spec: { argv }, resources: { cpu: -1 } }, "/resources/cpu"],
    [{ spec: { argv }, resources: { gpu: 1 } }, "/resources/gpu"],
    [{ spec: { argv }, labels: { a: 1 } }, "/labels/a"],
    [
      { spec: { argv }, labels: Object.fromEntries([...Array(65).keys()].map((i) => [`k${i}`, ""])) },
      "/labels",
    ],
    [{ spec: { argv }, dependsOn: ["#0"] }, "/dependsOn/0"],
    [{ spec: { argv }, dependsOn: [1.5] }, "/dependsOn/0"],
    [[], ""],
    [[{ spec: { argv } }, { spec: { argv }, dependsOn: ["#1"] }], "/1/dependsOn/0"],
    [[{ spec: { argv } }, 7], "/1"],
    [Array(1_001).fill({ spec: { argv } }), ""],
  ];
  for (const [body, path] of wrong) {
    const { status, errors } = await problem("POST", "/v1/jobs", body);
    expect([JSON.stringify(body).slice(0, 80), status, errors?.[0]?.path]).toEqual([
      JSON.stringify(body).slice(0, 80),
      422,
      path,
    ]);
  }
});

test("nothing that was refused reached the engine, and no request was a fault of the server", () => {
  expect(server.engine.submitted).toEqual([]);
  expect(server.errors).toEqual([]);
});

test("a job goes into one queue, not into all of them", async () => {
  const { status, errors } = await problem("POST", "/v1/jobs", { spec: { argv: ["true"] }, queue: "*" });
  expect([status, errors?.[0]?.path]).toEqual([422, "/queue"]);
  expect(errors?.[0]?.message).toContain('"*" stands for all');
});
