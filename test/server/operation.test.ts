import { expect, test } from "bun:test";
import { connect } from "node:net";
import { pino } from "pino";
import { z } from "zod";
import { ok } from "../../src/dialects/answers.ts";
import type { Dialect } from "../../src/dialects/dialect.ts";
import { defineRoute } from "../../src/dialects/route.ts";
import { StoreUnavailableError } from "../../src/domain/errors.ts";
import { PortInUseError } from "../../src/server/listen.ts";
import { startServer } from "../../src/server/startServer.ts";
import { openDirectoryBlobStore } from "../../src/store/blobs/directoryBlobStore.ts";
import { startTestServer } from "./testServer.ts";

interface OpenApi {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
  readonly components: { readonly schemas: Record<string, unknown> };
}

async function openApiOf(url: string): Promise<OpenApi> {
  return JSON.parse(await (await fetch(`${url}/openapi.json`)).text());
}

test("the OpenAPI document has every route, and every reference in it leads somewhere", async () => {
  await using server = await startTestServer();
  const document = await openApiOf(server.url);
  expect(document.openapi).toBe("3.1.0");
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ ...operation, path, method })),
  );
  expect(operations.length).toBeGreaterThan(35);
  const ids = operations.map((operation) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  for (const operation of operations) expect(Object.keys(operation.responses).length).toBeGreaterThan(0);
  const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)];
  expect(references.length).toBeGreaterThan(20);
  for (const [, name = ""] of references) expect(Object.keys(document.components.schemas)).toContain(name);
  for (const [path, item] of Object.entries(document.paths)) {
    const placeholders = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    const text = JSON.stringify(item);
    for (const name of placeholders) expect(text).toContain(`"in":"path","name":"${name}"`);
  }
});

test("every call of /v1 that takes an id tells of ids that cannot be", async () => {
  await using server = await startTestServer();
  const { paths } = await openApiOf(server.url);
  const silent = Object.entries(paths).flatMap(([path, item]) =>
    path.startsWith("/v1/") && path.includes("{")
      ? Object.values(item)
          .filter((operation) => operation.responses["422"] === undefined)
          .map((operation) => operation.operationId)
      : [],
  );
  expect(silent).toEqual([]);
});

test("a file that the documentation pages do not have is no such path", async () => {
  await using server = await startTestServer();
  for (const file of ["nope.js", "x".repeat(300), "..%2f..%2fpackage.json"]) {
    const response = await fetch(`${server.url}/docs/assets/${file}`);
    expect([file, response.status]).toEqual([file, 404]);
    expect(await response.text()).toContain("urn:yardmaster:problem:no-such-path");
  }
});

