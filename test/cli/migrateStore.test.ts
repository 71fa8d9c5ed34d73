import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { YardmasterClient } from "@yardmaster/client";
import { Cluster } from "../postgres/cluster.ts";
import { BUCKET, LOGIN, S3Service } from "../store/s3Service.ts";
import { eventually, Scratch } from "./yardmasterProcess.ts";

const scratch = new Scratch();
let cluster: Cluster;
let s3: S3Service;
/** What the server of the folder `small` said before it was stopped. */
let before: unknown;

/** Characters that databases stumble over. */
const ODD = `noncharacter \uFFFE, quotes "'\\\\, braces {}, 😀, ß`;
const ARTIFACT = "an artifact";
const hashOf = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");

beforeAll(async () => {
  [cluster, s3] = await Promise.all([Cluster.start(), S3Service.start()]);
  const { url, child } = await scratch.start(["serve", "--data", "small", "--log-level", "error"]);
  await fill(url);
  before = await snapshot(url);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});
afterAll(async () => {
  await scratch.dispose();
  cluster?.dispose();
  await s3?.dispose();
});

async function post(url: string, path: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": hashOf(JSON.stringify([path, body])) },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

async function get(url: string, path: string): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}${path}`, { headers: { accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Jobs in every state, with all that hangs on them. */
async function fill(url: string): Promise<void> {
  const project = await post(url, "/v1/projects", { name: "move", description: ODD });
  await post(url, "/v1/tasks", { projectId: project.id, name: "train", commandTemplate: "train {lr}" });
  // A number that was given out and is not there any more.
  const gone = await post(url, "/v1/projects", { name: "gone" });
  await fetch(`${url}/v1/projects/${gone.id}`, { method: "DELETE" });
  await post(url, "/v1/jobs", [
    { name: ODD, spec: { argv: ["true", ODD], env: { TOKEN: ODD } }, labels: { team: "ml" } },
    { name: "fails", spec: { argv: ["false"] }, priority: 7 },
    { name: "waits", spec: { argv: ["true"] }, dependsOn: ["#0", "#1"] },
    { name: "later", spec: { argv: ["true"] }, runAt: "2100-01-01T00:00:00Z" },
    { name: "held", spec: { argv: ["true"] }, priority: -3, projectId: project.id },
    {
      name: "elsewhere",
      queue: "gpu",
      spec: { argv: ["true"] },
      resources: { accelerators: 2 },
      priority: 10,
    },
    { name: "ready", spec: { argv: ["true"] }, priority: -100 },
    { name: "back", spec: { argv: ["true"] }, priority: 1 },
    { name: "cancelled", queue: "gpu", spec: { argv: ["true"] } },
  ]);
  await post(url, "/v1/jobs/9/cancel", { reason: "not wanted" });
  const client = new YardmasterClient({ baseUrl: url });
  const jobs = await client.claim({
    workerId: "w1",
    queues: ["default"],
    kinds: ["command"],
    capacity: { cpu: 4, accelerators: 0, memoryMb: 1_000 },
    max: 4,
    waitMs: 0,
  });
  expect(jobs.map(({ name }) => name).sort()).toEqual([ODD, "back", "fails", "held"].sort());
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const chunk = { attempt: 1, time: new Date().toISOString(), stream: "stdout" as const };
  const [odd, failing] = [byName.get(ODD)?.id ?? 0, byName.get("fails")?.id ?? 0];
  await client.sendLogs({
    workerId: "w1",
    chunks: [
      { ...chunk, id: odd, seq: 1, text: `NUL \0 and ${ODD}\n` },
      { ...chunk, id: odd, seq: 2, text: "more\n", stream: "stderr" },
      { ...chunk, id: failing, seq: 1, text: "no\n" },
    ],
  });
  await client.sendResults({
    workerId: "w1",
    results: [
      { id: odd, attempt: 1, outcome: "succeeded", exitCode: 0, result: { accuracy: 0.1, note: ODD } },
      { id: byName.get("back")?.id ?? 0, attempt: 1, outcome: "released" },
      { id: failing, attempt: 1, outcome: "failed", exitCode: 3, error: "no" },
    ],
  });
  await fetch(`${url}/v1/artifacts/${hashOf(ARTIFACT)}`, { method: "PUT", body: ARTIFACT });
}

/** What the API says of everything. */
async function snapshot(url: string): Promise<unknown> {
  const { items, total } = await get(url, "/v1/jobs?limit=1000&order=oldest");
  if (!Array.isArray(items)) throw new Error("no list of jobs");
  const details = await Promise.all(
    items.map(async ({ id }) => [
      await get(url, `/v1/jobs/${id}`),
      await get(url, `/v1/jobs/${id}/attempts`),
      await get(url, `/v1/jobs/${id}/events`),
      await get(url, `/v1/jobs/${id}/dependencies`),
      await get(url, `/v1/jobs/${id}/log`),
    ]),
  );
  const { jobs, queues } = await get(url, "/v1/stats");
  const projects = await get(url, "/v1/projects");
  const tasks = await get(url, "/v1/tasks");
  const workers = await get(url, "/v1/workers");
  return { items, total, details, jobs, queues, projects, tasks, workers: namesOf(workers) };
}

function namesOf({ items }: Record<string, unknown>): unknown {
  return Array.isArray(items) ? items.map(({ id, succeeded, failed }) => ({ id, succeeded, failed })) : null;
}

describe("a stopped installation", () => {
  test("is on PostgreSQL what it was in its folder, and goes on from there", async () => {
    const database = await cluster.newDatabase();
    const moved = await scratch.run(["migrate-store", "--from", "sqlite:small", "--json"], {
      YARDMASTER_STORE: database,
    });
    expect(moved.stderr).toContain("everything is there and the same");
    expect(moved.exitCode).toBe(0);
    const report = JSON.parse(moved.stdout);
    expect(report.tables.find(({ table }: { table: string }) => table === "jobs").rows).toBe(9);
    expect(moved.stdout + moved.stderr).not.toContain("p@ss");

    const { url, child } = await scratch.start(["serve", "--data", "small", "--log-level", "warn"], {
      YARDMASTER_STORE: database,
    });
    expect(await snapshot(url)).toEqual(before);
    // Numbers go on above the largest that was given out, also where it is gone.
    expect((await post(url, "/v1/jobs", { name: "new", spec: { argv: ["true"] } })).id).toBe(10);
    expect((await post(url, "/v1/projects", { name: "new" })).id).toBe(3);
    // The job that a worker held is still its own.
    const client = new YardmasterClient({ baseUrl: url });
    const [held] = (await client.jobs({ state: ["leased"] })).items;
    expect(held?.name).toBe("held");
    await client.sendResults({
      workerId: "w1",
      results: [{ id: held?.id ?? 0, attempt: 1, outcome: "succeeded", exitCode: 0 }],
    });
    // The line: by priority, then by age, in the right queue.
    const capacity = { cpu: 10, accelerators: 0, memoryMb: 1_000 };
    const claim = { workerId: "w1", queues: ["default"], kinds: ["command" as const], capacity };
    const next = await client.claim({ ...claim, max: 10, waitMs: 0 });
    expect(next.map(({ name }) => name).slice(-2)).toEqual(["new", "ready"]);
    child.kill("SIGTERM");
    await child.exited;
    // Who starts a second server on that database should know it.
    expect(await new Response(child.stderr).text()).toContain("--blobs shares them");
  });

  test("brings its artifacts to a bucket", async () => {
    const env = { AWS_ACCESS_KEY_ID: LOGIN.accessKeyId, AWS_SECRET_ACCESS_KEY: LOGIN.secretAccessKey };
    const bucket = ["--blobs", `s3://${BUCKET}/moved`, "--s3-endpoint", s3.endpoint];
    const to = ["--to", await cluster.newDatabase()];
    const moved = await scratch.run(
      ["migrate-store", "--from", "sqlite:small", ...to, ...bucket, "--json"],
      env,
    );
    expect([moved.exitCode, moved.stderr]).toEqual([0, expect.stringContaining("copying artifacts: 1")]);
    expect(JSON.parse(moved.stdout).artifacts).toEqual({ count: 1, bytes: ARTIFACT.length });
    expect(await s3.client.file(`moved/${hashOf(ARTIFACT)}`).text()).toBe(ARTIFACT);
    expect(existsSync(join(scratch.folder, "small/artifacts"))).toBe(true);
  });
});

