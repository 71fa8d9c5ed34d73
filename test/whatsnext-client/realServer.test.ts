import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  CLIFormatter,
  Client,
  EmptyQueueError,
  Formatter,
  Job,
  type JsonObject,
  type Project,
  Server,
} from "@yardmaster/client/whatsnext";
import { Scratch } from "../cli/yardmasterProcess.ts";
import { until } from "./until.ts";

const scratch = new Scratch();
let server: Server;
let port = 0;
let projects = 0;

beforeAll(async () => {
  const { url } = await scratch.start(["serve", "--data", "data"]);
  port = Number(new URL(url).port);
  server = new Server("127.0.0.1", port);
});
afterAll(() => scratch.dispose());

async function newProject(): Promise<Project> {
  const project = await server.appendProject(`project ${++projects}/ü`, "made by a test");
  await project.createTask("run");
  return project;
}
const job = (name: string, options: object = {}) => new Job({ name, task: "run", ...options });
const shell = new CLIFormatter({ executable: "sh", script: "-c", output: "ignore", killGraceMs: 100 });

/** Runs the text of the parameter `sh`. */
class ShellText extends Formatter {
  override format(_task: string, { sh }: JsonObject): string[] {
    return ["sh", "-c", String(sh)];
  }
}

describe("projects and tasks", () => {
  test("are made, listed, changed and deleted", async () => {
    const project = await newProject();
    expect(await server.checkConnection()).toBe("OK");
    expect(await server.checkDatabase()).toBe("DB is working");
    await expect(server.appendProject(project.name)).rejects.toMatchObject({ status: 400 });
    await project.setDescription("changed");
    await project.setStatus("ARCHIVED");
    const again = await server.getProject(project.name);
    expect([again.id, again.description, again.status]).toEqual([project.id, "changed", "ARCHIVED"]);
    expect(again.lastUpdated.getTime()).toBeGreaterThanOrEqual(again.createdAt.getTime());
    expect((await server.listProjects()).map(({ id }) => id)).not.toContain(project.id);
    expect((await server.listProjects({ status: null })).map(({ id }) => id)).toContain(project.id);
    await server.deleteProject(project.name);
    await expect(project.refresh()).rejects.toMatchObject({
      status: 404,
      detail: `Project with id ${project.id} not found.`,
    });
  });

  test("a task's needs and template are changed one by one", async () => {
    const project = await newProject();
    const task = await project.createTask("t", { requiredCpu: 8, commandTemplate: "echo {x}" });
    expect(task).toMatchObject({ requiredCpu: 8, commandTemplate: "echo {x}" });
    expect(await project.updateTask(task.id, { requiredAccelerators: 2 })).toMatchObject({
      requiredCpu: 8,
      requiredAccelerators: 2,
    });
    expect((await project.tasks()).map(({ name }) => name).sort()).toEqual(["run", "t"]);
    await project.deleteTask(task.id);
    await expect(project.getTask("t")).rejects.toMatchObject({
      status: 404,
      detail: "Task with name 't' not found.",
    });
  });
});

describe("the queue", () => {
  test("jobs are appended, listed, popped, removed and cleared", async () => {
    const project = await newProject();
    await expect(project.fetchJob()).rejects.toBeInstanceOf(EmptyQueueError);
    const many = Array.from({ length: 1_200 }, (_, index) => job(`job ${index}`));
    await project.extendQueue(many);
    const urgent = await project.appendQueue(
      job("urgent", { priority: 5, parameters: { a: [1, { b: null }] } }),
    );
    const queue = await project.queue();
    expect([queue.length, queue[0]?.name, queue[1]?.name]).toEqual([1_201, "urgent", "job 0"]);
    expect((await project.popQueue()).name).toBe("job 1199");
    await project.removeJob(many[0] ?? 0);
    await urgent.setPriorityTo(-1);
    expect((await project.fetchJob()).name).toBe("job 1");
    expect(await project.clearQueue()).toBe(1_198);
    expect((await project.jobs()).map(({ status }) => status)).toEqual(["QUEUED"]);
    await expect(urgent.refresh()).rejects.toMatchObject({ status: 404 });
  });

  test("a refused batch creates nothing and says where", async () => {
    const project = await newProject();
    const bad = job("bad", { depends: { 999999: "nobody" } });
    await expect(project.extendQueue([job("good"), bad])).rejects.toMatchObject({ status: 400 });
    expect([await project.queue(), bad.isSubmitted]).toEqual([[], false]);
  });

  test("a failure blocks what waits, a retry frees it", async () => {
    const project = await newProject();
    const first = await project.appendQueue(job("first"));
    const second = await project.appendQueue(job("second", { depends: { [first.id]: "first" } }));
    const taken = await project.fetchJob();
    expect([taken.id, taken.task]).toEqual([first.id, "run"]);
    expect(await taken.run({ formatter: new CLIFormatter({ executable: "false" }) })).toEqual({
      status: "FAILED",
      exitCode: 1,
      error: null,
    });
    expect((await second.refresh()).status).toBe("BLOCKED");
    expect(await second.dependencies()).toEqual({
      dependencies: [{ id: first.id, name: "first", status: "FAILED" }],
      allCompleted: false,
      hasFailed: true,
    });
    await first.setStatus("PENDING");
    expect((await second.refresh()).status).toBe("PENDING");
  });
});

