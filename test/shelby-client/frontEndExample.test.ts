/**
 * The front-end example of the ShelbyCompute document, word for word, against the real server and its agent. The job
 * that it makes gets an id of its own, which it does not read; its script and its logs are those of `job-123`. Its
 * dataset cannot be had: there is nothing at that address.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { writeWheel } from "../agent/scripts/scriptYard.ts";
import { eventually, Scratch } from "../cli/yardmasterProcess.ts";
import { FRONT_END_EXAMPLE } from "./frontEndExample.ts";

const WHEEL = "torch-2.4.0-py3-none-any.whl";
const scratch = new Scratch();
let url = "";

/** An index of one package: nothing of the real one is needed but its name and a version. */
const packages = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) => {
    const name = new URL(request.url).pathname.slice(1);
    if (name !== "") return new Response(Bun.file(join(scratch.folder, name)));
    return new Response(`<a href="${WHEEL}">${WHEEL}</a>`, { headers: { "content-type": "text/html" } });
  },
});

beforeAll(async () => {
  await writeWheel(scratch.folder, "torch", "2.4.0", "");
  const links = `http://127.0.0.1:${packages.port}/`;
  const offline = { PIP_NO_INDEX: "1", PIP_FIND_LINKS: links, UV_NO_INDEX: "1", UV_FIND_LINKS: links };
  // What is outside this machine is out of reach.
  const environment = { ...offline, HTTPS_PROXY: "http://127.0.0.1:1" };
  ({ url } = await scratch.start(["up", "--data", "data"], environment));
});
afterAll(async () => {
  await scratch.dispose();
  await packages.stop(true);
});

type Example = (fetch: (path: string, init?: RequestInit) => Promise<Response>) => Promise<{
  dashboardData: object;
  newJob: Response;
  logs: object;
}>;

const run = async () => {
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
  const example: Example = new AsyncFunction(
    "fetch",
    `${FRONT_END_EXAMPLE}; return { dashboardData, newJob, logs };`,
  );
  return example((path, init) => fetch(`${url}${path}`, init));
};
const job = async (jobId: string) => (await fetch(`${url}/api/frontend/jobs/${jobId}`)).json();
const createNamed = () =>
  fetch(`${url}/api/jobs/create`, {
    method: "POST",
    body: JSON.stringify({ jobId: "job-123", datasetName: "My Dataset" }),
    headers: { "content-type": "application/json" },
  });

async function ranForReal(): Promise<void> {
  const ended = await eventually(
    "the job's end",
    async () => {
      const found = await job("job-123");
      return found.finishedAt === null ? null : found;
    },
    50_000,
  );
  expect([ended.status, ended.metadata?.error]).toEqual(["finished", undefined]);
  expect(await lastLine()).toBe("Hello from custom training script!");
}

async function lastLine(): Promise<string> {
  const { logs } = await (await fetch(`${url}/api/frontend/logs/job-123`)).json();
  return logs.at(-1).line;
}

test("the example creates a job, uploads its script, runs it, and has its logs", async () => {
  const { dashboardData, newJob, logs } = await run();
  expect(dashboardData).toMatchObject({ jobStats: { total: 0 } });
  expect(newJob.status).toBe(200);
  const { status, jobId } = await newJob.json();
  expect([status, jobId]).toEqual(["ok", expect.stringMatching(/^[0-9a-f-]{36}$/)]);
  expect(logs).toEqual({ jobId, logs: [] });
  await ranForReal();
  const ended = await job("job-123");
  expect(ended.jobId).toBe(jobId);
  const lines = ended.logs.map(({ line }: { line: string }) => line).join("\n");
  expect(lines).toContain("it runs the one uploaded for job-123");
  expect(lines).toMatch(/https:\/\/example\.com\/data.*runs without it/);
}, 60_000);

test("again: it is about the job that it makes now", async () => {
  const before = await job("job-123");
  const { newJob, logs } = await run();
  const { jobId } = await newJob.json();
  expect(jobId).not.toBe(before.jobId);
  expect(logs).toMatchObject({ jobId });
  await ranForReal();
}, 60_000);

test("the example after somebody made its job: its script is that job's", async () => {
  await fetch(`${url}/api/frontend/jobs/job-123`, { method: "DELETE" });
  expect((await createNamed()).status).toBe(200);
  const { logs } = await run();
  expect(logs).toEqual({ jobId: "job-123", logs: expect.any(Array) });
  await ranForReal();
  expect((await job("job-123")).jobId).toBe("job-123");
}, 60_000);