describe("a move that is ended in its middle", () => {
  const JOBS = 12_000;
  beforeAll(async () => {
    const { url, child } = await scratch.start(["serve", "--data", "large", "--log-level", "error"]);
    for (let batch = 0; batch < JOBS / 1_000; batch++) {
      const jobs = Array.from({ length: 1_000 }, (_, index) => ({
        name: `job ${batch}-${index}`,
        spec: { argv: ["echo", String(index)] },
        dependsOn: index % 10 === 9 ? [`#${index - 1}`] : [],
      }));
      await post(url, "/v1/jobs", jobs);
    }
    child.kill("SIGTERM");
    await child.exited;
  });

  const movedJobs = async (name: string) => {
    const [table] = await cluster.ask(
      name,
      "SELECT to_regclass('yardmaster_incoming.jobs') IS NOT NULL AS there",
    );
    if (table?.there !== true) return 0;
    return Number((await cluster.ask(name, "SELECT count(*)::int AS n FROM yardmaster_incoming.jobs"))[0]?.n);
  };

  /** Begins a move, or goes on with it, and kills it when more jobs are there than before. */
  const begin = async (to: string) => {
    const name = new URL(to).pathname.slice(1);
    const beforeIt = await movedJobs(name);
    const child = scratch.spawn(["migrate-store", "--from", "sqlite:large", "--to", to]);
    await eventually("some jobs are moved", async () => ((await movedJobs(name)) > beforeIt ? true : null));
    child.kill("SIGKILL");
    await child.exited;
    expect(await cluster.ask(name, "SELECT to_regnamespace('yardmaster') AS there")).toEqual([
      { there: null },
    ]);
    return name;
  };

  test("is seen by no server, and goes on where it was", async () => {
    const to = await cluster.newDatabase();
    const name = await begin(to);
    await begin(to);
    const again = await scratch.run(["migrate-store", "--from", "sqlite:large", "--to", to]);
    expect(again.stderr).toContain("going on with it");
    expect(again.exitCode).toBe(0);
    const found = await cluster.ask(name, "SELECT count(*)::int AS n FROM yardmaster.jobs");
    expect(found).toEqual([{ n: JOBS }]);
    const standing = await cluster.ask(
      name,
      "SELECT (SELECT count(*)::int FROM yardmaster.ready) AS ready, (SELECT count(*)::int FROM yardmaster.pending) AS pending",
    );
    expect(standing).toEqual([{ ready: JOBS * 0.9, pending: JOBS * 0.1 }]);
    const rows = await cluster.ask(
      name,
      "SELECT count(DISTINCT id)::int AS n FROM yardmaster.job_details JOIN yardmaster.jobs USING (id)",
    );
    expect(rows).toEqual([{ n: JOBS }]);
    const third = await scratch.run(["migrate-store", "--from", "sqlite:large", "--to", to]);
    expect([third.exitCode, third.stderr]).toEqual([1, expect.stringContaining("is not empty")]);
  });

  test("goes on after the database crashed under it", async () => {
    const to = await cluster.newDatabase();
    const name = new URL(to).pathname.slice(1);
    const child = scratch.spawn(["migrate-store", "--from", "sqlite:large", "--to", to]);
    await eventually("some jobs are moved", async () => ((await movedJobs(name)) > 0 ? true : null));
    cluster.stopServer("immediate");
    expect([await child.exited, await new Response(child.stderr).text()]).toEqual([
      1,
      expect.stringContaining("run the same command again"),
    ]);
    const away = await scratch.run(["migrate-store", "--from", "sqlite:large", "--to", to]);
    expect([away.exitCode, away.stderr]).toEqual([
      1,
      expect.stringContaining("nothing answers at its address"),
    ]);
    cluster.startServer();
    const again = await scratch.run(["migrate-store", "--from", "sqlite:large", "--to", to]);
    expect([again.exitCode, again.stderr]).toEqual([0, expect.stringContaining("going on with it")]);
  });

  test("is not put in force when a row came out different", async () => {
    const to = await cluster.newDatabase();
    const name = await begin(to);
    await cluster.ask(name, "UPDATE yardmaster_incoming.job_details SET spec = '{}' WHERE id = 17");
    const compared = await scratch.run(["migrate-store", "--from", "sqlite:large", "--to", to]);
    expect([compared.exitCode, compared.stderr]).toEqual([
      1,
      expect.stringContaining("the table jobs is not the same on both sides"),
    ]);
    expect(await cluster.ask(name, "SELECT to_regnamespace('yardmaster') AS there")).toEqual([
      { there: null },
    ]);
  });

  test("is gone on with from the same, unchanged folder only; another is begun with --start-over", async () => {
    const to = await cluster.newDatabase();
    await begin(to);
    const other = await scratch.run(["migrate-store", "--from", "sqlite:small", "--to", to]);
    expect([other.exitCode, other.stderr]).toEqual([
      1,
      expect.stringMatching(/a move from .*large.*--start-over/),
    ]);
    const { url, child } = await scratch.start(["serve", "--data", "large", "--log-level", "error"]);
    await post(url, "/v1/jobs", { name: "later", spec: { argv: ["true"] } });
    child.kill("SIGTERM");
    await child.exited;
    const changed = await scratch.run(["migrate-store", "--from", "sqlite:large", "--to", to]);
    expect([changed.exitCode, changed.stderr]).toEqual([1, expect.stringContaining("has changed since")]);
    const over = await scratch.run(["migrate-store", "--from", "sqlite:small", "--to", to, "--start-over"]);
    expect(over.exitCode).toBe(0);
  });
});

