/** WhatsNext's calls beside the bare HTTP server: create a job, report it COMPLETED, and workers that drain a queue. */
import { Connection, load, loadWith, requestBytes } from "../connection.ts";
import { type Effort, type Figure, median, shareOf } from "../figure.ts";
import type { Bench, ServerProcess } from "../processes.ts";
import {
  createJobs,
  createProject,
  createTask,
  documentedJob,
  type FetchedJob,
  fetchJob,
  jobOf,
  updateJob,
} from "../whatsnext.ts";

const CONCURRENCY = 64;
const WORKERS = 16;
/** A worker's calls for one job: fetch, RUNNING, COMPLETED. */
const CALLS_PER_JOB = 3;
const ROUND_TIMEOUT_MS = 120_000;
const CREATE_AIM = 0.4;

export async function whatsnextCalls(bench: Bench, effort: Effort): Promise<Figure[]> {
  return [await creating(bench, effort), ...(await working(bench, effort))];
}

async function creating(bench: Bench, { rounds, durationMs }: Effort): Promise<Figure> {
  const server = await bench.server();
  const probe = await Connection.open(server.target);
  const projectId = await createProject(probe, "created");
  const taskId = await createTask(probe, projectId, { name: "train-model" });
  const bytes = requestBytes("POST", "/jobs/", JSON.stringify(documentedJob(projectId, taskId)));
  const bareServer = await bench.bareServer((await probe.request(bytes)).length);
  probe.close();
  const ours: number[] = [];
  const bare: number[] = [];
  // One unmeasured round warms both up; then they take turns, so that both see the same machine.
  for (let round = 0; round <= rounds; round += 1) {
    const options = {
      connections: CONCURRENCY,
      durationMs: round === 0 ? durationMs / 3 : durationMs,
      status: 201,
    };
    const bareResult = await load(bareServer.target, bytes, options);
    const ourResult = await load(server.target, bytes, options);
    if (round === 0) continue;
    bare.push(bareResult.perSecond);
    ours.push(ourResult.perSecond);
  }
  await bench.end(bareServer.pid);
  await bench.end(server.pid);
  return shareOf(
    `whatsnext: create job, ${CONCURRENCY} at a time`,
    "jobs/s",
    median(ours),
    { name: "bare HTTP server", value: median(bare) },
    CREATE_AIM,
  );
}

/** Reports and drains take turns with the bare server on one server whose history grows, as it does in use. */
async function working(bench: Bench, { rounds, drainedJobs }: Effort): Promise<Figure[]> {
  const server = await bench.server();
  const connection = await Connection.open(server.target);
  const projectId = await createProject(connection, "worked");
  const taskId = await createTask(connection, projectId, { name: "train-model" });
  const job = documentedJob(projectId, taskId);
  const refill = () => createJobs(connection, projectId, job, drainedJobs);

  await refill();
  const [example] = await fetchAll(server, projectId, 1);
  if (example === undefined) throw new Error("the queue gave no job");
  const completed = updateJob(example, "COMPLETED");
  const bareServer = await bench.bareServer((await connection.request(completed)).length);
  const reports: number[] = [];
  const drains: number[] = [];
  const bareReports: number[] = [];
  const bareDrains: number[] = [];
  // The first round warms both up.
  for (let round = 0; round <= rounds; round += 1) {
    const jobs = await fetchAll(server, projectId, drainedJobs - (round === 0 ? 1 : 0));
    await sendAll(
      server,
      jobs.map((one) => updateJob(one, "RUNNING")),
      200,
    );
    const report = await sendAll(
      server,
      jobs.map((one) => updateJob(one, "COMPLETED")),
      200,
    );
    const bareReport = await sendAll(
      bareServer,
      jobs.map(() => completed),
      201,
    );
    await refill();
    const drain = await drained(server, projectId, drainedJobs);
    const bareDrain = await sendAll(
      bareServer,
      jobs.map(() => completed),
      201,
      WORKERS,
    );
    await refill();
    if (round === 0) continue;
    reports.push(report);
    bareReports.push(bareReport);
    drains.push(drain);
    bareDrains.push(bareDrain / CALLS_PER_JOB);
  }
  connection.close();
  await bench.end(bareServer.pid);
  await bench.end(server.pid);
  return [
    shareOf(
      `whatsnext: update to COMPLETED, ${CONCURRENCY} at a time`,
      "jobs/s",
      median(reports),
      { name: "bare HTTP server", value: median(bareReports) },
      null,
    ),
    shareOf(
      `whatsnext: ${WORKERS} workers drain ${drainedJobs.toLocaleString("en-GB")} jobs (fetch, RUNNING, COMPLETED)`,
      "jobs/s",
      median(drains),
      { name: "bare HTTP server, three calls a job", value: median(bareDrains) },
      null,
    ),
  ];
}

/** Fetches exactly `count` jobs. */
async function fetchAll(server: ServerProcess, projectId: number, count: number): Promise<FetchedJob[]> {
  const bytes = fetchJob(projectId, null);
  const jobs: FetchedJob[] = [];
  let left = count;
  await loadWith(server.target, () => (left-- > 0 ? bytes : null), {
    connections: Math.min(CONCURRENCY, count),
    durationMs: ROUND_TIMEOUT_MS,
    status: 200,
    onAnswer: (body) => {
      const job = jobOf(body);
      if (job !== null) jobs.push(job);
    },
  });
  if (jobs.length !== count) throw new Error(`expected ${count} jobs, got ${jobs.length}`);
  return jobs;
}

/** Sends each request once; returns how many there were a second. */
async function sendAll(
  server: ServerProcess,
  requests: readonly Uint8Array[],
  status: number,
  connections = CONCURRENCY,
): Promise<number> {
  let at = 0;
  const { perSecond } = await loadWith(server.target, () => requests[at++] ?? null, {
    connections,
    durationMs: ROUND_TIMEOUT_MS,
    status,
  });
  return perSecond;
}

/** Each worker takes a job and reports on it until the queue is empty; returns jobs a second. */
async function drained(server: ServerProcess, projectId: number, count: number): Promise<number> {
  const workers = await Promise.all(Array.from({ length: WORKERS }, () => Connection.open(server.target)));
  const bytes = fetchJob(projectId, null);
  const ids = new Set<number>();
  const startedAt = performance.now();
  await Promise.all(
    workers.map(async (worker) => {
      for (;;) {
        const job = jobOf(await worker.request(bytes));
        if (job === null) return;
        if (ids.has(job.id)) throw new Error(`job ${job.id} was given twice`);
        ids.add(job.id);
        await worker.request(updateJob(job, "RUNNING"));
        await worker.request(updateJob(job, "COMPLETED"));
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  for (const worker of workers) worker.close();
  if (ids.size !== count) throw new Error(`${count} jobs were queued, ${ids.size} given`);
  return count / seconds;
}
