/** The client against the real server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ConnectionError, ExecutrClient, ExecutrError, type NewJob } from "@yardmaster/client/executr";
import { Scratch } from "../cli/yardmasterProcess.ts";

const scratch = new Scratch();
let baseUrl = "";
let client = new ExecutrClient();
beforeAll(async () => {
  baseUrl = (await scratch.start(["serve", "--data", "data", "--api-key", "boss-key"])).url;
  client = new ExecutrClient({ baseUrl, apiKey: "boss-key" });
});
afterAll(() => scratch.dispose());

const UNKNOWN = "550e8400-e29b-41d4-a716-446655440000";
let types = 0;
/** A job of a type of its own, so that tests do not see each other's. */
function newJob(change: Partial<NewJob> = {}): NewJob {
  types += 1;
  const program = { binary_url: "https://example.com/binary", binary_sha256: "AB".repeat(32) };
  return { type: `type-${types}`, ...program, priority: "foreground", ...change };
}

async function refusal(promise: Promise<unknown>): Promise<ExecutrError> {
  const error = await promise.catch((reason: unknown) => reason);
  if (!(error instanceof ExecutrError)) throw new Error(`no refusal: ${JSON.stringify(error)}`);
  return error;
}

/** Claims until the job comes: earlier tests may have left some. */
async function claimOf(id: string, executor_id: string) {
  for (let tried = 0; tried < 50; tried++) {
    const job = await client.claim({ executor_id, executor_ip: "host-1" });
    if (job?.id === id) return job;
    if (job === null) break;
  }
  throw new Error(`job ${id} is not to be claimed`);
}

describe("a job", () => {
  test("goes from submission to its end", async () => {
    const submitted = await client.submit(
      newJob({ arguments: ["a b", ""], env_variables: { KEY: "value" }, max_retries: 2 }),
    );
    expect(submitted).toMatchObject({
      status: "pending",
      binary_sha256: "ab".repeat(32),
      arguments: ["a b", ""],
    });
    const waiting = client.wait(submitted.id, { timeoutMs: 10_000 });
    expect(await claimOf(submitted.id, "worker-1")).toMatchObject({
      status: "running",
      executor_id: "worker-1",
    });
    expect(await client.heartbeat(submitted.id, "worker-1")).toMatchObject({ status: "running" });
    const result = { executor_id: "worker-1", stdout: "out\u0000\n", stderr: "err\n", exit_code: 3 };
    expect(await client.complete(submitted.id, result)).toMatchObject({ status: "completed" });
    expect(await client.complete(submitted.id, result)).toMatchObject({ status: "completed" });
    const done = await waiting;
    expect(done).toMatchObject({ status: "completed", stdout: "out\uFFFD\n", stderr: "err\n", exit_code: 3 });
    expect(done.attempts).toMatchObject([
      { executor_id: "worker-1", executor_ip: "host-1", status: "completed" },
    ]);
    expect(done.env_variables).toMatchObject({ KEY: "value" });
  });

  test("that fails with retries left is pending again", async () => {
    const { id } = await client.submit(newJob({ max_retries: 1 }));
    await claimOf(id, "worker-2");
    const failed = await client.fail(id, { executor_id: "worker-2", error_message: "no luck", exit_code: 1 });
    expect(failed.status).toBe("pending");
    expect(failed.attempts).toMatchObject([{ status: "failed" }]);
    expect(await client.cancel(id)).toMatchObject({ status: "cancelled" });
    expect(await client.wait(id)).toMatchObject({ status: "cancelled" });
  });

  test("is another executor's: 400; is not there: 404; has no UUID: 400", async () => {
    const { id } = await client.submit(newJob());
    await claimOf(id, "worker-3");
    expect((await refusal(client.heartbeat(id, "worker-4"))).status).toBe(400);
    expect((await refusal(client.cancel(id))).status).toBe(400);
    const fault = { executor_id: "worker-3", error_message: "broken" };
    expect((await client.fail(id, fault)).status).toBe("failed");
    expect((await refusal(client.heartbeat(id, "worker-3"))).status).toBe(404);
    expect((await refusal(client.get(UNKNOWN))).status).toBe(404);
    expect((await refusal(client.get("no-uuid"))).status).toBe(400);
  });

  test("that is refused names the field", async () => {
    const error = await refusal(client.submit(newJob({ type: "two words" })));
    expect([error.status, error.context.field]).toEqual([400, "type"]);
    expect(error.message).toContain("POST /api/v1/jobs: ");
  });
});