describe("what cannot be moved is refused, and nothing changes", () => {
  const refusal = async (...argv: string[]) => {
    const { exitCode, stderr } = await scratch.run(["migrate-store", ...argv]);
    return [exitCode, stderr] as const;
  };

  test("a folder without a store, a folder in use, a wrong word", async () => {
    const to = await cluster.newDatabase();
    expect(await refusal("--from", "sqlite:nowhere", "--to", to)).toEqual([
      1,
      expect.stringContaining("there is no store in"),
    ]);
    expect(existsSync(join(scratch.folder, "nowhere"))).toBe(false);
    expect(await refusal("--from", "mysql:x", "--to", to)).toEqual([
      2,
      expect.stringContaining("sqlite:FOLDER"),
    ]);
    expect(await refusal("--from", "sqlite:small")).toEqual([2, expect.stringContaining("YARDMASTER_STORE")]);
    cpSync(join(scratch.folder, "small"), join(scratch.folder, "busy"), { recursive: true });
    const { child } = await scratch.start(["serve", "--data", "busy", "--log-level", "error"]);
    expect(await refusal("--from", "sqlite:busy", "--to", to)).toEqual([
      1,
      expect.stringContaining("in use by another Yardmaster server"),
    ]);
    child.kill("SIGTERM");
    await child.exited;
  });

  test("a database that a server uses, one that is not there", async () => {
    const to = await cluster.newDatabase();
    const { child } = await scratch.start(["serve", "--data", "beside", "--log-level", "error"], {
      YARDMASTER_STORE: to,
    });
    expect(await refusal("--from", "sqlite:small", "--to", to)).toEqual([
      1,
      expect.stringContaining("a Yardmaster server uses"),
    ]);
    child.kill("SIGTERM");
    await child.exited;
    // Stopped and never used, it may be moved to.
    expect((await refusal("--from", "sqlite:small", "--to", to))[0]).toBe(0);
    const nowhere = to.replace(/\/[^/]*$/, "/nowhere");
    const [exitCode, stderr] = await refusal("--from", "sqlite:small", "--to", nowhere);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining("cannot be opened")]);
    expect(stderr).not.toContain("p%40ss");
  });
});
