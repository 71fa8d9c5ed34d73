import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  Client,
  type ExecuteOptions,
  Formatter,
  HttpError,
  type JsonObject,
  type Project,
  Server,
} from "@yardmaster/client/whatsnext";
import { detail, FakeServer } from "./fakeServer.ts";
import { until } from "./until.ts";

/** Runs `sh -c` with the job's `script`; notes what it ran and how many ran at once. */
class ShellFormatter extends Formatter {
  readonly ran: string[] = [];
  running = 0;
  most = 0;

  override format(task: string, { script }: JsonObject): string[] {
    if (typeof script !== "string") throw new Error(`task ${task} has no script`);
    return ["sh", "-c", script];
  }

  override async execute(argv: readonly string[], options: ExecuteOptions = {}): Promise<number> {
    this.ran.push(argv[2] ?? "");
    this.most = Math.max(this.most, ++this.running);
    try {
      return await super.execute(argv, options);
    } finally {
      this.running--;
    }
  }
}

let fake: FakeServer;
let project: Project;
let formatter: ShellFormatter;
let lines: string[];

beforeEach(async () => {
  fake = new FakeServer();
  fake.task("shell");
  project = await new Server("127.0.0.1", fake.port, { maxRetries: 1, maxRetryPauseMs: 5 }).getProject(
    "my-project",
  );
  formatter = new ShellFormatter({ output: "ignore", killGraceMs: 100 });
  lines = [];
});
afterEach(() => fake[Symbol.asyncDispose]());

const script = (text: string, change: object = {}) => fake.job({ parameters: { script: text }, ...change });
function worker(change: object = {}): Client {
  const log = (line: string) => lines.push(line);
  return new Client({ entity: "team", name: "worker 1", project, formatter, log, ...change });
}
const heartbeats = () => fake.seen.filter(({ path }) => path.endsWith("/heartbeat")).length;
const fetches = () => fake.seen.filter(({ path }) => path.endsWith("/fetch_job"));

describe("work", () => {
  test("registers, runs every job in order, tells how each ended, leaves, and counts", async () => {
    const [a, b, c] = [script("exit 0"), script("exit 2"), script("exit 0", { priority: 9 })];
    const client = worker({ availableCpu: 16, availableAccelerators: 4, description: "d" });
    expect(await client.work()).toBe(3);
    expect(fake.reports).toEqual([
      ...[`${c.id} RUNNING`, `${c.id} COMPLETED`, `${a.id} RUNNING`],
      ...[`${a.id} COMPLETED`, `${b.id} RUNNING`, `${b.id} FAILED`],
    ]);
    expect(client.id).toMatch(/^team-worker-1-[0-9a-f]{12}$/);
    const own = fake.seen.filter(({ path }) => path.startsWith("/clients/"));
    expect(own.map(({ path }) => path)).toEqual(["/clients/register", `/clients/${client.id}/deactivate`]);
    expect(own[0]?.body).toEqual({
      id: client.id,
      name: "worker 1",
      entity: "team",
      description: "d",
      available_cpu: 16,
      available_accelerators: 4,
    });
    expect(fetches()[0]?.query.toString()).toBe(
      `available_cpu=16&available_accelerators=4&client_id=${client.id}`,
    );
    expect(await client.work({ useResourceFilter: false })).toBe(0);
    expect(fetches().at(-1)?.query.get("available_cpu")).toBe("0");
  });

  test("a job that cannot be formatted or started fails, and the next one runs", async () => {
    const a = fake.job();
    const b = script("exit 0");
    expect(await worker().work()).toBe(2);
    expect(fake.reports).toContain(`${a.id} FAILED`);
    expect(fake.reports).toContain(`${b.id} COMPLETED`);
    expect(lines).toEqual([`job ${a.id} "${a.name}" failed: task shell has no script`]);
  });

  test("a job that is gone before it starts is not run", async () => {
    const a = script("exit 0");
    fake.answer = ({ method }) => (method === "PUT" ? detail(404, `Job with id ${a.id} not found.`) : null);
    expect(await worker().work()).toBe(0);
    expect(formatter.ran).toEqual([]);
    expect(lines.join()).toContain("not found");
  });

  test("a dependent job runs after the job it waits for", async () => {
    const a = script("sleep 0.05");
    script("exit 0", { depends: { [a.id]: a.name }, priority: 9 });
    expect(await worker({ slots: 4 }).work({ pollIntervalMs: 10_000 })).toBe(2);
    expect(formatter.ran).toEqual(["sleep 0.05", "exit 0"]);
  });

  test("with runForever it polls, and stays until it is stopped", async () => {
    const client = worker();
    const working = client.work({ runForever: true, pollIntervalMs: 5 });
    await until("polls", () => fetches().length > 2);
    const job = script("exit 0");
    await until("the job", () => fake.jobs.get(job.id)?.status === "COMPLETED");
    client.stop();
    expect(await working).toBe(1);
  });

  test("beats while a job runs, and registers again when the server forgot it", async () => {
    const client = worker({ heartbeatIntervalMs: 5 });
    script("sleep 1000");
    fake.answer = ({ path }) =>
      path.endsWith("/heartbeat") && heartbeats() === 2 ? detail(404, "Client with id X not found.") : null;
    const working = client.work();
    await until("heartbeats", () => heartbeats() > 3);
    expect(fake.count("POST /clients/register")).toBe(2);
    client.stop({ kill: true });
    await working;
    expect(lines).toEqual([]);
  });

  test("one work() at a time, and options that make sense", async () => {
    const client = worker();
    const working = client.work({ runForever: true, pollIntervalMs: 5 });
    await expect(client.work()).rejects.toThrow("works already");
    client.stop();
    await working;
    await expect(client.work({ pollIntervalMs: 0 })).rejects.toThrow(
      "pollIntervalMs must be a whole number from 1",
    );
    expect(() => worker({ slots: 0 })).toThrow("slots must be a whole number from 1, got 0");
    expect(() => worker({ id: "a b" })).toThrow("id must be 1 to 128 letters");
    expect(() => worker({ name: "" })).toThrow("name must be a text, not empty");
    expect(() => worker({ availableCpu: -1 })).toThrow("availableCpu must be a whole number from 0");
  });
});

