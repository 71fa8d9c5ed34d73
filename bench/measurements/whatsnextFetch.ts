/**
 * `fetch_job`, each one a durable claim, before short and long queues: with jobs that fit at the head, and with all jobs
 * at the head needing more accelerators than the worker has.
 */
import { Connection, load, loadWith } from "../connection.ts";
import { type Effort, type Figure, median, rate, shareOf } from "../figure.ts";
import type { Bench, ServerProcess } from "../processes.ts";
import { createJobs, createProject, createTask, documentedJob, fetchJob, jobOf } from "../whatsnext.ts";

const CONCURRENCY = 64;
const ROUND_TIMEOUT_MS = 120_000;
const AIM_PER_SECOND = 10_000;
/** Time of one fetch before the longest queue, by that before the shortest. */
const AIM_RATIO = 1.3;
const LARGE_NEED = 8;
const LARGE_PRIORITY = 9;
const SMALL_PRIORITY = 1;
const SMALL_WORKER = { cpu: 4, accelerators: 1 };

/** A server with so many pending jobs at the head of its queue. */
interface Queue {
  readonly pending: number;
  readonly server: ServerProcess;
  readonly connection: Connection;
  readonly projectId: number;
  /** Job of the backlog: it needs many accelerators. */
  readonly large: object;
  /** Job of lower priority that fits the small worker. */
  readonly small: object;
  readonly fits: number[];
  readonly behind: number[];
}

export async function whatsnextFetch(bench: Bench, effort: Effort): Promise<Figure[]> {
  const { rounds, durationMs, pendingJobs, fetches } = effort;
  const queues: Queue[] = [];
  for (const pending of pendingJobs) queues.push(await queueOf(bench, pending, fetches));
  const [first] = queues;
  if (first === undefined) throw new Error("no queue to measure");
  const bare = await bareRate(bench, first, durationMs);
  // The first round warms all up; they take turns, so that all see the same machine.
  for (let round = 0; round <= rounds; round += 1) {
    for (const queue of queues) {
      const fits = await fetchRate(queue, fetchJob(queue.projectId, null), fetches);
      await createJobs(queue.connection, queue.projectId, queue.large, fetches);
      const behind = await fetchRate(queue, fetchJob(queue.projectId, SMALL_WORKER), fetches);
      await createJobs(queue.connection, queue.projectId, queue.small, fetches);
      if (round === 0) continue;
      queue.fits.push(fits);
      queue.behind.push(behind);
    }
  }
  for (const { connection, server } of queues) {
    connection.close();
    await bench.end(server.pid);
  }
  return queues.flatMap((queue) => figuresOf(queue, first, bare));
}

async function queueOf(bench: Bench, pending: number, fetches: number): Promise<Queue> {
  const server = await bench.server();
  const connection = await Connection.open(server.target);
  const projectId = await createProject(connection, "fetched");
  const largeTask = await createTask(connection, projectId, {
    name: "large",
    required_accelerators: LARGE_NEED,
  });
  const smallTask = await createTask(connection, projectId, { name: "small", required_cpu: 1 });
  const large = documentedJob(projectId, largeTask, LARGE_PRIORITY);
  const small = documentedJob(projectId, smallTask, SMALL_PRIORITY);
  await createJobs(connection, projectId, small, fetches);
  await createJobs(connection, projectId, large, pending);
  return { pending, server, connection, projectId, large, small, fits: [], behind: [] };
}

/** What the client can have of the bare HTTP server with answers of the same size. */
async function bareRate(bench: Bench, queue: Queue, durationMs: number): Promise<number> {
  const bytes = fetchJob(queue.projectId, null);
  const answer = await queue.connection.request(bytes);
  await createJobs(queue.connection, queue.projectId, queue.large, 1);
  const server = await bench.bareServer(answer.length);
  const options = { connections: CONCURRENCY, durationMs, status: 201 };
  await load(server.target, bytes, { ...options, durationMs: durationMs / 3 });
  const { perSecond } = await load(server.target, bytes, options);
  await bench.end(server.pid);
  return perSecond;
}

async function fetchRate({ server }: Queue, bytes: Uint8Array, fetches: number): Promise<number> {
  let left = fetches;
  let given = 0;
  const startedAt = performance.now();
  await loadWith(server.target, () => (left-- > 0 ? bytes : null), {
    connections: CONCURRENCY,
    durationMs: ROUND_TIMEOUT_MS,
    status: 200,
    onAnswer: (body) => {
      if (jobOf(body) !== null) given += 1;
    },
  });
  if (given !== fetches) throw new Error(`expected ${fetches} jobs, got ${given}`);
  return fetches / ((performance.now() - startedAt) / 1_000);
}

function figuresOf(queue: Queue, first: Queue, bare: number): Figure[] {
  const words = queue.pending.toLocaleString("en-GB");
  const limit = { name: "bare HTTP server", value: bare };
  const fits = median(queue.fits);
  const behind = median(queue.behind);
  const figures = [
    rate(`whatsnext: fetch_job, ${words} pending`, "jobs/s", fits, limit, AIM_PER_SECOND),
    rate(`whatsnext: fetch_job behind ${words} that do not fit`, "jobs/s", behind, limit, AIM_PER_SECOND),
  ];
  if (queue === first) return figures;
  const shortest = `${first.pending.toLocaleString("en-GB")} pending`;
  return [
    ...figures,
    shareOf(
      `whatsnext: fetch_job, ${words} pending, beside the shortest queue`,
      "jobs/s",
      fits,
      { name: shortest, value: median(first.fits) },
      1 / AIM_RATIO,
    ),
    shareOf(
      `whatsnext: fetch_job behind ${words} that do not fit, beside the shortest queue`,
      "jobs/s",
      behind,
      { name: shortest, value: median(first.behind) },
      1 / AIM_RATIO,
    ),
  ];
}