describe("workers", () => {
  test("several with slots run every job exactly once, dependents last", async () => {
    const project = await newProject();
    const jobs = await project.extendQueue(
      Array.from({ length: 60 }, (_, i) => job(`${i}`, { parameters: { i } })),
    );
    const depends = Object.fromEntries(jobs.map(({ id, name }) => [id, name]));
    const last = await project.appendQueue(job("last", { depends, priority: 99, parameters: { i: 60 } }));
    const ran: number[] = [];
    class Noting extends Formatter {
      override format(_task: string, { i }: JsonObject): string[] {
        ran.push(Number(i));
        return ["true"];
      }
    }
    const worker = (name: string) =>
      new Client({ entity: "team", name, project, formatter: new Noting(), slots: 4, availableCpu: 4 });
    const counts = await Promise.all(
      ["a", "b", "c"].map((name) => worker(name).work({ handleSignals: false, pollIntervalMs: 20 })),
    );
    // A worker that finds nothing left leaves; the last job is taken by one of those that still ran something.
    if ((await last.refresh()).status === "PENDING") counts.push(await worker("d").work());
    expect(counts.reduce((sum, count) => sum + count)).toBe(61);
    expect(ran.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 61 }, (_, index) => index));
    expect(ran.at(-1)).toBe(60);
    expect((await project.jobs()).every(({ status }) => status === "COMPLETED")).toBe(true);
  }, 30_000);

  test("take only jobs that fit", async () => {
    const project = await newProject();
    await project.createTask("big", { requiredCpu: 8, requiredAccelerators: 4 });
    await project.appendQueue(new Job({ name: "big", task: "big" }));
    const small = { entity: "t", name: "small", project, formatter: shell, availableCpu: 4 };
    expect(await new Client({ ...small, availableAccelerators: 1 }).work()).toBe(0);
    expect((await project.fetchJob(8, 4)).name).toBe("big");
  });

  test("put a job back when they are told to end at once", async () => {
    const project = await newProject();
    const endless = await project.appendQueue(job("endless", { parameters: { sh: "sleep 1000" } }));
    const client = new Client({ entity: "t", name: "w", project, formatter: new ShellText(), log: () => {} });
    const working = client.work({ runForever: true });
    let status = "";
    void (async () => {
      while (status !== "RUNNING") status = (await endless.refresh()).status;
    })();
    await until("the job runs", () => status === "RUNNING");
    client.stop({ kill: true });
    expect(await working).toBe(0);
    expect((await endless.refresh()).status).toBe("PENDING");
  });

  test("leave their fetched jobs to others when they deactivate", async () => {
    const project = await newProject();
    const lost = await project.appendQueue(job("lost"));
    const client = new Client({ entity: "t", name: "w", project, formatter: shell, id: "worker-1" });
    await client.register();
    await project.fetchJob(0, 0, { clientId: client.id });
    await expect(project.fetchJob()).rejects.toBeInstanceOf(EmptyQueueError);
    await client.heartbeat();
    expect((await server.listClients()).find(({ id }) => id === "worker-1")).toMatchObject({
      entity: "t",
      isActive: true,
    });
    await client.deactivate();
    expect((await project.fetchJob()).id).toBe(lost.id);
  });
});

test("a server killed while jobs run loses no outcome, and no job runs twice", async () => {
  const first = await scratch.start(["serve", "--data", "killed"]);
  const killedPort = Number(new URL(first.url).port);
  const project = await new Server("127.0.0.1", killedPort, { maxRetryPauseMs: 200 }).appendProject("p");
  await project.createTask("run");
  const notes = join(scratch.folder, "notes");
  const texts = Array.from({ length: 12 }, (_, i) => `sleep 0.1; echo ${i} >> ${notes}; exit ${i % 2}`);
  await project.extendQueue(texts.map((sh) => job(sh, { parameters: { sh } })));
  const client = new Client({
    ...{ entity: "t", name: "w", project, formatter: new ShellText(), slots: 4 },
    log: () => {},
  });
  const working = client.work({ runForever: true, pollIntervalMs: 20, handleSignals: false });
  await until("two jobs have run", () => linesOf(notes).length >= 2);
  first.child.kill("SIGKILL");
  await first.child.exited;
  await scratch.start(["serve", "--data", "killed", "--listen", `127.0.0.1:${killedPort}`]);
  await until("all jobs have run", () => linesOf(notes).length >= 12, 20_000);
  client.stop();
  expect(await working).toBe(12);
  expect(linesOf(notes).toSorted((a, b) => Number(a) - Number(b))).toEqual(texts.map((_, i) => `${i}`));
  const statuses = (await project.jobs()).map(({ status }) => status);
  expect(statuses).toEqual(texts.map((_, i) => (i % 2 === 0 ? "COMPLETED" : "FAILED")));
}, 45_000);

function linesOf(path: string): string[] {
  return existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
}

test("an API key opens the server, a wrong one and none do not", async () => {
  const { url } = await scratch.start([
    "serve",
    "--data",
    "keyed",
    "--api-key",
    "a-key-of-some-length-0123456789",
  ]);
  const keyedPort = Number(new URL(url).port);
  const withKey = (apiKey?: string) => new Server("127.0.0.1", keyedPort, { apiKey });
  await withKey("a-key-of-some-length-0123456789").appendProject("p");
  await expect(withKey().getProject("p")).rejects.toMatchObject({ status: 401 });
  await expect(withKey("wrong").getProject("p")).rejects.toMatchObject({ status: 403 });
  expect(await withKey().checkConnection()).toBe("OK");
});