describe("slots", () => {
  test("jobs run side by side, never more than there are slots", async () => {
    for (let index = 0; index < 6; index++) script("sleep 0.05");
    expect(await worker({ slots: 3 }).work()).toBe(6);
    expect(formatter.most).toBe(3);
  });

  test("asks for what running jobs leave, and for nothing while a resource is taken", async () => {
    const gpu = fake.task("gpu", 2, 1);
    for (let index = 0; index < 3; index++) script("sleep 0.05", { task_id: gpu });
    expect(await worker({ slots: 8, availableCpu: 16, availableAccelerators: 2 }).work()).toBe(3);
    expect(formatter.most).toBe(2);
    const asked = fetches().map(({ query }) => [
      query.get("available_cpu"),
      query.get("available_accelerators"),
    ]);
    expect(asked.slice(0, 2)).toEqual([
      ["16", "2"],
      ["14", "1"],
    ]);
    expect(asked.every(([, accelerators]) => accelerators !== "0")).toBe(true);
  });
});

describe("stopping", () => {
  test("stop lets the running job end and takes no other", async () => {
    const a = script("sleep 0.1");
    const b = script("exit 0");
    const client = worker();
    const working = client.work({ runForever: true });
    await until("the job runs", () => formatter.running === 1);
    client.stop();
    expect(await working).toBe(1);
    expect([fake.jobs.get(a.id)?.status, fake.jobs.get(b.id)?.status]).toEqual(["COMPLETED", "PENDING"]);
  });

  test("kill ends the running job and puts it back", async () => {
    const a = script("trap '' TERM; sleep 1000");
    const client = worker();
    const working = client.work();
    await until("the job runs", () => formatter.running === 1);
    client.stop({ kill: true });
    expect(await working).toBe(0);
    expect(fake.reports).toEqual([`${a.id} RUNNING`, `${a.id} PENDING`]);
  });

  test("a job that arrives after the stop is put back", async () => {
    const a = script("exit 0");
    const controller = new AbortController();
    const client = worker();
    fake.answer = ({ path }) => {
      if (path.endsWith("/fetch_job")) controller.abort();
      return null;
    };
    expect(await client.work({ signal: controller.signal })).toBe(0);
    expect(fake.reports).toEqual([`${a.id} PENDING`]);
    expect(formatter.ran).toEqual([]);
  });
});

describe("a server in trouble", () => {
  test("an outcome is delivered when the server is back, and the job is not run again", async () => {
    const a = script("exit 0");
    let left = 5;
    fake.answer = ({ method, body }) =>
      method === "PUT" && Object(body).status === "COMPLETED" && left-- > 0
        ? detail(503, "the disk is full")
        : null;
    expect(await worker().work()).toBe(1);
    expect(fake.reports).toEqual([`${a.id} RUNNING`, `${a.id} COMPLETED`]);
  });

  test("a job that ends while nobody listens is told of later", async () => {
    const a = script("sleep 0.2");
    const working = worker({ heartbeatIntervalMs: 20 }).work({ runForever: false });
    await until("the job runs", () => formatter.running === 1);
    const port = await fake.goAway();
    await until("the job ended", () => formatter.running === 0);
    fake.comeBack(port);
    expect(await working).toBe(1);
    expect(fake.reports).toEqual([`${a.id} RUNNING`, `${a.id} COMPLETED`]);
    expect(lines.filter((line) => line.includes("no heartbeat"))).toHaveLength(1);
  });

  test("with runForever it waits for the server, also at the start; it says so once", async () => {
    const port = await fake.goAway();
    const client = worker();
    const working = client.work({ runForever: true, pollIntervalMs: 5 });
    await Bun.sleep(50);
    fake.comeBack(port);
    await until("polls", () => fetches().length > 0);
    await fake.goAway();
    await until("a note", () => lines.length > 0);
    fake.comeBack(port);
    const job = script("exit 0");
    await until("the job", () => fake.jobs.get(job.id)?.status === "COMPLETED");
    client.stop();
    expect(await working).toBe(1);
    expect(lines).toHaveLength(2);
    expect(lines[1]).toContain("the server is back");
  });

  test("a job whose fetch was broken off is given back and fetched again", async () => {
    const a = script("exit 0");
    fake.answer = ({ path }) => {
      if (!path.endsWith("/fetch_job") || fetches().length > 1) return null;
      a.status = "QUEUED";
      return detail(502, "the way back is broken");
    };
    const client = worker();
    const working = client.work({ runForever: true, pollIntervalMs: 5 });
    await until("the job", () => a.status === "COMPLETED");
    client.stop();
    expect(await working).toBe(1);
    expect(fake.reports).toEqual([`${a.id} RUNNING`, `${a.id} COMPLETED`]);
  });

  test("a refusal ends work after the running jobs, with the server's words", async () => {
    const a = script("sleep 0.1");
    fake.answer = ({ path }) =>
      path.endsWith("/fetch_job") && fetches().length > 1 ? detail(403, "Invalid API key") : null;
    const error = await worker({ slots: 2 })
      .work({ runForever: true })
      .catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HttpError);
    expect(error).toMatchObject({ status: 403, detail: "Invalid API key" });
    expect(fake.jobs.get(a.id)?.status).toBe("COMPLETED");
  });
});
