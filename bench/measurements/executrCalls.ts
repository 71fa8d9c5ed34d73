/**
 * Executr's calls: submit beside the bare HTTP server, bulk submit, and executors that claim, heartbeat and
 * complete before a long queue.
 */
import { Connection, load } from "../connection.ts";
import { BULK, bulkBytes, claimBytes, completeBytes, fill, heartbeatBytes, submitBytes } from "../executr.ts";
import { type Effort, type Figure, median, plain, shareOf } from "../figure.ts";
import type { Bench, ServerProcess } from "../processes.ts";

const CONCURRENCY = 64;
const FILLERS = 4;
const BULK_CONCURRENCY = 4;
/** An executor's calls for one job: claim, heartbeat, complete. */
const CALLS_PER_JOB = 3;
const SUBMIT_AIM = 0.4;

export async function executrCalls(bench: Bench, effort: Effort): Promise<Figure[]> {
  return [...(await submitting(bench, effort)), await executing(bench, effort)];
}

async function submitting(bench: Bench, { rounds, durationMs }: Effort): Promise<Figure[]> {
  const server = await bench.server();
  const probe = await Connection.open(server.target);
  const bytes = submitBytes();
  const bareServer = await bench.bareServer((await probe.request(bytes)).length);
  probe.close();
  const ours: number[] = [];
  const bare: number[] = [];
  const bulk: number[] = [];
  // One unmeasured round warms all up; then they take turns, so that they see the same machine.
  for (let round = 0; round <= rounds; round += 1) {
    const options = { durationMs: round === 0 ? durationMs / 3 : durationMs, status: 201 };
    const bareResult = await load(bareServer.target, bytes, { ...options, connections: CONCURRENCY });
    const ourResult = await load(server.target, bytes, { ...options, connections: CONCURRENCY });
    const bulkResult = await load(server.target, bulkBytes(), { ...options, connections: BULK_CONCURRENCY });
    if (round === 0) continue;
    bare.push(bareResult.perSecond);
    ours.push(ourResult.perSecond);
    bulk.push(bulkResult.perSecond * BULK);
  }
  await bench.end(bareServer.pid);
  await bench.end(server.pid);
  return [
    shareOf(
      `executr: submit, ${CONCURRENCY} at a time`,
      "jobs/s",
      median(ours),
      { name: "bare HTTP server", value: median(bare) },
      SUBMIT_AIM,
    ),
    plain(`executr: bulk submit of ${BULK}, ${BULK_CONCURRENCY} at a time`, "jobs/s", median(bulk)),
  ];
}

/** Each round works through so many jobs before a queue that stays as long; the bare server answers three calls a job. */
async function executing(bench: Bench, { rounds, executedJobs, executrPending }: Effort): Promise<Figure> {
  const server = await bench.server();
  const fillers = await Promise.all(Array.from({ length: FILLERS }, () => Connection.open(server.target)));
  const pending = executrPending.at(-2) ?? executrPending[0] ?? 0;
  await fill(fillers, pending + executedJobs);
  const probe = claimBytes("probe");
  const bareServer = await bench.bareServer((await fillers[0]?.request(probe))?.length ?? 500);
  const rates: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const perSecond = await worked(server, executedJobs);
    const { perSecond: calls } = await load(bareServer.target, probe, {
      connections: CONCURRENCY,
      durationMs: 1_000,
      status: 201,
    });
    await fill(fillers, executedJobs);
    if (round === 0) continue;
    rates.push(perSecond);
    bare.push(calls / CALLS_PER_JOB);
  }
  for (const filler of fillers) filler.close();
  await bench.end(bareServer.pid);
  await bench.end(server.pid);
  return shareOf(
    `executr: claim, heartbeat, complete, ${CONCURRENCY} executors, ${pending.toLocaleString("en-GB")} pending`,
    "jobs/s",
    median(rates),
    { name: "bare HTTP server, three calls a job", value: median(bare) },
    null,
  );
}

/** Executors that work through `count` jobs; returns jobs a second. */
async function worked(server: ServerProcess, count: number): Promise<number> {
  const executors = await Promise.all(
    Array.from({ length: CONCURRENCY }, () => Connection.open(server.target)),
  );
  let left = count;
  const ids = new Set<string>();
  const startedAt = performance.now();
  await Promise.all(
    executors.map(async (executor, index) => {
      const name = `executor-${index}`;
      const claim = claimBytes(name);
      while (left-- > 0) {
        const job: { id: string } = JSON.parse((await executor.request(claim)).toString());
        if (ids.has(job.id)) throw new Error(`job ${job.id} was given twice`);
        ids.add(job.id);
        await executor.request(heartbeatBytes(job.id, name));
        await executor.request(completeBytes(job.id, name));
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  for (const executor of executors) executor.close();
  return count / seconds;
}