test("the documentation pages load everything from this server", async () => {
  await using server = await startTestServer();
  const { host } = new URL(server.url);
  for (const path of ["/docs", "/redoc"]) {
    const response = await fetch(`${server.url}${path}`);
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    const html = await response.text();
    expect(html).not.toMatch(/https?:\/\/|["'(]\/\//);
    const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] ?? "");
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) {
      const asset = await fetch(new URL(file, server.url));
      expect([file, asset.status, new URL(asset.url).host]).toEqual([file, 200, host]);
      const text = await asset.text();
      expect(text).not.toMatch(/cdn\.redoc|fonts\.googleapis|fonts\.gstatic|unpkg\.com|jsdelivr/);
      if (file.endsWith(".css")) expect(text).not.toMatch(/url\(["']?https?:|@import/);
    }
  }
});

test("health, readiness and the root answer; readiness says when the store does not", async () => {
  let isDown = false;
  await using server = await startTestServer({
    read: {
      ping: async () => {
        if (isDown) throw new StoreUnavailableError("the disk is gone");
      },
    },
  });
  expect(await (await fetch(server.url)).json()).toMatchObject({ message: "OK", status: "healthy" });
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  isDown = true;
  expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
});

test("metrics show jobs, the engine's histograms and the routes", async () => {
  await using server = await startTestServer();
  await fetch(`${server.url}/v1/jobs/1`);
  await fetch(`${server.url}/v1/jobs/2`);
  await fetch(`${server.url}/nowhere`);
  const response = await fetch(`${server.url}/metrics`);
  expect(response.headers.get("content-type")).toContain("text/plain");
  const text = await response.text();
  for (const line of [
    'yardmaster_jobs{state="ready",queue="default"} 7',
    'yardmaster_workers{state="online"} 1',
    "yardmaster_leases_lost_total 3",
    'yardmaster_commit_size_bucket{le="1"} 2',
    'yardmaster_commit_size_bucket{le="10"} 3',
    'yardmaster_commit_size_bucket{le="+Inf"} 4',
    "yardmaster_commit_size_count 4",
    'yardmaster_http_requests_total{method="GET",route="/v1/jobs/{job}",status="200"} 1',
    'yardmaster_http_requests_total{method="GET",route="/v1/jobs/{job}",status="404"} 1',
    'yardmaster_http_requests_total{method="other",route="other",status="404"} 1',
    "process_resident_memory_bytes",
  ]) {
    expect(text).toContain(line);
  }
});

test("a port in use is a named error, and no other address is left open", async () => {
  await using server = await startTestServer();
  const { port } = server.server.addresses[0] ?? { port: 0 };
  const blobs = await openDirectoryBlobStore(server.directory);
  const listen = [0, port].map((wanted) => ({ host: "127.0.0.1", port: wanted }));
  const logger = pino({ level: "silent" });
  const failure = await startServer({ engine: server.engine, blobs, listen, logger }).catch(
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(PortInUseError);
  expect(String(failure)).toContain(`127.0.0.1:${port}`);
});

test("another API can share a path, and words its own errors", async () => {
  const other: Dialect = {
    name: "whatsnext",
    title: "Other",
    description: "Another API.",
    prefixes: ["/v1/jobs", "/projects"],
    schemas: {},
    routes: [
      defineRoute({
        id: "otherJobs",
        method: "GET",
        path: "/v1/jobs",
        summary: "The other's jobs",
        tags: [],
        matches: (call) => call.search.includes("project_id="),
        query: z.strictObject({ project_id: z.int() }),
        responses: { 200: { description: "jobs" } },
        handler: ({ query }) => ok({ mine: query.project_id }),
      }),
      defineRoute({
        id: "otherJob",
        method: "DELETE",
        path: "/v1/jobs/{job_id}",
        summary: "Delete the other's job",
        tags: [],
        matches: (call) => /^\d+$/.test(call.params.job_id ?? ""),
        params: z.strictObject({ job_id: z.int() }),
        responses: { 200: { description: "deleted" } },
        handler: ({ params }) => ok({ deleted: params.job_id }),
      }),
    ],
    errors: () => Response.json({ detail: "worded by the other" }, { status: 418 }),
  };
  await using server = await startTestServer({}, { dialects: [other] });
  const get = async (path: string, method = "GET") => {
    const response = await fetch(`${server.url}${path}`, { method });
    return [response.status, response.status === 204 ? null : await response.json()];
  };
  expect(await get("/v1/jobs?project_id=7")).toEqual([200, { mine: 7 }]);
  expect((await get("/v1/jobs"))[0]).toBe(200);
  expect(await get("/v1/jobs?project_id=x")).toEqual([418, { detail: "worded by the other" }]);
  expect(await get("/v1/jobs/5", "DELETE")).toEqual([200, { deleted: 5 }]);
  expect((await get("/v1/jobs/0199a7c2-0000-7000-8000-000000000001", "DELETE"))[0]).toBe(204);
  expect((await get("/projects/x"))[0]).toBe(418);
  expect((await get("/nowhere"))[0]).toBe(404);
  expect((await openApiOf(server.url)).paths["/v1/jobs"]?.get?.operationId).toBe("otherJobs");
});

test("requests that are no HTTP, or of odd forms, do no harm", async () => {
  await using server = await startTestServer();
  const { port } = server.server.addresses[0] ?? { port: 0 };
  const odd = [
    "GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET ? HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET http://x/v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /v1/jobs HTTP/1.1\r\nConnection: close\r\n\r\n",
    "BREW /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\nConnection: close\r\n\r\n",
    "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\nConnection: close\r\n\r\n{}",
    "\0\0\0\0\r\n\r\n",
  ];
  for (const request of odd) {
    const status = await new Promise<number>((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => socket.write(request));
      let answer = "";
      const finish = () => {
        socket.destroy();
        resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0));
      };
      socket.setTimeout(3_000, () => reject(new Error(`no answer to ${JSON.stringify(request)}`)));
      socket.on("data", (data) => {
        answer += data.toString("latin1");
        finish();
      });
      socket.on("end", finish).on("close", finish).on("error", finish);
    });
    expect(status).toBeLessThan(500);
  }
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect(server.errors).toEqual([]);
});

test("a client that goes away in the middle of its body is no fault of the server", async () => {
  await using server = await startTestServer();
  const { port } = server.server.addresses[0] ?? { port: 0 };
  const artifact = `/v1/artifacts/${"a".repeat(64)}`;
  for (const line of ["POST /v1/jobs", `PUT ${artifact}`]) {
    for (const start of ["Content-Length: 1000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]) {
      await new Promise<void>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => {
          socket.write(`${line} HTTP/1.1\r\nHost: x\r\n${start}`, () =>
            setTimeout(() => socket.destroy(), 20),
          );
        });
        socket.on("error", () => {}).on("close", () => resolve());
      });
    }
  }
  // The last request is answered after the others have been dealt with.
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect(server.errors).toEqual([]);
});
