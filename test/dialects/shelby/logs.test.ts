/** Logs of ShelbyCompute's jobs: short and long lines, many of them, and whatever characters. */
import { expect, test } from "bun:test";
import { startShelby } from "./shelbyServer.ts";

test("lines come back as they were sent, oldest first, the last N of them", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  await shelby.ack("n", "j");
  const lines = [
    "<b>&\u2028",
    "",
    "ünï☃💡",
    "tab\there",
    "  spaces  ",
    "two\nlines",
    "break\n",
    "a\0b",
    "\ud800",
  ];
  for (const line of lines) {
    const answer = await shelby.post("/api/jobs/stream-log", { job_id: "j", line });
    expect([answer.status, answer.json]).toEqual([200, { status: "ok" }]);
  }
  const kept = [
    "<b>&\u2028",
    "",
    "ünï☃💡",
    "tab\there",
    "  spaces  ",
    "two",
    "lines",
    "break",
    "a\ufffdb",
    "\ufffd",
  ];
  const all = await shelby.get("/api/frontend/logs/j");
  expect(all.json).toEqual({
    jobId: "j",
    logs: kept.map((line) => ({ line, timestamp: expect.any(Number) })),
  });
  const three = await shelby.get("/api/frontend/logs/j?limit=3");
  expect(three.body.logs.map(({ line }) => line)).toEqual(kept.slice(-3));
});

test("GET /api/frontend/logs: newest first, of one job or of all", async () => {
  await using shelby = await startShelby();
  for (const job of ["a", "b"]) {
    await shelby.job(job);
    await shelby.ack("n", job);
  }
  for (const [job_id, line] of [
    ["a", "1"],
    ["b", "2"],
    ["a", "3"],
  ]) {
    await shelby.post("/api/jobs/stream-log", { job_id, line });
  }
  const entry = (jobId: string, line: string) => ({ jobId, line, ts: expect.any(Number) });
  expect((await shelby.get("/api/frontend/logs")).json).toEqual([
    entry("a", "3"),
    entry("b", "2"),
    entry("a", "1"),
  ]);
  expect((await shelby.get("/api/frontend/logs?limit=2")).json).toEqual([entry("a", "3"), entry("b", "2")]);
  expect((await shelby.get("/api/frontend/logs?jobId=a")).json).toEqual([entry("a", "3"), entry("a", "1")]);
  expect((await shelby.get("/api/frontend/logs?jobId=b&limit=1")).json).toEqual([entry("b", "2")]);
});

test("without a limit the last 1,000 lines of a job, and the last 100 of all", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  const time = Date.now();
  await shelby.engine.appendLines(
    Array.from({ length: 1_200 }, (_, n) => ({
      job: "j",
      time,
      stream: "stdout" as const,
      text: `line ${n}`,
    })),
  );
  const { logs } = (await shelby.get("/api/frontend/logs/j")).body;
  expect([logs.length, logs[0]?.line, logs.at(-1)?.line]).toEqual([1_000, "line 200", "line 1199"]);
  expect((await shelby.get("/api/frontend/jobs/j")).body.logs.length).toBe(1_000);
  const recent: unknown = (await shelby.get("/api/frontend/logs")).json;
  expect(recent).toBeArrayOfSize(100);
  expect(Array.isArray(recent) ? recent.slice(0, 2) : null).toMatchObject([
    { line: "line 1199" },
    { line: "line 1198" },
  ]);
  // Of one job more are told where more are asked for.
  const ofJob: unknown = (await shelby.get("/api/frontend/logs?jobId=j&limit=5000")).json;
  expect(ofJob).toBeArrayOfSize(1_200);
  expect((await shelby.get("/api/frontend/logs?limit=5000")).json).toBeArrayOfSize(1_000);
});

test("lines of 1 MiB are kept whole; answers are bounded by their size too", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  await shelby.ack("n", "j");
  const line = "x".repeat(1024 * 1024);
  for (let n = 0; n < 40; n++) {
    const answer = await shelby.post("/api/jobs/stream-log", { job_id: "j", line: `${n}${line}` });
    expect(answer.status).toBe(200);
  }
  const two = (await shelby.get("/api/frontend/logs/j?limit=2")).body.logs;
  expect(two.map((one) => one.line.length)).toEqual([line.length + 2, line.length + 2]);
  const many = (await shelby.get("/api/frontend/logs/j")).body.logs;
  expect(many.length).toBeGreaterThan(0);
  expect(many.length).toBeLessThan(33);
  expect(many.at(-1)?.line.startsWith("39x")).toBe(true);
  const recent = (await shelby.get("/api/frontend/logs?limit=3")).json;
  expect(recent).toMatchObject(["39", "38", "37"].map((n) => ({ jobId: "j", line: n + line })));
  const tooLong = await shelby.post("/api/jobs/stream-log", {
    job_id: "j",
    line: "x".repeat(3 * 1024 * 1024),
  });
  expect(tooLong.status).toBe(422);
});

test("100,000 lines are accepted, and their end is read as fast as that of a few", async () => {
  await using shelby = await startShelby();
  await shelby.job("j");
  await shelby.ack("n", "j");
  let sent = 0;
  const send = async () => {
    for (let n = sent++; n < 10_000; n = sent++) {
      const { status } = await shelby.post("/api/jobs/stream-log", { job_id: "j", line: `line ${n}` });
      if (status !== 200) throw new Error(`line ${n}: ${status}`);
    }
  };
  await Promise.all(Array.from({ length: 64 }, send));
  const time = Date.now();
  for (let n = 10_000; n < 100_000; n += 10_000) {
    const lines = Array.from({ length: 10_000 }, (_, at) => `line ${n + at}`);
    await shelby.engine.appendLines(
      lines.map((text) => ({ job: "j", time, stream: "stdout" as const, text })),
    );
  }
  const before = performance.now();
  const { logs } = (await shelby.get("/api/frontend/logs/j?limit=10")).body;
  expect(performance.now() - before).toBeLessThan(500);
  expect(logs.map(({ line }) => line)).toEqual(Array.from({ length: 10 }, (_, n) => `line ${99_990 + n}`));
  const all = (await shelby.get("/api/frontend/logs/j?limit=100000")).body.logs;
  expect(all.length).toBe(100_000);
  expect(new Set(all.map(({ line }) => line)).size).toBe(100_000);
}, 60_000);

test("a deleted job's id, used again, gets its own lines", async () => {
  await using shelby = await startShelby();
  for (const run of ["one", "two"]) {
    await shelby.job("j");
    expect((await shelby.post("/api/jobs/stream-log", { job_id: "j", line: run })).status).toBe(200);
    expect((await shelby.get("/api/frontend/logs/j")).body.logs.map(({ line }) => line)).toEqual([run]);
    await shelby.delete("/api/frontend/jobs/j");
    expect((await shelby.post("/api/jobs/stream-log", { job_id: "j", line: run })).status).toBe(404);
  }
});