describe("many jobs", () => {
  test("are submitted all or none, or in parts", async () => {
    const good = newJob();
    const bad = newJob({ binary_sha256: "short" });
    expect(await client.bulkSubmit([good, good])).toMatchObject([
      { status: "pending" },
      { status: "pending" },
    ]);
    const error = await refusal(client.bulkSubmit([good, bad]));
    expect([error.status, error.context.index]).toEqual([400, 1]);
    expect(await client.list({ type: good.type })).toHaveLength(2);
    const partial = await client.bulkSubmit([bad, good], { partial: true });
    expect(partial).toMatchObject({ total: 2, successful: 1, failed: 1 });
    expect(partial.results.map(({ success }) => success)).toEqual([false, true]);
    const none = await client.bulkSubmit([bad], { partial: true });
    expect(none).toMatchObject({ total: 1, successful: 0, failed: 1 });
    expect((await refusal(client.bulkSubmit([], { partial: true }))).status).toBe(400);
  });

  test("are listed page after page, and cancelled by what they have in common", async () => {
    const job = newJob({ priority: "best_effort" });
    const ids = (await client.bulkSubmit(Array.from({ length: 25 }, () => job))).map(({ id }) => id);
    const seen: string[] = [];
    for await (const row of client.all({ type: job.type, pageSize: 10 })) seen.push(row.id);
    expect(seen).toEqual(ids.toReversed());
    const filter = { type: job.type, status: "pending", priority: "best_effort" } as const;
    expect((await client.list({ ...filter, limit: 3, offset: 1 })).map(({ id }) => id)).toEqual(
      seen.slice(1, 4),
    );
    const some = await client.bulkCancel({ job_ids: [...ids.slice(0, 2), UNKNOWN] });
    expect(some).toMatchObject({ cancelled: 2, failed: 1, total: 3, errors: [{ job_id: UNKNOWN }] });
    expect(await client.bulkCancel({ type: job.type, status: "pending" })).toMatchObject({ cancelled: 23 });
    expect((await refusal(client.bulkCancel({}))).status).toBe(400);
  });
});

describe("the server", () => {
  test("tells statistics, executors, health and metrics", async () => {
    const statistics = await client.statistics();
    expect(Object.keys(statistics.jobs_by_status).sort()).toEqual([
      "cancelled",
      "completed",
      "failed",
      "pending",
      "running",
    ]);
    expect(statistics.pending_by_priority.best_effort).toBeNumber();
    await client.claim({ executor_id: "looker", executor_ip: "host-2" });
    expect((await client.executors()).map(({ executor_id }) => executor_id)).toContain("looker");
    expect(await client.health()).toEqual({ status: "healthy", database: "connected" });
    expect(await client.metrics()).toContain("executr_jobs_submitted_total");
  });

  test("takes the key of an address, and refuses others", async () => {
    const named = new ExecutrClient({ baseUrl: `${baseUrl.replace("//", "//me:boss-key@")}/api/v1` });
    expect(await named.list({ limit: 1 })).toBeArray();
    expect((await refusal(new ExecutrClient({ baseUrl }).list())).status).toBe(401);
    expect((await refusal(new ExecutrClient({ baseUrl, apiKey: "wrong" }).list())).status).toBe(403);
    expect(await new ExecutrClient({ baseUrl }).health()).toMatchObject({ status: "healthy" });
  });

  test("that is away is waited for where nothing can be done twice", async () => {
    const away = new ExecutrClient({ baseUrl: "http://127.0.0.1:9", maxRetries: 2, maxRetryPauseMs: 5 });
    expect(await away.list().catch((error: unknown) => error)).toBeInstanceOf(ConnectionError);
  });
});
