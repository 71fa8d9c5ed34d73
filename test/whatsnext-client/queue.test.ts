import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  ConnectionError,
  EmptyQueueError,
  HttpError,
  Job,
  type Project,
  Server,
} from "@yardmaster/client/whatsnext";
import { detail, FakeServer } from "./fakeServer.ts";

let fake: FakeServer;
let server: Server;
let project: Project;

beforeEach(async () => {
  fake = new FakeServer();
  fake.task("train");
  fake.task("test");
  server = new Server("127.0.0.1", fake.port, { apiKey: "secret", maxRetryPauseMs: 5 });
  project = await server.getProject("my-project");
  fake.seen.length = 0;
});
afterEach(() => fake[Symbol.asyncDispose]());

const job = (name: string, options: object = {}) => new Job({ name, task: "train", ...options });
/** Answers the first calls of a kind as given, then lets the server answer. */
function first(times: number, text: string, answer: () => Response | Promise<Response>): void {
  let left = times;
  fake.answer = ({ method, path }) => (`${method} ${path}`.startsWith(text) && left-- > 0 ? answer() : null);
}

describe("Server and Project", () => {
  test("sends the API key with every request", async () => {
    await project.queue();
    await project.appendQueue(job("a"));
    expect(fake.seen.map(({ headers }) => headers.get("X-API-Key")).every((key) => key === "secret")).toBe(
      true,
    );
  });

  test("refuses addresses that are none", () => {
    expect(() => new Server("http://localhost", 8000)).toThrow("hostname must be a host name or address");
    expect(() => new Server("localhost", 0)).toThrow("port must be an integer from 1 to 65535");
    expect(new Server("::1", 80, { https: true }).baseUrl).toBe("https://[::1]:80");
  });

  test("reads properties, changes and refreshes them", async () => {
    expect(project.createdAt.toISOString()).toBe("2024-01-15T10:30:00.123Z");
    await project.setDescription("second");
    expect([project.description, fake.seen[0]?.body]).toEqual(["second", { description: "second" }]);
    fake.project.description = "third";
    fake.project.updated_at = "2024-01-15T10:35:00";
    await project.refresh();
    expect([project.description, project.lastUpdated.toISOString()]).toEqual([
      "third",
      "2024-01-15T10:35:00.000Z",
    ]);
    expect((await server.listProjects({ status: null, limit: 5 }))[0]?.name).toBe("my-project");
    expect(fake.seen.at(-1)?.query.toString()).toBe("status=&limit=5");
  });

  test("names what the server refused, with its status and detail", async () => {
    const error = await server.getProject("no such").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HttpError);
    expect(error).toMatchObject({ status: 404, detail: "nothing at GET /projects/name/no%20such" });
    const issue = { type: "missing", loc: ["body", "jobs", 0, "name"], msg: "Field required", input: null };
    fake.answer = () => detail(422, [issue]);
    const invalid = await project.setName("").catch((caught: unknown) => caught);
    expect(invalid).toMatchObject({ status: 422, detail: [issue] });
    expect(String(invalid)).toContain("body.jobs.0.name: Field required (422)");
    fake.answer = () => new Response("<html>", { status: 502 });
    expect(await project.appendQueue(job("a")).catch((caught: unknown) => caught)).toMatchObject({
      status: 502,
      detail: null,
    });
  });

  test("creates tasks and sends only what was given", async () => {
    const task = await project.createTask("gpu", { requiredCpu: 8, requiredAccelerators: 4 });
    expect(fake.seen.at(-1)?.body).toEqual({
      name: "gpu",
      project_id: 1,
      required_cpu: 8,
      required_accelerators: 4,
    });
    expect(task).toMatchObject({ name: "gpu", requiredCpu: 8, requiredAccelerators: 4 });
  });
});

