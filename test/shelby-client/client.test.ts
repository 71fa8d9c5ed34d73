import { describe, expect, test } from "bun:test";
import {
  acknowledgementSignature,
  ConnectionError,
  type LogLine,
  type OpenSocket,
  ShelbyClient,
  type ShelbyClientOptions,
  ShelbyError,
  type SocketEvents,
  WaitTimeoutError,
} from "@yardmaster/client/shelby";
import { type ScriptedServer, type SeenRequest, scriptedServer } from "../sdk/scriptedServer.ts";

const ok =
  (body: unknown = { status: "ok" }) =>
  () =>
    Response.json(body);

function clientOf(server: ScriptedServer, options: ShelbyClientOptions = {}): ShelbyClient {
  return new ShelbyClient({ baseUrl: server.url, maxRetryPauseMs: 5, ...options });
}

function told(request: SeenRequest | undefined): readonly unknown[] {
  const query = request?.query.toString() ?? "";
  const path = `${request?.path}${query === "" ? "" : `?${query}`}`;
  return [request?.method, path, request?.body === "" ? null : JSON.parse(request?.body ?? "null")];
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => ({ resolvedTo: value }),
    (error) => error,
  );
}

describe("every call is sent as the document writes it", () => {
  const finish = {
    ...{ nodeId: "n", jobId: "j", modelHash: "", modelSizeBytes: 0 },
    ...{ metadata: { error: "x" }, durationSeconds: 1.5 },
  };
  const usage = { nodeId: "n", jobId: "j", cpu_percent: 1, ram_percent: 2, ts: 3 };
  const calls: [string, (client: ShelbyClient) => Promise<unknown>, string, string, unknown][] = [
    ["createJob", (c) => c.createJob({ datasetName: "D" }), "POST", "/api/jobs/create", { datasetName: "D" }],
    [
      "uploadScript",
      (c) => c.uploadScript({ jobId: "j", script: "s", requirements: "r" }),
      ...(["POST", "/api/jobs/upload-script", { jobId: "j", script: "s", requirements: "r" }] as const),
    ],
    [
      "jobs",
      (c) => c.jobs({ status: "finished", limit: 5 }),
      "GET",
      "/api/frontend/jobs?status=finished&limit=5",
      null,
    ],
    ["job", (c) => c.job("a/b ?"), "GET", "/api/frontend/jobs/a%2Fb%20%3F", null],
    ["restartJob", (c) => c.restartJob("j"), "POST", "/api/frontend/jobs/j/restart", null],
    ["deleteJob", (c) => c.deleteJob("j"), "DELETE", "/api/frontend/jobs/j", null],
    ["recentLogs", (c) => c.recentLogs({ jobId: "j" }), "GET", "/api/frontend/logs?jobId=j", null],
    ["dashboard", (c) => c.dashboard(), "GET", "/api/frontend/dashboard", null],
    ["health", (c) => c.health(), "GET", "/api/frontend/system/health", null],
    ["systemStats", (c) => c.systemStats(), "GET", "/api/frontend/system-stats", null],
    ["jobMetrics", (c) => c.jobMetrics("j"), "GET", "/api/frontend/job-metrics/j", null],
    ["debugJobs", (c) => c.debugJobs(), "GET", "/api/debug/jobs", null],
    ["nodes", (c) => c.nodes(), "GET", "/api/frontend/nodes", null],
    ["nodeStats", (c) => c.nodeStats(), "GET", "/api/frontend/node-stats", null],
    ["deleteNode", (c) => c.deleteNode("n"), "DELETE", "/api/frontend/nodes/n", null],
    [
      "register",
      (c) => c.register({ nodeId: "n", specs: {} }),
      "POST",
      "/api/nodes/register",
      { nodeId: "n", specs: {} },
    ],
    ["heartbeat", (c) => c.heartbeat("n"), "POST", "/api/nodes/heartbeat", { nodeId: "n" }],
    ["poll", (c) => c.poll("n"), "GET", "/api/jobs/poll?nodeId=n", null],
    ["acknowledge", (c) => c.acknowledge("n", "j"), "POST", "/api/jobs/ack", { nodeId: "n", jobId: "j" }],
    ["fetchScript", (c) => c.fetchScript("j"), "GET", "/api/jobs/fetch-script?jobId=j", null],
    [
      "streamLog",
      (c) => c.streamLog("j", "<b>"),
      "POST",
      "/api/jobs/stream-log",
      { job_id: "j", line: "<b>" },
    ],
    ["reportUsage", (c) => c.reportUsage(usage), "POST", "/api/usage-report", usage],
    ["finish", (c) => c.finish(finish), "POST", "/api/jobs/finish", finish],
  ];
  test.each(calls)("%s", async (_name, call, ...expected) => {
    await using server = scriptedServer(ok());
    await call(clientOf(server));
    const [method, path, body] = told(server.seen[0]);
    // Spaces of a path may be written in two ways.
    expect([method, path, body]).toEqual(expected);
    expect(server.seen).toHaveLength(1);
  });

  test("run uploads the script before it creates the job, under one id", async () => {
    await using server = scriptedServer(ok());
    const { jobId } = await clientOf(server).run({ datasetName: "D" }, { script: "s" });
    expect(server.seen.map(told)).toEqual([
      ["POST", "/api/jobs/upload-script", { jobId, script: "s" }],
      ["POST", "/api/jobs/create", { jobId, datasetName: "D" }],
    ]);
    expect(jobId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("keys and tokens go into headers", async () => {
    await using server = scriptedServer(ok());
    await clientOf(server, { apiKey: "key" }).nodes();
    await clientOf(server, { token: "token" }).nodes();
    expect(server.seen[0]?.headers.get("x-api-key")).toBe("key");
    expect(server.seen[1]?.headers.get("authorization")).toBe("Bearer token");
    expect(server.seen[1]?.headers.has("x-api-key")).toBe(false);
  });
});

describe("what goes wrong", () => {
  test("is told in the server's words, a sentence or a list of faults", async () => {
    const faults = [{ loc: ["body", "datasetName"], msg: "Field required", type: "missing" }];
    await using server = scriptedServer(
      () => Response.json({ detail: "Job not found" }, { status: 404 }),
      () => Response.json({ detail: faults }, { status: 422 }),
      () => new Response("<html>", { status: 500 }),
    );
    const client = clientOf(server);
    const unknown = await rejection(client.job("j"));
    expect(unknown).toBeInstanceOf(ShelbyError);
    expect(unknown).toMatchObject({ status: 404, detail: "Job not found" });
    const invalid = await rejection(client.createJob({ datasetName: "" }));
    expect(invalid).toMatchObject({ status: 422, detail: "body.datasetName: Field required" });
    expect(await rejection(client.dashboard())).toMatchObject({ status: 500, detail: null });
    expect(() => client.job("..")).toThrow(TypeError);
  });

  test("an acknowledgement that came too late is no error, a wrong signature is one", async () => {
    await using server = scriptedServer(
      () => Response.json({ detail: "Job not available for assignment" }, { status: 400 }),
      () => Response.json({ detail: "Invalid signature" }, { status: 400 }),
    );
    const client = clientOf(server);
    expect(await client.acknowledge("n", "j")).toBe(false);
    const refused = await rejection(client.acknowledge("n", "j", { handshakeKey: "k" }));
    expect(refused).toMatchObject({ status: 400, detail: "Invalid signature" });
    const signature = await acknowledgementSignature("j", "k");
    expect(told(server.seen[1])[2]).toEqual({ nodeId: "n", jobId: "j", signature });
    expect(signature).toBe(new Bun.CryptoHasher("sha256", "k").update("j").digest("hex"));
  });

  test("reads are repeated, what would be done twice is not", async () => {
    await using server = scriptedServer(() => new Response(null, { status: 502 }));
    const client = clientOf(server, { maxRetries: 2 });
    await rejection(client.nodes());
    expect(server.seen).toHaveLength(3);
    await rejection(client.streamLog("j", "line"));
    expect(server.seen).toHaveLength(4);
  });

  test("wait ends with the job, or with its time limit", async () => {
    await using server = scriptedServer(ok({ status: "assigned" }), ok({ status: "failed" }));
    const client = clientOf(server);
    expect(await client.wait("j")).toMatchObject({ status: "failed" });
    await using slow = scriptedServer(ok({ status: "pending" }));
    expect(await rejection(clientOf(slow).wait("j", { timeoutMs: 30 }))).toBeInstanceOf(WaitTimeoutError);
  });
});

describe("live streams", () => {
  /** Sockets that a test plays the server of: one script a connection. */
  function played(...scripts: ((events: SocketEvents) => void)[]) {
    const urls: string[] = [];
    const open: OpenSocket = (url, events) => {
      const script = scripts[Math.min(urls.length, scripts.length - 1)];
      urls.push(url);
      queueMicrotask(() => script?.(events));
      return { close() {} };
    };
    return { urls, open };
  }
  const say = (events: SocketEvents, type: string, seq: number, data: unknown): void =>
    events.onMessage(JSON.stringify({ type, seq, time: 1, data }));
  const line = (number: number): LogLine => ({ line: `line ${number}`, timestamp: number });

  async function lines(client: ShelbyClient): Promise<{ lines: string[]; status: string }> {
    const found: string[] = [];
    const stream = client.followLog("j");
    for (;;) {
      const next = await stream.next();
      if (next.done) return { lines: found, status: next.value };
      found.push(next.value.line);
    }
  }

  test("a log goes on after a lost connection, each line once, to its end", async () => {
    const socket = played(
      (events) => {
        say(events, "snapshot", 10, { jobId: "j", logs: [line(1), line(2)] });
        say(events, "log", 11, line(3));
        events.onClose(1006, "");
      },
      (events) => {
        say(events, "log", 12, line(4));
        events.onClose(4408, "the reader is too slow");
      },
      (events) => {
        say(events, "snapshot", 90, { jobId: "j", logs: [line(3), line(4), line(5)] });
        say(events, "end", 91, { status: "finished" });
      },
    );
    const client = new ShelbyClient({
      baseUrl: "http://h:1/base",
      openSocket: socket.open,
      maxRetryPauseMs: 1,
    });
    const wanted = { lines: [1, 2, 3, 4, 5].map((number) => `line ${number}`), status: "finished" };
    expect(await lines(client)).toEqual(wanted);
    const path = "ws://h:1/base/ws/jobs/j/logs";
    expect(socket.urls).toEqual([path, `${path}?after=11`, `${path}?after=12`]);
  });

  test.each([
    [4404, 404],
    [4401, 401],
    [4403, 403],
  ])("close code %d is the refusal %d", async (code, status) => {
    const socket = played((events) => events.onClose(code, "Job not found"));
    const client = new ShelbyClient({ openSocket: socket.open });
    expect(await rejection(lines(client))).toMatchObject({
      name: "ShelbyError",
      status,
      detail: "Job not found",
    });
    expect(socket.urls).toHaveLength(1);
  });

  test("a server that cannot be reached is given up after so many tries", async () => {
    const socket = played((events) => events.onError());
    const client = new ShelbyClient({ openSocket: socket.open, maxRetries: 3, maxRetryPauseMs: 1 });
    expect(await rejection(lines(client))).toBeInstanceOf(ConnectionError);
    expect(socket.urls).toHaveLength(4);
  });

  test("a reader that is slow holds no more than a bounded number of messages, and misses none", async () => {
    let at = 0;
    const socket = played((events) => {
      for (let sent = 0; sent < 20_000 && at < 12_000; sent++) say(events, "node", ++at, at);
      // What was sent after the connection was closed is sent again on the next.
      at = Math.min(at, (socket.urls.length - 1) * 5_000 + 5_000);
    });
    const client = new ShelbyClient({ openSocket: socket.open });
    const seen: number[] = [];
    for await (const { seq } of client.followNodes()) {
      seen.push(seq);
      if (seq === 12_000) break;
    }
    expect(seen).toEqual(Array.from({ length: 12_000 }, (_, index) => index + 1));
    expect(socket.urls).toHaveLength(3);
  });

  test("a key stays out of addresses: a short-lived token goes there", async () => {
    await using server = scriptedServer(ok({ token: "short", role: "read", expiresAt: "" }));
    const socket = played((events) => events.onClose(1000, ""));
    const client = clientOf(server, { apiKey: "secret-key", openSocket: socket.open });
    for await (const _ of client.followDashboard()) throw new Error("nothing was sent");
    expect(socket.urls[0]).toEndWith("/ws/dashboard?access_token=short");
    expect(told(server.seen[0])).toEqual(["POST", "/v1/tokens", { role: "read", expiresInSeconds: 60 }]);
  });

  test("an aborted signal ends a stream at once", async () => {
    const socket = played(() => {});
    const client = new ShelbyClient({ openSocket: socket.open });
    const next = client.followNodes({ signal: AbortSignal.timeout(20) }).next();
    expect(await rejection(next)).toMatchObject({ name: "TimeoutError" });
  });
});
