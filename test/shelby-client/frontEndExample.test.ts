/**
 * The front-end example of the ShelbyCompute document, word for word, against the real server and its agent. Its parts
 * stand for themselves: the job that it makes gets an id of its own, and its script is for the job `job-123`. So
 * that job is made by somebody: before the example, or after it.
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
  ({ url } = await scratch.start(["up", "--data", "data"], offline));
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
  const { logs } = await (await fetch(`${url}/api/frontend/logs/job-123`)).json();
  const lines = logs.map(({ line }: { line: string }) => line);
  expect(lines.at(-1)).toBe("Hello from custom training script!");
}

test("the example before its job: the script waits, and runs as soon as the job is made", async () => {
  const { dashboardData, newJob, logs } = await run();
  expect(dashboardData).toMatchObject({ jobStats: { total: 0 } });
  expect(newJob.status).toBe(200);
  expect(await newJob.json()).toEqual({ status: "ok", jobId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  expect(logs).toEqual({ detail: "Job not found" });
  expect((await createNamed()).status).toBe(200);
  await ranForReal();
}, 60_000);

test("the example after its job was made: its script is the job's, and its last line has the log", async () => {
  await fetch(`${url}/api/frontend/jobs/job-123`, { method: "DELETE" });
  expect((await createNamed()).status).toBe(200);
  const { logs } = await run();
  expect(logs).toEqual({ jobId: "job-123", logs: expect.any(Array) });
  await ranForReal();
}, 60_000);