describe("the queue", () => {
  test("appendQueue sets the id and sends dependencies, priority and parameters", async () => {
    const a = await project.appendQueue(job("a"));
    const b = job("b", { depends: { [a.id]: "a" }, priority: 3, parameters: { lr: 0.1 } });
    expect(() => b.id).toThrow('job "b" has no id yet');
    await project.appendQueue(b);
    expect(b.isSubmitted).toBe(true);
    expect(fake.jobs.get(b.id)).toMatchObject({
      name: "b",
      task_id: 1,
      parameters: { lr: 0.1 },
      priority: 3,
      depends: { [a.id]: "a" },
    });
    expect(fake.count("GET /tasks/name/train")).toBe(1);
  });

  test("extendQueue is one call and sets the ids in order", async () => {
    const jobs = [job("a"), new Job({ name: "b", task: "test" }), job("c")];
    expect(await project.extendQueue(jobs)).toEqual(jobs);
    expect(jobs.map(({ id }) => fake.jobs.get(id)?.name)).toEqual(["a", "b", "c"]);
    expect(jobs.map(({ taskId }) => taskId)).toEqual([1, 2, 1]);
    expect(fake.count("POST ")).toBe(1);
    expect(await project.extendQueue([])).toEqual([]);
    expect(fake.count("POST ")).toBe(1);
    const same = job("d");
    await expect(project.extendQueue([same, same])).rejects.toThrow("the same Job is in the list twice");
  });

  test("an unknown task is an error before anything is created", async () => {
    const unknown = new Job({ name: "a", task: "nope" });
    await expect(project.appendQueue(unknown)).rejects.toMatchObject({ status: 404 });
    await expect(project.extendQueue([job("x"), unknown])).rejects.toMatchObject({ status: 404 });
    expect(fake.count("POST ")).toBe(0);
  });

  test("a task that was deleted and made anew is looked up again", async () => {
    await project.appendQueue(job("a"));
    fake.tasks.splice(0, 1);
    const id = fake.task("train");
    expect((await project.appendQueue(job("b"))).taskId).toBe(id);
  });

  test("refuses jobs that are none, naming what is wrong", () => {
    expect(() => new Job({ name: "", task: "t" })).toThrow("name must be a text");
    expect(() => new Job({ name: "a", task: "" })).toThrow("task must be the name of a task");
    expect(() => new Job({ name: "a", task: "t", priority: 0.5 })).toThrow("priority must be an integer");
    expect(() => new Job({ name: "a", task: "t", depends: { first: "x" } })).toThrow('"first" is no id');
  });

  test("fetchJob takes the best job, or says that there is none", async () => {
    await expect(project.fetchJob()).rejects.toThrow(EmptyQueueError);
    await project.extendQueue([job("low"), job("high", { priority: 5 })]);
    const taken = await project.fetchJob(4, 2, { clientId: "w1" });
    expect([taken.name, taken.status, taken.task]).toEqual(["high", "QUEUED", "train"]);
    expect(fake.seen.at(-1)?.query.toString()).toBe("available_cpu=4&available_accelerators=2&client_id=w1");
    await expect(project.fetchJob(-1)).rejects.toThrow("cpu must be a whole number from 0");
  });

  test("queue, popQueue, removeJob and clearQueue", async () => {
    const [a, b] = await project.extendQueue([job("a"), job("b"), job("c", { priority: 1 })]);
    fake.job({ status: "COMPLETED" });
    expect((await project.queue()).map(({ name, task }) => [name, task])).toEqual([
      ["c", "train"],
      ["a", "train"],
      ["b", "train"],
    ]);
    await expect(project.popQueue(3)).rejects.toThrow("the queue has positions -3 to 2, there is no 3");
    expect((await project.popQueue()).id).toBe(b?.id ?? 0);
    expect((await project.popQueue(0)).name).toBe("c");
    await project.removeJob(a ?? 0);
    await expect(project.popQueue()).rejects.toThrow(EmptyQueueError);
    await expect(project.removeJob(999)).rejects.toMatchObject({ status: 404 });
    await project.extendQueue([job("x"), job("y")]);
    expect(await project.clearQueue()).toBe(2);
  });

  test("a changed priority does not turn back a status changed meanwhile", async () => {
    const a = await project.appendQueue(job("a"));
    await project.fetchJob();
    await a.setPriorityTo(9);
    expect(fake.jobs.get(a.id)).toMatchObject({ status: "QUEUED", priority: 9 });
    await a.setDependsTo({ 1: "x" });
    expect(fake.jobs.get(a.id)?.depends).toEqual({ 1: "x" });
    await a.setStatus("RUNNING");
    expect([a.status, fake.jobs.get(a.id)?.priority]).toEqual(["RUNNING", 9]);
  });
});

describe("tries after the first", () => {
  test("reads and changes are repeated after 502, 503 and Retry-After", async () => {
    first(2, "GET /projects/1", () => detail(502, "away"));
    await project.refresh();
    first(1, "PUT /projects/1", () => detail(503, "full", { "Retry-After": "0" }));
    await project.setDescription("x");
    expect(fake.count("PUT ")).toBe(2);
  });

  test("a creation is repeated after 503 and 429, and after nothing else", async () => {
    first(1, "POST /jobs/", () => detail(429, "slow down", { "Retry-After": "0" }));
    await project.appendQueue(job("a"));
    first(1, "POST /jobs/", () => detail(502, "who knows"));
    await expect(project.appendQueue(job("b"))).rejects.toMatchObject({ status: 502 });
    expect(fake.jobs.size).toBe(1);
  });

  test("a creation and a claim wait for a server that nobody could reach", async () => {
    await project.appendQueue(job("a"));
    const port = await fake.goAway();
    const appending = project.appendQueue(job("b"));
    const fetching = project.fetchJob();
    const quick = new Server("127.0.0.1", port, { maxRetries: 0 });
    await expect(quick.checkConnection()).rejects.toBeInstanceOf(ConnectionError);
    fake.comeBack(port);
    expect((await appending).id).toBeGreaterThan(0);
    expect((await fetching).name).toBe("a");
  });

  test("a claim whose answer is lost reaches the server once, also over a kept connection", async () => {
    let claims = 0;
    const cut = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        data(socket, data) {
          const isClaim = data.toString().includes("/fetch_job");
          if (isClaim) claims++;
          const body = JSON.stringify(fake.project);
          if (isClaim) socket.end();
          else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        },
      },
    });
    try {
      const behind = await new Server("127.0.0.1", cut.port).getProject("my-project");
      await expect(behind.fetchJob()).rejects.toBeInstanceOf(ConnectionError);
      expect(claims).toBe(1);
    } finally {
      cut.stop(true);
    }
  });

  test("a slow answer ends with the time limit, an aborted call with the signal's reason", async () => {
    fake.answer = () => new Promise(() => {});
    const slow = new Server("127.0.0.1", fake.port, {
      requestTimeoutMs: 20,
      maxRetries: 1,
      maxRetryPauseMs: 1,
    });
    await expect(slow.getProject("x")).rejects.toThrow("no answer within 20 ms");
    const controller = new AbortController();
    const call = project.refresh({ signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(call).rejects.toThrow("enough");
  });
});
